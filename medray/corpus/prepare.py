"""One shard of the corpus: rows read, checked, cleaned and tokenised into a table of its own. Runs in a worker."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from medray.core.identity import content_id
from medray.core.schema import DOCUMENT, PROVENANCE, write_table
from medray.core.workspace import Workspace
from medray.corpus.readers.formats import reader_of
from medray.tables.rows import Piece, Row, quarantine_row, read_piece
from medray.tables.shards import Shard
from medray.text.normalize import CleanRules, clean, duplicate_key

_ADDED = {"key": pa.string(), "exact": pa.string(), "input_ids": pa.list_(pa.int32())}
PREPARED = pa.schema([*DOCUMENT, *PROVENANCE, *(pa.field(name, kind) for name, kind in _ADDED.items())])
"""A cleaned DOCUMENT, its PROVENANCE, the key under which duplicates meet, a hash of the very row, and its token ids
without EOS."""

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
_BATCH = 256


def prepare_shard(shard: Shard, *, rules: CleanRules, model: Path, workspace: Workspace) -> dict[str, Any]:
    """Write `scratch/<shard>.parquet`; facts: per source rows, quarantined, dropped by reason, cleaned.

    Articles that were retracted or withdrawn, and the notices that say so, are dropped.

    Bad rows go to quarantine under the shard's key, so that a shard run twice counts them once.
    """
    from medray.model.load import load_tokenizer

    tokenizer = load_tokenizer(model)
    kept: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    counts: dict[str, Counter[str]] = {}
    for piece, origin in shard.payload["pieces"]:
        stated = origin.stated
        for row in read_piece(Piece(*piece), reader_of(origin.format, origin.reading)):
            document, problem = _document(row, stated)
            source = document["source"] if document else _source_of(row, stated, piece[0])
            count = counts.setdefault(source, Counter())
            count["rows"] += 1
            if row.left_out:
                count[f"dropped.{row.left_out}"] += 1
                continue
            if document is None:
                count["quarantined"] += 1
                bad.append(quarantine_row(piece[0], row, problem))
                continue
            reason = document["standing"] or _clean_in_place(document, rules)
            count[f"dropped.{reason}" if reason else "cleaned"] += 1
            if not reason:
                kept.append(document)
    _tokenise(kept, tokenizer)
    workspace.quarantine(shard.key, bad)
    write_table(workspace.scratch / f"{shard.key}.parquet", kept, PREPARED)
    rows = sum(count["rows"] for count in counts.values())
    return {"rows": rows, "sources": {name: dict(count) for name, count in counts.items()}}


def _source_of(row: Row, stated: dict[str, Any], path: str) -> str:
    """The source a bad row is counted under: what it says, or the file's, or the file itself."""
    said = (row.fields or {}).get("source")
    return said if isinstance(said, str) and said else stated.get("source", Path(path).name)


def _document(row: Row, stated: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """A row as a DOCUMENT, or None with the reason why it is bad."""
    if row.fields is None or not row.is_good:
        return None, row.reason
    fields = {**_DEFAULTS, **stated, **{k: v for k, v in row.fields.items() if v is not None}}
    fields.setdefault("id", f"{fields.get('source', '')}/{duplicate_key(fields['text'])}")
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


def _clean_in_place(document: dict[str, Any], rules: CleanRules) -> str:
    """Clean text and parts; the reason to drop the document, or ""."""
    spans = [(part["start"], part["stop"]) for part in document["parts"]]
    document["text"], moved, reason = clean(document["text"], spans, rules)
    parts = zip(document["parts"], moved, strict=True)
    document["parts"] = [{"kind": p["kind"], "start": start, "stop": stop} for p, (start, stop) in parts]
    return reason


def _tokenise(documents: list[dict[str, Any]], tokenizer: Any) -> None:
    for start in range(0, len(documents), _BATCH):
        batch = documents[start : start + _BATCH]
        # split_special_tokens: "<|im_end|>" written in a text is text, never the token that ends it
        texts = [document["text"] for document in batch]
        encoded = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        for document, ids in zip(batch, encoded, strict=True):
            document["exact"] = content_id({name: document[name] for name in DOCUMENT.names})
            document["key"] = duplicate_key(document["text"])
            document["input_ids"] = ids
