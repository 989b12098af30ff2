"""From tokenised parts and their order to the token store, file by file, and the data card."""

from __future__ import annotations

import copy
import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medray.core.schema import DOCUMENT, TableWriter, write_table
from medray.core.workspace import Workspace
from medray.corpus.tokenise import HELDOUT_ORDER, STATED, read_mapped
from medray.tables.shards import Shard
from medray.text.mixture import num_pieces

if TYPE_CHECKING:
    from medray.corpus.build import CorpusConfig

ORDER = pa.schema(
    [
        pa.field("id", pa.string()), pa.field("piece", pa.int32()), pa.field("epoch", pa.int32()),
        pa.field("source", pa.string()), pa.field("category", pa.string()), pa.field("start", pa.int64()),
        pa.field("num_tokens", pa.int32()),
    ]
)  # fmt: skip
"""Every unit of the corpus at its place: tokens [start, start + num_tokens), the EOS of a document's end included.

epoch: how often the unit was used before; a document that an evidence policy repeats is used several times in a pass.
"""

_MERGED_ROWS = 16
_SHOWN = {"licence": "licences", "access": "access", "language": "languages", "date": "years"}
_NUMBERS = (
    "train", "heldout", "used", "unused", "low_evidence", "extra_copies", "tokens", "tokens_available",
)  # fmt: skip


def write_heldout(parts: Sequence[Path], path: Path) -> None:
    """One table of the held-out documents of all parts, in order of name. Memory: a few documents of each part."""
    with TableWriter(path, DOCUMENT) as writer:
        for document in heapq.merge(*map(_documents, parts), key=itemgetter(*HELDOUT_ORDER)):
            writer.add(document)


def _documents(part: Path) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(part) as parquet:
        for batch in parquet.iter_batches(_MERGED_ROWS):
            yield from batch.to_pylist()


def pack_file(
    shard: Shard, *, config: CorpusConfig, parts: Mapping[str, dict[str, Any]], workspace: Workspace
) -> dict[str, Any]:
    """Write one file of the token store (payload: number) and the order of what begins in it; facts: the shard's.

    parts: facts of the tokenised parts by key, whose files are mapped. Memory: the tokens of one file of the store.
    """
    from medray.tables.blocks import block_columns, write_shard

    number = shard.payload["number"]
    size = config.block_tokens * config.blocks_per_file
    workspace.fetch("scratch/order.arrow", "scratch/*.documents.arrow", "scratch/*.tokens")
    places = read_mapped(workspace.scratch / "order.arrow")
    starts = places["start"].chunk(0).to_numpy()
    end = int(starts[-1]) + places["num_tokens"][-1].as_py()
    low, high = number * size, min((number + 1) * size, end)
    first, last = np.searchsorted(starts, low, "right") - 1, np.searchsorted(starts, high, "left")
    units = {name: column.to_numpy() for name, column in zip(places.column_names, places[first:last], strict=True)}
    tokens, names = _gather(units, low, high, config.max_unit_tokens, parts, workspace.scratch)
    begins = np.maximum(units["start"], low) - low
    columns = block_columns(tokens, begins, config.block_tokens)
    facts = write_shard(workspace.data / "store", number, columns)
    order = [names["id"], units["piece"], units["use"], names["source"], names["category"], units["start"]]
    table = pa.table([*order, units["num_tokens"]], names=ORDER.names).cast(ORDER)
    begun_here = table.filter(pc.greater_equal(table["start"], low))
    write_table(workspace.data / "order" / f"part-{number:05d}.parquet", begun_here, ORDER)
    return {**facts, "num_tokens": high - low, "num_loss_tokens": int(columns["num_loss_tokens"].sum())}


def _gather(
    units: dict[str, np.ndarray], low: int, high: int, max_unit_tokens: int, parts: Mapping[str, dict[str, Any]],
    scratch: Path,
) -> tuple[np.ndarray, pa.Table]:  # fmt: skip
    """Tokens [low, high) of the corpus (int32), and id, source and category of the units."""
    edges = np.cumsum([0, *(facts["rows"] for facts in parts.values())])
    part_of = np.searchsorted(edges, units["document"], "right") - 1
    tokens = np.empty(high - low, np.int32)
    names, positions = [], []
    for part in np.unique(part_of).tolist():
        key = list(parts)[part]
        mine = np.flatnonzero(part_of == part)
        table = read_mapped(scratch / f"{key}.documents.arrow").take(units["document"][mine] - edges[part])
        kind = {2: np.uint16, 4: np.int32}[parts[key]["token_bytes"]]
        stored = np.memmap(scratch / f"{key}.tokens", kind, "r")
        length, piece = table["num_tokens"].to_numpy().astype(np.int64), units["piece"][mine]
        piece_at = length * piece // num_pieces(length, max_unit_tokens)
        # the unit's first token among those stored, and in the file of the store: before it, where it began earlier
        source = table["start"].to_numpy() + piece_at
        target = units["start"][mine] - low
        begin, stop = np.maximum(target, 0), np.minimum(target + units["num_tokens"][mine], high - low)
        for at, to, where in zip(begin.tolist(), stop.tolist(), (source - target).tolist(), strict=True):
            tokens[at:to] = stored[at + where : to + where]
        names.append(table.select(["id", "source", "category"]))
        positions.append(mine)
    return tokens, pa.concat_tables(names).take(np.argsort(np.concatenate(positions)))


def card_of(parts: Sequence[dict[str, Any]], order: dict[str, Any], store: dict[str, Any]) -> dict[str, Any]:
    """Documents and tokens of every source and category; of a source's documents what they state ("": nothing).

    parts: facts of the tokenised parts; order: those of the order. train = used + unused + low_evidence.
    """
    empty = {**dict.fromkeys(_NUMBERS, 0), **{name: Counter() for name in _SHOWN.values()}, "category": ""}
    sources: dict[str, dict[str, Any]] = {}
    for part in parts:
        for name, facts in part["sources"].items():
            source = sources.setdefault(name, copy.deepcopy(empty))
            source["category"] = facts["category"]
            for stated in STATED:
                source[_SHOWN[stated]].update(facts[stated])
            for number in ("train", "heldout", "low_evidence", "extra_copies", "tokens_available"):
                source[number] += facts[number]
    for name, source in sources.items():
        source |= order["sources"].get(name, {})
        source["unused"] = source["train"] - source["low_evidence"] - source["used"]
    total = {name: sum(source[name] for source in sources.values()) for name in _NUMBERS}
    return {"sources": sources, "total": total, "categories": order["categories"], "store": store}
