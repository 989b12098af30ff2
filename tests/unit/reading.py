"""What the tests of the readers share: rows of bytes under a file name, and files, read as a stage reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medray.core.workspace import Workspace
from medray.corpus.readers.formats import reader_of
from medray.corpus.readers.rules import ReadRules
from medray.tables import gathered
from medray.tables.adopted import FilePlacement
from medray.tables.benchmarks import BenchmarkFile
from medray.tables.gathered import GatherConfig, Kind
from medray.tables.rows import Piece, Row, read_piece
from medray.tables.shards import Shard
from medray.text.contamination import ContaminationRules

CLEAN = {"benchmarks": (), "rules": None}
"""No benchmark is looked for."""


def rows_of(directory: Path, name: str, content: bytes, format: str, **rules) -> list[Row]:
    """All rows of one file of the format."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return list(read_piece(Piece(str(path)), reader_of(format, ReadRules(**rules))))


def good(rows: list[Row]) -> list[dict]:
    """Fields of the good rows."""
    return [row.fields for row in rows if row.is_good]


def bad(rows: list[Row]) -> list[tuple[int, str]]:
    """(number, reason) of the bad rows."""
    return [(row.number, row.reason) for row in rows if row.reason]


def left_out(rows: list[Row]) -> list[tuple[int, str]]:
    """(number, word) of the rows that the source's rules leave out."""
    return [(row.number, row.left_out) for row in rows if row.left_out]


def judged_by(path: Path) -> dict[str, Any]:
    """Fields of a config that looks for the items of one benchmark, each with id and question."""
    place = FilePlacement(path=str(path))
    file = BenchmarkFile(
        name="exam", licence="MIT", access="public", id_field="id", text_field="question", placement=place
    )
    return {
        "benchmarks": (file,),
        "rules": ContaminationRules(ngram=13, min_alone_words=8, min_aligned_fraction=0.6),
    }


def gathered_here(config: GatherConfig, kind: Kind, workspace: Workspace) -> dict[str, dict[str, int]]:
    """What `gather` does and returns, without Ray."""
    if config.rules:
        gathered.build_index(Shard("index"), config=config, workspace=workspace)
    return {
        file.name: gathered.read(
            Shard(f"read-{file.name}", {"file": file}), config=config, kind=kind, workspace=workspace
        )
        for file in config.files
    }
