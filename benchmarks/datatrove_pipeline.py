"""The peer of corpus.py, run by the Python of its own environment: datatrove's pipeline as FineWeb runs it.

Repetition and quality filters, MinHash in its four stages (5-grams, 14 x 8), tokenised documents. Prints one JSON line.

    python benchmarks/datatrove_pipeline.py INPUT TOKENIZER OUTPUT
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers.jsonl import JsonlWriter

WORKERS = 2


def main() -> None:
    """Run the stages one after the other, as many tasks as there are files."""
    source, tokenizer, output = sys.argv[1:]
    tasks = len(list(Path(source).glob("*.jsonl.zst")))
    rules = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    kept, signatures, buckets, removed = (f"{output}/{name}" for name in ("kept", "signatures", "buckets", "removed"))
    stages = (
        ([JsonlReader(source), GopherRepetitionFilter(), GopherQualityFilter(), JsonlWriter(kept)], tasks),
        ([JsonlReader(kept), MinhashDedupSignature(signatures, rules)], tasks),
        ([MinhashDedupBuckets(signatures, buckets, config=rules)], rules.num_buckets),
        ([MinhashDedupCluster(buckets, removed, config=rules)], 1),
        (
            [
                JsonlReader(kept),
                MinhashDedupFilter(removed),
                DocumentTokenizer(f"{output}/tokens", f"{tokenizer}/tokenizer.json", eos_token="<|im_end|>"),
            ],
            tasks,
        ),
    )
    seconds = []
    for number, (pipeline, count) in enumerate(stages):
        started = time.perf_counter()
        logs = f"{output}/logs/{number}"
        LocalPipelineExecutor(pipeline, tasks=count, workers=min(WORKERS, count), logging_dir=logs).run()
        seconds.append(round(time.perf_counter() - started, 2))
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
