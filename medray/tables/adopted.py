"""Files of rows that a user brings: stated by name, licence and digest, read row by row in the workers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field

from medray.core.access import Access
from medray.core.config import Config, Placement, UserError
from medray.core.digests import remembered_digest
from medray.core.identity import digest_file
from medray.tables.formats import BadRow, Fields, mapped, table_rows
from medray.tables.rows import Piece, Reader, Row, list_files, read_piece

_KINDS = (".jsonl", ".json", ".parquet", ".csv")
_MAX_ROW_BYTES = 10_000_000


class FilePlacement(Placement):
    """Where a file, or a directory of files, lies: jsonl, json, csv (each may be .zst .gz .bz2), parquet; any URL."""

    path: str


class AdoptedFile(Config):
    """One file, or directory of files, of rows."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    digest: str = ""
    """SHA-256 of the file (of the list of the directory's); empty: whatever lies there."""
    licence: str
    access: Access
    id_field: str = ""
    """Empty: rows are numbered, from 1."""
    placement: FilePlacement


F = TypeVar("F", bound=AdoptedFile)


def resolve(file: F, stage: str) -> F:
    """The file with an empty digest taken from what lies there. Raises UserError, which names the stage, if nothing."""
    path = file.placement.path
    place = FilePlacement(path=path if "://" in path else str(Path(path).absolute()))  # workers run elsewhere
    found = file.model_copy(update={"placement": place})
    return found.model_copy(update={"digest": file.digest or _digest(found, stage, remembered_digest)})


def read_rows(file: AdoptedFile, stage: str, make: Callable[[Fields], Fields]) -> Iterator[tuple[str, str, Row]]:
    """(path, `file/row` number, row) of every row, its fields what `make` returns: `text`, and `id` where stated.

    make raises BadRow or LeftOut. Raises UserError for files that are missing, or not those of the digest.
    """
    if file.digest and (found := _digest(file, stage, digest_file)) != file.digest:
        raise UserError(
            f"{stage}.{file.name}: digest is {found}, expected {file.digest}: get that version, or set the new one"
        )

    def read(stream: Any, name: str) -> Iterator[Row]:
        return mapped(table_rows(stream, name, _MAX_ROW_BYTES, columns=()), partial(_identified, file, make))

    for number, path in enumerate(_files(file, stage)):
        for row in read_piece(Piece(path), Reader(read, _KINDS)):
            yield path, f"{number}/{row.number}", row


def _identified(file: AdoptedFile, make: Callable[[Fields], Fields], fields: Fields) -> Fields:
    made = make(fields)
    if not file.id_field:
        return made
    if fields.get(file.id_field) in (None, ""):
        raise BadRow(f"no field {file.id_field!r}, expected its id")
    return made | {"id": str(fields[file.id_field])}


def _files(file: AdoptedFile, stage: str) -> list[str]:
    path = file.placement.path
    found = list_files(path, _KINDS)
    if not found:
        raise UserError(
            f"{stage}.{file.name}: nothing at {path}, expected one of {', '.join(_KINDS)} or a directory of them: "
            "correct the path, or files.directory, where relative paths start"
        )
    return found


def _digest(file: AdoptedFile, stage: str, digest: Callable[[str], str]) -> str:
    digests = [digest(path) for path in _files(file, stage)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
