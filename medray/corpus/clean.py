"""Stage `clean`: every source read in shards, bad rows set aside, texts normalised, rid of boilerplate and filtered.

Content: `data/documents` (CLEANED), `data/dropped` (DROPPED: what went, and why) and `data/account.json`. The number of
shards changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.mirror import url_of
from medray.core.schema import DOCUMENT, PROVENANCE, TableWriter
from medray.core.workspace import Workspace
from medray.corpus.readers.formats import reader_of
from medray.corpus.readers.rules import Origin, ReadRules
from medray.corpus.sources import files_with_documents
from medray.corpus.steps import CLEANED, StepPlacement, keep_parts, write_account
from medray.tables.rows import Piece, Row, list_files, quarantine_row, read_piece, split_files
from medray.tables.shards import Shard, run_shards
from medray.text.normalize import CleanRules, clean, duplicate_key

NAME = "clean"
VERSION = 2

DROPPED = pa.schema([(name, pa.string()) for name in ("id", "source", "where", "reason", "start")])
"""A row that was sound but not wanted: where it stood (file:row), why it went, its first characters."""

_START_CHARACTERS = 200
_BATCH_CHARACTERS = 1 << 19
_BATCH_ROWS = 1024

_DEFAULTS: dict[str, Any] = {
    "group": "", "synthetic": False, "split": "train", "parts": [],
    "date": "", "language": "", "document_types": [], "standing": "",
}  # fmt: skip
_CHOICES = {
    "category": ("medical", "clinical", "general"),
    "access": ("public", "restricted", "credentialed"),
    "split": ("train", "heldout"),
    "standing": ("", "retracted", "withdrawn", "retraction_notice"),
}


class CleanPlacement(StepPlacement):
    """How the work is shared out."""

    num_shards: int = Field(2, ge=1)
    """The documents leave in as many parts, which the steps that follow work on one by one."""


class CleanConfig(Config):
    """What a text must look like, and how many rows may be bad."""

    rules: CleanRules
    max_quarantine_fraction: float = Field(ge=0, le=1)
    placement: CleanPlacement = CleanPlacement()


def run(config: CleanConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Clean the documents of `sources` and `documents`. Raises UserError on too many bad rows, or if none is left."""
    files = _files(inputs)
    # the number of shards is in the key: marks of another number must not be taken for these
    count = config.placement.num_shards
    shards = [
        Shard(f"part-{number:05d}-of-{count:05d}", {"pieces": [(piece, files[piece.path]) for piece in pieces]})
        for number, pieces in enumerate(split_files(list(files), count))
    ]
    work = partial(clean_shard, rules=config.rules, workspace=workspace)
    facts = run_shards(workspace, shards, work, concurrency=config.placement.concurrency, unit="shards")
    workspace.keep_quarantined(facts)
    for name in ("documents", "dropped"):
        keep_parts(workspace.data / name, [f"{key}.parquet" for key in facts])
    found = write_account(workspace, NAME, (fact["sources"] for fact in facts.values()))
    workspace.check_quarantine(found["in"], config.max_quarantine_fraction)
    if not found["out"]:
        reasons = ", ".join(f"{name.removeprefix('dropped_')} {n}" for name, n in found.items() if "dropped_" in name)
        raise UserError(
            f"clean: no document is left of {found['in']} rows, expected some: see the drops by reason "
            f"({reasons or 'none'}) and loosen clean.rules or add a source"
        )
    return found


def _files(inputs: dict[str, Artifact]) -> dict[str, Origin]:
    """Every file with documents, and what is known of its rows."""
    found: dict[str, Origin] = {}
    if "documents" in inputs:
        made = Origin({}, "documents", ReadRules())
        kinds = reader_of(made.format, made.reading).kinds
        found |= dict.fromkeys(list_files(str(inputs["documents"].data / "documents"), kinds), made)
    if "sources" in inputs:
        found |= files_with_documents(inputs["sources"].data)
    if not found:
        raise UserError("clean: no input with documents, expected synthesised ones or a source of documents: add one")
    # of a remote root the files are read where they lie: a shard of another machine needs no copy of them
    return {url_of(path) or path: origin for path, origin in found.items()}


def clean_shard(shard: Shard, *, rules: CleanRules, workspace: Workspace) -> dict[str, Any]:
    """Write the shard's part of the documents and of what was dropped; facts: the counts of every source.

    Articles that were retracted or withdrawn, and the notices that say so, are dropped. Bad rows go to quarantine under
    the shard's key, so that a shard run twice counts them once. Memory: a row group, a batch of documents with its
    words, and the excerpts of bad rows.
    """
    bad: list[dict[str, Any]] = []
    counts: dict[str, Counter[str]] = {}
    name = f"{shard.key}.parquet"
    with (
        TableWriter(workspace.data / "documents" / name, CLEANED) as kept,
        TableWriter(workspace.data / "dropped" / name, DROPPED) as dropped,
    ):
        for batch in _batches(shard.payload["pieces"]):
            cleaned = _clean_in_place([one.document for one in batch if one.is_wanted], rules)
            for one in batch:
                reason, removed = next(cleaned) if one.is_wanted else (one.unwanted, {})
                count = counts.setdefault(one.source, Counter())
                count["in"] += 1
                if reason:
                    count[f"dropped.{reason}"] += 1
                    dropped.add(_dropped_row(one, reason))
                elif one.document is None:
                    count["quarantined"] += 1
                    bad.append(quarantine_row(one.path, one.row, one.problem))
                else:
                    count["out"] += 1
                    count.update({f"removed.{rule}": number for rule, number in removed.items()})
                    kept.add(one.document)
    workspace.quarantine(shard.key, bad)
    return {"sources": {source: dict(count) for source, count in counts.items()}}


class _Read(NamedTuple):
    """A row of a file, as far as it is a document."""

    path: str
    row: Row
    document: dict[str, Any] | None
    problem: str
    source: str

    @property
    def unwanted(self) -> str:
        """Why a sound row does not stay whatever its text is like, or ""."""
        return self.row.left_out or (self.document["standing"] if self.document else "")

    @property
    def is_wanted(self) -> bool:
        """Whether it depends on the text that the row stays."""
        return self.document is not None and not self.unwanted


def _batches(pieces: list[tuple[Piece, Origin]]) -> Iterator[list[_Read]]:
    """The rows of all pieces in lists of about _BATCH_CHARACTERS."""
    batch: list[_Read] = []
    size = 0
    for piece, origin in pieces:
        for row in read_piece(Piece(*piece), reader_of(origin.format, origin.reading)):
            document, problem = _document(row, origin.stated)
            source = document["source"] if document else _source_of(row, origin.stated, piece[0])
            batch.append(_Read(piece[0], row, document, problem, source))
            size += len(document["text"]) if document else 0
            if size >= _BATCH_CHARACTERS or len(batch) >= _BATCH_ROWS:
                yield batch
                batch, size = [], 0
    yield batch


def _dropped_row(one: _Read, reason: str) -> dict[str, str]:
    where = f"{Path(one.path).name}:{one.row.number}"
    id, text = (one.document["id"], one.document["text"]) if one.document else ("", one.row.excerpt)
    return {"id": id, "source": one.source, "where": where, "reason": reason, "start": text[:_START_CHARACTERS]}


def _source_of(row: Row, stated: dict[str, Any], path: str) -> str:
    """The source a bad row is counted under: what it says, or the file's, or the file itself."""
    said = (row.fields or {}).get("source")
    return said if isinstance(said, str) and said else stated.get("source", Path(path).name)


def _document(row: Row, stated: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """A row as a DOCUMENT, or None with the reason why it is bad."""
    if row.fields is None or not row.is_good:
        return None, row.reason
    fields = {**_DEFAULTS, **stated, **{k: v for k, v in row.fields.items() if v is not None}}
    if "id" not in fields:
        fields["id"] = f"{fields.get('source', '')}/{duplicate_key(fields['text'])}"
    if isinstance(fields["id"], int):
        fields["id"] = str(fields["id"])
    names = [*DOCUMENT.names, *PROVENANCE.names]
    missing = [name for name in names if name not in fields]
    if missing:
        return None, f"no {', '.join(missing)}"
    for name, choices in _CHOICES.items():
        if fields[name] not in choices:
            return None, f"{name} is {fields[name]!r}, expected {', '.join(choices)}"
    for name in ("id", "source", "group", "licence", "date", "language"):
        if not isinstance(fields[name], str) or (name in ("id", "source") and not fields[name]):
            return None, f"{name} is {fields[name]!r}, expected text"
    if not isinstance(fields["synthetic"], bool):
        return None, f"synthetic is {fields['synthetic']!r}, expected true or false"
    if not isinstance(fields["document_types"], list) or not all(isinstance(t, str) for t in fields["document_types"]):
        return None, f"document_types is {fields['document_types']!r}, expected a list of text"
    size = len(fields["text"])
    if not all(_is_part(part, size) for part in fields["parts"]):
        return None, f"parts are not spans inside a text of {size} characters"
    return {name: fields[name] for name in names}, ""


def _is_part(part: Any, size: int) -> bool:
    return (
        isinstance(part, dict)
        and part.keys() == {"kind", "start", "stop"}
        and isinstance(part["kind"], str)
        and all(isinstance(part[name], int) for name in ("start", "stop"))
        and 0 <= part["start"] <= part["stop"] <= size
    )


def _clean_in_place(documents: list[dict[str, Any]], rules: CleanRules) -> Iterator[tuple[str, Counter[str]]]:
    """Clean texts and parts, fill in languages; of each document the reason to drop it, or "", and what was cut out."""
    spans = [[(part["start"], part["stop"]) for part in document["parts"]] for document in documents]
    cleaned = clean([document["text"] for document in documents], spans, rules)
    for document, text, places, language in zip(
        documents, cleaned.texts, cleaned.spans, cleaned.languages, strict=True
    ):
        document["text"] = text
        document["language"] = document["language"] or language
        parts = zip(document["parts"], places, strict=True)
        document["parts"] = [{"kind": p["kind"], "start": start, "stop": stop} for p, (start, stop) in parts]
    return zip(cleaned.reasons, cleaned.removed, strict=True)
