"""Gathers every figure of every evaluated model, and the paired differences between models.

Reads the items (documents, questions, prompts) behind the figures, so that two models are compared on the same ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from medray.core.artifact import Artifact
from medray.math import statistics

EVALUATE, FRESH, REWARD, BENCH = "evaluate", "evaluate_fresh", "evaluate_reward", "evaluate_reward_bench"
WIN_RATE = "win_rate"
"""Kinds of evaluation; their roles are "evaluate.<model>", "fresh.<model>" and any. Other inputs are lineage only."""


class Figure(NamedTuple):
    """A measured quantity of a model, as the report shows it."""

    key: str
    label: str
    unit: str
    """perplexity | share | reward | tokens"""
    higher_is_better: bool | None
    """None: neither (a length)."""


MODEL_FIGURES = (
    Figure("perplexity.definitions", "Perplexity: free text of definitions", "perplexity", False),
    Figure("perplexity.medical", "Perplexity: whole medical documents", "perplexity", False),
    Figure("perplexity.clinical", "Perplexity: clinical notes (synthetic)", "perplexity", False),
    Figure("perplexity.general", "Perplexity: general text", "perplexity", False),
    Figure("accuracy", "Accuracy: all four-option tasks", "share", True),
)
FRESH_FIGURES = (
    Figure("reward_mean", "Reward, mean of samples", "reward", True),
    Figure("reward_best", "Reward, best of N", "reward", True),
    Figure("correct_mean", "Correct, mean of samples", "share", True),
    Figure("correct_best", "Correct, best of N by reward", "share", True),
    Figure("correct_greedy", "Correct, greedy", "share", True),
    Figure("unparsed", "No readable answer", "share", False),
    Figure("tokens_mean", "Length", "tokens", None),
    Figure("truncated", "Cut off at the token limit", "share", False),
    Figure("distinct_2", "Distinct word pairs among a prompt's samples", "share", None),
)
COMPARED_FRESH = (
    "reward_mean", "reward_best", "correct_mean", "correct_best", "correct_greedy", "unparsed", "tokens_mean",
    "distinct_2",
)  # fmt: skip

_ORDER = ("base", "pretrain", "sft", "round")


class Items(NamedTuple):
    """A figure's items: ids, value of each, what each was drawn with, weight of each (1, or a document's tokens)."""

    ids: list[str]
    values_N: np.ndarray
    clusters_N: np.ndarray | None = None
    weights_N: np.ndarray | None = None


def by_model(inputs: Mapping[str, Artifact], kind: str) -> dict[str, Artifact]:
    """Artifacts of one kind with roles `<prefix>.<model>`, by model, in pipeline order (a control after its model)."""
    found = {role.partition(".")[2] or role: artifact for role, artifact in inputs.items() if artifact.kind == kind}
    return {name: found[name] for name in sorted(found, key=order)}


def observed(inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """What was observed of each round, by its name, in order."""
    found = {role.removesuffix(".observe"): artifact for role, artifact in inputs.items() if artifact.kind == "observe"}
    return {name: json.loads((found[name].data / "observation.json").read_text()) for name in sorted(found, key=order)}


def win_rates(inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """How often each round beats the policy that the rounds start from, by its name, in order."""
    return {name: metrics(artifact) for name, artifact in by_model(inputs, WIN_RATE).items()}


def auditor(inputs: Mapping[str, Artifact]) -> dict[str, Any] | None:
    """The auditor's accuracy on held-out pairs, None where there is no auditor."""
    found = inputs.get("evaluate.auditor")
    return metrics(found)["metrics"]["reward_model"] if found else None


def order(name: str) -> tuple[int, int, str]:
    """Sort key of a model's name: base, pretrained, sft and its controls, rounds by number, then any other."""
    rank = next((i for i, start in enumerate(_ORDER) if name.startswith(start)), len(_ORDER))
    number = re.search(r"\d+", name)
    return rank, int(number.group()) if number else 0, name


def metrics(artifact: Artifact) -> dict[str, Any]:
    """The figures an evaluation sealed."""
    return json.loads((artifact.data / "metrics.json").read_text())


def evaluation_items(artifact: Artifact) -> dict[str, Items]:
    """Documents and questions behind each figure of an "evaluate" artifact."""
    found: dict[str, Items] = {}
    documents = _columns(artifact, "documents.parquet")
    for category in sorted(set(documents["category"])):
        rows_N = documents["category"] == category
        found[f"perplexity.{category}"] = _documents(documents, rows_N, "nll", "num_tokens")
    rows_N = documents["num_definition_tokens"] > 0
    found["perplexity.definitions"] = _documents(documents, rows_N, "definition_nll", "num_definition_tokens")
    choices = _columns(artifact, "choices.parquet")
    found["accuracy"] = _clustered(choices, np.full(len(choices["id"]), True), "correct")
    for task in sorted(set(choices["task"])):
        found[f"accuracy.{task}"] = _clustered(choices, choices["task"] == task, "correct")
    return found


def _documents(documents: Mapping[str, np.ndarray], rows_N: np.ndarray, nll: str, tokens: str) -> Items:
    return Items(list(documents["id"][rows_N]), documents[nll][rows_N], weights_N=documents[tokens][rows_N])


def _clustered(table: Mapping[str, np.ndarray], rows_N: np.ndarray, values: str) -> Items:
    return Items(list(table["id"][rows_N]), table[values][rows_N], table["cluster"][rows_N])


def fresh_items(artifact: Artifact) -> dict[str, Items]:
    """Prompts behind each compared figure of an "evaluate_fresh" artifact."""
    prompts = _columns(artifact, "prompts.parquet")
    return {key: _clustered(prompts, ~np.isnan(prompts[key]), key) for key in COMPARED_FRESH}


def _columns(artifact: Artifact, name: str) -> dict[str, np.ndarray]:
    table = pq.read_table(artifact.data / name)
    return {
        column: np.array([np.nan if v is None else v for v in table[column].to_pylist()])
        for column in table.column_names
        if not str(table[column].type).startswith("list")
    }


def compare(first: Items, second: Items, rng_seed: int) -> tuple[statistics.Estimate, str]:
    """The paired difference second - first over the items both have: relative for perplexity, absolute elsewhere."""
    at_first = {id: i for i, id in enumerate(first.ids)}
    at_second = {id: i for i, id in enumerate(second.ids)}
    common = [id for id in first.ids if id in at_second]
    first_N = np.array([at_first[id] for id in common], dtype=int)
    second_N = np.array([at_second[id] for id in common], dtype=int)
    values = first.values_N[first_N], second.values_N[second_N]
    if not common:
        return statistics.EMPTY, "absolute"
    if first.weights_N is None or second.weights_N is None:
        clusters_N = None if first.clusters_N is None else first.clusters_N[first_N]
        return statistics.paired_difference(*values, clusters_N, rng_seed=rng_seed), "absolute"
    tokens_N = first.weights_N[first_N]
    assert (tokens_N == second.weights_N[second_N]).all(), "one tokenizer: perplexities compare over the same tokens"
    return statistics.perplexity_change(*values, tokens_N, rng_seed=rng_seed), "relative"


def differences(
    items: Mapping[str, Mapping[str, Items]], pairs: Iterable[tuple[str, str]], figures: Iterable[Figure], rng_seed: int
) -> list[dict[str, Any]]:
    """Every figure's paired difference for every pair of models, with its verdict ("none": the interval includes 0)."""
    rows = []
    for first, second in pairs:
        for figure in figures:
            if figure.key not in items[first] or figure.key not in items[second]:
                continue
            estimate, scale = compare(items[first][figure.key], items[second][figure.key], rng_seed)
            higher = figure.higher_is_better is not False
            verdict = statistics.verdict(estimate, higher_is_better=higher)
            if figure.higher_is_better is None and verdict != "none":
                verdict = "higher" if estimate.low > 0 else "lower"
            row = {"figure": figure.key, "first": first, "second": second, "scale": scale}
            rows.append({**row, **estimate.row(), "verdict": verdict})
    return rows


def model_pairs(names: list[str]) -> list[tuple[str, str]]:
    """Which models are compared: each with the one before it, with base and SFT; each round with every control.

    A control (a name that goes on after its model's, such as sft_cool) is no step of the pipeline.
    """
    controls = [name for name in names if is_control(name, names)]
    chain = [name for name in names if name not in controls]
    pairs = list(pairwise(chain))
    anchors = [anchor for anchor in ("base", "sft") if anchor in chain]
    pairs += [(anchor, name) for anchor in anchors for name in chain[chain.index(anchor) + 1 :]]
    pairs += [(control, name) for control in controls for name in chain if order(name)[0] > order(control)[0]]
    return list(dict.fromkeys(pairs))


def is_control(name: str, names: Iterable[str]) -> bool:
    """Whether a name goes on after another model's: that model sampled in another way, no step of the pipeline."""
    return any(name != other and name.startswith(f"{other}_") for other in names)


def task_figures(names: Iterable[str]) -> list[Figure]:
    """One accuracy figure for each task."""
    return [Figure(f"accuracy.{task}", task.replace("_", " "), "share", True) for task in sorted(names)]


def find(rows: Iterable[Mapping[str, Any]], figure: str, first: str, second: str) -> Mapping[str, Any] | None:
    """The difference row of a figure between two models, None where it was not measured."""
    for row in rows:
        if (row["figure"], row["first"], row["second"]) == (figure, first, second) and row["count"]:
            return row
    return None
