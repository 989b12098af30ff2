"""Rows of files, read in the workers: each is good, bad with its reason, or left out by its source's own rules.

Files are any fsspec URL. A reader runs inside a shard of `run_shards`: rows never pass through the driver.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import fsspec

from medray.tables.streams import TORN, is_readable, open_streams

_EXCERPT = 300


class Row(NamedTuple):
    """One row of a file: its number from 1 (0: the file itself) and its fields; bad or left out if a reason says so."""

    number: int
    fields: dict[str, Any] | None
    reason: str = ""
    """Why the row is bad: it goes to quarantine."""
    excerpt: str = ""
    left_out: str = ""
    """Why a sound row is not wanted (`other_set`, `marked_as_error`): it is counted as dropped."""

    @property
    def is_good(self) -> bool:
        """Whether the row is neither bad nor left out."""
        return not (self.reason or self.left_out)


class Reader(NamedTuple):
    """How files of one format become rows."""

    read: Callable[[BinaryIO, str], Iterator[Row]]
    """(stream, name of the file or archive member) -> rows numbered from 1. What the stream raises passes through."""
    kinds: tuple[str, ...]
    """Suffixes of the files, without compression; the members of an archive are chosen by them too."""


class Piece(NamedTuple):
    """A share of a file: the rows whose position leaves `stripe` on division by `num_stripes`."""

    path: str
    stripe: int = 0
    num_stripes: int = 1


def list_files(url: str, kinds: tuple[str, ...]) -> list[str]:
    """The files of these kinds, and archives, below a directory in name order, or the one file; [] for none."""
    fs, path = fsspec.core.url_to_fs(url)
    found = [path] if fs.isfile(path) else sorted(fs.find(path))
    return [fs.unstrip_protocol(p) if "://" in url else p for p in found if is_readable(p, kinds)]


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


def read_piece(piece: Piece, reader: Reader) -> Iterator[Row]:
    """The rows of a piece in order, good, bad and left out: their number is what a stage must account for.

    Of rows with one id the first stays and the others are bad, for which the hash of every id in the file is held (70
    bytes each). A file without rows and a torn one give one bad row more, for what they do not hold. Raises UserError
    when the file is missing, or is of another format from its first byte.
    """
    for position, row in enumerate(_rows(piece.path, reader)):
        if position % piece.num_stripes == piece.stripe:
            yield row


def _rows(path: str, reader: Reader) -> Iterator[Row]:
    number = 0
    seen: set[int] = set()
    try:
        for name, stream in open_streams(path, reader.kinds):
            before, member = number, "" if name == path else f"{name}: "
            for row in reader.read(stream, name):
                number = before + row.number
                row = _checked(row._replace(number=number), seen)
                yield row._replace(reason=member + row.reason) if row.reason else row
            if member and number == before:
                number += 1
                yield Row(number, None, f"{member}no row in it")
    except TORN as error:  # what came before it is good
        yield Row(number + 1, None, f"the file is torn ({str(error) or type(error).__name__})")
        return
    if not number:
        yield Row(0, None, "no row in the file")


def _checked(row: Row, seen: set[int]) -> Row:
    """The row, bad when its text cannot be used or its id stood in the file before."""
    if row.fields is None:
        return row
    if problem := text_problem(row.fields):
        return row._replace(reason=problem)
    id = row.fields.get("id")
    if isinstance(id, (str, int)):
        if hash(id) in seen:
            return row._replace(reason=f"id {id} stood in the file before")
        seen.add(hash(id))
    return row


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
    found = row.excerpt or ("" if row.fields is None else shown(row.fields))
    return {"where": f"{PurePosixPath(path).name}:{row.number}", "reason": reason or row.reason, "row": found}


def shown(fields: dict[str, Any]) -> str:
    """The start of a row's fields as JSON."""
    return json.dumps(fields, default=str)[:_EXCERPT]


def excerpt(raw: bytes) -> str:
    """The start of a row that cannot be shown otherwise."""
    return raw[:_EXCERPT].decode(errors="backslashreplace")
