"""What a training run tells while it runs: a clock's readings, which are no part of its result."""

from __future__ import annotations

import time
from typing import Any

import psutil
import torch

from medray.plan.training import adapter_flops, device_flops, full_flops
from medray.train.ranks import Ranks


class StepClock:
    """Times one step after the other; the time to tell of a step, or to save it, belongs to the step after it."""

    def __init__(self, model: Any, ranks: Ranks):
        parameters = list(model.parameters())
        flops = full_flops if all(p.requires_grad for p in parameters) else adapter_flops
        self._flops_per_token = flops(sum(p.numel() for p in parameters), 1)
        self._ranks, self._is_gpu = ranks, ranks.device.type == "cuda"
        self._peak_flops = device_flops(torch.cuda.get_device_name(ranks.device)) if self._is_gpu else None
        self.restart()

    def restart(self) -> None:
        """Begin a step."""
        self._started_at = self._mark = time.perf_counter()
        self._spent: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Book the time since the last lap, or the beginning of the step, under a name."""
        now = time.perf_counter()
        self._spent[name] = self._spent.get(name, 0.0) + now - self._mark
        self._mark = now

    def read(self, num_tokens: int) -> dict[str, float]:
        """Readings of the step so far.

        tokens_per_s of all workers; data_wait_fraction, the part of the step in which nothing was computed for want of
        rows; save_s, in which it waited for a checkpoint; memory_bytes of this process, on a GPU the most allocated on
        it; mfu, the part of the GPUs' peak that the model's own operations used, where the peak is known.
        """
        seconds = time.perf_counter() - self._started_at
        readings = {
            "tokens_per_s": num_tokens / seconds,
            "data_wait_fraction": self._spent.get("data", 0.0) / seconds,
            "save_s": self._spent.get("save", 0.0),
            "memory_bytes": torch.cuda.max_memory_allocated() if self._is_gpu else psutil.Process().memory_info().rss,
        }
        if self._peak_flops:
            per_gpu = self._flops_per_token * num_tokens / seconds / self._ranks.world_size
            readings["mfu"] = per_gpu / self._peak_flops
        return readings
