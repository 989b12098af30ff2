"""Published collections in JSON lines: The Pile, RedPajama, clinical guidelines; and tables of any other origin."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO

from medray.corpus.readers.rules import ReadRules
from medray.tables.formats import BadRow, LeftOut, json_lines, mapped, table_rows
from medray.tables.rows import Row


def read_pile(stream: BinaryIO, name: str, rules: ReadRules) -> Iterator[Row]:
    """Documents of the Pile's sets that the rules name; rows of others are left out (`other_set`).

    Fields: text, and id and group where the row has `meta.pmid`.
    Source: Gao et al. 2020; {"text", "meta": {"pile_set_name"}}.
    """
    return mapped(json_lines(stream, name, rules.max_document_bytes), partial(_of_pile, sets=rules.pile_sets))


def _of_pile(row: dict[str, Any], sets: tuple[str, ...]) -> dict[str, Any]:
    meta = _meta(row)
    if not isinstance(meta.get("pile_set_name"), str):
        raise BadRow("no meta.pile_set_name")
    if meta["pile_set_name"] not in sets:
        raise LeftOut("other_set")
    pmid = f"pmid:{meta['pmid']}" if meta.get("pmid") else ""
    return _stated(text=row.get("text"), id=pmid, group=pmid)


def read_redpajama(stream: BinaryIO, name: str, rules: ReadRules) -> Iterator[Row]:
    """Documents of RedPajama, version 1 (text, meta) or 2 (raw_content).

    Fields: text, and where stated id (arXiv's), date, language, licence (of code).
    Source: data cards of togethercomputer/RedPajama-Data-1T and -V2. Choices: URLs are no ids, they occur twice.
    """
    return mapped(json_lines(stream, name, rules.max_document_bytes), _of_redpajama)


def _of_redpajama(row: dict[str, Any]) -> dict[str, Any]:
    meta = {**row, **_meta(row)}
    arxiv = meta.get("arxiv_id")
    date = meta.get("timestamp") or meta.get("publication_date") or meta.get("date_download")
    return _stated(
        text=row.get("text", row.get("raw_content")),
        id=f"arxiv:{arxiv}" if arxiv else "",
        date=iso_date(str(date or "")),
        language=_if_text(meta.get("language")),  # of code it is a list of programming languages
        licence=_if_text(meta.get("license")),
    )


def read_guidelines(stream: BinaryIO, name: str, rules: ReadRules) -> Iterator[Row]:
    """Documents of clinical guidelines: title, unless the text begins with it, and cleaned text.

    Fields: id, text, document_types ("guideline"). Source: data card of epfl-llm/guidelines; {"id", "source", "title",
    "clean_text", "raw_text", "url", "overview"}.
    """
    return mapped(json_lines(stream, name, rules.max_document_bytes), _of_guidelines)


def _of_guidelines(row: dict[str, Any]) -> dict[str, Any]:
    text = row.get("clean_text") or row.get("raw_text") or row.get("text")
    title = " ".join(_if_text(row.get("title")).split())
    if title and isinstance(text, str) and not _folded(text).startswith(_folded(title)):
        text = f"{title}\n\n{text}"
    id = row.get("id")
    return _stated(text=text, id=f"guideline:{id}" if id else "", document_types=["guideline"])


def read_table(stream: BinaryIO, name: str, rules: ReadRules) -> Iterator[Row]:
    """Rows of a jsonl, csv, parquet or text file as they are, with the columns that the rules name renamed.

    Raises UserError when csv or parquet lacks the column with the text, or one that the rules name.
    """
    columns = {"text": "text", **rules.columns}
    rows = table_rows(stream, name, rules.max_document_bytes, tuple(columns.values()))
    return mapped(rows, partial(_renamed, columns=rules.columns)) if rules.columns else rows


def _renamed(row: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    taken = {field: row.get(column) for field, column in columns.items()}
    return {name: value for name, value in row.items() if name not in columns.values()} | taken


def _meta(row: dict[str, Any]) -> dict[str, Any]:
    """The row's meta, which RedPajama's sample writes as a string."""
    meta = row.get("meta") or {}
    if isinstance(meta, str):
        try:
            meta = ast.literal_eval(meta)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise BadRow("meta is no object") from error
    if not isinstance(meta, dict):
        raise BadRow("meta is no object")
    return meta


def iso_date(text: str) -> str:
    """YYYY, YYYY-MM or YYYY-MM-DD at the start of a date, with dashes or without; "" for anything else."""
    found = re.match(r"(\d{4})(?:-?(0[1-9]|1[0-2])(?:-?(0[1-9]|[12]\d|3[01]))?)?(?!\d)", text)
    return "-".join(filter(None, found.groups())) if found else ""


def _stated(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _if_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _folded(text: str) -> str:
    return "".join(filter(str.isalnum, text[:2000])).casefold()
