"""Faults for the tests of the corpus: processes that die inside a shard, and files that are bad in every way."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from medray.core import stage
from medray.core.schema import TableWriter
from medray.core.stage import Stage
from medray.core.workspace import Root, Workspace
from medray.corpus import sources
from medray.corpus.readers.rules import ReadRules
from medray.corpus.sources import SourceConfig, SourceLocation, SourcesConfig, SourcesPlacement
from medray.session import SessionPlacement, ray_session
from tests.e2e.corpus_steps import run_all, stages, text


@dataclass(frozen=True)
class FaultyWorkspace(Workspace):
    """Kills a process inside shards of one stage, once as a table is closed and once before a mark is written."""

    step: str = ""
    driver: int = 0
    kills_driver: bool = False
    """Instead of the worker."""
    faults: tuple[str, ...] = ("mark", "table")
    after: int = 1
    """Marks that stand before the first fault."""

    def _made(self, name: str) -> Path:
        if self._is_due("table"):
            _die_on_exit(self)
        return super()._made(name)

    def mark_done(self, mark: str, **facts: Any) -> None:
        self.die("mark")
        super().mark_done(mark, **facts)

    def die(self, fault: str) -> None:
        """Kill, if the fault is due. The worker of a dead driver does no more until it is ended too."""
        if self._is_due(fault):
            (self.local / f"{fault}.died").touch()
            os.kill(self.driver if self.kills_driver else os.getpid(), signal.SIGKILL)
            time.sleep(120)

    def _is_due(self, fault: str) -> bool:
        is_here = self.kind == self.step and os.getpid() != self.driver and fault in self.faults
        return is_here and len(self.marks()) >= self.after and not (self.local / f"{fault}.died").exists()


def _die_on_exit(workspace: FaultyWorkspace) -> None:
    """In this worker: all rows of the table are in its temporary file, which has not got its name."""
    leave = getattr(TableWriter.__exit__, "leave", TableWriter.__exit__)

    def leave_or_die(writer: TableWriter, *error: object) -> None:
        workspace.die("table")
        leave(writer, *error)

    leave_or_die.leave = leave
    TableWriter.__exit__ = leave_or_die


@contextmanager
def dying(step: str, **fields: Any) -> Iterator[None]:
    """Within the block the stage of this kind has a FaultyWorkspace."""

    def make(*args: Any) -> FaultyWorkspace:
        return FaultyWorkspace(*args, step=step, driver=os.getpid(), **fields)

    stage.Workspace = make
    try:
        yield
    finally:
        stage.Workspace = Workspace


def run_until_killed(directory: str, root: str, step: str, after: str = "2") -> None:
    """A process that dies inside a shard of the step while so many others are finished."""
    with ray_session(SessionPlacement()), dying(step, kills_driver=True, after=int(after)):
        run_all(stages(Path(directory), num_shards=7, concurrency=1), Root(root))


# --- bad files

_JATS = (
    "<article><front><article-meta><article-id pub-id-type='pmc'>{0}</article-id></article-meta></front>"
    "<body><p>{1}</p></body></article>"
)
_CITATION = (
    "<PubmedArticle><MedlineCitation><PMID Version='1'>{0}</PMID><Article><ArticleTitle>Title {0}</ArticleTitle>"
    "<Abstract><AbstractText>{1}</AbstractText></Abstract></Article></MedlineCitation></PubmedArticle>"
)
_NOTEEVENTS = "ROW_ID SUBJECT_ID HADM_ID CHARTDATE CHARTTIME STORETIME CATEGORY DESCRIPTION CGID ISERROR TEXT".split()
BIG_BYTES = 200_000_000


def _lines(*rows: dict | bytes) -> bytes:
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


def _said(seed: int, **fields: Any) -> dict[str, Any]:
    return {"text": text(20_000 + seed, 30), **fields}


def _pile(seed: int, name: str = "PubMed Abstracts") -> dict[str, Any]:
    return _said(seed, meta={"pile_set_name": name})


def _notes(*rows: list[Any]) -> bytes:
    stream = io.StringIO()
    csv.writer(stream).writerows([_NOTEEVENTS, *rows])
    return stream.getvalue().encode()


def _note(number: int, *, error: str = "", body: str | None = None) -> list[Any]:
    return [number, 7, 8, "2150-01-02", "", "", "Nursing", "Report", "", error, body or text(21_000 + number, 30)]


def bad_files() -> dict[str, tuple[str, dict[str, bytes]]]:
    """By source: its format and its files. Compressed ones are torn inside their second member."""
    zst, gz = zstandard.ZstdCompressor().compress, lambda raw: gzip.compress(raw, mtime=0)
    torn_zst = zst(_lines(*(_pile(i) for i in range(5)), _pile(5, "Github"))) + zst(_lines(_pile(6)))[:9]
    torn_gz = gz(_notes(*(_note(i) for i in range(1, 5)), _note(5, error="1"))) + gz(_lines(_note(6)[-1].encode()))[:12]
    shifted = [_note(14)[0], "", *_note(14)[1:-1]], _note(15)[1:], [*_note(16), "one more"]
    broken = "<article><body><p>never closed</body></article>"
    papers = "<set>" + _JATS.format(1, text(1, 30)) + broken + _JATS.format(2, text(2, 30)) + "</set>"
    cut = "<set>" + _JATS.format(3, text(3, 30)) + _JATS.format(4, text(4, 30))[:150]
    abstracts = "".join(_CITATION.format(i, text(22_000 + i, 30)) for i in (1, 2, 1))
    big = zstandard.ZstdCompressor().compressobj()
    pieces = [big.compress(piece) for piece in (b'{"text": "', *[b"many words " * 100_000] * 200, b'"}\n')]
    big_file = b"".join([*pieces, big.flush()]) + zst(_lines(_said(31)))
    return {
        "pile": ("pile", {"a.jsonl.zst": torn_zst}),
        "mimic": ("mimic3_noteevents", {"a.csv.gz": torn_gz, "b.csv": _notes(_note(11), *shifted, _note(17))}),
        "papers": ("pmc_jats", {"a.xml": papers.encode(), "b.xml": cut.encode()}),
        "abstracts": ("pubmed_xml", {"a.xml": f"<PubmedArticleSet>{abstracts}</PubmedArticleSet>".encode()}),
        "tables": ("documents", {
            "a.jsonl": _lines(_said(1), b'{"text": "\xe9t\xe9"}', {"no": "text"}, {"text": ""}, {"text": "a\x00b"},
                              _said(2, id="x"), _said(3, id="x"), b'{"text": "cut of'),
            "b.jsonl": b"", "c.csv": b"id,text\n", "d.jsonl.zst": big_file,
        }),
    }  # fmt: skip


def sources_of(directory: Path, files: dict[str, tuple[str, dict[str, bytes]]]) -> Stage:
    """The stage that adopts the files, which are written."""
    made, places = [], []
    terms = {"licence": "CC0-1.0", "licence_url": "", "access": "public", "url": ""}
    for name, (format, contents) in files.items():
        (directory / name).mkdir(parents=True)
        for file, content in contents.items():
            (directory / name / file).write_bytes(content)
        reading = ReadRules(max_document_bytes=4_000_000)
        made.append(SourceConfig(name=name, title="", category="general", format=format, reading=reading, **terms))
        places.append(SourceLocation(name=name, path=str(directory / name)))
    config = SourcesConfig(sources=tuple(made), placement=SourcesPlacement(locations=tuple(places)))
    return Stage.of("sources", sources, sources.resolve(config))


def measured(shard: Any, *, log: str, **fields: Any) -> dict[str, Any]:
    """`clean_shard`, and by how many bytes this worker's peak memory has grown in it."""
    from medray.corpus.clean import clean_shard

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts = clean_shard(shard, **fields)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    with open(log, "a") as stream:
        stream.write(f"{grown}\n")
    return facts
