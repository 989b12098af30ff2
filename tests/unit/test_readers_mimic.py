"""MIMIC's notes by the published columns: variants of real CSV, files of reports, and bad rows."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile

import pytest

from medray.core.config import UserError
from tests.unit.reading import bad, good, left_out, rows_of

EVENTS = "ROW_ID SUBJECT_ID HADM_ID CHARTDATE CHARTTIME STORETIME CATEGORY DESCRIPTION CGID ISERROR TEXT".split()
NOTES = "note_id subject_id hadm_id note_type note_seq charttime storetime text".split()


def event(row: str = "1", text: str = "Note.", **changes: str) -> dict[str, str]:
    fields = {
        "ROW_ID": row, "SUBJECT_ID": "22532", "HADM_ID": "167853", "CHARTDATE": "2151-08-04", "CHARTTIME": "",
        "STORETIME": "", "CATEGORY": "Discharge summary", "DESCRIPTION": "Report", "CGID": "", "ISERROR": "",
        "TEXT": text,
    }  # fmt: skip
    return {**fields, **changes}


def note(seq: str = "21", text: str = "Note.", **changes: str) -> dict[str, str]:
    fields = {
        "note_id": f"10000032-DS-{seq}", "subject_id": "10000032", "hadm_id": "22595853", "note_type": "DS",
        "note_seq": seq, "charttime": "2180-05-07 00:00:00", "storetime": "2180-05-09 15:26:00", "text": text,
    }  # fmt: skip
    return {**fields, **changes}


def table(columns: list[str], rows: list[dict[str, str]], quoting: int = csv.QUOTE_MINIMAL, end: str = "\n") -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, quoting=quoting, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def events(tmp_path, content: bytes, **rules):
    return rows_of(tmp_path, "NOTEEVENTS.csv", content, "mimic3_noteevents", **rules)


def test_fields_of_a_note(tmp_path):
    assert good(events(tmp_path, table(EVENTS, [event("174")]))) == [
        {
            "id": "mimic3:174", "text": "Note.", "group": "mimic3:patient/22532", "date": "2151-08-04",
            "document_types": ["Discharge summary"],
        }
    ]  # fmt: skip


TEXTS = [
    "one line",
    "two\nlines",
    "Admission Date:  [**2151-7-16**]\n\n\nDischarge",
    'he said "no", twice ""',
    "a, b, c",
    "\r\nwindows\r\n",
    '"',
    "tab\tand é µg ≥ 5",
    "=1+1; 'x'",
    "ends with newline\n",
    '"""quoted"""\n"more"',
]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_texts_come_back_as_written(quoting, end, tmp_path):
    content = table(EVENTS, [event(str(i), text) for i, text in enumerate(TEXTS)], quoting, end)
    rows = rows_of(tmp_path, "NOTEEVENTS.csv.gz", gzip.compress(content), "mimic3_noteevents")
    assert [fields["text"] for fields in good(rows)] == TEXTS and not bad(rows)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"HADM_ID": ""}, {}),
        ({"CHARTDATE": "2151-08-04 00:00:00"}, {}),
        ({"CATEGORY": "Physician "}, {"document_types": ["Physician"]}),
        ({"ISERROR": "0"}, {}),
    ],
)
def test_columns_as_they_occur(change, expected, tmp_path):
    [fields] = good(events(tmp_path, table(EVENTS, [event(**change)])))
    assert fields["date"] == "2151-08-04" and expected.items() <= fields.items()


def test_columns_in_another_order_and_with_a_byte_order_mark(tmp_path):
    content = b"\xef\xbb\xbf" + table(EVENTS[::-1], [event()])
    assert good(events(tmp_path, content))[0]["text"] == "Note."


def test_every_row_is_accounted_for(tmp_path):
    rows = [
        event("1"), event("2", ISERROR="1"), event("3", text=""), event("1", text="Again."), event("5", text="NUL \0."),
        event("6", text="long " * 1000), event("x"), event("8", SUBJECT_ID="", HADM_ID="22532"),
        event("9", CHARTDATE="Report"), event("10", ISERROR="Nursing"), event("11", text="S\udcffn"), event("12"),
    ]  # fmt: skip
    stream = io.StringIO()
    writer = csv.DictWriter(stream, EVENTS)
    writer.writeheader()
    writer.writerows(rows)
    shifted = b"13,1,2,2151-08-04,,,Nursing,Report,,,,a column more\n14,too,few\n"
    content = (
        stream.getvalue().encode(errors="surrogateescape")
        + shifted
        + b'15,1,2,2151-08-04,,,"Nursing,Report,,,never closed\n'
    )
    read = events(tmp_path, content, max_document_bytes=3000)
    assert [row.number for row in read] == list(range(1, 16))
    assert [f["id"] for f in good(read)] == ["mimic3:1", "mimic3:12"]
    assert left_out(read) == [(2, "marked_as_error")]
    assert bad(read) == [
        (3, "no text"),
        (4, "id mimic3:1 stood in the file before"),
        (5, "NUL character at 4"),
        (6, "5,057 bytes, expected at most 3,000"),
        (7, r"ROW_ID is 'x', expected \d+: are the columns shifted?"),
        (8, r"SUBJECT_ID is '', expected \d+: are the columns shifted?"),
        (9, r"CHARTDATE is 'Report', expected \d{4}-\d\d-\d\d.*: are the columns shifted?"),
        (10, "ISERROR is 'Nursing', expected [01]?: are the columns shifted?"),
        (11, "not UTF-8 at byte 57"),
        (13, "12 columns, expected 11"),
        (14, "3 columns, expected 11"),
        (15, "not CSV (unexpected end of data)"),
    ]


def test_stray_text_after_a_quote_is_bad(tmp_path):
    content = (
        table(EVENTS, [event("1")])
        + b'2,1,2,2151-08-04,,,"Nursing"x,R,,,T\n'
        + table(EVENTS, [event("3")]).split(b"\n", 1)[1]
    )
    rows = events(tmp_path, content)
    assert [r.split(" (")[0] for _, r in bad(rows)] == ["not CSV"] and len(good(rows)) == 2


def test_torn_file_keeps_what_came_before(tmp_path):
    whole = gzip.compress(table(EVENTS, [event(str(i), f"Note {i * i}\nof day {i}.") for i in range(3000)]))
    rows = rows_of(tmp_path, "NOTEEVENTS.csv.gz", whole[: len(whole) // 2], "mimic3_noteevents")
    assert 1000 < len(good(rows)) < 3000 and len(rows) == len(good(rows)) + 1
    assert bad(rows) == [
        (len(rows), "the file is torn (Compressed file ended before the end-of-stream marker was reached)")
    ]


@pytest.mark.parametrize("content", [b"", table(EVENTS, [])])
def test_empty_shard(content, tmp_path):
    assert bad(events(tmp_path, content)) == [(0, "no row in the file")]


def test_another_table_is_refused(tmp_path):
    with pytest.raises(UserError, match="no column SUBJECT_ID.* found ROW_ID.*is it the right file"):
        events(tmp_path, table(["ROW_ID", "TEXT"], []))


@pytest.mark.parametrize(
    ("kind", "type"),
    [("DS", "Discharge summary"), ("AD", "Discharge addendum"), ("RR", "Radiology"), ("AR", "Radiology addendum")],
)
def test_mimic4_notes(kind, type, tmp_path):
    row = note("21", " \nName:  ___\nUnit No: ___\n", note_type=kind, note_id=f"10000032-{kind}-21")
    content = gzip.compress(table(NOTES, [row]))
    assert good(rows_of(tmp_path, "radiology.csv.gz", content, "mimic4_notes")) == [
        {
            "id": f"mimic4:10000032-{kind}-21", "text": " \nName:  ___\nUnit No: ___\n",
            "group": "mimic4:patient/10000032", "date": "2180-05-07", "document_types": [type],
        }
    ]  # fmt: skip


def test_mimic4_shifted_columns(tmp_path):
    rows = [
        note("1"), note("2", note_type="10"), note("3", subject_id="10000033"), note("4", charttime="DS"),
        note("5", text=""), note("6", hadm_id=""), note("1", text="Again."),
    ]  # fmt: skip
    read = rows_of(tmp_path, "discharge.csv", table(NOTES, rows), "mimic4_notes")
    assert [f["id"][-1] for f in good(read)] == ["1", "6"]
    assert [(n, r.split()[0]) for n, r in bad(read)] == [
        (2, "note_type"),
        (3, "note_id"),
        (4, "charttime"),
        (5, "no"),
        (7, "id"),
    ]


REPORT = (
    "                                 FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n\n IMPRESSION: \n \n No acute.\n"
)


def test_mimic_cxr_zip(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("files")
        archive.writestr("files/p10/p10000032/s50414267.txt", REPORT)
        archive.writestr("files/p10/p10000032/s53189527.txt", b"caf\xe9")
        archive.writestr("files/p10/p10000032/index.html", "no report")
        archive.writestr("files/s56699142.txt", REPORT)
        archive.writestr("files/p10/p10000764/s57375967.txt", "")
        archive.writestr("files/p10/p10000764/s57375968.txt", "x" * 5000)
    rows = rows_of(tmp_path, "mimic-cxr-reports.zip", stream.getvalue(), "mimic_cxr", max_document_bytes=4000)
    assert good(rows) == [
        {
            "id": "mimic_cxr:s50414267",
            "text": REPORT,
            "group": "mimic4:patient/10000032",
            "document_types": ["Radiology"],
        }
    ]
    reasons = [reason.split(": ", 1)[1] for _, reason in bad(rows)]
    assert [r.split(" in the path")[0] for r in reasons] == [
        "not UTF-8 at byte 3", "no patient and study", "no row in it", "5,000 bytes, expected at most 4,000"
    ]  # fmt: skip


def test_mimic_cxr_file_in_its_directory(tmp_path):
    rows = rows_of(tmp_path / "p10" / "p10000032", "s50414267.txt", REPORT.encode(), "mimic_cxr")
    assert good(rows)[0]["group"] == "mimic4:patient/10000032"
    rows = rows_of(tmp_path, "part-00000.txt", REPORT.encode(), "mimic_cxr")
    assert bad(rows)[0][1].startswith("no patient and study in the path")


def test_damaged_zip(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("p10000032/s50414267.txt", REPORT)
        archive.writestr("p10000032/s50414268.txt", REPORT + "other")
    content = bytearray(stream.getvalue())
    content[content.rindex(b"other") + 1] ^= 1
    rows = rows_of(tmp_path, "r.zip", bytes(content), "mimic_cxr")
    assert len(good(rows)) == 1 and bad(rows)[0][1].startswith("the file is torn (Bad CRC-32")
    rows = rows_of(tmp_path, "r.zip", bytes(content[:-30]), "mimic_cxr")
    assert bad(rows) == [(1, "the file is torn (File is not a zip file)")]
