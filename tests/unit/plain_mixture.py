"""The corpus' order and packing one unit at a time, in plain Python: what the arrays must agree with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import NamedTuple

from medray.core.identity import stable_hash


class Unit(NamedTuple):
    """A document, or a piece of a long one."""

    id: str
    piece: int
    source: str
    category: str
    num_tokens: int


class Placed(NamedTuple):
    """A unit at its place."""

    unit: Unit
    epoch: int


def split_lengths(num_tokens: int, max_tokens: int) -> list[int]:
    if not max_tokens or num_tokens <= max_tokens:
        return [num_tokens]
    count = -(-num_tokens // max_tokens)
    return [num_tokens * (i + 1) // count - num_tokens * i // count for i in range(count)]


def interleave(
    units: Sequence[Unit], proportions: Mapping[str, int], token_budget: int, max_epochs: int, rng_seed: int
) -> list[Placed]:
    """The next unit from the category that lags most, until every category has filled its part."""
    total = sum(proportions.values())
    queues = {
        name: epochs([u for u in units if u.category == name], max_epochs, rng_seed) for name in sorted(proportions)
    }
    used = dict.fromkeys(queues, 0)
    order: list[Placed] = []
    while waiting := [name for name in queues if used[name] * total < token_budget * proportions[name]]:
        scale = {name: prod(part for other, part in proportions.items() if other != name) for name in waiting}
        lagging = min(waiting, key=lambda name: (used[name] * total * scale[name], name))
        placed = next(queues[lagging])
        order.append(placed)
        used[lagging] += placed.unit.num_tokens
    return order


def epochs(units: list[Unit], max_epochs: int, rng_seed: int) -> Iterator[Placed]:
    for epoch in range(max_epochs):
        names = {unit: (unit.source, unit.id, unit.piece) for unit in units}
        ordered = sorted(units, key=lambda unit: (stable_hash(rng_seed, epoch, *names[unit]), names[unit]))
        yield from (Placed(unit, epoch) for unit in ordered)


def cut_blocks(unit_lengths: Sequence[int], block_tokens: int) -> Iterator[list[int]]:
    """Lengths of the sequences of each block; a unit that crosses an edge goes on as a new sequence."""
    room, lengths = block_tokens, []
    for length in unit_lengths:
        while length:
            taken = min(length, room)
            lengths.append(taken)
            room, length = room - taken, length - taken
            if not room:
                yield lengths
                room, lengths = block_tokens, []
    if lengths:
        yield lengths
