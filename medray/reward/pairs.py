"""Stage: pairs for the reward model -> data/pairs.parquet (PAIR), from a policy's own samples and the gold answers.

Rejected answers are always the policy's own: against corrupted gold a reward model learns the corruption.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.identity import content_id, stable_hash
from medray.core.schema import COMPLETION, PAIR, PROMPT, read_table, write_table
from medray.core.workspace import Workspace
from medray.text.answers import normalise_words
from medray.text.options import named_option

NAME = "reward_pairs"
VERSION = 1
SPLITS = {"reward_train": "train", "reward_heldout": "heldout"}
DROPS = (
    "prompt_other_split", "prompt_in_both_splits", "prompt_all_good", "prompt_all_bad", "prompt_within_margin",
    "completion_cut", "completion_empty", "completion_repeated", "completion_unparsed", "pair_over_cap",
)  # fmt: skip
"""Why a prompt, a completion or a pair was left out; counters dropped_<reason>."""


class RewardPairsConfig(Config):
    """The selection rule."""

    max_pairs_per_prompt: int = Field(ge=1)
    max_reference_pairs_per_prompt: int = Field(ge=0)
    """Of these, pairs whose chosen text is the reference rather than an own sample: many of them teach who wrote it."""
    min_grade_margin: float = Field(gt=0, le=1)
    """Open prompts: smallest difference of grades (see `grade`) that makes a pair."""
    unparsed_is_wrong: bool
    """Whether a completion that names no option, or several, may be rejected; it is never chosen."""
    rng_seed: int


class Candidate(NamedTuple):
    """A text that answers a prompt. grade: 0 to 1; is_own: sampled, not the reference."""

    text: str
    grade: float
    is_own: bool


def run(config: RewardPairsConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """inputs: completions (data/completions), prompts (data/prompts.parquet).

    Counters: num_pairs_train, num_pairs_heldout, num_prompts_paired, num_reference_pairs, chosen_longer_fraction, and
    dropped_<reason> for each of DROPS. Raises UserError when a completion's prompt is missing or no pair is left.
    """
    prompts = {row["id"]: row for row in read_table(inputs["prompts"].data / "prompts.parquet", PROMPT).to_pylist()}
    sampled: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in read_table(inputs["completions"].data / "completions", COMPLETION).to_pylist():
        if row["prompt_id"] not in prompts:
            raise UserError(
                f"reward_pairs: prompt {row['prompt_id']!r} of a completion is not among the prompts, expected the "
                "table that was sampled from: pass the same prompts"
            )
        sampled[row["prompt_id"]].append(row)
    drops: Counter[str] = Counter()
    rows = build_pairs([(prompts[key], sampled[key]) for key in sorted(sampled)], config, drops)
    if not rows:
        raise UserError(f"reward_pairs: no pair from {len(sampled)} prompts ({dict(drops)}): sample more or hotter")
    write_table(workspace.data / "pairs.parquet", rows, PAIR)
    splits = Counter(row["split"] for row in rows)
    return {
        "num_pairs_train": splits["train"],
        "num_pairs_heldout": splits["heldout"],
        "num_prompts_paired": len({row["prompt_id"] for row in rows}),
        "num_reference_pairs": sum(row["source"] == "reference" for row in rows),
        "chosen_longer_fraction": sum(len(row["chosen"]) > len(row["rejected"]) for row in rows) / len(rows),
        **{f"dropped_{reason}": drops[reason] for reason in DROPS},
    }


def build_pairs(
    sampled: Sequence[tuple[dict[str, Any], Sequence[dict[str, Any]]]], config: RewardPairsConfig, drops: Counter[str]
) -> list[dict[str, Any]]:
    """PAIR rows from (prompt row, its completion rows); what is left out is counted in `drops` by reason.

    A conversation that stands in both splits, under whatever id, is left out of train.
    """
    heldout = {_key(prompt) for prompt, _ in sampled if prompt["split"] == "reward_heldout"}
    rows = []
    for prompt, completions in sampled:
        split = SPLITS.get(prompt["split"])
        if split is None:
            drops["prompt_other_split"] += 1
        elif split == "train" and _key(prompt) in heldout:
            drops["prompt_in_both_splits"] += 1
        else:
            rows += [_pair(prompt, split, *pair) for pair in _choose(prompt, completions, config, drops)]
    return rows


def _key(prompt: dict[str, Any]) -> str:
    return content_id(prompt["messages"])


def _choose(
    prompt: dict[str, Any], completions: Sequence[dict[str, Any]], config: RewardPairsConfig, drops: Counter[str]
) -> list[tuple[Candidate, Candidate]]:
    """Up to the cap of (chosen, rejected): own samples against own samples first, each kind in hash order."""
    is_open = prompt["gold"] < 0
    own = list(_own_candidates(prompt, completions, config, drops))
    reference = Candidate(prompt["reference"].strip(), 1.0, False)
    margin = config.min_grade_margin if is_open else 1.0
    chosen = own + ([reference] if reference.text and reference.text not in {c.text for c in own} else [])
    pairs = [(a, b) for a in chosen for b in own if a.grade - b.grade >= margin]
    if not pairs:
        all_good = bool(own) and min(c.grade for c in own) == 1.0
        drops["prompt_within_margin" if is_open else "prompt_all_good" if all_good else "prompt_all_bad"] += 1
        return []
    pairs.sort(key=lambda p: (not p[0].is_own, stable_hash(config.rng_seed, prompt["id"], p[0].text, p[1].text)))
    kept: list[tuple[Candidate, Candidate]] = []
    num_reference = 0
    for pair in pairs:
        is_spare = pair[0].is_own or num_reference < config.max_reference_pairs_per_prompt
        if len(kept) < config.max_pairs_per_prompt and is_spare:
            kept.append(pair)
            num_reference += not pair[0].is_own
    drops["pair_over_cap"] += len(pairs) - len(kept)
    return kept


def _own_candidates(
    prompt: dict[str, Any], completions: Sequence[dict[str, Any]], config: RewardPairsConfig, drops: Counter[str]
) -> Iterator[Candidate]:
    seen: set[str] = set()
    for row in sorted(completions, key=lambda row: row["index"]):
        text = row["text"].strip()
        if reason := _unusable(text, row["finish_reason"], seen):
            drops[reason] += 1
            continue
        seen.add(text)
        if prompt["gold"] < 0:
            yield Candidate(text, grade(text, prompt["reference"]), True)
            continue
        option = named_option(text, prompt)
        if option is None and not config.unparsed_is_wrong:
            drops["completion_unparsed"] += 1
        else:
            yield Candidate(text, float(option == prompt["gold"]), True)


def _unusable(text: str, finish_reason: str, seen: set[str]) -> str:
    if not text:
        return "completion_empty"
    if finish_reason == "length":  # it was never ended; rendering would add a stop token that the policy did not say
        return "completion_cut"
    return "completion_repeated" if text in seen else ""


def _pair(prompt: dict[str, Any], split: str, chosen: Candidate, rejected: Candidate) -> dict[str, Any]:
    return {
        "id": content_id(prompt["id"], chosen.text, rejected.text),
        "prompt_id": prompt["id"],
        "source": "own" if chosen.is_own else "reference",
        "messages": prompt["messages"],
        "chosen": chosen.text,
        "rejected": rejected.text,
        "chosen_reward": chosen.grade,
        "rejected_reward": rejected.grade,
        "split": split,
        "task": prompt["task"],
    }


def grade(text: str, reference: str) -> float:
    """Agreement of a free text with its reference, 0 to 1: mean of ROUGE-L F1 and of word F1, over normalised words.

    Choices: ROUGE-L alone punishes a list in another order, word F1 alone does not see order at all.
    """
    from rapidfuzz.distance import LCSseq

    ours, theirs = normalise_words(text), normalise_words(reference)
    if not ours or not theirs:
        return 0.0
    in_order = LCSseq.similarity(ours, theirs)
    in_any_order = (Counter(ours) & Counter(theirs)).total()
    return (in_order + in_any_order) / (len(ours) + len(theirs))
