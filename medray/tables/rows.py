"""Rows of jsonl(.zst/.gz), parquet and txt files, read in the workers; a bad row comes back with its reason.

Files are any fsspec URL. A reader runs inside a shard of `run_shards`: rows never pass through the driver.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from medray.core.config import UserError

_COMPRESSIONS = {".zst": "zstd", ".gz": "gzip"}
_KINDS = (".jsonl", ".parquet", ".txt")
_EXCERPT = 300


class Row(NamedTuple):
    """One row of a file: its number from 1 (0: the file itself), and either fields or the reason why it is bad."""

    number: int
    fields: dict[str, Any] | None
    reason: str = ""
    excerpt: str = ""


class Piece(NamedTuple):
    """A share of a file: the rows whose position leaves `stripe` on division by `num_stripes`."""

    path: str
    stripe: int = 0
    num_stripes: int = 1


def list_files(path: str | Path) -> list[str]:
    """The table files of a directory in name order, or the one file. Raises UserError when there is none."""
    path = Path(path)
    found = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    files = [str(p) for p in found if p.exists() and _kind(str(p)) and not p.name.startswith(".")]
    if not files:
        raise UserError(f"{path}: no table, expected {', '.join(_KINDS)} (also .zst, .gz): correct the path")
    return files


def split_files(files: list[str], num_shards: int) -> list[list[Piece]]:
    """`num_shards` lists of pieces that together hold every row of the files once; lists without a piece are left out.

    With fewer files than shards each file is striped: every shard reads the file and keeps its own rows.
    """
    num_stripes = -(-num_shards // len(files))
    pieces = [Piece(file, stripe, num_stripes) for stripe in range(num_stripes) for file in files]
    shards: list[list[Piece]] = [[] for _ in range(num_shards)]
    for index, piece in enumerate(pieces):
        shards[index % num_shards].append(piece)
    return [shard for shard in shards if shard]


def read_piece(piece: Piece) -> Iterator[Row]:
    """The rows of a piece in order, good and bad ones: their number is what `read_piece` must account for.

    A torn compressed file ends with one bad row. Raises UserError when the file is missing or is no parquet at all.
    """
    for position, row in enumerate(_read(piece.path)):
        if position % piece.num_stripes == piece.stripe:
            yield row


def _kind(path: str) -> str:
    suffixes = [s for s in Path(path).suffixes if s not in _COMPRESSIONS]
    return suffixes[-1] if suffixes and suffixes[-1] in _KINDS else ""


def _read(path: str) -> Iterator[Row]:
    readers = {".jsonl": _json_lines, ".txt": _whole_text, ".parquet": _parquet}
    try:
        with fsspec.open(path, "rb") as stream:
            yield from readers[_kind(path)](path, stream)
    except FileNotFoundError as error:
        raise UserError(f"{path}: vanished before it was read: put it back and run again") from error


def _decompressed(path: str, stream: BinaryIO) -> BinaryIO:
    codec = _COMPRESSIONS.get(Path(path).suffix)
    return pa.CompressedInputStream(pa.PythonFile(stream), codec) if codec else stream


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(1 << 20):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _json_lines(path: str, stream: BinaryIO) -> Iterator[Row]:
    number = 0
    try:
        for number, line in enumerate(_lines(_decompressed(path, stream)), 1):
            if line.strip():
                yield _json_row(number, line)
    except OSError as error:  # torn zstd or gzip: what came before it is good
        yield Row(number + 1, None, f"the file is torn ({error})")


def _json_row(number: int, line: bytes) -> Row:
    try:
        fields = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return Row(number, None, f"not UTF-8 at byte {error.start}", _excerpt(line))
    except (json.JSONDecodeError, RecursionError) as error:
        return Row(number, None, f"not JSON ({getattr(error, 'msg', 'nested too deep')})", _excerpt(line))
    if not isinstance(fields, dict):
        return Row(number, None, f"not an object but {type(fields).__name__}", _excerpt(line))
    return Row(number, fields)


def _whole_text(path: str, stream: BinaryIO) -> Iterator[Row]:
    try:
        raw = _decompressed(path, stream).read()
        yield Row(1, {"id": Path(path).stem, "text": raw.decode()})
    except UnicodeDecodeError as error:
        yield Row(1, None, f"not UTF-8 at byte {error.start}", _excerpt(raw))
    except OSError as error:
        yield Row(1, None, f"the file is torn ({error})")


def _parquet(path: str, stream: BinaryIO) -> Iterator[Row]:
    try:
        parquet = pq.ParquetFile(stream)
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: not parquet ({str(error).splitlines()[0]}): write the file again") from error
    if "text" not in parquet.schema_arrow.names:
        raise UserError(
            f"{path}: no column 'text', found {', '.join(parquet.schema_arrow.names)}: rename the column with the text"
        )
    number = 0
    try:
        for batch in parquet.iter_batches(batch_size=1024):
            for fields in batch.to_pylist():
                number += 1
                yield Row(number, fields)
    except (OSError, UnicodeDecodeError) as error:  # a column chunk that does not decompress or decode
        yield Row(number + 1, None, f"the file is torn ({str(error).splitlines()[0]})")


def text_problem(fields: dict[str, Any]) -> str:
    """Why a row's text cannot be used at all, or "": missing, not text, NUL characters, lone surrogates."""
    text = fields.get("text")
    if text is None or text == "":
        return "no text"
    if not isinstance(text, str):
        return f"text is {type(text).__name__}, expected a string"
    if "\x00" in text:
        return f"NUL character at {text.index(chr(0))}"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"lone surrogate at {error.start}"
    return ""


def quarantine_row(path: str, row: Row, reason: str = "") -> dict[str, str]:
    """The record that `workspace.quarantine` keeps of a bad row: where, reason, and the start of the row."""
    excerpt = row.excerpt or ("" if row.fields is None else json.dumps(row.fields, default=str)[:_EXCERPT])
    return {"where": f"{Path(path).name}:{row.number}", "reason": reason or row.reason, "row": excerpt}


def _excerpt(raw: bytes) -> str:
    return raw[:_EXCERPT].decode(errors="backslashreplace")
