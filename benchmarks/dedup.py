"""Near-duplicates: recall of MinHash-LSH against its theory, and precision against exact Jaccard similarity.

10,000 documents: real ones and three copies of each with words changed, put in and left out at different rates. Recall
is the part of pairs of one family, at or above the similarity, that meet in a band; theory is the mean of
1 - (1 - s^rows)^bands over the same pairs. Precision is the part of all pairs that meet, those among the real documents
included, at or above the similarity: before and after candidates are verified by exact Jaccard similarity. (MedQuAD's
pages share whole paragraphs, so most pairs that meet lie just below.)

    python benchmarks/dedup.py [--quick] [--data ../shared/data/corpus]
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import combinations
from pathlib import Path

import numpy as np

from medray.corpus.readers.formats import reader_of
from medray.corpus.readers.rules import ReadRules
from medray.tables.rows import Piece, read_piece
from medray.text.duplicates import candidate_pairs, unique_pairs, verified
from medray.text.minhash import FINEWEB, band_keys, lsh_probability, signatures
from medray.text.ngrams import hash_ngrams, hash_words, jaccard

COPIES = 3
MAX_RATE = 0.08
"""Of changed words: the 5-gram Jaccard similarity of a copy is then about 0.5."""
SIMILARITY = 0.7
"""From which two documents count as near-duplicates; the curve is steepest at 0.72."""
MIN_WORDS = 50


def real_texts(directory: Path, count: int) -> list[str]:
    """Texts of at least MIN_WORDS words, every n-th of all sources."""
    files = sorted(directory.glob("*.jsonl.zst"))
    reader = reader_of("documents", ReadRules())
    rows = [row.fields["text"] for file in files for row in read_piece(Piece(str(file)), reader) if row.is_good]
    texts = [text for text in rows if len(text.split()) >= MIN_WORDS]
    if len(texts) < count:
        raise SystemExit(f"{directory}: {len(texts)} texts of {MIN_WORDS} words, expected {count}: give --data")
    return [texts[i * len(texts) // count] for i in range(count)]


def perturbed(text: str, rate: float, vocabulary: np.ndarray, rng: np.random.Generator) -> str:
    """The text with about `rate` of its words replaced, left out, or followed by another word, in equal parts."""
    words = np.array(text.split(), object)
    draws, others = rng.random(len(words)), rng.choice(vocabulary, len(words))
    edits = [draws < rate / 3, draws < 2 * rate / 3, draws < rate]
    return " ".join(np.select(edits, [others, "", words + " " + others], words))


def families(texts: list[str]) -> list[str]:
    """Each text followed by its copies."""
    rng = np.random.default_rng(0)
    vocabulary = np.array(sorted({word for text in texts for word in text.split()}), object)
    rates = rng.uniform(0, MAX_RATE, (len(texts), COPIES))
    found = []
    for text, copies in zip(texts, rates, strict=True):
        found += [text, *(perturbed(text, rate, vocabulary, rng) for rate in copies)]
    return found


def pairs_that_meet(keys: np.ndarray) -> np.ndarray:
    """All pairs of documents that share a key of a band."""
    documents = np.arange(len(keys), dtype=np.uint64)
    found = [candidate_pairs(keys[:, band], documents, window=len(keys)) for band in range(keys.shape[1])]
    return unique_pairs(np.concatenate(found))


def print_table(similarity: np.ndarray, met: np.ndarray) -> None:
    """Pairs of one family by similarity: how many, the part that met, its 95% interval under the theory."""
    print(f"{'Jaccard':>11} {'pairs':>7} {'recall':>7} {'theory':>7}   95% of samples")
    for low in np.arange(0.3, 1.0, 0.1):
        mine = (similarity >= low) & (similarity < low + 0.1 + (low > 0.85))
        if mine.any():
            chances = lsh_probability(similarity[mine], FINEWEB)
            spread = 1.96 * np.sqrt((chances * (1 - chances)).sum()) / mine.sum()
            mean = chances.mean()
            print(
                f"  {low:.1f} - {low + 0.1:.1f} {mine.sum():7,} {met[mine].mean():7.3f} {mean:7.3f}   "
                f"{max(mean - spread, 0):.3f} - {min(mean + spread, 1):.3f}"
            )


def main() -> None:
    """Print the table and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2,000 documents")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/corpus"))
    arguments = parser.parse_args()
    texts = families(real_texts(arguments.data, 500 if arguments.quick else 2500))

    started = time.process_time()
    ngrams = hash_ngrams(hash_words(texts), FINEWEB.ngram)
    keys = band_keys(signatures(ngrams, FINEWEB), FINEWEB)
    keyed = time.process_time()
    found = pairs_that_meet(keys)
    joined = time.process_time()

    sets = dict(enumerate(np.unique(ngrams.of(i)) for i in range(len(texts))))
    blocks = range(0, len(texts), COPIES + 1)
    planted = np.array([pair for i in blocks for pair in combinations(range(i, i + COPIES + 1), 2)])
    similarity = np.array([jaccard(sets[a], sets[b]) for a, b in planted])
    met = (keys[planted[:, 0]] == keys[planted[:, 1]]).any(axis=1)
    started_verifying = time.process_time()
    true = verified(found, sets, SIMILARITY)
    verifying = time.process_time() - started_verifying

    num_mb = sum(len(text.encode()) for text in texts) / 1e6
    print(
        f"{len(texts):,} documents, {num_mb:.1f} MB: keys at {num_mb / (keyed - started):.1f} MB/s, "
        f"{len(found):,} pairs in {joined - keyed:.2f} s (CPU, one core)"
    )
    print_table(similarity, met)
    print(f"pairs that met: {len(found):,}, {len(true):,} of them similar, told apart in {verifying:.2f} s")
    alike = similarity >= SIMILARITY
    result = {
        "recall": met[alike].mean(),
        "recall_theory": lsh_probability(similarity[alike], FINEWEB).mean(),
        "precision": len(true) / len(found),
        "precision_verified": np.mean([jaccard(sets[int(a)], sets[int(b)]) >= SIMILARITY for a, b in true]),
    }
    print(json.dumps({name: round(float(value), 4) for name, value in result.items()}))


if __name__ == "__main__":
    main()
