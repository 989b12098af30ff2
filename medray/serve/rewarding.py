"""Rewards of prompts and completions, as one replica computes them: render, fit, gather by prompt, forward."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from medray.core.config import UserError
from medray.model.load import Start, computed_start, load_reward_model, load_tokenizer, pooled_rewards
from medray.model.render import render, render_prompt, stop_ids
from medray.model.tree import common_length
from medray.serve.config import RewardServing
from medray.serve.schema import Message, RewardRow

_FP32_TOLERANCE = 1e-4


class _Fitted(NamedTuple):
    prompt: list[int]
    completion: list[int]
    is_cut: bool


@dataclass
class _Family:
    """Rows of one prompt, which is computed once for them."""

    rows: list[int]
    num_tokens: int


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
        self._start = self._usual_start()
        self.facts: dict[str, Any] = {
            "pid": os.getpid(),
            "dtype": serving.dtype,
            "batch_difference": self._self_test(),
        }

    def rewards(self, rows: Sequence[RewardRow]) -> tuple[list[float], int]:
        """Rewards in the order of rows, and how many prompts were cut. A function of the rows: buckets are by length.

        What the template writes before the first user's words was computed at load; rows that begin otherwise (a system
        message of their own) are computed whole.
        Raises UserError naming the row whose completion does not fit, or what cannot be rendered.
        """
        fitted = [self._fit(row, number) for number, row in enumerate(rows)]
        values = [0.0] * len(rows)
        families = _families(fitted, self._serving.placement.tokens_per_forward)
        usual = [self._begins_as_usual(fitted[family.rows[0]]) for family in families]
        for start, wanted in ((self._start, True), (None, False)):
            chosen = [family for family, begins in zip(families, usual, strict=True) if begins is wanted]
            for i, value in self._family_rewards(fitted, chosen, start):
                values[i] = value
        return values, sum(row.is_cut for row in fitted)

    def _family_rewards(
        self, fitted: Sequence[_Fitted], families: Sequence[_Family], start: Start | None
    ) -> Iterator[tuple[int, float]]:
        """(number of a row, its reward) of all rows of some families."""
        for bucket in _buckets([f.num_tokens for f in families], self._serving.placement.tokens_per_forward):
            members = [families[number].rows for number in bucket]
            with torch.inference_mode():
                found_B = pooled_rewards(
                    self._model, [[fitted[i].prompt + fitted[i].completion for i in rows] for rows in members], start
                )
            yield from zip([i for rows in members for i in rows], found_B.tolist(), strict=True)

    def _begins_as_usual(self, row: _Fitted) -> bool:
        return self._start is not None and row.prompt[: len(self._start.ids)] == self._start.ids

    def _usual_start(self) -> Start | None:
        """What every conversation without a system message begins with, computed; None where that is nothing."""
        prompts = [render_prompt(self._tokenizer, [{"role": "user", "content": text}]) for text in ("What?", "I am")]
        ids = prompts[0][: common_length(prompts)]
        return computed_start(self._model, ids) if ids else None

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
        """Largest difference between rewards one by one and together; fp32 must stay within 1e-4."""
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
        if self._serving.dtype == "fp32" and not difference <= _FP32_TOLERANCE:
            raise UserError(
                f"reward model: rewards move by {difference:.2g} with the batch, expected at most {_FP32_TOLERANCE:g}: "
                "its weights hold NaN, or its attention sees padding"
            )
        return difference


def _families(fitted: Sequence[_Fitted], tokens_per_forward: int) -> list[_Family]:
    """Rows by prompt, in order; attention is quadratic, so a family ends at a quarter of a forward pass."""
    families: list[_Family] = []
    current: dict[tuple[int, ...], _Family] = {}
    for i, row in enumerate(fitted):
        prompt = tuple(row.prompt)
        family = current.get(prompt)
        if family and family.num_tokens + len(row.completion) <= tokens_per_forward // 4:
            family.rows.append(i)
            family.num_tokens += len(row.completion)
        else:
            current[prompt] = _Family([i], len(prompt) + len(row.completion))
            families.append(current[prompt])
    return families


def _buckets(lengths: Sequence[int], tokens_per_forward: int) -> list[list[int]]:
    """Numbers by length (then number), in runs whose padded size is at most `tokens_per_forward`."""
    buckets: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if buckets and (len(buckets[-1]) + 1) * lengths[i] <= tokens_per_forward:
            buckets[-1].append(i)
        else:
            buckets.append([i])
    return buckets
