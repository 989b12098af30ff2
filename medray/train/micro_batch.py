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
"""Choices: not tuned. A limit in tokens, unlike tokens/s by a clock, is the same every time."""


class MicroBatch:
    """Rows per forward pass: those given, or else found in the first step; `size` is the same on all ranks."""

    def __init__(self, given: int | None, ranks: Ranks):
        self.size, self._is_found = given or 1, given is not None
        self._ranks, self._is_gpu = ranks, ranks.device.type == "cuda"

    def micro_steps(self, loader: StepLoader, step: Step) -> Iterator[tuple[Batch, bool]]:
        """The batches of a step that was loaded with the present size, and whether each is the last one."""
        if self._is_found:
            yield from zip(step.batches, [False] * (len(step.batches) - 1) + [True], strict=True)
            return
        mine = [row for rows in step.mine for row in rows]
        position, used, is_growing = 0, 0, True
        self._before = self._held_bytes()
        self._limit = self._limit_bytes()
        while position < len(step.mine):
            batch = loader.batch(step, mine[position : position + self.size])
            position += self.size
            self._reset_peak()
            yield batch, position >= len(step.mine)
            if is_growing and position < len(step.mine):
                peak = self._peak_bytes() - self._before
                is_growing = all(self._ranks.gathered(self._fits_twice(used, peak, batch.input_ids.numel())))
                used, self.size = peak, 2 * self.size if is_growing else self.size
        self._is_found = True

    def _limit_bytes(self) -> int:
        if self._is_gpu:
            return int(_GPU_FRACTION * torch.cuda.mem_get_info(self._ranks.device)[1])
        return self._before + int(_CPU_FRACTION * psutil.virtual_memory().available / self._ranks.world_size)

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
        if self._is_gpu:
            return torch.cuda.max_memory_allocated()
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
