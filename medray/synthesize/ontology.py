"""The Human Phenotype Ontology out of hp.obo: terms, definitions, synonyms, is_a, and the body system of a term.

Source: OBO flat file format 1.2/1.4 (stanzas of `tag: value` lines, trailing `[dbxrefs] {modifiers} ! comment`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PHENOTYPIC_ABNORMALITY = "HP:0000118"
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(.*)$')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": " ", "t": " ", "W": " "}


@dataclass(frozen=True)
class Term:
    """One live term: `synonyms` are the EXACT ones only, abbreviations and discarded names left out."""

    id: str
    name: str
    definition: str
    synonyms: tuple[str, ...]
    parents: tuple[str, ...]
    alternative_ids: tuple[str, ...]


class Ontology:
    """Terms by id with their is_a closure; alternative ids resolve to the live term."""

    def __init__(self, terms: dict[str, Term]) -> None:
        self.terms = terms
        self.children: dict[str, list[str]] = {}
        self._alternative = {old: term.id for term in terms.values() for old in term.alternative_ids}
        self._ancestors: dict[str, frozenset[str]] = {}
        for term in terms.values():
            for parent in term.parents:
                self.children.setdefault(parent, []).append(term.id)
        self.system_labels = {
            system: system_label(terms[system].name) for system in self.children.get(PHENOTYPIC_ABNORMALITY, [])
        }
        self._with_article = {label for system, label in self.system_labels.items() if " of the " in terms[system].name}

    def resolve(self, term_id: str) -> Term | None:
        """The live term of an id or alternative id, None if there is none."""
        return self.terms.get(self._alternative.get(term_id, term_id))

    def ancestors(self, term_id: str) -> frozenset[str]:
        """All ancestors of a term and the term itself."""
        known = self._ancestors.get(term_id)
        if known is None:
            known = frozenset([term_id]).union(*(self.ancestors(p) for p in self.terms[term_id].parents))
            self._ancestors[term_id] = known
        return known

    def related(self, first: str, second: str) -> bool:
        """Whether one of the two terms is the other or an ancestor of it."""
        return first in self.ancestors(second) or second in self.ancestors(first)

    def systems(self, term_id: str) -> list[str]:
        """Labels of the body systems above a term, e.g. ["nervous system"]; sorted, often more than one."""
        return sorted(label for system, label in self.system_labels.items() if system in self.ancestors(term_id))

    def system_phrase(self, label: str) -> str:
        """A body system inside a sentence: "the eye", but "growth"."""
        return f"the {label}" if label in self._with_article else label


def system_label(name: str) -> str:
    """A body system's name without its frame: "Abnormality of the nervous system" -> "nervous system"."""
    name = re.sub(r"^Abnormality of (the )?", "", name)
    name = re.sub(r"^Abnormal ", "", name)
    name = re.sub(r" abnormality$", "", name)
    return name[:1].lower() + name[1:]


def read_obo(path: Path) -> tuple[Ontology, list[dict], int]:
    """The ontology of an OBO file, its bad rows {where, reason, row} and the number of terms read.

    Obsolete terms are left out silently: the format has them on purpose. A bad line costs its term nothing but that
    line; a term without id or name is left out whole; a parent that does not exist is dropped from its child.
    """
    terms: dict[str, Term] = {}
    bad: list[dict] = []
    num_terms = 0
    for line_number, lines in _stanzas(path):
        num_terms += 1
        fields = _fields(path, lines, bad)
        if fields["obsolete"]:
            continue
        if not fields["id"] or not fields["name"]:
            row = lines[0][1] if lines else ""
            bad.append({"where": f"{path.name}:{line_number}", "reason": "term without id or name", "row": row})
            continue
        term = Term(
            fields["id"], fields["name"], fields["def"], tuple(dict.fromkeys(fields["synonyms"])),
            tuple(fields["is_a"]), tuple(fields["alt_id"]),
        )  # fmt: skip
        if term.id in terms:
            bad.append({"where": f"{path.name}:{line_number}", "reason": "id given twice", "row": term.id})
            continue
        terms[term.id] = term
    for term in list(terms.values()):
        known = tuple(parent for parent in term.parents if parent in terms)
        if len(known) < len(term.parents):
            lost = ", ".join(sorted(set(term.parents) - set(known)))
            bad.append({"where": f"{path.name}:{term.id}", "reason": f"unknown parent {lost}", "row": term.id})
            terms[term.id] = Term(term.id, term.name, term.definition, term.synonyms, known, term.alternative_ids)
    _break_cycles(terms, path, bad)
    return Ontology(terms), bad, num_terms


def _stanzas(path: Path) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    """(line number of the header, numbered lines) of each [Term] stanza."""
    header, lines = 0, []
    with path.open(encoding="utf-8") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.strip()
            if line.startswith("["):
                if header:
                    yield header, lines
                header, lines = (number, []) if line == "[Term]" else (0, [])
            elif header and line and not line.startswith("!"):
                lines.append((number, line))
    if header:
        yield header, lines


def _fields(path: Path, lines: list[tuple[int, str]], bad: list[dict]) -> dict:
    """The tags we use out of one stanza; lines that cannot be read go to `bad`."""
    found = {"id": "", "name": "", "def": "", "obsolete": False, "synonyms": [], "is_a": [], "alt_id": []}
    for number, line in lines:
        tag, separator, value = line.partition(": ")
        quoted = _QUOTED.match(value) if tag in ("def", "synonym") else None
        if not separator or (tag in ("def", "synonym") and quoted is None):
            bad.append({"where": f"{path.name}:{number}", "reason": "not a `tag: value` line", "row": line[:200]})
        elif tag in ("id", "name"):
            found[tag] = value.strip()
        elif tag == "def":
            found["def"] = _unescape(quoted[1])
        elif tag == "synonym" and re.match(r"EXACT\b(?! (abbreviation|obsolete_synonym|plural_form))", quoted[2]):
            found["synonyms"].append(_unescape(quoted[1]))
        elif tag in ("is_a", "alt_id"):
            found[tag].append(value.split(" ! ")[0].split(" {")[0].strip())
        elif tag == "is_obsolete":
            found["obsolete"] = value.strip() == "true"
    return found


def _break_cycles(terms: dict[str, Term], path: Path, bad: list[dict]) -> None:
    """Drop the is_a edges that close a cycle (depth-first, in file order), so that the closure is finite."""
    finished: set[str] = set()
    for root in list(terms):
        stack = [(root, iter(terms[root].parents))]
        on_way = {root}
        while stack and root not in finished:
            current, parents = stack[-1]
            parent = next((p for p in parents if p not in finished), None)
            if parent is None:
                finished.add(current)
                on_way.discard(current)
                stack.pop()
            elif parent in on_way:
                term = terms[current]
                kept = tuple(p for p in term.parents if p != parent)
                terms[current] = Term(term.id, term.name, term.definition, term.synonyms, kept, term.alternative_ids)
                reason = f"is_a cycle through {parent}"
                bad.append({"where": f"{path.name}:{current}", "reason": reason, "row": current})
            else:
                on_way.add(parent)
                stack.append((parent, iter(terms[parent].parents)))


def _unescape(text: str) -> str:
    unescaped = _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), text)
    return re.sub(r"\s+", " ", unescaped).strip()
