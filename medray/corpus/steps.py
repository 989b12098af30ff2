"""How the steps of the corpus hand documents on: a table in parts, and an account of what became of every row.

Each of them leaves `documents/part-*.parquet` and `account.json`, which holds the accounts of the steps before it too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Placement
from medray.core.files import link
from medray.core.mirror import remove
from medray.core.schema import DOCUMENT, PROVENANCE, TableWriter
from medray.core.workspace import Workspace

CLEANED = pa.schema([*DOCUMENT, *PROVENANCE])
"""A document between the steps: DOCUMENT with its PROVENANCE."""

BATCH_ROWS = 256

Counts = dict[str, Counter[str]]
"""By source: rows in and out, quarantined, and dropped as `dropped.<reason>`; passages cut as `removed.<rule>`."""


class StepPlacement(Placement):
    """How many parts are worked on at a time."""

    concurrency: int = Field(2, ge=1)


def parts_of(artifact: Artifact) -> list[Path]:
    """The parts of a step's documents, in order of name."""
    return sorted((artifact.data / "documents").glob("part-*.parquet"))


def keep_parts(directory: Path, names: Collection[str]) -> None:
    """Remove what an attempt with another number of shards has left in a table's directory."""
    for path in directory.glob("part-*.parquet"):
        if path.name not in names:
            remove(path)


def pass_on(source: Path, target: Path, keep: np.ndarray) -> None:
    """Write the rows of a part that stay (keep: bool, of each row); where all of them stay the part is linked."""
    if keep.all():
        return link(source, target)
    at = 0
    with pq.ParquetFile(source) as parquet, TableWriter(target, CLEANED) as writer:
        for batch in parquet.iter_batches(BATCH_ROWS):
            writer.write(pa.Table.from_batches([batch]).filter(pa.array(keep[at : at + len(batch)])))
            at += len(batch)


def count_sources(path: Path, keep: np.ndarray, reasons: np.ndarray) -> Counts:
    """What became of the rows of a part, by source; reasons: text, of each row that does not stay."""
    counts: Counts = {}
    sources = pq.read_table(path, columns=["source"])["source"].combine_chunks()
    names = pc.dictionary_encode(sources)
    for code, name in enumerate(names.dictionary.to_pylist()):
        mine = names.indices.to_numpy() == code
        lost = Counter(f"dropped.{reason}" for reason in reasons[mine & ~keep].tolist())
        counts[name] = Counter({"in": int(mine.sum()), "out": int((mine & keep).sum())}) + lost
    return counts


def write_account(
    workspace: Workspace, step: str, counts: Iterable[Counts], before: Artifact | None = None
) -> dict[str, int]:
    """Write the accounts of all steps so far, this one's summed over its shards; the counters of this one.

    in = out + dropped + quarantined of every source, and what the step before put out has come in.
    """
    total: Counts = {}
    for source, count in (item for shard in counts for item in shard.items()):
        total.setdefault(source, Counter()).update(count)
    steps = read_account(before.data) if before else []
    if steps:
        handed = {name: source["out"] for name, source in steps[-1]["sources"].items() if source["out"]}
        taken = {name: count["in"] for name, count in total.items() if count["in"]}
        assert handed == taken, f"{step}: rows in by source {taken}, handed on {handed}"
    sources = {name: _balanced(f"{step}, {name}", count) for name, count in sorted(total.items())}
    steps.append({"step": step, "sources": sources, "total": _balanced(step, sum(total.values(), Counter()))})
    text = json.dumps(steps, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (workspace.data / "account.json").write_text(text)
    return counters(steps[-1]["total"])


def read_account(data: Path) -> list[dict[str, Any]]:
    """The accounts of all steps up to the one with this content, in order."""
    return json.loads((data / "account.json").read_text())


def joined(steps: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """All steps as one, per source and in all ("total"): in = out + quarantined + dropped, by `<step>: <reason>`."""
    found: dict[str, dict[str, Any]] = {}
    for step in steps:
        for name, source in [*step["sources"].items(), ("total", step["total"])]:
            whole = found.setdefault(name, {"in": source["in"], "out": 0, "quarantined": 0, "dropped": {}})
            whole["quarantined"] += source["quarantined"]
            whole["dropped"] |= {f"{step['step']}: {reason}": number for reason, number in source["dropped"].items()}
    for name, source in [*steps[-1]["sources"].items(), ("total", steps[-1]["total"])]:
        found[name]["out"] = source["out"]
    for name, whole in found.items():
        left = whole["in"] - whole["out"] - whole["quarantined"] - sum(whole["dropped"].values())
        assert not left, f"{name}: {left} rows are unaccounted for in {whole}"
    return found


def counters(total: dict[str, Any]) -> dict[str, int]:
    """A step's total as the counters of its manifest."""
    dropped = {f"dropped_{reason}": number for reason, number in total["dropped"].items()}
    removed = {f"removed_{rule}": number for rule, number in total.get("removed", {}).items()}
    flat = {name: total[name] for name in ("in", "out", "quarantined")}
    return {**flat, "dropped": sum(dropped.values()), **dropped, **removed}


def _balanced(where: str, count: Counter[str]) -> dict[str, Any]:
    dropped, removed = (
        {name.removeprefix(prefix): n for name, n in sorted(count.items()) if name.startswith(prefix)}
        for prefix in ("dropped.", "removed.")
    )
    found = {**{name: count[name] for name in ("in", "out", "quarantined")}, "dropped": dropped}
    left = found["in"] - found["out"] - found["quarantined"] - sum(dropped.values())
    assert not left, f"{where}: {left} rows are unaccounted for in {found}"
    return {**found, "removed": removed} if removed else found
