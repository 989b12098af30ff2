"""What a policy's completions of fresh prompts are worth: reward, correctness, best-of-N, length, variety.

Fresh prompts were in no training set. Reward is the judge's own opinion (the reward model the rounds were trained on),
correctness is the ontology's: a rise of the first without the second is over-optimisation.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa

from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.schema import COMPLETION, PROMPT, REWARD, read_table, write_table
from medray.core.workspace import Workspace
from medray.evaluate.choice import cluster_of
from medray.math import statistics
from medray.text.options import named_option

NAME = "evaluate_fresh"
VERSION = 2

PER_PROMPT = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("cluster", pa.string(), nullable=False),
        *(
            pa.field(name, pa.float64())
            for name in (
                "reward_mean", "reward_best", "correct_mean", "correct_parsed", "correct_best", "correct_first",
                "correct_greedy", "unparsed", "tokens_mean", "truncated", "distinct_1", "distinct_2",
            )
        ),
    ]
)  # fmt: skip
"""One row for each prompt, null where a figure does not apply. correct_* of multiple-choice prompts only; an unparsed
completion counts as wrong in correct_mean and is left out of correct_parsed."""

SAMPLES = pa.schema(
    [
        pa.field(name, kind, nullable=False)
        for name, kind in {
            "prompt_id": pa.string(), "task": pa.string(), "prompt": pa.string(), "reference": pa.string(),
            "index": pa.int32(), "completion": pa.string(), "reward": pa.float64(), "correct": pa.int8(),
            "num_tokens": pa.int32(), "finish_reason": pa.string(),
        }.items()
    ]
)  # fmt: skip
"""Completions with their rewards, readable: the report shows them side by side."""

DIFFERENCES = (
    ("best_minus_mean", "correct_mean", "correct_best"),
    ("best_minus_first", "correct_first", "correct_best"),
    ("best_minus_greedy", "correct_greedy", "correct_best"),
    ("reward_best_minus_mean", "reward_mean", "reward_best"),
)


class FreshConfig(Config):
    """How fresh completions are measured."""

    rng_seed: int
    """Seed of the bootstrap."""


def run(config: FreshConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """Measure one policy's judged completions.

    inputs: completions (data/completions), rewards (data/rewards.parquet), prompts (data/prompts.parquet); optionally
    greedy: the completions (data/completions) of the same policy at temperature 0, one for each prompt.
    """
    completions = read_table(inputs["completions"].data / "completions", COMPLETION).to_pylist()
    judged = read_table(inputs["rewards"].data / "rewards.parquet", REWARD).to_pylist()
    rewards = {row["completion_id"]: row for row in judged}
    prompts = {row["id"]: row for row in read_table(inputs["prompts"].data / "prompts.parquet", PROMPT).to_pylist()}
    missing = [row["id"] for row in completions if row["id"] not in rewards or row["prompt_id"] not in prompts]
    if missing:
        raise UserError(
            f"{workspace.label}: completion {missing[0]} (and {len(missing) - 1} more) has no reward or no prompt; "
            "give rewards, completions and prompts of one round"
        )
    greedy = greedy_correct(inputs["greedy"], prompts) if "greedy" in inputs else {}
    per_prompt, samples = [], []
    by_prompt: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in completions:
        by_prompt[row["prompt_id"]].append({**row, **rewards[row["id"]]})
    for prompt_id in sorted(by_prompt):
        rows = sorted(by_prompt[prompt_id], key=lambda row: row["index"])
        per_prompt.append(measure_prompt(prompts[prompt_id], rows, greedy.get(prompt_id)))
        samples += [readable(prompts[prompt_id], row) for row in rows]
    write_table(workspace.data / "prompts.parquet", per_prompt, PER_PROMPT)
    write_table(workspace.data / "samples.parquet", samples, SAMPLES)
    metrics = summarise(per_prompt, config.rng_seed)
    (workspace.data / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True))
    return {"num_prompts": len(per_prompt), "num_completions": len(completions)}


def greedy_correct(greedy: Artifact, prompts: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Whether the greedy completion of each multiple-choice prompt is correct (1.0 or 0.0; unparsed is wrong)."""
    rows = read_table(greedy.data / "completions", COMPLETION).to_pylist()
    choices = ((row, prompts[row["prompt_id"]]) for row in rows if row["index"] == 0 and row["prompt_id"] in prompts)
    return {
        prompt["id"]: float(named_option(row["text"], prompt) == prompt["gold"])
        for row, prompt in choices
        if prompt["gold"] >= 0
    }


def measure_prompt(prompt: dict[str, Any], rows: list[dict[str, Any]], greedy: float | None) -> dict[str, Any]:
    """The figures of one prompt's N judged completions (in the order of their index); None where one does not apply.

    Best-of-N is the completion of the highest reward, the first of them at a tie.
    """
    reward_N = np.array([row["reward"] for row in rows])
    correct_N = np.array([row["correct"] for row in rows])
    best = int(reward_N.argmax())
    is_choice, parsed_N = prompt["gold"] >= 0, correct_N >= 0
    right_N = (correct_N == 1).astype(float)
    tokens = [row["text"].lower().split() for row in rows]
    return {
        "id": prompt["id"],
        "task": prompt["task"],
        "cluster": cluster_of(prompt),
        "reward_mean": float(reward_N.mean()),
        "reward_best": float(reward_N[best]),
        "correct_mean": float(right_N.mean()) if is_choice else None,
        "correct_parsed": float(right_N[parsed_N].mean()) if is_choice and parsed_N.any() else None,
        "correct_best": float(right_N[best]) if is_choice else None,
        "correct_first": float(right_N[0]) if is_choice else None,
        "correct_greedy": greedy if is_choice else None,
        "unparsed": float((~parsed_N).mean()) if is_choice else None,
        "tokens_mean": float(np.mean([row["num_tokens"] for row in rows])),
        "truncated": float(np.mean([row["finish_reason"] == "length" for row in rows])),
        "distinct_1": distinct(tokens, 1),
        "distinct_2": distinct(tokens, 2),
    }


def distinct(completions: list[list[str]], order: int) -> float | None:
    """Share of distinct word n-grams among all n-grams of one prompt's completions, None when there is none.

    Source: Li et al. 2016, distinct-n. Choices: within a prompt, so that it falls when its samples agree.
    """
    grams = [tuple(words[i : i + order]) for words in completions for i in range(len(words) - order + 1)]
    return len(set(grams)) / len(grams) if grams else None


def readable(prompt: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """One judged completion as a row of SAMPLES; the prompt is its last user message."""
    user = [message["content"] for message in prompt["messages"] if message["role"] == "user"][-1]
    kept = {name: row[name] for name in ("prompt_id", "index", "reward", "correct", "num_tokens", "finish_reason")}
    return {**kept, "task": prompt["task"], "prompt": user, "reference": prompt["reference"], "completion": row["text"]}


def summarise(per_prompt: list[dict[str, Any]], rng_seed: int) -> dict[str, dict[str, Any]]:
    """Means over prompts and paired differences of best-of-N; prompts over the same options are one cluster."""
    names = PER_PROMPT.names[3:]
    cluster_N = np.array([row["cluster"] for row in per_prompt])
    column = {name: np.array([_number(row[name]) for row in per_prompt], dtype=float) for name in names}
    metrics: dict[str, dict[str, Any]] = {}
    for name in names:
        known_N = ~np.isnan(column[name])
        metrics[name] = statistics.mean(column[name][known_N], cluster_N[known_N], rng_seed=rng_seed).row()
    for task in sorted({row["task"] for row in per_prompt}):
        rows_N = np.array([row["task"] == task for row in per_prompt])
        for name in ("reward_mean", "correct_mean"):
            known_N = rows_N & ~np.isnan(column[name])
            if known_N.any():
                estimate = statistics.mean(column[name][known_N], cluster_N[known_N], rng_seed=rng_seed)
                metrics[f"{name}.{task}"] = estimate.row()
    for label, first, second in DIFFERENCES:
        both_N = ~np.isnan(column[first]) & ~np.isnan(column[second])
        difference = statistics.paired_difference(
            column[first][both_N], column[second][both_N], cluster_N[both_N], rng_seed=rng_seed
        )
        metrics[label] = {**difference.row(), "verdict": statistics.verdict(difference)}
    return metrics


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
