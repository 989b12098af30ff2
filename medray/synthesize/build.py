"""Stage synthesize: ontologies -> documents, questions, instructions and prompts, all a pure function of the config.

Inputs: sources (raw files). Content: documents/part-00000.parquet, questions.parquet, examples.parquet,
prompts.parquet, option_counts.json (occurrences of every option in the training documents).
"""

from __future__ import annotations

import json

from medray.core.artifact import Artifact
from medray.core.identity import stable_hash
from medray.core.schema import DOCUMENT, EXAMPLE, PROMPT, QUESTION, write_table
from medray.core.workspace import Workspace
from medray.synthesize.baselines import question_baselines
from medray.synthesize.compose import Composition, compose
from medray.synthesize.config import GROUP_SPLITS, NUM_OPTIONS, PROMPT_SPLITS, SynthesizeConfig
from medray.synthesize.documents import Writer
from medray.synthesize.focus import Focus
from medray.synthesize.general import general_examples
from medray.synthesize.instructions import apportion, choice_rows, examples, open_items, prompts
from medray.synthesize.questions import (
    Quartet,
    definition_quartet,
    disease_quartet,
    feature_quartets,
    questions_of,
    synonym_quartets,
    system_quartets,
)
from medray.synthesize.sources import Knowledge, Sources, read_general, read_sources
from medray.text.phrases import PhraseCounts, lower_case_words

NAME = "synthesize"
VERSION = 1


def run(config: SynthesizeConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Write the stage's tables; counters hold row counts and the blind baselines of the test questions.

    Takes about 10 s for the demo, in one process. A killed run starts over. Raises UserError when the sizes asked for
    cannot be met, a raw file is missing, or more than max_bad_fraction of the raw rows are unreadable.
    """
    workspace.journal.progress(0, 4, "steps", "reading the ontologies")
    raw = inputs["sources"].data
    knowledge = read_sources(raw, config.disease_database, config.max_bad_fraction, workspace)
    writer = Writer(knowledge.ontology, _lower_case(knowledge), config.rng_seed)
    workspace.journal.progress(1, 4, "steps", "choosing terms and diseases")
    composed = compose(config, writer, knowledge)
    counts, documents = composed.counts, [*composed.train, *composed.heldout]
    workspace.journal.progress(2, 4, "steps", "asking questions")
    quartets = {split: ask(config, writer, composed, split) for split in GROUP_SPLITS}
    tables = question_tables(config, writer, composed.focus, quartets, knowledge.sources)
    if config.num_general_examples:
        source, texts = read_general(raw)
        wanted, prompt = config.num_general_examples, config.system_prompt
        tables["examples"] += general_examples(source, texts, wanted, prompt, config.rng_seed)
    workspace.journal.progress(3, 4, "steps", "writing")
    write_table(workspace.data / "documents" / "part-00000.parquet", documents, DOCUMENT)
    for name, schema in (("questions", QUESTION), ("examples", EXAMPLE), ("prompts", PROMPT)):
        write_table(workspace.data / f"{name}.parquet", tables[name], schema)
    options = sorted({option for row in tables["questions"] for option in row["options"]})
    found = json.dumps({option: counts.count(option) for option in options}, indent=0, ensure_ascii=False)
    (workspace.data / "option_counts.json").write_text(found, encoding="utf-8")
    workspace.journal.progress(4, 4, "steps", "done")
    return _counters(documents, tables, counts)


def _lower_case(knowledge: Knowledge) -> frozenset[str]:
    """Words that some text has in lower case; the others may be proper names."""
    terms = (text for t in knowledge.ontology.terms.values() for text in (t.definition, t.name, *t.synonyms))
    codes = (text for c in knowledge.categories for text in (c.title, c.section, *c.inclusions, *c.subcategories))
    return lower_case_words([*terms, *codes, *(disease.name for disease in knowledge.diseases)])


def ask(config: SynthesizeConfig, writer: Writer, composed: Composition, split: str) -> list[Quartet]:
    """Every quartet of a split's families and extra terms."""
    focus, counts, limit = composed.focus, composed.counts, config.max_profile_phenotypes
    families = focus.terms[split]
    found: list[Quartet | None] = [definition_quartet(writer, family) for family in families]
    terms = [member for family in families for member in family]
    found += [*system_quartets(writer, [*terms, *composed.extra[split]]), *synonym_quartets(writer, terms, counts)]
    found += [disease_quartet(writer, family, limit) for family in focus.diseases[split]]
    found += feature_quartets(writer, [d for family in focus.diseases[split] for d in family], counts, limit)
    return [quartet for quartet in found if quartet is not None]


def question_tables(
    config: SynthesizeConfig, writer: Writer, focus: Focus, quartets: dict[str, list[Quartet]], sources: Sources
) -> dict[str, list[dict]]:
    """Rows of questions, examples and prompts. Questions of split train are those that SFT and the rounds may use."""
    seed, system_prompt, limit = config.rng_seed, config.system_prompt, config.max_profile_phenotypes
    questions = choice_rows(quartets["test"], config.test_questions, "test", seed, "test_questions", 1)
    questions += choice_rows(quartets["dev"], config.dev_questions, "dev", seed, "dev_questions", 1)
    for split in ("train", *PROMPT_SPLITS):
        questions += [row for quartet in quartets[split] for row in questions_of(quartet, 0, "train", seed)]
    opens = {s: open_items(writer, [*focus.terms[s], *focus.diseases[s]], limit) for s in ("train", *PROMPT_SPLITS)}
    licences = {"HP": sources.terms.licence, config.disease_database: sources.annotations.licence}
    taught = choice_rows(quartets["train"], config.examples, "train", seed, "examples")
    instructions = examples(taught, opens["train"], config.num_open_examples, system_prompt, licences)
    asked: list[dict] = []
    for split in PROMPT_SPLITS:
        total = config.prompts.of(split)
        num_choices = round(total * (1 - config.open_fraction) / NUM_OPTIONS) * NUM_OPTIONS
        mix = apportion(num_choices, config.prompt_mix)
        chosen = choice_rows(quartets[split], mix, "train", seed, f"prompts.{split}")
        asked += prompts(split, chosen, opens[split], total - mix.total, system_prompt)
    shuffled = {"questions": questions, "examples": instructions, "prompts": asked}
    for name, rows in shuffled.items():
        rows.sort(key=lambda row, name=name: stable_hash("row order", seed, name, row["id"]))
    return shuffled


def _counters(
    documents: list[dict], tables: dict[str, list[dict]], counts: PhraseCounts
) -> dict[str, int | float | str]:
    facts: dict[str, int | float | str] = {"num_documents": len(documents)}
    for split in ("train", "heldout"):
        own = [row for row in documents if row["split"] == split]
        facts[f"num_{split}_documents"] = len(own)
        facts[f"num_{split}_characters"] = sum(len(row["text"]) for row in own)
    facts.update({f"num_{name}": len(rows) for name, rows in tables.items()})
    test = [row for row in tables["questions"] if row["split"] == "test"]
    facts.update(question_baselines(test, counts, "test"))
    for task in sorted({row["task"] for row in test}):
        own = [row for row in test if row["task"] == task]
        facts[f"test_{task}"] = len(own)
        facts[f"test_{task}_word_overlap"] = question_baselines(own, counts, "x")["x_word_overlap"]
    return facts
