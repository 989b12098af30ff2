"""Rows per forward pass, found while the first step runs: 1, 2, 4, ... as long as twice as many would fit.

The sum of a step's gradients does not depend on how its rows are grouped, so the search is the step itself: nothing is
computed for nothing, and the trajectory is that of any other micro-batch, beyond floating-point order.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator

import psutil
import torch

from medray.train.batches import Batch, Step, StepLoader
from medray.train.ranks import Ranks

_GPU_FRACTION = 0.85  # of all its memory; fragments and other processes have the rest
_CPU_FRACTION = 0.5  # of what is available when training begins, shared by all workers
_CPU_MAX_TOKENS = 4096
"""More in one pass make a CPU no faster (LOG.md), and a limit in tokens, unlike a clock's, is the same every time."""


class MicroBatchSearch:
    """Groups the rows of the first step; `size` is what was found, the same on all ranks."""

    def __init__(self, ranks: Ranks):
        self.size = 1
        self._ranks = ranks
        self._is_gpu = ranks.device.type == "cuda"
        self._before = self._held_bytes()
        if self._is_gpu:
            self._limit = int(_GPU_FRACTION * torch.cuda.mem_get_info(ranks.device)[1])
        else:
            share = psutil.virtual_memory().available / ranks.world_size
            self._limit = int(self._before + _CPU_FRACTION * share)

    def micro_steps(self, loader: StepLoader, step: Step) -> Iterator[tuple[Batch, bool]]:
        """Batches of a step of micro-batch 1, and whether each is the last; grows after each that was computed."""
        mine = [row for rows in step.mine for row in rows]
        position, used, is_growing = 0, 0, True
        while position < len(step.mine):
            rows = mine[position : position + self.size]
            batch = loader.batch(step, rows)
            position += self.size
            self._reset_peak()
            yield batch, position >= len(step.mine)
            if is_growing and position < len(step.mine):
                peak = self._peak_bytes() - self._before
                tokens = batch.input_ids.numel()
                is_growing = all(self._ranks.gathered(self._fits_twice(used, peak, tokens)))
                used, self.size = peak, 2 * self.size if is_growing else self.size

    def _fits_twice(self, half: int, whole: int, num_tokens: int) -> bool:
        """Whether a pass twice as large fits, from the bytes that half of this one and this one took.

        Attention may grow with the square: the first guess is four times, later ones go by the growth seen.
        """
        growth = min(4.0, max(2.0, 1.25 * whole / half)) if half > 0 else 4.0
        return self._before + growth * whole <= self._limit and (self._is_gpu or 2 * num_tokens <= _CPU_MAX_TOKENS)

    def _held_bytes(self) -> int:
        return torch.cuda.memory_allocated() if self._is_gpu else psutil.Process().memory_info().rss

    def _reset_peak(self) -> None:
        if self._is_gpu:
            torch.cuda.reset_peak_memory_stats()

    def _peak_bytes(self) -> int:
        # a process' own peak cannot be reset, but each pass is larger than those before
        return (
            torch.cuda.max_memory_allocated()
            if self._is_gpu
            else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        )
