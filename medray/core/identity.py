"""Content identity: canonical JSON, ids, seeded hashes and row-order independent digests."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

_CHUNK_BYTES = 1 << 22


_PLAIN = frozenset({str, int, bool, type(None)})


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no blanks; raises TypeError for what has no one spelling (NaN, sets, objects)."""
    _check(value, "value")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _check(value: Any, path: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{path}: key {key!r} is not text, so it has no canonical JSON")
            if type(item) not in _PLAIN:  # most are: no call, no path
                _check(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            if type(item) not in _PLAIN:
                _check(item, f"{path}.{index}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"{path}: {value} has no canonical JSON")
    elif not isinstance(value, (str, int, float, bool, type(None))):
        raise TypeError(f"{path}: {type(value).__name__} has no canonical JSON")


def content_id(*parts: Any) -> str:
    """32 hex digits that name JSON-ready parts: equal parts, equal id."""
    return hashlib.blake2b(canonical_json(list(parts)).encode(), digest_size=16).hexdigest()


def stable_hash(*parts: Any) -> int:
    """A 64-bit unsigned hash of JSON-ready parts: the one source of every seeded choice."""
    return int.from_bytes(hashlib.blake2b(canonical_json(list(parts)).encode(), digest_size=8).digest(), "big")


def digest_file(path: str | Path) -> str:
    """SHA-256 (hex) of the bytes of a file: a local path or an fsspec URL, which is read without a copy."""
    sha = hashlib.sha256()
    with fsspec.open(str(path), "rb") if "://" in str(path) else open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            sha.update(chunk)
    return sha.hexdigest()


def digest_table(paths: Iterable[str | Path]) -> str:
    """Digest (hex) of the rows of parquet files: independent of row order, file count and compression.

    Rows are hashed one by one and summed modulo 2^128, so equal multisets of rows, and only they, agree.
    """
    total, count = 0, 0
    schema = ""
    for path in sorted(map(str, paths)):
        with pq.ParquetFile(path) as parquet:
            schema = schema or str(parquet.schema_arrow.remove_metadata())
            for batch in parquet.iter_batches(batch_size=256):
                for row in pa.Table.from_batches([batch]).to_pylist():
                    packed = json.dumps(row, sort_keys=True, separators=(",", ":"), default=_unusual).encode()
                    total += int.from_bytes(hashlib.blake2b(packed, digest_size=16).digest(), "big")
                    count += 1
    return content_id(schema, count, f"{total % (1 << 128):032x}")


def _unusual(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def digest_directory(directory: Path) -> tuple[str, dict[str, str]]:
    """Digest of a directory's content, and of each part of it by relative name.

    All parquet files of one folder are one part (digested by rows); every other file is a part (digested by bytes).
    Hidden files are locks and what a killed process has left, never content.
    """
    parts: dict[str, str] = {}
    tables: dict[str, list[Path]] = {}
    for path in sorted(p for p in directory.rglob("*") if p.is_file() and not p.name.startswith(".")):
        relative = path.relative_to(directory)
        if path.suffix == ".parquet":
            # part-00000.parquet ... are shards of one table; a table of another stem is its own part
            stem = "part-*" if path.stem.startswith("part-") else path.stem
            tables.setdefault((relative.parent / f"{stem}.parquet").as_posix(), []).append(path)
        else:
            parts[relative.as_posix()] = digest_file(path)
    parts.update({name: digest_table(paths) for name, paths in tables.items()})
    return content_id(sorted(parts.items())), dict(sorted(parts.items()))
