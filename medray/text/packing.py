"""Packing whole sequences into blocks: no sequence is split and none is lost. (Cutting a stream of documents at block
ends, as pretraining does, is `text.mixture.cut_blocks`.)"""

from __future__ import annotations

import bisect
from collections.abc import Sequence


def best_fit(lengths: Sequence[int], block_tokens: int) -> list[list[int]]:
    """Indices of the sequences of each block: longest first, each into the fullest block that still holds it.

    Equal lengths keep their order, so the packing is a function of the order given. O(n log n) for n sequences.
    Raises AssertionError for an empty sequence or one longer than a block: the caller decides what becomes of it.

    Source: best-fit decreasing; at most 11/9 of the fewest possible blocks (+ 6/9). Johnson 1973.
    """
    assert all(0 < length <= block_tokens for length in lengths), f"a sequence is empty or over {block_tokens} tokens"
    blocks: list[list[int]] = []
    open_blocks: list[tuple[int, int]] = []  # (free tokens, block), ascending
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        spot = bisect.bisect_left(open_blocks, (lengths[index], -1))
        if spot < len(open_blocks):
            free, block = open_blocks.pop(spot)
        else:
            free, block = block_tokens, len(blocks)
            blocks.append([])
        blocks[block].append(index)
        if free > lengths[index]:
            bisect.insort(open_blocks, (free - lengths[index], block))
    return blocks


def padding_fraction(lengths: Sequence[int], blocks: Sequence[Sequence[int]], block_tokens: int) -> float:
    """Share of block tokens that stay empty: 0 is perfect packing."""
    return 1 - sum(lengths[i] for block in blocks for i in block) / (block_tokens * len(blocks)) if blocks else 0.0
