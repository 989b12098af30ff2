"""The held-out set "h" of planted identifiers, without the rules: enough of each kind, and none left unplanted."""

import re

from benchmarks.phi_cast_h import FAMILY, GIVEN, TOWNS
from benchmarks.phi_notes import KINDS, make_notes

NOTES = make_notes("h", 8, 450)
ORDINARY = set("May Rose Grace Cross West Hill Bell White Wells Jackson Hicks Smith Mayfield".split())
"""Names that the notes also use as words, eponyms or makers."""


def test_each_kind_is_planted_often_enough_to_be_measured():
    counts = {kind: sum(p.kind == kind for note in NOTES for p in note.planted) for kind in KINDS}
    assert min(counts.values()) >= 60, counts
    assert sum(counts.values()) >= 2000


def test_nothing_outside_the_planted_spans_looks_like_an_identifier():
    months = "January|February|March|April|June|July|August|September|October|November|December"
    identifier = re.compile(
        rf"@[a-z]|www|://|\b({months})\b|\d/\d+/(19|20)\d\d|\d{{6}}|\b\d{{3}}-\d{{4}}\b(?!-)|[{{}}]"
    )
    names = set(GIVEN) | set(FAMILY) | set(TOWNS)
    for note in NOTES:
        rest, at = "", 0
        for planted in note.planted:
            rest, at = f"{rest}{note.text[at : planted.start]} | ", planted.stop
        rest += note.text[at:]
        rest = rest.replace("NDC 0074-3799-02", "")
        assert not identifier.search(rest), rest
        assert not (set(re.findall(r"[^\W\d_]+", rest)) - ORDINARY) & names, rest


def test_a_note_depends_on_its_seed_alone():
    assert make_notes("h", 8, 25) == NOTES[:25]
    assert make_notes("h", 9, 25) != NOTES[:25]
