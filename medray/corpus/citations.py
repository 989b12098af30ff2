"""How often articles are cited, for an evidence policy: tables adopted as sources of format `citations`.

A row per article, in csv, parquet or jsonl; `reading.columns` names the columns: {"pmid": "pmid", "citations":
"nih_percentile"} for NIH iCite, whose monthly snapshots hold every article of PubMed. Documents are joined by their
group, "pmid:1", which PubMed, JATS and the Pile state.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medray.core.config import UserError
from medray.corpus.sources import CITATIONS, SourceConfig, stated_sources
from medray.corpus.tokenise import read_mapped, write_mapped
from medray.tables.formats import TABLE_KINDS, table_rows
from medray.tables.rows import list_files
from medray.tables.shards import Shard
from medray.tables.streams import TORN, open_streams

_PREFIX = "pmid:"
_COLUMNS = {"pmid": "pmid", "citations": "citation_count"}


def write_citations(shard: Shard, *, sources: Path, path: Path) -> dict[str, Any]:
    """Write all citations in the content of a sources artifact, by growing PubMed id; facts: of how many articles.

    An article without a number is left out; of one that stands twice the larger number counts. Memory: 16 bytes an
    article, three times that while they are sorted. Raises UserError where there is no such source, or at a bad row.
    """
    pmids, numbers = array("q"), array("d")
    for source in stated_sources(sources):
        if source.format == CITATIONS:
            for file in list_files(str(sources / source.name), TABLE_KINDS):
                for pmid, number in _rows(file, source):
                    pmids.append(pmid)
                    numbers.append(number)
    if not pmids:
        raise UserError(
            f"corpus.evidence.citations: no citations among the sources, expected a table of format {CITATIONS}: "
            "add it to sources, or leave corpus.evidence.citations empty"
        )
    order = np.lexsort((numbers, pmids))
    table = pa.table({"pmid": np.asarray(pmids)[order], "citations": np.asarray(numbers)[order]})
    write_mapped(table, path)
    return {"articles": len(np.unique(table["pmid"].to_numpy()))}


def _rows(file: str, source: SourceConfig) -> Iterator[tuple[int, float]]:
    columns = {**_COLUMNS, **source.reading.columns}
    where = f"sources.{source.name}: {Path(file).name}"
    try:
        for name, stream in open_streams(file, TABLE_KINDS):
            wanted = (columns["pmid"], columns["citations"])
            for row in table_rows(stream, name, source.reading.max_document_bytes, wanted):
                if row.fields is None:
                    raise UserError(f"{where}:{row.number}: {row.reason}: mend the table")
                pmid, number = (row.fields.get(column) for column in wanted)
                if number is None or number == "":
                    continue
                try:
                    found = int(pmid), float(number)
                except (TypeError, ValueError) as error:
                    raise UserError(
                        f"{where}:{row.number}: {wanted[0]} is {pmid!r} and {wanted[1]} is {number!r}, expected "
                        "numbers: mend the table, or name other columns in reading.columns"
                    ) from error
                if not math.isnan(found[1]):  # what pandas writes for nothing
                    yield found
    except TORN as error:
        raise UserError(f"{where}: the file is torn ({error}): get it again") from error


def read_citations(path: Path, groups: list[str]) -> list[float | None]:
    """The citations of the article of each group in a table of `write_citations`; None: not known."""
    table = read_mapped(path)
    pmids, numbers = (table[name].chunk(0).to_numpy() for name in ("pmid", "citations"))
    names = [group.removeprefix(_PREFIX) if group.startswith(_PREFIX) else "" for group in groups]
    wanted = np.array([int(name) if name.isdecimal() and len(name) < 19 else -1 for name in names], np.int64)
    places = np.maximum(np.searchsorted(pmids, wanted, "right") - 1, 0)  # the last of equal ones: the largest number
    return [
        number if there else None
        for number, there in zip(numbers[places].tolist(), (pmids[places] == wanted).tolist(), strict=True)
    ]
