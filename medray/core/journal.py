"""One journal per stage: metrics as JSON lines (the record), trackers by config (views of it), live progress."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from medray.core.config import Placement
from medray.core.files import written_whole


class Trackers(Placement):
    """Where metrics go besides journal/metrics.jsonl."""

    tensorboard: bool = True
    wandb_project: str | None = None
    mlflow_uri: str | None = None


class Journal:
    """Metrics and progress of one stage; picklable, so that any worker on the same file system can write."""

    def __init__(self, directory: Path, label: str, trackers: Trackers | None = None) -> None:
        self.directory = Path(directory)
        self.label = label
        self.trackers = trackers or Trackers(tensorboard=False)
        self._writers: list[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_writers": None}

    @property
    def path(self) -> Path:
        """The JSON lines file."""
        return self.directory / "metrics.jsonl"

    def log(self, step: int, **metrics: float) -> None:
        """Append the metrics of one step (an optimizer_step in training stages); non-finite values become null."""
        self.directory.mkdir(parents=True, exist_ok=True)
        values = {name: float(value) for name, value in metrics.items()}
        record = {"step": step, "at": round(time.time(), 3)}
        record.update({name: value if math.isfinite(value) else None for name, value in values.items()})
        with open(self.path, "a") as stream:
            stream.write(json.dumps(record) + "\n")
        if self._writers is None:
            self._writers = _open_trackers(self.directory, self.label, self.trackers)
        for write in self._writers:
            write(step, values)

    def progress(self, done: float, total: float, unit: str, note: str = "") -> None:
        """Say how far the stage is; the driver shows it. Cheap: one small file replaced."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with written_whole(self.directory / "progress.json") as partial:
            partial.write_text(json.dumps({"done": done, "total": total, "unit": unit, "note": note}))

    def event(self, name: str, **facts: Any) -> None:
        """Append something that happened outside the steps (a worker hung, a node is drained) to events.jsonl."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / "events.jsonl", "a") as stream:
            stream.write(json.dumps({"event": name, "at": round(time.time(), 3), **facts}) + "\n")

    def events(self) -> list[dict[str, Any]]:
        """Everything `event` said, in order."""
        path = self.directory / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def read_progress(self) -> dict[str, Any] | None:
        """What `progress` said last, or None."""
        path = self.directory / "progress.json"
        return json.loads(path.read_text()) if path.exists() else None

    def history(self) -> list[dict[str, Any]]:
        """All records, one per step in order; of a step logged twice the last, and no torn last line."""
        if not self.path.exists():
            return []
        records: dict[int, dict[str, Any]] = {}
        lines = self.path.read_text().split("\n")
        for number, line in enumerate(lines):
            if not line:
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                assert number == len(lines) - 1, f"{self.path}:{number + 1}: not JSON"
                continue
            records[record["step"]] = record
        return [records[step] for step in sorted(records)]

    def rewind(self, step: int) -> None:
        """Forget records from `step` on: a resumed run writes them again."""
        kept = [record for record in self.history() if record["step"] < step]
        if not self.path.exists():
            return
        with written_whole(self.path) as partial:
            partial.write_text("".join(json.dumps(record) + "\n" for record in kept))


def _open_trackers(directory: Path, label: str, trackers: Trackers) -> list[Any]:
    writers: list[Any] = []
    if trackers.tensorboard:
        from torch.utils.tensorboard import SummaryWriter

        board = SummaryWriter(str(directory / "tensorboard"), flush_secs=10)
        writers.append(lambda step, values: [board.add_scalar(k, v, step) for k, v in values.items()])
    if trackers.wandb_project:
        import wandb

        run = wandb.init(project=trackers.wandb_project, name=label, dir=str(directory))
        writers.append(lambda step, values: run.log(values, step=step))
    if trackers.mlflow_uri:
        import mlflow

        mlflow.set_tracking_uri(trackers.mlflow_uri)
        mlflow.start_run(run_name=label)
        writers.append(lambda step, values: mlflow.log_metrics(values, step=step))
    return writers
