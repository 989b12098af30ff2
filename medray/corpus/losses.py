"""Everything that the steps of a corpus dropped, in one table that can be browsed, and a few of each reason to look at.

What a step leaves says what it dropped: `dropped/` (clean), `refused/` (deidentify), `duplicates.parquet` (dedup),
`contaminated/` (decontaminate).
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medray.core.artifact import Artifact
from medray.core.identity import stable_hash
from medray.core.schema import TableWriter
from medray.corpus.steps import BATCH_ROWS

LOST = pa.schema([(name, pa.string()) for name in ("step", "source", "reason", "id", "why", "text")])
"""why: what is kept in its place, which item it holds, what looks identified; text: its start, or what was found; null
where it must not be shown. Where the row stood is in the step's own table: it depends on the order of the files."""

_SAMPLES = 8

Row = dict[str, Any]


def _dropped(row: Row) -> Row:
    return {"reason": row["reason"], "why": "", "text": row["start"]}


def _refused(row: Row) -> Row:
    return {"reason": "looks_identified", "why": row["reason"], "text": ""}


def _duplicate(row: Row) -> Row:
    return {"reason": row["reason"], "why": f"kept: {row['kept_source']}/{row['kept_id']}", "text": ""}


def _contaminated(row: Row) -> Row | None:
    why = f"{row['benchmark']}/{row['item']}, {row['aligned_fraction']:.0%} aligned"
    return {"reason": "contaminated", "why": why, "text": row["text"]} if row["dropped"] else None


_TABLES: dict[str, Callable[[Row], Row | None]] = {
    "dropped/*.parquet": _dropped, "refused/*.parquet": _refused, "duplicates.parquet": _duplicate,
    "contaminated/*.parquet": _contaminated,
}  # fmt: skip


def gather(
    steps: Iterable[Artifact], path: Path, is_hidden: Callable[[str], bool], closed: Collection[str]
) -> tuple[list[Row], list[Row]]:
    """Write all losses of the steps to `path` (LOST); a sample of each step, source and reason, and the duplicates.

    What `clean` dropped of a note has its identifiers still: no text of a hidden source, or of a closed benchmark's
    items, leaves its own step's table.
    The sample is drawn by hash, so that the number of parts does not matter. The duplicates are counted by (source,
    source of what stays, reason). Memory: the samples and a batch of rows.
    """
    kept: dict[tuple[str, str, str], list[tuple[int, tuple[Any, ...]]]] = {}
    pairs: Counter[tuple[str, str, str]] = Counter()
    with TableWriter(path, LOST) as writer:
        for step in steps:
            for row, found in _losses(step):
                if is_hidden(row["source"]) or row.get("benchmark") in closed:
                    found["text"] = None
                writer.add(found)
                if "kept_source" in row:
                    pairs[row["source"], row["kept_source"], row["reason"]] += 1
                _draw(kept.setdefault((found["step"], found["source"], found["reason"]), []), found)
    sample = [dict(zip(LOST.names, row, strict=True)) for _, drawn in sorted(kept.items()) for _, row in sorted(drawn)]
    names = ("source", "kept_source", "reason", "count")
    return sample, [dict(zip(names, (*key, count), strict=True)) for key, count in sorted(pairs.items())]


def _losses(step: Artifact) -> Iterator[tuple[Row, Row]]:
    for pattern, of in _TABLES.items():
        for path in sorted(step.data.glob(pattern)):
            with pq.ParquetFile(path) as parquet:
                for batch in parquet.iter_batches(BATCH_ROWS):
                    for row in batch.to_pylist():
                        if found := of(row):
                            yield row, {"step": step.kind, "source": row["source"], "id": row["id"], **found}


def _draw(drawn: list[tuple[int, tuple[Any, ...]]], found: Row) -> None:
    """Keep the different rows of the smallest hashes, as a heap whose first is the largest: (-hash, row)."""
    row = tuple(found[name] for name in LOST.names)
    entry = (-stable_hash("loss", *row), row)
    if len(drawn) < _SAMPLES:
        if entry not in drawn:
            heapq.heappush(drawn, entry)
    elif entry > drawn[0] and entry not in drawn:
        heapq.heapreplace(drawn, entry)


def hidden_sources(sources: Mapping[str, Mapping[str, Any]]) -> Callable[[str], bool]:
    """Whether a source's texts must not be shown: unless all it has is public and not clinical, or if it is unknown."""
    shown = {
        name
        for name, source in sources.items()
        if source["category"] != "clinical" and set(source["access"]) == {"public"}
    }
    return lambda name: name not in shown
