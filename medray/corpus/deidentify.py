"""Stage `deidentify`: identifiers in clinical documents give way to surrogates; all other documents pass as they are.

Content: `data/documents` (CLEANED; a part `phi.<kind>` at every surrogate), `data/refused` (REFUSED: which document is
left out, and why), `data/replaced.json` (by source and kind: identifiers and the documents they stood in, none of them
quoted) and `data/account.json`. A surrogate is a function of (rng_seed, patient, text): the number of parts changes
nothing.

It stands after `decontaminate`, from which its surrogates would hide a benchmark's item, and before `dedup`: only what
is before it holds a patient's text, and no refused note can be the one that was kept of several. Copies of a note
within a patient still get the same surrogates and meet there as equals; the same text under two patients meets as a
near-duplicate.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medray.core.access import Access
from medray.core.artifact import Artifact
from medray.core.config import Config
from medray.core.files import link
from medray.core.identity import content_id
from medray.core.schema import TableWriter
from medray.core.workspace import Workspace
from medray.corpus.steps import (
    BATCH_ROWS,
    CLEANED,
    StepPlacement,
    count_sources,
    keep_parts,
    parts_of,
    write_account,
)
from medray.tables.shards import Shard, run_shards
from medray.text.phi.dates import READABLE, shift_date
from medray.text.phi.gate import PhiRules, deidentify
from medray.text.phi.surrogates import Key

NAME = "deidentify"
VERSION = 2

REFUSED = pa.schema([(name, pa.string()) for name in ("id", "source", "reason")])
"""A document that still looked identified; the reason names the kind and place of what does, never its text."""

_PART, _GROUP = "phi.", "phi:patient/"

Document = dict[str, Any]
"""A row of CLEANED."""


class DeidentifyConfig(Config):
    """Whose text goes through the gate, and the gate's rules."""

    rules: PhiRules
    categories: tuple[Literal["medical", "clinical", "general"], ...]
    """Documents of these categories are de-identified,"""
    access: tuple[Access, ...]
    """and those of these access classes."""
    sources_without_patients: tuple[str, ...]
    """Sources of these categories that speak of nobody (a classification, a guideline) and pass as they are."""
    placement: StepPlacement = StepPlacement()


def run(config: DeidentifyConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """De-identify the clinical ones of inputs["documents"].

    Counters: documents in, out and dropped (refused by strict rules); documents looked at; identifiers by kind.
    """
    parts = parts_of(inputs["documents"])
    shards = [Shard(path.stem, {"path": path}) for path in parts]
    work = partial(_deidentify_part, config=config, workspace=workspace)
    facts = run_shards(workspace, shards, work, concurrency=config.placement.concurrency, unit="parts")
    for name in ("documents", "refused"):
        keep_parts(workspace.data / name, [path.name for path in parts])
    replaced: dict[str, dict[str, Counter[str]]] = {}
    for source, kind, counts in (item for fact in facts.values() for item in fact["replaced"]):
        replaced.setdefault(source, {}).setdefault(kind, Counter()).update(counts)
    text = json.dumps(replaced, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (workspace.data / "replaced.json").write_text(text)
    counters = Counter({"looked_at": sum(fact["looked_at"] for fact in facts.values())})
    for kinds in replaced.values():
        counters.update({f"replaced_{kind}": counts["identifiers"] for kind, counts in kinds.items()})
    account = write_account(workspace, NAME, (fact["sources"] for fact in facts.values()), inputs["documents"])
    return account | dict(sorted(counters.items()))


def _deidentify_part(shard: Shard, *, config: DeidentifyConfig, workspace: Workspace) -> dict[str, Any]:
    """Write the part's documents and the refused ones; facts: the counts of every source, and of every kind."""
    path = shard.payload["path"]
    target, look = workspace.data / "documents" / path.name, _looked_at(path, config)
    keep, replaced = np.ones(len(look), bool), {}
    with TableWriter(workspace.data / "refused" / path.name, REFUSED) as refused:
        if not look.any():
            link(path, target)
        else:
            with TableWriter(target, CLEANED) as kept:
                for number, document in enumerate(_documents(path)):
                    found, reason = {}, ""
                    if look[number]:
                        document, found, reason = deidentify_document(document, config.rules)
                    if reason:
                        keep[number] = False
                        refused.add({"id": document["id"], "source": document["source"], "reason": reason})
                        continue
                    kept.add(document)
                    for kind, count in found.items():
                        counts = replaced.setdefault((document["source"], kind), Counter())
                        counts.update(identifiers=count, documents=1)
    return {
        "sources": count_sources(path, keep, np.where(keep, "", "looks_identified")),
        "replaced": [[*names, counts] for names, counts in replaced.items()],
        "looked_at": int(look.sum()),
    }


def _looked_at(path: Path, config: DeidentifyConfig) -> np.ndarray:
    """Which rows of a part go through the gate."""
    rows = pq.read_table(path, columns=["category", "access", "source"])
    clinical = pc.is_in(rows["category"], pa.array(config.categories, pa.string()))
    nobodys = pc.is_in(rows["source"], pa.array(config.sources_without_patients, pa.string()))
    kept_in = pc.is_in(rows["access"], pa.array(config.access, pa.string()))
    return pc.or_(pc.and_not(clinical, nobodys), kept_in).to_numpy()


def _documents(path: Path) -> Iterator[Document]:
    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(BATCH_ROWS):
            yield from batch.to_pylist()


def deidentify_document(document: Document, rules: PhiRules) -> tuple[Document, dict[str, int], str]:
    """The document with surrogates, identifiers replaced by kind, and why it is refused ("" if it is not).

    Its group says whose surrogates they are; a document without one is a patient of its own. The given parts lie where
    their text is now, and one of kind `phi.<kind>` at every surrogate: a document that comes again stays as it is.
    The stated date moves with those of the text, and the group, which may be a hospital's number, becomes another.
    """
    text, parts, group = document["text"], document["parts"], document["group"]
    key = Key(rules.rng_seed, group or content_id("phi", text))
    spans = [(part["start"], part["stop"]) for part in parts]
    had = [span for span, part in zip(spans, parts, strict=True) if part["kind"].startswith(_PART)]
    done = deidentify(text, key.patient, rules, spans, had)
    moved = [{**part, "start": a, "stop": b} for part, (a, b) in zip(parts, done.spans, strict=True)]
    new = [{"kind": f"{_PART}{item.kind}", "start": item.start, "stop": item.stop} for item in done.surrogates]
    changed: Document = {"text": done.text, "parts": sorted([*moved, *new], key=lambda part: part["start"])}
    if not document["synthetic"] and not group.startswith(_GROUP):
        changed["group"] = f"{_GROUP}{key.draw('group'):016x}"
        changed["date"] = _moved(document["date"], key.shift_days(rules.max_shift_weeks))
    return {**document, **changed}, done.counts, done.refused


def _moved(day: str, days: int) -> str:
    """A stated date moved where it has a day; of any other the year is left."""
    return shift_date(day, "ymd", days) if READABLE["ymd"].fullmatch(day) else day[:4]
