"""Decontamination: the certificate of benchmark files against a corpus, and how many documents a core checks a second.

The Hallmarks of Cancer abstracts are PubMed abstracts, so every one of them has to be found. Every item of the other
benchmarks is planted too, one to a document of general text, with case, blanks, punctuation and options changed:
`planted_recall` is the part found.

With vectors of words (the package wordllama, or its directory) also what dense candidates find beyond n-grams:
questions are planted in other words and in another order of clauses. `paraphrase_recall` is the part found, beside that
of n-grams alone, and `dense_documents_fraction` the part of the corpus that only they find: no paraphrase is known
there.

    python benchmarks/decontaminate.py [--quick] [--data ../shared/data] [--vectors site-packages/wordllama]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib.util
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from medray.corpus.readers.formats import reader_of
from medray.corpus.readers.rules import ReadRules
from medray.corpus.vectors import VectorFile, VectorPlacement, load
from medray.recipes.files import RULES
from medray.recipes.open_corpus import BENCHMARKS
from medray.tables.adopted import FilePlacement
from medray.tables.benchmarks import read_items
from medray.tables.rows import Piece, read_piece
from medray.text.contamination import (
    ContaminationIndex,
    DenseRules,
    Item,
    certify,
)
from medray.text.dense import Embed

DENSE = DenseRules(min_words=20, min_cosine=0.7, min_shared_fraction=0.6)
ASKED = ("medqa", "medmcqa", "mmlu", "pubmedqa", "kqa", "medinstruct_test")
"""Benchmarks of questions, which are paraphrased."""
OTHER_WORDS = dict(
    pair.split("=")
    for pair in """man=gentleman woman=lady patient=individual patients=individuals physician=doctor comes=presents
    presents=arrives brought=taken history=record following=subsequent likely=probable cause=origin diagnosis=conclusion
    treatment=therapy therapy=treatment drug=agent medication=drug disease=illness disorder=condition pain=ache
    fever=pyrexia shows=reveals reveals=shows examination=inspection because=since increased=raised decreased=reduced
    associated=linked best=optimal next=subsequent step=action management=handling present=found caused=produced
    due=owing mechanism=process explains=clarifies used=employed symptoms=complaints year=yr old=aged ago=before
    child=youngster mother=mom father=dad severe=serious normal=ordinary abnormal=unusual heart=cardiac kidney=renal
    liver=hepatic lung=pulmonary skin=cutaneous surgery=operation cancer=carcinoma common=frequent commonly=frequently
    seen=observed given=administered high=elevated low=diminished true=correct correct=right except=save major=principal
    main=chief function=role site=place risk=hazard test=assay results=findings study=trial hospital=clinic reports=says
    states=says denies=negates including=among appropriate=suitable initial=first additional=further the=this a=one
    in=within is=was are=were with=having and=plus for=toward on=upon by=via his=their her=their he=they she=they
    has=had have=had""".split()
)


def items_of(directory: Path) -> list[Item]:
    """All items of all files."""
    places = [FilePlacement(path=str(directory / Path(file.placement.path).name)) for file in BENCHMARKS]
    files = [file.model_copy(update={"placement": place}) for file, place in zip(BENCHMARKS, places, strict=True)]
    return [item for file in files for item in read_items(file)]


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


def exchanged(text: str, fraction: float, rng: np.random.Generator) -> str:
    """The text with other words for this part of those that have one."""
    words = [(word, OTHER_WORDS.get(re.sub(r"\W", "", word.lower()))) for word in text.split()]
    return " ".join(other if other and rng.random() < fraction else word for word, other in words)


def reordered(text: str, rng: np.random.Generator) -> str:
    """The text's clauses in another order; its halves, where it is one clause."""
    clauses = re.split(r"(?<=[.;,?])\s+", text.strip())
    if len(clauses) < 2:
        words = text.split()
        return " ".join(words[len(words) // 2 :] + words[: len(words) // 2])
    order = np.roll(np.arange(len(clauses)), 1) if len(clauses) < 4 else rng.permutation(len(clauses))
    return " ".join(clauses[place] for place in order)


CHANGES: dict[str, Callable[[str, np.random.Generator], str]] = {
    "half of the words": lambda text, rng: exchanged(text, 0.5, rng),
    "all the words": lambda text, rng: exchanged(text, 1, rng),
    "clauses": reordered,
    "words and clauses": lambda text, rng: exchanged(reordered(text, rng), 1, rng),
}


def paraphrases(items: list[Item], documents: dict[str, str], general: str, embed: Embed) -> dict[str, float]:
    """Print what of paraphrased questions is found, by what; and what dense candidates find in the corpus."""
    rules = {f"{n}-grams": RULES.model_copy(update={"ngram": n, "min_alone_words": min(n, 8)}) for n in (13, 8, 5)}
    found = {name: (ContaminationIndex.build(items, rule), None) for name, rule in rules.items()}
    dense = ContaminationIndex.build(items, RULES.model_copy(update={"dense": DENSE}), embed)
    found["13-grams, dense"] = dense, embed
    rng, words = np.random.default_rng(1), general.split()
    asked = [item for item in items if item.benchmark in ASKED and len(item.text.split()) >= DENSE.min_words]
    asked = [asked[place] for place in rng.choice(len(asked), 300, replace=False)]
    recalls: dict[str, list[float]] = defaultdict(list)
    print(f"\n{len(asked)} questions with other ...  {'  '.join(found)}")
    for change, make in CHANGES.items():
        texts = []
        for item in asked:
            start = int(rng.integers(len(words) - 200))
            texts.append(
                " ".join([*words[start : start + 100], make(item.text, rng), *words[start + 100 : start + 200]])
            )
        for name, (index, vectors) in found.items():
            matches, _ = certify(index, list(map(str, range(len(texts)))), texts, vectors)
            hits = {m.document for m in matches if (m.benchmark, m.item) == asked[int(m.document)][:2]}
            recalls[name].append(len(hits) / len(texts))
        print(f"{change:28} {'  '.join(f'{recalls[name][-1]:{len(name)}.3f}' for name in found)}")
    foreign = {i: text for i, text in documents.items() if not i.startswith("pubmed")}
    num_mb = sum(len(text.encode()) for text in foreign.values()) / 1e6
    known: set[str] = set()
    for name, (index, vectors) in found.items():
        started = time.process_time()
        matches, _ = certify(index, list(foreign), list(foreign.values()), vectors)
        speed = num_mb / (time.process_time() - started)
        known = known or {match.document for match in matches}
        fresh = [match for match in matches if match.document not in known]
        documents_fraction = len({match.document for match in fresh}) / len(foreign)
        print(f"{name}: {documents_fraction:.2%} of {len(foreign):,} other documents, {speed:.2f} MB/s, as these:")
        for match in fresh[:5]:
            text = next(item.text for item in items if (item.benchmark, item.id) == match[:2])
            print(f"    {match.document}: {match.text[:120]} | {text[:120]}")
    return {
        "paraphrase_recall": round(float(np.mean(recalls["13-grams, dense"])), 4),
        "paraphrase_recall_ngrams": round(float(np.mean(recalls["13-grams"])), 4),
        "dense_documents_fraction": round(documents_fraction, 5),
        "dense_mb_per_s": round(speed, 3),
    }


def vectors_of(directory: Path | None) -> Embed | None:
    """The vectors of words in a directory of wordllama, or in the installed package; None without either."""
    names = {
        "weights": "weights/l2_supercat_256.safetensors",
        "tokenizer": "tokenizers/l2_supercat_tokenizer_config.json",
    }
    if directory:
        place = VectorPlacement(**{role: str(directory / name) for role, name in names.items()})
    elif importlib.util.find_spec("wordllama"):
        place = VectorPlacement(package="wordllama", **names)
    else:
        return None
    return load(VectorFile(licence="MIT; made of the token embeddings of Llama 2", access="public", placement=place))


def main() -> None:
    """Print the table and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="every fourth document of the corpus")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--vectors", type=Path, help="directory of the package wordllama, where it is not installed")
    arguments = parser.parse_args()
    documents = documents_of(arguments.data / "corpus")
    if arguments.quick:
        documents = {i: text for n, (i, text) in enumerate(documents.items()) if n % 4 == 0 or i.startswith("pubmed")}

    items = items_of(arguments.data / "eval")
    started = time.process_time()
    index = ContaminationIndex.build(items, RULES)
    built = time.process_time()
    matches, found = certify(index, list(documents), list(documents.values()))
    searched = time.process_time() - built

    num_mb = sum(len(text.encode()) for text in documents.values()) / 1e6
    print(f"index of {len(items):,} items in {built - started:.2f} s (CPU, one core)")
    print(f"{len(documents):,} documents, {num_mb:.1f} MB, at {num_mb / searched:.1f} MB/s\n")
    print(f"{'benchmark':26} {'checked':>8} {'unchecked':>9} {'found':>6} {'documents':>9}")
    by_name = {certificate["benchmark"]: certificate for certificate in found}
    for name, c in by_name.items():
        counts = f"{c['items_checked']:8,} {c['items_unchecked']:9,} {c['items_found']:6,} {c['texts_found']:9,}"
        print(f"{name:26} {counts}")

    checked = [item for item, is_checked in zip(items, index.is_checked, strict=True) if is_checked]
    general = next(text for i, text in documents.items() if i.startswith("redpajama") and len(text.split()) > 1000)
    plants = planted(checked, general)
    matches, _ = certify(index, list(plants), list(plants.values()))
    hits = {m.document for m in matches if m.document == f"{m.benchmark}/{m.item}"}
    for name in sorted(plants.keys() - hits)[:5]:
        print(f"planted, not found: {name}")
    result = {
        "hoc_found": by_name["hoc"]["items_found"],
        "hoc_items": by_name["hoc"]["items_checked"],
        "planted_recall": round(len(hits) / len(plants), 5),
        "documents_per_s": round(len(documents) / searched),
        "mb_per_s": round(num_mb / searched, 1),
    }
    if embed := vectors_of(arguments.vectors):
        result |= paraphrases(items, documents, general, embed)
    else:
        print("\nno package wordllama: dense candidates are not measured")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
