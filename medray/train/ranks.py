"""This process among the workers of a run: the few collectives that the loop uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from medray.core.config import UserError


class RaisedOnAllRanks(UserError):
    """A mistake that every rank sees in the same place, so that no rank waits for another."""


@dataclass(frozen=True)
class Ranks:
    """This process among the workers; torch.distributed must be initialised accordingly."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = torch.device("cpu")

    @staticmethod
    def alone(device: str = "cpu") -> Ranks:
        """One plain process: starts a process group of one where there is none."""
        if not dist.is_initialized():
            backend = "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
        return Ranks(device=torch.device(device))

    def sum(self, values: Tensor) -> Tensor:
        """Element-wise sum over all ranks."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def agreed(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        values = [value]
        if self.world_size > 1:
            dist.broadcast_object_list(values)
        return values[0]

    def gathered(self, value: Any) -> list[Any]:
        """Every rank's value, in rank order."""
        values = [value] * self.world_size
        if self.world_size > 1:
            dist.all_gather_object(values, value)
        return values
