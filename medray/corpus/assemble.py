"""From tokenised parts to the corpus: mixture, packing, held-out documents, data card. In one task."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medray.core.config import UserError
from medray.core.schema import DOCUMENT, write_table
from medray.corpus.tokenise import KEPT
from medray.text.mixture import Placed, Unit, check_mixture, cut_blocks, fillable, interleave, split_lengths

if TYPE_CHECKING:
    from medray.corpus.build import CorpusConfig

ORDER = pa.schema(
    [
        pa.field("id", pa.string()), pa.field("piece", pa.int32()), pa.field("epoch", pa.int32()),
        pa.field("source", pa.string()), pa.field("category", pa.string()), pa.field("start", pa.int64()),
        pa.field("num_tokens", pa.int32()),
    ]
)  # fmt: skip
"""Every unit of the corpus at its place: tokens [start, start + num_tokens), the EOS of a document's end included."""

_STATED = {
    "licences": lambda row: row["licence"], "access": lambda row: row["access"],
    "languages": lambda row: row["language"], "years": lambda row: row["date"][:4],
}  # fmt: skip


def assemble(config: CorpusConfig, parts: list[Path], tokens: list[Path], model: Path, data: Path) -> dict[str, Any]:
    """Write store, order and held-out documents into `data`; the data card. `tokens` are the tokenised parts.

    Memory: ids and lengths of all documents, and the tokens of those in the corpus.
    """
    rows = _rows(tokens)
    units = [unit for row in rows if row["split"] == "train" for unit in _units(config, row)]
    if not units:
        raise UserError(
            f"corpus: no document of {len(rows)} is there to train on, expected at least one per category: see what "
            "clean, dedup and decontaminate have dropped, or add a source"
        )
    budget = config.token_budget or _natural_budget(config, units)
    check_mixture(units, config.proportions, budget or 1, config.max_epochs)
    order = interleave(units, config.proportions, budget, config.max_epochs, config.rng_seed)
    _check_whole(config, units, order, budget)
    _write_heldout(parts, data / "heldout.parquet")
    store = _write_store(config, tokens, _places(rows, order), order, model, data)
    return _card(rows, order, store)


def _rows(tokens: list[Path]) -> list[dict[str, Any]]:
    """The small columns of every document, each with its number of tokens, EOS included, and where it lies."""
    rows: list[dict[str, Any]] = []
    for number, path in enumerate(tokens):
        table = pq.read_table(path, columns=[*KEPT, "input_ids"])
        lengths = pc.list_value_length(table["input_ids"]).to_pylist()
        for index, (row, length) in enumerate(zip(table.select(KEPT).to_pylist(), lengths, strict=True)):
            rows.append({**row, "num_tokens": length + 1, "place": (number, index)})
    names = {(row["source"], row["id"]) for row in rows}
    assert len(names) == len(rows), f"{len(rows) - len(names)} documents have the name of another one"
    return rows


def _units(config: CorpusConfig, row: dict[str, Any]) -> list[Unit]:
    lengths = split_lengths(row["num_tokens"], config.max_unit_tokens)
    return [Unit(row["id"], piece, row["source"], row["category"], length) for piece, length in enumerate(lengths)]


def _natural_budget(config: CorpusConfig, units: list[Unit]) -> int:
    """The tokens that use the whole sources up, or without such sources all that can be filled."""
    categories = {unit.category for unit in units if unit.source in config.whole_sources}
    needs = [_budget_that_uses_up(config, units, category) for category in categories]
    return max(needs) if needs else fillable(units, config.proportions, config.max_epochs)


def _budget_that_uses_up(config: CorpusConfig, units: list[Unit], category: str) -> int:
    have = sum(unit.num_tokens for unit in units if unit.category == category)
    part = config.proportions.get(category)  # None: check_mixture says so
    return have * sum(config.proportions.values()) // part if part else 0


def _check_whole(config: CorpusConfig, units: list[Unit], order: list[Placed], budget: int) -> None:
    used = {placed.unit for placed in order}
    for source in config.whole_sources:
        mine = [unit for unit in units if unit.source == source]
        if not mine:
            names = ", ".join(sorted({unit.source for unit in units}))
            raise UserError(f"corpus.whole_sources: no document of {source!r}, found {names}: correct the name")
        if left := [unit for unit in mine if unit not in used]:
            raise UserError(
                f"corpus.whole_sources: {len(left)} of {len(mine)} units of {source!r} are outside a corpus of "
                f"{budget:,} tokens, expected none: set corpus.token_budget to "
                f"{_budget_that_uses_up(config, units, mine[0].category):,}, or to 0"
            )


def _write_heldout(parts: list[Path], path: Path) -> None:
    tables = [pq.read_table(part, columns=DOCUMENT.names, filters=[("split", "==", "heldout")]) for part in parts]
    table = pa.concat_tables(table.cast(DOCUMENT) for table in tables)
    write_table(path, table.sort_by([("source", "ascending"), ("id", "ascending")]), DOCUMENT)


def _places(rows: list[dict[str, Any]], order: list[Placed]) -> dict[tuple[int, int], tuple[str, str]]:
    """Where the documents of the corpus lie: (table, row) -> (source, id)."""
    wanted = {(placed.unit.source, placed.unit.id) for placed in order}
    return {row["place"]: (row["source"], row["id"]) for row in rows if (row["source"], row["id"]) in wanted}


def _write_store(
    config: CorpusConfig, tokens: list[Path], places: dict[tuple[int, int], tuple[str, str]], order: list[Placed],
    model: Path, data: Path,
) -> dict[str, Any]:  # fmt: skip
    from medray.model.load import load_tokenizer, tokenizer_digest
    from medray.tables.blocks import BlockWriter

    ids = _token_ids(tokens, places, load_tokenizer(model).eos_token_id)
    lengths = [placed.unit.num_tokens for placed in order]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    corpus = np.empty(int(starts[-1]), np.int32)
    for placed, start in zip(order, starts, strict=False):
        document = ids[placed.unit.source, placed.unit.id]
        pieces = split_lengths(len(document), config.max_unit_tokens)
        first = sum(pieces[: placed.unit.piece])
        corpus[start : start + placed.unit.num_tokens] = document[first : first + pieces[placed.unit.piece]]
    writer = BlockWriter(
        data / "store", "causal_lm", tokenizer_digest(model), config.block_tokens, config.blocks_per_file
    )
    for block in cut_blocks(lengths, config.block_tokens):
        writer.add(corpus[block.start : block.stop], block.lengths, np.ones(block.stop - block.start, np.int8))
    table = [
        {**dict(zip(Unit._fields, placed.unit, strict=True)), "epoch": placed.epoch, "start": int(start)}
        for placed, start in zip(order, starts, strict=False)
    ]
    write_table(data / "order.parquet", table, ORDER)
    return writer.close()


def _token_ids(
    tokens: list[Path], places: dict[tuple[int, int], tuple[str, str]], eos: int
) -> dict[tuple[str, str], np.ndarray]:
    """Token ids with EOS of the documents of the corpus by (source, id)."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for number, path in enumerate(tokens):
        column = pq.read_table(path, columns=["input_ids"])["input_ids"].combine_chunks()
        for index in range(len(column)):
            if name := places.get((number, index)):
                found[name] = np.append(column[index].values.to_numpy(zero_copy_only=False), eos).astype(np.int32)
    return found


def _card(rows: list[dict[str, Any]], order: list[Placed], store: dict[str, Any]) -> dict[str, Any]:
    """Documents and tokens of every source and category; of a source's documents what they state ("": nothing)."""
    numbers = ("train", "heldout", "used", "unused", "tokens", "tokens_available")
    empty = {**dict.fromkeys(numbers, 0), **{name: Counter() for name in _STATED}, "category": ""}
    sources: dict[str, dict[str, Any]] = {row["source"]: copy.deepcopy(empty) for row in rows}
    used = {(placed.unit.source, placed.unit.id) for placed in order}
    for row in rows:
        source = sources[row["source"]]
        source["category"] = row["category"]
        for name, of in _STATED.items():
            source[name][of(row)] += 1
        source[row["split"]] += 1
        if row["split"] == "train":
            source["used" if (row["source"], row["id"]) in used else "unused"] += 1
            source["tokens_available"] += row["num_tokens"]
    categories: dict[str, dict[str, int]] = {}
    for placed in order:
        sources[placed.unit.source]["tokens"] += placed.unit.num_tokens
        category = categories.setdefault(placed.unit.category, {"tokens": 0, "units": 0})
        category["tokens"] += placed.unit.num_tokens
        category["units"] += 1
    total = {name: sum(source[name] for source in sources.values()) for name in numbers}
    return {"sources": sources, "total": total, "categories": categories, "store": store}
