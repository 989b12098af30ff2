"""Stage `adopted_pairs`: files of preferences that others have made -> data/pairs.parquet (PAIR), data/account.json.

Split by question, so that no held-out question is learnt from in other words of the answer. data/account.json: of
every file the pairs in and out, and why the others are not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from medray.core.access import Access, combined_licences, strictest
from medray.core.artifact import Artifact
from medray.core.config import Config, Placement, UserError
from medray.core.identity import content_id, stable_hash
from medray.core.schema import PAIR, PROMPT, TableWriter, read_table
from medray.core.workspace import Workspace
from medray.preference.pair_rows import PairFile, pairs_row
from medray.preference.prompt_rows import question_id, spelt
from medray.tables import adopted
from medray.text.options import stem

NAME = "adopted_pairs"
VERSION = 1
UNFIT = ("blank", "identical", "tied", "contradicted", "within_margin", "length")
"""Why a pair is none by itself; contradicted: the rejected answer was given more than the chosen one."""
REASONS = ("fresh_prompt", "repeated", "reversed", "over_cap", "not_drawn")
"""Why a sound pair is not in: its question is among the fresh prompts; it stood before, or the other way round; the
question has enough; more are there than are wanted."""

_READ = PAIR
for _name in ("sides", "turned"):
    _READ = _READ.append(pa.field(_name, pa.string()))
"""PAIR before the choice; sides: digest of the conversation and both answers; turned: of them exchanged."""


class PairsPlacement(Placement):
    """How many files are read at a time."""

    concurrency: int = Field(default=2, ge=1)


class AdoptedPairsConfig(Config):
    """Which preferences, and what is left out of them."""

    files: tuple[PairFile, ...] = Field(min_length=1)
    """Of pairs that stand in several, the first file's stays."""
    heldout_fraction: float = Field(ge=0, lt=1)
    """Part of the questions, by hash, whose pairs are of the split `heldout`."""
    min_margin: float = Field(default=0.0, ge=0)
    """By how much the chosen answer's reward must lead, where the file states rewards; equal ones are never a pair."""
    max_length_ratio: float | None = Field(default=None, ge=1)
    """Most characters of the longer side to one of the shorter."""
    max_pairs_per_question: int | None = Field(default=None, ge=1)
    """Of one file, drawn by hash; None: all."""
    max_bad_fraction: float = Field(ge=0, le=1)
    rng_seed: int
    placement: PairsPlacement = PairsPlacement()

    @model_validator(mode="after")
    def _names_differ(self) -> AdoptedPairsConfig:
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError(f"two files of one name among {', '.join(names)}: rename one")
        return self


def resolve(config: AdoptedPairsConfig) -> AdoptedPairsConfig:
    """The config with every empty digest taken from the files. Raises UserError for a file that is missing."""
    return config.model_copy(update={"files": tuple(adopted.resolve(file, NAME) for file in config.files)})


def terms(config: AdoptedPairsConfig) -> tuple[Access, tuple[str, ...]]:
    """Strictest access class and all licences of the files."""
    return strictest(file.access for file in config.files), combined_licences(file.licence for file in config.files)


def run(config: AdoptedPairsConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """inputs: prompts, where there are any: pairs of a fresh one are left out, of reward_heldout are held out.

    Every pair is accounted for: num_proposed = num_pairs + UNFIT + REASONS; num_rows in = those that propose + bad.
    Counters: these, and num_pairs_train, num_pairs_heldout. Raises UserError for a file that is missing or not that
    of its digest, for too many bad rows, and where no pair is left.
    """
    from medray.tables.shards import Shard, run_remote, run_shards

    shards = [Shard(f"read-{file.name}", {"file": file}) for file in config.files]
    work = partial(read, config=config, workspace=workspace)
    facts = run_shards(workspace, shards, work, concurrency=config.placement.concurrency, unit="files")
    workspace.check_quarantine(sum(fact["rows"] for fact in facts.values()), config.max_bad_fraction)
    found = {file.name: facts[f"read-{file.name}"] for file in config.files}
    prompts = inputs["prompts"].data / "prompts.parquet" if "prompts" in inputs else None
    return run_remote(choose, config, found, prompts, workspace)


def read(shard: Any, *, config: AdoptedPairsConfig, workspace: Workspace) -> dict[str, int]:
    """Write a file's fit pairs to scratch; facts: rows, bad ones, pairs proposed, and those of UNFIT by word."""
    from medray.tables.rows import quarantine_row

    file: PairFile = shard.payload["file"]
    counts, bad = Counter({name: 0 for name in ("rows", "bad", "proposed", *UNFIT)}), []
    with TableWriter(workspace.scratch / f"{file.name}.parquet", _READ) as table:
        for path, number, row in adopted.read_rows(file, NAME, partial(pairs_row, file)):
            counts["rows"] += 1
            if not row.is_good:
                bad.append(quarantine_row(path, row))
                continue
            messages, id = row.fields["messages"], f"{file.name}/{row.fields.get('id', number)}"
            key = content_id([spelt(message["content"]) for message in messages])
            question = question_id(messages[-1]["content"])
            common = {"prompt_id": question, "messages": messages, "split": "", "task": file.task or file.name}
            for pair in row.fields["pairs"]:
                counts["proposed"] += 1
                if reason := unfit(pair, config):
                    counts[reason] += 1
                    continue
                several = f"/{pair['source']}" if file.format == "models" else ""
                names = {"sides": ("chosen", "rejected"), "turned": ("rejected", "chosen")}
                digests = {name: content_id(key, *(pair[side] for side in order)) for name, order in names.items()}
                table.add({**common, **pair, "id": id + several, **digests})
    workspace.quarantine(shard.key, bad)
    return dict(counts) | {"bad": len(bad)}


def unfit(pair: Mapping[str, Any], config: AdoptedPairsConfig) -> str:
    """Why a pair is none: a word of UNFIT, or "" where it is one."""
    chosen, rejected = pair["chosen"], pair["rejected"]
    if not chosen or not rejected:
        return "blank"
    if chosen == rejected:
        return "identical"
    margin = pair["chosen_reward"] - pair["rejected_reward"]
    if margin <= 0:
        return "contradicted" if margin else "tied"
    if margin < config.min_margin:
        return "within_margin"
    short, long = sorted(map(len, (chosen, rejected)))
    return "length" if config.max_length_ratio is not None and long > config.max_length_ratio * short else ""


def choose(
    config: AdoptedPairsConfig, facts: Mapping[str, Mapping[str, int]], prompts: Path | None, workspace: Workspace
) -> dict[str, int]:
    """Write the pairs that stay, and the account of every file; the counters of all of them."""
    workspace.fetch("scratch/*")
    asked = {} if prompts is None else _questions(prompts)
    seen: set[str] = set()
    account, splits = [], Counter({"train": 0, "heldout": 0})
    with TableWriter(workspace.data / "pairs.parquet", PAIR) as pairs:
        for file in config.files:
            path, first = workspace.scratch / f"{file.name}.parquet", 0
            fates = _fates(config, file, path, asked, seen)
            for batch in pq.ParquetFile(path).iter_batches(1024):
                own = fates[first : first + len(batch)]
                table = pa.Table.from_batches([batch])
                table = table.set_column(table.column_names.index("split"), "split", pa.array(own))
                pairs.write(table.filter(pa.array([fate in splits for fate in own])))
                first += len(batch)
            counts = Counter(fates)
            splits.update({name: counts[name] for name in splits})
            row = {"file": file.name, "licence": file.licence, **facts[file.name]}
            account.append(row | {name: counts[name] for name in REASONS} | {"pairs": sum(counts[n] for n in splits)})
    (workspace.data / "account.json").write_text(json.dumps(account, indent=1) + "\n")
    names = ("rows", "bad", "proposed", "pairs", *UNFIT, *REASONS)
    sums = {f"num_{name}": sum(row[name] for row in account) for name in names}
    dropped = sum(sums[f"num_{name}"] for name in (*UNFIT, *REASONS))
    assert sums["num_proposed"] == sums["num_pairs"] + dropped, f"pairs are lost: {sums}"
    if not splits["train"]:
        why = ", ".join(f"{sums[f'num_{name}']} {name}" for name in (*UNFIT, *REASONS) if sums[f"num_{name}"])
        raise UserError(
            f"adopted_pairs: no pair to train on of {sums['num_proposed']} in the files ({why or 'all held out'}): "
            "bring others, or leave out less"
        )
    return sums | {f"num_pairs_{split}": count for split, count in splits.items()}


def _questions(prompts: Path) -> dict[str, str]:
    """The split of each question that is among the prompts."""
    rows = read_table(prompts, PROMPT).select(["messages", "options", "split"]).to_pylist()
    return {question_id(stem(row["messages"][-1]["content"], row["options"])): row["split"] for row in rows}


def _fates(
    config: AdoptedPairsConfig, file: PairFile, path: Path, asked: Mapping[str, str], seen: set[str]
) -> list[str]:
    """What becomes of each pair of a file: its split, or one of REASONS. seen: `sides` of the pairs so far; grows."""
    columns = pq.read_table(path, columns=["id", "prompt_id", "sides", "turned"]).to_pydict()
    ids, questions, *_ = columns.values()
    fates = []
    for question, sides, turned in zip(questions, columns["sides"], columns["turned"], strict=True):
        is_fresh = asked.get(question) == "fresh"
        before = "repeated" if sides in seen else "reversed" if turned in seen else ""
        fates.append("fresh_prompt" if is_fresh else before)
        seen.add(sides)
    free = [i for i, fate in enumerate(fates) if not fate]
    free.sort(key=lambda i: (stable_hash("draw", config.rng_seed, ids[i]), i))
    taken, num_taken = Counter(), 0
    for i in free:
        if config.max_pairs_per_question and taken[questions[i]] >= config.max_pairs_per_question:
            fates[i] = "over_cap"
        elif file.max_pairs and num_taken >= file.max_pairs:
            fates[i] = "not_drawn"
        else:
            taken[questions[i]] += 1
            num_taken += 1
            fates[i] = _split(config, questions[i], asked)
    return fates


def _split(config: AdoptedPairsConfig, question: str, asked: Mapping[str, str]) -> str:
    is_drawn = stable_hash("heldout", config.rng_seed, question) < config.heldout_fraction * 2**64
    return "heldout" if is_drawn or asked.get(question) == "reward_heldout" else "train"
