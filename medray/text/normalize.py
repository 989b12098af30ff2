"""Text into one normal form, filters by its shape, and the key under which equal texts meet. Pure functions.

Every threshold is a field of `CleanRules`. Character spans into a text are carried through its changes.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

from pydantic import Field

from medray.core.config import Config


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


REASONS = ("too_short", "too_long", "symbols", "repeated_lines", "repeated_ngrams")

Span = tuple[int, int]
_Steps = tuple[tuple[re.Pattern[str], str | Callable[[str], str]], ...]

_NGRAM = 5
_INVISIBLE = "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufffe\uffff]"
# NFC comes after the removals, which can bring a letter and its accent together. ASCII never composes with what stands
# before it, so a run with the one character before it can be normalised on its own.
_STEPS: _Steps = (
    (re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]"), "\n"),
    (re.compile(_INVISIBLE), ""),
    (re.compile(r"[\x00-\x7f]?[^\x00-\x7f]+"), lambda run: unicodedata.normalize("NFC", run)),
    (re.compile(r"[^\S\n]+(?=\n|\Z)"), ""),
    (re.compile(r"(?<=\S)[^\S\n]+"), " "),
    (re.compile(r"\n{3,}"), "\n\n"),
    (re.compile(r"\A\s+|\s+\Z"), ""),
)


def normalize(text: str, spans: Sequence[Span] = ()) -> tuple[str, list[Span]]:
    """The text in NFC, without control and invisible characters, blanks tamed; and its spans where they now lie.

    Line ends become newlines, trailing blanks go, runs of blanks inside a line become one space (indentation stays),
    more than one empty line becomes one. Normalising again changes nothing.
    """
    points = sorted({point for span in spans for point in span})
    places = list(points)
    for pattern, replacement in _STEPS:
        if not points:
            text = pattern.sub(replacement if isinstance(replacement, str) else _of_match(replacement), text)
        else:
            text, places = _substitute(text, places, pattern, replacement)
    moved = dict(zip(points, places, strict=True))
    return text, [(moved[start], moved[stop]) for start, stop in spans]


def _of_match(fn: Callable[[str], str]) -> Callable[[re.Match[str]], str]:
    return lambda match: fn(match.group())


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


def rejected(text: str, rules: CleanRules) -> str:
    """Why a normalised text does not stay (one of REASONS), or ""."""
    words = text.split()
    if len(words) < rules.min_words:
        return "too_short"
    if len(words) > rules.max_words:
        return "too_long"
    num_blank = sum(map(str.isspace, text))
    num_symbols = len(text) - num_blank - sum(map(str.isalnum, text))
    if num_symbols > rules.max_symbol_fraction * (len(text) - num_blank):
        return "symbols"
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    repeated = sum(len(line) * (count - 1) for line, count in Counter(lines).items())
    if repeated > rules.max_repeated_line_fraction * sum(map(len, lines)):
        return "repeated_lines"
    ngrams = [tuple(words[i : i + _NGRAM]) for i in range(len(words) - _NGRAM + 1)]
    if len(ngrams) - len(set(ngrams)) > rules.max_repeated_ngram_fraction * len(ngrams):
        return "repeated_ngrams"
    return ""


def clean(text: str, spans: Sequence[Span], rules: CleanRules) -> tuple[str, list[Span], str]:
    """The normalised text, its spans, and the reason why it is dropped ("" when it stays)."""
    text, moved = normalize(text, spans)
    return text, moved, rejected(text, rules)


def duplicate_key(text: str) -> str:
    """32 hex digits, equal for texts that differ only in case, compatibility forms or blanks.

    Punctuation counts: "< 5" and "> 5" are not the same finding.
    """
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.blake2b(folded.encode(), digest_size=16).hexdigest()
