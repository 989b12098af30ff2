"""Stage `adopted_pairs`: files of preferences that others have made -> data/pairs.parquet (PAIR), data/account.json.

Split by question, so that no held-out question is learnt from in other words of the answer. data/account.json: of
every file the pairs in and out, and why the others are not; data/certificates.json: per benchmark the items checked
and found.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import UserError
from medray.core.identity import content_id, stable_hash
from medray.core.schema import PAIR, PROMPT, TableWriter, read_table
from medray.core.workspace import Workspace
from medray.preference.pair_rows import PairFile, pairs_row
from medray.preference.prompt_rows import question_id, spelt
from medray.tables import gathered
from medray.tables.gathered import GatherConfig, Gathered, Kind
from medray.text.options import stem

NAME = "adopted_pairs"
VERSION = 1
SPLITS = ("train", "heldout")
UNFIT = ("blank", "identical", "tied", "contradicted", "within_margin", "length", "too_long")
"""Why a pair is none by itself; contradicted: the rejected answer was given more than the chosen one."""
REASONS = ("contaminated", "repeated", "reversed", "fresh_prompt", "over_cap", "unbalanced", "not_drawn")
"""Why a sound pair is not in: a benchmark item stands in it; it stood before, or the other way round; its question is
among the fresh prompts; the question has enough; longer (or shorter) answers were chosen more often than the others;
more are there than are wanted."""


class AdoptedPairsConfig(GatherConfig):
    """Which preferences, and what is left out of them."""

    files: tuple[PairFile, ...] = Field(min_length=1)
    """Of pairs that stand in several, the first file's stays."""
    heldout_fraction: float = Field(ge=0, lt=1)
    """Part of the questions, by hash, whose pairs are of the split `heldout`."""
    min_margin: float = Field(default=0.0, ge=0)
    """By how much the chosen answer's reward must lead, where the file states rewards; equal ones are never a pair."""
    max_length_ratio: float | None = Field(default=None, ge=1)
    """Most characters of the longer side to one of the shorter."""
    max_characters: int | None = Field(default=None, ge=1)
    """Of a question with the longer answer; None: any, which only fits where no model is asked beyond its positions."""
    max_pairs_per_question: int | None = Field(default=None, ge=1)
    """Of one file, drawn by hash; None: all."""
    balance_length: bool = False
    """As many pairs of a file in each split have the longer answer chosen as the shorter one, drawn by hash, and none
    two of equal length: what tells only the longer answer wins half of them."""


terms = gathered.terms


def resolve(config: AdoptedPairsConfig) -> AdoptedPairsConfig:
    """The config with every empty digest taken from the files. Raises UserError for a file that is missing."""
    return gathered.resolve(config, NAME)


def run(config: AdoptedPairsConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """inputs: prompts, where there are any: pairs of a fresh one are left out, of reward_heldout are held out.

    Every pair is accounted for: num_proposed = num_pairs + UNFIT + REASONS; num_in, the rows, = those that propose +
    num_bad. Counters: these, and num_pairs_train, num_pairs_heldout. Raises UserError for a file that is missing or not
    that of its digest, for too many bad rows, and where no pair is left.
    """
    from medray.tables.shards import run_remote

    prompts = inputs["prompts"].data / "prompts.parquet" if "prompts" in inputs else None
    return run_remote(choose, config, gathered.gather(config, KIND, workspace), prompts, workspace)


def _made(config: AdoptedPairsConfig, file: PairFile, fields: dict[str, Any]) -> dict[str, Any]:
    return pairs_row(file, fields)


def _rows(config: AdoptedPairsConfig, file: PairFile, id: str, made: dict[str, Any]) -> Iterator[dict[str, Any] | str]:
    messages = made["messages"]
    asked = [spelt(message["content"]) for message in messages]
    question = question_id(messages[-1]["content"])
    common = {"prompt_id": question, "messages": messages, "split": "", "task": file.task or file.name}
    for pair in made["pairs"]:
        yield "proposed"
        if reason := unfit(pair, made["text"], config):
            yield reason
            continue
        several = f"/{pair['source']}" if file.format == "models" else ""
        keys = {"key": content_id(asked, pair["chosen"], pair["rejected"]),
                "turned": content_id(asked, pair["rejected"], pair["chosen"]),
                "longer": len(pair["chosen"]) - len(pair["rejected"])}  # fmt: skip
        text = "\n\n".join([made["text"], pair["chosen"], pair["rejected"]])
        yield common | pair | keys | {"id": id + several, "text": text}


_READ = pa.schema([*PAIR, ("key", pa.string()), ("turned", pa.string()), ("longer", pa.int64())])
"""PAIR before the choice; turned: the key of the pair the other way round; longer: by how many characters chosen is."""
KIND = Kind(NAME, _READ, _made, _rows, ("proposed", *UNFIT))


def unfit(pair: Mapping[str, Any], question: str, config: AdoptedPairsConfig) -> str:
    """Why a pair of answers to a question is none: a word of UNFIT, or "" where it is one."""
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
    if config.max_length_ratio is not None and long > config.max_length_ratio * short:
        return "length"
    return "too_long" if config.max_characters is not None and len(question) + long > config.max_characters else ""


def choose(
    config: AdoptedPairsConfig, facts: Mapping[str, Mapping[str, int]], prompts: Path | None, workspace: Workspace
) -> dict[str, int]:
    """Write the pairs that stay, the certificates, and the account of every file; the counters of all of them."""
    rows = Gathered(config, workspace, columns=("prompt_id", "turned", "longer"))
    asked = {} if prompts is None else _questions(prompts)
    account, splits, seen = [], Counter(dict.fromkeys(SPLITS, 0)), set()
    with TableWriter(workspace.data / "pairs.parquet", PAIR) as pairs:
        for file in config.files:
            fates = _fates(config, file, rows, asked, seen)
            rows.write(pairs, file, fates, REASONS)
            counts = Counter(fates)
            splits.update({name: counts[name] for name in splits})
            row = {"file": file.name, "licence": file.licence, **facts[file.name]}
            account.append(row | {name: counts[name] for name in REASONS} | {"pairs": sum(counts[n] for n in splits)})
    rows.certify()
    (workspace.data / "account.json").write_text(json.dumps(account, indent=1) + "\n")
    names = ("in", "bad", "proposed", "pairs", *UNFIT, *REASONS)
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
    config: AdoptedPairsConfig, file: PairFile, rows: Gathered, asked: Mapping[str, str], seen: set[str]
) -> list[str]:
    """What becomes of each pair of a file: its split, or one of REASONS. seen: keys of the pairs so far; grows."""
    columns = rows.columns[file.name]
    fates, questions = rows.fates(file), columns["prompt_id"]
    for i, (key, turned) in enumerate(zip(columns["key"], columns["turned"], strict=True)):
        if not fates[i]:
            is_fresh = asked.get(questions[i]) == "fresh"
            fates[i] = "reversed" if turned in seen else "fresh_prompt" if is_fresh else ""
        seen.add(key)
    taken, stay = Counter(), []
    for i in rows.drawn(file, fates):
        if config.max_pairs_per_question and taken[questions[i]] >= config.max_pairs_per_question:
            fates[i] = "over_cap"
        else:
            taken[questions[i]] += 1
            fates[i] = _split(config, questions[i], asked)
            stay.append(i)
    if config.balance_length:
        stay = _balanced(stay, fates, columns["longer"])
    for i in stay[file.max_pairs :] if file.max_pairs else ():
        fates[i] = "not_drawn"
    return fates


def _balanced(drawn: list[int], fates: list[str], longer: Sequence[int]) -> list[int]:
    """Of the drawn those that stay, by turns one whose chosen answer is the longer one and one whose is not."""
    sides: dict[tuple[str, bool], list[int]] = {(split, side): [] for split in SPLITS for side in (True, False)}
    for i in drawn:
        if longer[i]:
            sides[fates[i], longer[i] > 0].append(i)
    couples = [both for split in SPLITS for both in zip(sides[split, True], sides[split, False], strict=False)]
    place = {i: number for number, i in enumerate(drawn)}
    stay = [i for both in sorted(couples, key=lambda both: max(place[i] for i in both)) for i in both]
    for i in set(drawn) - set(stay):
        fates[i] = "unbalanced"
    return stay


def _split(config: AdoptedPairsConfig, question: str, asked: Mapping[str, str]) -> str:
    is_drawn = stable_hash("heldout", config.rng_seed, question) < config.heldout_fraction * 2**64
    return "heldout" if is_drawn or asked.get(question) == "reward_heldout" else "train"
