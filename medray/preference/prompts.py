"""Stage `prompts`: a user's files of prompts in disjoint splits -> data/prompts.parquet (PROMPT), data/account.json.

All prompts of one question are in one split: what a reward model or a round has learnt from is never asked again as
held out, and every round has prompts of its own. data/account.json: of every file the rows in and out, and why the
others are not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from medray.core.access import Access, combined_licences, strictest
from medray.core.artifact import Artifact
from medray.core.config import Config, Placement, UserError
from medray.core.identity import stable_hash
from medray.core.schema import PROMPT, TableWriter
from medray.core.workspace import Workspace
from medray.preference.prompt_rows import LEFT_OUT, PromptFile, prompt_row
from medray.tables import adopted

NAME = "prompts"
VERSION = 1
REASONS = ("repeated", "other_split", "not_drawn")
"""Why a sound prompt is in no split: it stood before; its question is in the split of another file; more are there than
are wanted."""

_READ = PROMPT.append(pa.field("key", pa.string()))


class PromptsPlacement(Placement):
    """How many files are read at a time."""

    concurrency: int = Field(default=2, ge=1)


class PromptsConfig(Config):
    """Which prompts there are, and what each is for."""

    files: tuple[PromptFile, ...] = Field(min_length=1)
    """Of prompts that stand in several, the first file's stays."""
    splits: dict[str, int | float]
    """Of what no file has a `split` for: so many prompts (1, 200), or a share of what these numbers leave (0.25, 1.0).
    The recipe's stages know reward_train, reward_heldout, round_1, round_2 ..., fresh."""
    max_characters: int = Field(ge=1)
    """Of all messages of a prompt; longer ones are counted as too_long."""
    max_bad_fraction: float = Field(ge=0, le=1)
    rng_seed: int
    placement: PromptsPlacement = PromptsPlacement()

    @model_validator(mode="after")
    def _is_sound(self) -> PromptsConfig:
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError(f"two files of one name among {', '.join(names)}: rename one")
        wrong = [name for name, size in self.splits.items() if size <= 0 or (isinstance(size, float) and size > 1)]
        if wrong or sum(size for size in self.splits.values() if isinstance(size, float)) > 1 + 1e-9:
            raise ValueError(f"splits: {self.splits}, expected whole numbers, and shares of 1 in all: correct them")
        if not self.splits and not all(file.split for file in self.files):
            raise ValueError("splits: none, and a file has none of its own: give splits, or the file its split")
        return self


def resolve(config: PromptsConfig) -> PromptsConfig:
    """The config with every empty digest taken from the files. Raises UserError for a file that is missing."""
    return config.model_copy(update={"files": tuple(adopted.resolve(file, NAME) for file in config.files)})


def terms(config: PromptsConfig) -> tuple[Access, tuple[str, ...]]:
    """Strictest access class and all licences of the files."""
    return strictest(file.access for file in config.files), combined_licences(file.licence for file in config.files)


def run(config: PromptsConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Read the files, then give every prompt its split.

    Every row is accounted for: in = out + LEFT_OUT + REASONS + bad. Counters: these as num_<word>, and
    prompts_<split>. Raises UserError for a file that is missing or not that of its digest, for too many bad rows, and
    for a split that cannot be filled.
    """
    from medray.tables.shards import Shard, run_remote, run_shards

    shards = [Shard(f"read-{file.name}", {"file": file}) for file in config.files]
    work = partial(read, config=config, workspace=workspace)
    facts = run_shards(workspace, shards, work, concurrency=config.placement.concurrency, unit="files")
    workspace.check_quarantine(sum(fact["in"] for fact in facts.values()), config.max_bad_fraction)
    found = {file.name: facts[f"read-{file.name}"] for file in config.files}
    return run_remote(choose, config, found, workspace)


def read(shard: Any, *, config: PromptsConfig, workspace: Workspace) -> dict[str, int]:
    """Write a file's prompts to scratch; facts: its rows in, bad, and left out by word."""
    from medray.tables.rows import quarantine_row

    file: PromptFile = shard.payload["file"]
    counts, bad = Counter({name: 0 for name in ("in", "bad", *LEFT_OUT)}), []
    make = partial(prompt_row, file, config.rng_seed, config.max_characters)
    with TableWriter(workspace.scratch / f"{file.name}.parquet", _READ) as table:
        for path, number, row in adopted.read_rows(file, NAME, make):
            counts["in"] += 1
            if row.is_good:
                fields = {name: value for name, value in row.fields.items() if name not in ("text", "id")}
                own = {"id": f"{file.name}/{row.fields.get('id', number)}", "task": file.task or file.name}
                table.add({**fields, **own, "split": file.split})
            elif row.left_out:
                counts[row.left_out] += 1
            else:
                bad.append(quarantine_row(path, row))
    workspace.quarantine(shard.key, bad)
    return dict(counts) | {"bad": len(bad)}


def choose(config: PromptsConfig, facts: Mapping[str, Mapping[str, int]], workspace: Workspace) -> dict[str, int]:
    """Write the prompts that are in a split, and the account of every file; the counters of all of them."""
    workspace.fetch("scratch/*")
    paths = {file.name: workspace.scratch / f"{file.name}.parquet" for file in config.files}
    columns = {name: pq.read_table(path, columns=["id", "key", "group"]).to_pydict() for name, path in paths.items()}
    fates = assign(config, columns)
    account, sizes = [], Counter({name: 0 for name in split_names(config)})
    with TableWriter(workspace.data / "prompts.parquet", PROMPT) as prompts:
        for file in config.files:
            own, first = fates[file.name], 0
            for batch in pq.ParquetFile(paths[file.name]).iter_batches(1024):
                splits = pa.array(own[first : first + len(batch)])
                table = pa.Table.from_batches([batch])
                table = table.set_column(table.column_names.index("split"), "split", splits)
                prompts.write(table.filter(pa.array([split not in REASONS for split in splits.to_pylist()])))
                first += len(batch)
            counts = Counter(own)
            sizes.update({name: counts[name] for name in sizes})
            kept = {"out": sum(counts[name] for name in sizes)} | {reason: counts[reason] for reason in REASONS}
            row = {"file": file.name, "licence": file.licence, **facts[file.name], **kept}
            dropped = sum(row[name] for name in ("bad", *LEFT_OUT, *REASONS))
            assert row["in"] == row["out"] + dropped, f"{file.name}: rows are lost: {row}"
            account.append(row)
    (workspace.data / "account.json").write_text(json.dumps(account, indent=1) + "\n")
    sums = {name: sum(row[name] for row in account) for name in ("in", "out", *LEFT_OUT, *REASONS, "bad")}
    return {f"num_{name}": count for name, count in sums.items()} | {f"prompts_{k}": n for k, n in sizes.items()}


def split_names(config: PromptsConfig) -> list[str]:
    """All splits, in name order."""
    return sorted({*config.splits, *(file.split for file in config.files if file.split)})


def assign(config: PromptsConfig, columns: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, list[str]]:
    """What becomes of each row of each file: its split, or one of REASONS.

    columns: id, key and group of the rows, by file. Raises UserError for a split that gets fewer than its number, or
    none.
    """
    seen: set[str] = set()
    fates = {file.name: _drawn(file, config.rng_seed, columns[file.name], seen) for file in config.files}
    where: dict[str, str] = {}  # split by group: first those of the files that have one
    for file in config.files:
        for i in _free(fates[file.name]) if file.split else ():
            given = where.setdefault(columns[file.name]["group"][i], file.split)
            fates[file.name][i] = file.split if given == file.split else "other_split"
    sizes: Counter[str] = Counter()
    for file in config.files:
        groups = columns[file.name]["group"]
        for i in _free(fates[file.name]):
            if groups[i] in where:
                fates[file.name][i] = "other_split"
            else:
                sizes[groups[i]] += 1
    where = _by_hash(config, sizes)
    room = {name: size for name, size in config.splits.items() if isinstance(size, int)}
    for file in config.files:
        ids, groups = (columns[file.name][name] for name in ("id", "group"))
        for i in sorted(_free(fates[file.name]), key=lambda i: (stable_hash("room", config.rng_seed, ids[i]), ids[i])):
            split = where.get(groups[i], "not_drawn")
            if split in room:  # the last question may have more prompts than there is room for
                split, room[split] = (split if room[split] else "not_drawn"), max(0, room[split] - 1)
            fates[file.name][i] = split
    _check_filled(config, fates.values())
    return fates


def _free(fates: Sequence[str]) -> list[int]:
    return [i for i, fate in enumerate(fates) if not fate]


def _drawn(file: PromptFile, rng_seed: int, columns: Mapping[str, Sequence[str]], seen: set[str]) -> list[str]:
    """ "repeated", "not_drawn" or "" of each row of a file; seen grows by its keys."""
    fates = []
    for key in columns["key"]:
        fates.append("repeated" if key in seen else "")
        seen.add(key)
    free = _free(fates)
    free.sort(key=lambda i: (stable_hash("draw", rng_seed, columns["id"][i]), i))
    for i in free[file.max_prompts :] if file.max_prompts else ():
        fates[i] = "not_drawn"
    return fates


def _by_hash(config: PromptsConfig, sizes: Mapping[str, int]) -> dict[str, str]:
    """The split of each question, questions in hash order; sizes: how many prompts each has. Numbers come first."""
    order = sorted(sizes, key=lambda group: (stable_hash("split", config.rng_seed, group), group))
    rest, found = iter(order), {}
    for name, wanted in sorted((name, size) for name, size in config.splits.items() if isinstance(size, int)):
        taken = 0
        while taken < wanted and (group := next(rest, None)) is not None:
            found[group], taken = name, taken + sizes[group]
    left = list(rest)
    total, place, edge = sum(sizes[group] for group in left), 0, 0.0
    shares = sorted((name, size) for name, size in config.splits.items() if isinstance(size, float))
    edges = [(name, edge := edge + share * total) for name, share in shares]
    for group in left:
        name = next((name for name, stop in edges if place < stop - 1e-6), None)
        if name is not None:
            found[group] = name
        place += sizes[group]
    return found


def _check_filled(config: PromptsConfig, fates: Iterable[Sequence[str]]) -> None:
    got = Counter(fate for own in fates for fate in own)
    for name in split_names(config):
        size = config.splits.get(name, 1)
        wanted = size if isinstance(size, int) else 1
        if got[name] < wanted:
            free = sum(got[split] for split in config.splits) + got["not_drawn"]
            raise UserError(
                f"prompts.splits.{name}: {wanted} wanted, {got[name]} left of {free} prompts: want fewer, or bring more"
            )
