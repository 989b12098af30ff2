"""Stage `instructions`: files of instructions with answers, as examples that no benchmark item stands in.

Content: `data/examples.parquet` (EXAMPLE, file after file), `data/account.json` (of every file
the rows in and out, and why the others are not) and `data/certificates.json` (per benchmark the items checked and
found, and in which rows; no text of the benchmarks).
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from medray.core.access import Access, combined_licences, strictest
from medray.core.artifact import Artifact
from medray.core.config import Config, Placement
from medray.core.files import written_whole
from medray.core.identity import stable_hash
from medray.core.schema import EXAMPLE, TableWriter
from medray.core.workspace import Workspace
from medray.sft.rows import InstructionFile, conversation
from medray.tables import adopted, benchmarks
from medray.tables.benchmarks import BenchmarkFile
from medray.text.contamination import ContaminationRules

NAME = "instructions"
VERSION = 2

_REASONS = ("contaminated", "repeated", "not_drawn")
_READ = EXAMPLE.append(pa.field("key", pa.string())).append(pa.field("items", pa.list_(pa.string())))
"""EXAMPLE before the choice; key: digest of the conversation; items: `benchmark/item` of what stands in it."""


class InstructionsPlacement(Placement):
    """How many files are read at a time."""

    concurrency: int = Field(default=2, ge=1)


class InstructionsConfig(Config):
    """What a model is tuned on, and what it is judged by and must not hold."""

    files: tuple[InstructionFile, ...] = Field(min_length=1)
    """Of conversations that stand in several, the first file's stays."""
    benchmarks: tuple[BenchmarkFile, ...]
    rules: ContaminationRules | None
    """None: nothing is looked for, which only fits no benchmarks."""
    dev_fraction: float = Field(ge=0, lt=1)
    """Part of the examples, by hash, that is set apart as the split `dev`."""
    max_bad_fraction: float = Field(ge=0, le=1)
    rng_seed: int
    placement: InstructionsPlacement = InstructionsPlacement()

    @model_validator(mode="after")
    def _is_sound(self) -> InstructionsConfig:
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError(f"two files of one name among {', '.join(names)}: rename one")
        if (self.rules is None) == bool(self.benchmarks):
            raise ValueError("rules and benchmarks need each other: set both or none")
        if self.rules and self.rules.dense:
            raise ValueError("rules.dense is not for instructions: leave it out")
        return self


def resolve(config: InstructionsConfig) -> InstructionsConfig:
    """The config with every empty digest taken from the files. Raises UserError for a file that is missing."""
    files = tuple(adopted.resolve(file, NAME) for file in config.files)
    found = tuple(map(benchmarks.resolve, config.benchmarks))
    return config.model_copy(update={"files": files, "benchmarks": found})


def terms(config: InstructionsConfig) -> tuple[Access, tuple[str, ...]]:
    """Strictest access class and all licences of the files; of the benchmarks nothing is kept but the items' ids."""
    return strictest(file.access for file in config.files), combined_licences(file.licence for file in config.files)


def run(config: InstructionsConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Read the files, leave out what must not be in, draw what is wanted -> data/examples.parquet.

    Every row is accounted for: in = out + contaminated + repeated + not_drawn + bad. Raises UserError for a file that
    is missing or not that of its digest, for a benchmark that cannot be read, and for too many bad rows.
    """
    from medray.tables.shards import Shard, run_remote, run_shards

    if config.rules:
        build = partial(_build_index, config=config, workspace=workspace)
        run_shards(workspace, [Shard("index")], build, unit="indexes")
    shards = [Shard(f"read-{file.name}", {"file": file}) for file in config.files]
    work = partial(_read, config=config, workspace=workspace)
    facts = run_shards(workspace, shards, work, concurrency=config.placement.concurrency, unit="files")
    num_rows = sum(fact["in"] for fact in facts.values())
    workspace.check_quarantine(num_rows, config.max_bad_fraction)
    read = {file.name: facts[f"read-{file.name}"] for file in config.files}
    account = run_remote(_choose, config, read, workspace)
    (workspace.data / "account.json").write_text(json.dumps(account, indent=1) + "\n")
    sums = {name: sum(row[name] for row in account) for name in ("in", "out", *_REASONS, "bad")}
    return {f"num_{name}": count for name, count in sums.items()} | {f"examples_{r['file']}": r["out"] for r in account}


def _build_index(shard: Any, *, config: InstructionsConfig, workspace: Workspace) -> dict[str, int]:
    from medray.text.contamination import ContaminationIndex

    items = [item for benchmark in config.benchmarks for item in benchmarks.read_items(benchmark)]
    benchmarks.write_index(ContaminationIndex.build(items, config.rules), workspace)
    return {"items": len(items)}


def _read(shard: Any, *, config: InstructionsConfig, workspace: Workspace) -> dict[str, int]:
    """Write a file's good rows to scratch, with what stands in them; facts: rows in and bad."""
    from medray.tables.rows import quarantine_row

    file: InstructionFile = shard.payload["file"]
    index = benchmarks.read_index(workspace) if config.rules else None
    counts, bad, batch = {"in": 0, "bad": 0}, [], []
    with TableWriter(workspace.scratch / f"{file.name}.parquet", _READ) as table:
        for path, number, row in adopted.read_rows(file, NAME, partial(conversation, file)):
            counts["in"] += 1
            if row.is_good:
                batch.append(_example(file, config, row.fields, number))
            else:
                bad.append(quarantine_row(path, row))
            if len(batch) == 256:
                _write_found(table, batch, index)
        _write_found(table, batch, index)
    workspace.quarantine(shard.key, bad)
    return counts | {"bad": len(bad)}


def _example(file: InstructionFile, config: InstructionsConfig, fields: dict[str, Any], number: str) -> dict[str, Any]:
    id = f"{file.name}/{fields.get('id', number)}"
    key = hashlib.sha256(json.dumps(fields["messages"], sort_keys=True).encode()).hexdigest()
    is_dev = stable_hash("dev", config.rng_seed, id) < config.dev_fraction * 2**64
    return {
        "id": id, "source": file.name, "messages": fields["messages"], "group": id, "licence": file.licence,
        "split": "dev" if is_dev else "train", "key": key,
    }  # fmt: skip


def _write_found(table: TableWriter, batch: list[dict[str, Any]], index: Any) -> None:
    """Write the rows with the benchmark items in them, and empty the batch."""
    texts = ["\n\n".join(message["content"] for message in row["messages"]) for row in batch]
    items: list[list[str]] = [[] for _ in batch]
    for match in index.find(list(map(str, range(len(batch)))), texts) if index and batch else ():
        items[int(match.document)].append(f"{match.benchmark}/{match.item}")
    for row, found in zip(batch, items, strict=True):
        table.add(row | {"items": found})
    batch.clear()


def _choose(config: InstructionsConfig, read: dict[str, dict[str, int]], workspace: Workspace) -> list[dict[str, Any]]:
    """Write the examples that stay and the certificates; the account of every file, in order."""
    workspace.fetch("scratch/*")
    account, seen = [], set()
    found: dict[str, list[str]] = {}
    with TableWriter(workspace.data / "examples.parquet", EXAMPLE) as examples:
        for file in config.files:
            path = workspace.scratch / f"{file.name}.parquet"
            fates = _fates(config, file, path, seen, found)
            first = 0
            for batch in pq.ParquetFile(path).iter_batches(1024):
                mask = pa.array([not fate for fate in fates[first : first + len(batch)]])
                examples.write(pa.Table.from_batches([batch]).filter(mask))
                first += len(batch)
            counts = {reason: fates.count(reason) for reason in _REASONS}
            row = {"file": file.name, "licence": file.licence, **read[file.name], "out": fates.count(""), **counts}
            assert row["in"] == row["out"] + row["bad"] + sum(counts.values()), f"{file.name}: rows are lost: {row}"
            account.append(row)
    _certify(config, found, workspace)
    return account


def _fates(
    config: InstructionsConfig, file: InstructionFile, path: Path, seen: set[str], found: dict[str, list[str]]
) -> list[str]:
    """What becomes of each row of a file: one of _REASONS, or "" where it stays.

    seen: keys of the conversations so far; found: the rows that hold each item so far. Both grow.
    """
    columns = pq.read_table(path, columns=["id", "key", "items"]).to_pydict()
    fates = []
    for id, key, items in zip(*columns.values(), strict=True):
        for item in items:
            found.setdefault(item, []).append(id)
        fates.append("contaminated" if items else "repeated" if key in seen else "")
        seen.add(key)
    free = [i for i, fate in enumerate(fates) if not fate]
    free.sort(key=lambda i: (stable_hash("draw", config.rng_seed, columns["id"][i]), i))
    for i in free[file.max_examples :] if file.max_examples else ():
        fates[i] = "not_drawn"
    return fates


def _certify(config: InstructionsConfig, found: dict[str, list[str]], workspace: Workspace) -> None:
    """Write the certificates; found: by `benchmark/item` the rows that hold it."""
    from medray.text.contamination import Match, certificates

    matches = [Match(*item.split("/", 1), id, 1.0, "") for item, ids in found.items() for id in ids]
    index = benchmarks.read_index(workspace) if config.rules else None
    checked = {row["benchmark"]: row for row in (certificates(index, matches) if index else ())}
    made = []
    for benchmark in config.benchmarks:
        row = checked[benchmark.name]
        held: dict[str, list[str]] = {}
        for match in row["matches"]:
            held.setdefault(match["item"], []).append(match["document"])
        counts = {name: row[name] for name in ("items_checked", "items_unchecked", "items_found")}
        made.append(
            {"benchmark": benchmark.name, "digest": benchmark.digest, **counts,
             "instructions_dropped": row["texts_found"], "found_in": held}
        )  # fmt: skip
    with written_whole(workspace.data / "certificates.json") as path:
        path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
