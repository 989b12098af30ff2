"""What near and exact duplicates are told by: hashes and numbers of every document, in files that are only mapped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medray.core.files import written_whole
from medray.core.identity import content_id, stable_hash
from medray.core.workspace import Workspace
from medray.corpus.steps import BATCH_ROWS
from medray.tables.shards import Shard
from medray.text.duplicates import key_ranges
from medray.text.minhash import MinHashRules, band_keys, signatures
from medray.text.ngrams import Hashes, hash_ngrams, hash_words
from medray.text.normalize import duplicate_key

_EXACT = pa.schema(
    [
        pa.field("id", pa.string()), pa.field("source", pa.string()), pa.field("row", pa.string()),
        pa.field("priority", pa.int32()), pa.field("date", pa.string()),
        pa.field("name", pa.uint64()), pa.field("key", pa.string()), pa.field("number", pa.uint64()),
    ]
)  # fmt: skip
"""row: hash of the whole row; name: hash of source and id; key: that of equal texts, number: its leading 64 bits."""

_NGRAMS = pa.schema([pa.field("ngrams", pa.large_list(pa.uint64()))])


def fingerprint_part(
    shard: Shard, *, source_priority: tuple[str, ...], near: MinHashRules | None, workspace: Workspace
) -> dict[str, Any]:
    """Write the fingerprints of a part (payload: path) to scratch; facts: its number of rows. Memory: a batch of rows.

    The n-grams are written only where candidates are verified: they take about as much room as the texts.
    """
    base = workspace.scratch / Path(shard.payload["path"]).stem
    ranks = {name: rank for rank, name in enumerate(source_priority, 1)}
    num_rows = 0
    with (
        pq.ParquetFile(shard.payload["path"]) as parquet,
        _arrow_file(base.with_suffix(".keys.arrow"), _keys_schema(near)) as keys,
        _arrow_file(base.with_suffix(".ngrams.arrow"), _NGRAMS) as ngrams,
    ):
        for batch in parquet.iter_batches(BATCH_ROWS):
            documents = batch.to_pylist()
            exact = zip(_exact(documents, ranks), _EXACT.types, strict=True)
            columns = [pa.array(column, kind) for column, kind in exact]
            if near:
                found = hash_ngrams(hash_words([document["text"] for document in documents]), near.ngram)
                bands = band_keys(signatures(found, near), near)
                columns += [pa.array(np.diff(found.offsets) > 0), *map(pa.array, np.ascontiguousarray(bands.T))]
                if near.min_jaccard:
                    ngrams.write_batch(pa.record_batch([_as_sets(found)], schema=_NGRAMS))
            keys.write_batch(pa.record_batch(columns, schema=_keys_schema(near)))
            num_rows += len(batch)
    return {"rows": num_rows}


def _keys_schema(near: MinHashRules | None) -> pa.Schema:
    bands = [pa.field(f"band_{band}", pa.uint64()) for band in range(near.bands)] if near else []
    return pa.schema([*_EXACT, *([pa.field("has_words", pa.bool_())] if near else []), *bands])


def _exact(documents: list[dict[str, Any]], ranks: dict[str, int]) -> Iterator[tuple[Any, ...]]:
    """The columns of _EXACT. Held-out documents come before all others, so that nothing held out is trained on."""
    rows = []
    for document in documents:
        id, source, key = document["id"], document["source"], duplicate_key(document["text"])
        priority = 0 if document["split"] == "heldout" else ranks.get(source, len(ranks) + 1)
        date, name = document["date"] or None, stable_hash(source, id)
        rows.append((id, source, content_id(document), priority, date, name, key, int(key[:16], 16)))
    return zip(*rows, strict=True)


def _as_sets(ngrams: Hashes) -> pa.LargeListArray:
    """The n-grams of each text, each once and in order."""
    sets = [np.unique(ngrams.of(text)) for text in range(len(ngrams.offsets) - 1)]
    offsets = np.cumsum([0, *map(len, sets)])
    return pa.LargeListArray.from_arrays(offsets, np.concatenate([np.zeros(0, np.uint64), *sets]))


@contextmanager
def _arrow_file(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatchFileWriter]:
    """An Arrow file that is whole or not there."""
    with (
        written_whole(path) as partial,
        pa.OSFile(str(partial), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        yield writer


class Fingerprints:
    """The fingerprints of all documents, mapped into memory. Positions count through the parts in their order."""

    def __init__(self, directory: Path, stems: Sequence[str]) -> None:
        self._directory, self._stems = directory, stems
        tables = [_mapped(directory / f"{stem}.keys.arrow") for stem in stems]
        self._table = pa.concat_tables(tables)
        self._starts = np.cumsum([0, *(table.num_rows for table in tables)])

    def __len__(self) -> int:
        return self._table.num_rows

    def in_range(self, column: str, place: int, num_ranges: int) -> np.ndarray:
        """bool, of each position: whether its number in the column lies in this range of all numbers."""
        chunks = [key_ranges(chunk.to_numpy(), num_ranges) == place for chunk in self._table[column].chunks]
        return np.concatenate([np.zeros(0, bool), *chunks])

    def among(self, column: str, numbers: np.ndarray) -> np.ndarray:
        """bool, of each position: whether its number in the column is one of these, which are sorted."""
        found = np.zeros(len(self), bool)
        start = 0
        for chunk in self._table[column].chunks if len(numbers) else ():
            places = np.searchsorted(numbers, chunk.to_numpy())
            found[start : start + len(chunk)] = numbers[np.minimum(places, len(numbers) - 1)] == chunk.to_numpy()
            start += len(chunk)
        return found

    def has_words(self) -> np.ndarray:
        """bool, of each position: whether the text has any word; those without are alike and no duplicates."""
        return self._table["has_words"].to_numpy()

    def take(self, mask: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """The columns at the positions of the mask, in order of position."""
        return self._table.select(list(columns)).filter(pa.array(mask)).combine_chunks()

    def ngrams(self, positions: Mapping[int, int]) -> dict[int, np.ndarray]:
        """The n-grams, as views into the files, of documents given as number -> position."""
        parts: dict[int, tuple[list[pa.LargeListArray], np.ndarray]] = {}
        found = {}
        for number, position in positions.items():
            part = int(np.searchsorted(self._starts, position, "right")) - 1
            if part not in parts:
                column = _mapped(self._directory / f"{self._stems[part]}.ngrams.arrow")["ngrams"].chunks
                parts[part] = column, np.cumsum([0, *map(len, column)])
            chunks, starts = parts[part]
            row = position - int(self._starts[part])
            chunk = int(np.searchsorted(starts, row, "right")) - 1
            start, stop = (chunks[chunk].offsets[row - int(starts[chunk]) + i].as_py() for i in (0, 1))
            found[number] = chunks[chunk].values[start:stop].to_numpy()
        return found


def _mapped(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
