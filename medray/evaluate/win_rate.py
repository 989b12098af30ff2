"""Stage: how often a policy's completions of fresh prompts beat another's -> data/prompts.parquet, data/metrics.json.

By the reward model that the policy was trained to please, and by an auditor of other questions, where there is one: a
gain that only the first of them sees is over-optimisation.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa

from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.schema import PROMPT, REWARD, read_table, write_table
from medray.core.workspace import Workspace
from medray.evaluate.choice import cluster_of
from medray.math import statistics

NAME = "win_rate"
VERSION = 1

JUDGES = ("judge", "auditor")
_ALIKE = 0.1
"""Completions are of equal length where the shorter one's tokens are less than this share of the longer one's away."""
_FIGURES = ("won", "of", "won_alike", "of_alike")

PER_PROMPT = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("id", "task", "judge")),
        *(pa.field(name, pa.float64(), nullable=False) for name in _FIGURES),
    ]
)
"""A row for each prompt and judge: of all pairs of a completion after with one before, those won, a tie as half; the
same of those of equal length."""


class WinRateConfig(Config):
    """How policies are compared."""

    rng_seed: int
    """Seed of the bootstrap."""


def run(config: WinRateConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """inputs: before and after (data/rewards.parquet, of one judge and the same prompts), prompts
    (data/prompts.parquet); where an auditor has judged the same completions, before_auditor and after_auditor.

    Counters: num_prompts, and win_rate_<judge> over all prompts. Raises UserError for rewards of different prompts.
    """
    prompts = {row["id"]: row for row in read_table(inputs["prompts"].data / "prompts.parquet", PROMPT).to_pylist()}
    sides = {
        name: [_rewards(inputs[f"{side}{'_auditor' if name == 'auditor' else ''}"]) for side in ("before", "after")]
        for name in JUDGES
        if name == "judge" or "after_auditor" in inputs
    }
    asked = [set(rewards) for both in sides.values() for rewards in both]
    if any(found != asked[0] for found in asked) or not asked[0] <= prompts.keys():
        raise UserError(
            f"{workspace.label}: rewards of {len(set.union(*asked))} prompts, not all of them on every side, expected "
            "the same fresh prompts before and after: judge completions of one set"
        )
    rows = [
        {"id": id, "task": prompts[id]["task"], "judge": name, **won(before[id], after[id])}
        for name, (before, after) in sides.items()
        for id in sorted(after)
    ]
    write_table(workspace.data / "prompts.parquet", rows, PER_PROMPT)
    before, after = sides["judge"]
    metrics = {name: _rates([row for row in rows if row["judge"] == name], prompts, config.rng_seed) for name in sides}
    metrics["changes"] = changes(before, after, prompts, config.rng_seed)
    (workspace.data / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True))
    return {"num_prompts": len(after), **{f"win_rate_{name}": metrics[name]["all"]["value"] for name in sides}}


def _rewards(judged: Artifact) -> dict[str, list[dict[str, Any]]]:
    """Rows of REWARD by prompt."""
    found = defaultdict(list)
    for row in read_table(judged.data / "rewards.parquet", REWARD).to_pylist():
        found[row["prompt_id"]].append(row)
    return found


def won(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, float]:
    """Of every pair of a completion after and one before: the columns of PER_PROMPT."""
    rewards_NM = np.subtract.outer([row["reward"] for row in after], [row["reward"] for row in before])
    tokens = [np.array([row["num_tokens"] for row in rows], dtype=float) for rows in (after, before)]
    longer_NM = np.maximum.outer(*tokens)
    is_alike_NM = np.abs(np.subtract.outer(*tokens)) <= _ALIKE * longer_NM
    won_NM = (np.sign(rewards_NM) + 1) / 2
    figures = won_NM.sum(), won_NM.size, won_NM[is_alike_NM].sum(), is_alike_NM.sum()
    return dict(zip(_FIGURES, map(float, figures), strict=True))


def _rates(rows: list[dict[str, Any]], prompts: dict[str, dict[str, Any]], rng_seed: int) -> dict[str, dict[str, Any]]:
    """Win rates with intervals over prompts: of all, of equal length, and by task."""

    def rate(chosen: list[dict[str, Any]], kind: str = "") -> dict[str, Any]:
        columns = [np.array([row[f"{name}{kind}"] for row in chosen]) for name in ("won", "of")]
        clusters = [cluster_of(prompts[row["id"]]) for row in chosen]
        return statistics.ratio(*columns, clusters, rng_seed=rng_seed).row()

    tasks = sorted({row["task"] for row in rows})
    by_task = {f"task.{task}": rate([row for row in rows if row["task"] == task]) for task in tasks}
    return {"all": rate(rows), "equal_length": rate([row for row in rows if row["of_alike"]], "_alike"), **by_task}


def changes(
    before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]],
    prompts: dict[str, dict[str, Any]], rng_seed: int,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """What else has changed, paired by prompt: correctness where there is a gold option (an unparsed completion is
    wrong), tokens."""
    found = {}
    for name, ids in (("correct", [id for id in sorted(after) if prompts[id]["gold"] >= 0]), ("tokens", sorted(after))):
        first_N, second_N = (np.array([_mean(side[id], name) for id in ids]) for side in (before, after))
        clusters = [cluster_of(prompts[id]) for id in ids]
        found[name] = statistics.paired_difference(first_N, second_N, clusters, rng_seed=rng_seed).row()
        for side, values_N in (("before", first_N), ("after", second_N)):
            if ids:
                found[name][side] = statistics.mean(values_N, clusters, rng_seed=rng_seed).row()
    return found


def _mean(rows: list[dict[str, Any]], name: str) -> float:
    values = [row["correct"] == 1 if name == "correct" else row["num_tokens"] for row in rows]
    return float(np.mean(values))
