"""Sequences that begin alike, laid out as a tree of segments, so that what they share is computed once.

Shapes: T tokens.   A token sees its own segment up to itself and the whole of the segments above; positions go on from
the parent. Any number of trees stand side by side in one row and do not see each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class TokenTree:
    """One row of tokens."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)

    def add(self, ids: Sequence[int], parent: int, start: int) -> int:
        """Append a segment under `parent` (-1: none) whose first position id is `start`; returns its number."""
        segment = len(self.parents)
        self.parents.append(parent)
        self.ids += ids
        self.positions += range(start, start + len(ids))
        self.segments += [segment] * len(ids)
        return segment

    def add_siblings(self, sequences: Sequence[Sequence[int]]) -> list[list[int]]:
        """Append sequences with their common beginning once; for each, where its tokens stand in the row."""
        shared = common_length(sequences) if len(sequences) > 1 else 0
        begin = len(self.ids)
        trunk = self.add(sequences[0][:shared], -1, 0) if shared else -1
        spots = []
        for ids in sequences:
            own = len(self.ids)
            self.add(ids[shared:], trunk, shared)
            spots.append([*range(begin, begin + shared), *range(own, len(self.ids))])
        return spots

    def visible(self, num_tokens: int) -> Tensor:
        """Boolean (T, T): which tokens each token sees; padding sees itself, because softmax over nothing is nan."""
        num_segments = len(self.parents)
        above = torch.zeros(num_segments + 1, num_segments + 1, dtype=torch.bool)
        for segment, parent in enumerate(self.parents):
            if parent >= 0:
                above[segment] = above[parent]
            above[segment, segment] = True
        segments_T = torch.tensor(self.segments + [num_segments] * (num_tokens - len(self.ids)))
        seen_TT = above[segments_T][:, segments_T] & torch.ones(num_tokens, num_tokens, dtype=torch.bool).tril()
        return seen_TT | torch.eye(num_tokens, dtype=torch.bool)


def common_length(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all sequences begin with, leaving each at least its last one."""
    # of all, the first and the last in order differ soonest
    first, last = min(sequences), max(sequences)
    pairs = zip(first, last, strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(last)))
    return min(same, min(map(len, sequences)) - 1)


def padded(trees: Sequence[TokenTree], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Ids (B, T), positions (B, T) and additive attention mask (B, 1, T, T) of B trees, padded on the right.

    Additive float: a boolean mask is silently wrong for eager attention.
    """
    num_tokens = max(len(tree.ids) for tree in trees)
    ids_BT = torch.zeros(len(trees), num_tokens, dtype=torch.long)
    positions_BT = torch.zeros(len(trees), num_tokens, dtype=torch.long)
    mask_B1TT = torch.zeros(len(trees), 1, num_tokens, num_tokens, dtype=dtype)
    for row, tree in enumerate(trees):
        ids_BT[row, : len(tree.ids)] = torch.as_tensor(tree.ids)
        positions_BT[row, : len(tree.ids)] = torch.as_tensor(tree.positions)
        mask_B1TT[row, 0].masked_fill_(~tree.visible(num_tokens), torch.finfo(dtype).min)
    return ids_BT, positions_BT, mask_B1TT
