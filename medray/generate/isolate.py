"""A prompt that ends every engine it is given to: found by halving its shard, and answered with nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from medray.generate.config import EnginePlacement, Sampling
from medray.generate.fleet import EnginesLost, call

FAILED = "failed"
"""Finish reason of the blank completions of a prompt that no engine survives."""
Ask = Callable[[Sequence[Any], Sequence[Any]], list[Any]]

_MOST = 8
"""One in so many prompts of a shard may be to blame (at least one); of more, the engine is."""


def generated(
    engine: str, placement: EnginePlacement, model: str, model_id: str, ids: Sequence[list[int]],
    seeds: Sequence[Sequence[int]], sampling: Sampling,
) -> list[list[Any]]:  # fmt: skip
    """Completions of each prompt. Raises EnginesLost where not a prompt but the engine is to blame."""
    twice = placement.model_copy(update={"max_restarts": 1})

    def ask(prompts: Sequence[Any], seeds: Sequence[Any], how: EnginePlacement = twice) -> list[list[Any]]:
        return call(engine, "generate", how, model, model_id, prompts, seeds, sampling)

    try:
        return ask(ids, seeds, placement)
    except EnginesLost as lost:
        nothing = call(engine, "nothing", twice, model, model_id)
        ask([nothing.token_ids], [[1]])  # does it answer anything at all?
        print(f"medray engine: {lost}: looking for the prompt that does it", file=sys.stderr, flush=True)
        made = isolated(ask, ids, seeds, lost)
        return [[nothing] * len(each) if found is None else found for found, each in zip(made, seeds, strict=True)]


def isolated(ask: Ask, prompts: Sequence[Any], seeds: Sequence[Any], lost: EnginesLost) -> list[Any | None]:
    """What `ask` gives for each prompt, None for one that loses the engine when it is asked alone.

    Called when asking all of them has raised `lost`, which is raised again where too many would be None.
    """
    allowed = max(1, len(prompts) // _MOST)
    if len(prompts) == 1:
        return [None]
    found: list[Any | None] = []

    def asked(start: int, stop: int) -> None:
        try:
            found.extend(ask(prompts[start:stop], seeds[start:stop]))
        except EnginesLost:
            if stop - start == 1:
                found.append(None)
            else:
                halved(start, stop)
        if found.count(None) > allowed:
            raise lost

    def halved(start: int, stop: int) -> None:
        middle = (start + stop) // 2
        asked(start, middle)
        asked(middle, stop)

    halved(0, len(prompts))
    return found
