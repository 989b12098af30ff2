"""A corpus alone, of open files in the schemas of Me-LLaMA's sources, decontaminated against twelve benchmark files.

The files are the user's: `medray run open_corpus --set files.directory=DIRECTORY`, with `corpus/` and `eval/` in it.
"""

from __future__ import annotations

from medray.corpus.build import CorpusConfig
from medray.corpus.clean import CleanConfig
from medray.corpus.decontaminate import DecontaminateConfig
from medray.corpus.dedup import DedupConfig
from medray.corpus.deidentify import DeidentifyConfig
from medray.corpus.sources import SourceConfig, SourcesConfig, places
from medray.plan.corpus import Expected, ExpectedSource
from medray.recipes.demo import SEED, demo
from medray.recipes.files import RULES
from medray.recipes.recipe import Recipe
from medray.tables.adopted import FilePlacement
from medray.tables.benchmarks import BenchmarkFile
from medray.text.boilerplate import ALL_BOILERPLATE
from medray.text.language import ENGLISH
from medray.text.minhash import FINEWEB
from medray.text.normalize import CleanRules
from medray.text.phi.gate import PhiRules

SOURCES = (
    SourceConfig(
        name="pubmed_abstracts", title="PubMed abstracts of Hallmarks of Cancer and PubMedQA", category="medical",
        format="pile", licence="abstracts: their publishers'; selection: GPL-3.0 (HoC), MIT (PubMedQA)", licence_url="",
        access="public", url="https://github.com/sb895/Hallmarks-of-Cancer",
    ),
    SourceConfig(
        name="medquad", title="MedQuAD: questions and answers of 12 NIH sites", category="medical", format="documents",
        licence="CC BY 4.0", licence_url="https://creativecommons.org/licenses/by/4.0/", access="public",
        url="https://github.com/abachaa/MedQuAD",
    ),
    SourceConfig(
        name="notes", title="Transcribed notes (MTSamples, MTS-Dialog) in MIMIC-III's columns", category="clinical",
        format="mimic3_noteevents", licence="MTSamples: free to use; MTS-Dialog: CC BY 4.0", licence_url="",
        access="public", url="https://github.com/abachaa/MTS-Dialog",
    ),
    SourceConfig(
        name="wikipedia", title="WikiText-2 in RedPajama's schema", category="general", format="redpajama",
        licence="CC BY-SA 3.0", licence_url="https://creativecommons.org/licenses/by-sa/3.0/", access="public",
        url="https://huggingface.co/datasets/Salesforce/wikitext",
    ),
)  # fmt: skip
PLACES = {
    "pubmed_abstracts": "corpus/pubmed_abstracts.jsonl.zst", "medquad": "corpus/medquad.jsonl.zst",
    "notes": "corpus/clinical/NOTEEVENTS.csv.gz", "wikipedia": "corpus/redpajama_wikipedia.jsonl.zst",
}  # fmt: skip

_FILES = (
    # file, id field, text field, option fields, licence
    ("bc5cdr_ner.jsonl.zst", "", "tokens", (), "public domain (NLM)"),
    ("ddi_test.jsonl.zst", "", "text", (), "CC BY-NC 4.0"),
    ("hoc.jsonl.zst", "id", "text", (), "GPL-3.0"),
    ("kqa.jsonl", "", "Question", (), "MIT"),
    ("medinstruct_test.jsonl", "", "instruction", (), "CC BY-NC 4.0"),
    ("medmcqa.jsonl", "id", "question", ("options",), "Apache-2.0"),
    ("medqa.jsonl", "id", "question", ("options",), "MIT"),
    ("medqa_5options.jsonl", "id", "question", ("options",), "MIT"),
    ("mmlu-pro.jsonl", "id", "question", ("options",), "MIT"),
    ("mmlu.jsonl", "id", "question", ("options",), "MIT"),
    ("mts_dialog_summarization.jsonl", "ID", "section_text", (), "CC BY 4.0"),
    ("pubmedqa.jsonl", "id", "question", (), "MIT"),
)
BENCHMARKS = tuple(
    BenchmarkFile(
        name=file.split(".")[0], id_field=id_field, text_field=text_field, option_fields=option_fields,
        licence=licence, access="public", placement=FilePlacement(path=f"eval/{file}"),
    )
    for file, id_field, text_field, option_fields, licence in _FILES
)  # fmt: skip
"""Twelve benchmarks: Me-LLaMA's that are open (PubMedQA, MedQA, MedMCQA, DDI, HoC), and seven more."""


# counted, with SmolLM2's tokenizer
EXPECTED = (
    ExpectedSource(name="pubmed_abstracts", category="medical", num_documents=1_858, num_files=1,
                   text_bytes=2_914_240, num_tokens=670_507),
    ExpectedSource(name="medquad", category="medical", num_documents=4_364, num_files=1,
                   text_bytes=17_060_884, num_tokens=3_556_729),
    ExpectedSource(name="notes", category="clinical", num_documents=1_303, num_files=1,
                   text_bytes=1_521_201, num_tokens=365_901),
    ExpectedSource(name="wikipedia", category="general", num_documents=60, num_files=1,
                   text_bytes=1_114_101, num_tokens=272_753),
)  # fmt: skip


def open_corpus() -> Recipe:
    """PubMed abstracts, consumer-health answers, transcribed notes and encyclopaedia as 15:1:4, for SmolLM2."""
    return Recipe(
        name="open_corpus",
        base=demo().base,
        sources=SourcesConfig(sources=SOURCES, placement=places(PLACES)),
        clean=CleanConfig(
            # Gopher (Rae et al. 2021, table A1) has 50 words and 0.30; a dictated note can be a line of its sections.
            # Boilerplate: C4, RefinedWeb and publishers' notices; language: FineWeb's 0.65 (text/boilerplate, language)
            rules=CleanRules(
                min_words=8, max_words=100_000, max_symbol_fraction=0.35, max_repeated_line_fraction=0.3,
                max_repeated_ngram_fraction=0.5, boilerplate=ALL_BOILERPLATE, language=ENGLISH,
            ),
            max_quarantine_fraction=0.01,
        ),
        deidentify=DeidentifyConfig(
            rules=PhiRules(rng_seed=SEED, max_shift_weeks=520, strict=True),
            categories=("clinical",), access=("credentialed",), sources_without_patients=(),
        ),
        dedup=DedupConfig(
            source_priority=("pubmed_abstracts", "notes", "medquad", "wikipedia"),
            near=FINEWEB.model_copy(update={"min_jaccard": 0.8}),
        ),
        decontaminate=DecontaminateConfig(rules=RULES, benchmarks=BENCHMARKS, question_splits=(), quoted_tasks=()),
        corpus=CorpusConfig(
            proportions={"medical": 15, "clinical": 1, "general": 4},  # Me-LLaMA, Continual Pre-Training Data
            token_budget=0,  # what the few articles of general text can fill
            max_epochs=4,  # Muennighoff et al. 2023: up to 4 repetitions are nearly as good as new text
            max_unit_tokens=2048,
            block_tokens=2048,
            rng_seed=SEED,
        ),
        expected=Expected(sources=EXPECTED),
    )  # fmt: skip
