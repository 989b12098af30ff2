"""The order in which training reads a token store: a pure function of (rng_seed, epoch, position)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from medray.core.identity import stable_hash

_FEISTEL_ROUNDS = 6


def row_order(num_rows: int, rows_per_shard: int, rng_seed: int, epoch: int, *, by_shard: bool) -> Callable[[int], int]:
    """The row at each position of one epoch of a store whose shards, but the last, have rows_per_shard rows.

    by_shard: shards in random order (the last one last if it is shorter), and the rows within each, so that a shard is
    read once and can then be given up. That is enough for a corpus, whose order is mixed already; of other stores
    every row may come anywhere. For a store of one shard both are the same.
    """
    if not by_shard or num_rows <= rows_per_shard:
        return permutation(num_rows, rng_seed, epoch)
    whole = num_rows // rows_per_shard
    shards = permutation(whole, rng_seed, epoch)

    def row_at(position: int) -> int:
        place, within = divmod(position, rows_per_shard)
        shard = shards(place) if place < whole else place
        first = shard * rows_per_shard
        size = min(rows_per_shard, num_rows - first)
        return first + _within(size, stable_hash("shard", rng_seed, shard), epoch)(within)

    return row_at


def permutation(num_rows: int, rng_seed: int, epoch: int) -> Callable[[int], int]:
    """The order of one epoch: a bijection of range(num_rows), a pure function of its arguments, in constant memory.

    A Feistel network over the next even power of two, walked until it lands inside the range (< 4 rounds on average).
    """
    assert num_rows > 0, "a permutation of no row"
    half_bits = max(1, (max(num_rows - 1, 1).bit_length() + 1) // 2)
    low = (1 << half_bits) - 1
    keys = [stable_hash("row order", rng_seed, epoch, i) for i in range(_FEISTEL_ROUNDS)]

    def permute(index: int) -> int:
        assert 0 <= index < num_rows, f"index {index} of {num_rows} rows"
        while True:
            left, right = index >> half_bits, index & low
            for key in keys:
                mixed = ((right + key) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
                mixed ^= mixed >> 29
                left, right = right, left ^ ((mixed * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF) >> (64 - half_bits))
            index = (left << half_bits) | right
            if index < num_rows:
                return index

    return permute


_within = lru_cache(maxsize=8)(permutation)
