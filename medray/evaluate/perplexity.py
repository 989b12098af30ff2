"""Perplexity of held-out documents: of the whole text, and of the free text of definitions inside it.

Our own documents follow a template that a model learns within minutes; the definitions are where knowledge shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from medray.core.identity import stable_hash
from medray.math import statistics

DOCUMENT_NLL = pa.schema(
    [
        pa.field(name, kind, nullable=False)
        for name, kind in {
            "id": pa.string(), "category": pa.string(), "source": pa.string(), "nll": pa.float64(),
            "num_tokens": pa.int32(), "definition_nll": pa.float64(), "num_definition_tokens": pa.int32(),
        }.items()
    ]
)  # fmt: skip
"""nll: sum of nats over the document's tokens after the first, which has no context; definition_*: the part of it that
lies in spans of kind "definition"."""


def choose_documents(documents: Sequence[dict[str, Any]], per_category: int, rng_seed: int) -> list[dict[str, Any]]:
    """At most `per_category` documents of each category (0: all), drawn by hash, in order of id."""
    chosen: list[dict[str, Any]] = []
    for category in sorted({row["category"] for row in documents}):
        rows = [row for row in documents if row["category"] == category]
        rows.sort(key=lambda row: (stable_hash("heldout", rng_seed, row["id"]), row["id"]))
        chosen += rows[: per_category or None]
    return sorted(chosen, key=lambda row: row["id"])


def definition_mask(offsets: Sequence[tuple[int, int]], parts: Sequence[dict[str, Any]]) -> np.ndarray:
    """Which tokens belong to definitions: those whose last character does (a token may begin with the blank before)."""
    spans = [(part["start"], part["stop"]) for part in parts if part["kind"] == "definition"]
    return np.array([any(start <= stop - 1 < end for start, end in spans) for _, stop in offsets], dtype=bool)


def measure_documents(
    forward: Any, tokenizer: Any, documents: Sequence[dict[str, Any]], max_tokens: int
) -> list[dict[str, Any]]:
    """One row of DOCUMENT_NLL for each document, which is cut to its first `max_tokens` tokens.

    forward: a medray.train.forward.Forward. A document of fewer than two tokens has nothing to predict and is left out.
    """
    encoded = [tokenizer(row["text"], add_special_tokens=False, return_offsets_mapping=True) for row in documents]
    ids = [found.input_ids[:max_tokens] for found in encoded]
    rows = []
    nlls = forward.document_nll(ids, max_tokens=max_tokens)
    for document, found, nll_T in zip(documents, encoded, nlls, strict=True):
        if len(nll_T) < 2:
            continue
        mask_T = definition_mask(found.offset_mapping[: len(nll_T)], document["parts"])
        mask_T[0] = False  # the first token is not predicted
        nll_T = nll_T.astype(np.float64)
        rows.append(
            {
                **{name: document[name] for name in ("id", "category", "source")},
                "nll": float(nll_T[1:].sum()),
                "num_tokens": len(nll_T) - 1,
                "definition_nll": float(nll_T[mask_T].sum()),
                "num_definition_tokens": int(mask_T.sum()),
            }
        )
    return rows


def summarise(rows: Sequence[dict[str, Any]], rng_seed: int) -> dict[str, dict[str, Any]]:
    """perplexity.definitions, perplexity.<category>, and perplexity.source.<source>, intervals by document."""
    found: dict[str, dict[str, Any]] = {}

    def add(name: str, chosen: Sequence[dict[str, Any]], nll: str, tokens: str) -> None:
        values = np.array([row[nll] for row in chosen]), np.array([row[tokens] for row in chosen])
        figure = statistics.perplexity(*values, rng_seed=rng_seed) if chosen else statistics.EMPTY
        found[f"perplexity.{name}"] = {**figure.row(), "num_tokens": int(values[1].sum())}

    with_definitions = [row for row in rows if row["num_definition_tokens"]]
    add("definitions", with_definitions, "definition_nll", "num_definition_tokens")
    for field, prefix in (("category", ""), ("source", "source.")):
        for name in sorted({row[field] for row in rows}):
            add(prefix + name, [row for row in rows if row[field] == name], "nll", "num_tokens")
    return found
