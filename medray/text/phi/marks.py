"""MIMIC's own marks of removed identifiers, `[**Known lastname 1234**]`: what kind of thing each stands for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medray.text.phi.found import Found

_MARK = re.compile(r"\[\*\*(.*?)\*\*\]", re.S)
_BROKEN = re.compile(r"\[\*\*|\*\*\]")
_MEANINGS = (
    ("age", r"age (?:over|greater)|over 90"),
    ("date", r"^\d{1,4}[-/]\d{1,2}(?:[-/]\d{1,4})?$|^\d{4}$|month|day|year|date|holiday|season"),
    ("ssn", r"social security|ssn"),
    ("email", r"e-?mail"),
    ("url", r"url|web"),
    ("phone", r"telephone|phone|pager|fax|contact"),
    ("medical_record", r"medical record|mrn|unit number"),
    ("licence", r"md number|provider number|dea|licen[cs]e|certificate"),
    ("device", r"serial"),
    ("account", r"account"),
    ("health_plan", r"health plan|insurance|medicare"),
    ("other", r"numeric|job|clip|identifier|accession|dictator info|attending info"),
    ("location", r"hospital|location|street|address|state|country|ward|room|company|university|college|zip|po box|"
                 r"apartment|county|city|town|place|facility|building|unit|clinic"),
    ("name", r"name|initial|doctor|dr\.?|wife|husband|relative|person|attending|patient"),
)  # fmt: skip
_COMPILED = tuple((kind, re.compile(pattern, re.I)) for kind, pattern in _MEANINGS)


def find_marks(text: str) -> Iterator[Found]:
    """Every closed mark, with what stands in it as `form`; a mark of no known meaning is `other`.

    Source: the marks listed for the de-identified MIMIC-II and MIMIC-III notes (deid, PhysioNet).
    """
    for m in _MARK.finditer(text):
        content = " ".join(m[1].split())
        kind = next((kind for kind, pattern in _COMPILED if pattern.match(content)), "")
        kind = kind or next((kind for kind, pattern in _COMPILED if pattern.search(content)), "other")
        yield Found(*m.span(), kind, f"[{content}")


def has_broken_mark(text: str) -> bool:
    """Whether half a mark stands in the text: what it hid cannot be told from what follows."""
    return _BROKEN.search(text) is not None
