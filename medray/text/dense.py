"""Places of a document that mean what a benchmark's item means, by vectors of their words.

Where words of an item were exchanged or its clauses moved no run of words is shared; the mean of the words' vectors
stays near. Every window of a document is compared with every item of about its length: exact search, no index.
Source: UltraMedical, appendix D.4 (dense vectors, the nearest, lengths compared).
Choices: vectors of words, since windows of all lengths then cost one sum; what is near is only a candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from medray.text.answers import normalise_words

Embed = Callable[[Sequence[str]], np.ndarray]
"""Words (n) -> float32 (n, D)."""

_SHORTEST = 8
_MAX_WINDOWS = 4096
"""Windows compared at a time: with 10,000 items 160 MB of cosines."""


class Near(NamedTuple):
    """An item (its number) that means what the words [start, stop) of a document mean."""

    item: int
    start: int
    stop: int


class DenseItems(NamedTuple):
    """Items by the length of the windows that they are compared with: their numbers (G) and unit vectors (G, D)."""

    groups: dict[int, tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, texts: Mapping[int, str], embed: Embed) -> DenseItems:
        """The vectors of items given as number -> text. Windows have 8, 11, 16, 23, ... words, about as an item has."""
        words = [normalise_words(text) for text in texts.values()]
        numbers = np.array(list(texts), int)
        steps = np.round(2 * np.log2(np.maximum([len(some) for some in words], _SHORTEST) / _SHORTEST))
        groups = {}
        for step in np.unique(steps).tolist():
            mine = np.flatnonzero(steps == step)
            vectors = np.stack([embed(words[item]).sum(0) for item in mine])
            groups[round(_SHORTEST * 2 ** (step / 2))] = numbers[mine], _unit(vectors)
        return cls(groups)

    def near(self, text: str, embed: Embed, min_cosine: float) -> Iterator[Near]:
        """For each item the nearest window of at least this cosine. Windows overlap by three quarters."""
        words = normalise_words(text)
        if not (words and self.groups):
            return
        sums = np.cumsum(np.vstack([np.zeros((1, self._size), np.float64), embed(words)]), axis=0)
        for length, (items, vectors) in self.groups.items():
            size = min(length, len(words))
            if 2 * size < length:
                continue
            starts = np.append(np.arange(0, len(words) - size, length // 4), len(words) - size)
            found: dict[int, tuple[float, int]] = {}
            for first in range(0, len(starts), _MAX_WINDOWS):
                some = starts[first : first + _MAX_WINDOWS]
                cosines = _unit((sums[some + size] - sums[some]).astype(np.float32)) @ vectors.T
                nearest = cosines.max(0)  # faster along this axis than argmax, which few items need
                for place in np.flatnonzero(nearest >= min_cosine).tolist():
                    here = float(nearest[place]), -int(some[cosines[:, place].argmax()])
                    found[place] = max(here, found.get(place, here))
            for place, (_, start) in sorted(found.items()):
                yield Near(int(items[place]), -start, -start + size)

    @property
    def _size(self) -> int:
        return next(iter(self.groups.values()))[1].shape[1]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
