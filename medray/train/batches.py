"""Rows of the token store to tensors, and rows of a step to ranks.   Shapes: T tokens, N targets, S sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from medray.model.tree import TokenTree
from medray.tables.blocks import BlockStore, Row
from medray.tables.row_order import row_order
from medray.train.config import Optimization
from medray.train.ranks import Ranks


@dataclass(frozen=True)
class Batch:
    """Rows of one micro-step as one row of tokens without padding.

    Sequences of a block stand one after the other and position_ids restart at each. The two sequences of a pair share
    the tokens that both begin with, usually the prompt, and a mask says which tokens see each other.
    """

    input_ids: Tensor  # [1, T]
    position_ids: Tensor  # [1, T]
    starts_S: Tensor  # int32, S + 1: where each sequence begins when all are laid end to end, and their end
    longest: int  # tokens of the longest sequence
    visible_TT: Tensor | None  # boolean; None: each sequence by itself
    predictor_N: Tensor  # index in T of the token before each target
    target_N: Tensor
    sequence_N: Tensor  # the sequence of each target
    last_S: Tensor  # index in T of the last token of each sequence
    reference_S: Tensor  # reference log-probability (nats) of each sequence, fp64; empty if the store has none
    label_B: Tensor  # of each row, fp64, as the token store defines it; nan if the store has none
    rows: tuple[int, ...]
    mismatched: Batch | None = None  # of labelled rows: completions of other prompts, which only the means are taken of
    means: Mapping[str, float] = field(default_factory=dict)  # over the global batch, of what the objective asks for
    weight: float = 1.0  # 0: computed only to keep step with the other ranks


def step_rows(
    optimizer_step: int, store: BlockStore, optimization: Optimization, skipped: Sequence[tuple[int, int]] = ()
) -> list[int]:
    """The store's rows of one optimizer step: a pure function of (rng_seed, position), the same on every rank.

    Positions run through the epochs without a gap, so a batch may span two epochs; only the last of a run is partial.
    skipped: (optimizer step, rows left out after it), as in the checkpoint's state.
    """
    first = first_position(optimizer_step, optimization.global_batch, skipped)
    return rows_at(
        range(first, min(first + optimization.global_batch, optimization.num_rows(len(store)))), store, optimization
    )


def first_position(optimizer_step: int, global_batch: int, skipped: Sequence[tuple[int, int]]) -> int:
    """Where the batch of a step begins in the order of rows over all epochs."""
    return optimizer_step * global_batch + sum(rows for after, rows in skipped if after <= optimizer_step)


def rows_at(positions: Iterable[int], store: BlockStore, optimization: Optimization) -> list[int]:
    """The rows at some positions of the order over all epochs."""
    size = len(store)
    by_shard = store.facts["kind"] == "causal_lm"
    return [
        _order(size, store.rows_per_shard, optimization.rng_seed, position // size, by_shard=by_shard)(position % size)
        for position in positions
    ]


def upcoming_rows(
    optimizer_step: int, store: BlockStore, optimization: Optimization, skipped: Sequence[tuple[int, int]] = ()
) -> list[int]:
    """A row of every shard that is begun after the step and up to the next step's end, and of one more.

    None where rows come in any order: then all shards are in use.
    """
    size, per_shard = len(store), store.rows_per_shard
    if store.facts["kind"] != "causal_lm" or size <= per_shard:
        return []
    end = optimization.num_rows(size)
    first = first_position(optimizer_step + 1, optimization.global_batch, skipped)
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
    weight, mismatched = 1.0 if rows else 0.0, None
    if store.facts["kind"] == "labelled":
        mismatched = _laid_out([_sequence_of(unit, 1) for unit in units], rows, device, weight)
        units = [_sequence_of(unit, 0) for unit in units]
    batch = _laid_out(units, rows, device, weight, shares_prompts=store.facts["kind"] == "pairs")
    return replace(batch, mismatched=mismatched)


def _sequence_of(unit: Row, index: int) -> Row:
    """One of a row's sequences as a row."""
    begin = int(unit.lengths[:index].sum())
    part, one = slice(begin, begin + int(unit.lengths[index])), slice(index, index + 1)
    return Row(unit.input_ids[part], unit.lengths[one], unit.loss_mask[part], unit.reference[one], unit.label)


def _laid_out(
    units: Sequence[Row], rows: Sequence[int], device: torch.device, weight: float, *, shares_prompts: bool = False
) -> Batch:
    ids_L = np.concatenate([unit.input_ids for unit in units]).astype(np.int64)
    lengths_S = np.concatenate([unit.lengths for unit in units]).astype(np.int64)
    ends_S = np.cumsum(lengths_S)
    # targets are counted over the sequences laid end to end, each of them whole
    target_L = np.flatnonzero(np.concatenate([unit.loss_mask for unit in units]))
    at_L, visible_TT, longest = np.arange(len(ids_L)), None, int(lengths_S.max())
    ids_T, position_T = ids_L, at_L - np.repeat(ends_S - lengths_S, lengths_S)
    if shares_prompts:
        tree = TokenTree()
        spots = [found for pair in _pairs(ids_L, ends_S) for found in tree.add_siblings(pair)]
        at_L = np.concatenate([np.asarray(found, dtype=np.int64) for found in spots])
        ids_T, position_T = np.asarray(tree.ids, dtype=np.int64), np.asarray(tree.positions, dtype=np.int64)
        visible_TT = tree.visible(len(ids_T)).to(device)
    arrays = {
        "input_ids": ids_T[None],
        "position_ids": position_T[None],
        "starts_S": np.append(0, ends_S).astype(np.int32),
        "predictor_N": at_L[target_L - 1],
        "target_N": ids_L[target_L],
        "sequence_N": np.searchsorted(ends_S, target_L, side="right"),
        "last_S": at_L[ends_S - 1],
        "reference_S": np.concatenate([unit.reference for unit in units]),
        "label_B": np.array([unit.label for unit in units]),
    }
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()}
    return Batch(**tensors, visible_TT=visible_TT, longest=longest, rows=tuple(rows), weight=weight)


def _pairs(ids_L: np.ndarray, ends_S: np.ndarray) -> Iterator[list[list[int]]]:
    sequences = [ids.tolist() for ids in np.split(ids_L, ends_S[:-1])]
    yield from ([chosen, rejected] for chosen, rejected in zip(sequences[::2], sequences[1::2], strict=True))


@dataclass(frozen=True)
class Step:
    """What one rank needs for one optimizer step."""

    rows: list[int]  # of all ranks
    num_units: int  # of all rows: what the loss is divided by
    num_tokens: int  # of all rows
    mine: list[list[int]]  # this rank's rows by micro-step
    batches: list[Batch]


class StepLoader:
    """Loads the next step's batches in a thread while a step is computed, so that storage does not stall it."""

    def __init__(
        self,
        store: BlockStore,
        num_units: Callable[[BlockStore, int], int],
        optimization: Optimization,
        ranks: Ranks,
        skipped: Sequence[tuple[int, int]] = (),
    ):
        self._store, self._num_units, self._optimization, self._ranks = store, num_units, optimization, ranks
        self._skipped, self._num_steps = skipped, optimization.num_steps(len(store), skipped)
        self._thread = ThreadPoolExecutor(1)
        self._next: tuple[tuple[int, int], Future[Step]] | None = None

    def take(self, optimizer_step: int, micro_batch: int) -> Step:
        """The data of one step; begins to load the step after it."""
        wanted = (optimizer_step, micro_batch)
        if self._next is None or self._next[0] != wanted:
            self._next = (wanted, self._thread.submit(self._load, *wanted))
        step = self._next[1].result()
        if optimizer_step + 1 < self._num_steps:
            following = (optimizer_step + 1, micro_batch)
            self._next = (following, self._thread.submit(self._load, *following))
        return step

    def batch(self, step: Step, rows: Sequence[int]) -> Batch:
        """Some of a step's rows as one batch; none of them as an idle one."""
        return load_batch(self._store, rows, self._ranks.device, idle_row=step.rows[0])

    def close(self) -> None:
        """Stop loading."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _load(self, optimizer_step: int, micro_batch: int) -> Step:
        rows = step_rows(optimizer_step, self._store, self._optimization, self._skipped)
        for row in upcoming_rows(optimizer_step, self._store, self._optimization, self._skipped):
            self._store.prefetch(row)
        mine = rank_rows(rows, self._store, self._ranks.rank, self._ranks.world_size, micro_batch)
        num_units = sum(self._num_units(self._store, row) for row in rows)  # every rank counts alike: no message
        step = Step(rows, num_units, sum(map(self._store.num_tokens, rows)), mine, [])
        step.batches.extend(self.batch(step, micro_rows) for micro_rows in mine)
        return step
