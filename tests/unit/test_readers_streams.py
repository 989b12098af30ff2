"""Where files come from: URLs, archives, torn compression, stripes, storage that fails; and that nothing is held."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tracemalloc
import zipfile
from typing import get_args

import fsspec
import pytest
import zstandard

from medray.core.config import UserError
from medray.corpus import sources
from medray.corpus.readers.formats import DOCUMENT_FORMATS, reader_of
from medray.corpus.readers.rules import ReadRules
from medray.tables.rows import Piece, list_files, quarantine_row, read_piece, split_files
from medray.tables.streams import kind_of, lines, stored_suffixes
from tests.unit.reading import bad, good, rows_of

READER = reader_of("documents", ReadRules())


def content(count: int) -> bytes:
    return b"".join(json.dumps({"id": f"{i}", "text": f"number {i} {i * i}"}).encode() + b"\n" for i in range(count))


def test_every_format_of_documents_has_a_reader_and_is_known():
    others = {"hpo_obo", "hpoa", "icd10cm", "citations"}
    assert set(get_args(sources.Format)) == others | set(DOCUMENT_FORMATS)
    assert all(reader_of(format, ReadRules()).kinds for format in DOCUMENT_FORMATS)


@pytest.mark.parametrize(
    ("name", "kind", "suffixes"),
    [
        ("a.jsonl", ".jsonl", ".jsonl"),
        ("s3://b/x.1.jsonl.zst", ".jsonl", ".jsonl.zst"),
        ("oa_comm.PMC000.baseline.2024-06-18.tar.gz", ".tar", ".tar.gz"),
        ("PMC1.tgz", ".tar", ".tgz"),
        ("reports.zip", ".zip", ".zip"),
        ("README", "", ""),
    ],
)
def test_names(name, kind, suffixes):
    assert kind_of(name) == kind and stored_suffixes(name, (".jsonl",)) == suffixes


@pytest.mark.parametrize("size", [1, 7, 65_535, 65_536, 65_537, 200_000])
def test_lines_of_every_length(size):
    text = b"x" * (size - 1) + b"\n" + b"y" * size
    assert list(lines(io.BytesIO(text), 200_000)) == [b"x" * (size - 1) + b"\n", b"y" * size]
    assert list(lines(io.BytesIO(text + b"\nz"), size - 1)) == [size, size + 1, b"z" if size > 1 else 1]


def test_quoted_lines():
    text = b'a,"b\nc"\nd,"e ""f\n"""\n"open\n'
    assert list(lines(io.BytesIO(text), 100, quoted=True)) == [b'a,"b\nc"\n', b'd,"e ""f\n"""\n', b'"open\n']
    assert list(lines(io.BytesIO(b'"' + b"\n" * 50 + b'"\nb\n'), 10, quoted=True)) == [53, b"b\n"]


def test_url_in_memory_and_listing(tmp_path):
    fs = fsspec.filesystem("memory")
    fs.pipe("/readers/b/part.jsonl.gz", gzip.compress(content(3)))
    fs.pipe("/readers/a.jsonl", content(2))
    fs.pipe("/readers/a.md", b"no")
    fs.pipe("/readers/.a.jsonl", b"no")
    files = list_files("memory://readers", READER.kinds)
    assert files == ["memory:///readers/a.jsonl", "memory:///readers/b/part.jsonl.gz"]
    assert [len(list(read_piece(Piece(file), READER))) for file in files] == [2, 3]
    assert list_files("memory://readers/a.jsonl", READER.kinds) == ["memory:///readers/a.jsonl"]
    assert list_files(str(tmp_path), READER.kinds) == list_files(str(tmp_path / "no"), READER.kinds) == []


def test_stripes_hold_every_row_once(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content(50) + b"{bad\n" + content(1))
    rows = [row for shard in split_files([str(path)], 7) for piece in shard for row in read_piece(piece, READER)]
    assert sorted(row.number for row in rows) == list(range(1, 53))
    assert sorted(reason for _, reason in bad(rows))[0] == "id 0 stood in the file before"


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
@pytest.mark.parametrize("damage", ["cut", "garbage after", "changed", "not compressed"])
def test_damaged_compression(compress, damage, tmp_path):
    whole = compress(content(20_000))
    middle = len(whole) * 3 // 4
    damaged = {
        "cut": whole[:middle],
        "garbage after": whole + b"garbage that is no frame",
        "changed": whole[:middle] + bytes(64) + whole[middle + 64 :],
        "not compressed": content(20),
    }[damage]
    name = "a.jsonl.gz" if compress is gzip.compress else "a.jsonl.zst"
    rows = rows_of(tmp_path, name, damaged, "documents")
    assert rows[-1].number == len(rows)
    kept = {"cut": 10_000, "garbage after": 19_000, "changed": 5_000, "not compressed": 0}[damage]
    assert len(good(rows)) >= kept
    assert any("the file is torn (" in reason for _, reason in bad(rows)), bad(rows)


@pytest.mark.parametrize("size", [0, 1, 40, 65_535, 65_536, 65_537, 1_000_000])
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_all_that_stands_before_a_tear_is_read(suffix, size, tmp_path):
    compress = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}[suffix]
    before = b"".join(b'{"id": "%d", "text": "words"}\n' % i for i in range(size // 30))
    (tmp_path / f"a.jsonl{suffix}").write_bytes(compress(before) + compress(content(1))[:9])
    rows = list(read_piece(Piece(str(tmp_path / f"a.jsonl{suffix}")), READER))
    assert len(good(rows)) == size // 30 == len(rows) - 1 and "the file is torn (" in rows[-1].reason


def test_archives_of_tables(tmp_path):
    tar, archive = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as members, zipfile.ZipFile(archive, "w") as zipped:
        for name, text in {
            "x/a.jsonl": content(2),
            "b.md": b"no",
            "c.jsonl": b"",
            "d.jsonl": b"{\n" + content(2),
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            members.addfile(info, io.BytesIO(text))
            zipped.writestr(name, text)
    for name, packed in (
        ("a.tar", tar.getvalue()),
        ("a.tgz", gzip.compress(tar.getvalue())),
        ("a.zip", archive.getvalue()),
    ):
        rows = rows_of(tmp_path, name, packed, "documents")
        assert [row.number for row in rows] == [1, 2, 3, 4, 5, 6] and len(good(rows)) == 2
        assert [(n, r.split(" (")[0]) for n, r in bad(rows)] == [
            (3, "c.jsonl: no row in it"), (4, "d.jsonl: not JSON"), (5, "d.jsonl: id 0 stood in the file before"),
            (6, "d.jsonl: id 1 stood in the file before"),
        ]  # fmt: skip


def test_archive_without_a_fitting_member(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.pdf", b"x")
    assert bad(rows_of(tmp_path, "a.zip", stream.getvalue(), "documents")) == [(0, "no row in the file")]


def test_missing_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"gone.jsonl: vanished before it was read: put it back") as error:
        list(read_piece(Piece(str(tmp_path / "gone.jsonl")), READER))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_storage_that_fails_mid_read_is_an_error_and_no_torn_file(name, tmp_path, monkeypatch):
    """What the storage does must not pass for what the file holds: the rest of it would be lost without need."""
    whole = {"gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress}.get(name[8:], bytes)(content(30_000))

    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > len(whole) // 2:
                raise ConnectionResetError("connection reset by peer")
            return super().read(size)

    class Opener:
        def open(self):
            return Failing(whole)

    monkeypatch.setattr(fsspec, "open", lambda *args, **kwargs: Opener())
    rows = read_piece(Piece(f"s3://bucket/{name}"), READER)
    with pytest.raises(UserError, match=f"s3://bucket/{name}: its storage failed .connection reset by peer"):
        for row in rows:
            assert row.is_good


def test_quarantine_record_names_file_row_and_reason(tmp_path):
    rows = rows_of(tmp_path, "a.jsonl", b'{bad\n{"text": 5, "id": "x"}\n', "documents")
    records = [quarantine_row(str(tmp_path / "a.jsonl"), row) for row in rows]
    assert records == [
        {"where": "a.jsonl:1", "reason": rows[0].reason, "row": "{bad\n"},
        {"where": "a.jsonl:2", "reason": "text is int, expected a string", "row": '{"text": 5, "id": "x"}'},
    ]


@pytest.mark.parametrize("format", ["documents", "mimic3_noteevents"])
def test_a_document_of_200_mb_is_never_held(format, tmp_path):
    name = "a.jsonl" if format == "documents" else "a.csv"
    columns = b"ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,STORETIME,CATEGORY,DESCRIPTION,CGID,ISERROR,TEXT\n"
    start, end = (b'{"text": "', b'"}\n') if format == "documents" else (b'1,2,3,2101-01-01,,,N,N,,,"', b'"\n')
    last = content(1) if format == "documents" else b"2,2,3,2101-01-01,,,N,N,,,Text\n"
    with open(tmp_path / name, "wb") as stream:
        stream.write((b"" if format == "documents" else columns) + start)
        for _ in range(1300):
            stream.write((b"many words " * 14_000) + (b"" if format == "documents" else b"\n"))
        stream.write(end + last)
    assert (tmp_path / name).stat().st_size > 200 * 10**6
    size = (tmp_path / name).stat().st_size - len(last) - (0 if format == "documents" else len(columns))
    tracemalloc.start()
    rows = list(read_piece(Piece(str(tmp_path / name)), reader_of(format, ReadRules(max_document_bytes=10**6))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bad(rows) == [(1, f"{size:,} bytes, expected at most 1,000,000")]
    assert len(good(rows)) == 1 and peak < 8 * 2**20
