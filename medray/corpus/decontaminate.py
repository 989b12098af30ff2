"""Stage `decontaminate`: training documents that hold a benchmark's item are dropped, and it is certified.

Content: `data/documents` (CLEANED), `data/contaminated` (CONTAMINATED: every match), `data/instructions.parquet`
(CONTAMINATED: those of the recipe's own examples and prompts), `data/certificates.json` (per benchmark the items
checked and found, the documents dropped, the matching text) and `data/account.json`.

It stands before `deidentify`, whose surrogates would hide an item. The documents have their identifiers still, so of
their text only words of the item are quoted.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import model_validator

from medray.core.access import Access, combined_licences, strictest
from medray.core.artifact import Artifact
from medray.core.config import Config
from medray.core.files import link
from medray.core.schema import EXAMPLE, PROMPT, QUESTION, TableWriter, read_table, write_table
from medray.core.workspace import Workspace
from medray.corpus import vectors
from medray.corpus.steps import (
    BATCH_ROWS,
    StepPlacement,
    count_sources,
    keep_parts,
    parts_of,
    pass_on,
    read_account,
    write_account,
)
from medray.corpus.vectors import VectorFile
from medray.tables import benchmarks
from medray.tables.benchmarks import BenchmarkFile, read_index, read_items, write_index
from medray.tables.shards import Shard, run_shards
from medray.text.contamination import ContaminationIndex, ContaminationRules, Item, Match, certificates, certify

NAME = "decontaminate"
VERSION = 3
PASSES_TERMS = False
"""The benchmarks' text stands in the certificates and in the tables of matches, never in the documents."""

_COUNTED = ("items_checked", "items_found", "instructions_found")

CONTAMINATED = pa.schema(
    [
        pa.field("id", pa.string()), pa.field("source", pa.string()), pa.field("benchmark", pa.string()),
        pa.field("item", pa.string()), pa.field("aligned_fraction", pa.float64()), pa.field("text", pa.string()),
        pa.field("dropped", pa.bool_()),
    ]
)  # fmt: skip
"""An item that stands in a document; text: the item's own words as they stand there, none of the document's others. Not
dropped are held-out documents, those with quoted questions, and instructions (source: `examples` or `prompts`)."""


class DecontaminateConfig(Config):
    """What no training document may hold."""

    rules: ContaminationRules
    vectors: VectorFile | None = None
    """The vectors that dense rules need."""
    benchmarks: tuple[BenchmarkFile, ...]
    question_splits: tuple[Literal["train", "dev", "test"], ...]
    """Splits of the recipe's own questions that are looked for too, every task as the benchmark `questions:<task>`."""
    quoted_tasks: tuple[str, ...]
    """Tasks of own questions whose stems quote what the corpus is to teach: certified like the others, but documents
    that hold them stay."""
    placement: StepPlacement = StepPlacement()

    @model_validator(mode="after")
    def _vectors_are_for_dense_rules(self) -> DecontaminateConfig:
        if (self.vectors is None) != (self.rules.dense is None):
            raise ValueError("rules.dense and vectors need each other: set both or none")
        return self


def resolve(config: DecontaminateConfig) -> DecontaminateConfig:
    """The config with every empty digest taken from the file. Raises UserError for a file that is missing."""
    found = {"benchmarks": tuple(map(benchmarks.resolve, config.benchmarks))}
    return config.model_copy(update=found | {"vectors": config.vectors and vectors.resolve(config.vectors)})


def terms(config: DecontaminateConfig) -> tuple[Access, tuple[str, ...]]:
    """Strictest access class and all licences of the benchmarks, whose text stands in the certificates."""
    return strictest(b.access for b in config.benchmarks), combined_licences(b.licence for b in config.benchmarks)


def run(config: DecontaminateConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Check inputs["documents"] against the benchmarks and inputs["questions"] (may be left out).

    Held-out documents are no training text: what they hold is certified, and they stay. So it is with the examples and
    prompts that come with the questions. Raises UserError for a benchmark that is missing, cannot be read, or has no
    item that could be found. Counters: documents in, out and dropped; items checked and found.
    """
    parts = parts_of(inputs["documents"])
    names = [path.name for path in parts]
    if not config.benchmarks and "questions" not in inputs:
        return _pass_all(parts, inputs["documents"], workspace)
    work = partial(_build_index, config=config, questions=inputs.get("questions"), workspace=workspace)
    run_shards(workspace, [Shard("index")], work, unit="indexes")
    shards = [Shard(f"check-{path.stem}", {"path": path}) for path in parts]
    stay = frozenset(f"questions:{task}" for task in config.quoted_tasks)
    work = partial(_check_part, stay=stay, file=config.vectors, workspace=workspace)
    facts = run_shards(workspace, shards, work, concurrency=config.placement.concurrency, unit="parts")
    for name in ("documents", "contaminated"):
        keep_parts(workspace.data / name, names)
    work = partial(_check_instructions, questions=inputs.get("questions"), file=config.vectors, workspace=workspace)
    run_shards(workspace, [Shard("instructions")], work, unit="tables")
    work = partial(_certify, names=names, config=config, workspace=workspace)
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
    return dict.fromkeys(_COUNTED, 0) | write_account(workspace, NAME, [counts], documents)


def _build_index(
    shard: Shard, *, config: DecontaminateConfig, questions: Artifact | None, workspace: Workspace
) -> dict[str, Any]:
    """Write the index of all items to scratch, from where every worker takes it."""
    items = [item for file in config.benchmarks for item in read_items(file)]
    if questions:
        rows = read_table(questions.data / "questions.parquet", QUESTION).to_pylist()
        wanted = [row for row in rows if row["split"] in config.question_splits]
        items += [Item(f"questions:{row['task']}", row["id"], row["prompt"], tuple(row["options"])) for row in wanted]
    index = ContaminationIndex.build(items, config.rules, vectors.load(config.vectors))
    write_index(index, workspace)
    return {"items": len(items)}


def _check_part(shard: Shard, *, stay: frozenset[str], file: VectorFile | None, workspace: Workspace) -> dict[str, Any]:
    """Write the part's documents that are clean, and its matches; facts: the counts of every source."""
    path, index, embed = shard.payload["path"], read_index(workspace), vectors.load(file)
    kept = [np.zeros(0, bool)]
    with (
        pq.ParquetFile(path) as parquet,
        TableWriter(workspace.data / "contaminated" / path.name, CONTAMINATED) as matches,
    ):
        for batch in parquet.iter_batches(BATCH_ROWS, columns=["id", "source", "split", "text"]):
            rows = batch.to_pylist()
            keep = np.ones(len(rows), bool)
            for match in index.find(list(map(str, range(len(rows)))), [row["text"] for row in rows], embed):
                number = int(match.document)
                dropped = rows[number]["split"] == "train" and match.benchmark not in stay
                keep[number] &= not dropped
                matches.add(_row(match, rows[number]["source"], rows[number]["id"], dropped))
            kept.append(keep)
    keep = np.concatenate(kept)
    pass_on(path, workspace.data / "documents" / path.name, keep)
    return {"sources": count_sources(path, keep, np.where(keep, "", "contaminated"))}


def _row(match: Match, source: str, id: str, dropped: bool) -> dict[str, Any]:
    found = {name: value for name, value in match._asdict().items() if name != "document"}
    return {"id": id, "source": source, **found, "dropped": dropped}


def _check_instructions(
    shard: Shard, *, questions: Artifact | None, file: VectorFile | None, workspace: Workspace
) -> dict[str, Any]:
    """Write instructions.parquet: the matches of the examples and prompts that come with the questions."""
    index, embed, found = read_index(workspace), vectors.load(file), []
    for name, schema in (("examples", EXAMPLE), ("prompts", PROMPT)) if questions else ():
        rows = read_table(questions.data / f"{name}.parquet", schema).to_pylist()
        texts = ["\n\n".join(message["content"] for message in row["messages"]) for row in rows]
        matches, _ = certify(index, [row["id"] for row in rows], texts, embed)
        found += [_row(match, name, match.document, False) for match in matches]
    write_table(workspace.data / "instructions.parquet", found, CONTAMINATED)
    return {"instructions": len({(row["source"], row["id"]) for row in found})}


def _certify(shard: Shard, *, names: list[str], config: DecontaminateConfig, workspace: Workspace) -> dict[str, Any]:
    """Write certificates.json out of the tables of matches; facts: items checked and found, of all benchmarks."""
    workspace.fetch("data/contaminated/*", "data/instructions.parquet")
    rows = [row for name in names for row in pq.read_table(workspace.data / "contaminated" / name).to_pylist()]
    instructions = pq.read_table(workspace.data / "instructions.parquet").to_pylist()
    dropped = Counter(name for name, *_ in {(row["benchmark"], *_place(row)) for row in rows if row["dropped"]})
    digests = {file.name: file.digest for file in config.benchmarks}
    index = read_index(workspace)
    found = certificates(index, map(_match, rows))
    of_instructions = certificates(index, map(_match, instructions))
    for certificate, other in zip(found, of_instructions, strict=True):
        name, num_documents = certificate["benchmark"], certificate.pop("texts_found")
        certificate |= {"documents_dropped": dropped[name], "documents_kept": num_documents - dropped[name]}
        certificate |= {"instructions_found": other["texts_found"], "digest": digests.get(name, "")}
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (workspace.data / "certificates.json").write_text(text)
    return {name: sum(certificate[name] for certificate in found) for name in _COUNTED}


def _place(row: dict[str, Any]) -> tuple[str, str]:
    return row["source"], row["id"]


def _match(row: dict[str, Any]) -> Match:
    return Match(row["benchmark"], row["item"], "/".join(_place(row)), row["aligned_fraction"], row["text"])
