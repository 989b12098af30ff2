"""The token store: training rows as memory-mapped Arrow IPC shards, and the order in which they are read.

A row is one training unit: `input_ids` of one or several consecutive sequences (`lengths`) that do not see each other,
a `loss_mask` that is 1 where a token is a target, and for DPO the `reference` log-probability (nats) of each sequence.
`store.json` is written last: a directory without it is not a store.
"""

from __future__ import annotations

import bisect
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from medray.core.config import UserError
from medray.core.identity import stable_hash

KINDS = ("causal_lm", "sft", "pairs")
_SCHEMA = pa.schema(
    [
        pa.field("input_ids", pa.list_(pa.int32())),
        pa.field("lengths", pa.list_(pa.int32())),
        pa.field("loss_mask", pa.list_(pa.int8())),
        pa.field("reference", pa.list_(pa.float64())),
        pa.field("num_loss_tokens", pa.int32()),
    ]
)
_FACTS = ("tokenizer", "block_tokens", "num_rows", "num_tokens", "num_loss_tokens", "kind", "shards")
_FEISTEL_ROUNDS = 6


class Row(NamedTuple):
    """One training unit, as views into the mapped file: T tokens in len(lengths) sequences."""

    input_ids: np.ndarray
    lengths: np.ndarray
    loss_mask: np.ndarray
    reference: np.ndarray


class BlockWriter:
    """Writes a token store into a directory, emptied of an unfinished one first; `close()` makes it a store."""

    def __init__(self, directory: Path, kind: str, tokenizer_digest: str, block_tokens: int, rows_per_shard: int):
        assert kind in KINDS and rows_per_shard > 0, f"kind {kind}, rows_per_shard {rows_per_shard}"
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        for old in [self.directory / "store.json", *self.directory.glob("part-*.arrow")]:
            old.unlink(missing_ok=True)
        self._rows_per_shard = rows_per_shard
        self._columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
        self._facts: dict[str, Any] = {
            "kind": kind, "tokenizer": tokenizer_digest, "block_tokens": block_tokens,
            "num_rows": 0, "num_tokens": 0, "num_loss_tokens": 0, "shards": [],
        }  # fmt: skip

    def add(
        self,
        input_ids: Sequence[int],
        lengths: Sequence[int],
        loss_mask: Sequence[int],
        reference: Sequence[float] = (),
    ) -> None:
        """Append one row. The first token of a sequence has nothing before it: its loss_mask is stored as 0."""
        lengths_S = np.asarray(lengths, np.int32)
        mask_T = np.array(loss_mask, np.int8)
        size, block_tokens = len(input_ids), self._facts["block_tokens"]
        assert size == lengths_S.sum() == len(mask_T) and size > 0 and lengths_S.min() > 0, "row: lengths do not add up"
        assert not block_tokens or size <= block_tokens, f"row of {size} tokens in blocks of {block_tokens}"
        assert self._facts["kind"] != "pairs" or len(lengths_S) == 2, "a pair is two sequences: chosen, rejected"
        assert len(reference) in (0, len(lengths_S)), "reference: one value per sequence, or none"
        mask_T[np.cumsum(lengths_S) - lengths_S] = 0
        num_loss_tokens = int(np.count_nonzero(mask_T))
        row = (np.asarray(input_ids, np.int32), lengths_S, mask_T, np.asarray(reference, np.float64), num_loss_tokens)
        for column, value in zip(self._columns.values(), row, strict=True):
            column.append(value)
        self._facts["num_rows"] += 1
        self._facts["num_tokens"] += size
        self._facts["num_loss_tokens"] += num_loss_tokens
        if len(self._columns["lengths"]) == self._rows_per_shard:
            self._flush()

    def _flush(self) -> None:
        shards, rows = self._facts["shards"], len(self._columns["lengths"])
        path = self.directory / f"part-{len(shards):05d}.arrow"
        arrays = [pa.array(self._columns[field.name], type=field.type) for field in _SCHEMA]
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
            writer.write_batch(pa.record_batch(arrays, schema=_SCHEMA))
        shards.append({"name": path.name, "num_rows": rows, "num_bytes": path.stat().st_size})
        self._columns = {name: [] for name in _SCHEMA.names}

    def close(self) -> dict[str, Any]:
        """Write what is left and then store.json; the facts of the store. Raises UserError for a store of no row."""
        if self._columns["lengths"]:
            self._flush()
        if not self._facts["num_rows"]:
            raise UserError(f"{self.directory}: a token store of no row cannot be trained on: give it more text")
        partial = self.directory / ".store.json"
        partial.write_text(json.dumps(self._facts, indent=1, sort_keys=True) + "\n")
        os.replace(partial, self.directory / "store.json")
        return self._facts


class BlockStore:
    """A finished token store: rows by index, as views into the mapped shards. Pickles as its path."""

    def __init__(self, directory: Path):
        self.directory = Path(directory)
        self.facts = _read_facts(self.directory)
        self._shards = [_open_shard(self.directory, shard) for shard in self.facts["shards"]]
        self._ends = np.cumsum([shard["num_rows"] for shard in self.facts["shards"]]).tolist()

    def __reduce__(self) -> tuple[Any, ...]:
        return (BlockStore, (self.directory,))

    def __len__(self) -> int:
        return self.facts["num_rows"]

    def _locate(self, index: int) -> tuple[dict[str, Any], int]:
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of a token store of {len(self)} rows")
        shard = bisect.bisect_right(self._ends, index)
        return self._shards[shard], index - (self._ends[shard - 1] if shard else 0)

    def __getitem__(self, index: int) -> Row:
        columns, i = self._locate(index)
        return Row(*(columns[name][1][columns[name][0][i] : columns[name][0][i + 1]] for name in Row._fields))

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
    return facts


def _open_shard(directory: Path, shard: dict[str, Any]) -> dict[str, Any]:
    """Offsets and values of each list column, and num_loss_tokens, as views into the mapped file."""
    path = directory / shard["name"]
    size = path.stat().st_size if path.is_file() else -1
    if size != shard["num_bytes"]:
        found = "no file" if size < 0 else f"{size} bytes"
        raise UserError(f"{path}: {found}, expected {shard['num_bytes']} bytes: the store is damaged, write it again")
    try:
        batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: not a shard ({error}): the store is damaged, write it again") from error
    columns: dict[str, Any] = {
        name: (batch.column(name).offsets.to_numpy(), batch.column(name).values.to_numpy()) for name in Row._fields
    }
    columns["num_loss_tokens"] = batch.column("num_loss_tokens").to_numpy()
    return columns


def permutation(num_rows: int, rng_seed: int, epoch: int) -> Callable[[int], int]:
    """The order of one epoch: a bijection of range(num_rows), a pure function of its arguments, in constant memory.

    A Feistel network over the next even power of two, walked until it lands inside the range (< 4 rounds on average).
    """
    assert num_rows > 0, "a permutation of no row"
    half_bits = max(1, (max(num_rows - 1, 1).bit_length() + 1) // 2)
    low = (1 << half_bits) - 1
    keys = [stable_hash("row order", rng_seed, epoch, i) for i in range(_FEISTEL_ROUNDS)]

    def permute(index: int) -> int:
        assert 0 <= index < num_rows, f"index {index} of {num_rows} rows"
        while True:
            left, right = index >> half_bits, index & low
            for key in keys:
                mixed = ((right + key) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
                mixed ^= mixed >> 29
                left, right = right, left ^ ((mixed * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF) >> (64 - half_bits))
            index = (left << half_bits) | right
            if index < num_rows:
                return index

    return permute
