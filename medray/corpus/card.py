"""The data card of a corpus: `card.json` with every figure, and `card.html`, one file that shows them.

Neither holds a time, a path of this machine or anything that depends on how the work was shared out.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from medray.core.access import strictest
from medray.core.artifact import Artifact
from medray.core.identity import stable_hash
from medray.corpus.losses import gather, hidden_sources
from medray.corpus.shape import document_lengths, mixture_along
from medray.corpus.steps import joined, read_account

_EXAMPLES = 5
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


def write_card(
    card: dict[str, Any], proportions: Mapping[str, int], inputs: Mapping[str, Artifact], data: Path
) -> dict[str, Any]:
    """Complete the card and write it, its page and `dropped.parquet` into the corpus' content; the whole card.

    inputs: "documents", and any other step whose losses are to be shown. Everything else of the corpus is in `data`
    already. Reads the tables of what was dropped: run it in a worker.
    """
    steps = [artifact for role, artifact in inputs.items() if role != "model"]
    checks = [step for step in steps if (step.data / "certificates.json").exists()]
    is_hidden, closed = hidden_sources(card["sources"]), _closed_benchmarks(checks)
    sample, duplicates = gather(sorted(steps, key=lambda step: step.kind), data / "dropped.parquet", is_hidden, closed)
    certificates = [c for step in checks for c in json.loads((step.data / "certificates.json").read_text())]
    account, order = read_account(data), sorted(data.glob("order/part-*.parquet"))
    card = card | {
        "proportions": dict(proportions),
        "mixture": mixture_along(order, proportions, card["store"]["num_tokens"]),
        "lengths": document_lengths(order),
        "duplicates": duplicates,
        "identifiers": _identifiers(steps),
        "steps": account,
        "conservation": joined(account),
        "certificates": [{name: value for name, value in c.items() if name != "matches"} for c in certificates],
    }
    text = json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False)
    (data / "card.json").write_text(text + "\n")

    from medray.corpus.page import render_card  # matplotlib is needed here only

    shown = _examples(certificates, is_hidden, closed)
    access = strictest(artifact.passed_terms[0] for artifact in inputs.values())
    card = json.loads(text)  # in whatever order the steps have counted, the page is the same
    page = render_card(card, shown, sample, _quarantine(steps), is_hidden, access)
    (data / "card.html").write_text(page, encoding="utf-8")
    return card


def _identifiers(steps: Iterable[Artifact]) -> dict[str, Any]:
    """By source and kind: identifiers that gave way to surrogates, and the documents they stood in."""
    paths = [step.data / "replaced.json" for step in steps]
    found: dict[str, Any] = {}
    for path in filter(Path.exists, paths):
        found |= json.loads(path.read_text())
    return found


def _closed_benchmarks(checks: Iterable[Artifact]) -> set[str]:
    """Benchmarks whose own text must not be shown: what quotes them would be bound by their terms."""
    files = ((file, step.passed_terms[1]) for step in checks for file in step.manifest.config.get("benchmarks", []))
    return {file["name"] for file, licences in files if file["access"] != "public" or file["licence"] not in licences}


def _examples(
    certificates: Iterable[dict[str, Any]], is_hidden: Callable[[str], bool], closed: set[str]
) -> list[dict[str, Any]]:
    """Each certificate with a few of its matches, drawn by hash."""
    found = []
    for certificate in certificates:
        name, matches = certificate["benchmark"], certificate["matches"]
        drawn = sorted(matches, key=lambda m: (stable_hash("match", m["item"], m["document"]), m["item"]))[:_EXAMPLES]
        for match in drawn:
            if name in closed or is_hidden(match["document"].partition("/")[0]):
                match["text"] = None
        found.append({**certificate, "examples": drawn, "num_matches": len(matches)})
    return found


def _quarantine(steps: Iterable[Artifact]) -> list[dict[str, Any]]:
    """Rows set aside by reason, what is quoted in it cut: how many, and where the first of them stands."""
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], str] = {}
    for step in steps:
        for path in (step.directory / "quarantine").glob("*.jsonl"):
            for row in map(json.loads, path.read_text().splitlines()):
                key = step.kind, _QUOTED.sub("…", row["reason"])
                counts[key] += 1
                first[key] = min(first.get(key, row["where"]), row["where"])
    return [
        {"step": kind, "reason": reason, "count": n, "where": first[kind, reason]}
        for (kind, reason), n in sorted(counts.items())
    ]
