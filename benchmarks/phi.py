"""Recall and precision of the PHI rules on planted identifiers: on the template sets seen while they were written, and
on the held-out ones, each with a seed of its own.

An identifier is recalled only if every character of it is covered; a find is precise only if every letter and digit in
it belongs to planted identifiers. Prints a table per kind for each set and, last, one JSON line: the figures of the
last set, or of the one that `--set` names.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence

from benchmarks.phi_notes import KINDS, Note, make_notes
from medray.text.phi.gate import PhiRules, deidentify, find_identifiers
from medray.text.phi.words import FAMILY, GIVEN

_SETS = (
    ("a", 1, "seen while the rules were written"),
    ("f", 6, "at first contact 0.951 / 0.967, since looked at"),
    ("g", 7, "at first contact 0.941 / 0.958, since looked at"),
    ("h", 8, "at first contact 0.964 / 0.961, since looked at; by an author who never saw the rules"),
)
_RULES = PhiRules(rng_seed=0, max_shift_weeks=520, strict=True)


class Tally:
    """Counts by kind: planted, recalled, found, precise, and of the names those that stand in no list of the rules."""

    def __init__(self) -> None:
        self.planted, self.recalled, self.found, self.precise = Counter(), Counter(), Counter(), Counter()
        self.unlisted = Counter()
        self.missed: list[str] = []
        self.wrong: list[str] = []

    def add(self, note: Note) -> None:
        """Count one note."""
        text, found = note.text, find_identifiers(note.text)
        covered = {i for f in found for i in range(f.start, f.stop)}
        planted = {i for p in note.planted for i in range(p.start, p.stop)}
        for p in note.planted:
            whole = covered.issuperset(range(p.start, p.stop))
            self.planted[p.kind] += 1
            self.recalled[p.kind] += whole
            if p.kind == "name" and not set(text[p.start : p.stop].lower().replace(",", " ").split()) & (
                GIVEN | FAMILY
            ):
                self.unlisted["planted"] += 1
                self.unlisted["recalled"] += whole
            if not whole:
                self.missed.append(f"{p.kind}: {_around(text, p.start, p.stop)}")
        for f in found:
            right = all(i in planted for i in range(f.start, f.stop) if text[i].isalnum())
            self.found[f.kind] += 1
            self.precise[f.kind] += right
            if not right:
                self.wrong.append(f"{f.kind}: {_around(text, f.start, f.stop)}")

    def recall(self, kind: str) -> float:
        """Fraction of the planted identifiers of a kind that are wholly covered."""
        return self.recalled[kind] / self.planted[kind]


def _around(text: str, start: int, stop: int) -> str:
    return f"{text[max(0, start - 40) : start]}>>{text[start:stop]}<<{text[stop : stop + 25]}".replace("\n", "|")


def measure(notes: Sequence[Note]) -> Tally:
    """The tally of some notes."""
    tally = Tally()
    for note in notes:
        tally.add(note)
    return tally


def _print(title: str, tally: Tally) -> None:
    print(f"\n{title}\n{'kind':16}{'planted':>8}{'recall':>8}{'found':>8}{'precision':>11}")
    for kind in KINDS:
        share = tally.precise[kind] / tally.found[kind] if tally.found[kind] else 1.0
        print(f"{kind:16}{tally.planted[kind]:8d}{tally.recall(kind):8.3f}{tally.found[kind]:8d}{share:11.3f}")
    print(f"{'all':16}{_row(tally)}")
    unlisted = tally.unlisted
    print(f"names in no list of the rules: {unlisted['recalled']} of {unlisted['planted']} recalled")


def _row(tally: Tally) -> str:
    recall, precision, _ = _figures(tally)
    return f"{tally.planted.total():8d}{recall:8.3f}{tally.found.total():8d}{precision:11.3f}"


def _figures(tally: Tally) -> tuple[float, float, float]:
    """Recall, precision, and the lowest recall of a kind."""
    recall = tally.recalled.total() / tally.planted.total()
    return recall, tally.precise.total() / tally.found.total(), min(map(tally.recall, KINDS))


def main() -> None:
    """Measure the template sets, then the time of the whole gate on their notes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the notes")
    parser.add_argument(
        "--set", choices=[name for name, *_ in _SETS], help="measure one set alone; the JSON line is then of that set"
    )
    parser.add_argument(
        "--show", choices=[name for name, *_ in _SETS], help="print what was missed or wrong in one set"
    )
    options = parser.parse_args()
    if options.set and options.show not in (None, options.set):
        parser.error(f"--show {options.show}: only set {options.set} is measured; drop --set or name the same set")
    count = 90 if options.quick else 450  # a multiple of the number of templates of set g
    chosen = [entry for entry in _SETS if options.set in (None, entry[0])]
    notes = {name: make_notes(name, seed, count) for name, seed, _ in chosen}
    tallies = {name: measure(notes[name]) for name in notes}
    for name, seed, label in chosen:
        _print(f"template set {name}, seed {seed}, {count} notes ({label})", tallies[name])
    if options.show:
        print(*tallies[options.show].missed, "", *tallies[options.show].wrong, sep="\n")
    everything = [note for some in notes.values() for note in some]
    begun = time.process_time()
    refused = sum(bool(deidentify(note.text, note.patient, _RULES).refused) for note in everything)
    seconds = time.process_time() - begun
    size = sum(len(note.text.encode()) for note in everything)
    print(f"\nwhole gate: {size / 1e6 / seconds:.2f} MB per second of a core")
    print(f"strict refuses {refused} of {len(everything)} notes")
    recall, precision, worst = _figures(tallies[chosen[-1][0]])
    print(
        json.dumps({"recall": round(recall, 4), "precision": round(precision, 4), "worst_kind_recall": round(worst, 4)})
    )


if __name__ == "__main__":
    main()
