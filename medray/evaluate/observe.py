"""Stage: is a round to be believed -> data/model (the policy to go on from), data/observation.json, and this policy's
figures on the fresh prompts (data/prompts.parquet, data/samples.parquet: as `evaluate_fresh` has them).

A round that gains reward may have learnt to please the reward model: by losing what is known to be right, by growing
longer, by leaving the policy it came from. All three are measured on the same fresh prompts before and after, and rules
of the recipe note it, undo the round, or stop the run.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.files import link
from medray.core.identity import stable_hash
from medray.core.schema import COMPLETION, PAIR, read_table
from medray.core.workspace import Workspace
from medray.evaluate.fresh import PER_PROMPT, SAMPLES
from medray.math import statistics
from medray.math.statistics import Estimate
from medray.train.config import ForwardPlacement

NAME = "observe"
VERSION = 2
EQUALITY = "numeric"

Action = Literal["note", "roll_back", "stop"]
ALARMS = ("gold_lost", "only_longer", "far_away")

_REFUSAL = re.compile(
    r"^\W*(?:i['’]?m sorry|i am sorry|i apologi[sz]e|sorry,|i can(?:no|['’])t|i am unable|i['’]?m unable|as an ai)\b",
    re.I,
)
_FIGURES = ("reward_mean", "tokens_mean", "correct_mean", "unparsed", "truncated", "distinct_1", "distinct_2")


class ObserveRules(Config):
    """What is done about a round."""

    gold_lost: Action
    """Reward is higher and correctness on prompts with a gold option lower, both beyond chance."""
    only_longer: Action
    """Reward is higher, completions are longer by length_growth, and at equal length no gain is left beyond chance."""
    length_growth: float = Field(ge=0)
    """Of the mean number of tokens: 0.1 is a tenth more."""
    far_away: Action
    """The mean KL of a completion to the initial policy is over max_kl."""
    max_kl: float = Field(gt=0)
    """Nats a completion."""


class ObserveConfig(Config):
    """How a round is observed."""

    rules: ObserveRules
    dtype: Literal["bf16", "fp32"]
    """Of the layers when log-probs are taken."""
    max_pairs: int = Field(default=256, ge=1)
    """Of the round's pairs, in hash order: whose log-probs show how far chosen and rejected have moved."""
    rng_seed: int
    """Seed of the bootstrap, and of that order."""
    placement: ForwardPlacement = ForwardPlacement()


def run(config: ObserveConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """inputs: policy and previous (data/model: after the round and before), initial (data/model); after and before
    (figures of `evaluate_fresh` on the same prompts), completions (of `after`, data/completions), pairs (what the round
    was trained on, data/pairs.parquet; left out where it was not trained on pairs).

    Counters: kl, accepted (1, or 0 where the round is undone), alarm_<name>, num_pairs and num_pairs_left_out (of those
    whose drift is taken). Raises UserError where a rule stops the
    run, and for figures of different prompts.
    """
    from medray.tables.shards import run_remote

    before, after = (_prompts(inputs[role]) for role in ("before", "after"))
    if before.keys() != after.keys():
        raise UserError(
            f"{workspace.label}: {len(before)} prompts before the round and {len(after)} others after it, expected the "
            "same: measure both on one set of fresh prompts"
        )
    rows = read_table(inputs["completions"].data / "completions", COMPLETION).to_pylist()
    models = {role: inputs[role].data / "model" for role in ("policy", "previous", "initial")}
    gpus = 1 if config.placement.use_gpu else 0
    pairs = _pairs(inputs, config)
    ratios, moved = run_remote(log_ratios, models, rows, pairs, config, num_gpus=gpus)
    samples = {
        role: read_table(inputs[role].data / "samples.parquet", SAMPLES).to_pylist() for role in ("before", "after")
    }
    observation = observe(before, after, samples, ratios, config) | {"drift": drift(moved, config.rng_seed)}
    alarms = {name: observation["alarms"][name] for name in ALARMS}
    actions = {getattr(config.rules, name) for name, is_raised in alarms.items() if is_raised}
    observation["accepted"] = not actions & {"roll_back", "stop"}
    (workspace.data / "observation.json").write_text(json.dumps(observation, indent=1, sort_keys=True) + "\n")
    if "stop" in actions:
        raise UserError(
            f"{workspace.label}: the round is stopped by its rules: {_said(observation)}: look at its samples, change "
            "the reward model or the round, or set the rule to note"
        )
    accepted, figures = ("policy", "after") if observation["accepted"] else ("previous", "before")
    for path in sorted((inputs[accepted].data / "model").iterdir()):
        link(path, workspace.data / "model" / path.name)
    for name in ("prompts.parquet", "samples.parquet"):
        link(inputs[figures].data / name, workspace.data / name)
    if any(alarms.values()):
        workspace.journal.event("alarm", what=_said(observation), accepted=observation["accepted"])
    counts = {f"alarm_{name}": int(is_raised) for name, is_raised in alarms.items()}
    return {"kl": observation["kl"]["value"], "accepted": int(observation["accepted"]), **counts} | {
        "num_pairs": len(moved),
        "num_pairs_left_out": len(pairs) - len(moved),
    }


def observe(
    before: Mapping[str, dict[str, Any]], after: Mapping[str, dict[str, Any]],
    samples: Mapping[str, Sequence[dict[str, Any]]], log_ratio_by_prompt: Mapping[str, float], config: ObserveConfig,
) -> dict[str, Any]:  # fmt: skip
    """The figures of a round, and which alarms they raise.

    before, after: PER_PROMPT rows by prompt; samples: SAMPLES rows of both; log_ratio_by_prompt: mean over a prompt's
    completions of log p(policy) - log p(initial) (nats), whose mean is the KL of a completion. The slope of reward on
    length is taken within prompts, of the samples before the round; reward at equal length goes by the steepest slope
    of its interval, so that a gain that length may explain is none.
    """
    names = sorted(before)
    cluster_N = np.array([before[name]["cluster"] for name in names])

    def column(rows: Mapping[str, dict[str, Any]], figure: str) -> np.ndarray:
        return np.array([np.nan if rows[name][figure] is None else rows[name][figure] for name in names], dtype=float)

    def paired(first_N: np.ndarray, second_N: np.ndarray) -> tuple[Estimate, str]:
        there_N = ~np.isnan(first_N) & ~np.isnan(second_N)
        found = statistics.paired_difference(
            first_N[there_N], second_N[there_N], cluster_N[there_N], rng_seed=config.rng_seed
        )
        return found, statistics.verdict(found)

    def level(rows: Mapping[str, dict[str, Any]], figure: str) -> dict[str, Any]:
        values_N = column(rows, figure)
        there_N = ~np.isnan(values_N)
        return statistics.mean(values_N[there_N], cluster_N[there_N], rng_seed=config.rng_seed).row()

    changes = {figure: paired(column(before, figure), column(after, figure)) for figure in _FIGURES}
    slope = _slope(samples["before"], config.rng_seed)
    longer_N = column(after, "tokens_mean") - column(before, "tokens_mean")
    at_length = paired(column(before, "reward_mean"), column(after, "reward_mean") - slope.high * longer_N)
    kl = statistics.mean(np.array([log_ratio_by_prompt[name] for name in names]), cluster_N, rng_seed=config.rng_seed)
    gained = changes["reward_mean"][1] == "better"
    mean_before = float(np.mean(column(before, "tokens_mean")))
    has_grown = (
        changes["tokens_mean"][1] == "better" and float(np.mean(longer_N)) > config.rules.length_growth * mean_before
    )
    refusals = {role: _refusals(rows, config.rng_seed).row() for role, rows in samples.items()}
    return {
        "changes": {figure: {**found.row(), "verdict": verdict} for figure, (found, verdict) in changes.items()},
        "levels": {f: {"before": level(before, f), "after": level(after, f)} for f in _FIGURES},
        "reward_at_equal_length": {**at_length[0].row(), "verdict": at_length[1]},
        "reward_per_token": slope.row(),
        "reward_per_token_after": _slope(samples["after"], config.rng_seed).row(),
        "tokens_before": mean_before,
        "refusals": refusals,
        "kl": kl.row(),
        "alarms": {
            "gold_lost": bool(gained and changes["correct_mean"][1] == "worse"),
            "only_longer": bool(gained and has_grown and at_length[1] != "better"),
            "far_away": bool(kl.value > config.rules.max_kl),
        },
    }


def log_ratios(
    models: Mapping[str, Path], rows: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]], config: ObserveConfig
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """(mean over each prompt's completions of log p(policy) - log p(initial), the pairs with how they moved), nats.

    models: policy, previous, initial; rows: COMPLETION; pairs: PAIR, of which those that no model can read are left
    out. A pair that moved is {prompt_id, since_previous, since_initial}, each the gain of log p(chosen) and of log
    p(rejected).
    """
    from medray.train.forward import Forward, ForwardRow

    by_prompt: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["token_ids"]:
            by_prompt[row["prompt_id"]].append(row)
    asked = [ForwardRow(some[0]["prompt_token_ids"], [row["token_ids"] for row in some]) for some in by_prompt.values()]
    found: dict[Path, list[np.ndarray]] = {}
    read: list[tuple[dict[str, Any], ForwardRow]] | None = None
    for model in dict.fromkeys(models.values()):
        forward = Forward.placed(model, config.dtype, config.placement)
        read = _read(models["policy"], pairs, forward.max_positions) if read is None else read
        taken = forward.sequence_logprobs(asked + [sides for _, sides in read])
        found[model] = [np.array([value for value, _ in each]) for each in taken]
    policy, initial = found[models["policy"]], found[models["initial"]]
    ratios = {name: float(new.mean() - old.mean()) for name, new, old in zip(by_prompt, policy, initial, strict=False)}
    moved = [
        {"prompt_id": pair["prompt_id"]} | {
            f"since_{role}": (policy[len(asked) + i] - found[models[role]][len(asked) + i]).tolist()
            for role in ("previous", "initial")
        }
        for i, (pair, _) in enumerate(read or [])
    ]  # fmt: skip
    return ratios, moved


def _read(model: Path, pairs: Sequence[dict[str, Any]], max_positions: int) -> list[tuple[dict[str, Any], Any]]:
    """The pairs with their ids, without those that were no rows of training either: too long, or not to be rendered."""
    from medray.model.load import load_tokenizer
    from medray.model.render import render_pair
    from medray.train.forward import ForwardRow

    tokenizer, found = load_tokenizer(model), []
    for pair in pairs:
        try:
            chosen, rejected = render_pair(tokenizer, pair)
        except UserError:
            continue
        if max(len(chosen.ids), len(rejected.ids)) <= max_positions:
            found.append((pair, ForwardRow(chosen.prompt, [chosen.completion, rejected.completion])))
    return found


def drift(moved: Sequence[dict[str, Any]], rng_seed: int) -> dict[str, Any]:
    """{since_previous, since_initial: {chosen, rejected}}: mean gains of log-prob over the round's pairs, nats a
    completion; empty where there are none. Both falling while the margin grows is how DPO forgets what it chose.
    """
    prompts = [pair["prompt_id"] for pair in moved]
    return {
        since: {
            side: statistics.mean(np.array([pair[since][i] for pair in moved]), prompts, rng_seed=rng_seed).row()
            for i, side in enumerate(("chosen", "rejected"))
        }
        for since in ("since_previous", "since_initial")
        if moved
    }


def _pairs(inputs: Mapping[str, Artifact], config: ObserveConfig) -> list[dict[str, Any]]:
    if "pairs" not in inputs:
        return []
    table = read_table(inputs["pairs"].data / "pairs.parquet", PAIR).to_pylist()
    rows = [row for row in table if row["split"] == "train"]  # of adopted pairs some are held out
    return sorted(rows, key=lambda row: stable_hash("drift", config.rng_seed, row["id"]))[: config.max_pairs]


def _prompts(fresh: Artifact) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in read_table(fresh.data / "prompts.parquet", PER_PROMPT).to_pylist()}


def _slope(samples: Sequence[dict[str, Any]], rng_seed: int) -> Estimate:
    """Reward per token among the completions of a prompt: least squares within prompts, with a bootstrap over them."""
    by_prompt: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in samples:
        by_prompt[row["prompt_id"]].append((row["num_tokens"], row["reward"]))
    products, squares = [], []
    for values in by_prompt.values():
        tokens_K, reward_K = (np.array(column, dtype=float) for column in zip(*values, strict=True))
        products.append(((tokens_K - tokens_K.mean()) * (reward_K - reward_K.mean())).sum())
        squares.append(np.square(tokens_K - tokens_K.mean()).sum())
    if not np.sum(squares):
        return Estimate(0.0, 0.0, 0.0, len(samples), len(by_prompt))
    return statistics.ratio(np.array(products), np.array(squares), rng_seed=rng_seed)


def _refusals(samples: Sequence[dict[str, Any]], rng_seed: int) -> Estimate:
    refused_N = np.array([float(bool(_REFUSAL.match(row["completion"]))) for row in samples])
    return statistics.mean(refused_N, np.array([row["prompt_id"] for row in samples]), rng_seed=rng_seed)


def _said(observation: Mapping[str, Any]) -> str:
    raised = ", ".join(name for name in ALARMS if observation["alarms"][name])
    reward, correct, tokens = (observation["changes"][f"{name}_mean"] for name in ("reward", "correct", "tokens"))
    return (
        f"{raised} (reward_mean {_text(reward)}, at equal length {_text(observation['reward_at_equal_length'])}; "
        f"correct_mean {_text(correct)}; tokens_mean {_text(tokens)}; KL {observation['kl']['value']:.3g})"
    )


def _text(row: Mapping[str, Any]) -> str:
    """A change with its interval; without gold prompts there is none of correctness."""
    return "not known" if row["low"] is None else f"{row['value']:+.3g} [{row['low']:.3g}, {row['high']:.3g}]"
