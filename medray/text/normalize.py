"""Text into one normal form, filters by its shape, and the key under which equal texts meet. Pure functions.

Every threshold is a field of `CleanRules`. Character spans into a text are carried through its changes. What most texts
need no work for is found out first, by searches at the speed of memory.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from medray.core.config import Config
from medray.text.boilerplate import BoilerplateRules, without_boilerplate
from medray.text.gopher import GopherRules, gopher_reasons
from medray.text.language import LanguageRule, judge
from medray.text.spans import Span, Substitution, substituted


class CleanRules(Config):
    """What a text must look like after normalisation to stay.

    Source: Gopher (Rae et al. 2021, table A1) for the repetition ratios; its values are 50 words, 0.30 and 0.15-0.20.
    Choices: the symbol ratio counts characters; 5-grams are counted in words.
    """

    min_words: int = Field(ge=1)
    max_words: int = Field(ge=1)
    max_symbol_fraction: float = Field(ge=0, le=1)
    """Most non-blank characters that may be neither letter nor digit, as a fraction."""
    max_repeated_line_fraction: float = Field(ge=0, le=1)
    """Most characters that may stand in a line seen before in the text, as a fraction."""
    max_repeated_ngram_fraction: float = Field(ge=0, le=1)
    """Most 5-grams of words that may have been seen before in the text, as a fraction."""
    boilerplate: BoilerplateRules | None = None
    """What is cut out of texts before they are judged; None: nothing."""
    language: LanguageRule | None = None
    """Which languages may stay; None: all, and none is identified."""
    gopher: GopherRules | None = None
    """What running prose must look like besides; None: sources of short or listed texts would lose most of theirs."""
    gopher_on: Literal["normal_form", "as_read"] = "normal_form"
    """Which form of a text these rules see. As read, as datatrove applies them, blank lines are repetitions too."""


_NGRAM = 5
_LINE_ENDS = ("\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufffe\uffff]"
)
_MANY_LINES = re.compile(r"\n{3,}")
# NFC comes after the removals, which can bring a letter and its accent together. ASCII never composes with what stands
# before it, so a run with the one character before it can be normalised on its own.
_STEPS: tuple[Substitution, ...] = (
    (re.compile("|".join(_LINE_ENDS)), "\n"),
    (_INVISIBLE, ""),
    (re.compile(r"[\x00-\x7f]?[^\x00-\x7f]+"), lambda run: unicodedata.normalize("NFC", run)),
    (re.compile(r"[^\S\n]+(?=\n|\Z)"), ""),
    (re.compile(r"(?<=\S)[^\S\n]+"), " "),
    (_MANY_LINES, "\n\n"),
    (re.compile(r"\A\s+|\s+\Z"), ""),
)
"""What `_normal` does, with every place that it changes."""

_ASCII = bytes(range(128))
_BLANKS = bytes(i for i in _ASCII if chr(i).isspace())
_LETTERS_AND_DIGITS = bytes(i for i in _ASCII if chr(i).isalnum())
_PLAIN = bytes(range(32, 127)) + b"\n\t"
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def normalize(text: str, spans: Sequence[Span] = ()) -> tuple[str, list[Span]]:
    """The text in NFC, without control and invisible characters, blanks tamed; and its spans where they now lie.

    Line ends become newlines, trailing blanks go, runs of blanks inside a line become one space (indentation stays),
    more than one empty line becomes one. Normalising again changes nothing.
    """
    normal = _normal(text)
    if normal == text or not spans:
        return normal, list(spans)
    carried, moved = substituted(text, spans, _STEPS)
    assert carried == normal, "the two ways to the normal form have come apart"
    return carried, moved


def _normal(text: str) -> str:
    plain = text.isascii() and not text.encode().translate(None, _PLAIN)
    if not plain:
        for line_end in _LINE_ENDS:
            text = text.replace(line_end, "\n")
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    if not plain or "  " in text or " \n" in text or "\t" in text or text[:1] == " ":
        text = "\n".join(map(_with_single_blanks, text.split("\n")))
    if "\n\n\n" in text:
        text = _MANY_LINES.sub("\n\n", text)
    return text.strip()


def _with_single_blanks(line: str) -> str:
    """The line with its indentation as it is, single blanks inside, none at its end."""
    words = " ".join(line.split())
    return line[: len(line) - len(line.lstrip())] + words if words and line[0].isspace() else words


def rejected(text: str, rules: CleanRules) -> str:
    """Why a normalised text does not stay by its length, symbols and repetitions, or ""; without Gopher's rules."""
    words = text.split()
    if len(words) < rules.min_words:
        return "too_short"
    if len(words) > rules.max_words:
        return "too_long"
    if rules.max_symbol_fraction < 1:
        num_solid, num_symbols = _count_symbols(text)
        if num_symbols > rules.max_symbol_fraction * num_solid:
            return "symbols"
    if rules.max_repeated_line_fraction < 1:
        lines = [stripped for line in text.split("\n") if (stripped := line.strip())]
        if len(set(lines)) < len(lines):
            repeated = sum(len(line) * (count - 1) for line, count in Counter(lines).items())
            if repeated > rules.max_repeated_line_fraction * sum(map(len, lines)):
                return "repeated_lines"
    num_ngrams = len(words) - _NGRAM + 1
    if rules.max_repeated_ngram_fraction < 1 and num_ngrams > 0:
        if num_ngrams - _num_different(words) > rules.max_repeated_ngram_fraction * num_ngrams:
            return "repeated_ngrams"
    return ""


def _count_symbols(text: str) -> tuple[int, int]:
    """Characters that are not blank, and those among them that are neither letters nor digits."""
    raw = text.encode("ascii", "ignore").translate(None, _BLANKS)
    rest = "" if text.isascii() else "".join(_NOT_ASCII.findall(text))
    num_blank = sum(map(str.isspace, rest))
    num_symbols = len(rest) - num_blank - sum(map(str.isalnum, rest))
    return len(raw) + len(rest) - num_blank, len(raw.translate(None, _LETTERS_AND_DIGITS)) + num_symbols


def _num_different(words: list[str]) -> int:
    """How many different n-grams of _NGRAM words there are, told apart by 64-bit hashes of this process."""
    hashes = np.fromiter(map(hash, words), np.int64, len(words)).view(np.uint64)
    ngrams = hashes[: len(words) - _NGRAM + 1].copy()
    for place in range(1, _NGRAM):
        ngrams *= np.uint64(0x9E3779B97F4A7C15)
        ngrams += hashes[place : len(words) - _NGRAM + 1 + place]
    ngrams.sort()
    return 1 + int(np.count_nonzero(ngrams[1:] != ngrams[:-1]))


class Cleaned(NamedTuple):
    """What `clean` makes of texts: an entry of each list for every text."""

    texts: list[str]
    spans: list[list[Span]]
    reasons: list[str]
    """Why it is dropped, or ""."""
    languages: list[str]
    """Its main language as identified, or ""."""
    removed: list[Counter[str]]
    """How often each rule for boilerplate has cut something out."""


def clean(texts: Sequence[str], spans: Sequence[Sequence[Span]], rules: CleanRules) -> Cleaned:
    """The normalised texts without boilerplate, their spans, and which of them stay."""
    normal, moved, removed = [], [], []
    for text, own in zip(texts, spans, strict=True):
        one, places = normalize(text, own)
        cut: Counter[str] = Counter()
        if rules.boilerplate:
            one, places, cut = without_boilerplate(one, places, rules.boilerplate)
        if cut:
            one, places = normalize(one, places)
        normal.append(one)
        moved.append(places)
        removed.append(cut)
    reasons, languages = [rejected(text, rules) for text in normal], [""] * len(normal)
    if rules.language:
        for place in _left(reasons):
            languages[place], reasons[place] = judge(normal[place], rules.language)
    if rules.gopher:
        left = _left(reasons)  # overlong texts are never cut into words
        judged = texts if rules.gopher_on == "as_read" else normal
        for place, reason in zip(left, gopher_reasons([judged[i] for i in left], rules.gopher), strict=True):
            reasons[place] = reason
    return Cleaned(normal, moved, reasons, languages, removed)


def _left(reasons: Sequence[str]) -> list[int]:
    return [place for place, reason in enumerate(reasons) if not reason]


def duplicate_key(text: str) -> str:
    """32 hex digits, equal for texts that differ only in case, compatibility forms or blanks.

    Punctuation counts: "< 5" and "> 5" are not the same finding.
    """
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.blake2b(folded.encode(), digest_size=16).hexdigest()
