"""The data card's charts: the mixture along the corpus, lengths and years of its documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from medray.page.charts import INK, MUTED, SERIES, STYLE, plt, to_svg

CATEGORIES = {"medical": 4, "clinical": 6, "general": 2}
"""Colour of each category, as a number of the page's series."""
_SOURCES = (4, 1, 2, 6, 5, 7, 3, 0)
_MAX_PANELS = 8


def source_index(names: Sequence[str], name: str) -> int:
    """Which of the page's colours a source has."""
    return _SOURCES[list(names).index(name) % len(_SOURCES)]


def mixture_chart(mixture: Mapping[str, Any], proportions: Mapping[str, int]) -> str:
    """Share of each category in every prefix of the corpus, and its distance from what the recipe asks for."""
    points, total = mixture["points"], sum(proportions.values())
    tokens = [point["tokens"] for point in points]
    with plt.rc_context(STYLE):
        canvas, (shares, off) = plt.subplots(1, 2, figsize=(10.4, 3.2))
        for name, part in proportions.items():
            ink, found = SERIES[CATEGORIES[name]], [point[name] for point in points]
            shares.plot(tokens, found, color=ink, lw=2)
            shares.annotate(
                f"{name} {found[-1]:.1%}", (tokens[-1], found[-1]), (6, 0), textcoords="offset points", va="center",
                fontsize=9, color=INK,
            )  # fmt: skip
            off.plot(tokens, [100 * (share - part / total) for share in found], color=ink, lw=1.6)
        shares.set_ylim(0, 1)
        shares.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        shares.set_ylabel("share of all tokens so far")
        for limit in (-0.5, 0.5):
            off.axhline(limit, color=MUTED, lw=1, ls=(0, (4, 3)))
        off.set_ylabel("percentage points off")
        for axis in (shares, off):
            axis.set_xlim(0, tokens[-1])
            axis.xaxis.set_major_locator(MaxNLocator(5))
            axis.xaxis.set_major_formatter(FuncFormatter(_short))
            axis.set_xlabel("tokens from the start of the corpus")
        return to_svg(canvas, "mixture", "Share of each category in the prefixes of the corpus")


def lengths_chart(lengths: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> str:
    """Documents of each source by length, in steps of a factor of two."""
    bins = sorted({int(low) for found in lengths.values() for low in found})
    ticks = [1 << k for k in range(bins[0].bit_length() - 1, bins[-1].bit_length())]
    with plt.rc_context(STYLE):
        canvas, axis = plt.subplots(figsize=(10.4, 3.2))
        below = [0] * len(ticks)
        for name in lengths:
            counts = [lengths[name].get(str(low), 0) for low in ticks]
            ink = SERIES[source_index(names, name)]
            axis.bar(range(len(ticks)), counts, 0.82, below, color=ink, label=name)
            below = [a + b for a, b in zip(below, counts, strict=True)]
        axis.set_xticks(range(len(ticks)), [str(low) if low < 1024 else f"{low // 1024}k" for low in ticks])
        axis.set_xlabel("tokens of a document: from here to twice as many")
        axis.set_ylabel("documents")
        axis.yaxis.set_major_formatter(FuncFormatter(_short))
        axis.grid(axis="x", visible=False)
        axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, handlelength=1)
        return to_svg(canvas, "lengths", "Documents of each source by their number of tokens")


def years_chart(years: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> str:
    """Documents by year, one panel for each source that states years (the eight with most documents); "" for none."""
    dated = {
        name: {int(year): n for year, n in found.items() if year.isdigit()} for name, found in sorted(years.items())
    }
    shown = [name for name in sorted(dated, key=lambda n: -sum(dated[n].values())) if dated[name]][:_MAX_PANELS]
    if not shown:
        return ""
    width = min(len(shown), 2)
    with plt.rc_context(STYLE):
        rows = -(-len(shown) // width)
        canvas, axes = plt.subplots(rows, width, figsize=(10.4, 2.4 * rows), squeeze=False)
        for axis in axes.flat[len(shown) :]:
            axis.set_visible(False)
        for axis, name in zip(axes.flat, shown, strict=False):
            found = dated[name]
            axis.bar(list(found), list(found.values()), 0.9, color=SERIES[source_index(names, name)])
            axis.set_title(name)
            axis.set_ylabel("documents")
            axis.set_xlim(min(found) - 5, max(found) + 5)
            axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
            axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            axis.grid(axis="x", visible=False)
        return to_svg(canvas, "years", "Documents of each source by year")


def losses_chart(steps: Sequence[Mapping[str, Any]]) -> str:
    """What became of all rows: of each step the rows it passed on, and above them what it dropped or set aside."""
    with plt.rc_context(STYLE):
        canvas, axis = plt.subplots(figsize=(10.4, 0.9 + 0.42 * len(steps)))
        for number, step in enumerate(steps):
            total = step["total"]
            dropped, start = sum(total["dropped"].values()), 0
            for value, ink in ((total["out"], SERIES[1]), (dropped, SERIES[6]), (total["quarantined"], MUTED)):
                axis.barh(number, value, 0.62, start, color=ink)
                start += value
            lost = f"  (−{start - total['out']:,})" if start > total["out"] else ""
            axis.annotate(
                f"{total['out']:,}{lost}", (start, number), (6, 0), textcoords="offset points",
                va="center", fontsize=9, color=INK,
            )  # fmt: skip
        axis.set_yticks(range(len(steps)), [step["step"] for step in steps])
        axis.tick_params(axis="y", labelcolor=INK)
        axis.set_ylim(len(steps) - 0.5, -0.5)
        axis.set_xlim(0, max(step["total"]["in"] for step in steps) * 1.16 or 1)
        axis.xaxis.set_major_formatter(FuncFormatter(_short))
        axis.grid(axis="y", visible=False)
        axis.set_xlabel("rows: passed on, dropped, set aside")
        return to_svg(canvas, "losses", "Rows passed on, dropped and set aside by each step")


def _short(value: float, _: Any = None) -> str:
    """1234567 as 1.2M."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:g}"
