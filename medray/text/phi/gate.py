"""The PHI gate: a note's identifiers found, replaced by surrogates, counted, and the note looked at once more.

Source: 45 CFR 164.514(b)(2), the Safe Harbor list; its textual kinds are `found.KINDS`.
Choices: rules, and no model. presidio 2.2 found a fifth of the planted identifiers without a language model; the models
that a package index has add a hundredth of the names and places for a twentieth of the speed (LOG.md).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from pydantic import Field

from medray.core.config import Config
from medray.text.phi.cues import split_words
from medray.text.phi.dates import find_dates, read_date
from medray.text.phi.found import Found, settle
from medray.text.phi.lower import raised
from medray.text.phi.marks import find_marks, has_broken_mark
from medray.text.phi.names import NameReader
from medray.text.phi.numbers import find_numbers
from medray.text.phi.places import find_places
from medray.text.phi.sites import find_next_towns
from medray.text.phi.surrogates import Key, surrogate
from medray.text.phi.vehicles import find_vehicles
from medray.text.phi.words import STATE_CODES, is_common

Span = tuple[int, int]
_WITHIN_NAME = frozenset(("", " ", ",", ", ", ". ", ".", "-"))


class PhiRules(Config):
    """How identifiers of clinical notes are treated."""

    rng_seed: int = Field(ge=0)
    """Key of all surrogates: who knows it and the rules can test a guess. Keep it out of what is published."""
    max_shift_weeks: int = Field(ge=1)
    """Dates of a patient go back by 1 to this many whole weeks, all by the same number."""
    strict: bool
    """Refuse a note that still looks identified after replacement."""


class Deidentified(NamedTuple):
    """A note without its identifiers."""

    text: str
    spans: list[Span]
    """Where the given spans lie now."""
    surrogates: list[Found]
    """What was put in, in order."""
    counts: dict[str, int]
    """Identifiers replaced, by kind."""
    refused: str
    """Why a strict gate refuses the note, or ""; names the kind and place of what looks identified, never its text."""


def find_identifiers(text: str) -> list[Found]:
    """The identifiers of a note in order of place, without overlaps."""
    capital = raised(text)
    first = [*find_marks(text), *find_vehicles(text), *find_numbers(text), *find_dates(text), *find_places(capital)]
    first += find_next_towns(capital, first)
    found = settle([*first, *NameReader(capital, split_words(capital)).find()], len(text))
    return _whole_names(text, [item for item in found if _holds(text, item)])


def _whole_names(text: str, found: list[Found]) -> list[Found]:
    """The finds, the pieces of one name (HILL, DANIEL) as one."""
    whole: list[Found] = []
    for item in found:
        last = whole[-1] if whole else None
        if last and last.kind == item.kind == "name" and text[last.stop : item.start] in _WITHIN_NAME:
            whole[-1] = last._replace(stop=item.stop)
        else:
            whole.append(item)
    return whole


def _holds(text: str, item: Found) -> bool:
    piece = text[item.start : item.stop]
    return any(map(str.isalnum, piece)) and not (item.kind == "name" and piece.strip(" ,") in STATE_CODES)


def deidentify(
    text: str, patient: str, rules: PhiRules, spans: Sequence[Span] = (), surrogates: Sequence[Span] = ()
) -> Deidentified:
    """The note with a surrogate for every identifier; `surrogates` are spans that hold some already and stay.

    Given its own result's surrogates it changes nothing. Never raises for any text.
    """
    kept = sorted(surrogates)
    found = [item for item in find_identifiers(text) if not _touches(item, kept)]
    key = Key(rules.rng_seed, patient)
    days = key.shift_days(rules.max_shift_weeks)
    anchors = _full_dates(text, found)
    pieces, placed, at, length = [], [], 0, 0
    shifts: list[tuple[int, int]] = []  # (place in the old text, what is added to places from there on)
    for item in found:
        new = surrogate(item.kind, item.form, text[item.start : item.stop], key, days, _nearest(anchors, item.start))
        pieces += [text[at : item.start], new]
        length += item.start - at
        placed.append(item._replace(start=length, stop=length + len(new), form=""))
        length, at = length + len(new), item.stop
        shifts.append((item.stop, length - item.stop))
    result = "".join([*pieces, text[at:]])
    moved = [(_moved(a, shifts, found, placed, False), _moved(b, shifts, found, placed, True)) for a, b in spans]
    inside = [(_moved(a, shifts, found, placed, False), _moved(b, shifts, found, placed, True)) for a, b in kept]
    replaced = {text[item.start : item.stop] for item in found if item.kind == "name"}
    refused = (
        _suspicion(result, sorted([*inside, *((p.start, p.stop) for p in placed)]), replaced) if rules.strict else ""
    )
    return Deidentified(result, moved, placed, dict(Counter(item.kind for item in found)), refused)


def _touches(item: Found, spans: Sequence[Span]) -> bool:
    return any(start < item.stop and item.start < stop for start, stop in spans)


def _moved(place: int, shifts: list[tuple[int, int]], found: list[Found], placed: list[Found], is_stop: bool) -> int:
    """A place of the old text in the new one; one inside an identifier goes to the edge of its surrogate."""
    number = bisect_left(shifts, (place + 1, -(1 << 60)))
    if number < len(found) and found[number].start < place < found[number].stop:
        return placed[number].stop if is_stop else placed[number].start
    return place + (shifts[number - 1][1] if number else 0)


def _full_dates(text: str, found: Sequence[Found]) -> list[tuple[int, date]]:
    anchors = []
    for item in found:
        if item.kind == "date" and item.form in ("ymd", "mdy", "dmy", "bdy", "dby"):
            day = read_date(text[item.start : item.stop], item.form)
            if day:
                anchors.append((item.start, day))
    return anchors


def _nearest(anchors: list[tuple[int, date]], place: int) -> date | None:
    """The day of the full date closest before a place, else after it."""
    number = bisect_left(anchors, (place, date.min))
    return anchors[max(0, number - 1)][1] if anchors else None


_SUSPICIOUS = (
    ("a number", re.compile(r"\d{6,}|\d{3}[-.]\d{2,3}[-.]\d{4}|\b[A-Z]+-?\d{5,}")),
    ("an email or url", re.compile(r"\w@\w|https?:|www\.", re.I)),
    ("a date", re.compile(r"\b\d{1,4}[/.-]\d{1,2}[/.-]\d{2,4}\b")),
    ("a name", re.compile(r"\b(?:Dr|Mr|Mrs|Ms)\.? [A-Z][a-z]{2}")),
)


def _suspicion(text: str, surrogates: Sequence[Span], replaced: set[str]) -> str:
    """The second, more suspicious look, at what no rule took: the kind and place of the first thing found, or ""."""
    if has_broken_mark(text):
        return "phi: half a mark [** or **]"
    hidden = list(text)
    for start, stop in surrogates:
        hidden[start:stop] = "\n" * (stop - start)
    rest = "".join(hidden)
    for what, pattern in _SUSPICIOUS:
        if m := pattern.search(rest):
            return f"phi: still looks like {what} at character {m.start()}"
    words = split_words(rest)
    parts = {w.lower for name in replaced for w in split_words(name) if len(w.text) > 3 and not is_common(w.lower)}
    for before, word in zip([None, *words], words, strict=False):
        pair = before and word.start - before.stop == 1 and before.is_suspect and word.is_suspect
        if pair or (word.lower in parts and word.is_capital):
            return f"phi: still looks like a name at character {word.start}"
    return ""
