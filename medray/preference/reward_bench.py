"""Stage: a benchmark of reward models from rated completions -> data/{bench.jsonl,annotation.jsonl,account.json}.

Source: Zhang et al. 2024 (UltraMedical), 2.2 and appendix C.3: a part of the prompts set aside, their pairs told apart
as easy, hard and length by model and rating; people vote, and where they prefer the other side the pair is "human".
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from medray.core.access import Access
from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.digests import remembered_digest
from medray.core.files import written_whole
from medray.core.identity import digest_file, stable_hash
from medray.core.schema import PAIR, PROMPT, read_table
from medray.core.workspace import Workspace
from medray.preference.annotate import RATING
from medray.tables.adopted import FilePlacement
from medray.tables.formats import sound_rows
from medray.text.answers import normalise_words

NAME = "reward_bench"
VERSION = 1

COLUMNS = ("length", "hard", "easy")
"""Choices: a prompt that fits several stands in the first: what asks more of a prompt is rarer."""
OUTCOMES = (
    "easy", "hard", "length", "human",
    "left_not_drawn", "left_fits_none", "left_over_quota", "left_few_votes", "left_disagreed", "left_neither",
)  # fmt: skip
"""What can become of a held-out prompt; the counters of these sum to their number."""
VOTES = ("a", "b", "neither")

_MIN_AGREEING = 2  # "at least two annotators agreed on the same label"
_MAX_ROW_BYTES = 1_000_000


class Sides(Config):
    """Models whose completion is chosen, and those whose is rejected."""

    chosen: tuple[str, ...] = Field(min_length=1)
    rejected: tuple[str, ...] = Field(min_length=1)


class VotesFile(Config):
    """People's votes: rows of pair_id, annotator and vote (a, b, neither) on what data/annotation.jsonl shows."""

    digest: str = ""
    """SHA-256 of the file; empty: whatever lies there."""
    licence: str
    access: Access
    placement: FilePlacement


class BenchRules(Config):
    """Which pairs make the benchmark. Models go by their names in the recipe; the policy is `own`."""

    num_prompts: int = Field(ge=1)
    """Of the held-out prompts, drawn by hash; all where there are fewer."""
    per_column: int | None = Field(ge=1)
    """Most pairs of easy, hard and length each, before any vote."""
    easy: Sides
    """A strong model over a weak one, the wider in rating the better."""
    hard: tuple[str, ...] = Field(min_length=2)
    """The highest rated of these over the next one below it."""
    hard_gap: int = Field(ge=1, le=4)
    """At most so many rating points lie between the two."""
    length: Sides
    length_gap: int = Field(ge=1, le=4)
    """At least so many rating points lie between the two."""
    max_length_difference: float = Field(ge=0, lt=1)
    """Of the longer side, in words: what still counts as the same length."""
    votes: VotesFile | None
    """None: before the annotation; no pair is checked and the column human is empty."""
    rng_seed: int

    @property
    def models(self) -> set[str]:
        """Names of all models whose completions are compared."""
        return {*self.hard, *(name for sides in (self.easy, self.length) for name in sides.chosen + sides.rejected)}


def resolve(config: BenchRules) -> BenchRules:
    """The config with the digest of the votes, where it is empty, taken from the file. Raises UserError if missing."""
    if config.votes is None:
        return config
    path = Path(config.votes.placement.path).absolute()  # workers run in other directories
    if not path.is_file():
        raise UserError(
            f"reward_bench.votes: no such file {path}, expected votes: correct the path or set votes to None"
        )
    place = FilePlacement(path=str(path))
    votes = config.votes.model_copy(
        update={"placement": place, "digest": config.votes.digest or remembered_digest(path)}
    )
    return config.model_copy(update={"votes": votes})


def terms(config: BenchRules) -> tuple[Access, tuple[str, ...]]:
    """Access class and licence of the votes."""
    return (config.votes.access, (config.votes.licence,)) if config.votes else ("public", ())


def run(config: BenchRules, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """inputs: ratings (of `annotate`: data/ratings.parquet and pairs.parquet), prompts (data/prompts.parquet).

    Only prompts of the split reward_heldout are taken, which no reward model of the run trains on. Counters:
    num_prompts and OUTCOMES. Raises UserError when no pair is left, or a vote cannot be used.
    """
    prompts = {row["id"]: row for row in read_table(inputs["prompts"].data / "prompts.parquet", PROMPT).to_pylist()}
    ratings: dict[str, dict[str, int]] = defaultdict(dict)
    for row in read_table(inputs["ratings"].data / "ratings.parquet", RATING).to_pylist():
        if prompts[row["prompt_id"]]["split"] == "reward_heldout":
            ratings[row["prompt_id"]][row["model"]] = row["rating"]
    pairs = {row["id"]: row for row in read_table(inputs["ratings"].data / "pairs.parquet", PAIR).to_pylist()}
    outcomes, chosen = choose(config, ratings, pairs)
    (workspace.data / "annotation.jsonl").write_text(_lines(_shown(pairs[id]) for id in sorted(chosen)))
    if config.votes:
        outcomes |= _checked(chosen, _votes(config.votes, chosen.keys()))
    rows = [
        _row(pairs[id], ratings[pairs[id]["prompt_id"]], outcomes[pairs[id]["prompt_id"]])
        for id in sorted(chosen) if not outcomes[pairs[id]["prompt_id"]].startswith("left_")
    ]  # fmt: skip
    counts = {outcome: list(outcomes.values()).count(outcome) for outcome in OUTCOMES}
    assert sum(counts.values()) == len(ratings), "a prompt is not accounted for"
    if not rows:
        raise UserError(
            f"{workspace.label}: no pair of {len(ratings)} held-out prompts ({counts}), expected some: rate more, or "
            "correct the models' names"
        )
    with written_whole(workspace.data / "bench.jsonl") as path:
        path.write_text(_lines(rows))
    account = {prompt_id: outcomes[prompt_id] for prompt_id in sorted(outcomes)}
    (workspace.data / "account.json").write_text(json.dumps(account, indent=1) + "\n")
    return {"num_prompts": len(ratings), **counts}


def choose(
    config: BenchRules, ratings: Mapping[str, Mapping[str, int]], pairs: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, str], dict[str, str]]:
    """({prompt id: outcome}, {pair id: column}) before any vote; ratings: by prompt and model; pairs: PAIR rows by
    id."""
    drawn = sorted(ratings, key=lambda prompt_id: stable_hash("reward bench", config.rng_seed, prompt_id))
    outcomes = dict.fromkeys(drawn, "left_not_drawn")
    chosen: dict[str, str] = {}
    sizes: Counter[str] = Counter()
    for prompt_id in drawn[: config.num_prompts]:
        fitting = {column: id for column in COLUMNS if (id := _fitting(column, config, prompt_id, ratings, pairs))}
        open_columns = [c for c in fitting if config.per_column is None or sizes[c] < config.per_column]
        outcomes[prompt_id] = open_columns[0] if open_columns else "left_over_quota" if fitting else "left_fits_none"
        if open_columns:
            sizes[open_columns[0]] += 1
            chosen[fitting[open_columns[0]]] = open_columns[0]
    return outcomes, chosen


def _fitting(
    column: str, config: BenchRules, prompt_id: str, ratings: Mapping[str, Mapping[str, int]],
    pairs: Mapping[str, Mapping[str, Any]],
) -> str | None:  # fmt: skip
    """The pair of the prompt for a column: the widest in rating, then in the recipe's order of models; None: there is
    none."""
    rated = ratings[prompt_id]
    if column == "hard":
        known = sorted((name for name in config.hard if name in rated), key=lambda name: -rated[name])
        below = [name for name in known if rated[name] < rated[known[0]]]
        sides = [(known[0], below[0])] if below and rated[known[0]] - rated[below[0]] <= config.hard_gap else []
    else:
        wanted = config.easy if column == "easy" else config.length
        sides = [(a, b) for a in wanted.chosen for b in wanted.rejected if a in rated and b in rated]
        least = 1 if column == "easy" else config.length_gap
        sides = sorted(
            ((a, b) for a, b in sides if rated[a] - rated[b] >= least), key=lambda ab: rated[ab[1]] - rated[ab[0]]
        )
    ids = [f"{prompt_id}/{a}>{b}" for a, b in sides]
    if column == "length":
        ids = [id for id in ids if _are_alike_long(pairs[id], config.max_length_difference)]
    return ids[0] if ids else None


def _are_alike_long(pair: Mapping[str, Any], most: float) -> bool:
    one, other = (len(normalise_words(pair[side])) for side in ("chosen", "rejected"))
    return abs(one - other) <= most * max(one, other)


def shows_chosen_first(pair_id: str) -> bool:
    """Whether annotators see the judge's choice as a."""
    return stable_hash("shown", pair_id) % 2 == 0


def _shown(pair: Mapping[str, Any]) -> dict[str, Any]:
    """What an annotator sees: which side the judge prefers does not show."""
    sides = [pair["chosen"], pair["rejected"]]
    a, b = sides if shows_chosen_first(pair["id"]) else sides[::-1]
    return {"pair_id": pair["id"], "messages": pair["messages"], "a": a, "b": b}


def _votes(file: VotesFile, known: Any) -> dict[str, Counter[str]]:
    """Votes by pair. Raises UserError for a row that cannot be used, and for a second vote of one annotator."""
    path, where = Path(file.placement.path), "reward_bench.votes"
    if file.digest and path.is_file() and (found := digest_file(path)) != file.digest:
        raise UserError(f"{where}: digest is {found}, expected {file.digest}: get that version, or set the new digest")
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    seen: set[tuple[str, str]] = set()
    for number, row in sound_rows(path, where, (".jsonl", ".json", ".csv", ".parquet"), _MAX_ROW_BYTES):
        pair_id, annotator, vote = (str(row.get(name, "")) for name in ("pair_id", "annotator", "vote"))
        if pair_id not in known or vote not in VOTES or not annotator or (pair_id, annotator) in seen:
            raise UserError(
                f"{where}, row {number}: pair_id {pair_id!r}, annotator {annotator!r}, vote {vote!r}, expected a pair "
                "of annotation.jsonl, one vote of each annotator, a, b or neither: mend the file"
            )
        seen.add((pair_id, annotator))
        votes[pair_id][vote] += 1
    return votes


def _checked(chosen: Mapping[str, str], votes: Mapping[str, Counter[str]]) -> dict[str, str]:
    """The outcome of every chosen prompt after the vote."""
    found = {}
    for pair_id, column in chosen.items():
        prompt_id, cast = pair_id.rsplit("/", 1)[0], votes.get(pair_id, Counter())
        ranked = cast.most_common(2)
        is_tied = len(ranked) == 2 and ranked[0][1] == ranked[1][1]
        if cast.total() < _MIN_AGREEING:
            found[prompt_id] = "left_few_votes"
        elif ranked[0][1] < _MIN_AGREEING or is_tied:
            found[prompt_id] = "left_disagreed"
        elif ranked[0][0] == "neither":
            found[prompt_id] = "left_neither"
        else:
            is_as_judged = (ranked[0][0] == "a") == shows_chosen_first(pair_id)
            found[prompt_id] = column if is_as_judged else "human"
    return found


def _row(pair: Mapping[str, Any], rated: Mapping[str, int], column: str) -> dict[str, Any]:
    """A row in the layout of Medical-RewardBench; people's preference goes before the judge's."""
    names = pair["id"].rsplit("/", 1)[1].split(">")
    sides = [(name, pair[side]) for name, side in zip(names, ("chosen", "rejected"), strict=True)]
    if column == "human":
        sides.reverse()
    made = {
        role: [*pair["messages"], {"role": "assistant", "content": text}]
        for role, (_, text) in zip(("chosen", "rejected"), sides, strict=True)
    }
    by = {
        role: {"model": name, "rating": rated[name]}
        for role, (name, _) in zip(("chosen", "rejected"), sides, strict=True)
    }
    prompt = [message["content"] for message in pair["messages"] if message["role"] == "user"][-1]
    return {"prompt_id": pair["prompt_id"], "label_type": column, "prompt": prompt, **made, "metadata": by}


def _lines(rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
