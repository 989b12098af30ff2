"""Benchmark items inside documents: shared n-grams first, then an alignment of the candidates.

Case, punctuation, blanks, compatibility forms and the order of options do not count. Where there are rules for it,
what is near by the vectors of its words is a candidate too, whose words count in any order. The index is arrays only:
it is built once, pickled to every worker, and asked about batches of documents.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field, model_validator
from rapidfuzz.distance import LCSseq

from medray.core.config import Config, UserError
from medray.text.answers import normalise_words
from medray.text.dense import DenseItems, Embed, Near
from medray.text.ngrams import Hashes, hash_spans, hash_words
from medray.text.postings import Postings
from medray.text.shared_words import SharedWords

_BATCH = 256
"""Texts that are searched at a time."""


class DenseRules(Config):
    """When a document holds an item in other words. Source: UltraMedical, appendix D.4, which states no threshold."""

    min_words: int = Field(ge=1)
    """Shorter items are left to their n-grams: any text of their subject is near them."""
    min_cosine: float = Field(gt=0, le=1)
    """Of the means of the words' vectors, item against a window of about its length."""
    min_shared_fraction: float = Field(gt=0, le=1)
    """Least part of an item's words, and of their weight, that must stand in the window, in any order."""


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
    dense: DenseRules | None = None
    """None: what shares no n-gram is not found."""

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
    """A document that holds an item. text: of the normalised words there those of the item; "…" stands for others,
    which may be a patient's name."""

    benchmark: str
    item: str
    document: str
    aligned_fraction: float
    text: str


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
    dense: tuple[DenseItems, SharedWords] | None
    """By row the vectors of the items that are compared so, and what says where."""

    @classmethod
    def build(cls, items: Iterable[Item], rules: ContaminationRules, embed: Embed | None = None) -> ContaminationIndex:
        """The index of the items. embed: the vectors of words, wherever the rules are dense.

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
        assert (embed is None) == (rules.dense is None), "vectors of words belong to dense rules"
        texts = {number: item.text for number, item in enumerate(items)} if rules.dense else {}
        long = {n: text for n, text in texts.items() if np.diff(words.offsets)[n] >= rules.dense.min_words}
        weights, dense = _weights(words), None
        if embed and rules.dense:
            vectors, least = DenseItems.of(long, embed), rules.dense.min_shared_fraction
            dense = vectors, SharedWords.of(words, weights, list(long), vectors.lengths, least)
        index = cls(rules, names, words, weights, options, first_option, {}, dense)
        checked = {benchmark for (benchmark, _), is_checked in zip(names, index.is_checked, strict=True) if is_checked}
        if blind := sorted({benchmark for benchmark, _ in names} - checked):
            raise UserError(
                f"decontaminate: no item of {', '.join(blind)} has {rules.min_alone_words} words, or options, so none "
                f"could be found: correct the fields, or lower min_alone_words"
            )
        lengths = np.where(index.is_checked, np.minimum(np.diff(words.offsets), rules.ngram), 0)
        for length in np.unique(lengths[lengths > 0]).tolist():
            index.postings[length] = Postings.of_items(words, np.flatnonzero(lengths == length), length)
        return index

    @cached_property
    def is_checked(self) -> np.ndarray:
        """bool, of each item: whether it can be found at all."""
        num_words = np.diff(self.words.offsets)
        num_option_words = np.diff(self.options.offsets[self.first_option])
        return (num_words >= self.rules.min_alone_words) | ((num_words > 0) & (num_option_words > 0))

    def find(self, ids: Sequence[str], texts: Sequence[str], embed: Embed | None = None) -> list[Match]:
        """Every item that stands in one of the documents, by document and item; an item once per document."""
        assert (embed is None) == (self.dense is None), "the index was built with or without vectors of words"
        words = hash_words(texts)
        best: dict[tuple[int, int], tuple[float, int, int]] = {}
        for text, item, start, stop in self._candidates(words):
            document = words.of(text)
            found = self._aligned(item, document, start, stop)
            if found[0] >= self.rules.min_aligned_fraction and self._has_options(item, document, start, stop):
                best[text, item] = max(found, best.get((text, item), found))
        for text, near in self._near(words, texts, embed):
            if found := self._shared(near, words.of(text)):
                best[text, near.item] = max(found, best.get((text, near.item), found))
        documents = {text: normalise_words(texts[text]) for text in {text for text, _ in best}}
        found = []
        for (text, item), (fraction, first, last) in sorted(best.items()):
            is_items = np.isin(words.of(text)[first:last], self.words.of(item))
            quoted = _quoted(documents[text][first:last], is_items.tolist())
            found.append(Match(*self.names[item], ids[text], round(fraction, 4), quoted))
        return found

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

    def _near(self, words: Hashes, texts: Sequence[str], embed: Embed | None) -> Iterator[tuple[int, Near]]:
        if self.dense and embed:
            items, shared = self.dense
            for text, places in groupby(shared.find(words), key=lambda place: place.text):
                for near in items.near(texts[text], places, embed, self.rules.dense.min_cosine):
                    yield text, near

    def _shared(self, near: Near, document: np.ndarray) -> tuple[float, int, int] | None:
        """The part of an item's weight in the words about a window, in any order, and the window; None: too little."""
        reach = (near.stop - near.start) // 2
        left = Counter(document[max(near.start - reach, 0) : near.stop + reach].tolist())
        words = self.words.of(near.item).tolist()
        is_there = np.zeros(len(words), bool)
        for place, word in enumerate(words):
            is_there[place] = left[word] > 0
            left[word] -= 1
        weights = self.weights[slice(*self.words.offsets[near.item : near.item + 2])]
        shared = float(weights[is_there].sum() / weights.sum())
        enough = min(shared, is_there.mean()) >= self.rules.dense.min_shared_fraction
        return (shared, near.start, near.stop) if enough else None

    def _has_options(self, item: int, document: np.ndarray, start: int, stop: int) -> bool:
        """Whether a text too short to count alone has all its options, in any order, within twice their words of it."""
        if np.diff(self.words.offsets[item : item + 2]) >= self.rules.min_alone_words:
            return True
        options = [self.options.of(i) for i in range(self.first_option[item], self.first_option[item + 1])]
        reach = 2 * sum(len(option) + 1 for option in options)  # with a letter before each
        window = document[max(start - reach, 0) : stop + reach]
        return all(_contains(window, option) for option in options)


def certify(
    index: ContaminationIndex, ids: Sequence[str], texts: Sequence[str], embed: Embed | None = None
) -> tuple[list[Match], list[dict[str, Any]]]:
    """Every match of texts that are at hand (instructions, preferences, a round's samples), and their certificates.

    Memory: the hashes of a batch of texts.
    """
    starts = range(0, len(texts), _BATCH)
    batches = [(ids[start : start + _BATCH], texts[start : start + _BATCH]) for start in starts]
    matches = [match for batch in batches for match in index.find(*batch, embed)]
    return matches, certificates(index, matches)


def certificates(index: ContaminationIndex, matches: Iterable[Match]) -> list[dict[str, Any]]:
    """What was found of each benchmark, in order of name, JSON-ready: the same for any sharding of the documents.

    Of every benchmark: items (checked + unchecked: too short to be told from a common phrase), items found in at least
    one text, texts that hold one, and the matches.
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
                "texts_found": len({match.document for match in mine}),
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


def _quoted(words: Sequence[str], is_shown: Sequence[bool]) -> str:
    """The words that are shown, one "…" for each run of others."""
    runs = groupby(zip(words, is_shown, strict=True), key=lambda pair: pair[1])
    return " ".join(" ".join(word for word, _ in run) if shown else "…" for shown, run in runs)


def _contains(words: np.ndarray, run: np.ndarray) -> bool:
    starts = np.arange(len(words) - len(run) + 1)
    return all(len(starts := starts[words[starts + place] == word]) for place, word in enumerate(run))
