"""Packing sequences into blocks: whole ones where each fits best, or end to end and cut at block ends. None is lost.
(Pretraining, whose documents come as a stream, has `text.mixture.cut_blocks`.)"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

Piece = tuple[int, int, int]
"""(index of a sequence, first token, token after the last)"""


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


def concatenate(lengths: Sequence[int], block_tokens: int) -> list[list[Piece]]:
    """The pieces of each block when sequences lie end to end, in the order given, and are cut at block ends.

    All blocks but the last are full. A sequence at a block's end goes on in the next block.
    """
    assert all(length > 0 for length in lengths), "a sequence is empty"
    blocks: list[list[Piece]] = []
    free = 0
    for index, length in enumerate(lengths):
        start = 0
        while start < length:
            if not free:
                blocks.append([])
                free = block_tokens
            stop = min(length, start + free)
            blocks[-1].append((index, start, stop))
            free -= stop - start
            start = stop
    return blocks


def whole_pieces(lengths: Sequence[int], blocks: Sequence[Sequence[int]]) -> list[list[Piece]]:
    """Blocks of whole sequences, such as `best_fit` gives, as pieces."""
    return [[(index, 0, lengths[index]) for index in block] for block in blocks]


def padding_fraction(blocks: Sequence[Sequence[Piece]], block_tokens: int) -> float:
    """Share of block tokens that stay empty: 0 is perfect packing."""
    num_tokens = sum(stop - start for block in blocks for _, start, stop in block)
    return 1 - num_tokens / (block_tokens * len(blocks)) if blocks else 0.0
