"""The documents of a focus set whose names stand equally often: choose, write, count, mend the choice, repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medray.core.config import UserError
from medray.core.identity import content_id, stable_hash
from medray.synthesize.annotations import Disease
from medray.synthesize.config import NUM_OPTIONS, SynthesizeConfig
from medray.synthesize.documents import Part, Writer, category_text, disease_text, term_text
from medray.synthesize.families import FocusTerm
from medray.synthesize.focus import (
    DiseaseFamily,
    Focus,
    Pools,
    choose_categories,
    choose_diseases,
    choose_terms,
    extra_terms,
    heldout_diseases,
    heldout_terms,
    make_pools,
)
from medray.synthesize.icd10cm import Category
from medray.synthesize.notes import note_text
from medray.synthesize.sources import Knowledge, Source, Sources
from medray.text.phrases import PhraseCounts

_MAX_CHOICES = 24


@dataclass(frozen=True)
class Composition:
    """A focus set, its documents (DOCUMENT rows), and how often every phrase stands in the training ones."""

    focus: Focus
    extra: dict[str, list[FocusTerm]]
    """By split: terms without a document."""
    train: list[dict]
    heldout: list[dict]
    counts: PhraseCounts


def compose(config: SynthesizeConfig, writer: Writer, knowledge: Knowledge) -> Composition:
    """Documents in which the four names of every family stand equally often.

    Terms that profiles, notes or ICD-10-CM entries name are not asked about. What is left unequal (a name inside
    another entry's definition) is put back and another term taken, until all are equal.
    Raises UserError when a pool runs out first.
    """
    pools, sources = make_pools(config, writer, knowledge.diseases), knowledge.sources
    told, hidden = choose_categories(config, knowledge.categories)
    rejected_diseases: frozenset[str] = frozenset()
    rejected_terms: frozenset[str] = frozenset()
    for _ in range(_MAX_CHOICES):
        disease_families = choose_diseases(config, writer, pools, rejected_diseases)
        chosen = [family for families in disease_families.values() for family in families]
        fixed = _disease_documents(config, writer, sources, chosen, told)
        fixed_counts = PhraseCounts(row["text"] for row in fixed)
        named = {focus.term.id for focus in pools.terms if fixed_counts.count(focus.term.name)}
        focus = Focus(choose_terms(config, writer, pools, rejected_terms | named), disease_families)
        terms = [member for family in focus.term_families for member in family]
        train = fixed + _term_documents(writer, sources, terms, "train")
        counts = PhraseCounts(row["text"] for row in train)
        odd_terms, odd_diseases = _unequal(focus, counts)
        if not odd_terms and not odd_diseases:
            heldout = _heldout_documents(config, writer, sources, pools, focus, hidden)
            extra = extra_terms(config, writer, {row["group"] for row in [*train, *heldout]})
            return Composition(focus, extra, _shuffled(config, train), _shuffled(config, heldout), counts)
        rejected_terms |= odd_terms
        rejected_diseases |= odd_diseases
    raise UserError(
        f"synthesize.focus_terms: names still stand unequally often after {_MAX_CHOICES} choices: lower the counts or "
        "take another rng_seed"
    )


def _unequal(focus: Focus, counts: PhraseCounts) -> tuple[frozenset[str], frozenset[str]]:
    """Ids of terms and of diseases that stand more often than the rarest of their family."""
    terms, diseases = set(), set()
    for family in focus.term_families:
        least = min(counts.count(member.term.name) for member in family)
        terms |= {member.term.id for member in family if counts.count(member.term.name) > least}
    for family in focus.disease_families:
        least = min(counts.count(disease.name) for disease in family)
        diseases |= {disease.id for disease in family if counts.count(disease.name) > least}
    return frozenset(terms), frozenset(diseases)


def _disease_documents(
    config: SynthesizeConfig, writer: Writer, sources: Sources, families: Sequence[DiseaseFamily],
    categories: Sequence[Category],
) -> list[dict]:  # fmt: skip
    """Profiles and ICD-10-CM entries, and notes on whole families so that names stay equally frequent."""
    order = sorted(families, key=lambda family: stable_hash("notes", config.rng_seed, family[0].id))
    if config.num_notes > NUM_OPTIONS * len(order):
        raise UserError(
            f"synthesize.num_notes: {config.num_notes} wanted, {NUM_OPTIONS * len(order)} focus diseases: lower it"
        )
    noted = [disease for family in order[: config.num_notes // NUM_OPTIONS] for disease in family]
    profiled = [disease for family in families for disease in family]
    return _profile_rows(config, writer, sources, profiled, noted, categories, "train")


def _heldout_documents(
    config: SynthesizeConfig, writer: Writer, sources: Sources, pools: Pools, focus: Focus,
    categories: Sequence[Category],
) -> list[dict]:  # fmt: skip
    others = heldout_diseases(config, pools, focus)
    profiled, noted = others[: config.heldout.diseases], others[: config.heldout.notes]
    rows = _profile_rows(config, writer, sources, profiled, noted, categories, "heldout")
    return rows + _term_documents(writer, sources, heldout_terms(config, pools, focus), "heldout")


def _profile_rows(
    config: SynthesizeConfig, writer: Writer, sources: Sources, profiled: Sequence[Disease],
    noted: Sequence[Disease], categories: Sequence[Category], split: str,
) -> list[dict]:  # fmt: skip
    limit = config.max_profile_phenotypes
    rows = [_row(sources.annotations, "medical", d.id, split, disease_text(writer, d, limit)) for d in profiled]
    rows += [_row(sources.icd, "medical", f"ICD10CM:{c.code}", split, category_text(writer, c)) for c in categories]
    return rows + [_row(sources.notes, "clinical", d.id, split, note_text(writer, d, limit)) for d in noted]


def _term_documents(writer: Writer, sources: Sources, terms: Sequence[FocusTerm], split: str) -> list[dict]:
    return [_row(sources.terms, "medical", t.term.id, split, *term_text(writer, t)) for t in terms]


def _row(source: Source, category: str, group: str, split: str, text: str, parts: Sequence[Part] = ()) -> dict:
    return {
        "id": content_id("document", source.name, group, text), "source": source.name, "text": text,
        "category": category, "group": group, "licence": source.licence, "access": source.access, "split": split,
        "synthetic": category == "clinical",
        "parts": [{"kind": kind, "start": start, "stop": stop} for kind, start, stop in parts],
    }  # fmt: skip


def _shuffled(config: SynthesizeConfig, rows: list[dict]) -> list[dict]:
    return sorted(rows, key=lambda row: stable_hash("document order", config.rng_seed, row["id"]))
