"""How instructions, prompts and preferences come in: a user's files, read in the workers, into one table.

Each row of the files makes rows of the table, or is bad, or is left out under a word. Those in which a benchmark item
stands, and those that stood before, are left out too. Every row is counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from medray.core.access import Access, combined_licences, strictest
from medray.core.config import Config, Placement
from medray.core.files import written_whole
from medray.core.identity import stable_hash
from medray.core.schema import TableWriter
from medray.core.workspace import Workspace
from medray.tables import adopted, benchmarks
from medray.tables.adopted import AdoptedFile
from medray.tables.benchmarks import BenchmarkFile
from medray.tables.formats import Fields
from medray.text.contamination import ContaminationRules

_BATCH = 256
_ITEMS = pa.field("items", pa.list_(pa.string()))


class GatherPlacement(Placement):
    """How many files are read at a time."""

    concurrency: int = Field(default=2, ge=1)


class GatherConfig(Config):
    """Which files, and what must not stand in them."""

    files: tuple[AdoptedFile, ...] = Field(min_length=1)
    """Of rows that stand in several, the first file's stays."""
    benchmarks: tuple[BenchmarkFile, ...]
    rules: ContaminationRules | None
    """None: nothing is looked for, which only fits no benchmarks."""
    max_bad_fraction: float = Field(ge=0, le=1)
    rng_seed: int
    placement: GatherPlacement = GatherPlacement()

    @model_validator(mode="after")
    def _files_and_rules_are_sound(self) -> GatherConfig:
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError(f"two files of one name among {', '.join(names)}: rename one")
        if (self.rules is None) == bool(self.benchmarks):
            raise ValueError("rules and benchmarks need each other: set both or none")
        if self.rules and self.rules.dense:
            raise ValueError("rules.dense is not for rows of files: leave it out")
        return self


G = TypeVar("G", bound=GatherConfig)


@dataclass(frozen=True)
class Kind:
    """What is gathered. Of module-level functions, which the workers find by name."""

    stage: str
    schema: pa.Schema
    """Of the table before the choice: `id`, `key` (equal ones are one row) and `split` are among its columns."""
    make: Callable[[Any, Any, Fields], Fields]
    """(config, file, fields of a row) -> what it says, `text` all of it; raises BadRow, or LeftOut with a word."""
    rows: Callable[[Any, Any, str, Fields], Iterable[Fields | str]]
    """(config, file, id, what was made) -> rows with the text in which items are looked for, or words."""
    words: tuple[str, ...]
    """Under which what is left out is counted."""


def resolve(config: G, stage: str) -> G:
    """The config with every empty digest taken from the files. Raises UserError for a file that is missing."""
    files = tuple(adopted.resolve(file, stage) for file in config.files)
    found = tuple(map(benchmarks.resolve, config.benchmarks))
    return config.model_copy(update={"files": files, "benchmarks": found})


def terms(config: GatherConfig) -> tuple[Access, tuple[str, ...]]:
    """Strictest access class and all licences of the files; of the benchmarks nothing is kept but the items' ids."""
    return strictest(file.access for file in config.files), combined_licences(file.licence for file in config.files)


def gather(config: GatherConfig, kind: Kind, workspace: Workspace) -> dict[str, dict[str, int]]:
    """Write every file's rows to scratch; by file its counts: in, bad, and each of the kind's words.

    Raises UserError for a file that is missing or not that of its digest, for a benchmark that cannot be read, and for
    too many bad rows.
    """
    from medray.tables.shards import Shard, run_shards

    if config.rules:
        build = partial(build_index, config=config, workspace=workspace)
        run_shards(workspace, [Shard("index")], build, unit="indexes")
    shards = [Shard(f"read-{file.name}", {"file": file}) for file in config.files]
    work = partial(read, config=config, kind=kind, workspace=workspace)
    facts = run_shards(workspace, shards, work, concurrency=config.placement.concurrency, unit="files")
    workspace.check_quarantine(sum(fact["in"] for fact in facts.values()), config.max_bad_fraction)
    return {file.name: facts[f"read-{file.name}"] for file in config.files}


def build_index(shard: Any, *, config: GatherConfig, workspace: Workspace) -> dict[str, int]:
    """Keep the index of all benchmark items in scratch."""
    from medray.text.contamination import ContaminationIndex

    items = [item for benchmark in config.benchmarks for item in benchmarks.read_items(benchmark)]
    benchmarks.write_index(ContaminationIndex.build(items, config.rules), workspace)
    return {"items": len(items)}


def read(shard: Any, *, config: GatherConfig, kind: Kind, workspace: Workspace) -> dict[str, int]:
    """Write the rows of the shard's file to scratch, with the items that stand in each; facts: its counts."""
    from medray.tables.rows import quarantine_row

    file: AdoptedFile = shard.payload["file"]
    index = benchmarks.read_index(workspace) if config.rules else None
    counts, bad, batch = Counter(dict.fromkeys(("in", "bad", *kind.words), 0)), [], []
    with TableWriter(workspace.scratch / f"{file.name}.parquet", kind.schema.append(_ITEMS)) as table:
        for path, number, row in adopted.read_rows(file, kind.stage, partial(kind.make, config, file)):
            counts["in"] += 1
            if row.left_out:
                counts[row.left_out] += 1
            elif not row.is_good:
                counts["bad"] += 1
                bad.append(quarantine_row(path, row))
            else:
                for made in kind.rows(config, file, f"{file.name}/{row.fields.get('id', number)}", row.fields):
                    if isinstance(made, str):
                        counts[made] += 1
                    else:
                        batch.append(made)
            if len(batch) >= _BATCH:
                _write_found(table, batch, index)
        _write_found(table, batch, index)
    workspace.quarantine(shard.key, bad)
    return dict(counts)


def _write_found(table: TableWriter, batch: list[Fields], index: Any) -> None:
    """Write the rows with the benchmark items in them, and empty the batch."""
    texts = [row.pop("text") for row in batch]
    items: list[list[str]] = [[] for _ in batch]
    for match in index.find(list(map(str, range(len(batch)))), texts) if index and batch else ():
        items[int(match.document)].append(f"{match.benchmark}/{match.item}")
    for row, found in zip(batch, items, strict=True):
        table.add(row | {"items": found})
    batch.clear()


class Gathered:
    """The rows of all files in scratch, column by column, and what has been found in them."""

    def __init__(self, config: GatherConfig, workspace: Workspace, columns: Sequence[str] = ()) -> None:
        workspace.fetch("scratch/*")
        self._config, self._workspace = config, workspace
        self.columns = {
            file.name: pq.read_table(self._path(file.name), columns=["id", "key", "items", *columns]).to_pydict()
            for file in config.files
        }
        self._found: dict[str, list[str]] = {}
        self._seen: set[str] = set()

    def _path(self, name: str) -> Path:
        return self._workspace.scratch / f"{name}.parquet"

    def fates(self, file: AdoptedFile) -> list[str]:
        """Of each row "contaminated", "repeated" (of any file asked for before) or "": it may stay."""
        fates = []
        columns = self.columns[file.name]
        for id, key, items in zip(columns["id"], columns["key"], columns["items"], strict=True):
            for item in items:
                self._found.setdefault(item, []).append(id)
            fates.append("contaminated" if items else "repeated" if key in self._seen else "")
            self._seen.add(key)
        return fates

    def drawn(self, file: AdoptedFile, fates: Sequence[str]) -> list[int]:
        """The places of the rows that may stay, in hash order of their ids."""
        ids = self.columns[file.name]["id"]
        free = [i for i, fate in enumerate(fates) if not fate]
        return sorted(free, key=lambda i: (stable_hash("draw", self._config.rng_seed, ids[i]), i))

    def write(self, table: TableWriter, file: AdoptedFile, fates: Sequence[str], reasons: Collection[str]) -> None:
        """Append the rows whose fate is a split, not one of the reasons, in the order of the file."""
        first = 0
        for batch in pq.ParquetFile(self._path(file.name)).iter_batches(1024):
            own = fates[first : first + len(batch)]
            rows = pa.Table.from_batches([batch])
            rows = rows.set_column(rows.column_names.index("split"), "split", pa.array(own, pa.string()))
            table.write(rows.filter(pa.array([fate not in reasons for fate in own])))
            first += len(batch)

    def certify(self) -> None:
        """Write data/certificates.json: per benchmark the items checked and found, and in which rows, without text."""
        from medray.text.contamination import Match, certificates

        matches = [Match(*item.split("/", 1), id, 1.0, "") for item, ids in self._found.items() for id in ids]
        index = benchmarks.read_index(self._workspace) if self._config.rules else None
        checked = {row["benchmark"]: row for row in (certificates(index, matches) if index else ())}
        made = [_certificate(benchmark, checked[benchmark.name]) for benchmark in self._config.benchmarks]
        with written_whole(self._workspace.data / "certificates.json") as path:
            path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")


def _certificate(benchmark: BenchmarkFile, row: Mapping[str, Any]) -> dict[str, Any]:
    held: dict[str, list[str]] = {}
    for match in row["matches"]:
        held.setdefault(match["item"], []).append(match["document"])
    counts = {name: row[name] for name in ("items_checked", "items_unchecked", "items_found")}
    whole = {"benchmark": benchmark.name, "digest": benchmark.digest, **counts}
    return whole | {"rows_dropped": row["texts_found"], "found_in": held}
