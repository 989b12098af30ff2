"""Families of four: near neighbours in the ontology whose facts, names and questions belong together.

All multiple choice is built on families of four: every member is the answer once and a distractor three times, with the
same four options. So any preference that does not read the question (a name seen more often, the longest option, the
third place) is right exactly once in four. A family lies in one split, so nothing of a test question is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from medray.core.identity import stable_hash
from medray.synthesize.annotations import Disease
from medray.synthesize.config import NUM_OPTIONS
from medray.synthesize.ontology import Ontology, Term
from medray.text.answers import normalise_words
from medray.text.phrases import contains_phrase, jaccard, shared_fraction, stems

M = TypeVar("M")
_MAX_NAME_WORDS = 6
_MAX_TERM_NAME_OVERLAP = 0.34
_MAX_DEFINITION_OVERLAP = 0.6
_MIN_SYNONYM_NOVELTY = 0.6


@dataclass(frozen=True)
class FocusTerm:
    """A term fit for questions: in one body system, its definition (if asked for) does not give its name away."""

    term: Term
    system: str
    synonyms: tuple[str, ...]


def focus_terms(ontology: Ontology, systems: Iterable[str], definition_words: tuple[int, int]) -> list[FocusTerm]:
    """The terms of the given body systems fit for questions, by id.

    Left out, beside what `named_terms` leaves out: no definition of the wanted length, a definition that holds the name
    or more than a third of its words (the answer would be in the question).
    """
    found, seen = [], set()
    low, high = definition_words
    for focus in named_terms(ontology, systems):
        term = focus.term
        if not low <= len(term.definition.split()) <= high or not term.definition.isascii():
            continue
        if contains_phrase(term.definition, term.name):
            continue
        if shared_fraction(term.name, term.definition) > _MAX_TERM_NAME_OVERLAP:
            continue
        key = " ".join(normalise_words(term.definition))
        if key not in seen:
            seen.add(key)
            found.append(FocusTerm(term, focus.system, _good_synonyms(term)))
    return found


def named_terms(ontology: Ontology, systems: Iterable[str]) -> list[FocusTerm]:
    """The terms whose name alone may be asked for its body system, by id, without synonyms.

    Left out: more than one system, a name that names its system, over 6 words or with digits, "Abnormal ..." (headings
    rather than findings).
    """
    allowed, found = set(systems), []
    for term in sorted(ontology.terms.values(), key=lambda term: term.id):
        above = ontology.systems(term.id)
        if len(above) != 1 or above[0] not in allowed or not is_plain_name(term.name):
            continue
        if not term.name.startswith("Abnormal") and not contains_phrase(term.name, above[0]):
            found.append(FocusTerm(term, above[0], ()))
    return found


def is_plain_name(name: str) -> bool:
    """Whether a name is short prose: at most 6 words, ASCII, no digits, slashes or brackets."""
    plain = name.isascii() and not any(c.isdigit() or c in "/()[];:,+%" for c in name)
    return plain and 0 < len(normalise_words(name)) <= _MAX_NAME_WORDS


def _good_synonyms(term: Term) -> tuple[str, ...]:
    """Synonyms that are other words: neither holds the other, and three in five content words at least are new."""
    return tuple(
        synonym
        for synonym in term.synonyms
        if is_plain_name(synonym)
        and not contains_phrase(synonym, term.name)
        and not contains_phrase(term.name, synonym)
        and not contains_phrase(term.definition, synonym)
        and 1 - shared_fraction(synonym, term.name) >= _MIN_SYNONYM_NOVELTY
    )


def term_families(
    ontology: Ontology, terms: Sequence[FocusTerm], rng_seed: int, limit: int
) -> dict[str, list[tuple[FocusTerm, ...]]]:
    """Up to `limit` families per body system, each of four terms near each other in the ontology.

    No member is an ancestor of another, shares its definition's words or is named inside its texts. Terms with synonyms
    of their own come first, so that most families can ask for them.
    """
    families: dict[str, list[tuple[FocusTerm, ...]]] = {}
    for system in sorted({term.system for term in terms}):
        pool = [term for term in terms if term.system == system]
        pool.sort(key=lambda t: (not t.synonyms, stable_hash("family", rng_seed, t.term.id)))

        def nearness(a: FocusTerm, b: FocusTerm) -> float:
            return jaccard(ontology.ancestors(a.term.id), ontology.ancestors(b.term.id)) + 0.2 * bool(b.synonyms)

        def apart(a: FocusTerm, b: FocusTerm) -> bool:
            return not ontology.related(a.term.id, b.term.id) and _texts_apart(a, b)

        families[system] = _greedy_families(pool, nearness, apart, limit)
    return families


def _texts_apart(a: FocusTerm, b: FocusTerm) -> bool:
    if jaccard(stems(a.term.definition), stems(b.term.definition)) > _MAX_DEFINITION_OVERLAP:
        return False
    if _normalised(a.term.synonyms) & _normalised(b.term.synonyms):
        return False
    return not any(
        contains_phrase(text, other.term.name)
        for this, other in ((a, b), (b, a))
        for text in (this.term.name, this.term.definition, *this.term.synonyms)
    )


def _normalised(names: Iterable[str]) -> set[str]:
    return {" ".join(normalise_words(name)) for name in names}


def disease_families(
    ontology: Ontology, diseases: Sequence[Disease], rng_seed: int, limit: int
) -> list[tuple[Disease, ...]]:
    """Up to `limit` families of four diseases that share phenotypes but not the words of their names."""
    closure = {
        disease.id: frozenset().union(*(ontology.ancestors(term_id) for term_id, _ in disease.phenotypes))
        for disease in diseases
    }
    pool = sorted(diseases, key=lambda disease: stable_hash("family", rng_seed, disease.id))

    def nearness(a: Disease, b: Disease) -> float:
        return jaccard(closure[a.id], closure[b.id])

    def apart(a: Disease, b: Disease) -> bool:
        return not stems(a.name) & stems(b.name) and nearness(a, b) < 0.7

    return _greedy_families(pool, nearness, apart, limit)


def _greedy_families(
    pool: Sequence[M], nearness: Callable[[M, M], float], apart: Callable[[M, M], bool], limit: int
) -> list[tuple[M, ...]]:
    """Each next unused member takes the three nearest unused ones that are apart from all of its family."""
    unused, families = list(pool), []
    while len(unused) >= NUM_OPTIONS and len(families) < limit:
        first = unused.pop(0)
        family = [first]
        for _, index in sorted((-nearness(first, other), index) for index, other in enumerate(unused)):
            if all(apart(member, unused[index]) for member in family):
                family.append(unused[index])
            if len(family) == NUM_OPTIONS:
                families.append(tuple(family))
                unused = [other for other in unused if other not in family[1:]]
                break
    return families
