"""Stage: the reward model on held-out pairs, beside what needs no reward model -> data/{pairs.parquet,metrics.json}.

A reward model earns its place only above length, a bag of words and the policy's own likelihood of the completions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.journal import Journal
from medray.core.schema import PAIR, read_table, write_table
from medray.core.workspace import Workspace
from medray.math import statistics
from medray.math.ensemble import EnsembleRule, combined, members
from medray.text.answers import normalise_words
from medray.train.config import ForwardPlacement

NAME = "evaluate_reward"
VERSION = 3

BASELINES = ("longer", "shorter", "bag_of_words", "policy_sum", "policy_mean")
"""longer, shorter: completion in words; bag_of_words: logistic regression on word counts, fitted on the train pairs;
policy_sum, policy_mean: the policy's log-likelihood of the completion, whole and per token."""

GROUPINGS = ("kind", "source", "length")
"""What accuracy is told apart by: the pair's task; who wrote its sides; which side has more words."""
_ALIKE = 0.1  # Choices: sides whose lengths in words differ by at most a tenth of the longer are about equal

_BATCH = 8  # pairs in one forward pass of the reward model

WON = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("id", "task", "source")),
        *(pa.field(name, pa.float64(), nullable=False) for name in ("margin", "reward_model", *BASELINES)),
    ]
)
"""1.0 where the chosen completion was preferred, 0.0 where not, 0.5 at a tie; margin: chosen minus rejected reward."""


class RewardEvaluationConfig(Config):
    """How the reward model is measured."""

    dtype: Literal["bf16", "fp32"]
    bag_of_words_l2: float = Field(gt=0)
    """L2 penalty of the bag of words, per train pair."""
    ensemble: EnsembleRule | None = None
    """The judge's rule, where there are several reward models."""
    rng_seed: int
    """Seed of the bootstrap."""
    placement: ForwardPlacement = ForwardPlacement()


def run(config: RewardEvaluationConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """Measure the reward model on the held-out pairs.

    inputs: reward_model (or several, reward_model_<name>: data/model), pairs (and others, pairs_<name>:
    data/pairs.parquet), policy (data/model) that the pairs were sampled from. The figures of several models are of
    their ensemble; `members` has each one's accuracy.
    """
    from medray.tables.shards import run_remote

    given = [artifact.data / "pairs.parquet" for role, artifact in sorted(inputs.items()) if role.startswith("pairs")]
    pairs = [row for path in given for row in read_table(path, PAIR).to_pylist()]
    heldout = sorted((row for row in pairs if row["split"] == "heldout"), key=lambda row: row["id"])
    train = sorted((row for row in pairs if row["split"] == "train"), key=lambda row: row["id"])
    if not heldout:
        raise UserError("evaluate_reward: no pairs of split 'heldout' in pairs.parquet: hold some out")
    models = {role: artifact.data / "model" for role, artifact in members(inputs).items()}
    arguments = list(models.values()), inputs["policy"].data / "model", heldout, config, workspace.journal
    rewards, likelihoods = run_remote(measure, *arguments, num_gpus=1 if config.placement.use_gpu else 0)
    if len(models) > 1:
        one_N2 = np.array(
            [combined([row_N2[i] for row_N2 in rewards], config.ensemble)[0] for i in range(len(heldout))]
        )
    else:
        one_N2 = np.array(rewards[0])
    margins = [float(margin) for margin in one_N2[:, 0] - one_N2[:, 1]]
    won = {
        "reward_model": wins(margins),
        **length_wins(heldout),
        "bag_of_words": wins(bag_of_words_margins(train, heldout, config.bag_of_words_l2)),
        **{f"policy_{name}": wins(margin) for name, margin in likelihoods.items()},
    }
    table = [
        {
            **{field: pair[field] for field in ("id", "task", "source")},
            "margin": margins[number],
            **{name: float(values[number]) for name, values in won.items()},
        }
        for number, pair in enumerate(heldout)
    ]
    write_table(workspace.data / "pairs.parquet", table, WON)
    prompts = [pair["prompt_id"] for pair in heldout]
    figures = summarise(won, groupings(heldout), prompts, config.rng_seed)
    if len(models) > 1:
        alone = {role: wins([c - r for c, r in row_N2]) for role, row_N2 in zip(models, rewards, strict=True)}
        figures["members"] = {
            role: statistics.mean(won_N, prompts, rng_seed=config.rng_seed).row() for role, won_N in alone.items()
        }
    (workspace.data / "metrics.json").write_text(json.dumps(figures, indent=1, sort_keys=True))
    return {
        "num_pairs": len(heldout),
        "accuracy": figures["metrics"]["reward_model"]["value"],
        "verdict": figures["verdict"],
    }


def groupings(pairs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The group of each pair in every one of GROUPINGS."""
    return {
        "kind": [pair["task"] for pair in pairs],
        "source": [pair["source"] for pair in pairs],
        "length": [length_group(pair["chosen"], pair["rejected"]) for pair in pairs],
    }


def length_group(chosen: str, rejected: str) -> str:
    """Which side has more words: "chosen longer", "chosen shorter" or "about equal" (within a tenth of the longer)."""
    ours, theirs = len(normalise_words(chosen)), len(normalise_words(rejected))
    if abs(ours - theirs) <= _ALIKE * max(ours, theirs):
        return "about equal"
    return "chosen longer" if ours > theirs else "chosen shorter"


def wins(margins: Sequence[float]) -> np.ndarray:
    """1 where the chosen side is ahead, 0 where it is behind, 0.5 at a tie."""
    return (np.sign(np.asarray(margins, dtype=np.float64)) + 1) / 2


def length_wins(pairs: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """How often the longer, and the shorter, completion (in words) is the chosen one."""
    longer = [len(normalise_words(pair["chosen"])) - len(normalise_words(pair["rejected"])) for pair in pairs]
    return {"longer": wins(longer), "shorter": wins([-margin for margin in longer])}


def bag_of_words_margins(
    train: Sequence[Mapping[str, Any]], heldout: Sequence[Mapping[str, Any]], l2: float, num_steps: int = 1000
) -> list[float]:
    """Margins of held-out pairs from a logistic regression on differences of word counts, fitted on the train pairs.

    Bradley-Terry with a linear reward: minimises mean(-log sigmoid(w . difference)) + l2 / 2 |w|^2 by accelerated
    gradient descent. Words that stand on neither side of a train pair weigh nothing. No train pairs: all margins 0.
    """
    counted = [(normalise_words(pair["chosen"]), normalise_words(pair["rejected"])) for pair in train]
    index = {word: i for i, word in enumerate(sorted({word for sides in counted for side in sides for word in side}))}
    if not index:
        return [0.0] * len(heldout)

    def differences(sides: Sequence[tuple[list[str], list[str]]]) -> np.ndarray:
        rows = np.zeros((len(sides), len(index)))
        for row, (chosen, rejected) in zip(rows, sides, strict=True):
            for words, sign in ((chosen, 1.0), (rejected, -1.0)):
                for word in words:
                    if word in index:
                        row[index[word]] += sign
        return rows

    train_NV = differences(counted)
    # the gradient is Lipschitz with the largest eigenvalue of X'X / 4N + l2, which the largest row norm bounds
    step = 1.0 / (0.25 * max(1e-12, float((train_NV**2).sum(axis=1).max())) + l2)
    weights_V, ahead_V = np.zeros(len(index)), np.zeros(len(index))
    for number in range(num_steps):
        slope_N = -1.0 / (1.0 + np.exp(np.clip(train_NV @ ahead_V, -50, 50)))
        moved_V = ahead_V - step * (train_NV.T @ slope_N / len(train_NV) + l2 * ahead_V)
        ahead_V = moved_V + number / (number + 3) * (moved_V - weights_V)
        weights_V = moved_V
    held = differences([(normalise_words(pair["chosen"]), normalise_words(pair["rejected"])) for pair in heldout])
    return [float(f"{margin:.9g}") for margin in held @ weights_V]


def measure(
    models: Sequence[Path], policy: Path, pairs: list[dict[str, Any]], config: RewardEvaluationConfig, journal: Journal
) -> tuple[list[list[tuple[float, float]]], dict[str, list[float]]]:
    """Each reward model's (chosen, rejected) reward of every pair; and chosen minus rejected of the policy's
    log-likelihood of each pair ("sum" and "mean", nats)."""
    import torch

    from medray.model.load import load_tokenizer
    from medray.model.render import render_pair
    from medray.train.forward import Forward, ForwardRow

    torch.set_num_threads(config.placement.threads)
    tokenizer = load_tokenizer(models[0])
    rendered = [side for pair in pairs for side in render_pair(tokenizer, pair)]
    both = list(zip(rendered[::2], rendered[1::2], strict=True))
    rewards = [rewards_of(model, both, config, journal) for model in models]
    journal.progress(0, len(rendered), "completions", "policy")
    forward = Forward.placed(policy, config.dtype, config.placement)
    rows = [ForwardRow(first.prompt, [first.completion, second.completion]) for first, second in both]
    logprobs = forward.sequence_logprobs(rows)
    journal.progress(len(rendered), len(rendered), "completions")
    return rewards, {
        "sum": [first[0] - second[0] for first, second in logprobs],
        "mean": [first[0] / first[1] - second[0] / second[1] for first, second in logprobs],
    }


def rewards_of(
    model: Path, both: Sequence[tuple[Any, Any]], config: RewardEvaluationConfig, journal: Journal
) -> list[tuple[float, float]]:
    """One reward model's (chosen, rejected) reward of every rendered pair; batches are of like length."""
    import torch

    from medray.model.load import load_reward_model, pooled_rewards

    loaded = load_reward_model(model, config.dtype).to("cuda" if config.placement.use_gpu else "cpu")
    by_length = sorted(range(len(both)), key=lambda i: sum(len(side.ids) for side in both[i]))
    rewards = np.zeros((len(both), 2))
    with torch.inference_mode():
        for start in range(0, len(by_length), _BATCH):
            journal.progress(start, len(both), "pairs", "reward model")
            chosen = by_length[start : start + _BATCH]
            found = pooled_rewards(loaded, [[side.ids for side in both[i]] for i in chosen]).cpu().numpy()
            rewards[chosen] = found.reshape(-1, 2)
    return [(float(chosen), float(rejected)) for chosen, rejected in rewards]


def summarise(
    won: Mapping[str, np.ndarray], groups: Mapping[str, Sequence[str]], prompts: Sequence[str], rng_seed: int
) -> dict[str, Any]:
    """{metrics: accuracy of each judge, by_<grouping>, differences: reward model minus baseline, verdict, not_above}.

    groups: of each grouping, every pair's group. Pairs of one prompt go together in every interval.
    verdict: "above" when the reward model is above every baseline, each paired interval clear of 0; else "not above".
    """
    values, prompts_N = dict(won), np.array(prompts)
    ordered = ["reward_model", *(name for name in BASELINES if name in values)]
    differences = []
    for name in ordered[1:]:
        difference = statistics.paired_difference(values[name], values["reward_model"], prompts_N, rng_seed=rng_seed)
        row = {"baseline": name, "figure": "accuracy", "scale": "absolute", **difference.row()}
        differences.append({**row, "verdict": statistics.verdict(difference)})
    not_above = [row["baseline"] for row in differences if row["verdict"] != "better"]

    def accuracies(rows_N: np.ndarray) -> dict[str, dict[str, Any]]:
        won_by = {name: statistics.mean(values[name][rows_N], prompts_N[rows_N], rng_seed=rng_seed) for name in ordered}
        return {name: estimate.row() for name, estimate in won_by.items()}

    return {
        "metrics": accuracies(np.full(len(prompts_N), True)),
        **{f"by_{name}": {g: accuracies(np.array(of) == g) for g in sorted(set(of))} for name, of in groups.items()},
        "differences": differences,
        "verdict": "not above" if not_above else "above",
        "not_above": not_above,
    }
