"""Places of a document that mean what a benchmark's item means, by vectors of their words.

Where words of an item were exchanged or its clauses moved no run of words is shared; the mean of the words' vectors
stays near. An item is compared with every window of about its length in the places that hold enough of its words.
Source: UltraMedical, appendix D.4 (dense vectors, the nearest, lengths compared).
Choices: vectors of words, since windows of all lengths then cost one sum; what is near is only a candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from medray.text.answers import normalise_words
from medray.text.shared_words import Place

Embed = Callable[[Sequence[str]], np.ndarray]
"""Words (n) -> float32 (n, D)."""

_SHORTEST = 8


class Near(NamedTuple):
    """An item (its number) that means what the words [start, stop) of a document mean."""

    item: int
    start: int
    stop: int


class DenseItems(NamedTuple):
    """Items by row: their numbers, the words (L) of the windows they are compared with, and unit vectors (float32)."""

    numbers: np.ndarray
    lengths: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, texts: Mapping[int, str], embed: Embed) -> DenseItems:
        """The vectors of items given as number -> text. Windows have 8, 11, 16, 23, ... words, about as an item has."""
        words = [normalise_words(text) for text in texts.values()]
        steps = np.round(2 * np.log2(np.maximum([len(some) for some in words], _SHORTEST) / _SHORTEST))
        lengths = np.round(_SHORTEST * 2 ** (steps / 2)).astype(np.int64)
        vectors = [_unit(embed(some).sum(0, keepdims=True))[0] for some in words]
        return cls(np.array(list(texts), np.int64), lengths, np.array(vectors, np.float32))

    def near(self, text: str, places: Iterable[Place], embed: Embed, min_cosine: float) -> Iterator[Near]:
        """For each item the nearest window, in the places of the text, of at least this cosine.

        Windows overlap by three quarters.
        """
        words = normalise_words(text)
        found: dict[int, tuple[float, int, int]] = {}
        for _, row, chunk in places:
            length = int(self.lengths[row])
            size = min(length, len(words))
            if 2 * size < length:
                continue
            starts, low = _starts(len(words), length, size, chunk), 2 * length * chunk
            if not len(starts):
                continue
            vectors = embed(words[low : low + 4 * length])
            sums = np.cumsum(np.vstack([np.zeros((1, vectors.shape[1])), vectors]), axis=0, dtype=np.float64)
            starts -= low
            cosines = _unit((sums[starts + size] - sums[starts]).astype(np.float32)) @ self.vectors[row]
            best = int(cosines.argmax())
            if cosines[best] >= min_cosine:
                here = float(cosines[best]), -int(starts[best]) - low, size
                found[row] = max(here, found.get(row, here))
        for row, (_, start, size) in sorted(found.items()):
            yield Near(int(self.numbers[row]), -start, -start + size)


def _starts(num_words: int, length: int, size: int, chunk: int) -> np.ndarray:
    """Where the windows begin of which the reach, half a window before them, begins in the first half of a chunk."""
    low, high = 2 * length * chunk, 2 * length * (chunk + 1)
    reach, step, last = size // 2, length // 4, num_words - size
    first = 0 if not chunk else -(-(low + reach) // step) * step
    starts = np.arange(first, min(high + reach, last), step)
    return np.append(starts, last) if low <= max(last - reach, 0) < high else starts


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
