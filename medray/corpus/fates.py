"""Which documents stay: equal ids and texts, then near-duplicates, each time the best of those that meet.

In one task, range by range of the hashes. In memory are the hashes of one range and the names of those documents that
meet in it, a byte for every document, and a few numbers for every duplicate; never a text. The result is a function of
the set of documents.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medray.core.schema import TableWriter
from medray.corpus.fingerprints import Fingerprints
from medray.text.duplicates import candidate_pairs, components, keepers, verified
from medray.text.minhash import MinHashRules

STAYS, DUPLICATE_ID, DUPLICATE, NEAR_DUPLICATE = range(4)
REASONS = np.array(["", "duplicate_id", "duplicate", "near_duplicate"])
"""duplicate_id: another text of the same source under the same id."""

DUPLICATES = pa.schema([(name, pa.string()) for name in ("id", "source", "reason", "kept_id", "kept_source")])
"""A document that went, and the one that stays in its place."""

_WINDOW = 16
"""Of the documents that share a band's key, in order of number, how far apart two may be to be compared: where pairs
are verified, a chain of neighbours would break at the first unlike pair."""


def decide(
    directory: Path, stems: list[str], near: MinHashRules | None, rows_at_once: int, duplicates: Path
) -> dict[str, int]:
    """Write `directory/fates.npy` (uint8 of every position) and the table of duplicates; the count of every fate.

    Of the documents that meet there stays the held-out one, then the one of the source of highest priority, of the
    earliest date, of the first source and id.
    """
    rows = Fingerprints(directory, stems)
    num_ranges = max(-(-len(rows) // rows_at_once), 1)
    fates = np.full(len(rows), STAYS, np.uint8)
    gone = [np.zeros((0, 2), np.int64)]
    for column in ("name", "number"):
        for place in range(num_ranges):
            positions, _ = rows.meeting(column, place, num_ranges, fates == STAYS)
            gone.append(_equal(rows, fates, positions, column))
    if near:
        gone.append(_near(rows, fates, near, num_ranges))
    np.save(directory / "fates.npy", fates)
    _write_duplicates(rows, fates, _followed(np.concatenate(gone)), rows_at_once, duplicates)
    return {reason or "stays": int((fates == fate).sum()) for fate, reason in enumerate(REASONS.tolist())}


def _equal(rows: Fingerprints, fates: np.ndarray, positions: np.ndarray, column: str) -> np.ndarray:
    """Give their fates to all but one of the documents of each name (or number); int64 (gone, 2): which, kept."""
    table = rows.take(positions, ["id", "source", "row", "priority", "date", "key"])
    names = table["key"] if column == "number" else pc.binary_join_element_wise(table["source"], table["id"], "\0")
    found = _lost(table, names.combine_chunks().dictionary_encode().indices, positions)
    keys = table["key"].take(pa.array(np.searchsorted(positions, found).ravel())).to_numpy().reshape(-1, 2)
    fates[found[:, 0]] = np.where(keys[:, 0] == keys[:, 1], DUPLICATE, DUPLICATE_ID)
    return found


def _lost(table: pa.Table, component: pa.Array, positions: np.ndarray) -> np.ndarray:
    """int64 (gone, 2): the positions of the members of components that do not stay, and what is kept of each."""
    order = pc.binary_join_element_wise(table["source"], table["id"], table["row"], "\0")
    members = pa.table(
        {
            "document": positions, "component": component, "priority": table["priority"], "date": table["date"],
            "id": order,
        }
    )  # fmt: skip
    found = keepers(members)
    pairs = np.column_stack([found["document"].to_numpy(), found["kept"].to_numpy()])
    return pairs[pairs[:, 0] != pairs[:, 1]]


def _near(rows: Fingerprints, fates: np.ndarray, near: MinHashRules, num_ranges: int) -> np.ndarray:
    """Give their fates to all but one of the documents of each component of similar ones; int64 (gone, 2)."""
    alive = (fates == STAYS) & rows.has_words()
    # each document of a component and the smallest of it: all that is kept of the pairs, from band to band
    linked = np.zeros((0, 2), np.uint64)
    for band in range(near.bands):
        found = [linked]
        for place in range(num_ranges):
            positions, keys = rows.meeting(f"band_{band}", place, num_ranges, alive)
            found.append(_similar_pairs(rows, positions, keys, near, linked))
        linked = np.column_stack(components(np.concatenate(found)))
    members = rows.with_number(linked[:, 0])
    members = members[alive[members]]
    table = rows.take(members, ["id", "source", "row", "priority", "date", "number"])
    component = linked[np.searchsorted(linked[:, 0], table["number"].to_numpy()), 1]
    gone = _lost(table, pa.array(component), members)
    fates[gone[:, 0]] = NEAR_DUPLICATE
    return gone


def _similar_pairs(
    rows: Fingerprints, positions: np.ndarray, keys: np.ndarray, near: MinHashRules, linked: np.ndarray
) -> np.ndarray:
    """The pairs of numbers of documents with the same key, and are no candidates only; none that `linked` joins."""
    numbers = rows.take(positions, ["number"])["number"].to_numpy()
    pairs = candidate_pairs(keys, numbers, _WINDOW if near.min_jaccard else 1)
    roots = _roots(pairs, linked)
    pairs = pairs[roots[:, 0] != roots[:, 1]]
    if near.min_jaccard and len(pairs):
        order, wanted = np.argsort(numbers), np.unique(pairs)
        places = positions[order[np.searchsorted(numbers, wanted, sorter=order)]]
        ngrams = rows.ngrams(dict(zip(wanted.tolist(), places.tolist(), strict=True)))
        pairs = verified(pairs, ngrams, near.min_jaccard)
    return pairs


def _roots(numbers: np.ndarray, linked: np.ndarray) -> np.ndarray:
    """The smallest document that each is linked with: itself for one of no component."""
    if not len(linked):
        return numbers
    places = np.minimum(np.searchsorted(linked[:, 0], numbers), len(linked) - 1)
    return np.where(linked[places, 0] == numbers, linked[places, 1], numbers)


def _followed(gone: np.ndarray) -> np.ndarray:
    """(gone, kept) in order of position, each with one that stays: what was kept at first may have gone later."""
    gone = gone[np.argsort(gone[:, 0])]
    while len(gone):
        places = np.minimum(np.searchsorted(gone[:, 0], gone[:, 1]), len(gone) - 1)
        again = gone[places, 0] == gone[:, 1]
        if not again.any():
            break
        gone[again, 1] = gone[places[again], 1]
    return gone


def _write_duplicates(rows: Fingerprints, fates: np.ndarray, gone: np.ndarray, rows_at_once: int, path: Path) -> None:
    with TableWriter(path, DUPLICATES) as writer:
        for start in range(0, len(gone), rows_at_once):
            some = gone[start : start + rows_at_once]
            lost, kept = (rows.take(positions, ["id", "source"]) for positions in some.T)
            columns = [lost["id"], lost["source"], pa.array(REASONS[fates[some[:, 0]]]), kept["id"], kept["source"]]
            writer.write(pa.table(columns, schema=DUPLICATES))
