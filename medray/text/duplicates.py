"""From band keys to near-duplicates: candidate pairs, connected components, which document of each stays.

Documents are any distinct uint64 numbers that do not depend on the sharding. Every result is a function of the set of
rows: their order and the number of shards change nothing. Memory is bounded by working band by band and, within a band,
range by range of the keys: only documents of one range can meet.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from medray.text.ngrams import jaccard


def sorted_range(keys: np.ndarray, place: int, num_ranges: int) -> slice:
    """Where, of sorted keys, those of a range lie: number `place`, from 0, of equal shares of the key space."""
    first, after = ((number << 64) // num_ranges for number in (place, place + 1))
    return slice(np.searchsorted(keys, np.uint64(first)), np.searchsorted(keys, np.uint64(after - 1), "right"))


def candidate_pairs(keys: np.ndarray, documents: np.ndarray, window: int = 1) -> np.ndarray:
    """uint64 (pairs, 2): documents, the smaller first, that share a key of one band (or of one range of its keys).

    Of the documents of a key, in order of number, those at most `window` apart are paired. One joins them all, which is
    enough when candidates are taken as they are; where pairs are verified a wide window misses fewer.
    """
    order = np.lexsort((documents, keys))
    keys, documents = keys[order], documents[order]
    pairs = [np.zeros((0, 2), np.uint64)]
    for apart in range(1, min(window, len(keys) - 1) + 1):
        equal = keys[apart:] == keys[:-apart]
        if not equal.any():
            break
        pairs.append(np.column_stack([documents[:-apart][equal], documents[apart:][equal]]))
    return unique_pairs(np.concatenate(pairs))


def unique_pairs(pairs: np.ndarray) -> np.ndarray:
    """The pairs of all bands and ranges, each once, in order."""
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return pairs[np.append(True, (pairs[1:] != pairs[:-1]).any(axis=1))[: len(pairs)]]


def verified(pairs: np.ndarray, ngrams: Mapping[int, np.ndarray], min_jaccard: float) -> np.ndarray:
    """The pairs whose documents' n-grams have at least this exact Jaccard similarity."""
    similar = [jaccard(ngrams[int(first)], ngrams[int(second)]) >= min_jaccard for first, second in pairs]
    return pairs[np.array(similar, bool)]


def components(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The documents of any pair in order, and for each the smallest document that pairs connect it with (both uint64).

    Source: hooking and pointer jumping (Shiloach and Vishkin 1982): every round at least halves the number of trees.
    """
    documents, ends = np.unique(pairs, return_inverse=True)
    ends = ends.reshape(-1, 2)
    roots = np.arange(len(documents))
    while (split := roots[ends[:, 0]] != roots[ends[:, 1]]).any():
        ends = ends[split]
        linked = np.sort(roots[ends], axis=1)
        np.minimum.at(roots, linked[:, 1], linked[:, 0])
        while (roots[roots] != roots).any():
            roots = roots[roots]
    return documents, documents[roots]


def keepers(members: pa.Table) -> pa.Table:
    """The members of components in order of preference, with the column `kept`: the document that stays in their place.

    Columns: document, component, priority (smaller is better), date (null or ISO 8601; the earliest stays, unknown
    comes last) and id (decides last). A document stays when kept == document.
    """
    names = ("component", "priority", "date", "id")
    members = members.sort_by([(name, "ascending") for name in names])
    component = members["component"].to_numpy()
    first = np.append(True, component[1:] != component[:-1])[: len(component)]
    return members.append_column("kept", members["document"].take(np.flatnonzero(first)[np.cumsum(first) - 1]))
