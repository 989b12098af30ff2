"""Stage: rewards of completions from the served reward model, shard by shard -> data/rewards.parquet (REWARD); of
several reward models also data/members.parquet (MEMBERS)."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Config, Placement, UserError
from medray.core.schema import COMPLETION, PROMPT, REWARD, read_table, write_table
from medray.core.workspace import Workspace
from medray.math.ensemble import EnsembleRule, combined, members
from medray.serve.config import RewardServing
from medray.serve.schema import RewardEndpoint, RewardRow
from medray.tables.shards import Shard, Step, run_steps
from medray.text.options import named_option

NAME = "judge"
VERSION = 2
REWARDS = "rewards"
"""Prefix of the marks of shards that are judged, and the folder of their parts in scratch."""

MEMBERS = pa.schema(
    [
        pa.field("completion_id", pa.string(), nullable=False),
        pa.field("rewards", pa.list_(pa.struct([("model", pa.string()), ("reward", pa.float64())])), nullable=False),
        pa.field("disagreement", pa.float64(), nullable=False),
    ]
)
"""Of an ensemble: what each model (by artifact id) gave, and their standard deviation."""

_MEMBERS = "members"  # folder of their parts, beside that of the rewards


class JudgePlacement(Placement):
    """How hard the service is asked."""

    num_workers: int = Field(default=2, ge=1)
    """Shards in flight: one computes while another is rendered and written."""
    deadline_s: float = Field(default=900.0, gt=0)
    """Longest wait for the rewards of one shard, retries included."""


class JudgeConfig(Config):
    """How completions are judged."""

    serving: RewardServing
    ensemble: EnsembleRule | None = None
    """How several reward models are one; None: there is one."""
    placement: JudgePlacement = JudgePlacement()


def run(config: JudgeConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """inputs: completions (data/completions), prompts (data/prompts.parquet), reward_model (or several,
    reward_model_<name>: data/model).

    Resumes by shard. Counters: those of `gather`.
    """
    completions = inputs["completions"].data / "completions"
    names = sorted(part.name for part in completions.glob("*.parquet"))
    shards = [Shard(name.split(".")[0], {"file_name": name}) for name in names]
    run_steps(workspace, shards, [judging(config, inputs, workspace, completions)])
    return gather(config, workspace, completions)


def judging(
    config: JudgeConfig, inputs: dict[str, Artifact], workspace: Workspace, completions: Path | None = None
) -> Step:
    """The step that judges a shard of completions; its services start now, and the first shards wait for them.

    inputs: reward_model (or several, reward_model_<name>: data/model), prompts (data/prompts.parquet). completions:
    their parts; None: the workspace's own, which are being written. Raises UserError unless there is a rule for
    several, and none for one.
    """
    from medray.serve.reward_app import ensure_reward_app

    models, prompts_path = list(members(inputs).values()), inputs["prompts"].data / "prompts.parquet"
    if bool(config.ensemble) != (len(models) > 1):
        raise UserError(f"judge.ensemble: {len(models)} reward models, expected a rule for several, none for one")
    ids = [model.id for model in models]
    endpoints = [
        ensure_reward_app(model.data / "model", model.id, config.serving, beside=ids, wait=False) for model in models
    ]

    def judge_shard(shard: Shard) -> dict[str, int]:
        name = shard.payload["file_name"]
        if completions is None:
            workspace.fetch(f"data/completions/{name}")
        part = (completions or workspace.data / "completions") / name
        return judge_part(part, prompts_path, workspace.scratch / REWARDS / name, endpoints, config)

    return Step(judge_shard, num_cpus=0.1, concurrency=config.placement.num_workers, prefix=f"{REWARDS}-")


def gather(
    config: JudgeConfig, workspace: Workspace, completions: Path | None = None
) -> dict[str, int | float | str]:  # fmt: skip
    """The rewards of all shards as one table, data/rewards.parquet; once each of them (`judging`) has been judged.

    Of several reward models, data/members.parquet (MEMBERS) keeps what each gave. Counters: num_completions,
    num_prompts, reward_mean, num_correct, num_incorrect, num_unparsed (gold prompts only), num_truncated; of several
    models also disagreement_mean.
    """
    workspace.fetch(f"scratch/{REWARDS}/*")
    rewards = read_table(workspace.scratch / REWARDS, REWARD)
    _check_complete(rewards, read_table(completions or workspace.data / "completions", COMPLETION))
    write_table(workspace.data / "rewards.parquet", rewards, REWARD)
    disagreement = {}
    if config.ensemble:
        workspace.fetch(f"scratch/{_MEMBERS}/*")
        each = read_table(workspace.scratch / _MEMBERS, MEMBERS)
        write_table(workspace.data / "members.parquet", each, MEMBERS)
        disagreement = {"disagreement_mean": math.fsum(each.column("disagreement").to_pylist()) / len(each)}
    totals = Counter({name: 0 for name in ("num_correct", "num_incorrect", "num_unparsed", "num_truncated")})
    for mark, fact in workspace.marks().items():
        if mark.startswith(f"{REWARDS}-"):
            totals.update({name: fact[name] for name in totals})
    values = rewards.column("reward").to_pylist()
    return {
        "num_completions": len(values),
        "num_prompts": len(set(rewards.column("prompt_id").to_pylist())),
        "reward_mean": math.fsum(values) / len(values),
        **disagreement,
        **totals,
    }


def judge_part(
    part: Path, prompts_path: Path, target: Path, endpoints: Sequence[RewardEndpoint], config: JudgeConfig
) -> dict[str, int]:
    """Judge one file of completions over HTTP and write its rewards; returns the shard's counts."""
    completions = read_table(part, COMPLETION).to_pylist()
    wanted = {row["prompt_id"] for row in completions}
    prompts = {row["id"]: row for row in read_table(prompts_path, PROMPT).to_pylist() if row["id"] in wanted}
    missing = sorted(wanted - prompts.keys())
    if missing:
        raise UserError(
            f"judge: prompt {missing[0]!r} of {part.name} is not among the prompts ({len(missing)} in all), "
            "expected the table that was sampled from: pass the same prompts"
        )
    # equal completions of a prompt are judged once: short answers repeat often, and must get equal rewards
    distinct = list(dict.fromkeys((c["prompt_id"], c["text"]) for c in completions))
    rows = [
        RewardRow.model_validate({"messages": prompts[prompt_id]["messages"], "completion": text})
        for prompt_id, text in distinct
    ]
    given, cut = zip(*(_ask(endpoint, rows, config) for endpoint in endpoints), strict=True)
    reward_of, num_truncated = dict(zip(distinct, zip(*given, strict=True), strict=True)), max(cut)
    judged = {c["id"]: reward_of[c["prompt_id"], c["text"]] for c in completions}
    one = {id: each[0] for id, each in judged.items()}
    if config.ensemble:
        one, each = _together(completions, judged, endpoints, config.ensemble)
        write_table(target.parent.with_name(_MEMBERS) / target.name, each, MEMBERS)
    correct = [correctness(c["text"], prompts[c["prompt_id"]]) for c in completions]
    table = [
        {
            "completion_id": c["id"],
            "prompt_id": c["prompt_id"],
            "index": c["index"],
            "reward": one[c["id"]],
            "correct": value,
            "num_tokens": len(c["token_ids"]),
        }
        for c, value in zip(completions, correct, strict=True)
    ]
    write_table(target, table, REWARD)
    has_gold = [prompts[c["prompt_id"]]["gold"] >= 0 for c in completions]
    return {
        "num_correct": correct.count(1),
        "num_incorrect": correct.count(0),
        "num_unparsed": sum(gold and value < 0 for gold, value in zip(has_gold, correct, strict=True)),
        "num_truncated": num_truncated,
    }


def _ask(endpoint: RewardEndpoint, rows: Sequence[RewardRow], config: JudgeConfig) -> tuple[list[float], int]:
    """One model's rewards of the rows, once it is up, and how many of these lost the end of their prompt."""
    from medray.generate.scoring import RewardClient

    timeout_s, deadline_s = config.serving.placement.request_timeout_s, config.placement.deadline_s
    with RewardClient(endpoint, deadline_s=deadline_s, request_timeout_s=timeout_s) as client:
        if not client.is_ready():
            from medray.serve.reward_app import await_reward_app  # Ray Serve takes a second to import

            await_reward_app(endpoint, config.serving)
        return client.rewards(rows), client.num_truncated


def _together(
    completions: Sequence[dict[str, Any]], judged: dict[str, tuple[float, ...]], endpoints: Sequence[RewardEndpoint],
    rule: EnsembleRule,
) -> tuple[dict[str, float], list[dict[str, Any]]]:  # fmt: skip
    """The rule's reward of each completion, and rows of MEMBERS; a prompt's completions are all in one part."""
    by_prompt: dict[str, list[str]] = defaultdict(list)
    for row in completions:
        by_prompt[row["prompt_id"]].append(row["id"])
    one, rows = {}, []
    for ids in by_prompt.values():
        reward_N, std_N = combined([*zip(*(judged[id] for id in ids), strict=True)], rule)
        for id, reward, std in zip(ids, reward_N, std_N, strict=True):
            one[id] = float(reward)
            each = [{"model": e.model_id, "reward": r} for e, r in zip(endpoints, judged[id], strict=True)]
            rows.append({"completion_id": id, "rewards": each, "disagreement": float(std)})
    return one, rows


def correctness(completion: str, prompt: dict[str, Any]) -> int:
    """1 or 0 where the prompt has a gold option and the completion names one option, else -1 (open or unparsed)."""
    if prompt["gold"] < 0:
        return -1
    option = named_option(completion, prompt)
    return -1 if option is None else int(option == prompt["gold"])


def _check_complete(rewards: pa.Table, completions: pa.Table) -> None:
    """Exactly one finite reward per completion, and equally many completions per prompt."""
    judged = sorted(rewards.column("completion_id").to_pylist())
    assert judged == sorted(completions.column("id").to_pylist()), "rewards and completions differ in their ids"
    assert all(math.isfinite(value) for value in rewards.column("reward").to_pylist()), "a reward is not finite"
    check_equal_counts(completions.column("prompt_id").to_pylist(), "judge")


def check_equal_counts(prompt_ids: Sequence[str], where: str) -> int:
    """K, when every prompt occurs K times. Raises UserError otherwise (sampling K=4 but judging K=8)."""
    counts = Counter(prompt_ids)
    found = sorted(set(counts.values()))
    if len(found) != 1:
        odd = next(p for p, n in sorted(counts.items()) if n == found[0])
        raise UserError(
            f"{where}: prompt {odd!r} has {found[0]} completions, others {found[-1]}, expected one K: sample again"
        )
    return found[0]
