"""Clinical notes of the MIMIC databases as PhysioNet publishes them; the patient is the group.

Dates are MIMIC's: shifted by a constant of the patient, mostly to the years 2100 to 2210.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from medray.corpus.readers.rules import ReadRules
from medray.tables.formats import BadRow, LeftOut, csv_rows, mapped, whole_text
from medray.tables.rows import Row

_NOTEEVENTS = (
    "ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CHARTTIME", "STORETIME", "CATEGORY", "DESCRIPTION", "CGID",
    "ISERROR", "TEXT",
)  # fmt: skip
_NOTES = ("note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "storetime", "text")
_TYPES = {"DS": "Discharge summary", "AD": "Discharge addendum", "RR": "Radiology", "AR": "Radiology addendum"}
_DATE = r"\d{4}-\d\d-\d\d"


def read_noteevents(stream: BinaryIO, name: str, rules: ReadRules) -> Iterator[Row]:
    """Documents of MIMIC-III's NOTEEVENTS; notes that a physician marked as an error are left out (`marked_as_error`).

    Fields: id ("mimic3:ROW_ID"), text, group ("mimic3:patient/SUBJECT_ID"), date, document_types (the category).
    Source: mimic.mit.edu, MIMIC-III 1.4, table NOTEEVENTS.
    """
    return mapped(csv_rows(stream, name, rules.max_document_bytes, _NOTEEVENTS), _of_noteevents)


def _of_noteevents(row: dict[str, Any]) -> dict[str, Any]:
    _expect(row, ROW_ID=r"\d+", SUBJECT_ID=r"\d+", HADM_ID=r"\d*", CHARTDATE=_DATE + ".*", ISERROR="[01]?")
    if row["ISERROR"] == "1":
        raise LeftOut("marked_as_error")
    return {
        "id": f"mimic3:{row['ROW_ID']}",
        "text": row["TEXT"],
        "group": f"mimic3:patient/{row['SUBJECT_ID']}",
        "date": row["CHARTDATE"][:10],
        "document_types": [row["CATEGORY"].strip()],
    }


def read_notes(stream: BinaryIO, name: str, rules: ReadRules) -> Iterator[Row]:
    """Documents of MIMIC-IV-Note's discharge and radiology tables.

    Fields: id ("mimic4:note_id"), text, group ("mimic4:patient/subject_id"), date, document_types (of the note type).
    Source: mimic.mit.edu, MIMIC-IV-Note 2.2, tables discharge and radiology; note_id is subject_id-note_type-note_seq.
    """
    return mapped(csv_rows(stream, name, rules.max_document_bytes, _NOTES), _of_notes)


def _of_notes(row: dict[str, Any]) -> dict[str, Any]:
    _expect(row, subject_id=r"\d+", note_type="|".join(_TYPES), hadm_id=r"\d*", charttime=_DATE + ".*", note_seq=r"\d+")
    _expect(row, note_id=rf"{row['subject_id']}-{row['note_type']}-{row['note_seq']}")
    return {
        "id": f"mimic4:{row['note_id']}",
        "text": row["text"],
        "group": f"mimic4:patient/{row['subject_id']}",
        "date": row["charttime"][:10],
        "document_types": [_TYPES[row["note_type"]]],
    }


def _expect(row: dict[str, Any], **patterns: str) -> None:
    """Raise BadRow on the first column that is not of its form: the row's columns are shifted."""
    for column, pattern in patterns.items():
        if not re.fullmatch(pattern, row[column]):
            raise BadRow(f"{column} is {row[column][:40]!r}, expected {pattern}: are the columns shifted?")


def read_cxr(stream: BinaryIO, name: str, rules: ReadRules) -> Iterator[Row]:
    """The report that a text file of MIMIC-CXR holds; patient and study stand in its path, p10000032/s50414267.txt.

    Fields: id ("mimic_cxr:s50414267"), text, group ("mimic4:patient/10000032": the databases share their patients),
    document_types. Source: physionet.org, MIMIC-CXR 2.1.0, files of mimic-cxr-reports.zip.
    """

    def of_report(row: dict[str, Any]) -> dict[str, Any]:
        path = re.search(r"p(\d{8})/(s\d{8})\.txt(?:\.\w+)?$", name)
        if not path:
            raise BadRow(f"no patient and study in the path {name[-60:]}, expected p10000032/s50414267.txt")
        group = f"mimic4:patient/{path[1]}"
        return {"id": f"mimic_cxr:{path[2]}", "text": row["text"], "group": group, "document_types": ["Radiology"]}

    return mapped(whole_text(stream, name, rules.max_document_bytes), of_report)
