"""The report's charts: labelled axes with units, and 95% intervals as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from medray.page.charts import GRID, INK, MUTED, SERIES, STYLE, plt, to_svg
from medray.report.figures import order
from medray.report.findings import name_text


def series_index(name: str) -> int:
    """Which of the page's colours a model has: base 0, pretrained 1, SFT 2, its controls 3, rounds 4 to 6, others 7."""
    rank, number, _ = order(name)
    if rank < 2:
        return rank
    if rank == 2:
        return 2 if name == "sft" else 3
    return min(3 + max(number, 1), 6) if rank == 3 else 7


def colour(name: str) -> str:
    """The stand-in colour of a model."""
    return SERIES[series_index(name)]


def perplexity_chart(measured: Mapping[str, Any], panels: Sequence[tuple[str, str]]) -> str:
    """One panel for each text (key, title): perplexity of every model."""
    names = list(measured["metrics"])
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(1, len(panels), figsize=(10.4, 3.1), squeeze=False)
        for axis, (key, title) in zip(axes[0], panels, strict=True):
            rows = [(name, measured["metrics"][name].get(key)) for name in names]
            _dots(axis, rows, "{:#.3g}")
            axis.set_title(title)
        axes[0][0].set_ylabel("perplexity (lower is better)")
        return to_svg(canvas, "perplexity", "Perplexity of each model on held-out text, with 95% intervals")


def accuracy_chart(measured: Mapping[str, Any], tasks: Sequence[tuple[str, str]], baselines: Sequence[str]) -> str:
    """One row for each task (key suffix, title): a dot with its interval for each model, a tick for each baseline."""
    names = list(measured["metrics"])
    last = measured["metrics"][names[-1]]
    with plt.rc_context(STYLE):
        canvas, axis = plt.subplots(figsize=(10.4, 0.9 + 0.78 * len(tasks)))
        step = 0.54 / max(len(names) - 1, 1)
        marks = {"chance": "|", "longest_option": "2", "most_frequent": "x", "prior": "d"}
        for number, (suffix, _) in enumerate(tasks):
            for position, name in enumerate(names):
                row = measured["metrics"][name].get(f"accuracy{suffix}")
                if row and row["value"] is not None:
                    y = number - 0.34 + position * step
                    label = None if number else name_text(name)
                    interval_mark(axis, row, y, colour(name), horizontal=True, label=label)
            for baseline in baselines:
                row = last.get(f"baseline.{baseline}{suffix}")
                if row and row["value"] is not None:
                    label = name_text(baseline) if not number else None
                    marker = marks.get(baseline, "+")
                    axis.plot(row["value"], number + 0.35, marker, color=MUTED, ms=9, mew=1.4, label=label, zorder=2)
        axis.set_yticks(range(len(tasks)), [title for _, title in tasks])
        axis.tick_params(axis="y", labelcolor=INK)
        axis.set_ylim(len(tasks) - 0.48, -0.52)
        axis.set_xlim(0, 1)
        axis.grid(axis="y", visible=False)
        for boundary in range(1, len(tasks)):
            axis.axhline(boundary - 0.5, color=GRID, lw=0.8)
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axis.set_xlabel("questions answered correctly (by likelihood of the whole answer)")
        axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, handletextpad=0.4)
        return to_svg(canvas, "accuracy", "Accuracy of each model by task beside the baselines, with 95% intervals")


def loss_chart(curves: Sequence[tuple[str, Sequence[tuple[int, float]], str]]) -> str:
    """One panel for each training stage (label, (optimizer_step, value) points, name of the value)."""
    num_rows = 1 if len(curves) <= 5 else 2 if len(curves) <= 10 else 3
    width = max(3, -(-len(curves) // num_rows))
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(num_rows, width, figsize=(10.4, 2.5 * num_rows), squeeze=False)
        for axis in axes.flat[len(curves) :]:
            axis.set_visible(False)
        for axis, (label, points, what) in zip(axes.flat, curves, strict=False):
            steps, values = [p[0] for p in points], [p[1] for p in points]
            line = colour(label)
            axis.plot(steps, values, color=line, lw=1, alpha=0.4)
            axis.plot(steps, smoothed(values), color=line, lw=2)
            axis.set_title(name_text(label))
            axis.set_xlabel("optimizer step")
            axis.set_ylabel(what)
            axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axis.yaxis.set_major_locator(MaxNLocator(4))
        return to_svg(canvas, "losses", "Training loss of each stage by optimizer step")


def reward_model_chart(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Held-out pair accuracy of the reward model (first row) and of each baseline."""
    with plt.rc_context(STYLE):
        canvas, axis = plt.subplots(figsize=(7.6, 0.9 + 0.4 * len(rows)))
        for number, (_, row) in enumerate(rows):
            interval_mark(axis, row, number, SERIES[5] if number == 0 else MUTED, horizontal=True)
        axis.axvline(0.5, color=MUTED, lw=1, ls=(0, (3, 3)))
        axis.set_yticks(range(len(rows)), [name_text(name) for name, _ in rows])
        axis.tick_params(axis="y", labelcolor=INK)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_xlim(0, 1)
        axis.grid(axis="y", visible=False)
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axis.set_xlabel("held-out pairs in which the chosen completion is preferred (dashed: a coin)")
        return to_svg(canvas, "reward-model", "Held-out pair accuracy of the reward model and of the baselines")


def rounds_chart(fresh: Mapping[str, Any]) -> str:
    """Fresh prompts: reward, correctness (mean of samples, best of N, greedy) and length of each model."""
    names = list(fresh["metrics"])
    panels = (
        ("reward_mean", "Reward (reward model)", "reward, mean of samples", "{:.2f}"),
        ("correct", "Correct (gold option)", "share of prompts", "{:.0%}"),
        ("tokens_mean", "Length", "tokens per completion", "{:#.3g}"),
    )
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(1, 3, figsize=(10.4, 3.4))
        for axis, (key, title, what, pattern) in zip(axes, panels, strict=True):
            if key == "correct":
                _correctness(axis, fresh["metrics"])
            else:
                rows = [(name, fresh["metrics"][name].get(key)) for name in names]
                _dots(axis, rows, pattern, from_zero=key != "reward_mean")  # a reward has no natural zero
            axis.set_title(title)
            axis.set_ylabel(what)
        return to_svg(canvas, "rounds", "Reward, correctness and length on fresh prompts, with 95% intervals")


def _correctness(axis: Axes, measured: Mapping[str, Mapping[str, Any]]) -> None:
    shapes = (("correct_mean", "o", "mean of samples", -0.2), ("correct_best", "^", "best of N", 0.0))
    for key, marker, label, shift in (*shapes, ("correct_greedy", "s", "greedy", 0.2)):
        for position, name in enumerate(measured):
            row = measured[name].get(key)
            if row and row["value"] is not None:
                interval_mark(axis, row, position + shift, colour(name), marker=marker)
        axis.plot([], [], marker, color=MUTED, label=label)
    axis.set_xticks(range(len(measured)), [_wrapped(name) for name in measured], fontsize=9)
    axis.set_xlim(-0.6, len(measured) - 0.4)
    axis.grid(axis="x", visible=False)
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axis.legend(
        fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, handletextpad=0.1, columnspacing=0.9
    )


def _dots(
    axis: Axes, rows: Sequence[tuple[str, Mapping[str, Any] | None]], pattern: str, from_zero: bool = True
) -> None:
    """One dot with its interval and value for each model along x."""
    known = [(position, name, row) for position, (name, row) in enumerate(rows) if row and row["value"] is not None]
    for position, name, row in known:
        interval_mark(axis, row, position, colour(name))
        axis.annotate(
            pattern.format(row["value"]), (position, row["value"]), (8, 0), textcoords="offset points",
            va="center", fontsize=9, color=INK,
        )  # fmt: skip
    axis.set_xticks(range(len(rows)), [_wrapped(name) for name, _ in rows], fontsize=9)
    axis.set_xlim(-0.5, len(rows) - 0.2)
    axis.grid(axis="x", visible=False)
    axis.margins(y=0.18)
    axis.yaxis.set_major_locator(MaxNLocator(5))
    if from_zero:
        axis.set_ylim(bottom=0)


def interval_mark(
    axis: Axes, row: Mapping[str, Any], at: float, ink: str,
    *, horizontal: bool = False, marker: str = "o", label: str | None = None, is_hollow: bool = False,
) -> None:  # fmt: skip
    """A figure's mark at a place of the other axis, with its interval as a bar."""
    value, low, high = row["value"], row["low"], row["high"]
    ends = [low if low is not None else value, high if high is not None else value]
    line = ([*ends], [at, at]) if horizontal else ([at, at], [*ends])
    axis.plot(*line, color=ink, lw=2.2, alpha=0.5, solid_capstyle="round", zorder=3)
    point = (value, at) if horizontal else (at, value)
    look = {"mfc": "none", "mew": 1.6} if is_hollow else {"mew": 0}
    axis.plot(*point, marker, color=ink, ms=6.5, label=label, zorder=4, **look)


def _wrapped(name: str) -> str:
    return name_text(name).replace("pretrained", "pre- trained").replace(" ", "\n")


def smoothed(values: Sequence[float], weight: float = 0.8) -> list[float]:
    """Exponential moving average without bias at its start."""
    smoothed, total, mass = [], 0.0, 0.0
    for value in values:
        total, mass = weight * total + (1 - weight) * value, weight * mass + (1 - weight)
        smoothed.append(total / mass)
    return smoothed
