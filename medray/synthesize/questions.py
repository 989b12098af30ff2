"""Multiple-choice questions in fours: four stems over one set of four options, each option the answer once.

Hence every baseline that does not read the stem (name frequency, longest option, position) is right in exactly one of
four; and the four options of a name task stand in the corpus equally often, checked on the finished documents.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medray.core.identity import content_id, stable_hash
from medray.synthesize.annotations import Disease
from medray.synthesize.config import NUM_OPTIONS
from medray.synthesize.documents import MAX_SYNONYMS, Writer, told_phenotypes
from medray.synthesize.families import FocusTerm
from medray.text.phrases import PhraseCounts, contains_phrase, jaccard, joined, sentence_start, stems

_NUM_CLUES = 4
_MAX_MATCHED_CLUES = 2
_MAX_FEATURE_QUESTIONS = 2

FORMS: dict[str, tuple[str, ...]] = {
    "definition_to_term": (
        "Which finding is defined as follows? {stem}",
        "{stem} What is this finding called?",
        "Choose the term for this definition: {stem}",
        "Name the finding described here. {stem}",
        "A textbook says: {stem} Which finding is meant?",
    ),
    "term_to_system": (
        "Which body system is affected in {stem}?",
        "{Stem}: which body system is affected?",
        "Choose the body system affected by {stem}.",
        "A patient has {stem}. Which body system is affected?",
        "Name the body system concerned in {stem}.",
    ),
    "term_to_synonym": (
        "Which of these is another name for {stem}?",
        "Choose another term for {stem}.",
        "Find the synonym of {stem}.",
        "Which term means the same as {stem}?",
        "Give the other name of {stem}.",
    ),
    "phenotypes_to_disease": (
        "A patient has {stem}. Which disease fits best?",
        "Which disease shows {stem}?",
        "The findings are {stem}. Choose the most likely disease.",
        "What is the diagnosis in a patient with {stem}?",
        "Choose the disease with these features: {stem}.",
    ),
    "disease_to_phenotype": (
        "Which of these is a feature of {stem}?",
        "What finding is recorded in {stem}?",
        "Choose the finding that belongs to {stem}.",
        "Which finding do patients with {stem} have?",
        "{Stem}: which finding fits?",
    ),
}


@dataclass(frozen=True)
class Quartet:
    """Four stems and their four answers; `groups` are the ontology ids asked about, answer i belongs to stem i."""

    task: str
    groups: tuple[str, ...]
    stems: tuple[str, ...]
    answers: tuple[str, ...]


def questions_of(quartet: Quartet, variant: int, split: str, rng_seed: int) -> list[dict]:
    """The four QUESTION rows of a quartet. Another variant has other wordings and another order of the options."""
    key = [rng_seed, quartet.task, *quartet.groups, *quartet.answers]
    order = sorted(range(NUM_OPTIONS), key=lambda i: stable_hash("order", variant, i, *key))
    options = [sentence_start(quartet.answers[i]) for i in order]
    forms, rows = FORMS[quartet.task], []
    for index, (group, stem) in enumerate(zip(quartet.groups, quartet.stems, strict=True)):
        form = forms[(stable_hash("wording", index, *key) + variant) % len(forms)]
        prompt = form.format(stem=stem, Stem=sentence_start(stem))
        rows.append(
            {"id": content_id("question", quartet.task, group, prompt, options), "task": quartet.task, "prompt": prompt,
             "options": options, "gold": order.index(index), "group": group, "split": split}
        )  # fmt: skip
    return rows


def definition_quartet(writer: Writer, family: Sequence[FocusTerm]) -> Quartet:
    """A definition -> its term, among four neighbours in the ontology."""
    definitions = tuple(focus.term.definition.rstrip(".") + "." for focus in family)
    return Quartet("definition_to_term", _ids(family), definitions, tuple(f.term.name for f in family))


def synonym_quartets(writer: Writer, terms: Sequence[FocusTerm], counts: PhraseCounts) -> list[Quartet]:
    """A term -> another name of it that the corpus tells exactly once; nearest terms of one body system together."""
    waiting = []
    for focus in sorted(terms, key=lambda f: stable_hash("synonym", writer.rng_seed, f.term.id)):
        told = [s for s in focus.synonyms[:MAX_SYNONYMS] if counts.count(s) == 1]
        if told:
            own = stems(focus.term.name)
            waiting.append((focus, min(told, key=lambda synonym: (len(stems(synonym) & own), synonym))))
    above = {focus.term.id: writer.ontology.ancestors(focus.term.id) for focus, _ in waiting}
    quartets: list[Quartet] = []
    while waiting:
        chosen = [waiting.pop(0)]
        near = above[chosen[0][0].term.id]
        for pair in sorted(waiting, key=lambda pair: -jaccard(near, above[pair[0].term.id])):
            if len(chosen) < NUM_OPTIONS and all(_told_apart(pair, other) for other in chosen):
                chosen.append(pair)
        if len(chosen) == NUM_OPTIONS:
            waiting = [pair for pair in waiting if pair not in chosen]
            family = [focus for focus, _ in chosen]
            names = tuple(writer.inside(focus.term.name) for focus in family)
            quartets.append(Quartet("term_to_synonym", _ids(family), names, tuple(s for _, s in chosen)))
    return quartets


def _told_apart(a: tuple[FocusTerm, str], b: tuple[FocusTerm, str]) -> bool:
    """Whether two (term, synonym) may stand in one quartet: no synonym points to the other term, or holds the other."""
    shared = stems(a[0].term.name) & stems(b[0].term.name)
    return (
        a[0].system == b[0].system
        and not (stems(a[1]) & stems(b[0].term.name)) - shared
        and not (stems(b[1]) & stems(a[0].term.name)) - shared
        and not contains_phrase(a[1], b[1])
        and not contains_phrase(b[1], a[1])
    )


def system_quartets(writer: Writer, terms: Iterable[FocusTerm]) -> list[Quartet]:
    """A term -> its body system: each term once, four terms of four different systems together, systems balanced."""
    waiting: dict[str, list[FocusTerm]] = {}
    for focus in sorted(terms, key=lambda f: stable_hash("system", writer.rng_seed, f.term.id)):
        waiting.setdefault(focus.system, []).append(focus)
    quartets: list[Quartet] = []
    while sum(bool(pool) for pool in waiting.values()) >= NUM_OPTIONS:
        turn = len(quartets)
        order = sorted(waiting, key=lambda s: (-len(waiting[s]), stable_hash("turn", writer.rng_seed, turn, s)))
        four = [waiting[system].pop() for system in order[:NUM_OPTIONS]]
        names = tuple(writer.inside(focus.term.name) for focus in four)
        quartets.append(Quartet("term_to_system", _ids(four), names, tuple(focus.system for focus in four)))
    return quartets


def disease_quartet(writer: Writer, family: Sequence[Disease], limit: int) -> Quartet | None:
    """Four told phenotypes -> the disease; None unless each other disease lacks at least two of the four.

    A phenotype counts as a distractor's own when the distractor is annotated with it, an ancestor or a descendant.
    Clues share no word with any of the four names. Of the valid sets, the one that most distractors share in part.
    """
    name_stems = frozenset().union(*(stems(disease.name) for disease in family))
    clues = []
    for disease in family:
        others = [other for other in family if other is not disease]
        told = [t for t, _ in told_phenotypes(writer.ontology, disease, limit)]
        fit = [t for t in told if not stems(writer.ontology.terms[t].name) & name_stems]
        shared = {t: [_annotated(writer, other, t) for other in others] for t in fit}
        best: tuple[int, tuple[str, ...]] | None = None
        for four in itertools.combinations(fit, _NUM_CLUES):
            matched = [sum(column) for column in zip(*(shared[t] for t in four), strict=True)]
            if max(matched) <= _MAX_MATCHED_CLUES and (best is None or sum(matched) > best[0]):
                best = (sum(matched), four)
        if best is None:
            return None
        clues.append(joined([writer.phenotype(term_id) for term_id in best[1]]))
    return Quartet(
        "phenotypes_to_disease", tuple(d.id for d in family), tuple(clues), tuple(d.name for d in family)
    )  # fmt: skip


def feature_quartets(writer: Writer, diseases: Sequence[Disease], counts: PhraseCounts, limit: int) -> list[Quartet]:
    """A disease -> one of its told phenotypes, up to 2 questions per disease; equally frequent names in each quartet.

    Each option is unrelated to everything annotated to the other three diseases, so only one is right. Phenotypes of
    the same body system are put together first.
    """
    waiting = _asked_pairs(writer, diseases, counts, limit)
    asked: dict[str, int] = {}
    quartets: list[Quartet] = []
    while waiting:
        first = waiting.pop(0)
        system = writer.ontology.systems(first[1])
        chosen = [first]
        for pair in sorted(waiting, key=lambda pair: writer.ontology.systems(pair[1]) != system):
            if len(chosen) < NUM_OPTIONS and all(_exclusive(writer, pair, other, counts) for other in chosen):
                chosen.append(pair)
        if len(chosen) < NUM_OPTIONS:
            continue
        for disease, _ in chosen:
            asked[disease.id] = asked.get(disease.id, 0) + 1
        spent = {disease.id for disease, _ in chosen if asked[disease.id] == _MAX_FEATURE_QUESTIONS}
        waiting = [pair for pair in waiting if pair not in chosen and pair[0].id not in spent]
        names = tuple(writer.ontology.terms[term_id].name for _, term_id in chosen)
        asked_of = tuple(writer.inside(disease.name) for disease, _ in chosen)
        quartets.append(Quartet("disease_to_phenotype", tuple(d.id for d, _ in chosen), asked_of, names))
    return quartets


def _asked_pairs(
    writer: Writer, diseases: Sequence[Disease], counts: PhraseCounts, limit: int
) -> list[tuple[Disease, str]]:
    """Every (disease, told phenotype) that shares no word with the disease's name, rare names first."""
    pairs = [
        (disease, term_id)
        for disease in diseases
        for term_id, _ in told_phenotypes(writer.ontology, disease, limit)
        if not stems(writer.ontology.terms[term_id].name) & stems(disease.name)
    ]
    return sorted(
        pairs,
        key=lambda pair: (
            counts.count(writer.ontology.terms[pair[1]].name),
            stable_hash("feature", writer.rng_seed, pair[0].id, pair[1]),
        ),
    )


def _exclusive(writer: Writer, a: tuple[Disease, str], b: tuple[Disease, str], counts: PhraseCounts) -> bool:
    """Whether two (disease, phenotype) may stand in one quartet: neither phenotype may be true of the other disease."""
    name_a, name_b = (writer.ontology.terms[term_id].name for _, term_id in (a, b))
    return (
        a[0].id != b[0].id
        and counts.count(name_a) == counts.count(name_b)
        and not _annotated(writer, a[0], b[1])
        and not _annotated(writer, b[0], a[1])
        and not stems(name_a) & stems(b[0].name)
        and not stems(name_b) & stems(a[0].name)
        and not contains_phrase(name_a, name_b)
        and not contains_phrase(name_b, name_a)
    )


def _annotated(writer: Writer, disease: Disease, term_id: str) -> bool:
    return any(writer.ontology.related(term_id, own) for own, _ in disease.phenotypes)


def _ids(family: Sequence[FocusTerm]) -> tuple[str, ...]:
    return tuple(focus.term.id for focus in family)
