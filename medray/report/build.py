"""The last stage: report.json with every figure, its interval and its count, and one self-contained HTML page of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from medray.core.artifact import Artifact
from medray.core.config import Config
from medray.core.identity import stable_hash
from medray.core.workspace import Workspace
from medray.math.statistics import significant
from medray.report import figures, findings, lineage

NAME = "report"
VERSION = 4


class ReportConfig(Config):
    """What the report is called, what it aims at and how many samples it shows."""

    recipe: str
    aims: findings.Aims
    rng_seed: int
    """Seed of the bootstrap and of the choice of sample prompts."""
    num_sample_prompts: int


def run(config: ReportConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """Write data/report.json (equal for equal inputs), and report.html and timings.json beside data (they hold times).

    inputs: "evaluate.<model>" (kind evaluate), "fresh.<model>" (evaluate_fresh), "<round>.observe" (observe),
    "win_rate.<round>" (win_rate), one of kind evaluate_reward (of several the first) and one of evaluate_reward_bench,
    as far as there are any; every input, whatever its role, is shown in the lineage.
    """
    report = build(config, inputs)
    text = json.dumps(report, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (workspace.data / "report.json").write_text(text)
    artifacts = lineage.ordered(inputs)
    timings = lineage.timings(artifacts)
    (workspace.local / "timings.json").write_text(json.dumps(timings, indent=1))

    from medray.report.page import render_page  # matplotlib and jinja2 are needed here only

    page = render_page(
        report, timings, lineage.loss_curves(artifacts), lineage.drift_curves(artifacts), commit=_commit(artifacts)
    )
    (workspace.local / "report.html").write_text(page, encoding="utf-8")
    counts = [finding["verdict"] for finding in report["findings"]]
    return {
        "num_figures": num_figures(report),
        "num_aims_reached": sum(aim["reached"] for aim in report["aims"]),
        "num_aims": len(report["aims"]),
        **{f"findings_{verdict}": counts.count(verdict) for verdict in ("better", "none", "worse")},
    }


def build(config: ReportConfig, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """The whole report as JSON values: figures of each model, paired differences, aims, findings, samples, lineage."""
    evaluated, fresh = figures.by_model(inputs, figures.EVALUATE), figures.by_model(inputs, figures.FRESH)
    items = {name: figures.evaluation_items(artifact) for name, artifact in evaluated.items()}
    tasks = {key.partition(".")[2] for found in items.values() for key in found if key.startswith("accuracy.")}
    fresh_items = {name: figures.fresh_items(artifact) for name, artifact in fresh.items()}
    reward, bench = (
        next((artifact for artifact in inputs.values() if artifact.kind == kind), None)
        for kind in (figures.REWARD, figures.BENCH)
    )
    report: dict[str, Any] = {
        "recipe": config.recipe,
        "tasks": sorted(tasks),
        "evaluate": {
            "models": list(evaluated),
            "metrics": {name: figures.metrics(artifact) for name, artifact in evaluated.items()},
            "differences": figures.differences(
                items,
                figures.model_pairs(list(evaluated)),
                [*figures.MODEL_FIGURES, *figures.task_figures(tasks)],
                config.rng_seed,
            ),
        },
        "fresh": {
            "models": list(fresh),
            "metrics": {name: figures.metrics(artifact) for name, artifact in fresh.items()},
            "differences": figures.differences(
                fresh_items, figures.model_pairs(list(fresh)), figures.FRESH_FIGURES, config.rng_seed
            ),
        },
        "observed": figures.observed(inputs),
        "win_rates": figures.win_rates(inputs),
        "auditor": figures.auditor(inputs),
        "reward_model": figures.metrics(reward) if reward else None,
        "reward_bench": figures.metrics(bench) if bench else {},
        "samples": samples(fresh, config.num_sample_prompts, config.rng_seed),
        "lineage": lineage.rows(lineage.ordered(inputs)),
    }
    report["aims"] = findings.aims(report, config.aims)
    report["findings"] = findings.sentences(report)
    return report


def samples(fresh: Mapping[str, Artifact], num_prompts: int, rng_seed: int) -> list[dict[str, Any]]:
    """The first completion of each model for a few fresh prompts, the same for all, drawn by hash and not picked."""
    tables = {name: pq.read_table(artifact.data / "samples.parquet").to_pylist() for name, artifact in fresh.items()}
    firsts = {name: {row["prompt_id"]: row for row in rows if row["index"] == 0} for name, rows in tables.items()}
    common = set.intersection(*(set(rows) for rows in firsts.values())) if firsts else set()
    chosen = sorted(common, key=lambda id: stable_hash("sample", rng_seed, id))[:num_prompts]
    shown = ("completion", "correct", "num_tokens", "finish_reason")
    found = []
    for prompt_id in chosen:
        first = next(iter(firsts.values()))[prompt_id]
        rows = [
            {"model": name, **{k: rows[prompt_id][k] for k in shown}, "reward": significant(rows[prompt_id]["reward"])}
            for name, rows in firsts.items()
        ]
        found.append({**{k: first[k] for k in ("prompt_id", "task", "prompt", "reference")}, "completions": rows})
    return found


def num_figures(report: Mapping[str, Any]) -> int:
    """How many figures the report states, each with its interval and count."""
    if isinstance(report, Mapping):
        return ("value" in report and "count" in report) + sum(map(num_figures, report.values()))
    return sum(map(num_figures, report)) if isinstance(report, list) else 0


def _commit(artifacts: list[Artifact]) -> str:
    return artifacts[-1].manifest.commit if artifacts else ""
