"""Checkpoints written while training goes on: a snapshot in host memory, and one thread that writes it.

The thread uses no collective: rank 0's waits until the files of all ranks are there, and only then writes the marker.
"""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from torch import Tensor

from medray.train import checkpoint, zero
from medray.train.config import TrainPlacement
from medray.train.marker import Marker, TrainState, prune, step_directory, write_marker
from medray.train.ranks import RaisedOnAllRanks, Ranks

_MAX_POLL_S = 1.0


class CheckpointFailed(RuntimeError):
    """A checkpoint could not be written; raised by the next call on the rank that failed."""


@dataclass
class CheckpointWriter:
    """Writes a run's checkpoints below `root`, one at a time: a save waits for the one before it.

    Leaving the `with` block without an error waits until the last checkpoint counts, on every rank.
    """

    root: str
    recipe: dict[str, Any]
    ranks: Ranks
    placement: TrainPlacement
    rewind_steps: int = 0
    """checkpoints at multiples of it stay while a loss spike may go back to them"""
    _buffers: dict[str, Tensor] = field(default_factory=dict)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    _pending: Future | None = None
    _is_stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        # the same on all ranks, and unlike any other worker group's, whose files may still lie, or arrive, here
        self._attempt = self.ranks.agreed(uuid.uuid4().hex)

    def save(self, engine: Any, state: TrainState) -> None:
        """Take a snapshot and return; all ranks call it. A finished state is saved as parameters only."""
        self.wait()
        if state.is_finished:
            self._buffers.clear()
        keys = frozenset({zero.PARAMETER}) if state.is_finished else None
        tensors = checkpoint.snapshot(zero.slices(engine), self._buffers, keys=keys)
        scalars = {} if state.is_finished else zero.scalars(engine)
        self._pending = self._thread.submit(self._write, tensors, scalars, state)

    def check(self) -> None:
        """Raise CheckpointFailed if this rank's last save has failed by now."""
        if self._pending and self._pending.done():
            self.wait()

    def wait(self) -> None:
        """Until this rank's last save is written, on rank 0 until it counts."""
        if text := self._failure():
            raise CheckpointFailed(text) from self._pending.exception()

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # what was saved before an error still counts, if all ranks get here
        is_orderly = error is None or isinstance(error, RaisedOnAllRanks)
        try:
            # rank 0 comes last: its thread waits for the others' files, and for ever for one that could not be written
            for turn in (self.ranks.rank > 0, self.ranks.rank == 0) if is_orderly else ():
                if failures := [text for text in self.ranks.gathered(self._failure() if turn else "") if text]:
                    raise CheckpointFailed(failures[0])
        finally:
            self._is_stopped.set()

    def _failure(self) -> str:
        error = self._pending.exception() if self._pending else None
        return f"{self.root}: rank {self.ranks.rank} could not write a checkpoint: {error}" if error else ""

    def _write(self, tensors: dict[str, Tensor], scalars: dict[str, float], state: TrainState) -> None:
        rank, world_size = self.ranks.rank, self.ranks.world_size
        directory = step_directory(self.root, state.optimizer_step)
        path = checkpoint.rank_file(directory, rank, world_size)
        checkpoint.write_rank(path, tensors, attempt=self._attempt, scalars=scalars)
        if rank == 0:
            found = [self._awaited(directory, other) for other in range(world_size)]
            if all(found):
                first = next((facts["scalars"] for facts in found if facts["scalars"]), {})
                write_marker(directory, Marker(state, self.recipe, self._attempt, world_size, first))
                kept, best = self.placement.keep_checkpoints, self.placement.keep_best
                prune(self.root, kept, keep_best=best, rewind_steps=self.rewind_steps)

    def _awaited(self, directory: str, rank: int) -> dict[str, Any] | None:
        """The facts of a rank's file, once it is written; None if this run ends before."""
        pause_s, is_stopped = 0.01, False
        while not (facts := checkpoint.written_facts(directory, rank, self.ranks.world_size, self._attempt)):
            if is_stopped:
                return None
            is_stopped = self._is_stopped.wait(pause_s)
            pause_s = min(2 * pause_s, _MAX_POLL_S)
        return facts
