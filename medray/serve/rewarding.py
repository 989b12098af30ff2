"""Rewards of prompts and completions, as one replica computes them: render, fit, gather by prompt, forward.

What rows begin with is computed once: the template's own words at load, a prompt with several completions in a request.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from medray.core.config import UserError
from medray.model.held import Held, hold, rewards_after
from medray.model.load import load_reward_model, load_tokenizer
from medray.model.render import render, render_prompt, stop_ids
from medray.model.tree import common_length
from medray.serve.config import RewardServing
from medray.serve.schema import Message, RewardRow

_TOLERANCE = {"fp32": 1e-4, "bf16": 0.5}
"""Of the largest reward, or of 1 where all are smaller: rewards in the tens have rounding errors of their size. bf16
moves rewards by 0.1 to 0.2 with the batch (LOG.md); more than 0.5 is no rounding."""


class _Fitted(NamedTuple):
    prompt: list[int]
    completion: list[int]
    is_cut: bool


class Rewarder:
    """A loaded reward model. `facts` holds what the self-test found; loading fails when it fails."""

    def __init__(self, model: Path, serving: RewardServing):
        torch.set_num_threads(serving.placement.threads)
        self._serving = serving
        self._tokenizer = load_tokenizer(model)
        if self._tokenizer.pad_token_id == self._tokenizer.eos_token_id:
            raise UserError(f"{model}: pad token equals EOS, expected another: equal pads make equal rewards")
        self._model = load_reward_model(model, serving.dtype).eval()
        if serving.placement.use_gpu:
            self._model = self._model.to("cuda")
        self._usual = self._usual_beginning()
        self._held = hold(self._model, [self._usual]) if self._usual else None
        self.facts: dict[str, Any] = {
            "pid": os.getpid(),
            "dtype": serving.dtype,
            "batch_difference": self._self_test(),
        }

    def rewards(self, rows: Sequence[RewardRow]) -> tuple[list[float], list[bool]]:
        """Rewards in the order of rows, and whose prompts were cut. A function of the rows: buckets are by length.

        Raises UserError naming the row whose completion does not fit, or what cannot be rendered.
        """
        fitted = [self._fit(row, number) for number, row in enumerate(rows)]
        values = [0.0] * len(rows)
        usual = [row.prompt[: len(self._usual)] == self._usual != row.prompt for row in fitted]
        for held, skipped, wanted in ((self._held, len(self._usual), True), (None, 0, False)):
            numbers = [i for i, begins in enumerate(usual) if begins is wanted]
            prompts = [fitted[i].prompt[skipped:] for i in numbers]
            for number, value in self._continued(prompts, [fitted[i].completion for i in numbers], held):
                values[numbers[number]] = value
        return values, [row.is_cut for row in fitted]

    def _continued(
        self, prompts: Sequence[list[int]], completions: Sequence[list[int]], held: Held | None
    ) -> Iterator[tuple[int, float]]:
        """(number, reward) of prompts and completions that go on from what is held."""
        families: dict[tuple[int, ...], list[int]] = {}
        for number, prompt in enumerate(prompts):
            families.setdefault(tuple(prompt), []).append(number)
        alone = [numbers[0] for numbers in families.values() if len(numbers) == 1]
        yield from self._bucketed(alone, [prompts[i] + completions[i] for i in alone], held, [0] * len(alone))
        shared = [(list(prompt), numbers) for prompt, numbers in families.items() if len(numbers) > 1]
        for bucket in _buckets([len(prompt) for prompt, _ in shared], self._serving.placement.tokens_per_forward):
            begun = hold(self._model, [shared[i][0] for i in bucket], held)
            members = [(which, i) for which, family in enumerate(bucket) for i in shared[family][1]]
            numbers = [i for _, i in members]
            yield from self._bucketed(
                numbers, [completions[i] for i in numbers], begun, [which for which, _ in members]
            )

    def _bucketed(
        self, numbers: Sequence[int], sequences: Sequence[list[int]], held: Held | None, which: Sequence[int]
    ) -> Iterator[tuple[int, float]]:
        """(number, reward) of sequences, in forward passes of about equal lengths."""
        # a held token takes memory too, about a quarter of a computed one's
        held_by = held.num_tokens if held else [0]
        lengths = [max(len(ids), held_by[i] // 4) for ids, i in zip(sequences, which, strict=True)]
        for bucket in _buckets(lengths, self._serving.placement.tokens_per_forward):
            found_B = rewards_after(self._model, [sequences[i] for i in bucket], held, [which[i] for i in bucket])
            yield from zip([numbers[i] for i in bucket], found_B.tolist(), strict=True)

    def _usual_beginning(self) -> list[int]:
        """What every conversation without a system message of its own begins with."""
        prompts = [render_prompt(self._tokenizer, [{"role": "user", "content": text}]) for text in ("What?", "I am")]
        return prompts[0][: common_length(prompts)]

    def _fit(self, row: RewardRow, number: int) -> _Fitted:
        """A row as ids, at most max_tokens.

        The completion stays whole, and so do the head of the prompt and its closing (stop token, assistant header):
        plain truncation would cut the very thing that is judged.
        """
        messages = [message.model_dump() for message in row.messages]
        if row.completion.strip():
            rendered = render(self._tokenizer, [*messages, {"role": "assistant", "content": row.completion}])
            prompt, completion = rendered.ids[: rendered.prompt_length], rendered.ids[rendered.prompt_length :]
        else:  # sampled nothing: the renderer takes no empty answer, the model must still judge it
            prompt, completion = render_prompt(self._tokenizer, messages), stop_ids(self._tokenizer)[:1]
        limit = self._serving.max_tokens
        if len(prompt) + len(completion) <= limit:
            return _Fitted(prompt, completion, False)
        stop = stop_ids(self._tokenizer)[0]
        last_stop = max((i for i, token in enumerate(prompt) if token == stop), default=len(prompt))
        closing = prompt[last_stop:]
        num_head = limit - len(completion) - len(closing)
        if num_head < 1:
            raise UserError(
                f"rows.{number}.completion: {len(completion)} tokens leave no room for the prompt, "
                f"expected at most {limit - len(closing) - 1}: shorten it or raise max_tokens"
            )
        return _Fitted(prompt[:num_head] + closing, completion, True)

    def _self_test(self) -> float:
        """Largest difference between rewards one by one and together; at most _TOLERANCE."""
        rows = [
            RewardRow(
                messages=(Message(role="user", content="What helps? " * (1 + 3 * i % 7)),),
                completion="Rest and water. " * (1 + 5 * i % 6),
            )
            for i in range(8)
        ]
        together, _ = self.rewards(rows)
        alone = [self.rewards([row])[0][0] for row in rows]
        difference = max(abs(a - b) for a, b in zip(together, alone, strict=True))
        tolerance = _TOLERANCE[self._serving.dtype] * max(1.0, *map(abs, alone))
        if not difference <= tolerance:
            raise UserError(
                f"reward model: rewards move by {difference:.2g} with the batch, expected at most {tolerance:.2g}: "
                "its weights hold NaN, or its attention sees padding"
            )
        return difference


def _buckets(lengths: Sequence[int], tokens_per_forward: int) -> list[list[int]]:
    """Numbers by length (then number), in runs whose padded size is at most `tokens_per_forward`."""
    buckets: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if buckets and (len(buckets[-1]) + 1) * lengths[i] <= tokens_per_forward:
            buckets[-1].append(i)
        else:
            buckets.append([i])
    return buckets
