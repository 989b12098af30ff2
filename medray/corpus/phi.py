"""The PHI gate as a step of a corpus worker: one clinical DOCUMENT at a time, its parts carried along."""

from __future__ import annotations

from collections import Counter
from typing import Any

from medray.text.phi.gate import PhiRules, deidentify

_MARK = "phi."


def deidentify_document(document: dict[str, Any], patient: str, rules: PhiRules) -> tuple[str, Counter[str]]:
    """Replace a document's identifiers in place; why a strict gate refuses it ("" if not), and how many of each kind.

    Every surrogate becomes a part of kind `phi.<kind>`: a document that comes again keeps the ones it has, and what
    was put in can be looked at. A refused document is left as it came: it belongs in quarantine, under the reason
    alone. `patient` is whatever the source tells patients apart by (MIMIC: subject_id).
    """
    parts = document["parts"]
    spans = [(part["start"], part["stop"]) for part in parts]
    had = [span for span, part in zip(spans, parts, strict=True) if part["kind"].startswith(_MARK)]
    done = deidentify(document["text"], patient, rules, spans, had)
    if done.refused:
        return done.refused, Counter()
    moved = [{**part, "start": a, "stop": b} for part, (a, b) in zip(parts, done.spans, strict=True)]
    new = [{"kind": f"{_MARK}{item.kind}", "start": item.start, "stop": item.stop} for item in done.surrogates]
    document["text"], document["parts"] = done.text, sorted([*moved, *new], key=lambda part: part["start"])
    return "", Counter(done.counts)
