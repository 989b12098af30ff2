"""Teachers and judges on engines of our own: asked as a policy is sampled, answered at no cost but time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cached_property
from pathlib import Path
from typing import Any

from ray.exceptions import RayTaskError

from medray.core.config import UserError
from medray.core.mirror import there
from medray.generate.config import LocalTeacher
from medray.generate.engine import open_engines
from medray.generate.fleet import EnginesLost, call
from medray.generate.replies import Question, Replies, Reply
from medray.generate.sampling import check_lengths, completion_seeds


class LocalModel(Replies):
    """Asks a model directory, on vLLM engines that start with the first question that has no reply yet. Needs Ray.

    model_id: names the weights in every reply, and to the engines. A question's seed follows from what is asked alone,
    so neither order, shards nor replicas change a reply beyond floating-point order. A question that the model's
    template cannot hold, or that is too long, gets an empty reply whose finish reason begins with "refused".
    """

    def __init__(self, config: LocalTeacher, replies: Path, directory: Path, model_id: str):
        super().__init__(replies)
        self._config, self._directory_of_model, self._model_id = config, directory, model_id

    def close(self) -> None:
        """Nothing: engines stay up for the next stage."""

    @property
    def model(self) -> str:
        """The id of its artifact."""
        return self._model_id

    def parameters(self) -> dict[str, Any]:
        """All of the sampling."""
        return self._config.sampling.model_dump(exclude={"num_completions"})

    @cached_property
    def _engines(self) -> list[str]:
        return open_engines(self._directory_of_model, self._config.sampling, self._config.placement)

    def answer(self, todo: Mapping[str, Question], keep: Callable[[Reply], None]) -> None:
        """Ask shard by shard, two of them in flight per engine. Raises UserError when engines keep dying."""
        keys, size, engines = list(todo), self._config.placement.prompts_per_shard, self._engines
        with ThreadPoolExecutor(2 * len(engines)) as pool:
            running = [
                pool.submit(self._shard, engines[number % len(engines)], keys[start : start + size], todo)
                for number, start in enumerate(range(0, len(keys), size))
            ]
            try:
                for future in as_completed(running):
                    for reply in future.result():
                        keep(reply)
            finally:
                for future in running:
                    future.cancel()

    def _shard(self, engine: str, keys: Sequence[str], todo: Mapping[str, Question]) -> list[Reply]:
        begun, sampling = time.monotonic(), self._config.sampling
        seeds = [completion_seeds(sampling.rng_seed, "teacher", key, 1)[0] for key in keys]
        ids = [self._ids(engine, todo[key].messages) for key in keys]
        asked = [(prompt, [seed]) for prompt, seed in zip(ids, seeds, strict=True) if not isinstance(prompt, str)]
        made = iter(self._call(engine, "generate", *zip(*asked, strict=True), sampling) if asked else ())
        said = [("", f"refused: {p}", 0, 0) if isinstance(p, str) else _said(p, *next(made)) for p in ids]
        seconds = (time.monotonic() - begun) / len(keys)
        return [
            Reply(
                key=key, id=todo[key].id, model=self.model, served_model=self.model,
                prompt_version=todo[key].prompt_version, parameters={**self.parameters(), "seed": seed}, text=text,
                finish_reason=finish_reason, tokens_in=tokens_in, tokens_out=tokens_out, cost=0.0, seconds=seconds,
            )
            for key, seed, (text, finish_reason, tokens_in, tokens_out) in zip(keys, seeds, said, strict=True)
        ]  # fmt: skip

    def _ids(self, engine: str, messages: Sequence[dict[str, str]]) -> list[int] | str:
        """What the model is asked, or why it cannot be."""
        sampling = self._config.sampling
        try:
            [ids] = self._call(engine, "render", [list(messages)])
            check_lengths(["asked"], [len(ids)], max_tokens=sampling.max_tokens, max_model_len=sampling.max_model_len)
        except UserError as error:
            cause = error.cause if isinstance(error, RayTaskError) else error
            if isinstance(cause, EnginesLost):
                raise
            return str(cause)
        return ids

    def _call(self, engine: str, method: str, *arguments: Any) -> Any:
        return call(engine, method, self._config.placement, there(self._directory_of_model), self._model_id, *arguments)


def _said(ids: Sequence[int], completion: Any) -> tuple[str, str, int, int]:
    return completion.text, completion.finish_reason, len(ids), len(completion.token_ids)
