"""The raw files out of the sources artifact, parsed; unreadable rows go to quarantine with file and line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from medray.core.config import UserError
from medray.core.workspace import Workspace
from medray.synthesize.annotations import Disease, read_annotations
from medray.synthesize.icd10cm import Category, read_categories
from medray.synthesize.ontology import Ontology, read_obo


@dataclass(frozen=True)
class Source:
    """A source of documents with its terms of use."""

    name: str
    licence: str
    access: str


@dataclass(frozen=True)
class Sources:
    """The sources by role; notes are made from the annotations and carry their terms."""

    terms: Source
    annotations: Source
    icd: Source
    notes: Source


@dataclass(frozen=True)
class Knowledge:
    """What was read: ontology, diseases by id, categories by code, and where each comes from."""

    ontology: Ontology
    diseases: list[Disease]
    categories: list[Category]
    sources: Sources


def read_sources(raw: Path, database: str, max_bad_fraction: float, workspace: Workspace) -> Knowledge:
    """Parse the ontology, the annotations of one database and ICD-10-CM, found by format in sources.json (~4 s).

    Raises UserError when a format is missing or more than `max_bad_fraction` of the rows are unreadable.
    """
    listing = raw / "sources.json"
    if not listing.exists():
        raise UserError(f"{raw}: no sources.json, expected the artifact of stage sources: make it first")
    listed = json.loads(listing.read_text(encoding="utf-8"))
    terms, obo = _source(raw, listed, "hpo_obo", "*.obo")
    annotations, hpoa = _source(raw, listed, "hpoa", "*.hpoa")
    icd, xml = _source(raw, listed, "icd10cm", "*.xml")
    ontology, bad_terms, num_terms = read_obo(obo)
    diseases, bad_rows, num_rows = read_annotations(hpoa, ontology, database)
    categories, bad_codes, num_codes = read_categories(xml)
    for source, bad in ((terms, bad_terms), (annotations, bad_rows), (icd, bad_codes)):
        workspace.quarantine(source.name, bad)
    workspace.check_quarantine(num_terms + num_rows + num_codes, max_bad_fraction)
    notes = Source("synthetic_notes", annotations.licence, annotations.access)
    return Knowledge(ontology, diseases, categories, Sources(terms, annotations, icd, notes))


def read_general(raw: Path) -> tuple[Source, list[tuple[str, str]]]:
    """The general source in the mix (Python's reference), and (id, text) of its documents."""
    listed = json.loads((raw / "sources.json").read_text(encoding="utf-8"))
    source, path = _source(raw, listed, "pydoc_topics", "*.jsonl")
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return source, [(row["id"], row["text"]) for row in rows]


def _source(raw: Path, listed: list[dict], kind: str, pattern: str) -> tuple[Source, Path]:
    """The one source of a format and its one file."""
    found = [source for source in listed if source["format"] == kind]
    if len(found) != 1:
        raise UserError(f"sources: {len(found)} sources of format {kind}, expected one: correct sources.sources")
    files = sorted((raw / found[0]["name"]).glob(pattern))
    if len(files) != 1:
        raise UserError(f"{raw / found[0]['name']}: {len(files)} files {pattern}, expected one: adopt the source again")
    return Source(found[0]["name"], found[0]["licence"], found[0]["access"]), files[0]
