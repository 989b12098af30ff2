"""The order of the corpus: planned in one task that holds numbers of documents, never a text, a token or all ids.

Of every unit about 30 bytes stay (document, piece, use, tokens, place), twice that while they are sorted; ids are read
part by part, to be hashed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medray.core.config import UserError
from medray.corpus.tokenise import read_mapped, write_mapped
from medray.text import mixture
from medray.text.mixture import Group, Units, check_mixture, cut, fillable, num_filling, shuffled, stratified

if TYPE_CHECKING:
    from medray.corpus.build import CorpusConfig

PLACES = pa.schema(
    [
        pa.field("document", pa.int64()), pa.field("piece", pa.int32()), pa.field("use", pa.int32()),
        pa.field("num_tokens", pa.int32()), pa.field("start", pa.int64()),
    ]
)  # fmt: skip
"""Every unit at its place, in order. document: counted through the parts; use: how often the unit was used before."""


class Documents:
    """The documents to train on, of all parts in their order: numbers as arrays, names in files mapped in turn."""

    def __init__(self, directory: Path, keys: Sequence[str]) -> None:
        self._paths = [directory / f"{key}.documents.arrow" for key in keys]
        parts = [_numbers(path) for path in self._paths]
        self._starts = np.cumsum([0, *(len(part.num_tokens) for part in parts)])
        self.num_tokens = np.concatenate([np.zeros(0, np.int32), *(part.num_tokens for part in parts)])
        self.copies = np.concatenate([np.zeros(0, np.int32), *(part.copies for part in parts)])
        spelled = sorted({pair for part in parts for pair in part.pairs})
        self.groups = [tuple(pair.split("\0")) for pair in spelled]
        codes = [np.searchsorted(spelled, part.pairs).astype(np.int16)[part.pair] for part in parts]
        self.group = np.concatenate([np.zeros(0, np.int16), *codes])

    def _names(self, part: int, rows: np.ndarray) -> list[list[str]]:
        """Sources and ids of rows of a part."""
        table = read_mapped(self._paths[part]).select(["source", "id"])
        return [column.to_pylist() for column in table.take(rows).columns]

    def name(self, document: int) -> tuple[str, str]:
        """Source and id of a document."""
        part = int(np.searchsorted(self._starts, document, "right")) - 1
        (source,), (id,) = self._names(part, np.array([document - self._starts[part]]))
        return source, id

    def keys(self, units: Units, use: np.ndarray, rng_seed: int) -> np.ndarray:
        """uint64: `stable_hash(rng_seed, use, source, id, piece)` of units in order of document."""
        found = np.empty(len(use), np.uint64)
        edges = np.searchsorted(units.document, self._starts)
        for part, (start, stop) in enumerate(zip(edges, edges[1:], strict=False)):
            if start < stop:
                rows = units.document[start:stop] - self._starts[part]
                names, pieces = self._names(part, rows), units.piece[start:stop].tolist()
                found[start:stop] = hashed(rng_seed, use[start:stop].tolist(), *names, pieces)
        return found


class _Numbers(NamedTuple):
    """Of the documents of a part; pair: which of `pairs`, source and category."""

    num_tokens: np.ndarray
    copies: np.ndarray
    pairs: list[str]
    pair: np.ndarray


def _numbers(path: Path) -> _Numbers:
    table = read_mapped(path)
    pairs = pc.binary_join_element_wise(table["source"], table["category"], "\0").combine_chunks().dictionary_encode()
    num_tokens, copies = (table[name].to_numpy().copy() for name in ("num_tokens", "copies"))
    return _Numbers(num_tokens, copies, pairs.dictionary.to_pylist(), pairs.indices.to_numpy())


def hashed(rng_seed: int, uses: list[int], sources: list[str], ids: list[str], pieces: list[int]) -> np.ndarray:
    """uint64: `stable_hash(rng_seed, use, source, id, piece)` of each row, 6 times as fast as one by one."""
    blake2b, spelled = hashlib.blake2b, json.encoder.encode_basestring
    known = {source: spelled(source) for source in set(sources)}
    rows = zip(uses, sources, ids, pieces, strict=True)
    digests = [
        blake2b(f"[{rng_seed},{use},{known[source]},{spelled(id)},{piece}]".encode(), digest_size=8).digest()
        for use, source, id, piece in rows
    ]
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)


class _Sequence(NamedTuple):
    """The units of a category in their order: Units, and which use of the unit it is."""

    document: np.ndarray
    piece: np.ndarray
    num_tokens: np.ndarray
    use: np.ndarray


def plan_order(config: CorpusConfig, scratch: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Write scratch/order.arrow (PLACES); facts: tokens in all, per source and per category.

    Raises UserError where no document is left, a category cannot fill its part, or a source that is to be used whole is
    not there or not used up.
    """
    documents = Documents(scratch, keys)
    groups = _groups(config, documents)
    _check_names(config, groups)
    budget = config.token_budget or _natural_budget(config, groups)
    check_mixture(groups, config.proportions, budget or 1)
    shares = mixture.shares(budget, config.proportions)
    found = {name: _sequence(config, documents, name, shares[name]) for name in sorted(config.proportions)}
    order = mixture.interleave({name: some.num_tokens for name, some in found.items()}, config.proportions)
    placed = _Sequence(*(np.concatenate(columns)[order] for columns in zip(*found.values(), strict=True)))
    del found, order
    _check_whole(config, documents, groups, placed, budget)
    ends = np.cumsum(placed.num_tokens, dtype=np.int64)
    columns = [*placed[:2], placed.use, placed.num_tokens, ends - placed.num_tokens]
    write_mapped(pa.table(columns, names=PLACES.names).cast(PLACES), scratch / "order.arrow")
    return _facts(documents, placed)


def _groups(config: CorpusConfig, documents: Documents) -> list[Group]:
    if not documents.groups:
        raise UserError(
            "corpus: no document is there to train on, expected at least one per category: see what clean, dedup and "
            "decontaminate have dropped, and an evidence policy left out, or add a source"
        )
    tokens = np.zeros(len(documents.groups), np.int64)
    np.add.at(tokens, documents.group, documents.num_tokens.astype(np.int64) * documents.copies)
    return [
        Group(source, category, int(num_tokens), config.source_epochs.get(source, config.max_epochs))
        for (source, category), num_tokens in zip(documents.groups, tokens, strict=True)
    ]


def _check_names(config: CorpusConfig, groups: list[Group]) -> None:
    names = {group.source for group in groups}
    for field in ("whole_sources", "source_epochs"):
        for source in getattr(config, field):
            if source not in names:
                found = ", ".join(sorted(names))
                raise UserError(f"corpus.{field}: no document of {source!r}, found {found}: correct the name")


def _natural_budget(config: CorpusConfig, groups: list[Group]) -> int:
    """The tokens that use the whole sources up, or without such sources all that can be filled."""
    categories = {group.category for group in groups if group.source in config.whole_sources}
    needs = [_budget_that_uses_up(config, groups, category) for category in categories]
    return max(needs) if needs else fillable(groups, config.proportions)


def _budget_that_uses_up(config: CorpusConfig, groups: list[Group], category: str) -> int:
    have = sum(group.num_tokens for group in groups if group.category == category)
    part = config.proportions.get(category)  # None: check_mixture says so
    return have * sum(config.proportions.values()) // part if part else 0


def _sequence(config: CorpusConfig, documents: Documents, category: str, share: int) -> _Sequence:
    """The units of a category in their order, as many as fill its share: pass after pass over its sources.

    Within a pass units are shuffled by hash, a long document's pieces too, else few documents would fill a small part,
    and a repeated document's copies.
    """
    codes = [code for code, (_, name) in enumerate(documents.groups) if name == category]
    units, copy = _units(config, documents, np.flatnonzero(np.isin(documents.group, codes)))
    group, copies = documents.group[units.document], documents.copies[units.document]
    names = [source for source, _ in documents.groups]
    epochs = np.array([config.source_epochs.get(name, config.max_epochs) for name in names], np.int32)
    passes: list[_Sequence] = []
    filled = 0
    for number in range(epochs[codes].max(initial=0)):
        if filled >= share:
            break
        members = np.flatnonzero(epochs[group] > number)
        mine = Units(*(column[members] for column in units))
        use = number * copies[members] + copy[members]
        keys = documents.keys(mine, use, config.rng_seed)
        order = shuffled(keys, lambda i, m=mine, u=use: (*documents.name(m.document[i]), int(m.piece[i]), int(u[i])))
        if config.stratify_sources:
            order = stratified(order, group[members], mine.num_tokens)
        passes.append(_Sequence(*(column[order] for column in (*mine, use))))
        filled += int(mine.num_tokens.sum())
    whole = _Sequence(*(np.concatenate(columns) for columns in zip(*passes, strict=True)))
    return _Sequence(*(column[: num_filling(whole.num_tokens, share)] for column in whole))


def _units(config: CorpusConfig, documents: Documents, members: np.ndarray) -> tuple[Units, np.ndarray]:
    """The units of some documents, each as often as it stands in a pass, and which of its copies each is."""
    units = cut(documents.num_tokens[members], config.max_unit_tokens)
    units = units._replace(document=members[units.document])
    copies = documents.copies[units.document]
    if not (copies > 1).any():
        return units, np.zeros(len(copies), np.int32)
    copy = np.arange(copies.sum()) - np.repeat(np.cumsum(copies) - copies, copies)
    return Units(*(np.repeat(column, copies) for column in units)), copy.astype(np.int32)


def _check_whole(
    config: CorpusConfig, documents: Documents, groups: list[Group], placed: _Sequence, budget: int
) -> None:
    for source in config.whole_sources:
        codes = [code for code, group in enumerate(groups) if group.source == source]
        mine = documents.num_tokens[np.isin(documents.group, codes)]
        num_units = int(mixture.num_pieces(mine, config.max_unit_tokens).sum())
        chosen = np.isin(documents.group[placed.document], codes)
        used = len(np.unique(placed.document[chosen] << 24 | placed.piece[chosen]))
        if used < num_units:
            raise UserError(
                f"corpus.whole_sources: {num_units - used} of {num_units} units of {source!r} are outside a corpus of "
                f"{budget:,} tokens, expected none: set corpus.token_budget to "
                f"{_budget_that_uses_up(config, groups, groups[codes[0]].category):,}, or to 0"
            )


def _facts(documents: Documents, placed: _Sequence) -> dict[str, Any]:
    used = np.zeros(len(documents.group), bool)
    used[placed.document] = True
    group = documents.group[placed.document]
    size = len(documents.groups)
    documents_G, units_G = np.bincount(documents.group[used], minlength=size), np.bincount(group, minlength=size)
    tokens_G = np.zeros(size, np.int64)
    np.add.at(tokens_G, group, placed.num_tokens)
    sources: dict[str, dict[str, int]] = {}
    categories: dict[str, dict[str, int]] = {}
    for (source, category), used_here, units, tokens in _rows(documents.groups, documents_G, units_G, tokens_G):
        mine = sources.setdefault(source, {"used": 0, "tokens": 0})
        mine["used"] += used_here
        mine["tokens"] += tokens
        whole = categories.setdefault(category, {"tokens": 0, "units": 0})
        whole["tokens"] += tokens
        whole["units"] += units
    return {"num_tokens": int(tokens_G.sum()), "sources": sources, "categories": categories}


def _rows(groups: list[tuple[str, str]], *columns: np.ndarray) -> Iterator[tuple[Any, ...]]:
    return zip(groups, *(column.tolist() for column in columns), strict=True)
