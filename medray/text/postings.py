"""Where runs of words stand in items, looked up by the hashes of the runs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from medray.text.ngrams import Hashes, hash_ngrams

_MAX_HOLDERS = 256
"""A run that more items share is a template's: each place of it would cost that many alignments, all in vain. What
tells an item from the others stands in its rarest runs, which it always keeps."""


class Postings(NamedTuple):
    """Runs of one length in the items: sorted hashes (uint64), the item (int32) and its word (int32) of each.

    Almost every run of a document is in no item: a bit of `present` (8 to 16 for each run, by the leading bits of its
    hash) says so ten times faster than a search in the hashes.
    """

    hashes: np.ndarray
    items: np.ndarray
    places: np.ndarray
    present: np.ndarray

    @classmethod
    def of(cls, hashes: np.ndarray, items: np.ndarray, places: np.ndarray) -> Postings:
        """Postings of runs in any order."""
        order = np.argsort(hashes, kind="stable")
        bits = np.zeros(8 << len(hashes).bit_length(), bool)
        bits[_leading(hashes, bits.size)] = True
        packed = np.packbits(bits, bitorder="little")
        return cls(hashes[order], items[order].astype(np.int32), places[order].astype(np.int32), packed)

    @classmethod
    def of_items(cls, words: Hashes, items: np.ndarray, length: int) -> Postings:
        """Runs of `length` words of the given items, each of which has that many."""
        ngrams = hash_ngrams(words, length)
        counts = np.diff(ngrams.offsets)[items]
        places = ranges(np.zeros_like(counts), counts)
        hashes = ngrams.values[ranges(ngrams.offsets[items], counts)]
        _, which, holders = np.unique(hashes, return_inverse=True, return_counts=True)
        rarest = np.minimum.reduceat(holders[which], np.cumsum(counts) - counts)
        kept = holders[which] <= np.repeat(np.maximum(rarest, _MAX_HOLDERS), counts)
        return cls.of(hashes[kept], np.repeat(items, counts)[kept], places[kept])

    def find(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Every (position in `hashes`, row of the postings) of equal hashes, in order."""
        bits = _leading(hashes, 8 * self.present.size)
        found = np.flatnonzero(self.present[bits >> np.uint64(3)] >> (bits & np.uint64(7)).astype(np.uint8) & 1)
        low = np.searchsorted(self.hashes, hashes[found])
        counts = np.searchsorted(self.hashes, hashes[found], "right") - low
        return np.repeat(found, counts), ranges(low, counts)


def _leading(hashes: np.ndarray, size: int) -> np.ndarray:
    """The leading bits of hashes as a number below `size`, a power of two."""
    return hashes >> np.uint64(65 - size.bit_length())


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """start, start + 1, ... of every range, end to end."""
    return np.arange(counts.sum()) + np.repeat(starts - np.cumsum(counts) + counts, counts)
