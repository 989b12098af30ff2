"""Renders the report as one HTML file: charts inline, no script, no request to anywhere."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from medray.core.placement import memory_bytes, num_cores
from medray.math import statistics
from medray.page.render import minutes_text, render, size_text
from medray.report import figures, findings, observatory, plots

PERPLEXITY_PANELS = (
    ("perplexity.definitions", "Definitions (free text)"),
    ("perplexity.medical", "Whole medical documents"),
    ("perplexity.general", "General text"),
)
_NONE = {"count": 0}


def render_page(
    report: Mapping[str, Any],
    timings: Sequence[Mapping[str, Any]],
    curves: Sequence[tuple[str, Sequence[tuple[int, float]], str]],
    drifts: Sequence[tuple[str, observatory.Curve, observatory.Curve]] = (),
    *,
    commit: str,
) -> str:
    """The page of a report: `timings`, `curves` (loss by optimizer_step) and `drifts` (log-prob of chosen and rejected
    by it) are shown but not part of report.json."""
    filters = {
        "value": value_text, "interval": interval_text, "name": findings.name_text, "change": findings.change_text,
        "series": plots.series_index, "label": findings.label_of,
    }  # fmt: skip
    return render(
        Path(__file__).with_name("template.html.j2"),
        filters,
        report=report,
        tiles=tiles(report),
        charts=charts(report, curves, drifts),
        model_figures=_measured(figures.MODEL_FIGURES, report["evaluate"]),
        task_figures=figures.task_figures(report["tasks"]),
        fresh_figures=_measured(figures.FRESH_FIGURES, report["fresh"]),
        baselines=findings.BLIND,
        min_pairs=statistics.MIN_CLUSTERS,
        change_before=changes_before(report),
        stages=stages(report, timings),
        licences=licences(report),
        header=_header(timings, commit),
    )


def _header(timings: Sequence[Mapping[str, Any]], commit: str) -> dict[str, str]:
    last = max((row["sealed_at"] for row in timings), default=0.0)
    return {
        "date": datetime.fromtimestamp(last, UTC).strftime("%Y-%m-%d %H:%M UTC") if last else "",
        "machine": f"{num_cores()} cores, {memory_bytes() / 2**30:.0f} GiB, {platform.system()} {platform.machine()}",
        "commit": commit,
        "total": minutes_text(sum(row["wall_s"] for row in timings)),
        "peak": size_text(max((row["peak_memory_bytes"] for row in timings), default=0)),
    }


def charts(report: Mapping[str, Any], curves: Sequence[Any], drifts: Sequence[Any] = ()) -> dict[str, Markup]:
    """Every chart as inline SVG by name, empty where the report has no figures for it."""
    drawn = dict.fromkeys(("perplexity", "accuracy", "rounds", "reward_model", "losses", "observatory", "drift"), "")
    if report["evaluate"]["models"]:
        measured = report["evaluate"]["metrics"].values()
        panels = [(key, title) for key, title in PERPLEXITY_PANELS if any(m.get(key, _NONE)["count"] for m in measured)]
        drawn["perplexity"] = plots.perplexity_chart(report["evaluate"], panels) if panels else ""
        tasks = [("", "all tasks"), *((f".{task}", task.replace("_", " ")) for task in report["tasks"])]
        drawn["accuracy"] = plots.accuracy_chart(report["evaluate"], tasks, findings.BLIND)
    if report["fresh"]["models"]:
        drawn["rounds"] = plots.rounds_chart(report["fresh"])
    if report["reward_model"]:
        measured = report["reward_model"]["metrics"]
        names = ["reward_model", *(row["baseline"] for row in report["reward_model"]["differences"])]
        drawn["reward_model"] = plots.reward_model_chart([(name, measured[name]) for name in names])
    if report["observed"]:
        drawn["observatory"] = observatory.observatory_chart(report["observed"])
    if drifts:
        drawn["drift"] = observatory.drift_chart(drifts)
    if curves:
        drawn["losses"] = plots.loss_chart(curves)
    return {name: Markup(svg) for name, svg in drawn.items()}  # noqa: S704  drawn by us; labels are escaped by matplotlib


def tiles(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The few figures a reader wants first: {title, big, small, verdict}."""
    found = []
    names, rows = report["evaluate"]["models"], report["evaluate"]["differences"]
    if len(names) > 1 and "base" in names:
        last = names[-1]
        for key, title in (
            ("perplexity.definitions", "Perplexity of definitions"),
            ("perplexity.general", "Perplexity of general text"),
            ("accuracy", "Multiple choice"),
        ):
            row = figures.find(rows, key, "base", last)
            before, after = (report["evaluate"]["metrics"][name].get(key) for name in ("base", last))
            if row and before and after:
                unit = next(f.unit for f in figures.MODEL_FIGURES if f.key == key)
                big = f"{value_text(before, unit)} → {value_text(after, unit)}"
                small = f"{findings.change_text(row)}; {findings.name_text(last)} against base"
                found.append({"title": title, "big": big, "small": small, "verdict": row["verdict"]})
    if report["reward_model"]:
        measured = report["reward_model"]
        strongest = max(measured["differences"], key=lambda row: measured["metrics"][row["baseline"]]["value"] or 0)
        baseline = measured["metrics"][strongest["baseline"]]
        name = findings.name_text(strongest["baseline"])
        small = f"held-out pairs; strongest baseline ({name}) {baseline['value']:.1%}"
        big, above = value_text(measured["metrics"]["reward_model"], "share"), measured["verdict"] == "above"
        found.append({"title": "Reward model", "big": big, "small": small, "verdict": "better" if above else "none"})
    for name in report["fresh"]["models"][-1:]:
        measured = report["fresh"]["metrics"][name]
        row = measured.get("best_minus_greedy")
        if row and row["count"]:
            big = f"{measured['correct_greedy']['value']:.0%} → {measured['correct_best']['value']:.0%}"
            change = findings.change_text({**row, "scale": "absolute", "figure": "correct_best"})
            small = f"{change}; {findings.name_text(name)}, fresh prompts"
            found.append({"title": "Greedy → best of N", "big": big, "small": small, "verdict": row["verdict"]})
    return found


def _measured(every: Sequence[figures.Figure], section: Mapping[str, Any]) -> list[figures.Figure]:
    found = section["metrics"].values()
    return [figure for figure in every if any(figure.key in m and m[figure.key]["count"] for m in found)]


def changes_before(report: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """(figure, model) -> its paired difference from the model before it in the pipeline."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for section in ("evaluate", "fresh"):
        for row in report[section]["differences"]:
            found.setdefault((row["figure"], row["second"]), row)  # the first pair of a model is the consecutive one
    return found


def stages(report: Mapping[str, Any], timings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Lineage rows in the order they were made, with time, memory, and inputs by label."""
    by_id = {row["id"]: row for row in report["lineage"]}
    number = {licence: index + 1 for index, licence in enumerate(licences(report))}
    longest = max((row["wall_s"] for row in timings), default=0.0) or 1.0
    found = []
    for timing in timings:
        row = by_id[timing["id"]]
        sources = [by_id[id]["label"] if id in by_id else id[:8] for id in row["inputs"].values()]
        share = timing["wall_s"] / longest
        marks = [number[licence] for licence in row["licences"]]
        found.append({**timing, **row, "sources": sorted(set(sources)), "share": share, "licence_marks": marks})
    return found


def licences(report: Mapping[str, Any]) -> list[str]:
    """Every distinct licence in the lineage, sorted."""
    return sorted({licence for row in report["lineage"] for licence in row["licences"]})


def value_text(row: Mapping[str, Any] | None, unit: str) -> str:
    """A figure's value in its unit, a dash where it was not measured."""
    return _in_unit(row["value"], unit) if row and row.get("value") is not None else "–"


def interval_text(row: Mapping[str, Any] | None, unit: str) -> str:
    """A figure's 95% interval in its unit."""
    if not row or row.get("low") is None or row.get("high") is None:
        return ""
    low, high = _in_unit(row["low"], unit).removesuffix("%"), _in_unit(row["high"], unit)
    return f"{low} – {high}"


def _in_unit(value: float, unit: str) -> str:
    if unit == "share":
        return f"{value:.1%}"
    if unit == "perplexity":
        return f"{value:.2f}" if value < 100 else f"{value:.0f}"
    return f"{value:.1f}" if unit == "tokens" else f"{value:.3f}"
