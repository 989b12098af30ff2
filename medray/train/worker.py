"""What one Ray Train worker does: load, train, and on rank 0 log and export.   (Only ray.train, with launch.py.)"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medray.core.config import UserError
from medray.core.workspace import Workspace
from medray.train.config import Optimization, TrainPlacement
from medray.train.objective import Objective

MISTAKE = "user_error.json"


@dataclass(frozen=True)
class Job:
    """A training run, as sent to the workers."""

    objective: Objective
    model: Path
    store: tuple[Path, str, int]
    """directory, url and cache of a BlockStore"""
    optimization: Optimization
    placement: TrainPlacement
    workspace: Workspace
    run_directory: Path
    """shared by driver and workers; removed after the run"""


def work(config: dict[str, Any]) -> dict[str, Any] | None:
    """One worker of a Job (config["job"]): the final metrics on rank 0.

    Ray Train retries whatever a worker raises. A UserError would only happen again, so it is left in a file for the
    driver. Every rank raises it (or rank 0 after training), so nobody is left waiting.
    """
    job: Job = config["job"]
    try:
        return _work(job)
    except UserError as error:
        (job.run_directory / MISTAKE).write_text(json.dumps(str(error)))
        return None


def _work(job: Job) -> dict[str, Any] | None:
    import ray.train
    import torch

    torch.set_num_threads(job.placement.threads_per_worker)

    from medray.model.attention import kernel
    from medray.model.head import loss_kernel
    from medray.train.loop import Ranks, train

    context = ray.train.get_context()
    device = ray.train.torch.get_device() if job.placement.use_gpu else torch.device("cpu")
    ranks = Ranks(context.get_world_rank(), context.get_world_size(), device)
    journal, is_first = job.workspace.journal, True

    def on_step(done: int, num_steps: int, metrics: dict[str, float]) -> None:
        nonlocal is_first
        if is_first:
            journal.rewind(done)  # steps after the checkpoint were logged by a killed attempt
            is_first = False
        if done % job.placement.log_every_steps == 0 or done == num_steps:
            journal.log(done, **metrics)
        note = f"loss {metrics['loss']:.4f}, {metrics['tokens_per_s']:.0f} tokens/s, {ranks.world_size} workers"
        journal.progress(done, num_steps, "steps", note)

    model, store = _loaded(job, ranks)
    state = train(
        model,
        store,
        objective=job.objective,
        optimization=job.optimization,
        placement=job.placement,
        checkpoints=job.workspace.checkpoints,
        ranks=ranks,
        on_step=on_step,
    )
    if ranks.rank != 0:
        return None
    _export(job)
    kernels = {"attention": kernel(device, model.dtype), "cross_entropy": loss_kernel(device)}
    return {"optimizer_steps": state.optimizer_step, "rows": state.position, **kernels, **state.metrics}


def _loaded(job: Job, ranks: Any) -> tuple[Any, Any]:
    """The model and the token store. A UserError of any rank, whose disk may lack one of them, is raised on all."""
    from medray.tables.blocks import BlockStore

    mistake, model, store = "", None, None
    try:
        model, store = job.objective.load(job.model, job.optimization.dtype), BlockStore(*job.store)
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
