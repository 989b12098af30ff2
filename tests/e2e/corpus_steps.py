"""What the tests of the corpus share: made documents with everything planted in them, and the steps over them."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import zstandard

from medray.core.artifact import Artifact
from medray.core.config import Config
from medray.core.schema import EXAMPLE, PROMPT, QUESTION, write_table
from medray.core.stage import Stage, execute
from medray.core.workspace import Root, Workspace
from medray.corpus import base, build, clean, decontaminate, dedup, deidentify, sources
from medray.corpus.sources import SourceConfig, SourceLocation, SourcesConfig, SourcesPlacement
from medray.corpus.steps import CLEANED, StepPlacement
from medray.tables.benchmarks import BenchmarkFile
from medray.text.contamination import ContaminationRules
from medray.text.minhash import FINEWEB
from medray.text.normalize import CleanRules
from medray.text.phi.gate import PhiRules

STEPS = ("clean", "decontaminate", "deidentify", "dedup", "corpus")
RULES = CleanRules(
    min_words=4, max_words=500, max_symbol_fraction=0.4, max_repeated_line_fraction=0.5, max_repeated_ngram_fraction=0.6
)
WORDS = "renal cyst grows slowly in both kidneys while the heart and liver stay sound under watch of a doctor".split()
ITEMS = [
    {"id": "vignette", "question": "A 67-year-old man with carcinoma of the bladder has had ringing in one ear for two "
     "days; which action explains the effect of the drug that caused it?", "options": ["Cross-linking", "Sleep"]},
    {"id": "eight", "question": "Which nerve innervates the stapedius muscle's distal belly?", "options": []},
    {"id": "short", "question": "Strength of tropicamide:", "options": ["0.01 per cent", "0.02 per cent", "none"]},
    {"id": "absent", "question": "Which enzyme is missing in people who cannot break down phenylalanine at all?",
     "options": []},
    {"id": "town", "question": 'Mother with breast CA, MA with "bone cancer." AODM both sides of family.',
     "options": []},
]  # fmt: skip
"""The gate takes "CA, MA" (cancer; maternal aunt) for a town."""
QUESTIONS = [
    ("own", "term_to_system", "Which body system is affected in people with cystic dysplasia of one kidney?", "test"),
    ("taught", "term_to_system", "Which body system is affected in people with a weak valve of the heart?", "train"),
    ("quoted", "definition_to_term", "A textbook says: A swelling of the outer ear that comes and goes with the cold "
     "season. Which finding is meant?", "test"),
]  # fmt: skip


def text(seed: int, words: int) -> str:
    draw = np.random.default_rng(seed)
    return " ".join(draw.choice(WORDS, words)) + f" number {seed}."


def document(number: int, category: str, split: str = "train") -> dict:
    body = f"Term {number} .\r\n\r\n\r\nMeaning:  {text(number, 8 + number % 30)}"
    start = body.index("Meaning:") + 10
    return {
        "id": f"{category}-{number}", "source": f"made_{category}", "text": body, "category": category, "group": "",
        "licence": "CC0-1.0", "access": "public", "synthetic": True, "split": split,
        "parts": [{"kind": "definition", "start": start, "stop": len(body)}],
        "date": "", "language": "en", "document_types": [], "standing": "",
    }  # fmt: skip


def paper(id: str, body: str, **fields: object) -> dict:
    return {**document(0, "medical"), "id": id, "source": "papers", "text": body, "parts": [], **fields}


def note(id: str, patient: str, body: str) -> dict:
    stated = {"group": patient, "access": "credentialed", "synthetic": False, "date": "2019-03-04"}
    return {**document(0, "clinical"), "id": id, "source": "notes", "text": body, "parts": [], **stated}


def changed(body: str, every: int) -> str:
    """The text with every n-th word another one."""
    return " ".join("otherwise" if i % every == every - 1 else word for i, word in enumerate(body.split()))


def inside(body: str, seed: int) -> str:
    return f"{text(seed, 40)} {body} {text(seed + 50, 40)}"


def made_documents() -> list[dict]:
    rows = [document(i, "medical") for i in range(150)] + [document(i, "clinical") for i in range(200, 230)]
    rows += [document(i, "medical", "heldout") for i in range(300, 310)]
    rows += [
        {**document(3, "medical"), "id": "copy", "text": document(3, "medical")["text"].upper()},
        {**document(301, "medical"), "id": "leak"},
        {**document(900, "medical"), "id": "medical-5"},
        {**document(901, "medical"), "id": "short", "text": "too short", "parts": []},
    ]
    first, second, third, fourth = (text(5000 + i, 150) for i in range(4))
    rows += [
        paper("near-undated", changed(first, 140)), paper("near-new", changed(first, 100), date="2021"),
        paper("near-old", first, date="2019-05", group="pmid:12"),
        paper("cross", second), paper("apart", third), paper("apart-too", changed(third, 6)),
        paper("held", fourth, split="heldout"), paper("leaks-held", changed(fourth, 90)),
        paper("retracted", text(5010, 50), standing="retracted"),
    ]  # fmt: skip
    vignette, eight, short, _, town = (item["question"] for item in ITEMS)
    rows += [
        paper("has-vignette", inside(vignette, 6000)), paper("has-eight", inside(eight.upper(), 6001)),
        paper("has-options", inside(f"{short} (1) none (2) 0.02 per cent (3) 0.01 per cent", 6002)),
        paper("has-blanks", inside(vignette.replace(" ", " \n ").replace(",", " ,").lower(), 6003)),
        paper("has-own", inside(QUESTIONS[0][2], 6004)), paper("has-taught", inside(QUESTIONS[1][2], 6005)),
        paper("has-quoted", inside(QUESTIONS[2][2], 6006)),
        paper("held-vignette", inside(vignette, 6007), split="heldout"),
    ]  # fmt: skip
    long, short, other = (text(7000 + i, words).partition(" number")[0] for i, words in enumerate((150, 40, 40)))
    seen = f"Mr. Okonkwo was seen on 03/04/2019. {long}."
    start, end = vignette[:80], vignette[80:]
    return rows + [
        note("has-town", "mrn/3", f"{text(6008, 40)} FHX: {town} SHX: {text(6009, 40)}"),
        note("has-name", "mrn/3", inside(f"{start} (seen on 03/04/2019 by Dr. Balogun) {end}", 6010)),
        note("note-1", "mrn/1", seen), note("note-1-again", "mrn/1", seen), note("note-1-of-another", "mrn/2", seen),
        note("note-2", "mrn/1", f"{short}. Okonkwo, of record [**Medical Record Number 5**], is well."),
        note("half-marked", "mrn/1", f"{other} [**Known lastname"),
    ]  # fmt: skip


def write_raw(raw: Path) -> None:
    """General text: good rows, bad ones, a torn file, and a near copy of a paper."""
    raw.mkdir()
    good = [json.dumps({"text": text(1000 + i, 30 + i)}).encode() for i in range(60)]
    bad = [b"{not json", b'{"text": "bad \xff byte"}', b'{"text": 5}', b'{"no": "text"}', b"[1]"]
    bad += [b'{"text": "nul \\u0000 here"}', b'{"text": "lone \\ud800 surrogate"}', b'{"text": "x", "split": "test"}']
    (raw / "a.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(b"\n".join([*good[:30], *bad])))
    whole = gzip.compress(b"\n".join(good[30:]) + b"\n" + os.urandom(4000).hex().encode(), mtime=0)
    (raw / "b.jsonl.gz").write_bytes(whole[:-1000])
    (raw / "c.txt").write_text(text(77, 40))
    (raw / "d.txt").write_text(changed(text(5001, 150), 120))


def make(config: Config, inputs: dict[str, Artifact], workspace: Workspace) -> dict:
    """Stands for `synthesize`: documents and questions."""
    rows = made_documents()
    return _write_made([rows[:100], rows[100:]], workspace)


def make_in_another_order(config: Config, inputs: dict[str, Artifact], workspace: Workspace) -> dict:
    """The same rows, the last first. (Rows of one id stay in two files: of those in one file the first is taken.)"""
    rows = made_documents()[::-1]
    return _write_made([rows[:30], rows[30:-100], rows[-100:-50], rows[-50:]], workspace)


def _write_made(files: list[list[dict]], workspace: Workspace) -> dict:
    for number, some in enumerate(files):
        write_table(workspace.data / "documents" / f"part-{number:05d}.parquet", some, CLEANED)
    questions = [
        {"id": id, "task": task, "prompt": prompt, "options": ["Eye", "Ear"], "gold": 0, "group": "", "split": split}
        for id, task, prompt, split in QUESTIONS
    ]
    write_table(workspace.data / "questions.parquet", questions, QUESTION)
    asked = {"clean": "Name a sign of anaemia.", "planted": ITEMS[0]["question"].upper(), "own": QUESTIONS[0][2]}
    said = {id: [{"role": "user", "content": prompt}] for id, prompt in asked.items()}
    answer = {"role": "assistant", "content": "Ear"}
    examples = [
        {"id": id, "source": "made", "messages": [*said[id], answer], "group": "", "licence": "CC0-1.0",
         "split": "train"}
        for id in ("clean", "planted")
    ]  # fmt: skip
    prompts = [
        {"id": id, "task": "", "messages": said[id], "options": [], "gold": -1, "reference": "", "group": "",
         "split": "round_1"}
        for id in ("clean", "own")
    ]  # fmt: skip
    write_table(workspace.data / "examples.parquet", examples, EXAMPLE)
    write_table(workspace.data / "prompts.parquet", prompts, PROMPT)
    return {}


def stages(directory: Path, num_shards: int = 2, concurrency: int = 2, **changes: dict) -> dict[str, Stage]:
    """All stages up to the corpus over what lies in the directory; `changes`: fields of a step's config by its name."""
    if not (directory / "raw").exists():
        write_raw(directory / "raw")
        (directory / "exam.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    terms = {"licence": "CC0-1.0", "access": "public"}
    general = {
        "name": "general",
        "title": "",
        "category": "general",
        "format": "documents",
        "licence_url": "",
        "url": "",
    }
    place = SourceLocation(name="general", path=str(directory / "raw"))
    config = SourcesConfig(sources=(SourceConfig(**general, **terms),), placement=SourcesPlacement(locations=(place,)))
    shape = base.TinyShape(vocab_size=400, hidden_size=16, num_layers=1, max_positions=256, rng_seed=0)
    exam = BenchmarkFile(
        name="exam", id_field="id", text_field="question", option_fields=("options",),
        licence="Terms of the exam", access="restricted",
        placement={"path": str(directory / "exam.jsonl")},
    )  # fmt: skip
    shared = {"placement": StepPlacement(concurrency=concurrency)}
    fields = {
        "clean": {"rules": RULES, "max_quarantine_fraction": 0.1,
                  "placement": clean.CleanPlacement(num_shards=num_shards, concurrency=concurrency)},
        "deidentify": {"rules": PhiRules(rng_seed=7, max_shift_weeks=520, strict=True), "categories": ("clinical",),
                       "access": ("credentialed",), "sources_without_patients": ("made_clinical",), **shared},
        "dedup": {"source_priority": ("papers",), "near": FINEWEB.model_copy(update={"min_jaccard": 0.8}),
                  "placement": dedup.DedupPlacement(concurrency=concurrency, rows_at_once=100)},
        "decontaminate": {"rules": ContaminationRules(ngram=13, min_alone_words=8, min_aligned_fraction=0.6),
                          "benchmarks": (exam,), "question_splits": ("test",), "quoted_tasks": ("definition_to_term",),
                          **shared},
        "corpus": {"proportions": {"medical": 15, "clinical": 1, "general": 4}, "token_budget": 0, "max_epochs": 1,
                   "max_unit_tokens": 64, "block_tokens": 128, "blocks_per_file": 16, "rng_seed": 7, **shared},
    }  # fmt: skip
    made = {name: {**own, **changes.get(name, {})} for name, own in fields.items()}
    first = Stage.of("sources", sources, sources.resolve(config))
    model = base.BaseConfig(format="tiny", tiny=shape, **terms)
    found = {
        "sources": first,
        "base": Stage.of("base", base, model, sources=first),
        "synthesize": Stage("synthesize", "synthesize", 1, Config(), make),
    }
    asked, checks = (
        found["synthesize"],
        decontaminate.resolve(decontaminate.DecontaminateConfig(**made["decontaminate"])),
    )
    found["clean"] = Stage.of("clean", clean, clean.CleanConfig(**made["clean"]), sources=first, documents=asked)
    found["decontaminate"] = Stage.of("decontaminate", decontaminate, checks, documents=found["clean"], questions=asked)
    gate = deidentify.DeidentifyConfig(**made["deidentify"])
    found["deidentify"] = Stage.of("deidentify", deidentify, gate, documents=found["decontaminate"])
    found["dedup"] = Stage.of("dedup", dedup, dedup.DedupConfig(**made["dedup"]), documents=found["deidentify"])
    inputs = {
        "documents": "dedup",
        "model": "base",
        "cleaned": "clean",
        "decontaminated": "decontaminate",
        "deidentified": "deidentify",
    }
    sources_of_corpus = {role: found[name] for role, name in inputs.items()}
    found["corpus"] = Stage.of("corpus", build, build.CorpusConfig(**made["corpus"]), **sources_of_corpus)
    return found


def run_all(found: dict[str, Stage], root: Root) -> dict[str, Artifact]:
    """Every stage, sealed."""
    return {name: execute(stage, root) for name, stage in found.items()}
