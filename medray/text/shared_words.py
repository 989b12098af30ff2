"""Places of documents that hold enough of an item's words, in whatever order, for a window there to count.

A prefix filter, as in joins of similar sets: of each item only the rarest words are looked up, so many that the rest
cannot make up for them; what is left is held against all its words. Nothing that could count is missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from medray.text.ngrams import Hashes
from medray.text.postings import Postings

_MAX_WORDS = 1 << 15
"""Words of documents that are looked up at a time, so that their keys stay in the cache."""
_LOOKED_UP = 0.5
"""Rarest words are looked up until the others hold less than 1 - this of what is needed. More words: more to look up;
fewer: more places to hold against all words."""


class Place(NamedTuple):
    """Part `chunk` of a document and an item (its row): with windows of L words it spans [2 L chunk, 2 L (chunk + 2)).

    Whatever stands within half a window of a window lies in one chunk.
    """

    text: int
    row: int
    chunk: int


class SharedWords(NamedTuple):
    """Items by row, and the words that tell them from others."""

    items: Sequence[int]
    """Which of `words` each row is."""
    words: Hashes
    weights: np.ndarray
    """Of each word of `words`."""
    lengths: np.ndarray
    """int64, of each row: words of the windows that it is compared with."""
    min_fraction: float
    """Of an item's words, and of their weight, that must stand in a place."""
    postings: Postings
    """The rows that have a word; its `places` are those of `parts`."""
    parts: np.ndarray
    """float64, of each word that is looked up for an item: its part of the item's weight."""
    least: np.ndarray
    """float64, of each row: the part of its weight that must be found by these words."""

    @classmethod
    def of(
        cls, words: Hashes, weights: np.ndarray, items: Sequence[int], lengths: np.ndarray, min_fraction: float
    ) -> SharedWords:
        """The items (numbers) of `words`, which are compared with windows of these lengths."""
        found: list[tuple[np.ndarray, np.ndarray]] = []
        least = np.zeros(len(items))
        for row, item in enumerate(items):
            mine = weights[slice(*words.offsets[item : item + 2])]
            own, first, inverse = np.unique(words.of(item), return_index=True, return_inverse=True)
            parts = np.bincount(inverse, mine) / mine.sum()
            order = np.argsort(-mine[first], kind="stable")
            enough = int(np.searchsorted(np.cumsum(parts[order]), 1 - min_fraction * (1 - _LOOKED_UP))) + 1
            kept = order[:enough]
            found.append((own[kept], parts[kept]))
            least[row] = min_fraction - (1 - parts[kept].sum()) - 1e-6
        hashes = np.concatenate([np.zeros(0, np.uint64), *(some for some, _ in found)])
        rows = np.repeat(np.arange(len(found)), [len(some) for some, _ in found])
        postings = Postings.of(hashes, rows, np.arange(len(hashes)))
        parts = np.concatenate([np.zeros(0), *(some for _, some in found)])
        return cls(items, words, weights, np.asarray(lengths, np.int64), min_fraction, postings, parts, least)

    def find(self, words: Hashes) -> Iterator[Place]:
        """The places of texts that hold enough of an item, by text. words: those of the texts."""
        num_texts, start = len(words.offsets) - 1, 0
        while start < num_texts:
            stop = int(np.searchsorted(words.offsets, words.offsets[start] + _MAX_WORDS, "right")) - 1
            stop = min(max(stop, start + 1), num_texts)
            yield from (place for place in self._looked_up(words, start, stop) if self._holds_enough(place, words))
            start = stop

    def _looked_up(self, words: Hashes, start: int, stop: int) -> Iterator[Place]:
        """The places of texts [start, stop) that hold enough of the words that are looked up."""
        first = words.offsets[start]
        positions, found = self.postings.find(words.values[first : words.offsets[stop]])
        if not len(positions):
            return
        texts = np.searchsorted(words.offsets, positions + first, "right") - 1
        rows, parts = self.postings.items[found], self.postings.places[found]
        chunks = (positions + first - words.offsets[texts]) // (2 * self.lengths[rows])
        num_chunks, num_parts, num_rows = int(chunks.max()) + 1, len(self.parts), len(self.least)
        assert (stop - start) * num_rows * num_chunks * num_parts < 1 << 63, "places no longer fit 64 bits: fewer words"
        keys = (((texts - start) * num_rows + rows) * num_chunks + chunks) * num_parts + parts
        # a word lies in two chunks, but for those at the start, and counts once in each
        keys = np.concatenate([keys, keys[chunks > 0] - num_parts])
        keys.sort()  # np.unique is ten times as slow
        keys = keys[np.append(True, keys[1:] != keys[:-1])]
        places = keys // num_parts
        starts = np.flatnonzero(np.append(True, places[1:] != places[:-1]))
        sums, places = np.add.reduceat(self.parts[keys - places * num_parts], starts), places[starts]
        rows = places // num_chunks % num_rows
        columns = np.column_stack([places // num_chunks // num_rows + start, rows, places % num_chunks])
        yield from (Place(*place) for place in columns[sums >= self.least[rows]].tolist())

    def _holds_enough(self, place: Place, words: Hashes) -> bool:
        """Whether enough of all words of the item stand in the place."""
        item, length = self.items[place.row], 2 * int(self.lengths[place.row])
        there = set(words.of(place.text)[length * place.chunk : length * (place.chunk + 2)].tolist())
        own = self.words.of(item).tolist()
        is_there = np.fromiter(map(there.__contains__, own), bool, len(own))
        if is_there.sum() < self.min_fraction * len(own):
            return False
        weights = self.weights[slice(*self.words.offsets[item : item + 2])]
        return bool(weights[is_there].sum() >= (self.min_fraction - 1e-6) * weights.sum())
