"""Stage: a preference pair per prompt -> data/pairs.parquet (PAIR); data/ledger.parquet (outcome of each prompt)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.schema import COMPLETION, PAIR, PROMPT, REWARD, read_table, write_table
from medray.core.workspace import Workspace

NAME = "preference_pairs"
VERSION = 1

OUTCOMES = (
    "pair_gold", "pair_open", "dropped_no_correct", "dropped_no_incorrect", "dropped_tie", "dropped_margin",
    "dropped_identical", "dropped_blank",
)  # fmt: skip
"""What can become of a prompt; the counters of these sum to the number of prompts."""

LEDGER = pa.schema(
    [
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("chosen_index", pa.int32(), nullable=False),
        pa.field("rejected_index", pa.int32(), nullable=False),
        pa.field("margin", pa.float64(), nullable=False),
    ]
)
"""Index -1 where no completion was picked; margin: chosen minus rejected reward, 0 where nothing was compared."""


class PairsConfig(Config):
    """The selection rule."""

    min_margin: float = Field(ge=0)
    """Open prompts: smallest reward difference that counts as a preference."""
    unparsed_is_wrong: bool
    """Whether a completion that names no option, or several, may be rejected; it is never chosen."""
    source: str = Field(min_length=1)
    """Written into each pair, e.g. round_1."""


class Candidate(NamedTuple):
    """One judged completion of a prompt. correct: 1, 0, -1 (open or unparsed); is_cut: ended by max_tokens."""

    index: int
    text: str
    reward: float
    correct: int
    is_cut: bool


class Choice(NamedTuple):
    """Outcome for one prompt, one of OUTCOMES, with the two candidates that were compared, if any."""

    outcome: str
    chosen: Candidate | None = None
    rejected: Candidate | None = None


def choose_pair(
    candidates: Sequence[Candidate], *, has_gold: bool, min_margin: float, unparsed_is_wrong: bool
) -> Choice:
    """The pair of one prompt. Equal rewards: the lower index is picked, on either side.

    Gold prompts: chosen is the correct completion with the highest reward, rejected the incorrect one with the lowest;
    an unparsed one is never chosen, and may be rejected where it counts as wrong. Open prompts: the highest reward
    against the lowest, at least `min_margin` apart.
    Source: UltraMedical 3.x (correctness before reward).
    Choices: a completion cut by max_tokens is chosen only when no whole one could be (length control: it has no
    ending to imitate); it may be rejected. Blank completions are never used. Gold pairs need no margin: correctness
    decides, even where the reward model disagrees.
    """
    usable = [c for c in candidates if c.text.strip()]
    if len(usable) < 2:
        return Choice("dropped_blank")
    good = [c for c in usable if c.correct == 1] if has_gold else usable
    bad = [c for c in usable if c.correct == 0 or (unparsed_is_wrong and c.correct < 0)] if has_gold else usable
    if not good:
        return Choice("dropped_no_correct")
    if not bad:
        return Choice("dropped_no_incorrect")
    whole = [c for c in good if not c.is_cut]
    chosen = min(whole or good, key=lambda c: (-c.reward, c.index))
    rejected = min((c for c in bad if c is not chosen), key=lambda c: (c.reward, c.index))
    if chosen.text.strip() == rejected.text.strip():
        return Choice("dropped_identical", chosen, rejected)
    if has_gold:
        return Choice("pair_gold", chosen, rejected)
    margin = chosen.reward - rejected.reward
    if margin == 0:
        return Choice("dropped_tie", chosen, rejected)
    if margin < min_margin or margin < 0:
        return Choice("dropped_margin", chosen, rejected)
    return Choice("pair_open", chosen, rejected)


def run(config: PairsConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """inputs: completions, rewards (data/rewards.parquet), prompts. Counters: num_prompts, num_pairs, OUTCOMES."""
    candidates = _candidates(inputs["completions"], inputs["rewards"])
    prompts = {
        row["id"]: row
        for row in read_table(inputs["prompts"].data / "prompts.parquet", PROMPT).to_pylist()
        if row["id"] in candidates
    }
    missing = sorted(candidates.keys() - prompts.keys())
    if missing:
        raise UserError(f"preference_pairs: prompt {missing[0]!r} is not among the prompts: pass those sampled from")
    pairs, ledger, counts = [], [], Counter({outcome: 0 for outcome in OUTCOMES})
    for prompt_id in sorted(candidates):
        prompt = prompts[prompt_id]
        choice = choose_pair(
            candidates[prompt_id],
            has_gold=prompt["gold"] >= 0,
            min_margin=config.min_margin,
            unparsed_is_wrong=config.unparsed_is_wrong,
        )
        counts[choice.outcome] += 1
        ledger.append(_ledger_row(prompt_id, choice))
        if choice.outcome.startswith("pair_"):
            pairs.append(_pair_row(prompt, choice, config.source))
    assert sum(counts.values()) == len(candidates), "a prompt is not accounted for"
    if not pairs:
        raise UserError(
            f"preference_pairs: none of {len(candidates)} prompts gave a pair ({_worst(counts)}), expected some: "
            "sample more completions, raise the temperature or lower min_margin"
        )
    write_table(workspace.data / "pairs.parquet", pairs, PAIR)
    write_table(workspace.data / "ledger.parquet", ledger, LEDGER)
    return {"num_prompts": len(candidates), "num_pairs": len(pairs), **counts}


def _candidates(completions: Artifact, rewards: Artifact) -> dict[str, list[Candidate]]:
    """Judged completions by prompt. Raises UserError unless each has exactly one reward and each prompt K of them."""
    judged = {row["completion_id"]: row for row in read_table(rewards.data / "rewards.parquet", REWARD).to_pylist()}
    made = read_table(completions.data / "completions", COMPLETION).to_pylist()
    if sorted(judged) != sorted(row["id"] for row in made):
        raise UserError(
            f"preference_pairs: {len(judged)} rewards for {len(made)} completions with other ids, expected one each: "
            "pass the rewards of these completions"
        )
    by_prompt: defaultdict[str, list[Candidate]] = defaultdict(list)
    for row in made:
        found = judged[row["id"]]
        is_cut = row["finish_reason"] == "length"
        candidate = Candidate(row["index"], row["text"], found["reward"], found["correct"], is_cut)
        by_prompt[row["prompt_id"]].append(candidate)
    num_completions = max(map(len, by_prompt.values()), default=0)
    for prompt_id, group in by_prompt.items():
        if sorted(c.index for c in group) != list(range(num_completions)):
            raise UserError(
                f"preference_pairs: prompt {prompt_id!r} has {len(group)} completions, others {num_completions}, "
                "expected one K: sample again"
            )
    return by_prompt


def _ledger_row(prompt_id: str, choice: Choice) -> dict[str, object]:
    row = {"prompt_id": prompt_id, "outcome": choice.outcome, "chosen_index": -1, "rejected_index": -1, "margin": 0.0}
    if choice.chosen and choice.rejected:
        row |= {"chosen_index": choice.chosen.index, "rejected_index": choice.rejected.index}
        row["margin"] = choice.chosen.reward - choice.rejected.reward
    return row


def _pair_row(prompt: dict, choice: Choice, source: str) -> dict[str, object]:
    assert choice.chosen and choice.rejected
    return {
        "id": f"{source}/{prompt['id']}",
        "prompt_id": prompt["id"],
        "source": source,
        "messages": prompt["messages"],
        "chosen": choice.chosen.text,
        "rejected": choice.rejected.text,
        "chosen_reward": choice.chosen.reward,
        "rejected_reward": choice.rejected.reward,
        "split": "train",
        "task": prompt["task"],
    }


def _worst(counts: Counter[str]) -> str:
    outcome, number = counts.most_common(1)[0]
    return f"{number} {outcome}"
