"""Renders the data card as one HTML file: charts inline, a few lines of script for its filters, no request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from medray.corpus import plots
from medray.page.render import render


def render_card(
    card: Mapping[str, Any], certificates: Sequence[Mapping[str, Any]], sample: Sequence[Mapping[str, Any]],
    quarantine: Sequence[Mapping[str, Any]], is_hidden: Callable[[str], bool], access: str,
) -> str:  # fmt: skip
    """The page of a card. certificates: with examples; sample: dropped rows, without the texts of hidden sources."""
    names = sorted({*card["conservation"], *card["sources"]} - {"total"})
    steps = [step["step"] for step in card["steps"]]
    return render(
        Path(__file__).with_name("card.html.j2"),
        {
            "n": "{:,}".format,
            "colour": lambda name: _colour(names, name),
            "span": span_text,
            "ordered": lambda found: _ordered(found, steps),
        },
        card=card,
        proportions=_proportions(card),
        more=[name for name in ("low_evidence", "extra_copies") if card["total"].get(name)],
        certificates=certificates,
        sample=sample,
        quarantine=quarantine,
        access=access,
        hidden=[name for name in names if is_hidden(name)],
        charts=_charts(card, names),
        tiles=tiles(card),
        steps=[{**step, "rows": _with_all(step["sources"], step["total"])} for step in card["steps"]],
        joined=_with_all(card["conservation"], card["conservation"]["total"]),
    )


def _ordered(found: Mapping[str, int], steps: Sequence[str]) -> list[tuple[str, int]]:
    """Numbers in order of size, "<step>: <reason>" in order of the steps, all else by name."""

    def key(name: str) -> tuple[int, int, str]:
        step = name.partition(": ")[0]
        return (int(name) if name.isdigit() else 0, steps.index(step) if step in steps else 0, name)

    return sorted(found.items(), key=lambda item: key(item[0]))


def _proportions(card: Mapping[str, Any]) -> dict[str, int]:
    """As one says them: medical, clinical, general."""
    return {name: card["proportions"][name] for name in plots.CATEGORIES if name in card["proportions"]}


def _colour(names: Sequence[str], name: str) -> int:
    return plots.source_index(names, name) if name in names else 0


def _charts(card: Mapping[str, Any], names: Sequence[str]) -> dict[str, Markup]:
    years = {name: source["years"] for name, source in card["sources"].items()}
    drawn = {
        "mixture": plots.mixture_chart(card["mixture"], _proportions(card)),
        "lengths": plots.lengths_chart(card["lengths"], names),
        "years": plots.years_chart(years, names),
        "losses": plots.losses_chart(card["steps"]),
    }
    return {name: Markup(svg) for name, svg in drawn.items()}  # noqa: S704  drawn by us; labels are escaped by matplotlib


def _with_all(sources: Mapping[str, Any], total: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [*sorted((name, row) for name, row in sources.items() if name != "total"), ("all", total)]


def tiles(card: Mapping[str, Any]) -> list[dict[str, str]]:
    """The few figures a reader wants first: {title, big, small}."""
    total, found = card["conservation"]["total"], card["certificates"]
    checked, hits = (sum(c[name] for c in found) for name in ("items_checked", "items_found"))
    unused = total["dropped"].get("corpus: unused", 0)
    dropped = sum(total["dropped"].values()) - unused
    mixture = card["mixture"]
    ratio = " : ".join(map(str, _proportions(card).values()))
    return [
        {
            "title": "Tokens", "big": f"{card['store']['num_tokens']:,}",
            "small": f"of {card['total']['used']:,} documents",
        },
        {
            "title": "Rows dropped", "big": f"{dropped / total['in']:.1%}",
            "small": f"{dropped:,} of {total['in']:,}; {total['quarantined']:,} set aside, {unused:,} not needed",
        },
        {
            "title": "Benchmark items found", "big": f"{hits:,}",
            "small": f"of {checked:,} that {len(found)} benchmarks have; what held them is dropped or named below",
        },
        {
            "title": f"Mixture {ratio}", "big": f"± {mixture['max_deviation'] * 100:.3f} points",
            "small": f"any prefix after {mixture['settled_tokens']:,} tokens",
        },
    ]  # fmt: skip


def span_text(years: Mapping[str, int]) -> str:
    """From which year to which, and how many documents state one."""
    stated = sorted(year for year in years if year)
    number = sum(years[year] for year in stated)
    return f"{stated[0]} – {stated[-1]} ({number:,} documents)" if stated else "none"
