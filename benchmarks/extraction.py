"""How often the letter that `extract_choice` reads is the one that a reader takes from the completion.

The completions are real chains of thought of one model on nine benchmarks (medagents-benchmark, MIT). The patterns were
tuned on one half, parted by a hash of the completion; the figure is of the other. Labels: what the authors' own
pipeline took, which never is "none", corrected by hand where the two differ (HAND, by a digest of the completion).

    python benchmarks/extraction.py [--quick] [--data ../shared/data] [--half tune] [--show]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from medray.math.statistics import proportion
from medray.text.answers import extract_choice

HAND: dict[str, str | None] = {
    # tuning half
    "2797822277a0": None, "6899000d4524": None, "b71a30a406d3": None,
    # the other, read once the patterns stood
    "07ca3faa7484": None, "d2ea7cb0f81c": "F", "bcf7950d2774": "D",
}  # fmt: skip
"""None: the model says that it does not choose, and the pipeline took a letter nevertheless."""


def digest(row: dict[str, Any]) -> str:
    """The name of a completion."""
    return hashlib.sha256(row["completion"].encode()).hexdigest()


def main() -> None:
    """Print the disagreements and the share of agreement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "../shared/data")
    parser.add_argument("--half", choices=["tune", "test"], default="test")
    parser.add_argument("--show", action="store_true", help="the end of every completion that is read otherwise")
    arguments = parser.parse_args()
    raw = (arguments.data / "eval/cot_completions.jsonl.zst").read_bytes()
    lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(raw), "utf-8")
    rows = [row for row in map(json.loads, lines) if (int(digest(row), 16) % 2 == 0) == (arguments.half == "tune")]
    outcomes: Counter[str] = Counter()
    for row in rows:
        found, label = extract_choice(row["completion"], row["options"]), HAND.get(digest(row)[:12], row["predicted"])
        outcomes["agrees" if found == label else "unparsed" if found is None else "other letter"] += 1
        if found != label and arguments.show:
            print(f"{digest(row)[:12]}: read {found}, label {label}\n{row['completion'][-400:]}\n")
    print(dict(outcomes), "of completions whose label is a letter or none")
    agreement = proportion(np.repeat([1.0, 0.0], [outcomes["agrees"], len(rows) - outcomes["agrees"]]))
    print(f"95% interval of the agreement {agreement.low:.4f} to {agreement.high:.4f}; unparsed by the labels: "
          f"{sum(HAND.get(digest(row)[:12], '') is None for row in rows)}")  # fmt: skip
    print(json.dumps({"agreement": round(outcomes["agrees"] / len(rows), 4), "n": len(rows)}))


if __name__ == "__main__":
    main()
