"""Notes without capitals: a copy in which what may be a name has one, for the rules that look at capitals."""

from __future__ import annotations

import re

from medray.text.phi.cues import PARTICLES, RELATIONS, ROLES, STOP, TITLES
from medray.text.phi.words import (
    FAMILY,
    GIVEN,
    LONG_TOWNS,
    NAME_WORDS,
    TOWN_WORDS,
    TOWNS,
    is_common,
    is_rare,
    is_term,
)

_PARAGRAPH = re.compile(r"(?:[^\n]+\n?)+")
_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_SENTENCE = re.compile(r"[.?!]\s+([^\W\d_])")
_LEAST_WORDS = 12
_LARGEST_SHARE = 0.06
"""Of a paragraph's words, those that may begin with a capital in a note that is written in small letters."""
_PLACE = re.compile(
    r"\b(?:at|to|from|in|of|and|leaving|via) (?P<v>(?:st\.? )?(?:(?!(?:the|a|an|her|his|our|this|that|"
    r"with|and|for|local|outside|to|go|went|admitted|get|see|be|was|is|then|back|some|any|"
    r"another)\b)[a-z'’-]+ )"
    r"{1,4}?(?:hospital|clinic|medical center|health center|cancer center|heart center|dialysis|nursing home|rehab|"
    r"rehabilitation(?: hospital| center)?|urgent care|hospice|manor|assisted living|memory care|"
    r"university|college|high school|"
    r"elementary|church|pharmacy|va|county hospital)(?: of [a-z]+)?)\b"
)
_STREET = re.compile(
    r"\b\d{1,5} (?P<v>(?:[nsew]\.? )?(?:(?:[a-z]+|\d+(?:st|nd|rd|th)) ){1,3}?(?:street|st|avenue|ave|road|"
    r"rd|drive|dr|lane|ln|boulevard|blvd|court|ct|"
    r"circle|place|way|terrace|parkway|trail|route|highway|hwy)(?: \d+| [ns][ew])?|(?:(?:north|south|east|"
    r"west) )?broadway|(?:calle|avenida|camino|rue|via) [a-z]+(?: [a-z]+)?)\b"
)
_CUES = frozenset("d/w w s/w on re saw told called paged asked texted visiting named".split())
_SIGNED = re.compile(r"\b(?:read|dictated|signed|transcribed|thanks|regards|sincerely),? (?P<v>[a-z]{3,})(?=[,.\n]|$)")
_IN = frozenset("in from near to outside".split())


def raised(text: str) -> str:
    """The text, as long as before, with capitals where a paragraph has hardly any and a name or place may stand."""
    if len(text.upper()) != len(text):
        return text
    pieces, at = [], 0
    for paragraph in _PARAGRAPH.finditer(text):
        words = [m for m in _WORD.finditer(text, *paragraph.span()) if len(m[0]) > 2]
        capitals = sum(m[0][0].isupper() and not m[0].isupper() for m in words)
        shouted = sum(m[0].isupper() for m in words)
        begun = [m[0] for m in _SENTENCE.findall(text, *paragraph.span())]
        small = sum(first.islower() for first in begun) > max(2, 0.6 * len(begun))
        if len(words) < _LEAST_WORDS or 2 * shouted > len(words):
            continue
        if capitals > _LARGEST_SHARE * len(words) and not small:
            continue
        places = _starts(text, *paragraph.span())
        for start in sorted(places):
            pieces += [text[at:start], text[start].upper()]
            at = start + 1
    return "".join([*pieces, text[at:]])


def _starts(text: str, begin: int, end: int) -> set[int]:
    """Where the small letters stand that may begin a name's or a place's word."""
    starts: set[int] = set()
    for pattern in (_PLACE, _STREET):
        for m in pattern.finditer(text, begin, end):
            starts.update(w.start() for w in _WORD.finditer(text, *m.span("v")) if w[0] not in ("of", "the", "and"))
    for m in _SIGNED.finditer(text, begin, end):
        if m["v"] in GIVEN or m["v"] in FAMILY:
            starts.add(m.start("v"))
    words = list(_WORD.finditer(text, begin, end))
    before, was_name = "", False
    for number, m in enumerate(words):
        word = m[0].lower()
        touches = number > 0 and text[words[number - 1].end() : m.start()] in (" ", "\n", ". ", "/", ": ")
        for town in LONG_TOWNS.get(word, ()):
            stop = m.start() + len(town)
            if text.startswith(town, m.start()) and not text[stop : stop + 1].isalnum():
                starts.update(w.start() for w in _WORD.finditer(text, m.start(), stop))
        if before in _IN and touches and (word in TOWNS or word in TOWN_WORDS):
            starts.add(m.start())
        was_name = m[0].islower() and _may_be_name(word, before if touches else "", was_name and touches)
        if was_name:
            starts.add(m.start())
        before = "d/w" if text[max(0, m.start() - 2) : m.end()] in ("d/w", "s/w") else word
    return starts


def _may_be_name(word: str, before: str, was_name: bool) -> bool:
    if word in STOP or word in ROLES or word in TITLES or word in RELATIONS or word in PARTICLES or len(word) < 2:
        return False
    listed = word in GIVEN or word in FAMILY
    if listed and not (is_common(word) or is_term(word) or word in TOWNS):
        return len(word) > 3
    person = before in TITLES or before in RELATIONS or before in ("d/w", "s/w")
    if person or was_name or ((before in ROLES or before in _CUES) and not is_common(word)):
        sure = listed or is_rare(word) or (word in NAME_WORDS and (was_name or before in TITLES))
        return sure and not (is_term(word) and not (was_name or before in TITLES))
    return False
