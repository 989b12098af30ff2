"""Schemas of the tables that stages exchange, and their reading and writing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medray.core.config import UserError
from medray.core.files import written_whole

_GROUP_ROWS = 1024
_GROUP_BYTES = 1 << 25
_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_PARTS = pa.list_(pa.struct([("kind", pa.string()), ("start", pa.int32()), ("stop", pa.int32())]))


def _schema(**fields: Any) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields.items()])


DOCUMENT = _schema(
    id=pa.string(), source=pa.string(), text=pa.string(), category=pa.string(), group=pa.string(),
    licence=pa.string(), access=pa.string(), synthetic=pa.bool_(), split=pa.string(), parts=_PARTS,
)  # fmt: skip
"""category: medical | clinical | general; parts: character spans of text by kind.

group: what belongs together on one side of any split: an ontology id, an article ("pmid:1"), a patient; or "".
"""

PROVENANCE = _schema(
    date=pa.string(), language=pa.string(), document_types=pa.list_(pa.string()), standing=pa.string(),
)  # fmt: skip
"""What a source states of a document beside DOCUMENT's fields, empty where it does not.

date: YYYY, YYYY-MM or YYYY-MM-DD; language: as stated, of papers ISO 639-1, else as `clean` identified it;
document_types: publication types, the article's type, the kind of note; standing: retracted | withdrawn |
retraction_notice, "" for none of them.
"""

QUESTION = _schema(
    id=pa.string(), task=pa.string(), prompt=pa.string(), options=pa.list_(pa.string()), gold=pa.int32(),
    group=pa.string(), split=pa.string(),
)  # fmt: skip
"""prompt is the question without its options; gold indexes options; split: train | dev | test."""

EXAMPLE = _schema(
    id=pa.string(), source=pa.string(), messages=_MESSAGES, group=pa.string(), licence=pa.string(), split=pa.string(),
)  # fmt: skip
"""One instruction with its answer: messages end with the assistant's."""

PROMPT = _schema(
    id=pa.string(), task=pa.string(), messages=_MESSAGES, options=pa.list_(pa.string()), gold=pa.int32(),
    reference=pa.string(), group=pa.string(), split=pa.string(),
)  # fmt: skip
"""A conversation to complete; options are empty and gold is -1 where the prompt is open; reference: a gold answer."""

COMPLETION = _schema(
    id=pa.string(), prompt_id=pa.string(), index=pa.int32(), text=pa.string(), token_ids=pa.list_(pa.int32()),
    prompt_token_ids=pa.list_(pa.int32()), finish_reason=pa.string(), seed=pa.int64(),
)  # fmt: skip
"""One sampled completion: index 0 to K-1 within its prompt; token ids as sampled, never re-tokenised."""

REWARD = _schema(
    completion_id=pa.string(), prompt_id=pa.string(), index=pa.int32(), reward=pa.float64(), correct=pa.int8(),
    num_tokens=pa.int32(),
)  # fmt: skip
"""The reward model's value of one completion; correct: 1, 0, or -1 (open prompt or unparsed)."""

PAIR = _schema(
    id=pa.string(), prompt_id=pa.string(), source=pa.string(), messages=_MESSAGES, chosen=pa.string(),
    rejected=pa.string(), chosen_reward=pa.float64(), rejected_reward=pa.float64(), split=pa.string(),
    task=pa.string(),
)  # fmt: skip
"""Two completions of one prompt, the first preferred."""

LABELLED = _schema(
    id=pa.string(), prompt_id=pa.string(), source=pa.string(), messages=_MESSAGES, completion=pa.string(),
    desirable=pa.bool_(), split=pa.string(), task=pa.string(),
)  # fmt: skip
"""One completion of a prompt, desirable or not."""


def read_table(path: str | Path, schema: pa.Schema) -> pa.Table:
    """A parquet file, or all parquet files of a directory in name order, with exactly the schema's columns.

    Raises UserError when there is no such table, or a column is missing or of another type.
    """
    path = Path(path)
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].exists():
        raise UserError(f"{path}: no parquet table, expected one with columns {', '.join(schema.names)}: make it first")
    tables = []
    for file in files:
        table = pq.read_table(file, partitioning=None)
        missing = [name for name in schema.names if name not in table.column_names]
        if missing:
            raise UserError(f"{file}: columns {', '.join(missing)} are missing, found {', '.join(table.column_names)}")
        try:
            tables.append(table.select(schema.names).cast(schema))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError) as error:
            raise UserError(f"{file}: columns do not have the expected types ({error}): rewrite the table") from error
    return pa.concat_tables(tables)


def write_table(path: str | Path, rows: Sequence[dict[str, Any]] | pa.Table, schema: pa.Schema) -> None:
    """Write rows as one zstd parquet file, whole or not at all (temporary name, then rename).

    Raises AssertionError when a row lacks a field of the schema or has one too many.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(rows, pa.Table):
        names = set(schema.names)
        for row in rows:
            assert set(row) == names, f"{path}: row has fields {sorted(row)}, expected {sorted(names)}"
        rows = pa.Table.from_pylist(list(rows), schema=schema)
    with written_whole(path) as partial:
        pq.write_table(rows.cast(schema), partial, compression="zstd")


class TableWriter:
    """A parquet table written as its rows come: whole or not at all (temporary name, then rename when the block ends).

    Memory: one row group, of about 1,024 rows and at most 32 MB more than one row or table of them.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = path.with_name(f".{path.name}.{os.getpid()}")
        self._writer = pq.ParquetWriter(self._partial, schema, compression="zstd")
        self._tables: list[pa.Table] = []
        self._rows: list[dict[str, Any]] = []
        self._num_rows = self._num_bytes = 0

    def __enter__(self) -> TableWriter:
        return self

    def add(self, row: dict[str, Any]) -> None:
        """Append one row, which has the fields of the schema."""
        assert row.keys() == set(self._schema.names), f"{self._path}: row has fields {sorted(row)}"
        self._rows.append(row)
        self._grow(1, sum(len(value) for value in row.values() if isinstance(value, str)))

    def write(self, table: pa.Table) -> None:
        """Append a table, which has the fields of the schema."""
        self._gather()
        self._tables.append(table.select(self._schema.names).cast(self._schema))
        self._grow(len(table), table.nbytes)

    def _grow(self, num_rows: int, num_bytes: int) -> None:
        self._num_rows, self._num_bytes = self._num_rows + num_rows, self._num_bytes + num_bytes
        if self._num_rows >= _GROUP_ROWS or self._num_bytes >= _GROUP_BYTES:
            self._flush()

    def _gather(self) -> None:
        if self._rows:
            self._tables.append(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def _flush(self) -> None:
        self._gather()
        if self._num_rows:
            self._writer.write_table(pa.concat_tables(self._tables), row_group_size=self._num_rows)
        self._tables, self._num_rows, self._num_bytes = [], 0, 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        self._writer.close()
        if error is None:
            self._partial.rename(self._path)
        else:
            self._partial.unlink()
