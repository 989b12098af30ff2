"""The Pile, RedPajama, guidelines and tables of any origin: variants of their published rows, and bad ones."""

# ruff: noqa: E501  a variant of markup is one line
from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from medray.core.config import UserError
from tests.unit.reading import bad, good, left_out, rows_of


def lines(*rows: dict) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


def pile(set_name: str, text: str = "T", **meta) -> dict:
    return {"text": text, "meta": {"pile_set_name": set_name, **meta}}


def test_pile_selects_its_sets(tmp_path):
    rows = [
        pile("PubMed Central", "a"),
        pile("Pile-CC", "b"),
        pile("PubMed Abstracts", "c", pmid="7"),
        pile("Github", ""),
    ]
    read = rows_of(tmp_path, "00.jsonl.zst", zstd(lines(*rows)), "pile")
    assert good(read) == [{"text": "a"}, {"text": "c", "id": "pmid:7", "group": "pmid:7"}]
    assert left_out(read) == [(2, "other_set"), (4, "other_set")]
    assert good(rows_of(tmp_path, "00.jsonl", lines(*rows), "pile", pile_sets=("Pile-CC",))) == [{"text": "b"}]


def test_pile_rows_without_a_set(tmp_path):
    rows = [{"text": "a"}, {"text": "a", "meta": {}}, {"text": "a", "meta": [1]}, {"text": "a", "meta": "x y"}]
    reasons = [reason for _, reason in bad(rows_of(tmp_path, "a.jsonl", lines(*rows), "pile"))]
    assert reasons == ["no meta.pile_set_name", "no meta.pile_set_name", "meta is no object", "meta is no object"]


REDPAJAMA = {
    "wikipedia": (
        {"text": "T", "meta": {"title": "H", "url": "u", "language": "en", "timestamp": "20230320"}, "red_pajama_subset": "wikipedia"},
        {"text": "T", "language": "en", "date": "2023-03-20"},
    ),
    "c4": (
        {"text": "T", "meta": {"timestamp": "2019-04-25T12:57:54Z", "url": "u", "language": "en", "source": "c4"}},
        {"text": "T", "language": "en", "date": "2019-04-25"},
    ),
    "arxiv": (
        {"text": "T", "meta": {"timestamp": "2015-12-03T02:07:35.000Z", "yymm": "1512", "arxiv_id": "1512.00839", "language": "en", "url": "u"}},
        {"text": "T", "id": "arxiv:1512.00839", "language": "en", "date": "2015-12-03"},
    ),
    "github": (
        {"text": "T", "meta": {"license": "apache-2.0", "language": [{"name": "Python", "bytes": "5"}], "timestamp": ""}},
        {"text": "T", "licence": "apache-2.0"},
    ),
    "stackexchange": (
        {"text": "Q: T", "meta": {"language": "en", "url": "u", "timestamp": "2023-03-29T00:00:00", "source": "stackexchange", "question_score": "5"}},
        {"text": "Q: T", "language": "en", "date": "2023-03-29"},
    ),
    "common crawl": (
        {"text": "T", "pred_label": "__label__cc", "pred_label_prob": 0.9, "wiki_prob": 0.1, "source": "cc/2019-30/en_head_0009.json.gz/line1"},
        {"text": "T"},
    ),
    "book": (
        {"text": "T", "meta": {"short_book_title": "B", "publication_date": 1898, "url": "u"}},
        {"text": "T", "date": "1898"},
    ),
    "sample, meta as a string": (
        {"text": "T", "meta": "{'url': 'u', 'language': 'de', 'timestamp': '2023-03'}"},
        {"text": "T", "language": "de", "date": "2023-03"},
    ),
    "version 2": (
        {"raw_content": "T", "url": "u", "date_download": "2014-08-20T06:48:26Z", "digest": "sha1:X", "language": "fr", "title": "t"},
        {"text": "T", "language": "fr", "date": "2014-08-20"},
    ),
    "no meta, odd date": ({"text": "T", "meta": None, "timestamp": "yesterday"}, {"text": "T"}),
}  # fmt: skip


@pytest.mark.parametrize("case", REDPAJAMA)
def test_redpajama(case, tmp_path):
    row, expected = REDPAJAMA[case]
    assert good(rows_of(tmp_path, "a.jsonl.zst", zstd(lines(row)), "redpajama")) == [expected]
    assert good(rows_of(tmp_path, "a.json.gz", gzip.compress(lines(row)), "redpajama")) == [expected]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"clean_text": "Body", "title": "On  hearts"}, "On hearts\n\nBody"),
        ({"clean_text": "# On Hearts:\n\nBody", "title": "On hearts"}, "# On Hearts:\n\nBody"),
        ({"clean_text": "Body", "title": None}, "Body"),
        ({"clean_text": "Body", "raw_text": "Raw", "overview": "O"}, "Body"),
        ({"clean_text": "", "raw_text": "Raw"}, "Raw"),
        ({"text": "Text", "title": ""}, "Text"),
    ],
)
def test_guidelines(row, text, tmp_path):
    row = {"id": "ab1", "source": "who", "url": "u", **row}
    [fields] = good(rows_of(tmp_path, "open_guidelines.jsonl", lines(row), "guidelines"))
    assert fields == {"text": text, "id": "guideline:ab1", "document_types": ["guideline"]}


def test_guideline_without_text(tmp_path):
    assert bad(rows_of(tmp_path, "a.jsonl", lines({"title": "T"}, {"id": 1, "clean_text": 5, "title": "T"}), "guidelines")) == [
        (1, "no text"), (2, "text is int, expected a string"),
    ]  # fmt: skip


ROWS = [{"id": "a", "text": "one"}, {"id": "b", "text": 'two\nlines, "quoted"'}]


def parquet(rows: list[dict], **options) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, **options)
    return sink.getvalue().to_pybytes()


EMPTY_PARQUET = pa.BufferOutputStream()
pq.write_table(pa.table({"text": pa.array([], pa.string())}), EMPTY_PARQUET)
CSV = b'id,text\na,one\nb,"two\nlines, ""quoted"""\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", lines(*ROWS)),
        ("a.json", lines(*ROWS)[:-1]),
        ("a.jsonl.gz", gzip.compress(lines(*ROWS[:1])) + gzip.compress(lines(*ROWS[1:]))),
        ("a.jsonl.zst", zstd(lines(*ROWS[:1])) + zstd(lines(*ROWS[1:]))),
        ("a.jsonl", b"\xef\xbb\xbf\n" + lines(*ROWS).replace(b"\n", b"\r\n\r\n")),
        ("a.csv", CSV),
        ("a.csv.gz", gzip.compress(CSV.replace(b"\n", b"\r\n").replace(b"two\r\n", b"two\n"))),
        ("a.csv.zst", zstd(CSV)),
        ("a.parquet", parquet(ROWS)),
        ("a.parquet", parquet(ROWS, row_group_size=1, compression="zstd")),
    ],
)
def test_tables_of_every_kind(name, content, tmp_path):
    rows = rows_of(tmp_path, name, content, "documents")
    assert good(rows) == ROWS and not bad(rows)


@pytest.mark.parametrize(
    ("name", "id"), [("note.txt", "note"), ("note.v2.txt", "note.v2"), ("note.txt.gz", "note"), ("x.y.txt.zst", "x.y")]
)
def test_text_is_one_document(name, id, tmp_path):
    content = b"one\n\ntwo"
    packed = gzip.compress(content) if name.endswith("gz") else zstd(content) if name.endswith("zst") else content
    assert good(rows_of(tmp_path, name, packed, "documents")) == [{"id": id, "text": "one\n\ntwo"}]


def test_columns_are_renamed_and_others_stay(tmp_path):
    row = {"article": "T", "key": 5, "text": "not this", "split": "heldout"}
    columns = {"text": "article", "id": "key"}
    for name, content in (("a.jsonl", lines(row)), ("a.parquet", parquet([row]))):
        read = rows_of(tmp_path, name, content, "documents", columns=columns)
        assert good(read) == [{"text": "T", "id": 5, "split": "heldout"}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"id,body\n1,x\n", "no column text, found id, body"),
        ("a.parquet", parquet([{"body": "x"}]), "no column text, found body"),
        ("a.parquet", b"PAR1 no parquet", "not parquet"),
        ("a.csv", b"\xff\xfe,text\n", "the header is not UTF-8 at byte 0"),
    ],
)
def test_a_table_of_another_form_is_refused(name, content, message, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        rows_of(tmp_path, name, content, "documents")
    assert "\n" not in str(error.value) and name in str(error.value)


def test_every_row_is_accounted_for(tmp_path):
    content = b"".join(
        [
            lines({"id": "a", "text": "one"}), b"\n", b"{not json\n", b'{"text": "bad \xff byte"}\n', b"[1]\n",
            b'{"text": 5}\n', b'{"no": "text"}\n', b'{"text": "nul \\u0000 here"}\n', b'{"text": "\\ud800"}\n',
            lines({"text": "long " * 1000}), b"[" * 100_000 + b"\n", lines({"id": "a", "text": "two"}),
            lines({"id": [1], "text": "three"}), b'{"text": "cut',
        ]
    )  # fmt: skip
    rows = rows_of(tmp_path, "a.jsonl", content, "documents", max_document_bytes=4000)
    assert [f["text"] for f in good(rows)] == ["one", "three"]
    assert len(rows) == 13 and {row.number for row in rows} == set(range(1, 15)) - {2}
    assert bad(rows) == [
        (3, "not JSON (Expecting property name enclosed in double quotes)"), (4, "not UTF-8 at byte 14"),
        (5, "not an object but list"), (6, "text is int, expected a string"), (7, "no text"), (8, "NUL character at 4"),
        (9, "lone surrogate at 0"), (10, "5,013 bytes, expected at most 4,000"), (11, "100,001 bytes, expected at most 4,000"),
        (12, "id a stood in the file before"), (14, "not JSON (Unterminated string starting at)"),
    ]  # fmt: skip


def test_nested_too_deep(tmp_path):
    rows = rows_of(tmp_path, "a.jsonl", b'{"text": "a", "b": ' + b"[" * 100_000 + b"\n" + lines(*ROWS), "documents")
    assert bad(rows) == [(1, "not JSON (nested too deep)")] and good(rows) == ROWS


def test_long_parquet_text(tmp_path):
    rows = rows_of(
        tmp_path, "a.parquet", parquet([*ROWS, {"id": "c", "text": "x" * 5000}]), "documents", max_document_bytes=4000
    )
    assert good(rows) == ROWS and bad(rows) == [(3, "5,000 bytes, expected at most 4,000")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b""), ("a.jsonl.zst", zstd(b"")), ("a.jsonl.gz", gzip.compress(b"\n\n")), ("a.csv", b""),
        ("a.csv", b"id,text\n"), ("a.txt", b""), ("a.parquet", EMPTY_PARQUET.getvalue().to_pybytes()),
    ],
)  # fmt: skip
def test_empty_shards(name, content, tmp_path):
    assert bad(rows_of(tmp_path, name, content, "documents")) == [(0, "no row in the file")]
