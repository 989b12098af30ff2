"""The PHI gate as a step of a corpus worker: the clinical rows of one shard, their parts carried along."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from medray.core.identity import content_id
from medray.text.phi.gate import PhiRules, deidentify

_MARK = "phi."

Part = dict[str, Any]
"""kind, start, stop: a span of a DOCUMENT's text."""


class Gated(NamedTuple):
    """The rows of a shard behind the gate, in the order they came in."""

    texts: list[str]
    """With surrogates; "" where the row was refused."""
    parts: list[list[Part]]
    """The given parts at their new places, and one of kind `phi.<kind>` for every surrogate; [] where refused."""
    counts: Counter[str]
    """Identifiers replaced in the rows that passed, by kind (`medray.text.phi.found.KINDS`)."""
    refused: dict[int, str]
    """Number of a refused row -> the reason, which never quotes the text; empty where the rules are not strict."""


def deidentify_rows(
    texts: Sequence[str], patients: Sequence[str], rules: PhiRules, parts: Sequence[Sequence[Part]] = ()
) -> Gated:
    """Surrogates for the identifiers of a shard's clinical rows; a function of its arguments row by row.

    `patients` is whatever the source tells patients apart by (MIMIC: the row's `group`): surrogates are consistent
    within a patient over all shards. A row whose patient is "" is a patient of its own. Rows that come again with the
    parts they were given keep their surrogates. A refused row belongs in quarantine, under its reason alone.
    """
    spanned = parts or [()] * len(texts)
    gated = Gated([], [], Counter(), {})
    for number, (text, patient, row) in enumerate(zip(texts, patients, spanned, strict=True)):
        refused, text, row = _row(text, patient or content_id("phi", text), rules, row, gated.counts)
        if refused:
            gated.refused[number] = refused
        gated.texts.append(text)
        gated.parts.append(row)
    return gated


def _row(
    text: str, patient: str, rules: PhiRules, parts: Sequence[Part], counts: Counter[str]
) -> tuple[str, str, list[Part]]:
    """Why a row is refused ("" if not), its text and its parts; adds to the counts."""
    spans = [(part["start"], part["stop"]) for part in parts]
    had = [span for span, part in zip(spans, parts, strict=True) if part["kind"].startswith(_MARK)]
    done = deidentify(text, patient, rules, spans, had)
    if done.refused:
        return done.refused, "", []
    counts.update(done.counts)
    moved = [{**part, "start": a, "stop": b} for part, (a, b) in zip(parts, done.spans, strict=True)]
    new = [{"kind": f"{_MARK}{item.kind}", "start": item.start, "stop": item.stop} for item in done.surrogates]
    return "", done.text, sorted([*moved, *new], key=lambda part: part["start"])
