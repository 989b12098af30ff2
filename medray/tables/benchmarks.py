"""Benchmark files, adopted by path and field names, as the items that no training text may hold."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from medray.core.config import UserError
from medray.core.digests import remembered_digest
from medray.core.files import written_whole
from medray.core.identity import digest_file
from medray.core.workspace import Workspace
from medray.tables.adopted import AdoptedFile, FilePlacement
from medray.tables.formats import sound_rows
from medray.text.contamination import ContaminationIndex, Item

_KINDS = (".jsonl", ".json", ".parquet", ".csv")
_MAX_ITEM_BYTES = 10_000_000
_INDEX = "index.pickle"


class BenchmarkFile(AdoptedFile):
    """One file of a benchmark and which of its fields are the question."""

    text_field: str
    """The question without its options: text, or a list of tokens."""
    option_fields: tuple[str, ...] = ()
    """Each holds one option (text), several (list) or several by letter (object)."""


def resolve(file: BenchmarkFile) -> BenchmarkFile:
    """The file with its digest, where that is empty, taken from what lies there. Raises UserError if it is missing."""
    place = FilePlacement(path=str(Path(file.placement.path).absolute()))  # workers run in other directories
    return file.model_copy(update={"placement": place, "digest": file.digest or remembered_digest(_found(file))})


def read_items(file: BenchmarkFile) -> list[Item]:
    """All items of a benchmark file, in order of row.

    Raises UserError when the file is missing, not the one of the digest, torn, without rows, or has one row that cannot
    be used: an item that is silently left out would be certified as not found.
    """
    path, where = _found(file), _where(file)
    if file.digest and (found := digest_file(path)) != file.digest:
        raise UserError(f"{where}: digest is {found}, expected {file.digest}: get that version, or set the new digest")
    rows = sound_rows(path, where, _KINDS, _MAX_ITEM_BYTES)
    items = [_item(file, fields, number, f"{where}, row {number}") for number, fields in rows]
    if not items:
        raise UserError(f"{where}: no rows, expected at least one item: get the file again")
    return items


def write_index(index: ContaminationIndex, workspace: Workspace) -> None:
    """Keep an index of items in the stage's scratch, from where every worker takes it."""
    with written_whole(workspace.scratch / _INDEX) as path:
        path.write_bytes(pickle.dumps(index, protocol=pickle.HIGHEST_PROTOCOL))


def read_index(workspace: Workspace) -> ContaminationIndex:
    """What `write_index` has kept."""
    workspace.fetch(f"scratch/{_INDEX}")
    return pickle.loads((workspace.scratch / _INDEX).read_bytes())


def _where(file: BenchmarkFile) -> str:
    return f"benchmark {file.name}, {file.placement.path}"


def _found(file: BenchmarkFile) -> Path:
    path = Path(file.placement.path)
    if not path.is_file():
        raise UserError(
            f"{_where(file)}: no such file, expected the benchmark to decontaminate against: correct the path"
        )
    return path


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
