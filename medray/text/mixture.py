"""The order of a corpus: units of several categories interleaved so that every prefix keeps the proportions.

A unit is a document, or a piece of a long one: what is placed whole. Everything is arithmetic on arrays of token counts
(int64) and hashes (uint64): the same units and seed give the same order, however they were found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from medray.core.config import UserError


class Group(NamedTuple):
    """What one source can give to one category."""

    source: str
    category: str
    num_tokens: int
    """In one pass over the source; a document that is repeated within it counts as often as it stands there."""
    max_epochs: int


def shares(token_budget: int, proportions: Mapping[str, int]) -> dict[str, int]:
    """Tokens of the budget that each category is to fill, rounded up."""
    total = sum(proportions.values())
    return {name: -(-token_budget * part // total) for name, part in proportions.items()}


def capacities(groups: Sequence[Group], proportions: Mapping[str, int]) -> dict[str, int]:
    """Tokens that the sources of each category can give, every one used as often as it may be."""
    return {
        name: sum(group.num_tokens * group.max_epochs for group in groups if group.category == name)
        for name in proportions
    }


def fillable(groups: Sequence[Group], proportions: Mapping[str, int]) -> int:
    """The largest budget that the sources can fill in these proportions."""
    have, total = capacities(groups, proportions), sum(proportions.values())
    return min(have[name] * total // part for name, part in proportions.items())


def check_mixture(groups: Sequence[Group], proportions: Mapping[str, int], token_budget: int) -> None:
    """Raises UserError, one line, when a category has no part, or cannot fill its share, saying what could be filled.

    Two ratios whose common multiple would overflow are refused too: the order is exact in 64-bit integers.
    """
    ratio = ":".join(map(str, proportions.values()))
    categories = {group.category for group in groups}
    for name in sorted(categories - proportions.keys()):
        raise UserError(
            f"corpus.proportions: {len(categories)} categories but {len(proportions)} parts ({ratio}); "
            f"add a part for {name!r} or drop its sources"
        )
    if token_budget * math.lcm(*proportions.values()) >= 1 << 61:
        raise UserError(
            f"corpus.proportions: parts {ratio} have a common multiple of {math.lcm(*proportions.values()):,}, too "
            f"large to interleave {token_budget:,} tokens exactly: round them to smaller integers"
        )
    have = capacities(groups, proportions)
    short = [
        f"{name} needs {need:,} tokens, has {have[name]:,} ({_given(groups, name)}), is {need - have[name]:,} short"
        for name, need in shares(token_budget, proportions).items()
        if have[name] < need
    ]
    if short:
        can = fillable(groups, proportions)
        limit = min(proportions, key=lambda name: (have[name] / proportions[name], name))
        most = f"set token_budget to at most {can:,} (what {limit} can fill)"
        advice = most if can else "give that category a source"
        raise UserError(
            f"corpus.token_budget {token_budget:,} at {ratio}: {'; '.join(short)}: "
            f"{advice}, raise max_epochs, or add a source"
        )


def _given(groups: Sequence[Group], category: str) -> str:
    mine = sorted(group for group in groups if group.category == category)
    epochs = {group.max_epochs for group in mine}
    if len(epochs) == 1:
        return f"{', '.join(group.source for group in mine)}; {epochs.pop()} epochs"
    return ", ".join(f"{group.source} in {group.max_epochs} epochs" for group in mine) or "no source"


class Units(NamedTuple):
    """Units of documents, in the documents' order: U units."""

    document: np.ndarray  # index of the document
    piece: np.ndarray
    num_tokens: np.ndarray


def cut(num_tokens: np.ndarray, max_tokens: int) -> Units:
    """Documents of so many tokens as units of at most max_tokens (0: never cut), each document's as equal as can be."""
    count = num_pieces(num_tokens, max_tokens)
    document = np.repeat(np.arange(len(count)), count)
    piece = np.arange(len(document)) - np.repeat(np.cumsum(count) - count, count)
    of, parts = num_tokens.astype(np.int64)[document], count[document]
    length = of * (piece + 1) // parts - of * piece // parts
    return Units(document, piece.astype(np.int32), length.astype(np.int32))


def num_pieces(num_tokens: np.ndarray, max_tokens: int) -> np.ndarray:
    """Pieces of documents of so many tokens; piece i of c begins at token num_tokens * i // c."""
    tokens = num_tokens.astype(np.int64)
    return -(-tokens // max_tokens) if max_tokens else np.ones_like(tokens)


def shuffled(keys: np.ndarray, name_of: Callable[[int], Any]) -> np.ndarray:
    """The indices in order of the keys; of equal keys in order of what `name_of` calls each, which must differ."""
    order = np.argsort(keys)
    ordered = keys[order]
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(same):
        tied = np.union1d(same, same + 1)
        names = {index: name_of(index) for index in order[tied].tolist()}
        assert len(set(names.values())) == len(names), f"two units of one name among {list(names.values())[:4]}"
        order[tied] = sorted(names, key=lambda index: (int(keys[index]), names[index]))
    return order


def stratified(order: np.ndarray, stratum: np.ndarray, num_tokens: np.ndarray) -> np.ndarray:
    """The same units, those of each stratum in the same order, so that every prefix holds the strata in proportion.

    A unit's place is the fraction of its stratum's tokens that come before it. stratum: code of every unit; equal
    places are taken in order of the codes.
    """
    place = np.empty(len(order))
    strata = stratum[order]
    for code in np.unique(strata):
        mine = np.flatnonzero(strata == code)
        ends = np.cumsum(num_tokens[order[mine]], dtype=np.int64)
        place[mine] = np.append(0, ends[:-1]) / ends[-1]  # correctly rounded everywhere, so the same everywhere
    return order[np.lexsort((strata, place))]


def num_filling(num_tokens: np.ndarray, share: int) -> int:
    """How many of the units, taken in order, fill a share (all if they cannot): the last of them may exceed it."""
    before = np.cumsum(num_tokens, dtype=np.int64) - num_tokens
    return int(np.searchsorted(before, share))


def interleave(num_tokens: Mapping[str, np.ndarray], proportions: Mapping[str, int]) -> np.ndarray:
    """Corpus order: indices into the categories' units, which are given in their own order, laid end to end by name.

    The next unit always comes from the category that lags most behind its proportion (used / part; the first by name
    of equal ones), so a prefix is off by no more than one unit per category. As a category's `used` only grows, that is
    a merge of sorted sequences. Compared are integers: the exact order must not hang on floating point.
    """
    multiple = math.lcm(*proportions.values())
    lags = []
    for name in sorted(proportions):
        ends = np.cumsum(num_tokens[name], dtype=np.int64)
        lags.append((ends - num_tokens[name]) * (multiple // proportions[name]))
    return np.argsort(np.concatenate(lags), kind="stable")
