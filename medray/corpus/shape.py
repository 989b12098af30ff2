"""What the order of a corpus shows: the mixture along it, and how long its documents are.

The order is a table in parts: one row for each unit, in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_BATCH_ROWS = 1 << 16
_POINTS = 100
_SETTLED_TOKENS = 10_000_000
"""From here on (or from a tenth of a smaller corpus) the mixture is held against its proportions."""


def mixture_along(order: Sequence[Path], proportions: Mapping[str, int], num_tokens: int) -> dict[str, Any]:
    """The share of each category in the prefixes of the corpus, and how far any prefix is off.

    `points`: 100 prefixes of equal steps, {"tokens", category: share}; `max_deviation`: the largest difference of a
    share from its proportion at the end of any unit after `settled_tokens`, as a fraction. Memory: a batch of rows.
    """
    names, total = list(proportions), sum(proportions.values())
    wanted = np.array([proportions[name] for name in names]) / total
    settled = min(_SETTLED_TOKENS, num_tokens // 10)
    marks = np.linspace(0, num_tokens, _POINTS + 1)[1:]
    points: list[dict[str, Any]] = []
    deviation, sums = 0.0, np.zeros(len(names), np.int64)
    for batch in _batches(order, ["category", "num_tokens"]):
        categories = pc.index_in(batch["category"], pa.array(names)).to_numpy()
        grown = np.zeros((len(categories), len(names)), np.int64)
        grown[np.arange(len(categories)), categories] = batch["num_tokens"].to_numpy()
        running = sums + np.cumsum(grown, axis=0)
        ends = running.sum(axis=1)
        shares = running / ends[:, None]
        if (late := ends >= settled).any():
            deviation = max(deviation, float(np.abs(shares[late] - wanted).max()))
        while len(points) < _POINTS and ends[-1] >= marks[len(points)]:
            at = int(np.searchsorted(ends, marks[len(points)]))
            found = dict(zip(names, shares[at].round(4).tolist(), strict=True))
            points.append({"tokens": int(ends[at]), **found})
        sums = running[-1]
    return {"points": points, "max_deviation": round(deviation, 6), "settled_tokens": settled}


def document_lengths(order: Sequence[Path]) -> dict[str, dict[str, int]]:
    """Documents of each source in the corpus by their tokens: those of 2^k to 2^(k+1) - 1 under str(2^k).

    Memory: the names of the documents that are mixed in pieces.
    """
    counts: dict[str, np.ndarray] = {}
    pieces: dict[str, dict[str, int]] = {}
    cut = _cut_documents(order)
    for batch in _batches(order, ["source", "id", "epoch", "num_tokens"]):
        first = pc.equal(batch["epoch"], 0)
        batch = batch.filter(first)
        whole = ~pc.is_in(batch["id"], cut).to_numpy(zero_copy_only=False) if len(cut) else np.ones(len(batch), bool)
        for name in pc.unique(batch["source"]).to_pylist():
            mine = pc.equal(batch["source"], name).to_numpy(zero_copy_only=False)
            lengths = batch["num_tokens"].to_numpy()
            counts[name] = counts.get(name, np.zeros(64, np.int64)) + _histogram(lengths[mine & whole])
            long = batch.filter(pa.array(mine & ~whole))
            of_source = pieces.setdefault(name, {})
            for id, length in zip(long["id"].to_pylist(), long["num_tokens"].to_pylist(), strict=True):
                of_source[id] = of_source.get(id, 0) + length
    for name, found in pieces.items():
        counts[name] += _histogram(np.array(list(found.values()), np.int64))
    return {
        name: {str(1 << k): int(n) for k, n in enumerate(histogram) if n} for name, histogram in sorted(counts.items())
    }


def _cut_documents(order: Sequence[Path]) -> pa.Array:
    """Ids that have more than one piece."""
    found = [pc.unique(batch.filter(pc.greater(batch["piece"], 0))["id"]) for batch in _batches(order, ["id", "piece"])]
    return pc.unique(pa.concat_arrays(found)) if found else pa.array([], pa.string())


def _histogram(lengths: np.ndarray) -> np.ndarray:
    return np.bincount(np.log2(np.maximum(lengths, 1)).astype(int), minlength=64)


def _batches(order: Sequence[Path], columns: list[str]) -> Iterator[pa.RecordBatch]:
    for path in order:
        with pq.ParquetFile(path) as parquet:
            yield from parquet.iter_batches(_BATCH_ROWS, columns=columns)
