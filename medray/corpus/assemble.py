"""From prepared shards to the corpus: duplicates out, mixture, packing, held-out documents, data card. In one task."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medray.core.config import UserError
from medray.core.schema import DOCUMENT, write_table
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

_COLUMNS = ["id", "source", "category", "split", "licence", "access", "key", "exact"]


def assemble(
    config: CorpusConfig, prepared: list[Path], facts: list[dict[str, Any]], model: Path, data: Path
) -> dict[str, Any]:
    """Write store, order and held-out documents into `data`; the data card.

    Memory: ids, keys and lengths of all documents, and the tokens of those in the corpus.
    """
    rows = _rows(prepared)
    fates = _without_duplicates(rows, config.source_priority)
    units = [unit for row, fate in zip(rows, fates, strict=True) if fate == "train" for unit in _units(config, row)]
    if not units:
        raise UserError(
            "corpus: no document is left after cleaning, expected at least one per category: see the drops by reason "
            f"({_sum_reasons(facts)}) and loosen corpus.rules or add a source"
        )
    budget = config.token_budget or _natural_budget(config, units)
    check_mixture(units, config.proportions, budget or 1, config.max_epochs)
    order = interleave(units, config.proportions, budget, config.max_epochs, config.rng_seed)
    _check_whole(config, units, order, budget)
    _write_heldout(prepared, rows, fates, data / "heldout.parquet")
    store = _write_store(config, prepared, _places(rows, fates, order), order, model, data)
    return _card(rows, fates, facts, order, store)


def _rows(prepared: list[Path]) -> list[dict[str, Any]]:
    """The small columns of every document, each with its number of tokens and where it lies."""
    rows: list[dict[str, Any]] = []
    for number, path in enumerate(prepared):
        table = pq.read_table(path, columns=[*_COLUMNS, "input_ids"])
        lengths = pc.list_value_length(table["input_ids"]).to_pylist()
        for index, (row, length) in enumerate(zip(table.select(_COLUMNS).to_pylist(), lengths, strict=True)):
            rows.append({**row, "num_tokens": length + 1, "place": (number, index)})
    return rows


def _without_duplicates(rows: list[dict[str, Any]], priority: tuple[str, ...]) -> list[str]:
    """What becomes of each row: train, heldout, duplicate (of an equal text) or duplicate_id (of another text).

    Kept is the held-out one (so that nothing held out is trained on), then by source priority, source and id.
    """
    ranks = {name: rank for rank, name in enumerate(priority)}

    def rule(i: int) -> tuple:
        row = rows[i]
        rank = ranks.get(row["source"], len(ranks))
        return row["split"] != "heldout", rank, row["source"], row["id"], row["key"], row["exact"]

    fates, keys, ids = [""] * len(rows), set(), set()
    for i in sorted(range(len(rows)), key=rule):
        row = rows[i]
        if row["key"] in keys:
            fates[i] = "duplicate"
        elif (row["source"], row["id"]) in ids:
            fates[i] = "duplicate_id"
        else:
            keys.add(row["key"])
            ids.add((row["source"], row["id"]))
            fates[i] = row["split"]
    return fates


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


def _write_heldout(prepared: list[Path], rows: list[dict[str, Any]], fates: list[str], path: Path) -> None:
    wanted: dict[int, list[int]] = {}
    for row, fate in zip(rows, fates, strict=True):
        if fate == "heldout":
            wanted.setdefault(row["place"][0], []).append(row["place"][1])
    tables = [
        pq.read_table(prepared[number], columns=DOCUMENT.names).take(indices).cast(DOCUMENT)
        for number, indices in sorted(wanted.items())
    ]
    table = pa.concat_tables([DOCUMENT.empty_table(), *tables]).sort_by([("source", "ascending"), ("id", "ascending")])
    write_table(path, table, DOCUMENT)


def _places(
    rows: list[dict[str, Any]], fates: list[str], order: list[Placed]
) -> dict[tuple[int, int], tuple[str, str]]:
    """Where the documents of the corpus lie: (table, row) -> (source, id)."""
    wanted = {(placed.unit.source, placed.unit.id) for placed in order}
    kept = (row for row, fate in zip(rows, fates, strict=True) if fate == "train")
    return {row["place"]: (row["source"], row["id"]) for row in kept if (row["source"], row["id"]) in wanted}


def _write_store(
    config: CorpusConfig, prepared: list[Path], places: dict[tuple[int, int], tuple[str, str]], order: list[Placed],
    model: Path, data: Path,
) -> dict[str, Any]:  # fmt: skip
    from medray.model.load import load_tokenizer, tokenizer_digest
    from medray.tables.blocks import BlockWriter

    ids = _token_ids(prepared, places, load_tokenizer(model).eos_token_id)
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
    prepared: list[Path], places: dict[tuple[int, int], tuple[str, str]], eos: int
) -> dict[tuple[str, str], np.ndarray]:
    """Token ids with EOS of the documents of the corpus by (source, id)."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for number, path in enumerate(prepared):
        column = pq.read_table(path, columns=["input_ids"])["input_ids"].combine_chunks()
        for index in range(len(column)):
            if name := places.get((number, index)):
                found[name] = np.append(column[index].values.to_numpy(zero_copy_only=False), eos).astype(np.int32)
    return found


def _sum_reasons(facts: list[dict[str, Any]]) -> str:
    reasons: Counter[str] = Counter()
    for source in (s for fact in facts for s in fact["sources"].values()):
        reasons.update({k.removeprefix("dropped."): n for k, n in source.items() if k.startswith("dropped.")})
    return ", ".join(f"{name} {n}" for name, n in sorted(reasons.items())) or "none dropped"


def _card(
    rows: list[dict[str, Any]], fates: list[str], facts: list[dict[str, Any]], order: list[Placed],
    store: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    sources: dict[str, dict[str, Any]] = {}

    def of(name: str) -> dict[str, Any]:
        steps = ("rows", "quarantined", "cleaned", "duplicates", "duplicate_ids", "train", "heldout", "used", "unused")
        zero = {**dict.fromkeys(steps, 0), "tokens": 0, "tokens_available": 0, "dropped": {}}
        return sources.setdefault(name, {**zero, "category": "", "licences": set(), "access": set()})

    for name, count in ((n, c) for fact in facts for n, c in fact["sources"].items()):
        for step, value in count.items():
            place, key = (of(name)["dropped"], step[8:]) if step.startswith("dropped.") else (of(name), step)
            place[key] = place.get(key, 0) + value
    used = {(placed.unit.source, placed.unit.id) for placed in order}
    plural = {"duplicate": "duplicates", "duplicate_id": "duplicate_ids"}
    for row, fate in zip(rows, fates, strict=True):
        source = of(row["source"])
        source["category"] = row["category"]
        source["licences"].add(row["licence"])
        source["access"].add(row["access"])
        source[plural.get(fate, fate)] += 1
        if fate == "train":
            source["used" if (row["source"], row["id"]) in used else "unused"] += 1
            source["tokens_available"] += row["num_tokens"]
    categories: dict[str, dict[str, int]] = {}
    for placed in order:
        of(placed.unit.source)["tokens"] += placed.unit.num_tokens
        category = categories.setdefault(placed.unit.category, {"tokens": 0, "units": 0})
        category["tokens"] += placed.unit.num_tokens
        category["units"] += 1
    for source in sources.values():
        source["licences"], source["access"] = sorted(source["licences"]), sorted(source["access"])
    return {"sources": sources, "total": _total(sources), "categories": categories, "store": store}


def _total(sources: dict[str, dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {"dropped": Counter()}
    for source in sources.values():
        total["dropped"].update(source["dropped"])
        for name, value in source.items():
            if isinstance(value, int):
                total[name] = total.get(name, 0) + value
    return {**total, "dropped": dict(total["dropped"])}
