"""Rows of the token store to tensors, and rows of a step to ranks.   Shapes: T tokens, N targets, S sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from medray.model.tree import TokenTree
from medray.tables.blocks import BlockStore
from medray.tables.row_order import row_order
from medray.train.config import Optimization


@dataclass(frozen=True)
class Batch:
    """Rows of one micro-step as one row of tokens without padding.

    Sequences of a block stand one after the other and position_ids restart at each. The two sequences of a pair share
    the tokens that both begin with, usually the prompt, and a mask says which tokens see each other.
    """

    input_ids: Tensor  # [1, T]
    position_ids: Tensor  # [1, T]
    visible_TT: Tensor | None  # boolean; None: each sequence by itself
    predictor_N: Tensor  # index in T of the token before each target
    target_N: Tensor
    sequence_N: Tensor  # the sequence of each target
    last_S: Tensor  # index in T of the last token of each sequence
    reference_S: Tensor  # reference log-probability (nats) of each sequence, fp64; empty if the store has none
    rows: tuple[int, ...]
    weight: float = 1.0  # 0: computed only to keep step with the other ranks


def step_rows(optimizer_step: int, store: BlockStore, optimization: Optimization) -> list[int]:
    """The store's rows of one optimizer step: a pure function of (rng_seed, position), the same on every rank.

    Positions run through the epochs without a gap, so a batch may span two epochs; only the last of a run is partial.
    """
    first = optimizer_step * optimization.global_batch
    last = min(first + optimization.global_batch, optimization.num_rows(len(store)))
    size = len(store)
    by_shard = store.facts["kind"] == "causal_lm"
    return [
        _order(size, store.rows_per_shard, optimization.rng_seed, position // size, by_shard=by_shard)(position % size)
        for position in range(first, last)
    ]


def upcoming_rows(optimizer_step: int, store: BlockStore, optimization: Optimization) -> list[int]:
    """A row of every shard that is begun after the step and up to the next step's end, and of one more.

    None where rows come in any order: then all shards are in use.
    """
    size, per_shard = len(store), store.rows_per_shard
    if store.facts["kind"] != "causal_lm" or size <= per_shard:
        return []
    end = optimization.num_rows(size)
    first = (optimizer_step + 1) * optimization.global_batch
    rows, position = [], first - 1
    while position < first + optimization.global_batch:
        epoch, within = divmod(position, size)
        position = epoch * size + min((within // per_shard + 1) * per_shard, size)
        if position >= end:
            break
        order = _order(size, per_shard, optimization.rng_seed, position // size, by_shard=True)
        rows.append(order(position % size))
    return rows


_order = lru_cache(maxsize=4)(row_order)


def rank_rows(rows: Sequence[int], store: BlockStore, rank: int, world_size: int, micro_batch: int) -> list[list[int]]:
    """The rows of each micro-step of one rank; an empty list is a micro-step in which this rank has nothing left.

    Every rank gets equally many micro-steps, since ZeRO 2 and 3 communicate in each. Rows are dealt longest first, back
    and forth, so that ranks carry about the same number of tokens; the sum over a step does not depend on it.
    """
    by_length = sorted(rows, key=lambda row: (-store.num_tokens(row), row))
    mine = [row for i, row in enumerate(by_length) if _dealt_to(i, world_size) == rank]
    most = -(-len(rows) // world_size)
    num_micro_steps = -(-most // micro_batch)
    return [mine[i * micro_batch : (i + 1) * micro_batch] for i in range(num_micro_steps)]


def _dealt_to(index: int, world_size: int) -> int:
    turn, seat = divmod(index, world_size)
    return seat if turn % 2 == 0 else world_size - 1 - seat


def load_batch(store: BlockStore, rows: Sequence[int], device: torch.device, *, idle_row: int = 0) -> Batch:
    """Rows as one batch on a device; for no rows, `idle_row` with weight 0."""
    units = [store[row] for row in (rows or [idle_row])]
    is_paired = store.facts["kind"] == "pairs"
    tree = TokenTree()
    spots: list[list[int]] = []  # where each sequence's tokens stand in the row
    for unit in units:
        sequences = np.split(unit.input_ids, np.cumsum(unit.lengths)[:-1])
        siblings = [sequences] if is_paired else [[ids] for ids in sequences]
        spots += [found for group in siblings for found in tree.add_siblings([ids.tolist() for ids in group])]
    # targets are counted over the sequences laid end to end, each of them whole
    at_L = np.concatenate([np.asarray(found, dtype=np.int64) for found in spots])
    ids_T = np.asarray(tree.ids, dtype=np.int64)
    target_L = np.flatnonzero(np.concatenate([unit.loss_mask for unit in units]))
    ends_S = np.cumsum([len(found) for found in spots])
    arrays = {
        "input_ids": ids_T[None],
        "position_ids": np.asarray(tree.positions, dtype=np.int64)[None],
        "predictor_N": at_L[target_L - 1],
        "target_N": ids_T[at_L[target_L]],
        "sequence_N": np.searchsorted(ends_S, target_L, side="right"),
        "last_S": at_L[ends_S - 1],
        "reference_S": np.concatenate([unit.reference for unit in units]),
    }
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()}
    visible_TT = tree.visible(len(ids_T)).to(device) if is_paired else None
    return Batch(**tensors, visible_TT=visible_TT, rows=tuple(rows), weight=1.0 if rows else 0.0)
