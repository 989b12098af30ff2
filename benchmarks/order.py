"""Planning the order of Me-LLaMA's corpus: seconds and memory for the names and lengths of 27 million documents.

Synthetic documents in 100 tokenised parts, lengths lognormal: 15,518,009 abstracts, 3,098,931 papers, 2,880,964 notes
(SEEDS A0.4) and 6 million general ones, 127B tokens in all. Planned are 129B at 15:1:4 in pieces of at most 4,096
tokens, the notes used up to 4 times. Nothing else does this, so there is no peer; the same order of fewer documents
by a plain loop is the test's oracle (`tests/unit/test_order.py`). Memory is the largest RssAnon of the process.

    python benchmarks/order.py [--quick] [--stratify]

Prints, last, {"documents", "units", "tokens", "seconds", "cpu_seconds", "peak_rss_mb", "max_deviation"}, the last how
far any prefix after 10M tokens is off its 15:1:4, as a fraction of all tokens.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from medray.corpus.build import CorpusConfig
from medray.corpus.order import Documents, plan_order
from medray.corpus.tokenise import DOCUMENTS, read_mapped, write_mapped

SOURCES = (  # source, category, documents, mean tokens, sigma of the logarithm
    ("pubmed_abstracts", "medical", 15_518_009, 300, 0.5),
    ("pubmed_central", "medical", 3_098_931, 30_000, 0.8),
    ("mimic_notes", "clinical", 2_880_964, 800, 0.8),
    ("redpajama", "general", 6_000_000, 4_500, 1.5),
)
PROPORTIONS = {"medical": 15, "clinical": 1, "general": 4}
BUDGET, NUM_PARTS, SETTLED = 129_000_000_000, 100, 10_000_000


def write_parts(directory: Path, scale: float) -> list[str]:
    """The documents' names and lengths, shuffled over the parts; keys of the parts."""
    rng = np.random.default_rng(0)
    sizes = [int(count * scale) for _, _, count, _, _ in SOURCES]
    lengths = []
    for size, (_, _, _, mean, sigma) in zip(sizes, SOURCES, strict=True):
        drawn = rng.lognormal(0, sigma, size)
        lengths.append(np.maximum(drawn * (mean / drawn.mean()), 2).astype(np.int32))
    of, lengths_D = np.repeat(np.arange(len(SOURCES)), sizes), np.concatenate(lengths)
    order = rng.permutation(len(of))
    names, categories = (np.array(column) for column in list(zip(*SOURCES, strict=True))[:2])
    keys = [f"part-{part:05d}" for part in range(NUM_PARTS)]
    for part, key in enumerate(keys):
        mine = order[part::NUM_PARTS]
        tokens = lengths_D[mine]
        ids = pa.array([f"{number:012d}" for number in mine.tolist()])
        starts, ones = np.cumsum(tokens, dtype=np.int64) - tokens, np.ones(len(mine), np.int32)
        columns = [ids, pa.array(names[of[mine]]), pa.array(categories[of[mine]]), starts, tokens, ones]
        write_mapped(pa.table(columns, names=DOCUMENTS.names).cast(DOCUMENTS), directory / f"{key}.documents.arrow")
    return keys


class Watch(threading.Thread):
    """The largest anonymous memory of this process, in MB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mb = 0

    def run(self) -> None:
        """Look five times a second."""
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            found = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self.peak_mb = max(self.peak_mb, found // 1024)
            time.sleep(0.2)


def max_deviation(directory: Path, keys: list[str]) -> float:
    """How far a category's share of any prefix after 10M tokens is from its proportion."""
    documents, places = Documents(directory, keys), read_mapped(directory / "order.arrow")
    category = np.array([name for _, name in documents.groups])[documents.group]
    category_U = category[places["document"].to_numpy()]
    tokens_U = places["num_tokens"].to_numpy()
    total = places["start"].to_numpy() + tokens_U
    worst, parts = 0.0, sum(PROPORTIONS.values())
    for name, part in PROPORTIONS.items():
        held = np.cumsum(np.where(category_U == name, tokens_U, 0), dtype=np.int64)
        worst = max(worst, float(np.abs(held / total - part / parts)[total >= SETTLED].max()))
    return worst


def main() -> None:
    """Write the parts, plan, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of it")
    parser.add_argument("--stratify", action="store_true", help="sources in proportion too")
    asked = parser.parse_args()
    scale = 0.05 if asked.quick else 1.0
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        keys = write_parts(directory, scale)
        config = CorpusConfig(
            proportions=PROPORTIONS, token_budget=int(BUDGET * scale), max_epochs=1,
            source_epochs={"mimic_notes": 4}, stratify_sources=asked.stratify, max_unit_tokens=4096, block_tokens=4096,
            rng_seed=7,
        )  # fmt: skip
        watch, started, cpu = Watch(), time.perf_counter(), time.process_time()
        watch.start()
        facts = plan_order(config, directory, keys)
        seconds, cpu_seconds, peak_mb = time.perf_counter() - started, time.process_time() - cpu, watch.peak_mb
        found = {
            "documents": sum(int(count * scale) for _, _, count, _, _ in SOURCES),
            "units": sum(category["units"] for category in facts["categories"].values()),
            "tokens": facts["num_tokens"], "seconds": round(seconds, 1), "cpu_seconds": round(cpu_seconds, 1),
            "peak_rss_mb": peak_mb, "max_deviation": round(max_deviation(directory, keys), 7),
        }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
