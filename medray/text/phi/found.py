"""What was found: an identifier's kind and place, and how overlapping finds are settled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

KINDS = (
    "name", "location", "date", "age", "phone", "fax", "email", "ssn", "medical_record", "health_plan", "account",
    "licence", "vehicle", "device", "url", "ip", "other",
)  # fmt: skip
"""The textual identifiers (A) to (O) and (R) of 45 CFR 164.514(b)(2)(i), in its order; ages over 89 apart from dates.

Finger and voice prints (P) and photographs (Q) are no text.
"""


class Found(NamedTuple):
    """An identifier at characters [start, stop); `form` says how its text is read (a mark's content, a date's form)."""

    start: int
    stop: int
    kind: str
    form: str = ""


_STARTS = {"A": re.compile(r"[A-Z](?<!\w[A-Z])"), "0": re.compile(r"\d(?<!\w\d)")}


@lru_cache(8)
def starts_of(text: str, kinds: str) -> list[int]:
    """Places where a word begins with a capital of ASCII ("A"), with a digit ("0"), or either ("A0"), in order."""
    return sorted(m.start() for kind in kinds for m in _STARTS[kind].finditer(text))


def matches_at(pattern: re.Pattern[str], text: str, starts: Sequence[int]) -> Iterator[re.Match[str]]:
    """As `pattern.finditer(text)` for a pattern that can only match at these places: much faster."""
    at = 0
    for start in starts:
        if start >= at and (m := pattern.match(text, start)):
            at = m.end()
            yield m


def settle(found: Iterable[Found], length: int) -> list[Found]:
    """Finds in a text of `length` characters, in order of place and without overlaps.

    Of two that overlap the one that comes first in `found` stays whole; what of the other lies beside it stays too,
    so that nothing found is lost.
    """
    free = bytearray(b"\1" * length)
    settled = []
    for item in found:
        at = item.start
        while (start := free.find(1, at, item.stop)) >= 0:
            at = free.find(0, start, item.stop)
            at = item.stop if at < 0 else at
            settled.append(
                item._replace(start=start, stop=at, form=item.form if at - start == item.stop - item.start else "")
            )
        free[item.start : item.stop] = bytes(item.stop - item.start)
    return sorted(settled)
