"""Decontamination: the certificate of benchmark files against a corpus, and how many documents a core checks a second.

The Hallmarks of Cancer abstracts are PubMed abstracts, so every one of them has to be found. Every item of the other
benchmarks is planted too, one to a document of general text, with case, blanks, punctuation and options changed:
`planted_recall` is the part found.

    python benchmarks/decontaminate.py [--quick] [--data ../shared/data]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import time
from pathlib import Path

import numpy as np

from medray.corpus.benchmarks import BenchmarkFile, read_items
from medray.corpus.readers.formats import reader_of
from medray.corpus.readers.rules import ReadRules
from medray.tables.rows import Piece, read_piece
from medray.text.contamination import ContaminationIndex, ContaminationRules, Item, Match, certificates

RULES = ContaminationRules(ngram=13, min_alone_words=8, min_aligned_fraction=0.6)
FILES = {
    "bc5cdr_ner.jsonl.zst": ("", "tokens"),
    "ddi_test.jsonl.zst": ("", "text"),
    "hoc.jsonl.zst": ("id", "text"),
    "kqa.jsonl": ("", "Question"),
    "medinstruct_test.jsonl": ("", "instruction"),
    "medmcqa.jsonl": ("id", "question", "options"),
    "medqa.jsonl": ("id", "question", "options"),
    "medqa_5options.jsonl": ("id", "question", "options"),
    "mmlu-pro.jsonl": ("id", "question", "options"),
    "mmlu.jsonl": ("id", "question", "options"),
    "mts_dialog_summarization.jsonl": ("ID", "section_text"),
    "pubmedqa.jsonl": ("id", "question"),
}
"""File: id, text and option fields."""
BATCH = 512


def items_of(directory: Path) -> list[Item]:
    """All items of all files."""
    found = []
    for name, (id_field, text_field, *option_fields) in FILES.items():
        fields = {"id_field": id_field, "text_field": text_field, "option_fields": tuple(option_fields)}
        place = {"path": str(directory / name)}
        terms = {"name": name.split(".")[0], "licence": "see its README", "access": "public"}
        found += read_items(BenchmarkFile(**terms, **fields, placement=place))
    return found


def documents_of(directory: Path) -> dict[str, str]:
    """The corpus by id: jsonl.zst files and clinical notes."""
    found = {}
    reader = reader_of("documents", ReadRules())
    for file in sorted(directory.glob("*.jsonl.zst")):
        rows = (row for row in read_piece(Piece(str(file)), reader) if row.is_good)
        found |= {f"{file.name.split('.')[0]}/{row.number}": row.fields["text"] for row in rows}
    csv.field_size_limit(1 << 30)
    with gzip.open(directory / "clinical" / "NOTEEVENTS.csv.gz", "rt") as stream:
        found |= {f"notes/{number}": row["TEXT"] for number, row in enumerate(csv.DictReader(stream), 1)}
    return found


def found_in(index: ContaminationIndex, documents: dict[str, str]) -> list[Match]:
    """The matches of all documents, batch by batch."""
    ids = list(documents)
    batches = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
    return [match for batch in batches for match in index.find(batch, [documents[i] for i in batch])]


def planted(items: list[Item], general: str) -> dict[str, str]:
    """One document an item, by the item's benchmark and id: in the middle of general text, disguised."""
    rng = np.random.default_rng(0)
    words = general.split()
    found = {}
    for item in items:
        options = rng.permutation(np.array(item.options, object))
        lines = [f"({number}) {option}" for number, option in enumerate(options, 1)]
        disguised = "  ".join([item.text.upper(), *lines]).replace(", ", " ,\n").replace(" ", " \t")
        start = int(rng.integers(len(words) - 200))
        before, after = " ".join(words[start : start + 100]), " ".join(words[start + 100 : start + 200])
        found[f"{item.benchmark}/{item.id}"] = f"{before}. {disguised}\n{after}"
    return found


def main() -> None:
    """Print the table and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="every fourth document of the corpus")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    documents = documents_of(arguments.data / "corpus")
    if arguments.quick:
        documents = {i: text for n, (i, text) in enumerate(documents.items()) if n % 4 == 0 or i.startswith("pubmed")}

    items = items_of(arguments.data / "eval")
    started = time.process_time()
    index = ContaminationIndex.build(items, RULES)
    built = time.process_time()
    matches = found_in(index, documents)
    searched = time.process_time() - built

    num_mb = sum(len(text.encode()) for text in documents.values()) / 1e6
    print(f"index of {len(items):,} items in {built - started:.2f} s (CPU, one core)")
    print(f"{len(documents):,} documents, {num_mb:.1f} MB, at {num_mb / searched:.1f} MB/s\n")
    print(f"{'benchmark':26} {'checked':>8} {'unchecked':>9} {'found':>6} {'documents':>9}")
    by_name = {certificate["benchmark"]: certificate for certificate in certificates(index, matches)}
    for name, c in by_name.items():
        counts = f"{c['items_checked']:8,} {c['items_unchecked']:9,} {c['items_found']:6,} {c['documents_dropped']:9,}"
        print(f"{name:26} {counts}")

    checked = [item for item, is_checked in zip(items, index.is_checked, strict=True) if is_checked]
    general = next(text for i, text in documents.items() if i.startswith("redpajama") and len(text.split()) > 1000)
    plants = planted(checked, general)
    hits = {m.document for m in found_in(index, plants) if m.document == f"{m.benchmark}/{m.item}"}
    for name in sorted(plants.keys() - hits)[:5]:
        print(f"planted, not found: {name}")
    result = {
        "hoc_found": by_name["hoc"]["items_found"],
        "hoc_items": by_name["hoc"]["items_checked"],
        "planted_recall": round(len(hits) / len(plants), 5),
        "documents_per_s": round(len(documents) / searched),
        "mb_per_s": round(num_mb / searched, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
