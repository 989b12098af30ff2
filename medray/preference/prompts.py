"""Stage `prompts`: a user's files of prompts in disjoint splits -> data/prompts.parquet (PROMPT), data/account.json.

All prompts of one question are in one split: what a reward model or a round has learnt from is never asked again as
held out, and every round has prompts of its own. data/account.json: of every file the rows in and out, and why the
others are not; data/certificates.json: per benchmark the items checked and found.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pydantic import Field, model_validator

from medray.core.artifact import Artifact
from medray.core.config import UserError
from medray.core.identity import stable_hash
from medray.core.schema import PROMPT, TableWriter
from medray.core.workspace import Workspace
from medray.preference.prompt_rows import LEFT_OUT, PromptFile, prompt_row
from medray.tables import gathered
from medray.tables.gathered import GatherConfig, Gathered, Kind

NAME = "prompts"
VERSION = 1
REASONS = ("contaminated", "repeated", "other_split", "not_drawn")
"""Why a sound prompt is in no split: a benchmark item stands in it; it stood before; its question is in the split of
another file; more are there than are wanted."""


class PromptsConfig(GatherConfig):
    """Which prompts there are, what each is for, and what models are judged by and must not be trained on."""

    files: tuple[PromptFile, ...] = Field(min_length=1)
    """Of prompts that stand in several, the first file's stays."""
    splits: dict[str, int | float]
    """Of what no file has a `split` for: so many prompts (1, 200), or a share of what these numbers leave (0.25, 1.0).
    The recipe's stages know reward_train, reward_heldout, round_1, round_2 ..., fresh."""
    max_characters: int = Field(ge=1)
    """Of all messages of a prompt; longer ones are counted as too_long."""

    @model_validator(mode="after")
    def _splits_are_sound(self) -> PromptsConfig:
        wrong = [name for name, size in self.splits.items() if size <= 0 or (isinstance(size, float) and size > 1)]
        if wrong or sum(size for size in self.splits.values() if isinstance(size, float)) > 1 + 1e-9:
            raise ValueError(f"splits: {self.splits}, expected whole numbers, and shares of 1 in all: correct them")
        if not self.splits and not all(file.split for file in self.files):
            raise ValueError("splits: none, and a file has none of its own: give splits, or the file its split")
        if taken := {*REASONS, ""} & {*self.splits, *(file.split for file in self.files if file.split)}:
            raise ValueError(f"splits: {', '.join(taken)} cannot be the name of one: rename it")
        return self


terms = gathered.terms


def resolve(config: PromptsConfig) -> PromptsConfig:
    """The config with every empty digest taken from the files. Raises UserError for a file that is missing."""
    return gathered.resolve(config, NAME)


def run(config: PromptsConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Read the files, then give every prompt its split.

    Every row is accounted for: in = out + LEFT_OUT + REASONS + bad. Counters: these as num_<word>, and
    prompts_<split>. Raises UserError for a file that is missing or not that of its digest, for too many bad rows, and
    for a split that cannot be filled.
    """
    from medray.tables.shards import run_remote

    return run_remote(choose, config, gathered.gather(config, KIND, workspace), workspace)


def _made(config: PromptsConfig, file: PromptFile, fields: dict[str, Any]) -> dict[str, Any]:
    return prompt_row(file, config.rng_seed, config.max_characters, fields)


def _rows(config: PromptsConfig, file: PromptFile, id: str, made: dict[str, Any]) -> Iterator[dict[str, Any] | str]:
    own = {name: value for name, value in made.items() if name != "id"}
    yield own | {"id": id, "task": file.task or file.name, "split": file.split}


KIND = Kind(NAME, PROMPT.append(pa.field("key", pa.string())), _made, _rows, LEFT_OUT)


def choose(config: PromptsConfig, facts: Mapping[str, Mapping[str, int]], workspace: Workspace) -> dict[str, int]:
    """Write the prompts that are in a split, the certificates, and the account of every file; the counters of all."""
    rows = Gathered(config, workspace, columns=("group",))
    fates = assign(config, rows)
    account, sizes = [], Counter(dict.fromkeys(split_names(config), 0))
    with TableWriter(workspace.data / "prompts.parquet", PROMPT) as prompts:
        for file in config.files:
            rows.write(prompts, file, fates[file.name], REASONS)
            counts = Counter(fates[file.name])
            sizes.update({name: counts[name] for name in sizes})
            kept = {"out": sum(counts[name] for name in sizes)} | {reason: counts[reason] for reason in REASONS}
            row = {"file": file.name, "licence": file.licence, **facts[file.name], **kept}
            dropped = sum(row[name] for name in ("bad", *LEFT_OUT, *REASONS))
            assert row["in"] == row["out"] + dropped, f"{file.name}: rows are lost: {row}"
            account.append(row)
    rows.certify()
    (workspace.data / "account.json").write_text(json.dumps(account, indent=1) + "\n")
    sums = {name: sum(row[name] for row in account) for name in ("in", "out", *LEFT_OUT, *REASONS, "bad")}
    return {f"num_{name}": count for name, count in sums.items()} | {f"prompts_{k}": n for k, n in sizes.items()}


def split_names(config: PromptsConfig) -> list[str]:
    """All splits, in name order."""
    return sorted({*config.splits, *(file.split for file in config.files if file.split)})


def assign(config: PromptsConfig, rows: Gathered) -> dict[str, list[str]]:
    """What becomes of each row of each file: its split, or one of REASONS.

    Raises UserError for a split that gets fewer than its number, or none.
    """
    columns = rows.columns
    fates = {file.name: rows.fates(file) for file in config.files}
    for file in config.files:
        for i in rows.drawn(file, fates[file.name])[file.max_prompts :] if file.max_prompts else ():
            fates[file.name][i] = "not_drawn"
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
        for i in rows.drawn(file, fates[file.name]):
            split = where.get(columns[file.name]["group"][i], "not_drawn")
            if split in room:  # the last question may have more prompts than there is room for
                split, room[split] = (split if room[split] else "not_drawn"), max(0, room[split] - 1)
            fates[file.name][i] = split
    _check_filled(config, fates.values())
    return fates


def _free(fates: Sequence[str]) -> list[int]:
    return [i for i, fate in enumerate(fates) if not fate]


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
