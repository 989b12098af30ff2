"""What the figures say, in plain sentences: aims reached or not, what each stage changed and what it did not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medray.core.config import Config
from medray.math import statistics
from medray.report import figures

FOR_STAGE = (
    ("pretrain", "evaluate", ("perplexity.definitions", "perplexity.medical", "perplexity.general")),
    ("sft", "evaluate", ("accuracy", "perplexity.general")),
    ("round", "fresh", ("reward_mean", "correct_mean")),
)
"""What each stage is there for, and general perplexity, which it must not spoil; by start of the model's name."""


BLIND = ("chance", "longest_option", "most_frequent", "prior")
"""Baselines of multiple choice that never read the question."""


class Aims(Config):
    """What a run sets out to reach; as shares, so -0.25 is a quarter less. None: no aim of this run."""

    max_definitions_change: float | None = None
    """Perplexity of held-out definitions, last model against base: at most this relative change."""
    max_general_change: float | None = None
    """Perplexity of general text outside the mix, last model against base: at most this relative change."""
    min_accuracy_change: float | None = None
    """Multiple choice by likelihood, last model against base: at least this change, so -0.02 is two points lost."""
    min_reward_accuracy: float | None = None
    """Held-out pairs that the reward model has right."""
    min_win_rate: float | None = None
    """Of the last round over the policy that the rounds start from, by the reward model and by the auditor."""


Finding = dict[str, Any]


def sentences(report: Mapping[str, Any]) -> list[Finding]:
    """One finding for each figure a stage is there for: {text, verdict, model, figure}; no effect is said plainly."""
    found = []
    for kind, rows, names in _sections(report):
        for start, section, keys in FOR_STAGE:
            for name in (n for n in names if section == kind and n.startswith(start)):
                for key in keys:
                    row = next((r for r in rows if r["second"] == name and r["figure"] == key and r["count"]), None)
                    if row:
                        found.append(_sentence(report, row))
    judged = won(report) + observed(report) + reward_model(report)
    return found + above_baselines(report) + sharper(report) + judged


def _sections(report: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]], list[str]]]:
    return [(kind, report[kind]["differences"], list(report[kind]["models"])) for kind in ("evaluate", "fresh")]


def _sentence(report: Mapping[str, Any], row: Mapping[str, Any]) -> Finding:
    label, change = label_of(row["figure"]), change_text(row)
    second, first = name_text(row["second"]), name_text(row["first"])
    text = {
        "better": f"{second}: {label} improved against {first}: {change}.",
        "worse": f"{second}: {label} got worse against {first}: {change}.",
        "none": f"{second}: no difference in {label} against {first}: {change}; the interval includes 0.",
    }[row["verdict"]]
    if row["num_clusters"] < statistics.MIN_CLUSTERS:
        text = f"{second}: {label} against {first} cannot be judged with {items_text(row)}."
    return {"text": text, "verdict": row["verdict"], "model": row["second"], "figure": row["figure"]}


def above_baselines(report: Mapping[str, Any]) -> list[Finding]:
    """Whether the last model's multiple choice is above what can be had without reading the question, task by task."""
    names = report["evaluate"]["models"]
    if not names or not report["tasks"]:
        return []
    found, measured = [], report["evaluate"]["metrics"][names[-1]]
    for task in report["tasks"]:
        rows = {b: measured[f"accuracy_minus_{b}.{task}"] for b in BLIND if f"accuracy_minus_{b}.{task}" in measured}
        unbeaten = [name_text(baseline) for baseline, row in rows.items() if row["verdict"] != "better"]
        tail = f"not above {', '.join(unbeaten)}" if unbeaten else "above every blind baseline"
        text = f"{name_text(names[-1])}, {name_text(task)}: correct {percent(measured[f'accuracy.{task}'])}, {tail}."
        verdict = "none" if unbeaten else "better"
        found.append({"text": text, "verdict": verdict, "model": names[-1], "figure": f"accuracy.{task}"})
    return found


def sharper(report: Mapping[str, Any]) -> list[Finding]:
    """For each round: is it better than the model it all started from, or does cooler sampling of that do as much?"""
    rows, found = report["fresh"]["differences"], []
    start = next(iter(report["fresh"]["models"]), "")
    controls = [n for n in report["fresh"]["models"] if n.startswith(f"{start}_")]
    for name in (n for n in report["fresh"]["models"] if n.startswith("round")):
        over_start = figures.find(rows, "reward_mean", start, name)
        for control in controls:
            row = figures.find(rows, "reward_mean", control, name)
            if not row or not over_start:
                continue
            better, beyond = over_start["verdict"] == "better", row["verdict"] == "better"
            correct = figures.find(rows, "correct_mean", control, name)
            truth = f"; correct {change_text(correct)}: {correct['verdict']}" if correct else ""
            ending = {
                (True, True): "so by reward it is better, not only sharper",
                (True, False): "so its gain may be a sharper distribution and nothing more",
                (False, True): f"though over the {name_text(start)} model itself it shows no gain",
                (False, False): f"and it shows no gain over the {name_text(start)} model itself",
            }[better, beyond]
            against = f"{name_text(name)} against the cooler {name_text(start)} model"
            text = f"{against}: reward {change_text(row)}, {ending}{truth}."
            verdict = "better" if better and beyond else "worse" if row["verdict"] == "worse" else "none"
            found.append({"text": text, "verdict": verdict, "model": name, "figure": "reward_mean"})
    return found


def won(report: Mapping[str, Any]) -> list[Finding]:
    """For each round: does it beat the policy that the rounds start from, and in an auditor's eyes too?"""
    found = []
    for name, rates in report["win_rates"].items():
        ours, audited = rates["judge"]["all"], rates.get("auditor", {}).get("all")
        wins = [row["low"] is not None and row["low"] > 0.5 for row in (ours, audited) if row]
        losses = [row["high"] is not None and row["high"] < 0.5 for row in (ours, audited) if row]
        text = f"{name_text(name)} wins {percent(ours)} against the start by its reward model"
        if audited:
            text += f" and {percent(audited)} by the auditor"
            text += "" if wins[0] == wins[1] else ", who does not agree" if wins[0] else ", who alone sees a gain"
        verdict = "better" if all(wins) else "worse" if any(losses) else "none"
        found.append({"text": f"{text}.", "verdict": verdict, "model": name, "figure": "win_rate"})
    return found


def observed(report: Mapping[str, Any]) -> list[Finding]:
    """For each round: whether it pleases the reward model by length, by losing what is right, or by going far."""
    found = []
    for name, seen in report["observed"].items():
        equal, kl = seen["reward_at_equal_length"], seen["kl"]
        raised = " and ".join(alarm.replace("_", " ") for alarm, is_raised in seen["alarms"].items() if is_raised)
        ending = f"alarm: {raised}{'' if seen['accepted'] else '; the round was undone'}" if raised else "no alarm"
        interval = "too few items" if equal["low"] is None else f"[{equal['low']:+.3g}, {equal['high']:+.3g}]"
        text = (
            f"{name_text(name)}, observed against the policy before it: reward at equal length {equal['value']:+.3g} "
            f"{interval}, KL to the start {kl['value']:.3g} nats a completion; {ending}."
        )
        found.append({"text": text, "verdict": "worse" if raised else "none", "model": name, "figure": "observe"})
    return found


def reward_model(report: Mapping[str, Any]) -> list[Finding]:
    """Whether the reward model earns its place on held-out pairs."""
    measured = report["reward_model"]
    if not measured:
        return []
    accuracy = measured["metrics"]["reward_model"]
    beaten = measured["verdict"] == "above"
    unbeaten = " and ".join(name_text(name) for name in measured["not_above"])
    tail = "above every baseline" if beaten else f"not above {unbeaten}"
    text = f"Reward model: {percent(accuracy)} of held-out pairs, {tail}."
    return [{"text": text, "verdict": "better" if beaten else "none", "model": "reward", "figure": "reward_model"}]


def aims(report: Mapping[str, Any], wanted: Aims) -> list[dict[str, Any]]:
    """Each aim with the figure that answers it: reached by its value; `certain` when its whole interval agrees."""
    found = []
    names, rows = list(report["evaluate"]["models"]), report["evaluate"]["differences"]
    steps = [n for n in names[1:] if n.startswith("pretrain")] + names[-1:] if len(names) > 1 else []
    for key, limit, what in (
        ("perplexity.definitions", wanted.max_definitions_change, "Perplexity of held-out definitions"),
        ("perplexity.general", wanted.max_general_change, "Perplexity of general text"),
    ):
        for name in dict.fromkeys(steps) if limit is not None else ():
            aim = f"{what}, {name_text(name)} against base: {'at most ' if limit > 0 else ''}{limit:+.0%}"
            found.append(_aim(aim, figures.find(rows, key, "base", name), limit, "relative", below=True))
    if (least := wanted.min_accuracy_change) is not None and steps:
        aim = f"Multiple choice by likelihood, {name_text(steps[-1])} against base: at least {least * 100:+.0f} points"
        found.append(_aim(aim, figures.find(rows, "accuracy", "base", steps[-1]), least, "absolute"))
    if (least := wanted.min_reward_accuracy) is not None:
        measured = report["reward_model"] and report["reward_model"]["metrics"]["reward_model"]
        found.append(_aim(f"Held-out pairs that the reward model has right: {least:.0%}", measured, least, "share"))
    if (least := wanted.min_win_rate) is not None and report["win_rates"]:
        name, rates = list(report["win_rates"].items())[-1]
        for judge, words in (("judge", "its reward model"), ("auditor", "the auditor")):
            if judge in rates:
                aim = f"Wins of {name_text(name)} against the start by {words}: {least:.0%}"
                found.append(_aim(aim, rates[judge]["all"], least, "share"))
    fresh = report["fresh"]["models"]
    for name in (name for name in fresh if not figures.is_control(name, fresh)):
        row = report["fresh"]["metrics"][name].get("best_minus_greedy")
        if row and row["count"]:
            aim = f"Correct answers of {name_text(name)}: best of N above greedy"
            found.append({**_aim(aim, row, 0.0, "absolute"), "reached": row["verdict"] == "better"})
    return found


def _aim(
    aim: str, row: Mapping[str, Any] | None, limit: float, unit: str, *, below: bool = False
) -> dict[str, Any]:  # fmt: skip
    """unit: relative (change), absolute (points) or share."""
    if row is None or row["value"] is None:
        nothing = {"value": None, "low": None, "high": None, "count": 0}
        return {"aim": aim, **nothing, "reached": False, "certain": False, "unit": ""}
    figure = {name: row[name] for name in ("value", "low", "high", "count")}
    reached = row["value"] <= limit if below else row["value"] >= limit
    ends = (row["low"], row["high"])
    certain = None not in ends and len({end <= limit if below else end >= limit for end in ends} | {reached}) == 1
    return {"aim": aim, **figure, "reached": reached, "certain": certain, "unit": unit}


def label_of(key: str) -> str:
    """A figure's name inside a sentence."""
    every = (*figures.MODEL_FIGURES, *figures.FRESH_FIGURES)
    label = next((figure.label for figure in every if figure.key == key), key.replace(".", ": ").replace("_", " "))
    head, _, tail = label.replace(", ", ": ", 1).partition(": ")
    return f"{head.lower()} ({tail})" if tail else label[0].lower() + label[1:]


def name_text(name: str) -> str:
    """A model's or baseline's name for readers: sft_cool -> SFT cool, round_1 -> round 1."""
    text = name.removesuffix(".dpo").replace("_", " ").replace("sft", "SFT")
    return "pretrained" if text == "pretrain" else text


def percent(row: Mapping[str, Any]) -> str:
    """A share with its interval, as percentages."""
    return f"{row['value']:.1%} [{row['low']:.1%}, {row['high']:.1%}], {items_text(row)}"


def items_text(row: Mapping[str, Any]) -> str:
    """How many items are behind a figure, and in how many clusters where some were drawn together."""
    sets = f" in {row['num_clusters']} sets" if row["num_clusters"] < row["count"] else ""
    return f"n = {row['count']}{sets}"


def change_text(row: Mapping[str, Any]) -> str:
    """A difference with its interval and count: relative ones in %, shares in points, rewards as they are."""
    if row["low"] is None or row["high"] is None:
        return f"too few items for an interval, {items_text(row)}"
    if row["scale"] == "relative":
        value, low, high = (f"{row[k] * 100:+.1f}" for k in ("value", "low", "high"))
        return f"{value}% [{low}, {high}], {items_text(row)}"
    if row["figure"].startswith(("accuracy", "correct", "unparsed", "truncated")):
        value, low, high = (f"{row[k] * 100:+.1f}" for k in ("value", "low", "high"))
        return f"{value} points [{low}, {high}], {items_text(row)}"
    value, low, high = (f"{row[k]:+.3g}" for k in ("value", "low", "high"))
    return f"{value} [{low}, {high}], {items_text(row)}"
