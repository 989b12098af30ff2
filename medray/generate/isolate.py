"""A prompt that ends every engine it is given to: found by halving its shard, and answered with nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from medray.generate.fleet import EnginesLost

Ask = Callable[[Sequence[Any], Sequence[Any]], list[Any]]

_MOST = 8
"""One in so many prompts of a shard may be to blame (at least one); of more, the engine is."""


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
