"""Stage: judged completions labelled desirable or not, for KTO -> data/labelled.parquet (LABELLED), ledger.parquet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.schema import LABELLED, write_table
from medray.core.workspace import Workspace
from medray.preference.pairs import Candidate, judged

if TYPE_CHECKING:
    from medray.model.render import Rendered

NAME = "labels"
VERSION = 1
OUTCOMES = (
    "desirable", "undesirable", "dropped_open", "dropped_unparsed", "dropped_cut", "dropped_repeated", "dropped_blank",
)  # fmt: skip
"""What can become of a completion; the counters of these sum to the number of completions."""

LEDGER = pa.schema(
    [
        pa.field(name, kind, nullable=False)
        for name, kind in {
            "prompt_id": pa.string(), "completion_id": pa.string(), "outcome": pa.string(), "seed": pa.int64(),
            "reward": pa.float64(), "round": pa.string(), "policy": pa.string(), "reward_model": pa.string(),
        }.items()
    ]
)  # fmt: skip
"""A row per completion: what became of it, and of what it came."""


class LabelsConfig(Config):
    """Which completions are labelled; by their correctness, so open prompts have none."""

    unparsed_is_wrong: bool
    """Whether a completion that names no option, or several, is undesirable."""
    source: str = Field(min_length=1)
    """Written into each row, e.g. round_1."""


def run(config: LabelsConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """inputs: completions, rewards (data/rewards.parquet), prompts. Counters: num_prompts, num_completions, OUTCOMES.

    Raises UserError when no completion is desirable, or none undesirable.
    """
    candidates, prompts, made_by = judged(inputs, workspace.label, config.source)
    rows, ledger, counts = [], [], Counter({outcome: 0 for outcome in OUTCOMES})
    for prompt_id in sorted(candidates):
        prompt = prompts[prompt_id]
        for found, outcome in outcomes_of(candidates[prompt_id], config, has_gold=prompt["gold"] >= 0):
            counts[outcome] += 1
            about = {"prompt_id": prompt_id, "completion_id": found.id, "outcome": outcome, "seed": found.seed}
            ledger.append({**about, "reward": found.reward, **made_by})
            if outcome in ("desirable", "undesirable"):
                rows.append(_row(f"{config.source}/{found.id}", config.source, prompt, found.text, outcome))
    if not counts["desirable"] or not counts["undesirable"]:
        raise UserError(
            f"labels: {counts['desirable']} of {len(ledger)} completions are desirable and {counts['undesirable']} "
            "undesirable, expected some of each: sample more completions, or prompts with gold options"
        )
    write_table(workspace.data / "labelled.parquet", rows, LABELLED)
    write_table(workspace.data / "ledger.parquet", ledger, LEDGER)
    return {"num_prompts": len(candidates), "num_completions": len(ledger), **counts}


def outcomes_of(
    candidates: Sequence[Candidate], config: LabelsConfig, *, has_gold: bool
) -> Iterator[tuple[Candidate, str]]:
    """Each completion of a prompt with its outcome, in order of index.

    Source: UltraMedical 3.x: correct ones desirable, wrong ones not.
    Choices: of equal completions the first counts; a correct one cut by max_tokens has no ending to imitate.
    """
    seen: set[str] = set()
    for found in sorted(candidates):
        text = found.text.strip()
        if not text or text in seen:
            yield found, "dropped_repeated" if text else "dropped_blank"
            continue
        seen.add(text)
        if found.correct < 0 and not (has_gold and config.unparsed_is_wrong):
            yield found, "dropped_unparsed" if has_gold else "dropped_open"
        elif found.correct == 1:
            yield found, "dropped_cut" if found.is_cut else "desirable"
        else:
            yield found, "undesirable"


def unpaired(pairs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """LABELLED rows of PAIR rows, two of each: chosen is desirable, rejected is not."""
    sides = {"chosen": "desirable", "rejected": "undesirable"}
    return [
        _row(f"{pair['id']}/{side}", pair["source"], {**pair, "id": pair["prompt_id"]}, pair[side], outcome)
        for pair in pairs
        for side, outcome in sides.items()
    ]


def _row(id: str, source: str, prompt: dict[str, Any], completion: str, outcome: str) -> dict[str, Any]:
    return {
        "id": id, "prompt_id": prompt["id"], "source": source, "messages": prompt["messages"],
        "completion": completion, "desirable": outcome == "desirable", "split": "train", "task": prompt["task"],
    }  # fmt: skip


def with_mismatched(
    rows: Sequence[tuple[dict[str, Any], Rendered]], max_tokens: int
) -> list[tuple[dict[str, Any], list[Rendered]]]:
    """Each row, those of one prompt side by side, with its completion and one of another prompt behind its own prompt.

    A row gets the completion that stands as far behind it as the largest prompt has rows, so that every completion is
    used once (Ethayarajh et al. 2024, section 4.1: the next one of the batch); where that is too long, the next one
    that fits; where none does, the row is left out. Choices: over all rows, since which of them share a batch is not
    known here. Raises UserError where one prompt has more than half of the rows.
    """
    from medray.model.render import Rendered

    num_rows, most = len(rows), max(Counter(row["prompt_id"] for row, _ in rows).values(), default=0)
    if num_rows < 2 * most or not rows:
        raise UserError(
            f"reference: {most} of {num_rows} labelled completions are of one prompt, expected at most half: KTO "
            "compares with completions of other prompts: label more prompts"
        )
    found = []
    for index, (row, own) in enumerate(rows):
        others = (rows[(index + step) % num_rows][1].completion for step in range(most, num_rows - most + 1))
        other = next((ids for ids in others if own.prompt_length + len(ids) <= max_tokens), None)
        if other is not None:
            mask = [0] * own.prompt_length + [1] * len(other)
            found.append((row, [own, Rendered([*own.prompt, *other], mask, own.prompt_length)]))
    return found
