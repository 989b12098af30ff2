"""Prose about terms, diseases and ICD-10-CM categories: several forms, chosen by hash, each stating the same facts.

A text names its own subject exactly twice, so that names stand in the corpus equally often; what the questions ask is
always told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medray.core.identity import stable_hash
from medray.synthesize.annotations import Disease
from medray.synthesize.families import FocusTerm
from medray.synthesize.icd10cm import Category
from medray.synthesize.ontology import Ontology
from medray.text.phrases import contains_phrase, inside_sentence, joined, sentence_start

Part = tuple[str, int, int]
MAX_SYNONYMS = 3
_MAX_ICD_ITEMS = 4

# Number-neutral: a name may be singular ("seizure") or plural ("nail pits").
_TERM_FORMS = (
    "{Name}. {definition} Like {parent}, the finding {name} concerns {system}.{synonyms}",
    "The finding {name} concerns {system}. {definition}{synonyms} In the ontology, {name} comes under {parent}.",
    "What is meant by {name}? {definition} The term {name} is filed under {parent}; it concerns {system}.{synonyms}",
    "{definition} This is what clinicians call {name}.{synonyms} The term {name} denotes an abnormality of {system}.",
    "A note on {name}.{synonyms} {definition} The body system affected in {name} is {system}.",
    "Abnormalities of {system} include {name}. {definition}{synonyms} A broader term than {name} is {parent}.",
)
_SYNONYM_FORMS = (" It is also called {}.", " Another name is {}.", " It is also known as {}.", " Some write {}.")
_SEVERAL_SYNONYMS_FORMS = (
    " It is also called {}.",
    " Other names are {}.",
    " It is also known as {}.",
    " Some write {}.",
)

_DISEASE_OPENINGS = (
    "{Name} is a rare disease that involves {systems}.",
    "The findings in {name} concern {systems}.",
    "{Name}: features and their frequency. The disease affects {systems}.",
    "Patients with {name} have abnormalities of {systems}.",
)
_DISEASE_CLOSINGS = (
    "These are the recorded features of {name}.",
    "This is the picture of {name}.",
    "The features of {name} differ from patient to patient.",
    "Not every patient with {name} has all of these.",
)
_FREQUENCY_CLASSES = (
    (0.995, ("Every patient has {}.", "Always present: {}.")),
    (0.8, ("Nearly all patients have {}.", "Very frequent: {}.", "Most patients show {}.")),
    (0.3, ("Frequent: {}.", "Many patients have {}.", "Clinicians often see {}.")),
    (0.05, ("Some patients have {}.", "Occasional: {}.", "Now and then patients show {}.")),
    (0.0, ("Reports of {} are very rare.", "A few patients have {}.")),
)
_UNKNOWN_FREQUENCY = ("Also reported: {}.", "The frequency of {} is not known.")

_ICD_FORMS = (
    "{Title} (ICD-10-CM {code}) belongs to the section {section}.{inclusions}{subcategories}{excludes}",
    "Category {code} of ICD-10-CM is {title}.{inclusions}{excludes}{subcategories} The section is {section}.",
    "ICD-10-CM files {title} under {code}, in the section {section}.{subcategories}{inclusions}{excludes}",
)


@dataclass(frozen=True)
class Writer:
    """What all texts share: the ontology, the words that may be set in lower case, and the seed of the wording."""

    ontology: Ontology
    lower_case: frozenset[str]
    rng_seed: int

    def pick(self, forms: Sequence[str], *key: str) -> str:
        """One of several wordings, by hash of the key."""
        return forms[stable_hash("form", self.rng_seed, *key) % len(forms)]

    def inside(self, name: str) -> str:
        """A name as it stands inside a sentence."""
        return inside_sentence(name, self.lower_case)

    def phenotype(self, term_id: str) -> str:
        """A term's name inside a sentence."""
        return self.inside(self.ontology.terms[term_id].name)


def term_text(writer: Writer, focus: FocusTerm) -> tuple[str, list[Part]]:
    """The entry of a term, and the span of its definition (kind "definition").

    Told: definition, up to 3 synonyms once each, a parent that is not the body system itself, the body system.
    """
    term, definition = focus.term, focus.term.definition.rstrip(".") + "."
    synonyms = [writer.inside(s) for s in focus.synonyms[:MAX_SYNONYMS]]
    forms = _SYNONYM_FORMS if len(synonyms) == 1 else _SEVERAL_SYNONYMS_FORMS
    parent = _told_parent(writer, focus)
    choices = [form for form in _TERM_FORMS if parent or "{parent}" not in form]
    form = writer.pick(choices, "term", term.id)
    fields = {
        "name": writer.inside(term.name), "Name": sentence_start(term.name),
        "parent": writer.inside(parent), "system": writer.ontology.system_phrase(focus.system),
        "synonyms": writer.pick(forms, "synonyms", term.id).format(joined(synonyms)) if synonyms else "",
    }  # fmt: skip
    before, after = form.split("{definition}")
    head = sentence_start(before.format(**fields))
    text = head + definition + after.format(**fields)
    return text, [("definition", len(head), len(head) + len(definition))]


def _told_parent(writer: Writer, focus: FocusTerm) -> str:
    """Name of a parent to tell; "" where every parent is the system itself or holds the term's own name."""
    system_ids = writer.ontology.system_labels
    names = (writer.ontology.terms[p].name for p in focus.term.parents if p not in system_ids)
    return next((name for name in names if not contains_phrase(name, focus.term.name)), "")


def told_phenotypes(ontology: Ontology, disease: Disease, limit: int) -> list[tuple[str, float | None]]:
    """The phenotypes that a profile tells: most frequent first, readable names, none an ancestor of another."""
    told: list[tuple[str, float | None]] = []
    for term_id, fraction in disease.phenotypes:
        name = ontology.terms[term_id].name
        if len(told) < limit and len(name.split()) <= 6 and "/" not in name and name.isascii():
            if not any(ontology.related(term_id, other) for other, _ in told):
                told.append((term_id, fraction))
    return told


def disease_text(writer: Writer, disease: Disease, limit: int) -> str:
    """The profile of a disease: its body systems and up to `limit` phenotypes with their frequency in words."""
    told = told_phenotypes(writer.ontology, disease, limit)
    systems = list(dict.fromkeys(s for term_id, _ in told for s in writer.ontology.systems(term_id)[:1]))[:3]
    fields = {
        "name": writer.inside(disease.name), "Name": sentence_start(disease.name),
        "systems": joined([writer.ontology.system_phrase(system) for system in systems]),
    }  # fmt: skip
    sentences = [writer.pick(_DISEASE_OPENINGS, "opening", disease.id).format(**fields)]
    classes: dict[tuple[str, ...], list[str]] = {}
    for term_id, fraction in told:
        wordings = _UNKNOWN_FREQUENCY
        if fraction is not None:
            wordings = next(words for least, words in _FREQUENCY_CLASSES if fraction >= least)
        classes.setdefault(wordings, []).append(writer.phenotype(term_id))
    for wordings, names in classes.items():
        sentence = writer.pick(wordings, "frequency", disease.id)
        sentences.append(sentence.format(joined(names)))
    sentences.append(writer.pick(_DISEASE_CLOSINGS, "closing", disease.id).format(**fields))
    return sentence_start(" ".join(sentences))


def category_text(writer: Writer, category: Category) -> str:
    """The entry of an ICD-10-CM category: section, what it includes, its subcategories and what it excludes."""

    def listed(label: str, items: Sequence[str]) -> str:
        fresh = [writer.inside(item) for item in items if item.lower() != category.title.lower()][:_MAX_ICD_ITEMS]
        return f" {label} {joined(fresh)}." if fresh else ""

    fields = {
        "code": category.code, "title": writer.inside(category.title), "Title": category.title,
        "section": writer.inside(category.section),
        "inclusions": listed("It includes", category.inclusions),
        "subcategories": listed("Subcategories are", category.subcategories),
        "excludes": listed("It does not include", category.excludes),
    }  # fmt: skip
    return writer.pick(_ICD_FORMS, "icd", category.code).format(**fields)
