"""Which rows of the token store each optimizer step consumed: the proof that none is repeated and none left out.

`ledger.jsonl` beside the journal is only ever appended to: a line "session" for each driver, "from" for each group of
workers, "step" for each optimizer step (rank 0 writes both). A group goes on after its checkpoint, so it takes back the
steps recorded after that; what is left is the surviving trajectory. What was taken back stays in the file, and with it
what restarts cost.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Step:
    """One optimizer step: its rows, when it ended (seconds since 1970) and how long it took."""

    number: int
    rows: np.ndarray
    at: float
    step_s: float


@dataclass(frozen=True)
class Group:
    """One group of workers: the step it went on after, its size, rows left out there, and the steps it took."""

    after_step: int
    world_size: int
    skipped: np.ndarray
    opens_session: bool
    session_at: float
    steps: list[Step] = field(default_factory=list)


class Ledger:
    """The file of one training run; picklable. One writer at a time."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def open_session(self) -> None:
        """Say that a driver begins: the time since the last line was nobody's."""
        self._append({"session": True}, first=True)

    def open_group(self, after_step: int, world_size: int, skipped: Sequence[int] = ()) -> None:
        """Say that a group goes on after a step, taking back what was recorded after it; it leaves out `skipped`."""
        self._append({"from": after_step, "world_size": world_size, "skipped": list(skipped)}, first=True)

    def record(self, step: int, rows: Sequence[int], step_s: float) -> None:
        """Append one step."""
        self._append({"step": step, "step_s": round(step_s, 4), "rows": list(rows)})

    def _append(self, line: dict[str, Any], *, first: bool = False) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as stream:
            # a new writer ends the line that a killed one may have left torn
            stream.write(b"\n" * first + json.dumps({**line, "at": round(time.time(), 3)}).encode() + b"\n")

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        with open(self.path, "rb") as stream:
            for text in stream:
                try:
                    if text.strip():
                        yield json.loads(text)
                except json.JSONDecodeError:
                    continue  # torn by a kill: that step is in no checkpoint, and its number will be missing if it were

    def groups(self) -> list[Group]:
        """Every group that finished a step, in order."""
        found: list[Group] = []
        session_at, is_new = 0.0, True
        for line in self._lines():
            if "session" in line:
                session_at, is_new = line["at"], True
            elif "from" in line:
                skipped = np.asarray(line["skipped"], np.int64)
                found.append(Group(line["from"], line["world_size"], skipped, is_new, session_at))
                is_new = False
            else:
                rows = np.asarray(line["rows"], np.int64)
                found[-1].steps.append(Step(line["step"], rows, line["at"], line["step_s"]))
        return [group for group in found if group.steps]


def surviving(groups: Sequence[Group]) -> tuple[list[Step], dict[int, np.ndarray]]:
    """The steps that the final weights hold, and the rows left out on purpose, by the step after which they were."""
    steps: list[Step] = []
    skipped: dict[int, np.ndarray] = {}
    for group in groups:
        steps = [step for step in steps if step.number <= group.after_step]
        skipped = {after: rows for after, rows in skipped.items() if after < group.after_step}
        if len(group.skipped):
            skipped[group.after_step] = group.skipped
        steps += group.steps
    return steps, skipped


def first_fault(groups: Sequence[Group], num_rows: int, num_positions: int) -> str | None:
    """The first repeated or missing step or row of a finished run, in words; None if there is none.

    num_rows: of the store; num_positions: rows in the whole run, over all epochs. In each epoch every row may come only
    once, consumed or left out on purpose; so a full epoch has all of them.
    """
    steps, skipped = surviving(groups)
    first_seen = np.zeros(num_rows, np.int64)  # 0: not yet in this epoch, else the step
    position = 0
    for expected, step in enumerate(steps, 1):
        if step.number != expected:
            return f"step {step.number} follows step {expected - 1}, expected step {expected}"
        for rows in (skipped.get(expected - 1, step.rows[:0]), step.rows):
            for row in rows.tolist():
                if position % num_rows == 0:
                    first_seen[:] = 0
                epoch = position // num_rows
                if not 0 <= row < num_rows:
                    return f"step {expected}: row {row}, expected one of the store's {num_rows}"
                if first_seen[row]:
                    lacking = int(np.flatnonzero(first_seen == 0)[0])
                    before = f"epoch {epoch} had it in step {first_seen[row]} and lacks others, row {lacking} first"
                    return f"step {expected}: row {row} a second time; {before}"
                first_seen[row] = expected
                position += 1
    if position != num_positions:
        return f"{position} rows after the last step, {len(steps)}, expected {num_positions}"
    return None


def costs(groups: Sequence[Group]) -> dict[str, int | float]:
    """num_restarts, num_resizes, restart_lost_s (steps taken back and the time between groups) and goodput.

    goodput: seconds of the surviving steps over the seconds that drivers were there, from the first one's begin to the
    last step; the time when no driver ran does not count.
    """
    kept, _ = surviving(groups)
    useful_s = sum(step.step_s for step in kept)
    lost_s = sum(step.step_s for group in groups for step in group.steps) - useful_s
    wall_s, sizes = 0.0, [group.world_size for group in groups]
    for number, group in enumerate(groups):
        begin = group.session_at if group.opens_session else groups[number - 1].steps[-1].at
        wall_s += group.steps[-1].at - begin
        if number:
            lost_s += group.steps[0].at - group.steps[0].step_s - begin
    return {
        "num_restarts": max(0, len(groups) - 1),
        "num_resizes": sum(one != other for one, other in zip(sizes, sizes[1:], strict=False)),
        "restart_lost_s": round(max(lost_s, 0.0), 1),
        "goodput": round(useful_s / wall_s, 4) if wall_s > 0 else 1.0,
    }
