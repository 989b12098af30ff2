"""Stage: preference pairs of judged completions -> data/pairs.parquet (PAIR); data/ledger.parquet (LEDGER)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import pyarrow as pa
from pydantic import Field, model_validator

from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.identity import stable_hash
from medray.core.schema import COMPLETION, PAIR, PROMPT, REWARD, read_table, write_table
from medray.core.workspace import Workspace
from medray.math.ensemble import members
from medray.preference.judge import MEMBERS, correctness

NAME = "preference_pairs"
VERSION = 2

_LEAST_MARGIN = 5e-324
"""Any difference at all."""

OUTCOMES = (
    "pair_gold", "pair_open", "dropped_no_correct", "dropped_no_incorrect", "dropped_tie", "dropped_margin",
    "dropped_length", "dropped_identical", "dropped_blank", "dropped_inconsistent", "dropped_disagreement",
)  # fmt: skip
"""What can become of a prompt; the counters of these sum to the number of prompts."""

LEDGER = pa.schema(
    [
        pa.field(name, kind, nullable=name not in ("prompt_id", "outcome", "round", "policy", "reward_model"))
        for name, kind in {
            "prompt_id": pa.string(), "outcome": pa.string(), "round": pa.string(), "policy": pa.string(),
            "reward_model": pa.string(), "pair_id": pa.string(),
            "chosen_id": pa.string(), "chosen_seed": pa.int64(), "chosen_reward": pa.float64(),
            "rejected_id": pa.string(), "rejected_seed": pa.int64(), "rejected_reward": pa.float64(),
        }.items()
    ]
)  # fmt: skip
"""A row per pair, and one per prompt without any, whose last seven fields are null. policy, reward_model: the artifacts
that sampled and judged; a completion's text is found by its id in those of the round, and made again by its seed."""


class PairsConfig(Config):
    """The selection rule."""

    gold: Literal["mcq_reject", "by_reward"] = "mcq_reject"
    """Of prompts with a gold option. mcq_reject: chosen is correct, rejected is not, whatever their rewards."""
    rule: Literal["max_min", "max_random", "all_pairs"] = "max_min"
    """Which of the pairs that may be: the widest in reward; the best chosen with a rejected one drawn by hash; all."""
    min_margin: float = Field(ge=0)
    """Smallest reward difference that counts as a preference, where reward decides; equal rewards never do."""
    max_length_ratio: float | None = Field(default=None, ge=1)
    """Most tokens of the longer side to one of the shorter, else they are no pair: length is not to be learnt."""
    members_agree: bool = False
    """Whether a pair, where reward decides, needs every reward model of an ensemble to prefer its chosen side."""
    unparsed_is_wrong: bool
    """Whether a completion that names no option, or several, may be rejected; it is never chosen."""
    follows_text: bool = False
    """Whether a completion counts as correct only where the policy's answers to the permuted prompt (those of
    sample.permutations) name the gold text too."""
    rng_seed: int = 0
    source: str = Field(min_length=1)
    """Written into each pair, e.g. round_1."""

    @model_validator(mode="after")
    def _uses_correctness(self) -> PairsConfig:
        if self.follows_text and self.gold != "mcq_reject":
            raise ValueError("follows_text: by_reward asks for no correctness: set gold to mcq_reject, or leave it out")
        return self


class Candidate(NamedTuple):
    """One judged completion of a prompt. correct: 1, 0, -1 (open or unparsed); is_cut: ended by max_tokens."""

    index: int
    text: str
    reward: float
    correct: int
    is_cut: bool
    num_tokens: int = 1
    id: str = ""
    seed: int = 0
    members: tuple[float, ...] = ()
    """What each reward model of an ensemble gave."""


class Choice(NamedTuple):
    """Outcome for one prompt, one of OUTCOMES, with its pairs of chosen and rejected."""

    outcome: str
    pairs: Sequence[tuple[Candidate, Candidate]] = ()


def choose_pairs(
    candidates: Sequence[Candidate], config: PairsConfig, prompt_id: str, *, has_gold: bool, is_consistent: bool = True
) -> Choice:
    """The pairs of one prompt, the widest in reward first; equal ones in order of index.

    is_consistent: whether the policy's answers follow the gold text when the options are shuffled.

    Source: UltraMedical 3.x (correctness before reward; max_min), 2.2 (all pairs of different ratings).
    Choices: a completion cut by max_tokens is chosen only when no whole one could be (it has no ending to imitate); it
    may be rejected. Blank completions, and all but the first of equal ones, are never used. Gold pairs need no margin:
    correctness decides, even where the reward model disagrees.
    """
    filled = [c for c in sorted(candidates) if c.text.strip()]
    usable = list({c.text.strip(): c for c in reversed(filled)}.values())
    if len(usable) < 2:
        return Choice("dropped_identical" if len(filled) > 1 else "dropped_blank")
    by_gold = has_gold and config.gold == "mcq_reject"
    good = [c for c in usable if c.correct == 1] if by_gold else usable
    bad = [c for c in usable if c.correct == 0 or (config.unparsed_is_wrong and c.correct < 0)] if by_gold else usable
    if by_gold and good and not is_consistent:
        return Choice("dropped_inconsistent")
    if not good or not bad:
        return Choice("dropped_no_incorrect" if good else "dropped_no_correct")
    good = [c for c in good if not c.is_cut] or good
    found = [(c, r) for c in good for r in bad if c is not r]
    if not by_gold:
        widest = max(c.reward - r.reward for c, r in found)
        found = [(c, r) for c, r in found if c.reward - r.reward >= max(config.min_margin, _LEAST_MARGIN)]
        if not found:
            return Choice("dropped_tie" if widest == 0 else "dropped_margin")
        found = [(c, r) for c, r in found if not config.members_agree or _all_prefer(c, r)]
        if not found:
            return Choice("dropped_disagreement")
    found = [(c, r) for c, r in found if _are_alike_long(c, r, config.max_length_ratio)]
    if not found:
        return Choice("dropped_length")
    found.sort(key=lambda pair: (pair[1].reward - pair[0].reward, -pair[0].reward, pair[0].index, pair[1].index))
    outcome = "pair_gold" if has_gold else "pair_open"
    match config.rule:
        case "all_pairs":
            return Choice(outcome, found)
        case "max_min":
            return Choice(outcome, found[:1])
        case "max_random":
            best = min((c for c, _ in found), key=lambda c: (-c.reward, c.index))
            drawn = [r for c, r in found if c is best]
            return Choice(outcome, [(best, min(drawn, key=lambda r: _draw(config, prompt_id, r)))])


def run(config: PairsConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """inputs: completions, rewards (data/rewards.parquet), prompts. Counters: num_prompts, num_pairs, OUTCOMES."""
    candidates, prompts, made_by = judged(inputs, workspace.label, config.source)
    if config.members_agree and not all(c.members for found in candidates.values() for c in found):
        raise UserError(
            "preference_pairs.members_agree: one reward model has judged, expected several: set reward.ensemble"
        )
    consistent = _consistent(inputs["completions"]) if config.follows_text else prompts.keys()
    pairs, ledger, counts = [], [], Counter({outcome: 0 for outcome in OUTCOMES})
    for prompt_id in sorted(candidates):
        prompt = prompts[prompt_id]
        flags = {"has_gold": prompt["gold"] >= 0, "is_consistent": prompt_id in consistent}
        choice = choose_pairs(candidates[prompt_id], config, prompt_id, **flags)
        counts[choice.outcome] += 1
        common = {"prompt_id": prompt_id, "outcome": choice.outcome, **made_by}
        rows = [_pair_row(prompt, *pair, config) for pair in choice.pairs]
        ledger += [common | _ledger_part(row["id"], *pair) for row, pair in zip(rows, choice.pairs, strict=True)]
        if not rows:
            ledger.append(common | dict.fromkeys(LEDGER.names[len(common) :]))
        pairs += rows
    assert sum(counts.values()) == len(candidates), "a prompt is not accounted for"
    if not pairs:
        raise UserError(
            f"preference_pairs: none of {len(candidates)} prompts gave a pair ({_worst(counts)}), expected some: "
            "sample more completions, raise the temperature or lower min_margin"
        )
    write_table(workspace.data / "pairs.parquet", pairs, PAIR)
    write_table(workspace.data / "ledger.parquet", ledger, LEDGER)
    return {"num_prompts": len(candidates), "num_pairs": len(pairs), **counts}


def judged(
    inputs: dict[str, Artifact], label: str, source: str
) -> tuple[dict[str, list[Candidate]], dict[str, dict[str, Any]], dict[str, str]]:
    """Judged completions by prompt, the prompts by id, and what the ledger says of all of them.

    inputs: completions, rewards (data/rewards.parquet), prompts. Raises UserError unless each completion has exactly
    one reward, each prompt K completions, and each completion its prompt.
    """
    made_by = {
        "round": source,
        "policy": inputs["completions"].manifest.inputs["policy"].id,
        "reward_model": "+".join(model.id for model in members(inputs["rewards"].manifest.inputs).values()),
    }
    candidates = _candidates(inputs["completions"], inputs["rewards"], label)
    asked = read_table(inputs["prompts"].data / "prompts.parquet", PROMPT).to_pylist()
    prompts = {row["id"]: row for row in asked if row["id"] in candidates}
    if missing := sorted(candidates.keys() - prompts.keys()):
        raise UserError(f"{label}: prompt {missing[0]!r} is not among the prompts: pass those sampled from")
    return candidates, prompts, made_by


def _candidates(completions: Artifact, rewards: Artifact, label: str) -> dict[str, list[Candidate]]:
    reward_of = {row["completion_id"]: row for row in read_table(rewards.data / "rewards.parquet", REWARD).to_pylist()}
    each = rewards.data / "members.parquet"
    gave = {r["completion_id"]: tuple(m["reward"] for m in r["rewards"]) for r in
            (read_table(each, MEMBERS).to_pylist() if each.exists() else ())}  # fmt: skip
    made = read_table(completions.data / "completions", COMPLETION).to_pylist()
    if sorted(reward_of) != sorted(row["id"] for row in made):
        raise UserError(
            f"{label}: {len(reward_of)} rewards for {len(made)} completions with other ids, expected one each: "
            "pass the rewards of these completions"
        )
    by_prompt: defaultdict[str, list[Candidate]] = defaultdict(list)
    for row in made:
        found = reward_of[row["id"]]
        is_cut = row["finish_reason"] == "length"
        by_prompt[row["prompt_id"]].append(
            Candidate(row["index"], row["text"], found["reward"], found["correct"], is_cut, len(row["token_ids"]),
                      row["id"], row["seed"], gave.get(row["id"], ()))
        )  # fmt: skip
    num_completions = max(map(len, by_prompt.values()), default=0)
    for prompt_id, group in by_prompt.items():
        if sorted(c.index for c in group) != list(range(num_completions)):
            raise UserError(
                f"{label}: prompt {prompt_id!r} has {len(group)} completions, others {num_completions}, "
                "expected one K: sample again"
            )
    return by_prompt


def _consistent(completions: Artifact) -> set[str]:
    """Prompts that were asked with their options shuffled and whose answers named the gold text every time.

    Choices: an answer is that of more than half of the completions that name one option; those that name none or
    several do not count. A prompt that could not be permuted is not known to be consistent.
    """
    variants = {row["id"]: row for row in read_table(completions.data / "permuted.parquet", PROMPT).to_pylist()}
    votes: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for row in read_table(completions.data / "permuted", COMPLETION).to_pylist() if variants else ():
        votes[row["prompt_id"]][correctness(row["text"], variants[row["prompt_id"]])] += 1
    follows: defaultdict[str, list[bool]] = defaultdict(list)
    for variant_id in variants:
        follows[variant_id.rpartition("#")[0]].append(votes[variant_id][1] > votes[variant_id][0])
    return {prompt_id for prompt_id, each in follows.items() if all(each)}


def _all_prefer(chosen: Candidate, rejected: Candidate) -> bool:
    return all(c > r for c, r in zip(chosen.members, rejected.members, strict=True))


def _draw(config: PairsConfig, prompt_id: str, candidate: Candidate) -> int:
    return stable_hash("rejected", config.rng_seed, prompt_id, candidate.index)


def _are_alike_long(one: Candidate, other: Candidate, max_ratio: float | None) -> bool:
    lengths = sorted(max(c.num_tokens, 1) for c in (one, other))
    return max_ratio is None or lengths[1] <= max_ratio * lengths[0]


def _ledger_part(pair_id: str, chosen: Candidate, rejected: Candidate) -> dict[str, object]:
    return {
        "pair_id": pair_id,
        "chosen_id": chosen.id, "chosen_seed": chosen.seed, "chosen_reward": chosen.reward,
        "rejected_id": rejected.id, "rejected_seed": rejected.seed, "rejected_reward": rejected.reward,
    }  # fmt: skip


def _pair_row(
    prompt: dict, chosen: Candidate, rejected: Candidate, config: PairsConfig
) -> dict[str, object]:  # fmt: skip
    several = f"/{chosen.index}-{rejected.index}" if config.rule == "all_pairs" else ""
    return {
        "id": f"{config.source}/{prompt['id']}{several}",
        "prompt_id": prompt["id"],
        "source": config.source,
        "messages": prompt["messages"],
        "chosen": chosen.text,
        "rejected": rejected.text,
        "chosen_reward": chosen.reward,
        "rejected_reward": rejected.reward,
        "split": "train",
        "task": prompt["task"],
    }


def _worst(counts: Counter[str]) -> str:
    outcome, number = counts.most_common(1)[0]
    return f"{number} {outcome}"
