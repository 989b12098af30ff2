"""Places of documents that hold enough of an item's words, in whatever order, for a window there to count.

A prefix filter, as in joins of similar sets: of each item only the rarest words are looked up, so many that the rest
cannot make up for them. Nothing that could count is missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from medray.text.ngrams import Hashes
from medray.text.postings import Postings

_MAX_WORDS = 1 << 17
"""Words of documents that are looked up at a time: about 10 postings of 50 bytes each."""


class Place(NamedTuple):
    """Part `chunk` of a document and an item (its row): with windows of L words it spans [2 L chunk, 2 L (chunk + 2)).

    Whatever stands within half a window of a window lies in one chunk.
    """

    text: int
    row: int
    chunk: int


class SharedWords(NamedTuple):
    """Of the items, by row, the words that tell them from others."""

    postings: Postings
    """The rows of the items that have a word; its `places` are those of `parts`."""
    parts: np.ndarray
    """float64, of each word of an item: its part of the item's weight."""
    least: np.ndarray
    """float64, of each item: the part of its weight that must be found by these words."""
    lengths: np.ndarray
    """int64, of each item: words of the windows that it is compared with."""

    @classmethod
    def of(
        cls, words: Hashes, weights: np.ndarray, items: Sequence[int], lengths: np.ndarray, min_fraction: float
    ) -> SharedWords:
        """weights: of each word of `words`; min_fraction: of an item's weight that a place must hold."""
        found: list[tuple[np.ndarray, np.ndarray]] = []
        least = np.zeros(len(items))
        for row, item in enumerate(items):
            span = slice(*words.offsets[item : item + 2])
            own, inverse = np.unique(words.values[span], return_inverse=True)
            rarity, parts = np.zeros(len(own)), np.bincount(inverse, weights[span]) / weights[span].sum()
            rarity[inverse] = weights[span]
            order = np.argsort(-rarity, kind="stable")
            # left out are the commonest words of a quarter of what is needed
            enough = int(np.searchsorted(np.cumsum(parts[order]), 1 - min_fraction / 4)) + 1
            kept = order[:enough]
            found.append((own[kept], parts[kept]))
            least[row] = min_fraction - (1 - parts[kept].sum()) - 1e-6
        own = np.concatenate([np.zeros(0, np.uint64), *(some for some, _ in found)])
        parts = np.concatenate([np.zeros(0), *(some for _, some in found)])
        rows = np.repeat(np.arange(len(found)), [len(some) for some, _ in found])
        return cls(Postings.of(own, rows, np.arange(len(own))), parts, least, np.asarray(lengths, np.int64))

    def find(self, words: Hashes) -> Iterator[Place]:
        """The places of texts that hold enough of an item, by text. words: those of the texts."""
        num_texts, start = len(words.offsets) - 1, 0
        while start < num_texts:
            stop = int(np.searchsorted(words.offsets, words.offsets[start] + _MAX_WORDS, "right")) - 1
            stop = min(max(stop, start + 1), num_texts)
            yield from self._find(words, start, stop)
            start = stop

    def _find(self, words: Hashes, start: int, stop: int) -> Iterator[Place]:
        first = words.offsets[start]
        positions, postings = self.postings.find(words.values[first : words.offsets[stop]])
        if not len(positions):
            return
        texts = np.searchsorted(words.offsets, positions + first, "right") - 1
        within = positions + first - words.offsets[texts]
        chunks = within // (2 * self.lengths[self.postings.items[postings]])
        num_chunks, num_postings, num_rows = int(chunks.max()) + 1, len(self.parts), len(self.least)
        # a word counts once in a chunk, and lies in two of them, but for those at the start
        keys = (texts * num_postings + postings) * num_chunks + chunks
        keys = np.unique(np.concatenate([keys, keys[chunks > 0] - 1]))
        chunks, postings, texts = (
            keys % num_chunks,
            keys // num_chunks % num_postings,
            keys // num_chunks // num_postings,
        )
        rows, parts = self.postings.items[postings], self.parts[self.postings.places[postings]]
        places, inverse = np.unique((texts * num_rows + rows) * num_chunks + chunks, return_inverse=True)
        rows = places // num_chunks % num_rows
        enough = np.bincount(inverse, parts) >= self.least[rows]
        columns = places // num_chunks // num_rows, rows, places % num_chunks
        yield from (Place(*place) for place in np.column_stack(columns)[enough].tolist())
