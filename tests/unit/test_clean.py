"""The stage `clean`, one shard of it in this process: languages and boilerplate in documents, drops and account."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from medray.core.workspace import Root, Workspace
from medray.corpus.clean import clean_shard
from medray.corpus.readers.rules import Origin, ReadRules
from medray.corpus.steps import read_account, write_account
from medray.tables.rows import Piece
from medray.tables.shards import Shard
from medray.text.boilerplate import ALL_BOILERPLATE
from medray.text.language import ENGLISH
from medray.text.normalize import CleanRules

PLAIN = CleanRules(
    min_words=4, max_words=500, max_symbol_fraction=0.5, max_repeated_line_fraction=1, max_repeated_ngram_fraction=1
)
FULL = PLAIN.model_copy(update={"boilerplate": ALL_BOILERPLATE, "language": ENGLISH})
ENGLISH_TEXT = "The tumours of the treated animals grew more slowly than those of the others, and none of them spread."
GERMAN_TEXT = "Die Tumoren der behandelten Tiere wuchsen langsamer als die der anderen, und keiner streute weit aus."
NOTICE = "Copyright © 2019 Elsevier. All rights reserved."
ROWS = [
    {"id": "a", "text": f"{ENGLISH_TEXT}\n\n{ENGLISH_TEXT} {NOTICE}\n{NOTICE}"},
    {"id": "b", "text": ENGLISH_TEXT, "language": "eng"},  # what a source states stays
    {"id": "c", "text": GERMAN_TEXT},
    {"id": "d", "text": "Mild anaemia since 2019, stable."},
    {"id": "e", "text": NOTICE},
    {"id": "f", "text": f"{GERMAN_TEXT} {NOTICE}", "language": "en"},  # what it is counts, not what it is said to be
]


@pytest.fixture
def run(tmp_path):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    stated = {"source": "papers", "category": "medical", "licence": "CC0-1.0", "access": "public", "synthetic": False}
    pieces = [(Piece(str(tmp_path / "rows.jsonl")), Origin(stated, "documents", ReadRules()))]

    def run(rules: CleanRules):
        workspace = Workspace(Root(str(tmp_path / str(hash(rules)))), "clean", "0", "clean")
        facts = clean_shard(Shard("part-0", {"pieces": pieces}), rules=rules, workspace=workspace)
        counters = write_account(workspace, "clean", [facts["sources"]])
        kept = pq.read_table(workspace.data / "documents").to_pylist()
        dropped = pq.read_table(workspace.data / "dropped").to_pylist()
        return kept, {row["id"]: row["reason"] for row in dropped}, counters, read_account(workspace.data)[0]

    return run


def test_boilerplate_goes_and_languages_are_told_and_counted(run):
    kept, dropped, counters, account = run(FULL)
    assert [(row["id"], row["language"]) for row in kept] == [("a", "en"), ("b", "eng"), ("d", "")]
    assert kept[0]["text"] == f"{ENGLISH_TEXT}\n\n{ENGLISH_TEXT}"
    assert dropped == {"c": "language_de", "e": "too_short", "f": "language_de"}
    assert counters == {
        "in": 6, "out": 3, "quarantined": 0, "dropped": 3, "dropped_language_de": 2, "dropped_too_short": 1,
        "removed_copyright": 2,
    }  # fmt: skip
    whole = {"in": 6, "out": 3, "quarantined": 0, "dropped": {"language_de": 2, "too_short": 1}}
    assert account["sources"] == {"papers": {**whole, "removed": {"copyright": 2}}}  # of what stays


def test_without_them_nothing_is_touched(run):
    kept, dropped, counters, account = run(PLAIN)
    assert [row["text"] for row in kept] == [row["text"] for row in ROWS] and not dropped
    assert [row["language"] for row in kept] == ["", "eng", "", "", "", "en"]
    assert counters == {"in": 6, "out": 6, "quarantined": 0, "dropped": 0}
    assert account["total"] == {"in": 6, "out": 6, "quarantined": 0, "dropped": {}}
