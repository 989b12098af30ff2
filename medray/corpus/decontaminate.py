"""Stage `decontaminate`: training documents that hold a benchmark's item are dropped, and it is certified.

Content: `data/documents` (CLEANED), `data/contaminated` (CONTAMINATED: every match), `data/certificates.json` (per
benchmark the items checked and found, the documents dropped, the matching text) and `data/account.json`.
"""

from __future__ import annotations

import json
import pickle
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medray.core.access import Access, combined_licences, strictest
from medray.core.artifact import Artifact
from medray.core.config import Config
from medray.core.schema import QUESTION, TableWriter, read_table
from medray.core.workspace import Workspace
from medray.corpus import benchmarks
from medray.corpus.benchmarks import BenchmarkFile, read_items
from medray.corpus.steps import (
    BATCH_ROWS,
    StepPlacement,
    count_sources,
    keep_parts,
    link,
    parts_of,
    pass_on,
    read_account,
    write_account,
)
from medray.tables.shards import Shard, run_shards
from medray.text.contamination import ContaminationIndex, ContaminationRules, Item, Match, certificates

NAME = "decontaminate"
VERSION = 1

CONTAMINATED = pa.schema(
    [
        pa.field("id", pa.string()), pa.field("source", pa.string()), pa.field("benchmark", pa.string()),
        pa.field("item", pa.string()), pa.field("aligned_fraction", pa.float64()), pa.field("text", pa.string()),
        pa.field("dropped", pa.bool_()),
    ]
)  # fmt: skip
"""An item that stands in a document; text: the document's normalised words that are the item."""


class DecontaminateConfig(Config):
    """What no training document may hold."""

    rules: ContaminationRules
    benchmarks: tuple[BenchmarkFile, ...]
    question_splits: tuple[Literal["train", "dev", "test"], ...]
    """Splits of the recipe's own questions that are looked for too, every task as the benchmark `questions:<task>`."""
    quoted_tasks: tuple[str, ...]
    """Tasks of own questions whose stems quote what the corpus is to teach: certified like the others, but documents
    that hold them stay."""
    placement: StepPlacement = StepPlacement()


def resolve(config: DecontaminateConfig) -> DecontaminateConfig:
    """The config with every empty digest taken from the file. Raises UserError for a benchmark that is missing."""
    return config.model_copy(update={"benchmarks": tuple(map(benchmarks.resolve, config.benchmarks))})


def terms(config: DecontaminateConfig) -> tuple[Access, tuple[str, ...]]:
    """Strictest access class and all licences of the benchmarks, whose text stands in the certificates."""
    return strictest(b.access for b in config.benchmarks), combined_licences(b.licence for b in config.benchmarks)


def run(config: DecontaminateConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Check inputs["documents"] against the benchmarks and inputs["questions"] (may be left out).

    Held-out documents are no training text and pass unchecked. Raises UserError for a benchmark that is missing, cannot
    be read, or has no item that could be found. Counters: documents in, out and dropped; items checked and found.
    """
    parts = parts_of(inputs["documents"])
    names = [path.name for path in parts]
    if not config.benchmarks and "questions" not in inputs:
        return _pass_all(parts, inputs["documents"], workspace)
    work = partial(_build_index, config=config, questions=inputs.get("questions"), workspace=workspace)
    run_shards(workspace, [Shard("index")], work, unit="indexes")
    shards = [Shard(f"check-{path.stem}", {"path": path}) for path in parts]
    stay = frozenset(f"questions:{task}" for task in config.quoted_tasks)
    work = partial(_check_part, stay=stay, workspace=workspace)
    facts = run_shards(workspace, shards, work, concurrency=config.placement.concurrency, unit="parts")
    for name in ("documents", "contaminated"):
        keep_parts(workspace.data / name, names)
    work = partial(_certify, names=names, config=config, stay=stay, workspace=workspace)
    (items,) = run_shards(workspace, [Shard(f"certificates-of-{len(parts)}")], work, unit="certificates").values()
    return items | write_account(workspace, NAME, (fact["sources"] for fact in facts.values()), inputs["documents"])


def _pass_all(parts: list[Path], documents: Artifact, workspace: Workspace) -> dict[str, int | float | str]:
    """Nothing to look for: all parts are linked, without being read."""
    for path in parts:
        link(path, workspace.data / "documents" / path.name)
    keep_parts(workspace.data / "documents", [path.name for path in parts])
    (workspace.data / "certificates.json").write_text("[]\n")
    before = read_account(documents.data)[-1]["sources"]
    counts = {name: {"in": source["out"], "out": source["out"]} for name, source in before.items()}
    return {"items_checked": 0, "items_found": 0, **write_account(workspace, NAME, [counts], documents)}


def _build_index(
    shard: Shard, *, config: DecontaminateConfig, questions: Artifact | None, workspace: Workspace
) -> dict[str, Any]:
    """Write the index of all items to scratch, from where every worker takes it."""
    items = [item for file in config.benchmarks for item in read_items(file)]
    if questions:
        rows = read_table(questions.data / "questions.parquet", QUESTION).to_pylist()
        wanted = [row for row in rows if row["split"] in config.question_splits]
        items += [Item(f"questions:{row['task']}", row["id"], row["prompt"], tuple(row["options"])) for row in wanted]
    index = ContaminationIndex.build(items, config.rules)
    partial_path = workspace.scratch / ".index.pickle"
    partial_path.write_bytes(pickle.dumps(index, protocol=pickle.HIGHEST_PROTOCOL))
    partial_path.rename(workspace.scratch / "index.pickle")
    return {"items": len(items)}


def _index(workspace: Workspace) -> ContaminationIndex:
    return pickle.loads((workspace.scratch / "index.pickle").read_bytes())


def _check_part(shard: Shard, *, stay: frozenset[str], workspace: Workspace) -> dict[str, Any]:
    """Write the part's documents that are clean, and its matches; facts: the counts of every source."""
    path, index = shard.payload["path"], _index(workspace)
    kept = [np.zeros(0, bool)]
    with (
        pq.ParquetFile(path) as parquet,
        TableWriter(workspace.data / "contaminated" / path.name, CONTAMINATED) as matches,
    ):
        for batch in parquet.iter_batches(BATCH_ROWS, columns=["id", "source", "split", "text"]):
            rows = batch.to_pylist()
            keep = np.ones(len(rows), bool)
            train = [number for number, row in enumerate(rows) if row["split"] == "train"]
            for match in index.find(list(map(str, train)), [rows[number]["text"] for number in train]):
                number, dropped = int(match.document), match.benchmark not in stay
                keep[number] &= not dropped
                found = {name: value for name, value in match._asdict().items() if name != "document"}
                matches.add({"id": rows[number]["id"], "source": rows[number]["source"], **found, "dropped": dropped})
            kept.append(keep)
    keep = np.concatenate(kept)
    pass_on(path, workspace.data / "documents" / path.name, keep)
    return {"sources": count_sources(path, keep, np.where(keep, "", "contaminated"))}


def _certify(
    shard: Shard, *, names: list[str], config: DecontaminateConfig, stay: frozenset[str], workspace: Workspace
) -> dict[str, Any]:
    """Write certificates.json; facts: items checked and found, of all benchmarks."""
    rows = [
        row for name in names for row in pq.read_table(workspace.data / "contaminated" / name).to_pylist()
    ]  # fmt: skip
    matches = [
        Match(row["benchmark"], row["item"], f"{row['source']}/{row['id']}", row["aligned_fraction"], row["text"])
        for row in rows
    ]
    digests = {file.name: file.digest for file in config.benchmarks}
    found = certificates(_index(workspace), matches)
    for certificate in found:
        name = certificate["benchmark"]
        kept = certificate["documents_dropped"] if name in stay else 0
        certificate["documents_dropped"] -= kept
        certificate |= {"documents_kept": kept, "digest": digests.get(name, "")}
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (workspace.data / "certificates.json").write_text(text)
    return {name: sum(certificate[name] for certificate in found) for name in ("items_checked", "items_found")}
