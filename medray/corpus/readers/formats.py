"""Every format of documents that a source can have, with its reader.

A reader is `(stream, name, rules) -> rows`: fields are those of DOCUMENT and PROVENANCE that the source states; what it
does not state is left to the source's own terms.
"""

from __future__ import annotations

from functools import partial

from medray.corpus.readers.jats import read_jats
from medray.corpus.readers.jsonl import read_guidelines, read_pile, read_redpajama, read_table
from medray.corpus.readers.mimic import read_cxr, read_noteevents, read_notes
from medray.corpus.readers.pubmed import read_pubmed
from medray.corpus.readers.rules import ReadRules
from medray.tables.formats import TABLE_KINDS
from medray.tables.rows import Reader

_JSON = (".jsonl", ".json")

_READERS = {
    "documents": (read_table, TABLE_KINDS),
    "pydoc_topics": (read_table, TABLE_KINDS),
    "package_readmes": (read_table, TABLE_KINDS),
    "pile": (read_pile, _JSON),
    "redpajama": (read_redpajama, _JSON),
    "guidelines": (read_guidelines, _JSON),
    "pmc_jats": (read_jats, (".xml", ".nxml")),
    "pubmed_xml": (read_pubmed, (".xml",)),
    "mimic3_noteevents": (read_noteevents, (".csv",)),
    "mimic4_notes": (read_notes, (".csv",)),
    "mimic_cxr": (read_cxr, (".txt",)),
}
DOCUMENT_FORMATS = tuple(_READERS)
"""Formats whose rows are documents."""


def reader_of(format: str, rules: ReadRules) -> Reader:
    """The reader of one of DOCUMENT_FORMATS, bound to its rules."""
    read, kinds = _READERS[format]
    return Reader(partial(read, rules=rules), kinds)
