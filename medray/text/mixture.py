"""The order of a corpus: documents of several categories interleaved so that every prefix keeps the proportions.

Pure integer arithmetic on token counts: the same units and seed give the same order, however they were found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from medray.core.config import UserError
from medray.core.identity import stable_hash


class Unit(NamedTuple):
    """A document, or a piece of a long one: what is placed whole."""

    id: str
    piece: int
    source: str
    category: str
    num_tokens: int


class Placed(NamedTuple):
    """A unit at its place: `epoch` counts from 0 how often it was used before."""

    unit: Unit
    epoch: int


def split_lengths(num_tokens: int, max_tokens: int) -> list[int]:
    """Lengths of the pieces of a document, as equal as can be; one piece when max_tokens is 0 or not exceeded."""
    if not max_tokens or num_tokens <= max_tokens:
        return [num_tokens]
    count = -(-num_tokens // max_tokens)
    return [num_tokens * (i + 1) // count - num_tokens * i // count for i in range(count)]


def fillable(units: Sequence[Unit], proportions: Mapping[str, int], max_epochs: int) -> int:
    """The largest number of tokens that the units can fill in these proportions, each used at most max_epochs times."""
    have, total = tokens_by_category(units), sum(proportions.values())
    return min(have.get(name, 0) * max_epochs * total // part for name, part in proportions.items())


def tokens_by_category(units: Sequence[Unit]) -> dict[str, int]:
    """Tokens of each category."""
    found: dict[str, int] = {}
    for unit in units:
        found[unit.category] = found.get(unit.category, 0) + unit.num_tokens
    return found


def check_mixture(units: Sequence[Unit], proportions: Mapping[str, int], token_budget: int, max_epochs: int) -> None:
    """Raises UserError, one line, when a category has no part, or cannot fill its part of the budget."""
    have, total = tokens_by_category(units), sum(proportions.values())
    ratio = ":".join(map(str, proportions.values()))
    for name in sorted(have.keys() - proportions.keys()):
        raise UserError(
            f"corpus.proportions: {len(have)} categories but {len(proportions)} parts ({ratio}); "
            f"add a part for {name!r} or drop its sources"
        )
    short = []
    for name, part in proportions.items():
        need, got = -(-token_budget * part // total), have.get(name, 0) * max_epochs
        if got < need:
            sources = sorted({unit.source for unit in units if unit.category == name}) or ["no source"]
            short.append(
                f"{name} needs {need:,} tokens, has {got:,} ({', '.join(sources)}; {max_epochs} epochs), "
                f"is {need - got:,} short"
            )
    if short:
        can = fillable(units, proportions, max_epochs)
        advice = f"set token_budget to at most {can:,}" if can else "give that category a source"
        raise UserError(
            f"corpus.token_budget {token_budget:,} at {ratio}: {'; '.join(short)}: "
            f"{advice}, raise max_epochs, or add a source"
        )


def interleave(
    units: Sequence[Unit], proportions: Mapping[str, int], token_budget: int, max_epochs: int, rng_seed: int
) -> list[Placed]:
    """Units in corpus order until every category has filled its part of the budget.

    The next unit always comes from the category that lags most behind its proportion, so a prefix is off by no more
    than one unit per category; each category exceeds its part by less than a unit. Units are shuffled by hash
    within their category: a long document's pieces too, else few documents would fill a small part. Raises
    UserError when a category cannot fill its part.
    """
    check_mixture(units, proportions, token_budget, max_epochs)
    total = sum(proportions.values())
    queues = {
        name: _epochs([u for u in units if u.category == name], max_epochs, rng_seed) for name in sorted(proportions)
    }
    used = dict.fromkeys(queues, 0)
    order: list[Placed] = []
    while waiting := [name for name in queues if used[name] * total < token_budget * proportions[name]]:
        # used / part compared without division: the exact order must not hang on floating point
        lagging = min(waiting, key=lambda name: (used[name] * total * _scale(proportions, name), name))
        placed = next(queues[lagging])
        order.append(placed)
        used[lagging] += placed.unit.num_tokens
    return order


def _scale(proportions: Mapping[str, int], name: str) -> int:
    product = 1
    for other, part in proportions.items():
        product *= 1 if other == name else part
    return product


def _epochs(units: list[Unit], max_epochs: int, rng_seed: int) -> Iterator[Placed]:
    for epoch in range(max_epochs):
        names = {unit: (unit.source, unit.id, unit.piece) for unit in units}
        ordered = sorted(units, key=lambda unit: (stable_hash(rng_seed, epoch, *names[unit]), names[unit]))
        yield from (Placed(unit, epoch) for unit in ordered)


class Block(NamedTuple):
    """Consecutive tokens [start, stop) of the corpus and the lengths of the sequences in them."""

    start: int
    stop: int
    lengths: list[int]


def cut_blocks(unit_lengths: Sequence[int], block_tokens: int) -> Iterator[Block]:
    """Blocks of `block_tokens` over units laid end to end; a unit that crosses an edge goes on as a new sequence.

    The last block may be shorter.
    """
    start = at = 0
    lengths: list[int] = []
    for length in unit_lengths:
        while length:
            taken = min(length, block_tokens - (at - start))
            lengths.append(taken)
            at, length = at + taken, length - taken
            if at - start == block_tokens:
                yield Block(start, at, lengths)
                start, lengths = at, []
    if lengths:
        yield Block(start, at, lengths)
