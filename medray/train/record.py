"""What rank 0 says of a run, written on the driver's machine: metrics, progress, the ledger of consumed rows.

An actor beside the driver, since a worker may share no disk with it. Its answer means that the line is written: a step
that is in a checkpoint is in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from medray.core.workspace import Workspace
from medray.train.ledger import Ledger, costs

Tell = Callable[..., None]
"""`tell(method, *arguments)` of a record, wherever it is."""


class Record:
    """Journal and ledger of one training stage. One writer at a time: rank 0 of the group that runs."""

    def __init__(self, workspace: Workspace, log_every_steps: int = 1) -> None:
        self._journal, self._ledger = workspace.journal, ledger_of(workspace)
        self._log_every_steps, self._restarts, self._is_new, self._world_size = log_every_steps, {}, False, 0

    def open_group(self, after_step: int, world_size: int, skipped: Sequence[int]) -> None:
        """A group of workers goes on after a step; what an earlier one logged after it is taken back."""
        self._journal.rewind(after_step + 1)
        self._ledger.open_group(after_step, world_size, skipped)
        self._is_new, self._world_size = True, world_size

    def step(
        self, done: int, num_steps: int, rows: Sequence[int], step_s: float, metrics: dict[str, float]
    ) -> None:  # fmt: skip
        """An optimizer step: its rows, how long it took, its metrics."""
        self._ledger.record(done, rows, step_s)
        if self._is_new:
            found, self._is_new = costs(self._ledger.groups()), False
            self._restarts = {name: found[name] for name in ("num_restarts", "restart_lost_s")}
        note = f"loss {metrics['loss']:.4f}, {metrics['tokens_per_s']:.0f} tokens/s, {self._world_size} workers"
        if self._restarts["num_restarts"]:
            note += ", {num_restarts} restarts took {restart_lost_s:.0f} s".format(**self._restarts)
        is_logged = done % self._log_every_steps == 0 or done == num_steps
        self.log(done, num_steps, note, {**metrics, **self._restarts} if is_logged else {})

    def log(self, done: int, num_steps: int, note: str, metrics: dict[str, float]) -> None:
        """Metrics of a step, if any, and how far the run is."""
        if metrics:
            self._journal.log(done, **metrics)
        self._journal.progress(done, num_steps, "steps", note)

    def event(self, name: str, facts: dict[str, Any]) -> None:
        """Something that happened outside the steps."""
        self._journal.event(name, **facts)


def ledger_of(workspace: Workspace) -> Ledger:
    """The ledger of a training stage, beside its journal."""
    return Ledger(workspace.journal.directory / "ledger.jsonl")
