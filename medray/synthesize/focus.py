"""The focus set: which families of terms and diseases stand in the corpus, in which split, and what is held out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from medray.core.config import UserError
from medray.core.identity import stable_hash
from medray.synthesize.annotations import Disease
from medray.synthesize.config import GROUP_SPLITS, NUM_OPTIONS, GroupCounts, SynthesizeConfig
from medray.synthesize.documents import Writer, told_phenotypes
from medray.synthesize.families import (
    FocusTerm,
    disease_families,
    focus_terms,
    is_plain_name,
    named_terms,
    term_families,
)
from medray.synthesize.icd10cm import Category
from medray.synthesize.questions import disease_quartet
from medray.text.answers import normalise_words
from medray.text.phrases import jaccard, stems

F = TypeVar("F")
TermFamily = tuple[FocusTerm, ...]
DiseaseFamily = tuple[Disease, ...]
_SPARE_DISEASES = 2.0
_MIN_TOLD = 6
_MAX_HELDOUT_OVERLAP = 0.6
_DISEASE_CHAPTERS = "ABCDEFGHIJKLMNQ"


@dataclass(frozen=True)
class Pools:
    """Everything fit to be chosen: terms and diseases by id."""

    terms: list[FocusTerm]
    diseases: list[Disease]


@dataclass(frozen=True)
class Focus:
    """Chosen families by split."""

    terms: dict[str, list[TermFamily]]
    diseases: dict[str, list[DiseaseFamily]]

    @property
    def term_families(self) -> list[TermFamily]:
        """Families of terms of all splits."""
        return [family for split in GROUP_SPLITS for family in self.terms[split]]

    @property
    def disease_families(self) -> list[DiseaseFamily]:
        """Families of diseases of all splits."""
        return [family for split in GROUP_SPLITS for family in self.diseases[split]]


def make_pools(config: SynthesizeConfig, writer: Writer, diseases: Sequence[Disease]) -> Pools:
    """Terms and diseases fit for questions. UserError for an unknown body system."""
    labels = sorted(writer.ontology.system_labels.values())
    unknown = [system for system in config.systems if system not in labels]
    if unknown:
        raise UserError(f"synthesize.systems: {unknown[0]!r} is no body system: choose from {', '.join(labels)}")
    terms = focus_terms(writer.ontology, config.systems, config.definition_words)
    named, seen = [], set()
    for disease in diseases:
        key = " ".join(normalise_words(disease.name))
        if is_plain_name(disease.name) and stems(disease.name) and key not in seen:
            if len(told_phenotypes(writer.ontology, disease, config.max_profile_phenotypes)) >= _MIN_TOLD:
                seen.add(key)
                named.append(disease)
    return Pools(terms, named)


def choose_diseases(
    config: SynthesizeConfig, writer: Writer, pools: Pools, rejected: frozenset[str]
) -> dict[str, list[DiseaseFamily]]:
    """Families of diseases by split, without the rejected ids. UserError when there are not enough."""
    wanted = config.focus_diseases.total
    free = [disease for disease in pools.diseases if disease.id not in rejected]
    # forming families costs the square of the pool: not for a number that cannot be met
    limit = int(_SPARE_DISEASES * wanted / NUM_OPTIONS) + 4 if 0 < wanted <= len(free) else 0
    near = disease_families(writer.ontology, free, config.rng_seed, limit)
    fit = (family for family in near if disease_quartet(writer, family, config.max_profile_phenotypes))
    asked = list(itertools.islice(fit, wanted // NUM_OPTIONS))
    if NUM_OPTIONS * len(asked) < wanted:
        raise UserError(
            f"synthesize.focus_diseases: {wanted} diseases wanted, {NUM_OPTIONS * len(asked) or len(free)} available "
            "(in families of four): lower the counts"
        )
    return _split(asked, config.focus_diseases)


def choose_terms(
    config: SynthesizeConfig, writer: Writer, pools: Pools, rejected: frozenset[str]
) -> dict[str, list[TermFamily]]:
    """Families of terms by split, without the rejected ids; any run of families is balanced over the body systems.

    Raises UserError when a system has too few, with the field, what it wants and what there is.
    """
    num_wanted = -(-config.focus_terms.total // (NUM_OPTIONS * len(config.systems)))
    free = [focus for focus in pools.terms if focus.term.id not in rejected]
    pooled = term_families(writer.ontology, free, config.rng_seed, num_wanted)
    columns = []
    for system in config.systems:
        families = pooled.get(system, [])
        if len(families) < num_wanted:
            raise UserError(
                f"synthesize.focus_terms: {NUM_OPTIONS * num_wanted} terms of system {system!r} wanted, "
                f"{NUM_OPTIONS * len(families)} available: lower the counts, widen definition_words or name another "
                "system"
            )
        # families with synonyms come first in the pool: shuffle, so that no split gets them all
        columns.append(sorted(families, key=lambda f: stable_hash("split", config.rng_seed, f[0].term.id)))
    return _split([column[row] for row in range(num_wanted) for column in columns], config.focus_terms)


def _split(items: Sequence[F], counts: GroupCounts, size: int = NUM_OPTIONS) -> dict[str, list[F]]:
    """Items in order to the splits; counts are of members, `size` members an item."""
    split, start = {}, 0
    for name in GROUP_SPLITS:
        stop = start + counts.of(name) // size
        split[name] = list(items[start:stop])
        start = stop
    return split


def heldout_terms(config: SynthesizeConfig, pools: Pools, focus: Focus) -> list[FocusTerm]:
    """Terms never told in the corpus, the body systems in turn, whose definitions resemble none that is told."""
    told = [member for family in focus.term_families for member in family]
    ids = {member.term.id for member in told}
    definitions = [stems(member.term.definition) for member in told]
    columns: dict[str, list[FocusTerm]] = {system: [] for system in config.systems}
    for candidate in sorted(pools.terms, key=lambda t: stable_hash("heldout", config.rng_seed, t.term.id)):
        own = stems(candidate.term.definition)
        if candidate.term.id not in ids and all(jaccard(own, d) <= _MAX_HELDOUT_OVERLAP for d in definitions):
            columns[candidate.system].append(candidate)
    rows = max(map(len, columns.values()))
    ordered = [column[row] for row in range(rows) for column in columns.values() if row < len(column)]
    return _enough("terms", ordered, config.heldout.terms)


def extra_terms(config: SynthesizeConfig, writer: Writer, documented: set[str]) -> dict[str, list[FocusTerm]]:
    """Terms by split without a document (ids of those that have one: `documented`), balanced over the body systems.

    Raises UserError when a system has too few.
    """
    columns: dict[str, list[FocusTerm]] = {system: [] for system in config.systems}
    free = [named for named in named_terms(writer.ontology, config.systems) if named.term.id not in documented]
    for named in sorted(free, key=lambda named: stable_hash("extra", config.rng_seed, named.term.id)):
        columns[named.system].append(named)
    num_wanted = -(-config.extra_terms.total // len(columns))
    for system, column in columns.items():
        if len(column) < num_wanted:
            raise UserError(
                f"synthesize.extra_terms: {num_wanted} terms of system {system!r} wanted, {len(column)} available: "
                "lower the counts or name another system"
            )
    ordered = [column[row] for row in range(num_wanted) for column in columns.values()]
    return _split(ordered, config.extra_terms, 1)


def heldout_diseases(config: SynthesizeConfig, pools: Pools, focus: Focus) -> list[Disease]:
    """Diseases never told in the corpus, as many as profiles or notes are held out."""
    told = {disease.id for family in focus.disease_families for disease in family}
    free = [disease for disease in pools.diseases if disease.id not in told]
    free.sort(key=lambda disease: stable_hash("heldout", config.rng_seed, disease.id))
    return _enough("diseases", free, max(config.heldout.diseases, config.heldout.notes))


def choose_categories(
    config: SynthesizeConfig, categories: Sequence[Category]
) -> tuple[list[Category], list[Category]]:
    """ICD-10-CM categories of diseases (chapters A to N and Q, no "Other ..."): those told, and those held out."""
    fit = [c for c in categories if c.code[0] in _DISEASE_CHAPTERS and (c.inclusions or c.subcategories)]
    fit = [c for c in fit if c.title != c.section and not c.title.startswith(("Other", "Unspecified"))]
    fit.sort(key=lambda category: stable_hash("icd", config.rng_seed, category.code))
    wanted = config.num_icd_categories + config.heldout.icd_categories
    if len(fit) < wanted:
        raise UserError(
            f"synthesize.num_icd_categories: {wanted} with the held-out ones wanted, {len(fit)} available: lower it"
        )
    return fit[: config.num_icd_categories], fit[config.num_icd_categories : wanted]


def _enough(field: str, items: list[F], wanted: int) -> list[F]:
    if len(items) < wanted:
        raise UserError(f"synthesize.heldout.{field}: {wanted} wanted, {len(items)} available: lower it")
    return items[:wanted]
