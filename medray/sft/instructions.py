"""Stage `instructions`: files of instructions with answers, as examples that no benchmark item stands in.

Content: `data/examples.parquet` (EXAMPLE, file after file), `data/account.json` (of every file
the rows in and out, and why the others are not) and `data/certificates.json` (per benchmark the items checked and
found, and in which rows; no text of the benchmarks).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.identity import content_id, stable_hash
from medray.core.schema import EXAMPLE, TableWriter
from medray.core.workspace import Workspace
from medray.sft.rows import InstructionFile, conversation
from medray.tables import gathered
from medray.tables.gathered import GatherConfig, Gathered, Kind

NAME = "instructions"
VERSION = 3

_REASONS = ("contaminated", "repeated", "not_drawn")


class InstructionsConfig(GatherConfig):
    """What a model is tuned on, and what it is judged by and must not hold."""

    files: tuple[InstructionFile, ...] = Field(min_length=1)
    """Of conversations that stand in several, the first file's stays."""
    dev_fraction: float = Field(ge=0, lt=1)
    """Part of the examples, by hash, that is set apart as the split `dev`."""


terms = gathered.terms


def resolve(config: InstructionsConfig) -> InstructionsConfig:
    """The config with every empty digest taken from the files. Raises UserError for a file that is missing."""
    return gathered.resolve(config, NAME)


def run(config: InstructionsConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Read the files, leave out what must not be in, draw what is wanted -> data/examples.parquet.

    Every row is accounted for: in = out + contaminated + repeated + not_drawn + bad. Raises UserError for a file that
    is missing or not that of its digest, for a benchmark that cannot be read, and for too many bad rows.
    """
    from medray.tables.shards import run_remote

    account = run_remote(choose, config, gathered.gather(config, KIND, workspace), workspace)
    sums = {name: sum(row[name] for row in account) for name in ("in", "out", *_REASONS, "bad")}
    return {f"num_{name}": count for name, count in sums.items()} | {f"examples_{r['file']}": r["out"] for r in account}


def _made(config: InstructionsConfig, file: InstructionFile, fields: dict[str, Any]) -> dict[str, Any]:
    return conversation(file, fields)


def _rows(
    config: InstructionsConfig, file: InstructionFile, id: str, made: dict[str, Any]
) -> Iterator[dict[str, Any] | str]:
    is_dev = stable_hash("dev", config.rng_seed, id) < config.dev_fraction * 2**64
    yield {
        "id": id, "source": file.name, "messages": made["messages"], "group": id, "licence": file.licence,
        "split": "dev" if is_dev else "train", "key": content_id(made["messages"]), "text": made["text"],
    }  # fmt: skip


KIND = Kind(NAME, EXAMPLE.append(pa.field("key", pa.string())), _made, _rows, ())


def choose(
    config: InstructionsConfig, facts: Mapping[str, Mapping[str, int]], workspace: Workspace
) -> list[dict[str, Any]]:
    """Write the examples that stay, the certificates and the account of every file, in order, which is returned."""
    rows, account = Gathered(config, workspace, columns=("split",)), []
    with TableWriter(workspace.data / "examples.parquet", EXAMPLE) as examples:
        for file in config.files:
            fates = rows.fates(file)
            for place, i in enumerate(rows.drawn(file, fates)):
                is_wanted = file.max_examples is None or place < file.max_examples
                fates[i] = rows.columns[file.name]["split"][i] if is_wanted else "not_drawn"
            rows.write(examples, file, fates, _REASONS)
            counts = {reason: fates.count(reason) for reason in _REASONS}
            row = {"file": file.name, "licence": file.licence, **facts[file.name]}
            row |= {"out": len(fates) - sum(counts.values()), **counts}
            assert row["in"] == row["out"] + row["bad"] + sum(counts.values()), f"{file.name}: rows are lost: {row}"
            account.append(row)
    rows.certify()
    (workspace.data / "account.json").write_text(json.dumps(account, indent=1) + "\n")
    return account
