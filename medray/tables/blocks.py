"""The token store: training rows as memory-mapped Arrow IPC shards, here or on an object store.

A row is one training unit: `input_ids` of one or several consecutive sequences (`lengths`) that do not see each other,
a `loss_mask` that is 1 where a token is a target, for DPO the `reference` log-probability (nats) of each sequence, and
where it is wanted a `label`: of a pair by how much chosen is rated above rejected, of a labelled row 1 for a desirable
completion and 0 for another; the second sequence of a labelled row is a completion of another prompt behind its own.
`store.json`, with the size and SHA-256 of every shard, is written last: a directory without it is not a store.
"""

from __future__ import annotations

import bisect
import json
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from medray.core.config import UserError
from medray.core.files import written_whole
from medray.core.identity import digest_file
from medray.tables.shard_cache import ShardCache

KINDS = ("causal_lm", "sft", "pairs", "labelled")
_SCHEMA = pa.schema(
    [
        pa.field("input_ids", pa.list_(pa.int32())),
        pa.field("lengths", pa.list_(pa.int32())),
        pa.field("loss_mask", pa.list_(pa.int8())),
        pa.field("reference", pa.list_(pa.float64())),
        pa.field("num_loss_tokens", pa.int32()),
    ]
)
_LABEL = pa.field("label", pa.float64())
_MAX_OPEN = 64
"""Shards mapped at a time: each takes a file descriptor."""
_FACTS = ("tokenizer", "block_tokens", "num_rows", "num_tokens", "num_loss_tokens", "kind", "shards")


class Row(NamedTuple):
    """One training unit, as views into the mapped file: T tokens in len(lengths) sequences."""

    input_ids: np.ndarray
    lengths: np.ndarray
    loss_mask: np.ndarray
    reference: np.ndarray
    label: float = math.nan


_VIEWS = Row._fields[:-1]


def write_shard(directory: Path, number: int, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Write rows, given by column as arrays or lists, as one shard, whole or not at all; its facts."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"part-{number:05d}.arrow"
    schema = _SCHEMA.append(_LABEL) if _LABEL.name in columns else _SCHEMA
    arrays = [pa.array(columns[field.name], type=field.type) for field in schema]
    with written_whole(path) as partial:
        with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            writer.write_batch(pa.record_batch(arrays, schema=schema))
        facts = {"num_rows": len(arrays[0]), "num_bytes": partial.stat().st_size, "sha256": digest_file(partial)}
    return {"name": path.name, **facts}


def block_columns(tokens_T: np.ndarray, starts_S: np.ndarray, block_tokens: int) -> dict[str, Any]:
    """Consecutive tokens (int32) cut into rows of block_tokens, the last may be shorter, as the columns of a shard.

    starts_S: where sequences begin, 0 among them; one that crosses an edge goes on as a new sequence. Every token is a
    target but the first of each sequence, which has nothing before it.
    """
    edges = np.append(np.arange(0, len(tokens_T), block_tokens), len(tokens_T))
    bounds = np.union1d(starts_S, edges)
    sequences = np.searchsorted(bounds, edges).astype(np.int32)
    mask_T = np.ones(len(tokens_T), np.int8)
    mask_T[bounds[:-1]] = 0
    offsets, none = edges.astype(np.int32), np.zeros(len(edges), np.int32)
    return {
        "input_ids": pa.ListArray.from_arrays(offsets, tokens_T),
        "lengths": pa.ListArray.from_arrays(sequences, np.diff(bounds).astype(np.int32)),
        "loss_mask": pa.ListArray.from_arrays(offsets, mask_T),
        "reference": pa.ListArray.from_arrays(none, np.zeros(0)),
        "num_loss_tokens": (np.diff(edges) - np.diff(sequences)).astype(np.int32),
    }


def write_facts(
    directory: Path, kind: str, tokenizer_digest: str, block_tokens: int, shards: Sequence[dict[str, Any]],
    num_tokens: int, num_loss_tokens: int,
) -> dict[str, Any]:  # fmt: skip
    """Make a store of the shards that lie in a directory, here or elsewhere, by writing store.json; its facts."""
    directory.mkdir(parents=True, exist_ok=True)
    facts = {
        "kind": kind, "tokenizer": tokenizer_digest, "block_tokens": block_tokens, "shards": list(shards),
        "num_rows": sum(shard["num_rows"] for shard in shards), "num_tokens": num_tokens,
        "num_loss_tokens": num_loss_tokens,
    }  # fmt: skip
    with written_whole(directory / "store.json") as partial:
        partial.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    return facts


class BlockWriter:
    """Writes a token store into a directory, emptied of an unfinished one first; `close()` makes it a store."""

    def __init__(self, directory: Path, kind: str, tokenizer_digest: str, block_tokens: int, rows_per_shard: int):
        assert kind in KINDS and rows_per_shard > 0, f"kind {kind}, rows_per_shard {rows_per_shard}"
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        for old in [self.directory / "store.json", *self.directory.glob("part-*.arrow")]:
            old.unlink(missing_ok=True)
        self._kind, self._tokenizer, self._block_tokens = kind, tokenizer_digest, block_tokens
        self._rows_per_shard = rows_per_shard
        self._columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
        self._shards: list[dict[str, Any]] = []
        self._num_tokens = self._num_loss_tokens = 0

    def add(
        self,
        input_ids: Sequence[int],
        lengths: Sequence[int],
        loss_mask: Sequence[int],
        reference: Sequence[float] = (),
        label: float | None = None,
    ) -> None:
        """Append one row. The first token of a sequence has nothing before it: its loss_mask is stored as 0."""
        lengths_S = np.asarray(lengths, np.int32)
        mask_T = np.array(loss_mask, np.int8)
        size, block_tokens = len(input_ids), self._block_tokens
        assert size == lengths_S.sum() == len(mask_T) and size > 0 and lengths_S.min() > 0, "row: lengths do not add up"
        assert not block_tokens or size <= block_tokens, f"row of {size} tokens in blocks of {block_tokens}"
        assert self._kind not in ("pairs", "labelled") or len(lengths_S) == 2, f"{self._kind}: two sequences a row"
        assert self._kind != "labelled" or label in (0, 1), f"label {label}: 1 is desirable, 0 is not"
        assert len(reference) in (0, len(lengths_S)), "reference: one value per sequence, or none"
        mask_T[np.cumsum(lengths_S) - lengths_S] = 0
        num_loss_tokens = int(np.count_nonzero(mask_T))
        row = (np.asarray(input_ids, np.int32), lengths_S, mask_T, np.asarray(reference, np.float64), num_loss_tokens)
        for name, value in zip(_SCHEMA.names, row, strict=True):
            self._columns[name].append(value)
        if label is not None:
            self._columns.setdefault(_LABEL.name, []).append(label)
        self._num_tokens += size
        self._num_loss_tokens += num_loss_tokens
        if len(self._columns["lengths"]) == self._rows_per_shard:
            self._flush()

    def _flush(self) -> None:
        self._shards.append(write_shard(self.directory, len(self._shards), self._columns))
        self._columns = {name: [] for name in _SCHEMA.names}

    def close(self) -> dict[str, Any]:
        """Write what is left and then store.json; the facts of the store. Raises UserError for a store of no row."""
        if self._columns["lengths"]:
            self._flush()
        if not self._shards:
            raise UserError(f"{self.directory}: a token store of no row cannot be trained on: give it more text")
        return write_facts(
            self.directory, self._kind, self._tokenizer, self._block_tokens, self._shards, self._num_tokens,
            self._num_loss_tokens,
        )  # fmt: skip


class BlockStore:
    """A finished token store: rows by index, as views into the mapped shards. Pickles as its place.

    url: where the shards lie on an object store, "" when they all lie in the directory. Each is then fetched into the
    directory when it is first needed, and of at most max_bytes the last used ones are kept there.
    """

    def __init__(self, directory: Path, url: str = "", max_bytes: int = 0):
        self.directory = Path(directory)
        self._cache = ShardCache(url, self.directory, max_bytes) if url else None
        if self._cache:
            self._cache.fetch_facts()
        self.facts = _read_facts(self.directory)
        if not self._cache:
            for shard in self.facts["shards"]:
                _check_size(self.directory / shard["name"], shard)
        self._open: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._ends = np.cumsum([shard["num_rows"] for shard in self.facts["shards"]]).tolist()
        self.rows_per_shard = self._ends[0]

    def __reduce__(self) -> tuple[Any, ...]:
        place = (self._cache.url, self._cache.max_bytes) if self._cache else ()
        return (BlockStore, (self.directory, *place))

    def __len__(self) -> int:
        return self.facts["num_rows"]

    def _locate(self, index: int) -> tuple[dict[str, Any], int]:
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of a token store of {len(self)} rows")
        number = bisect.bisect_right(self._ends, index)
        if number in self._open:
            self._open.move_to_end(number)
        else:
            self._open[number] = self._mapped(self.facts["shards"][number])
            # of a bounded cache a mapped shard holds its room even after it was removed
            while len(self._open) > (2 if self._cache else _MAX_OPEN):
                self._open.popitem(last=False)
        return self._open[number], index - (self._ends[number - 1] if number else 0)

    def prefetch(self, index: int) -> None:
        """Have the shard of a row fetched while others are read, where the shards lie on an object store."""
        if self._cache:
            self._cache.prefetch(self.facts["shards"][bisect.bisect_right(self._ends, index)])

    def _mapped(self, shard: dict[str, Any]) -> dict[str, Any]:
        if not self._cache:
            return _map_shard(self.directory / shard["name"])
        with self._cache.shard(shard) as path:
            return _map_shard(path)

    def __getitem__(self, index: int) -> Row:
        columns, i = self._locate(index)
        views = (columns[name][1][columns[name][0][i] : columns[name][0][i + 1]] for name in _VIEWS)
        return Row(*views, float(columns["label"][i]) if "label" in columns else math.nan)

    def num_loss_tokens(self, index: int) -> int:
        """Targets in a row, without reading the row."""
        columns, i = self._locate(index)
        return int(columns["num_loss_tokens"][i])

    def num_tokens(self, index: int) -> int:
        """Tokens in a row, without reading the row."""
        columns, i = self._locate(index)
        offsets = columns["input_ids"][0]
        return int(offsets[i + 1] - offsets[i])


def _read_facts(directory: Path) -> dict[str, Any]:
    path = directory / "store.json"
    if not path.is_file():
        raise UserError(f"{directory}: no store.json, so no finished token store: run the stage that writes it again")
    try:
        facts = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not JSON ({error}), expected a token store's facts: write the store again") from error
    missing = [name for name in _FACTS if not isinstance(facts, dict) or name not in facts]
    if missing:
        raise UserError(f"{path}: {', '.join(missing)} missing, so not a token store of medray: give another directory")
    if not all("sha256" in shard for shard in facts["shards"]):
        raise UserError(f"{path}: a shard without sha256, so a token store of an older medray: write the store again")
    return facts


def _check_size(path: Path, shard: dict[str, Any]) -> None:
    size = path.stat().st_size if path.is_file() else -1
    if size != shard["num_bytes"]:
        found = "no file" if size < 0 else f"{size} bytes"
        raise UserError(f"{path}: {found}, expected {shard['num_bytes']} bytes: the store is damaged, write it again")


def _map_shard(path: Path) -> dict[str, Any]:
    """Offsets and values of each list column, and the plain columns, as views into the mapped file."""
    try:
        batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: not a shard ({error}): the store is damaged, write it again") from error
    columns: dict[str, Any] = {
        name: (batch.column(name).offsets.to_numpy(), batch.column(name).values.to_numpy()) for name in _VIEWS
    }
    plain = [name for name in ("num_loss_tokens", _LABEL.name) if name in batch.schema.names]
    return columns | {name: batch.column(name).to_numpy() for name in plain}
