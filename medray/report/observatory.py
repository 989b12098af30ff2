"""The observatory's charts: what each preference round did to the policy, beside the reward it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from medray.page.charts import INK, MUTED, STYLE, plt, to_svg
from medray.report.findings import name_text
from medray.report.plots import colour, interval_mark, smoothed

Cell = Mapping[str, Any] | None
Curve = Sequence[tuple[int, float]]

_MARKERS = ("o", "s")
_START = "sft"  # the colour of what the rounds start from


class Panel(NamedTuple):
    """One small chart: a line for each name, its cells at the start and after every round."""

    title: str
    unit: str
    lines: Mapping[str, Sequence[Cell]]
    is_share: bool = False
    from_zero: bool = True


def panels(observed: Mapping[str, Mapping[str, Any]]) -> list[Panel]:
    """The nine figures of the rounds; the first cell of a line is the policy that the first round started from."""
    rounds = list(observed.values())

    def level(figure: str) -> list[Cell]:
        return [rounds[0]["levels"][figure]["before"], *(seen["levels"][figure]["after"] for seen in rounds)]

    drift = {
        side: [None, *(seen["drift"].get("since_initial", {}).get(side) for seen in rounds)]
        for side in ("chosen", "rejected")
    }
    slopes = [rounds[0]["reward_per_token"], *(seen["reward_per_token_after"] for seen in rounds)]
    refused = [rounds[0]["refusals"]["before"], *(seen["refusals"]["after"] for seen in rounds)]
    return [
        Panel("Reward", "reward, mean of samples", {"": level("reward_mean")}, from_zero=False),
        Panel("Gold accuracy", "share correct", {"": level("correct_mean")}, is_share=True),
        Panel("Length", "tokens per completion", {"": level("tokens_mean")}),
        Panel("Reward per length", "reward per token, within prompts", {"": slopes}, from_zero=False),
        Panel("KL to the start", "nats per completion", {"": [None, *(seen["kl"] for seen in rounds)]}),
        Panel("Log-prob since the start", "nats per completion", drift, from_zero=False),
        Panel(
            "Variety", "distinct n-grams", {"n = 1": level("distinct_1"), "n = 2": level("distinct_2")}, is_share=True
        ),
        Panel("Refusals", "share of completions", {"": refused}, is_share=True),
        Panel("Cut off", "share of completions", {"": level("truncated")}, is_share=True),
    ]


def observatory_chart(observed: Mapping[str, Mapping[str, Any]]) -> str:
    """All panels, with 95% intervals; a round that was undone has hollow marks."""
    names = list(observed)
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(3, 3, figsize=(10.4, 7.6))
        for axis, panel in zip(axes.flat, panels(observed), strict=True):
            axis.set_title(panel.title)
            axis.set_ylabel(panel.unit, fontsize=9)
            _draw(axis, panel, names, [seen["accepted"] for seen in observed.values()])
        return to_svg(canvas, "observatory", "What was observed of each preference round, with 95% intervals")


def _draw(axis: Axes, panel: Panel, names: Sequence[str], accepted: Sequence[bool]) -> None:
    inks = [colour(name) for name in (_START, *names)]
    for marker, (line, cells) in zip(_MARKERS, panel.lines.items(), strict=False):
        shift = 0.0 if len(panel.lines) == 1 else 0.16 * (_MARKERS.index(marker) - 0.5)
        known = [(x, cell) for x, cell in enumerate(cells) if cell and cell["value"] is not None]
        axis.plot([x + shift for x, _ in known], [cell["value"] for _, cell in known], color=MUTED, lw=0.8, alpha=0.6)
        for x, cell in known:
            is_hollow = x > 0 and not accepted[x - 1]
            interval_mark(axis, cell, x + shift, inks[x], marker=marker, is_hollow=is_hollow)
        if line:
            axis.plot([], [], marker, color=MUTED, label=line)
    if len(panel.lines) > 1:
        axis.legend(fontsize=8, loc="best", handletextpad=0.1)
    if not any(cell and cell["value"] is not None for cells in panel.lines.values() for cell in cells):
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", va="center", color=MUTED)
        axis.set_yticks([])
    shown = [name_text(n) + ("" if kept else "\n(undone)") for n, kept in zip(names, accepted, strict=True)]
    axis.set_xticks(range(len(names) + 1), ["start", *shown], fontsize=9)
    axis.set_xlim(-0.5, len(names) + 0.5)
    axis.grid(axis="x", visible=False)
    axis.margins(y=0.15)
    axis.yaxis.set_major_locator(MaxNLocator(4))
    if panel.from_zero:
        axis.set_ylim(bottom=0)
    if panel.is_share:
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))


def drift_chart(curves: Sequence[tuple[str, Curve, Curve]]) -> str:
    """One panel for each round (label, log-prob of chosen, of rejected, by optimizer step), as training logged them."""
    width = max(3, len(curves))
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(1, width, figsize=(10.4, 2.6), squeeze=False)
        for axis in axes.flat[len(curves) :]:
            axis.set_visible(False)
        for axis, (label, *sides) in zip(axes.flat, curves, strict=False):
            for points, name, style in zip(sides, ("chosen", "rejected"), ("-", "--"), strict=True):
                values = [value for _, value in points]
                axis.plot([step for step, _ in points], smoothed(values), style, color=colour(label), lw=2, label=name)
            axis.set_title(name_text(label))
            axis.set_xlabel("optimizer step")
            axis.tick_params(axis="y", labelcolor=INK)
            axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axis.yaxis.set_major_locator(MaxNLocator(4))
        axes[0][0].set_ylabel("log-prob, nats")
        axes[0][0].legend(fontsize=8, handlelength=2.2)
        return to_svg(canvas, "drift", "Log-probability of chosen and rejected completions while each round trains")
