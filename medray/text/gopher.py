"""Gopher's quality and repetition rules, for many texts at a time. The decisions are datatrove's.

Shapes: D texts, W words in all, N n-grams.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from pydantic import Field

from medray.core.config import Config
from medray.text.ngrams import SpanHashes, mix
from medray.text.words import Words, split_words, word_hash

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")


class GopherRules(Config):
    """What a text of running prose looks like; None, or no size of n-gram: the rule is off.

    Source: Rae et al. 2021, section A1.1 and table A1, as datatrove 0.10.1's GopherQualityFilter and
    GopherRepetitionFilter compute them. Choices: words are those of `split_words`, so marks are words too, except where
    it says otherwise; fractions of characters are of all characters of the text.
    """

    min_words: int | None = Field(ge=0)
    max_words: int | None = Field(ge=0)
    """Words that are no marks."""
    min_mean_word_length: float | None = Field(ge=0)
    max_mean_word_length: float | None = Field(ge=0)
    """Characters of a word that is no mark."""
    max_symbols_per_word: float | None = Field(ge=0)
    """Hashes, and apart from them ellipses, for each word."""
    max_bullet_line_fraction: float | None = Field(ge=0, le=1)
    max_ellipsis_line_fraction: float | None = Field(ge=0, le=1)
    """Lines that begin with a bullet or hyphen, and that end with an ellipsis."""
    min_alphabetic_word_fraction: float | None = Field(ge=0, le=1)
    """Words with a letter."""
    min_stop_words: int | None = Field(ge=0, le=len(STOP_WORDS))
    """How many of STOP_WORDS the text must hold."""
    max_duplicate_paragraph_fraction: float | None = Field(ge=0, le=1)
    max_duplicate_paragraph_character_fraction: float | None = Field(ge=0, le=1)
    max_duplicate_line_fraction: float | None = Field(ge=0, le=1)
    max_duplicate_line_character_fraction: float | None = Field(ge=0, le=1)
    """Of lines and paragraphs that stood in the text before."""
    max_top_ngram_fraction: tuple[tuple[int, float], ...]
    """(n, fraction): characters of all places of the most frequent n-gram."""
    max_duplicate_ngram_fraction: tuple[tuple[int, float], ...]
    """(n, fraction): characters of n-grams that stood in the text before, those that overlap counted once."""


GOPHER = GopherRules(
    min_words=50, max_words=100_000, min_mean_word_length=3, max_mean_word_length=10, max_symbols_per_word=0.1,
    max_bullet_line_fraction=0.9, max_ellipsis_line_fraction=0.3, min_alphabetic_word_fraction=0.8, min_stop_words=2,
    max_duplicate_paragraph_fraction=0.3, max_duplicate_paragraph_character_fraction=0.2,
    max_duplicate_line_fraction=0.3, max_duplicate_line_character_fraction=0.2,
    max_top_ngram_fraction=((2, 0.20), (3, 0.18), (4, 0.16)),
    max_duplicate_ngram_fraction=((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)),
)  # fmt: skip
"""Source: Rae et al. 2021, section A1.1 and table A1; the defaults of datatrove's filters."""


def gopher_reasons(texts: Sequence[str], rules: GopherRules) -> list[str]:
    """Why each text does not stay, or "": the first rule that it breaks, repetition before quality."""
    reasons = [_repeated_lines(text, rules) for text in texts]
    words = split_words(texts)
    num_characters = np.maximum([len(text) for text in texts], 1)
    open_ = np.array([not reason for reason in reasons], bool)
    for reason, broken in _repeated_ngrams(words, num_characters, rules, open_):
        _note(reasons, reason, broken, open_)
    for reason, broken in _quality(texts, words, rules):
        _note(reasons, reason, broken, open_)
    return reasons


def _note(reasons: list[str], reason: str, broken: np.ndarray, open_: np.ndarray) -> None:
    """Give a reason to the texts that break a rule and had none before."""
    for text in np.flatnonzero(broken & open_):
        reasons[text] = reason
    open_ &= ~broken


def _over(value: np.ndarray | float, limit: float | None) -> np.ndarray | bool:
    return value > limit if limit is not None else value != value


def _repeated_lines(text: str, rules: GopherRules) -> str:
    kinds = (
        ("paragraph", _paragraphs(text.strip()), rules.max_duplicate_paragraph_fraction,
         rules.max_duplicate_paragraph_character_fraction),
        ("line", _lines(text), rules.max_duplicate_line_fraction, rules.max_duplicate_line_character_fraction),
    )  # fmt: skip
    for name, pieces, max_fraction, max_characters in kinds:
        unique = set(pieces)
        if len(unique) < len(pieces):
            if _over((len(pieces) - len(unique)) / len(pieces), max_fraction):
                return f"duplicate_{name}s"
            repeated = sum(map(len, pieces)) - sum(map(len, unique))
            if _over(repeated / len(text), max_characters):
                return f"duplicate_{name}_characters"
    return ""


def _paragraphs(text: str) -> list[str]:
    """What stands between two and more newlines."""
    return re.split(r"\n{2,}", text) if "\n\n\n" in text else text.split("\n\n")


def _lines(text: str) -> list[str]:
    """What stands between newlines: nothing only before the first and behind the last."""
    pieces = text.split("\n")
    return [pieces[0], *filter(None, pieces[1:-1]), *pieces[1:][-1:]]


def _repeated_ngrams(
    words: Words, num_characters: np.ndarray, rules: GopherRules, open_: np.ndarray
) -> Iterable[tuple[str, np.ndarray]]:
    """Reasons with the texts (bool, D) that they hold for. `open_`: texts that had no reason so far.

    An n-gram can stand twice only where its first n - 1 words do, so that every size leaves fewer places to look at.
    """
    top, duplicate = dict(rules.max_top_ngram_fraction), dict(rules.max_duplicate_ngram_fraction)
    hashes = SpanHashes(words.values)
    before = np.concatenate([[0], np.cumsum(words.lengths, dtype=np.int64)])  # characters of all words before one
    text_of = np.repeat(np.arange(len(words.offsets) - 1), np.diff(words.offsets))
    own = mix(np.arange(len(words.offsets), dtype=np.uint64))  # n-grams of different texts are different
    stops = words.offsets[1:]
    places = np.arange(len(words.values))
    for size in sorted({*top, *duplicate}):
        places = places[places + size <= stops[text_of[places]]]
        places, group, counts, first = _grouped(places, hashes.of(places, places + size) ^ own[text_of[places]])
        if size in top:
            characters = _top_characters(size, words.offsets, before, text_of[first], counts, first)
            yield f"top_{size}_gram", characters / num_characters > top[size]
        if size in duplicate:
            again = places[places != first[group]]
            ends = np.minimum(again + size, np.append(again[1:], len(before)))
            most = np.bincount(text_of[again], before[ends] - before[again], len(num_characters))
            broken = most / num_characters > duplicate[size]
            for text in np.flatnonzero(broken & open_):
                mine = slice(*np.searchsorted(places, words.offsets[text : text + 2]))
                characters = _duplicate_characters(size, places[mine], group[mine], before)
                broken[text] = characters / num_characters[text] > duplicate[size]
            yield f"duplicate_{size}_grams", broken


def _grouped(places: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The places whose key stands more than once, in order; the group of each; each group's size and first place."""
    order = _ordered(keys)
    new = np.append(True, keys[order[1:]] != keys[order[:-1]])[: len(order)]
    counts = np.diff(np.append(np.flatnonzero(new), len(order)))
    group = np.full(len(keys), -1)
    group[order] = np.repeat(np.where(counts > 1, np.cumsum(counts > 1) - 1, -1), counts)
    many = group >= 0
    return places[many], group[many], counts[counts > 1], places[order[np.flatnonzero(new)[counts > 1]]]


def _ordered(keys: np.ndarray) -> np.ndarray:
    """The order of the keys, equal ones by place: sorted as numbers that hold the place in their low bits, which is
    several times faster than `argsort`."""
    mask = np.uint64((1 << len(keys).bit_length()) - 1)
    packed = (keys & ~mask) | np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    order = (packed & mask).astype(np.int64)
    ordered = keys[order]
    if (((ordered[1:] ^ ordered[:-1]) & mask > 0) & ((ordered[1:] ^ ordered[:-1]) <= mask)).any():
        return np.argsort(keys, kind="stable")  # two keys that differ in their low bits alone
    return order


def _top_characters(
    size: int, offsets: np.ndarray, before: np.ndarray, text_of: np.ndarray, counts: np.ndarray, first: np.ndarray
) -> np.ndarray:
    """int64 (D,): characters of the most frequent n-gram with its blanks, times its frequency; of equal ones the first.

    text_of, counts, first: of each n-gram that stands more than once.
    """
    num_texts = len(offsets) - 1
    best = np.full(num_texts, -1, np.int64)
    np.maximum.at(best, text_of, (counts << 40) - first)
    count = np.where(best < 0, 1, -(-best >> 40))
    start = np.where(best < 0, offsets[:-1], (count << 40) - best)
    there = offsets[:-1] + size <= offsets[1:]
    start = np.where(there, start, 0)
    stop = np.where(there, start + size, 0)
    return np.where(there, (before[stop] - before[start] + size - 1) * count, 0)


def _duplicate_characters(size: int, places: np.ndarray, group: np.ndarray, before: np.ndarray) -> int:
    """Characters of the n-grams of one text that stood before, read from left to right; each read only once."""
    seen: set[int] = set()
    total = at = 0
    for place, name in zip(places.tolist(), group.tolist(), strict=True):
        if place >= at:
            if name in seen:
                total += int(before[place + size] - before[place])
                at = place + size
            else:
                seen.add(name)
    return total


def _quality(texts: Sequence[str], words: Words, rules: GopherRules) -> Iterable[tuple[str, np.ndarray]]:
    """Reasons with the texts (bool, D) that they hold for."""
    num_words = np.maximum(np.diff(words.offsets), 1)
    real = _sums(~words.is_mark, words.offsets)
    mean_length = _sums(np.where(words.is_mark, 0, words.lengths), words.offsets) / np.maximum(real, 1)
    if rules.min_words is not None:
        yield "few_words", real < rules.min_words
    yield "many_words", _over(real, rules.max_words)
    if rules.min_mean_word_length is not None:
        yield "short_words", mean_length < rules.min_mean_word_length
    yield "long_words", _over(mean_length, rules.max_mean_word_length)
    hashes = np.array([text.count("#") for text in texts])
    ellipses = np.array([text.count("...") + text.count("…") for text in texts])
    yield "hashes", _over(hashes / num_words, rules.max_symbols_per_word)
    yield "ellipses", _over(ellipses / num_words, rules.max_symbols_per_word)
    yield "bullet_lines", _marked_lines(texts, ("•", "-"), str.lstrip, str.startswith, rules.max_bullet_line_fraction)
    yield (
        "ellipsis_lines",
        _marked_lines(texts, ("...", "…"), str.rstrip, str.endswith, rules.max_ellipsis_line_fraction),
    )
    if rules.min_alphabetic_word_fraction is not None:
        lettered = _sums(words.has_letter, words.offsets) / num_words
        yield "unalphabetic_words", lettered < rules.min_alphabetic_word_fraction
    if rules.min_stop_words is not None:
        present = [_sums(words.values == word_hash(word), words.offsets) > 0 for word in STOP_WORDS]
        yield "stop_words", np.sum(present, axis=0) < rules.min_stop_words


def _sums(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The sum over the words of each text."""
    before = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    return before[offsets[1:]] - before[offsets[:-1]]


def _marked_lines(
    texts: Sequence[str], marks: tuple[str, ...], strip: Callable[[str], str], test: Callable[..., bool],
    limit: float | None,
) -> np.ndarray:  # fmt: skip
    """bool (D,): whether too many lines begin, or end, with one of the marks; lines are not cut where marks are few."""
    found = np.zeros(len(texts), bool)
    for number, text in enumerate(texts if limit is not None else ()):
        num_marks = sum(map(text.count, marks))
        if num_marks and num_marks >= limit * text.count("\n"):
            lines = text.splitlines()
            found[number] = sum(test(strip(line), marks) for line in lines) / len(lines) > limit
    return found
