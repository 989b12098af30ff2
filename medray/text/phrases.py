"""Phrases in prose: how often a name occurs, which words two names share, and names set inside a sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from medray.text.answers import normalise_words

_STOP_WORDS = frozenset(
    "a an and any are as at by for from has have in into is it its may of on or than that the their this to was which "
    "with within without abnormal abnormality morphology syndrome disease disorder type form due other".split()
)
_STEM_LETTERS = 5
_COMMON_ENDING = re.compile(r"(al|ar|ic|ous|ed|ing|ive|able|oid|ment|sis|ile)$")


class PhraseCounts:
    """Occurrences of phrases in texts, as whole words in any case and punctuation.

    Every run of up to `max_words` words is counted once, so a lookup costs nothing; memory grows with
    max_words x words of text (about 40 MB for 40 000 words and max_words = 12).
    """

    def __init__(self, texts: Iterable[str], max_words: int = 12) -> None:
        self._max_words = max_words
        self._counts: Counter[tuple[str, ...]] = Counter()
        for text in texts:
            words = normalise_words(text)
            for length in range(1, max_words + 1):
                self._counts.update(zip(*(words[start:] for start in range(length)), strict=False))

    def count(self, phrase: str) -> int:
        """Occurrences of a phrase, those inside longer names included ("seizure" in "focal seizure")."""
        words = tuple(normalise_words(phrase))
        assert 0 < len(words) <= self._max_words, f"{phrase!r}: {len(words)} words, at most {self._max_words} counted"
        return self._counts[words]


def stems(text: str) -> frozenset[str]:
    """First five letters of the content words of a text: a cheap measure of what two phrases share."""
    words = normalise_words(text)
    return frozenset(word[:_STEM_LETTERS] for word in words if len(word) > 2 and word not in _STOP_WORDS)


def shared_fraction(phrase: str, text: str) -> float:
    """Fraction of the content stems of `phrase` that also occur in `text`; 0 where the phrase has none."""
    wanted = stems(phrase)
    return len(wanted & stems(text)) / len(wanted) if wanted else 0.0


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """Size of the intersection over size of the union of two sets; 0 for two empty ones."""
    shared = len(first & second)
    union = len(first) + len(second) - shared
    return shared / union if union else 0.0


def contains_phrase(text: str, phrase: str) -> bool:
    """Whether `phrase` occurs in `text` as consecutive whole words."""
    return f" {' '.join(normalise_words(phrase))} " in f" {' '.join(normalise_words(text))} "


def lower_case_words(texts: Iterable[str]) -> frozenset[str]:
    """Words seen wholly in lower case: what is not among them is a proper name or an abbreviation."""
    return frozenset(word for text in texts for word in re.findall(r"[^\W\d_]+", text) if word.islower())


def inside_sentence(name: str, lower_case: frozenset[str]) -> str:
    """A name as it stands inside a sentence: "Renal cyst" -> "renal cyst", but "Babinski sign" and "CSF leak" stay.

    A first word that was never seen in lower case and does not end like an English adjective or noun may be an eponym:
    it stays, unless it is the whole name.
    """
    first = re.match(r"[^\W\d_]+", name)
    if first is None or not first[0][1:].islower():
        return name
    common = first[0] == name or first[0].lower() in lower_case or _COMMON_ENDING.search(first[0])
    return name[0].lower() + name[1:] if common else name


def sentence_start(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def joined(items: Sequence[str], word: str = "and") -> str:
    """A list in prose: "a", "a and b", "a, b and c"; items that hold commas or "and" are set apart more strongly."""
    if len(items) < 2:
        return "".join(items)
    separator = "; " if any("," in item for item in items) else ", "
    last = " " if separator == ", " and not any(f" {word} " in item for item in items) else separator
    return f"{separator.join(items[:-1])}{last}{word} {items[-1]}"
