"""Training on a Ray Train worker group: elastic, restarted after failures, resumed after the driver's death.

The workers' state lives in workspace.checkpoints, not in Ray Train: each worker group, whatever started it, goes on
from the newest whole checkpoint there.   (Only ray.train, with worker.py.)
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from medray.core.config import UserError
from medray.core.mirror import there
from medray.core.workspace import Workspace
from medray.tables.blocks import BlockStore
from medray.tables.shards import packed
from medray.train.checks import check_run
from medray.train.config import Optimization, TrainPlacement
from medray.train.ledger import Ledger, costs, first_fault
from medray.train.objective import Objective
from medray.train.record import Record, ledger_of
from medray.train.worker import Job, open_store, work

_COLLECTIVE_TIMEOUT_S = 1800
"""One slow worker must not look like a dead one; a killed one is seen by Ray at once."""

_ENVIRONMENT = {
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "30",  # 60 by default, waited out in full when a node is gone for good
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # 2 by default, waited for at the end of every run
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # train/elastic.py sees a drain itself, and one process less
}

_WORKER_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "DS_ACCELERATOR": "cpu"}
"""Threads that spin at OpenMP barriers lose when others want the cores. Seen once each on 2 cores at load 5, with
135M parameters: 83 tokens/s spinning, 201 passive; not yet compared on an idle machine."""


def fit(
    *,
    objective: Objective,
    model: Path,
    store: Path,
    optimization: Optimization,
    placement: TrainPlacement,
    workspace: Workspace,
) -> dict[str, Any]:
    """Train `model` (a model directory) on a token store; the result is workspace.data/"model".

    Of a store on an object store each node fetches the shards that it needs. Returns counters: optimizer_steps, rows,
    tokens of the store, the last step's metrics and what restarts cost (num_restarts, num_resizes, restart_lost_s,
    goodput: clock readings, unlike the rest). Raises UserError for a store of the wrong kind or of another tokenizer
    than the model's. A UserError of a worker is raised here as itself; any other failure, after
    placement.max_failures retries, as RuntimeError.
    """
    place = there(store)
    opened = open_store(place, placement.store_cache_bytes)
    _check_store(objective, model, opened, workspace.label)
    check_run(objective, optimization, placement, opened, workspace.checkpoints, workspace.label)
    ledger = ledger_of(workspace)
    ledger.open_session()
    job = Job(objective, model, place, optimization, placement, workspace)
    trainer = partial(_elastic().ElasticTrainer, journal=workspace.journal, step_timeout_s=placement.step_timeout_s)
    metrics = _run(
        trainer, work, job, workspace, placement.num_workers, placement.use_gpu,
        max_failures=placement.max_failures, log_every_steps=placement.log_every_steps,
    )  # fmt: skip
    facts = opened.facts
    store_facts = {"store_tokens": facts["num_tokens"], "store_loss_tokens": facts["num_loss_tokens"]}
    return {**metrics, **store_facts, **_audited(ledger, facts["num_rows"], metrics["rows"])}


def run_fixed(
    work: Callable[[dict[str, Any]], Any], job: Any, workspace: Workspace, num_workers: int, *, use_gpu: bool
) -> Any:
    """What `work` returns on rank 0 of a fixed number of workers with a process group; tried once.

    `work` gets what `worker.received` takes apart. A UserError of a worker is raised here as itself.
    """
    return _run(_elastic().Trainer, work, job, workspace, num_workers, use_gpu)


def _elastic() -> Any:
    """train/elastic.py, once the variables are set that Ray Train reads when it is imported."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from medray.train import elastic

    return elastic


def _run(
    trainer: Callable[..., Any], work: Callable[[dict[str, Any]], Any], job: Any, workspace: Workspace,
    num_workers: int | tuple[int, int], use_gpu: bool, *, max_failures: int = 0, log_every_steps: int = 1,
) -> Any:  # fmt: skip
    """What rank 0 returned. A UserError of a worker is raised as itself, any other failure as RuntimeError."""
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    logging.getLogger("ray.train").setLevel(logging.WARNING)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    record = ray.remote(num_cpus=0, scheduling_strategy=here)(Record).remote(workspace, log_every_steps)
    directory = workspace.local / "ray_train"
    shutil.rmtree(directory, ignore_errors=True)
    environment = {"env_vars": {} if use_gpu else _WORKER_ENVIRONMENT}
    each = {"CPU": 1, "GPU": 1} if use_gpu else {"CPU": 1}
    try:
        return trainer(
            work,
            train_loop_config={"job": packed(job), "record": record},
            torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo", timeout_s=_COLLECTIVE_TIMEOUT_S),
            scaling_config=ScalingConfig(num_workers=num_workers, use_gpu=use_gpu, resources_per_worker=each),
            run_config=RunConfig(
                name="run", storage_path=str(directory), worker_runtime_env=environment,
                failure_config=FailureConfig(max_failures=max_failures),
            ),
        ).fit().return_value  # fmt: skip
    except TrainingFailedError as error:
        mistakes = [cause for cause in _failures(error).values() if isinstance(cause, UserError)]
        if mistakes:
            raise mistakes[0] from None
        raise RuntimeError(_first_failure(workspace.label, error)) from error
    finally:
        ray.kill(record)
        shutil.rmtree(directory, ignore_errors=True)


def _audited(ledger: Ledger, num_rows: int, num_positions: int) -> dict[str, int | float]:
    """What restarts cost, once the ledger proves that no row was repeated and none left out."""
    groups = ledger.groups()
    begins_after = groups[0].after_step if groups else num_positions
    if begins_after:  # another machine, with a ledger of its own, took the steps before
        return {**costs(groups), "ledger_begins_after_step": begins_after}
    fault = first_fault(groups, num_rows, num_positions)
    if fault:
        raise RuntimeError(f"{ledger.path}: {fault}: the data order is broken, the model is not to be used")
    return costs(groups)


def _check_store(objective: Objective, model: Path, store: BlockStore, label: str) -> None:
    """Every check that does not need a worker."""
    from medray.model.tokenizer import tokenizer_digest

    objective.check_store(store)
    own, found = tokenizer_digest(model), store.facts["tokenizer"]
    if own != found:
        raise UserError(
            f"{label}: the token store was made with tokenizer {found[:8]}, expected the model's own, {own[:8]}: "
            "make the store with the model that is trained"
        )


def _failures(error: Exception) -> dict[int, Exception]:
    return getattr(error, "worker_failures", {})


def _first_failure(label: str, error: Exception) -> str:
    """The worker's own last line, out of Ray Train's wrapping."""
    rank, cause = min(_failures(error).items(), default=(None, error), key=lambda item: item[0])
    where = f"worker {rank}" if rank is not None else "the controller"
    return f"{label}: training failed on {where}: {type(cause).__name__}: {cause}"
