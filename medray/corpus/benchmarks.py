"""Benchmark files, adopted by path and field names, as the items that no training text may hold."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from medray.core.access import Access
from medray.core.config import Config, Placement, UserError
from medray.core.identity import digest_file
from medray.tables.rows import Piece, read_piece
from medray.text.contamination import Item

_KINDS = (".jsonl", ".parquet", ".csv")
_UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, pa.ArrowInvalid)


class BenchmarkPlacement(Placement):
    """Where the file lies: jsonl(.zst/.gz), parquet or csv(.gz)."""

    path: str


class BenchmarkFile(Config):
    """One file of a benchmark and which of its fields are the question."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    digest: str = ""
    """SHA-256 of the file; empty: whatever lies there."""
    licence: str
    access: Access
    id_field: str = ""
    """Empty: items are numbered by row, from 1."""
    text_field: str
    """The question without its options: text, or a list of tokens."""
    option_fields: tuple[str, ...] = ()
    """Each holds one option (text), several (list) or several by letter (object)."""
    placement: BenchmarkPlacement


def read_items(file: BenchmarkFile) -> list[Item]:
    """All items of a benchmark file, in order of row.

    Raises UserError when the file is missing, not the one of the digest, torn, without rows, or has one row that cannot
    be used: an item that is silently left out would be certified as not found.
    """
    path = Path(file.placement.path)
    where = f"benchmark {file.name}, {path}"
    if not path.is_file():
        raise UserError(f"{where}: no such file, expected the benchmark to decontaminate against: correct the path")
    if file.digest and (found := digest_file(path)) != file.digest:
        raise UserError(f"{where}: digest is {found}, expected {file.digest}: get that version, or set the new digest")
    items: list[Item] = []
    try:
        for number, fields in _rows(path, where):
            items.append(_item(file, fields, number, f"{where}, row {number}"))
    except _UNREADABLE as error:
        raise UserError(f"{where}: cannot be read ({str(error).splitlines()[0]}): get the file again") from error
    if not items:
        raise UserError(f"{where}: no rows, expected at least one item: get the file again")
    return items


def _rows(path: Path, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix in _KINDS), "")
    if kind == ".jsonl":
        for row in read_piece(Piece(str(path))):
            if row.fields is None:
                raise UserError(f"{where}, row {row.number}: {row.reason}, expected an object: mend the file")
            yield row.number, row.fields
    elif kind == ".parquet":
        yield from enumerate((row for batch in pq.ParquetFile(path).iter_batches() for row in batch.to_pylist()), 1)
    elif kind == ".csv":
        with fsspec.open(path, "rt", compression="infer", newline="", encoding="utf-8-sig") as stream:
            for number, fields in enumerate(csv.DictReader(stream, strict=True), 1):
                if None in fields:  # where DictReader puts cells without a column
                    raise UserError(f"{where}, row {number}: more cells than columns, expected as many: mend the file")
                yield number, fields
    else:
        raise UserError(f"{where}: unknown kind of file, expected one of {', '.join(_KINDS)}: convert it")


def _item(file: BenchmarkFile, fields: dict[str, Any], number: int, where: str) -> Item:
    for name in (file.text_field, *file.option_fields, *([file.id_field] if file.id_field else [])):
        if name not in fields:
            raise UserError(f"{where}: no field {name!r}, found {', '.join(map(str, fields))}: correct the field names")
    text = fields[file.text_field]
    if isinstance(text, list):
        text = " ".join(map(str, text))
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{where}: {file.text_field} is {text!r}, expected text: mend the file")
    options = [option for name in file.option_fields for option in _options(fields[name])]
    return Item(file.name, str(fields[file.id_field] if file.id_field else number), text, tuple(options))


def _options(value: Any) -> list[str]:
    values = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]
    return [str(option) for option in values if option not in (None, "")]
