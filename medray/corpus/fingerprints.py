"""What near and exact duplicates are told by: hashes and names of every document, in files that are only mapped.

Of a part there stay in scratch: `<part>.rows.arrow` (_ROWS), `<part>.hashes.arrow` (of each kind of hash all of them in
order, and in which row each stands, so that a range of all hashes is a slice of every part) and `<part>.ngrams.arrow`.
"""

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
from medray.corpus.tokenise import read_mapped, write_mapped
from medray.tables.shards import Shard
from medray.text.duplicates import sorted_range
from medray.text.minhash import MinHashRules, band_keys, signatures
from medray.text.ngrams import Hashes, hash_ngrams, hash_words
from medray.text.normalize import duplicate_key

_ROWS = pa.schema(
    [
        pa.field("id", pa.string()), pa.field("source", pa.string()), pa.field("row", pa.string()),
        pa.field("priority", pa.int32()), pa.field("date", pa.string()), pa.field("key", pa.string()),
        pa.field("number", pa.uint64()), pa.field("has_words", pa.bool_()),
    ]
)  # fmt: skip
"""row: hash of the whole row; key: that of equal texts, number: its leading 64 bits."""

_NGRAMS = pa.schema([pa.field("ngrams", pa.large_list(pa.uint64()))])


def fingerprint_part(
    shard: Shard, *, source_priority: tuple[str, ...], near: MinHashRules | None, workspace: Workspace
) -> dict[str, Any]:
    """Write the fingerprints of a part (payload: path) to scratch; facts: its number of rows.

    Memory: a batch of texts, and about 400 bytes of every row of the part. The n-grams are written only where
    candidates are verified: they take about as much room as the texts.
    """
    base = workspace.scratch / Path(shard.payload["path"]).stem
    ranks = {name: rank for rank, name in enumerate(source_priority, 1)}
    rows, hashes = [_ROWS.empty_table()], [np.zeros((0, 2 + (near.bands if near else 0)), np.uint64)]
    with pq.ParquetFile(shard.payload["path"]) as parquet, _ngrams_file(base.with_suffix(".ngrams.arrow")) as ngrams:
        for batch in parquet.iter_batches(BATCH_ROWS):
            documents = batch.to_pylist()
            bands, has_words = np.zeros((len(batch), 0), np.uint64), np.ones(len(batch), bool)
            if near:
                found = hash_ngrams(hash_words([document["text"] for document in documents]), near.ngram)
                bands, has_words = band_keys(signatures(found, near), near), np.diff(found.offsets) > 0
                if near.min_jaccard:
                    ngrams.write_batch(pa.record_batch([_as_sets(found)], schema=_NGRAMS))
            columns = [*zip(*_exact(documents, ranks), strict=True), has_words]
            rows.append(pa.table([pa.array(*c) for c in zip(columns, _ROWS.types, strict=True)], schema=_ROWS))
            names = [stable_hash(document["source"], document["id"]) for document in documents]
            hashes.append(np.column_stack([np.array(names, np.uint64), rows[-1]["number"], bands]))
    table = pa.concat_tables(rows)
    write_mapped(table, base.with_suffix(".rows.arrow"))
    write_mapped(_in_order(np.concatenate(hashes)), base.with_suffix(".hashes.arrow"))
    return {"rows": len(table)}


def _in_order(hashes: np.ndarray) -> pa.Table:
    """Of every column, "name", "number" and the bands, its hashes in order, and `<name>_row`: where each comes from."""
    names = ["name", "number", *(f"band_{band}" for band in range(hashes.shape[1] - 2))]
    columns = {}
    for name, column in zip(names, hashes.T, strict=True):
        order = np.argsort(column, kind="stable")
        columns |= {name: column[order], f"{name}_row": order.astype(np.uint32)}
    return pa.table(columns)


def _exact(documents: list[dict[str, Any]], ranks: dict[str, int]) -> Iterator[tuple[Any, ...]]:
    """_ROWS but has_words. Held-out documents come before all others, so that nothing held out is trained on."""
    for document in documents:
        id, source, key = document["id"], document["source"], duplicate_key(document["text"])
        priority = 0 if document["split"] == "heldout" else ranks.get(source, len(ranks) + 1)
        yield id, source, content_id(document), priority, document["date"] or None, key, int(key[:16], 16)


def _as_sets(ngrams: Hashes) -> pa.LargeListArray:
    """The n-grams of each text, each once and in order."""
    sets = [np.unique(ngrams.of(text)) for text in range(len(ngrams.offsets) - 1)]
    offsets = np.cumsum([0, *map(len, sets)])
    return pa.LargeListArray.from_arrays(offsets, np.concatenate([np.zeros(0, np.uint64), *sets]))


@contextmanager
def _ngrams_file(path: Path) -> Iterator[pa.RecordBatchFileWriter]:
    """An Arrow file of _NGRAMS that is whole or not there."""
    with (
        written_whole(path) as partial,
        pa.OSFile(str(partial), "wb") as sink,
        pa.ipc.new_file(sink, _NGRAMS) as writer,
    ):
        yield writer


class Fingerprints:
    """The fingerprints of all documents. Positions count through the parts in their order.

    A file is mapped only while its part is looked at: the pages of a mapped file count as memory of the process.
    """

    def __init__(self, directory: Path, stems: Sequence[str]) -> None:
        self._directory, self._stems = directory, stems
        self._starts = np.cumsum([0, *(self._part(stem, "rows").num_rows for stem in stems)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _part(self, stem: str, kind: str) -> pa.Table:
        return read_mapped(self._directory / f"{stem}.{kind}.arrow")

    def meeting(self, column: str, place: int, num_ranges: int, alive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions in order, and their hashes in a column, of documents whose hash others have too.

        alive: bool, of each position, whether it counts; the hashes are those of one range of all there can be.
        """
        hashes, positions = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
        for stem, start in zip(self._stems, self._starts.tolist(), strict=False):
            table = self._part(stem, "hashes")
            numbers = table[column].to_numpy()
            inside = sorted_range(numbers, place, num_ranges)
            found = table[f"{column}_row"].to_numpy()[inside] + np.int64(start)
            counts = alive[found]
            hashes.append(numbers[inside][counts])
            positions.append(found[counts])
        hash_D, position_D = np.concatenate(hashes), np.concatenate(positions)
        order = np.argsort(hash_D, kind="stable")
        equal = hash_D[order[1:]] == hash_D[order[:-1]]
        meets = order[(np.append(False, equal) | np.append(equal, False))[: len(order)]]
        meets = meets[np.argsort(position_D[meets])]
        return position_D[meets], hash_D[meets]

    def with_number(self, numbers: np.ndarray) -> np.ndarray:
        """The positions, in order, of documents whose number is one of these, which are sorted."""
        found = [np.zeros(0, np.int64)]
        for stem, start in zip(self._stems, self._starts.tolist(), strict=False) if len(numbers) else ():
            mine = self._part(stem, "rows")["number"].to_numpy()
            places = np.minimum(np.searchsorted(numbers, mine), len(numbers) - 1)
            found.append(np.flatnonzero(numbers[places] == mine) + start)
        return np.concatenate(found)

    def has_words(self) -> np.ndarray:
        """bool, of each position: whether the text has any word; those without are alike and no duplicates."""
        return np.concatenate(
            [np.zeros(0, bool), *(self._part(s, "rows")["has_words"].to_numpy() for s in self._stems)]
        )

    def take(self, positions: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """These columns of _ROWS at positions in any order."""
        order = np.argsort(positions, kind="stable")
        edges = np.searchsorted(positions[order], self._starts).tolist()
        tables = [_ROWS.empty_table().select(list(columns))]
        for stem, base, start, stop in zip(self._stems, self._starts.tolist(), edges, edges[1:], strict=False):
            if start < stop:
                part = self._part(stem, "rows").select(list(columns))
                tables.append(part.take(positions[order[start:stop]] - base))
        return pa.concat_tables(tables).combine_chunks().take(np.argsort(order))

    def ngrams(self, positions: Mapping[int, int]) -> dict[int, np.ndarray]:
        """The n-grams, as views into the files, of documents given as number -> position."""
        parts: dict[int, tuple[list[pa.LargeListArray], np.ndarray]] = {}
        found = {}
        for number, position in positions.items():
            part = int(np.searchsorted(self._starts, position, "right")) - 1
            if part not in parts:
                column = self._part(self._stems[part], "ngrams")["ngrams"].chunks
                parts[part] = column, np.cumsum([0, *map(len, column)])
            chunks, starts = parts[part]
            row = position - int(self._starts[part])
            chunk = int(np.searchsorted(starts, row, "right")) - 1
            start, stop = (chunks[chunk].offsets[row - int(starts[chunk]) + i].as_py() for i in (0, 1))
            found[number] = chunks[chunk].values[start:stop].to_numpy()
        return found
