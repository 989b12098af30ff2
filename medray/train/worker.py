"""What one Ray Train worker does: load, train, and on rank 0 log and export.   (Only ray.train, with launch.py.)"""

from __future__ import annotations

import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medray.core.config import UserError
from medray.core.mirror import mirrored
from medray.core.workspace import Workspace
from medray.tables.blocks import BlockStore
from medray.train import pulse
from medray.train.config import Optimization, TrainPlacement
from medray.train.objective import Objective
from medray.train.record import Tell


@dataclass(frozen=True)
class Job:
    """A training run, as sent to the workers."""

    objective: Objective
    model: Path
    store: str
    """directory or URL of a token store"""
    optimization: Optimization
    placement: TrainPlacement
    workspace: Workspace


def received(config: dict[str, Any]) -> tuple[Any, Tell]:
    """The job that a worker was sent, with copies of its own of what lies on an object store, and its record."""
    import ray

    def tell(method: str, *arguments: Any) -> None:
        ray.get(getattr(config["record"], method).remote(*arguments))

    return pickle.loads(config["job"]), tell


def open_store(place: str, cache_bytes: int) -> BlockStore:
    """A token store in a directory, or the copy that this machine has of one at a URL."""
    return BlockStore(mirrored(place), place, cache_bytes) if "://" in place else BlockStore(Path(place))


def work(config: dict[str, Any]) -> dict[str, Any] | None:
    """One worker of a Job: the final metrics on rank 0."""
    import ray.train
    import torch

    job, tell = received(config)
    torch.set_num_threads(job.placement.threads_per_worker)

    from medray.model.attention import kernel
    from medray.model.head import loss_kernel
    from medray.train.elastic import Interrupted
    from medray.train.loop import Ranks, train

    context = ray.train.get_context()
    device = ray.train.torch.get_device() if job.placement.use_gpu else torch.device("cpu")
    ranks = Ranks(context.get_world_rank(), context.get_world_size(), device)
    model, store = _loaded(job, ranks)
    pulse.watch(model)
    recorder = _Recorder(job, store, ranks.world_size, tell)
    state = train(
        model,
        store,
        objective=job.objective,
        optimization=job.optimization,
        placement=job.placement,
        checkpoints=job.workspace.checkpoints,
        ranks=ranks,
        on_rows=recorder.rows,
        on_step=recorder.step,
        interrupt=pulse.stop_reason,
    )
    pulse.done()
    if not state.is_finished:
        recorder.note_spike(state)
        raise Interrupted(f"asked to stop, saved after step {state.optimizer_step}")
    if ranks.rank != 0:
        return None
    _export(job)
    left_out = {"rows_left_out": sum(rows for _, rows in state.skipped)} if state.skipped else {}
    kernels = {"attention": kernel(device, model.dtype), "cross_entropy": loss_kernel(device)}
    return {
        "optimizer_steps": state.optimizer_step, "rows": state.position, **left_out, **kernels, **state.metrics,
    }  # fmt: skip


class _Recorder:
    """Tells the record what rank 0 hears of each step."""

    def __init__(self, job: Job, store: Any, world_size: int, tell: Tell) -> None:
        self._job, self._store, self._world_size, self._tell = job, store, world_size, tell
        self._rows: list[int] = []
        self._last: tuple[int, float] | None = None

    def rows(self, done: int, rows: list[int]) -> None:
        """The loop's on_rows, called before `step`."""
        self._rows = rows

    def step(self, done: int, num_steps: int, metrics: dict[str, float]) -> None:
        """The loop's on_step."""
        if self._last is None:
            self._tell("open_group", done - 1, self._world_size, self._left_out(done - 1))
        self._last = done, metrics["loss"]
        step_s = sum(map(self._store.num_tokens, self._rows)) / metrics["tokens_per_s"]
        self._tell("step", done, num_steps, self._rows, step_s, metrics)

    def note_spike(self, state: Any) -> None:
        """Say it if the loop went back; `state` is what it goes on from."""
        if self._last and state.optimizer_step < self._last[0]:
            (step, loss), (after_step, num_rows) = self._last, state.skipped[-1]
            facts = {"step": step, "loss": loss, "back_to": after_step, "rows_left_out": num_rows}
            self._tell("event", "loss_spike", facts)

    def _left_out(self, after_step: int) -> list[int]:
        """Rows that a loss spike leaves out right after a step, as its checkpoint says."""
        from medray.train.batches import first_position, rows_at
        from medray.train.marker import read_marker, step_directory

        marker = read_marker(step_directory(self._job.workspace.checkpoints, after_step))
        skipped = marker.state.skipped if marker else []
        count = sum(rows for step, rows in skipped if step == after_step)
        before = [(step, rows) for step, rows in skipped if step < after_step]
        begin = first_position(after_step, self._job.optimization.global_batch, before)
        return rows_at(range(begin, begin + count), self._store, self._job.optimization)


def _loaded(job: Job, ranks: Any) -> tuple[Any, Any]:
    """The model and the token store. A UserError of any rank, whose disk may lack one of them, is raised on all."""
    mistake, model, store = "", None, None
    try:
        model = job.objective.load(job.model, job.optimization.dtype)
        store = open_store(job.store, job.placement.store_cache_bytes)
    except UserError as error:
        mistake = str(error)
    if mistakes := [text for text in ranks.gathered(mistake) if text]:
        raise UserError(mistakes[0])
    return model, store


def _export(job: Job) -> None:
    """The finished checkpoint as a Hugging Face directory in workspace.data/"model"."""
    from medray.model.export import save_model
    from medray.model.load import load_tokenizer
    from medray.train.checkpoint import CheckpointReader, newest_whole

    found = newest_whole(job.workspace.checkpoints)
    assert found is not None, f"{job.workspace.checkpoints}: no checkpoint after training"
    model = job.objective.load(job.model, job.optimization.dtype)
    CheckpointReader(found).load_model(model)
    model = job.objective.finished(model, job.workspace.data)
    target = job.workspace.data / "model"
    shutil.rmtree(target, ignore_errors=True)
    card = {
        "title": job.workspace.kind,  # equal ids are equal bytes, whatever the label
        "objective": {"name": type(job.objective).__name__, **job.objective.model_dump(mode="json")},
        "optimization": job.optimization.model_dump(mode="json"),
    }
    save_model(model, load_tokenizer(job.model), target, card)
    job.workspace.publish("data/*")
