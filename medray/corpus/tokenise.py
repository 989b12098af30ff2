"""The token ids of one part of the documents. Runs in a worker.

Of part `<key>` there stay in scratch: `<key>.tokens` (ids of all documents to train on, EOS after each, end to end, as
16-bit numbers where the vocabulary allows, else 32), `<key>.documents.arrow` (DOCUMENTS) and `<key>.heldout.parquet`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medray.core.files import written_whole
from medray.core.schema import DOCUMENT, TableWriter
from medray.core.workspace import Workspace
from medray.corpus.steps import BATCH_ROWS, CLEANED
from medray.tables.shards import Shard
from medray.text.evidence import EvidencePolicy

DOCUMENTS = pa.schema(
    [
        pa.field("id", pa.string()), pa.field("source", pa.string()), pa.field("category", pa.string()),
        pa.field("start", pa.int64()), pa.field("num_tokens", pa.int32()), pa.field("copies", pa.int32()),
    ]
)  # fmt: skip
"""A document to train on: tokens [start, start + num_tokens) of its part, EOS included; copies: how often it stands in
one pass over its source."""

STATED = ("licence", "access", "language", "date")
"""Of what documents state these are counted for the data card, of dates the year."""

HELDOUT_ORDER = ("source", "id")

_CHARACTERS_AT_ONCE = 1 << 20
"""The tokenizer takes about 100 bytes for every token that it has in hand."""


def tokenise_part(
    shard: Shard,
    *,
    model: Path,
    workspace: Workspace,
    evidence: EvidencePolicy | None = None,
    cited: Callable[[list[str]], Iterable[float | None]] | None = None,
) -> dict[str, Any]:
    """Write the part's tokens, documents and held-out documents; facts: bytes of a token, and per source the counts.

    cited: groups of documents -> how often their articles are cited, where the evidence policy asks for it.
    Memory: a batch of texts and its tokens, the names of the part's documents, its held-out documents.
    """
    encode, eos, kind = _encoder(model)
    base = str(workspace.scratch / shard.key)
    small, kept, heldout = [], [DOCUMENTS.empty_table()], [DOCUMENT.empty_table()]
    start = 0
    with (
        pq.ParquetFile(shard.payload["path"]) as parquet,
        written_whole(Path(f"{base}.tokens")) as name,
        open(name, "wb") as sink,
    ):
        for batch in parquet.iter_batches(BATCH_ROWS, columns=[n for n in CLEANED.names if n != "standing"]):
            table = pa.Table.from_batches([batch])
            heldout.append(table.filter(pc.equal(table["split"], "heldout")).select(DOCUMENT.names).cast(DOCUMENT))
            copies = _copies(table, evidence, cited)
            small.append(table.select(["source", "category", "split", *STATED]).append_column("copies", [copies]))
            table = table.filter(pa.array(copies > 0))
            lengths = [np.zeros(0, np.int32)]
            for ids in encode(table["text"].to_pylist()):
                tokens = [part for some in ids for part in (some, (eos,))]
                sink.write(np.concatenate(tokens).astype(kind).tobytes())
                lengths.append(np.array(list(map(len, ids)), np.int32) + 1)
            num_tokens = np.concatenate(lengths)
            starts = start + np.cumsum(num_tokens, dtype=np.int64) - num_tokens
            columns = [*(table[name] for name in DOCUMENTS.names[:3]), starts, num_tokens, copies[copies > 0]]
            kept.append(pa.table(columns, names=DOCUMENTS.names).cast(DOCUMENTS))
            start += int(num_tokens.sum())
    documents = pa.concat_tables(kept)
    write_mapped(documents, Path(f"{base}.documents.arrow"))
    with TableWriter(Path(f"{base}.heldout.parquet"), DOCUMENT) as writer:
        writer.write(pa.concat_tables(heldout).sort_by([(name, "ascending") for name in HELDOUT_ORDER]))
    return {"token_bytes": kind().itemsize, "rows": len(documents), "sources": _counted(small, documents)}


def write_mapped(table: pa.Table, path: Path) -> None:
    """Write a table for `read_mapped`, as one batch, whole or not at all."""
    with written_whole(path) as name, pa.OSFile(str(name), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def read_mapped(path: Path) -> pa.Table:
    """A table whose columns stay in the file until they are read."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


@lru_cache(maxsize=1)  # a worker has many parts, of one model
def _encoder(model: Path) -> tuple[Any, int, type]:
    """Texts -> their ids in portions, straight from the Rust tokenizer; the EOS id; the type that holds every id."""
    from medray.model.tokenizer import open_backend

    backend, eos = open_backend(model)
    largest = max(backend.get_vocab(with_added_tokens=True).values())
    return partial(_encode, backend), eos, np.uint16 if largest < 1 << 16 else np.int32


def _encode(backend: Any, texts: list[str]) -> Iterator[list[list[int]]]:
    at = 0
    while at < len(texts):
        stop, held = at + 1, len(texts[at])
        while stop < len(texts) and held + len(texts[stop]) <= _CHARACTERS_AT_ONCE:
            held, stop = held + len(texts[stop]), stop + 1
        found = backend.encode_batch_fast(texts[at:stop], add_special_tokens=False)
        yield [encoding.ids for encoding in found]
        at = stop


def _copies(table: pa.Table, evidence: EvidencePolicy | None, cited: Callable[..., Any] | None) -> np.ndarray:
    """How often each document stands in one pass: 0 for held-out ones."""
    train = pc.equal(table["split"], "train").to_numpy().astype(np.int32)
    if evidence is None:
        return train
    columns = (table[name].to_pylist() for name in ("source", "id", "document_types", "date"))
    citations = cited(table["group"].to_pylist()) if cited else repeat(None, len(table))
    return train * np.array([evidence.copies(*row) for row in zip(*columns, citations, strict=True)], np.int32)


def _counted(small: list[pa.Table], documents: pa.Table) -> dict[str, dict[str, Any]]:
    """Of every source its category, documents by what they state, and how many are to train on, held out, left out."""
    if not small:
        return {}
    table = pa.concat_tables(small)
    table = table.set_column(table.column_names.index("date"), "date", pc.utf8_slice_codeunits(table["date"], 0, 4))
    found: dict[str, dict[str, Any]] = {}
    for source, category in _groups(table, "category"):
        found.setdefault(source, {"category": category, **{name: {} for name in STATED}})["category"] = category
    for name in STATED:
        for source, value, number in _groups(table, name, count=True):
            found[source][name][value] = number
    for source in found:
        mine = table.filter(pc.equal(table["source"], source))
        train, copies = pc.equal(mine["split"], "train").to_numpy(), mine["copies"].to_numpy()
        tokens = pc.sum(documents.filter(pc.equal(documents["source"], source))["num_tokens"]).as_py() or 0
        found[source] |= {
            "train": int(train.sum()),
            "heldout": int((~train).sum()),
            "low_evidence": int((train & (copies == 0)).sum()),
            "extra_copies": int(np.maximum(copies - 1, 0).sum()),
            "tokens_available": tokens,
        }
    return found


def _groups(table: pa.Table, name: str, count: bool = False) -> Iterator[tuple[Any, ...]]:
    found = table.group_by(["source", name], use_threads=False).aggregate([([], "count_all")] if count else [])
    columns = ["source", name, *(["count_all"] if count else [])]
    return zip(*(found[column].to_pylist() for column in columns), strict=True)
