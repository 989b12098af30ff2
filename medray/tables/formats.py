"""Rows of the plain file formats: JSON lines, CSV, parquet, text. Each reader has one signature and holds one row.

`(stream, name, max_bytes) -> rows`: a row of more than `max_bytes` is bad, its size the reason, and all but parquet
never hold it. (A JSON array is held whole.)
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from medray.core.config import UserError
from medray.tables.rows import Row, excerpt, shown
from medray.tables.streams import TORN, kind_of, lines, open_streams, stored_suffixes

Fields = dict[str, Any]

TABLE_KINDS = (".jsonl", ".json", ".parquet", ".csv", ".txt")
"""Files that `table_rows` can read."""

_PARQUET_ROWS = 256
_CHUNK = 1 << 16
_EXCERPT = 300


class BadRow(ValueError):
    """A row that cannot be what its format says; the message is the reason of its quarantine."""


class LeftOut(ValueError):
    """A sound row that the source's own rules leave out; the message is the word it is counted under."""


def made(number: int, make: Callable[[], Fields], raw: bytes = b"") -> Row:
    """The row whose fields `make` returns, out of `raw`; bad or left out as it raises BadRow or LeftOut."""
    try:
        return Row(number, make())
    except BadRow as error:
        return Row(number, None, str(error), excerpt(raw))
    except LeftOut as error:
        return Row(number, None, left_out=str(error))


def mapped(rows: Iterator[Row], make: Callable[[Fields], Fields]) -> Iterator[Row]:
    """The rows with `make` applied to the fields of the good ones."""
    for row in rows:
        new = made(row.number, partial(make, row.fields)) if row.is_good else row
        yield new._replace(excerpt=shown(row.fields)) if new.reason and row.is_good else new


def too_long(size: int, max_bytes: int) -> str:
    """Why a row of this size is bad."""
    return f"{size:,} bytes, expected at most {max_bytes:,}"


def decoded(raw: bytes, encoding: str = "utf-8") -> str:
    """The text of bytes. Raises BadRow naming the first byte that is not in the encoding."""
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadRow(f"not {encoding.upper()} at byte {error.start}") from error
    except LookupError as error:
        raise BadRow(f"encoding {encoding!r} is unknown") from error


def json_lines(stream: BinaryIO, name: str, max_bytes: int) -> Iterator[Row]:
    """One object per line; numbers are those of the lines, of which blank ones are no rows."""
    for number, line in enumerate(lines(stream, max_bytes), 1):
        if isinstance(line, int):
            yield Row(number, None, too_long(line, max_bytes))
        elif line.strip():
            yield made(number, partial(_json_object, line), line)


def json_file(stream: BinaryIO, name: str, max_bytes: int) -> Iterator[Row]:
    """The objects of one JSON array, numbered from 1; a file that does not start as one is read as JSON lines.

    Memory: the whole array. Raises UserError when the file starts as an array and is none.
    """
    start = b""
    while not start.strip() and (piece := stream.read(_CHUNK)):
        start += piece.removeprefix(codecs.BOM_UTF8) if not start else piece
    if not start.lstrip().startswith(b"["):
        yield from json_lines(io.BufferedReader(_Resumed(start, stream)), name, max_bytes)
        return
    try:
        items = json.loads(start + stream.read())
    except ValueError as error:
        raise UserError(f"{name}: starts as a JSON array and is none ({error}): get the file again") from error
    for number, fields in enumerate(items, 1):
        if isinstance(fields, dict):
            yield Row(number, fields)
        else:
            yield Row(number, None, f"not an object but {type(fields).__name__}", str(fields)[:_EXCERPT])


class _Resumed(io.RawIOBase):
    """A stream whose start has been read already."""

    def __init__(self, start: bytes, stream: BinaryIO) -> None:
        self._start, self._stream = io.BytesIO(start), stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._start.read(len(buffer)) or self._stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def _json_object(line: bytes) -> Fields:
    try:
        fields = json.loads(decoded(line))
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadRow(f"not JSON ({getattr(error, 'msg', 'nested too deep')})") from error
    if not isinstance(fields, dict):
        raise BadRow(f"not an object but {type(fields).__name__}")
    return fields


def csv_rows(stream: BinaryIO, name: str, max_bytes: int, columns: tuple[str, ...] = ("text",)) -> Iterator[Row]:
    """Records below a header, as RFC 4180 writes them: quoted fields may hold newlines; every field is text.

    Numbers count records, the header not. Raises UserError when the header lacks one of the columns.
    """
    csv.field_size_limit(max(csv.field_size_limit(), max_bytes))  # Python's own is 128 KiB; `lines` is the bound
    records = lines(stream, max_bytes, quoted=True)
    header = _csv_header(name, next(records, b""), columns)
    for number, record in enumerate(records, 1):
        if isinstance(record, int):
            yield Row(number, None, too_long(record, max_bytes))
        elif record.strip():
            yield made(number, partial(_csv_record, record, header), record)


def _csv_header(name: str, record: bytes | int, columns: tuple[str, ...]) -> list[str]:
    try:
        header = _csv_fields(b"" if isinstance(record, int) else record)
    except BadRow as error:
        raise UserError(f"{name}: the header is {error}: is it the right file?") from error
    missing = [column for column in columns if column not in header]
    if header and missing:
        raise UserError(f"{name}: no column {', '.join(missing)}, found {', '.join(header)}: is it the right file?")
    return header


def _csv_fields(record: bytes) -> list[str]:
    try:
        return next(csv.reader([decoded(record)], strict=True), [])
    except csv.Error as error:
        raise BadRow(f"not CSV ({error})") from error


def _csv_record(record: bytes, header: list[str]) -> Fields:
    fields = _csv_fields(record)
    if len(fields) != len(header):
        raise BadRow(f"{len(fields)} columns, expected {len(header)}")
    return dict(zip(header, fields, strict=True))


def parquet_rows(stream: BinaryIO, name: str, max_bytes: int, columns: tuple[str, ...] = ("text",)) -> Iterator[Row]:
    """Rows of a parquet file. Raises UserError when it is no parquet, or lacks one of the columns.

    Memory: the column chunks of one row group.
    """
    try:
        parquet = pq.ParquetFile(stream)
    except pa.ArrowInvalid as error:
        raise UserError(f"{name}: not parquet ({str(error).splitlines()[0]}): write the file again") from error
    names = parquet.schema_arrow.names
    if missing := [column for column in columns if column not in names]:
        raise UserError(
            f"{name}: no column {', '.join(missing)}, found {', '.join(names)}: name the column with the text"
        )
    number = 0
    try:
        for batch in parquet.iter_batches(batch_size=_PARQUET_ROWS):
            for fields in batch.to_pylist():
                number += 1
                size = max((len(value) for value in fields.values() if isinstance(value, str)), default=0)
                yield Row(number, None, too_long(size, max_bytes)) if size > max_bytes else Row(number, fields)
    except UnicodeDecodeError as error:  # the batch cannot be read beyond
        raise OSError(f"a string is not UTF-8 at byte {error.start}") from error


def whole_text(stream: BinaryIO, name: str, max_bytes: int) -> Iterator[Row]:
    """A file as one row, whose id is the file's name without suffixes."""
    raw = stream.read(max_bytes + 1)
    if len(raw) > max_bytes:
        size = len(raw) + sum(map(len, iter(partial(stream.read, _CHUNK), b"")))
        yield Row(1, None, too_long(size, max_bytes))
    elif raw:
        id = PurePosixPath(name).name.removesuffix(stored_suffixes(name, (".txt",)))
        yield made(1, lambda: {"id": id, "text": decoded(raw)}, raw)


def table_rows(stream: BinaryIO, name: str, max_bytes: int, columns: tuple[str, ...] = ("text",)) -> Iterator[Row]:
    """Rows of a file in the format that its name says (TABLE_KINDS); the columns are required where there are any."""
    match kind_of(name):
        case ".csv":
            return csv_rows(stream, name, max_bytes, columns)
        case ".parquet":
            return parquet_rows(stream, name, max_bytes, columns)
        case ".txt":
            return whole_text(stream, name, max_bytes)
        case ".json":
            return json_file(stream, name, max_bytes)
        case _:
            return json_lines(stream, name, max_bytes)


def sound_rows(path: Path, where: str, kinds: tuple[str, ...], max_bytes: int) -> Iterator[tuple[int, Fields]]:
    """Number and fields of every row of a file of which no row may be left out.

    Raises UserError, which says `where`, for a missing or torn file, another kind than those of `kinds`, a bad row.
    """
    if not path.is_file():
        raise UserError(f"{where}: no such file, expected rows in {', '.join(kinds)}: correct the path")
    if kind_of(path.name) not in kinds:
        raise UserError(f"{where}: unknown kind of file, expected one of {', '.join(kinds)}: convert it")
    try:
        for _, stream in open_streams(str(path), kinds):
            for row in table_rows(stream, where, max_bytes, columns=()):
                if row.fields is None:
                    raise UserError(f"{where}, row {row.number}: {row.reason}, expected an object: mend the file")
                yield row.number, row.fields
    except (*TORN, pa.ArrowInvalid) as error:
        raise UserError(f"{where}: cannot be read ({str(error).splitlines()[0]}): get the file again") from error
