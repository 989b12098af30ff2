"""Stage `dedup`: of equal documents, and of similar ones, one stays, whatever source they come from.

Content: `data/documents` (CLEANED), `data/duplicates.parquet` (DUPLICATES: which went, which stays in its place) and
`data/account.json`. Neither the number of parts nor their order changes anything.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Config
from medray.core.workspace import Workspace
from medray.corpus.fates import REASONS, STAYS, decide
from medray.corpus.fingerprints import fingerprint_part
from medray.corpus.steps import StepPlacement, count_sources, keep_parts, parts_of, pass_on, write_account
from medray.tables.shards import Shard, run_shards
from medray.text.minhash import MinHashRules

NAME = "dedup"
VERSION = 1


class DedupPlacement(StepPlacement):
    """How the work is shared out."""

    rows_at_once: int = Field(250_000, ge=1)
    """Documents whose hashes are compared at a time, in one task: about 60 bytes each, 700 if all have duplicates."""


class DedupConfig(Config):
    """Which documents count as the same, and which of them stays."""

    source_priority: tuple[str, ...]
    """Of equal documents the held-out one is kept, then that of the earliest source here; others come after these."""
    near: MinHashRules | None
    """How near-duplicates are found; None: only equal texts (case, blanks and compatibility forms do not count)."""
    placement: DedupPlacement = DedupPlacement()


def run(config: DedupConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Deduplicate the documents of inputs["documents"]. Counters: documents in, out and dropped by reason."""
    parts = parts_of(inputs["documents"])
    shared = {"concurrency": config.placement.concurrency, "unit": "parts"}
    shards = [Shard(f"hashes-{path.stem}", {"path": path}) for path in parts]
    work = partial(fingerprint_part, source_priority=config.source_priority, near=config.near, workspace=workspace)
    keyed = run_shards(workspace, shards, work, **shared)
    work = partial(_decide, stems=[path.stem for path in parts], config=config, workspace=workspace)
    run_shards(workspace, [Shard(f"fates-of-{len(parts)}")], work, unit="tables of hashes")
    stops = np.cumsum([fact["rows"] for fact in keyed.values()]).tolist()
    spans = zip([0, *stops], stops, strict=False)
    shards = [Shard(f"rows-{path.stem}", {"path": path, "span": span}) for path, span in zip(parts, spans, strict=True)]
    facts = run_shards(workspace, shards, partial(_without_duplicates, workspace=workspace), **shared)
    keep_parts(workspace.data / "documents", [path.name for path in parts])
    return write_account(workspace, NAME, (fact["sources"] for fact in facts.values()), inputs["documents"])


def _decide(shard: Shard, *, stems: list[str], config: DedupConfig, workspace: Workspace) -> dict[str, Any]:
    workspace.fetch("scratch/*")
    duplicates = workspace.data / "duplicates.parquet"
    return decide(workspace.scratch, stems, config.near, config.placement.rows_at_once, duplicates)


def _without_duplicates(shard: Shard, *, workspace: Workspace) -> dict[str, Any]:
    """Write the part's documents that stay; facts: the counts of every source."""
    path, (start, stop) = shard.payload["path"], shard.payload["span"]
    workspace.fetch("scratch/fates.npy")
    fates = np.load(workspace.scratch / "fates.npy", mmap_mode="r")[start:stop]
    pass_on(path, workspace.data / "documents" / path.name, fates == STAYS)
    return {"sources": count_sources(path, fates == STAYS, REASONS[fates])}
