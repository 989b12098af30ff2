"""Words and word n-grams of many texts as 64-bit hashes, at numpy's speed.

Words are those of `answers.normalise_words`: case, punctuation, blanks and compatibility forms do not count. A hash
depends on the words alone, so it is the same in every batch, process and machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from medray.text.answers import fold

_BASE = 0x9E3779B97F4A7C15  # 5 modulo 8: its powers repeat only after 2^62
_CHUNK_CHARACTERS = 1 << 18  # the arrays of a chunk stay in the cache


class Hashes(NamedTuple):
    """uint64 values of texts end to end: those of text d are values[offsets[d] : offsets[d + 1]]; offsets are int64."""

    values: np.ndarray
    offsets: np.ndarray

    def of(self, text: int) -> np.ndarray:
        """The values of one text."""
        return self.values[self.offsets[text] : self.offsets[text + 1]]


def hash_words(texts: Sequence[str]) -> Hashes:
    """The hash of every word of every text, in order. Memory: about 50 bytes per character of the longest text."""
    parts = [_hash_chunk(chunk) for chunk in _chunks(texts)]
    counts = np.concatenate([np.zeros(1, np.int64), *(counts for _, counts in parts)])
    return Hashes(np.concatenate([np.zeros(0, np.uint64), *(values for values, _ in parts)]), np.cumsum(counts))


def hash_ngrams(words: Hashes, size: int) -> Hashes:
    """The hash of every run of `size` words inside a text, the last one included; a shorter text is one run itself."""
    lengths = np.diff(words.offsets)
    counts = np.where(lengths > 0, np.maximum(lengths - size + 1, 1), 0)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    starts = np.arange(offsets[-1]) + np.repeat(words.offsets[:-1] - offsets[:-1], counts)
    stops = np.minimum(starts + size, np.repeat(words.offsets[1:], counts))
    return Hashes(hash_spans(words.values, starts, stops), offsets)


def hash_spans(values: np.ndarray, starts: np.ndarray | slice, stops: np.ndarray | slice) -> np.ndarray:
    """The hash (uint64) of values[start:stop] for every span: the polynomial in a fixed base, modulo 2^64.

    Spans are indices, or slices of equally many places from 0 to len(values). Every span costs the same, whatever its
    length: differences of prefix sums, divided by the power they begin at.
    """
    return SpanHashes(values).of(starts, stops)


class SpanHashes:
    """`hash_spans` of many sets of spans of the same values."""

    def __init__(self, values: np.ndarray) -> None:
        powers, self._inverses = _powers(1 << len(values).bit_length())
        self._prefix = np.zeros(len(values) + 1, np.uint64)
        np.cumsum(values * powers[: len(values)], out=self._prefix[1:])

    def of(self, starts: np.ndarray | slice, stops: np.ndarray | slice) -> np.ndarray:
        """The hash (uint64) of every span."""
        return (self._prefix[stops] - self._prefix[starts]) * self._inverses[starts]


def mix(values: np.ndarray) -> np.ndarray:
    """A bijection of uint64 after which every bit depends on every bit. Source: splitmix64 (Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """Size of the intersection over size of the union of two arrays as sets; 0 for two empty ones."""
    first, second = np.unique(first), np.unique(second)
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / max(len(first) + len(second) - shared, 1)


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    """Folded texts in lists of about _CHUNK_CHARACTERS."""
    chunk: list[str] = []
    size = 0
    for text in texts:
        chunk.append(fold(text))
        size += len(chunk[-1])
        if size >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    yield chunk


def _hash_chunk(folded: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the words of folded texts end to end, and the number of words of each text."""
    characters = np.frombuffer("\n".join([*folded, ""]).encode("utf-32-le", "surrogatepass"), "<u4")
    edges = np.flatnonzero(np.diff(_word_characters()[characters], prepend=False, append=False))
    starts, stops = edges[::2], edges[1::2]
    text_stops = np.cumsum([0, *(len(text) + 1 for text in folded)])
    return mix(hash_spans(characters, starts, stops)), np.diff(np.searchsorted(starts, text_stops))


@lru_cache(maxsize=1)
def _word_characters() -> np.ndarray:
    """Whether each code point is part of a word (bool, 1.1 MB)."""
    return np.strings.isalnum(np.arange(0x110000, dtype="<u4").view("<U1"))


def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first powers of the base and of its inverse modulo 2^64; kept for the next call unless they are many."""
    return _kept_powers(count) if count <= _CHUNK_CHARACTERS << 3 else _made_powers(count)


def _made_powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    steps = np.full((2, count), [[_BASE], [pow(_BASE, -1, 1 << 64)]], np.uint64)
    steps[:, 0] = 1
    return tuple(np.cumprod(steps, axis=1, dtype=np.uint64))


_kept_powers = lru_cache(maxsize=32)(_made_powers)
