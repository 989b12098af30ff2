"""Substitutions that carry character spans along."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

Span = tuple[int, int]
Substitution = tuple[re.Pattern[str], str | Callable[[str], str]]


def substituted(text: str, spans: Sequence[Span], steps: Iterable[Substitution]) -> tuple[str, list[Span]]:
    """The text after all substitutions in turn, and its spans where they now lie."""
    points = sorted({point for span in spans for point in span})
    places = list(points)
    for pattern, replacement in steps:
        text, places = _substitute(text, places, pattern, replacement)
    moved = dict(zip(points, places, strict=True))
    return text, [(moved[start], moved[stop]) for start, stop in spans]


def _substitute(
    text: str, places: list[int], pattern: re.Pattern[str], replacement: str | Callable[[str], str]
) -> tuple[str, list[int]]:
    """re.sub that also says where the sorted places of the old text lie in the new one."""
    pieces, moved, at, shift = [], [], 0, 0
    waiting = list(places)
    for match in pattern.finditer(text):
        start, stop = match.span()
        new = replacement if isinstance(replacement, str) else replacement(match.group())
        while waiting and waiting[0] <= start:
            moved.append(waiting.pop(0) + shift)
        while waiting and waiting[0] < stop:
            head = match.group()[: waiting.pop(0) - start]
            inside = len(replacement(head)) if not isinstance(replacement, str) else len(new)
            moved.append(start + shift + min(inside, len(new)))
        pieces += [text[at:start], new]
        at, shift = stop, shift + len(new) - (stop - start)
    moved += [place + shift for place in waiting]
    return "".join([*pieces, text[at:]]), moved
