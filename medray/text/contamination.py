"""Benchmark items inside documents: shared n-grams first, then an alignment of the candidates.

Case, punctuation, blanks, compatibility forms and the order of options do not count. The index is arrays only: it is
built once, pickled to every worker, and asked about batches of documents. Candidates by embeddings (UltraMedical,
appendix D.4) are not part of it: they would be further (document, item) candidates for the same alignment.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field, model_validator
from rapidfuzz.distance import LCSseq

from medray.core.config import Config, UserError
from medray.text.answers import normalise_words
from medray.text.ngrams import Hashes, hash_ngrams, hash_spans, hash_words

_MAX_HOLDERS = 256
"""A run that more items share is a template's: each place of it would cost that many alignments, all in vain. What
tells an item from the others stands in its rarest runs, which it always keeps."""


class ContaminationRules(Config):
    """When a document holds a benchmark item."""

    ngram: int = Field(ge=2)
    """Words that must be shared in a row; items with fewer words must stand in a document whole. GPT-3 (Brown et al.
    2020, appendix C) takes 13, MedMCQA-like short questions call for less."""
    min_alone_words: int = Field(ge=1)
    """Items with fewer words are phrases that anybody writes: they count only with all their options nearby, and are
    left unchecked (and counted so) when they have none."""
    min_aligned_fraction: float = Field(gt=0, le=1)
    """Least part of an item's weight that must stand in the document in the item's order."""

    @model_validator(mode="after")
    def _alone_is_short(self) -> ContaminationRules:
        if self.min_alone_words > self.ngram:
            raise ValueError(f"min_alone_words {self.min_alone_words} is over ngram {self.ngram}: lower it")
        return self


class Item(NamedTuple):
    """A question of a benchmark: its text without options, and the options."""

    benchmark: str
    id: str
    text: str
    options: tuple[str, ...] = ()


class Match(NamedTuple):
    """A document that holds an item: `text` is what was found, as normalised words of the document."""

    benchmark: str
    item: str
    document: str
    aligned_fraction: float
    text: str


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

    def find(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Every (position in `hashes`, row of the postings) of equal hashes, in order."""
        bits = _leading(hashes, 8 * self.present.size)
        found = np.flatnonzero(self.present[bits >> np.uint64(3)] >> (bits & np.uint64(7)).astype(np.uint8) & 1)
        low = np.searchsorted(self.hashes, hashes[found])
        counts = np.searchsorted(self.hashes, hashes[found], "right") - low
        return np.repeat(found, counts), _ranges(low, counts)


class _Candidate(NamedTuple):
    text: int
    item: int
    start: int  # the words of the text, stop exclusive, in which the item may stand
    stop: int


@dataclass(frozen=True, eq=False)
class ContaminationIndex:
    """Items of all benchmarks by the hashes of their words. About 30 bytes a word."""

    rules: ContaminationRules
    names: list[tuple[str, str]]
    """Benchmark and id of each item."""
    words: Hashes
    weights: np.ndarray
    """float32, of each word of `words`: one over the number of items that hold it. The words that tell an item from the
    others decide, so that a sentence which many items share is not taken for any of them."""
    options: Hashes
    """Words of the options, of all items."""
    first_option: np.ndarray
    """The options of item i are the texts first_option[i] to first_option[i + 1] of `options`."""
    postings: dict[int, Postings]

    @classmethod
    def build(cls, items: Iterable[Item], rules: ContaminationRules) -> ContaminationIndex:
        """The index of the items.

        Raises UserError for two items of one name, and for a benchmark of which not a single item can be checked.
        """
        items = list(items)
        words = hash_words([item.text for item in items])
        options = hash_words([option for item in items for option in item.options])
        first_option = np.cumsum([0, *(len(item.options) for item in items)])
        names = [(item.benchmark, item.id) for item in items]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise UserError(
                f"decontaminate: {len(twice)} names stand for several items ({'/'.join(twice[0])}), expected one each: "
                f"name another id_field, or none to number the rows"
            )
        index = cls(rules, names, words, _weights(words), options, first_option, {})
        checked = {benchmark for (benchmark, _), is_checked in zip(names, index.is_checked, strict=True) if is_checked}
        if blind := sorted({benchmark for benchmark, _ in names} - checked):
            raise UserError(
                f"decontaminate: no item of {', '.join(blind)} has {rules.min_alone_words} words, or options, so none "
                f"could be found: correct the fields, or lower min_alone_words"
            )
        lengths = np.where(index.is_checked, np.minimum(np.diff(words.offsets), rules.ngram), 0)
        for length in np.unique(lengths[lengths > 0]).tolist():
            index.postings[length] = _postings(words, np.flatnonzero(lengths == length), length)
        return index

    @cached_property
    def is_checked(self) -> np.ndarray:
        """bool, of each item: whether it can be found at all."""
        num_words = np.diff(self.words.offsets)
        num_option_words = np.diff(self.options.offsets[self.first_option])
        return (num_words >= self.rules.min_alone_words) | ((num_words > 0) & (num_option_words > 0))

    def find(self, ids: Sequence[str], texts: Sequence[str]) -> list[Match]:
        """Every item that stands in one of the documents, by document and item; an item once per document."""
        words = hash_words(texts)
        best: dict[tuple[int, int], tuple[float, int, int]] = {}
        for text, item, start, stop in self._candidates(words):
            document = words.of(text)
            found = self._aligned(item, document, start, stop)
            if found[0] >= self.rules.min_aligned_fraction and self._has_options(item, document, start, stop):
                best[text, item] = max(found, best.get((text, item), found))
        documents = {text: normalise_words(texts[text]) for text in {text for text, _ in best}}
        return [
            Match(*self.names[item], ids[text], round(fraction, 4), " ".join(documents[text][first:last]))
            for (text, item), (fraction, first, last) in sorted(best.items())
        ]

    def _candidates(self, words: Hashes) -> Iterator[_Candidate]:
        """Where items may stand: shared runs at about one distance between item and document are one candidate."""
        for length, postings in self.postings.items():
            num_runs = max(len(words.values) - length + 1, 0)
            runs = hash_spans(words.values, slice(num_runs), slice(length, length + num_runs))
            hits, rows = postings.find(runs)
            texts = np.searchsorted(words.offsets, hits, "right") - 1
            inside = hits + length <= words.offsets[texts + 1]
            hits, rows, texts = hits[inside], rows[inside], texts[inside]
            items = postings.items[rows]
            shifts = hits - words.offsets[texts] - postings.places[rows]
            # words put in or left out move the rest of an item; a short item stands whole
            slack = np.diff(self.words.offsets)[items] // 4 if length == self.rules.ngram else np.zeros_like(items)
            order = np.lexsort((shifts, items, texts))
            texts, items, shifts, slack = texts[order], items[order], shifts[order], slack[order]
            fresh = (np.diff(texts) != 0) | (np.diff(items) != 0) | (np.diff(shifts) > slack[1:])
            firsts = np.flatnonzero(np.append(True, fresh)[: len(order)])
            lasts = np.append(firsts, len(order))[1:] - 1
            stops = shifts[lasts] + slack[lasts] + np.diff(self.words.offsets)[items[lasts]]
            starts = np.maximum(shifts[firsts] - slack[firsts], 0)
            rows = np.column_stack([texts[firsts], items[firsts], starts, stops])
            yield from (_Candidate(*row) for row in rows.tolist())

    def _aligned(self, item: int, document: np.ndarray, start: int, stop: int) -> tuple[float, int, int]:
        """The part of an item's weight in its longest common subsequence with document[start:stop], and where it lies.

        Source: Hyyrö 2004, bit-parallel, as in rapidfuzz.
        """
        editops = LCSseq.editops(self.words.of(item).tolist(), document[start:stop].tolist())
        blocks = [block for block in editops.as_matching_blocks() if block.size]  # the last one is always empty
        weights = self.weights[slice(*self.words.offsets[item : item + 2])]
        aligned = sum(weights[block.a : block.a + block.size].sum() for block in blocks)
        return float(aligned / weights.sum()), start + blocks[0].b, start + blocks[-1].b + blocks[-1].size

    def _has_options(self, item: int, document: np.ndarray, start: int, stop: int) -> bool:
        """Whether a text too short to count alone has all its options, in any order, within twice their words of it."""
        if np.diff(self.words.offsets[item : item + 2]) >= self.rules.min_alone_words:
            return True
        options = [self.options.of(i) for i in range(self.first_option[item], self.first_option[item + 1])]
        reach = 2 * sum(len(option) + 1 for option in options)  # with a letter before each
        window = document[max(start - reach, 0) : stop + reach]
        return all(_contains(window, option) for option in options)


def certificates(index: ContaminationIndex, matches: Iterable[Match]) -> list[dict[str, Any]]:
    """What was found of each benchmark, in order of name, JSON-ready: the same for any sharding of the documents.

    Of every benchmark: items (checked + unchecked: too short to be told from a common phrase), items found in at least
    one document, documents to drop, and the matches.
    """
    by_benchmark: dict[str, list[Match]] = defaultdict(list)
    for match in sorted(set(matches)):
        by_benchmark[match.benchmark].append(match)
    benchmarks = np.array([benchmark for benchmark, _ in index.names])
    found = []
    for benchmark in sorted(set(benchmarks.tolist())):
        mine, checked = by_benchmark[benchmark], index.is_checked[benchmarks == benchmark]
        found.append(
            {
                "benchmark": benchmark,
                "items_checked": int(checked.sum()),
                "items_unchecked": int((~checked).sum()),
                "items_found": len({match.item for match in mine}),
                "documents_dropped": len({match.document for match in mine}),
                "matches": [match._asdict() for match in mine],
            }
        )
    return found


def _weights(words: Hashes) -> np.ndarray:
    """One over the number of items that hold each word."""
    num_items = len(words.offsets) - 1
    items = np.repeat(np.arange(num_items), np.diff(words.offsets))
    _, vocabulary = np.unique(words.values, return_inverse=True)
    held = np.sort(vocabulary * num_items + items)
    num_holders = np.bincount(held[np.append(True, np.diff(held) != 0)[: len(held)]] // num_items)
    return (1 / num_holders[vocabulary]).astype(np.float32)


def _postings(words: Hashes, items: np.ndarray, length: int) -> Postings:
    """Runs of `length` words of the given items, each of which has that many."""
    ngrams = hash_ngrams(words, length)
    counts = np.diff(ngrams.offsets)[items]
    places = _ranges(np.zeros_like(counts), counts)
    hashes = ngrams.values[_ranges(ngrams.offsets[items], counts)]
    _, which, holders = np.unique(hashes, return_inverse=True, return_counts=True)
    rarest = np.minimum.reduceat(holders[which], np.cumsum(counts) - counts)
    kept = holders[which] <= np.repeat(np.maximum(rarest, _MAX_HOLDERS), counts)
    return Postings.of(hashes[kept], np.repeat(items, counts)[kept], places[kept])


def _leading(hashes: np.ndarray, size: int) -> np.ndarray:
    """The leading bits of hashes as a number below `size`, a power of two."""
    return hashes >> np.uint64(65 - size.bit_length())


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """start, start + 1, ... of every range, end to end."""
    return np.arange(counts.sum()) + np.repeat(starts - np.cumsum(counts) + counts, counts)


def _contains(words: np.ndarray, run: np.ndarray) -> bool:
    starts = np.arange(len(words) - len(run) + 1)
    return all(len(starts := starts[words[starts + place] == word]) for place, word in enumerate(run))
