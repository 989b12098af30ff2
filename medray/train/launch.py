"""Training on a Ray Train worker group: elastic, restarted after failures, resumed after the driver's death.

The workers' state lives in workspace.checkpoints, not in Ray Train: each worker group, whatever started it, goes on
from the newest whole checkpoint there.   (Only ray.train, with worker.py.)
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medray.core.config import UserError
from medray.core.workspace import Workspace
from medray.tables.blocks import BlockStore
from medray.train.checks import check_run
from medray.train.config import Optimization, TrainPlacement
from medray.train.ledger import Ledger, costs, first_fault
from medray.train.objective import Objective
from medray.train.worker import MISTAKE, Job, leaving_mistakes, ledger_of, work

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
    store_url: str = "",
) -> dict[str, Any]:
    """Train `model` (a model directory) on a token store; the result is workspace.data/"model".

    store_url: where the shards of the store lie, if not all in its directory: each node fetches them as it needs them.
    Returns counters: optimizer_steps, rows, tokens of the store, the last step's metrics and what restarts cost
    (num_restarts, num_resizes, restart_lost_s, goodput: clock readings, unlike the rest). Raises
    UserError for a store of the wrong kind or of another tokenizer than the model's. A UserError of a worker is raised
    here as itself; any other failure, after placement.max_failures retries, as RuntimeError.
    """
    place = (store, store_url, placement.store_cache_bytes)
    facts = _checked_store(objective, model, place, workspace.label)
    check_run(objective, optimization, placement, BlockStore(*place), workspace.checkpoints, workspace.label)
    run_directory = workspace.local / "ray_train"
    shutil.rmtree(run_directory, ignore_errors=True)
    run_directory.mkdir(parents=True)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    ledger = ledger_of(workspace)
    ledger.open_session()
    job = Job(objective, model, place, optimization, placement, workspace, run_directory)
    metrics = _returned(_trainer(job), run_directory, workspace.label)
    shutil.rmtree(run_directory, ignore_errors=True)
    store_facts = {"store_tokens": facts["num_tokens"], "store_loss_tokens": facts["num_loss_tokens"]}
    return {**metrics, **store_facts, **_audited(ledger, facts["num_rows"], metrics["rows"])}


def _trainer(job: Job) -> Any:
    from ray.train import FailureConfig

    from medray.train.elastic import ElasticTrainer

    placement = job.placement
    return ElasticTrainer(
        work,
        journal=job.workspace.journal,
        step_timeout_s=placement.step_timeout_s,
        train_loop_config={"job": job},
        **_surroundings(
            placement.num_workers,
            placement.use_gpu,
            job.run_directory,
            failure_config=FailureConfig(max_failures=placement.max_failures),
        ),
    )


def _surroundings(
    num_workers: int | tuple[int, int], use_gpu: bool, directory: Path, **run: Any
) -> dict[str, Any]:  # fmt: skip
    """What every trainer of Ray Train is told about its workers."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig

    environment = {"env_vars": {} if use_gpu else _WORKER_ENVIRONMENT}
    each = {"CPU": 1, "GPU": 1} if use_gpu else {"CPU": 1}
    return {
        "torch_config": TorchConfig(backend="nccl" if use_gpu else "gloo", timeout_s=_COLLECTIVE_TIMEOUT_S),
        "scaling_config": ScalingConfig(num_workers=num_workers, use_gpu=use_gpu, resources_per_worker=each),
        "run_config": RunConfig(name="run", storage_path=str(directory), worker_runtime_env=environment, **run),
    }


def _returned(trainer: Any, run_directory: Path, label: str) -> Any:
    """What rank 0 returned. A UserError of a worker is raised as itself, any other failure as RuntimeError."""
    from ray.train import TrainingFailedError

    logging.getLogger("ray.train").setLevel(logging.WARNING)
    try:
        result = trainer.fit()
    except TrainingFailedError as error:
        raise RuntimeError(_first_failure(label, error)) from error
    _raise_mistake(run_directory)
    return result.return_value


def _raise_mistake(run_directory: Path) -> None:
    path = run_directory / MISTAKE
    if path.exists():
        message = json.loads(path.read_text())
        shutil.rmtree(run_directory, ignore_errors=True)
        raise UserError(message)


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


def _checked_store(objective: Objective, model: Path, store: tuple[Path, str, int], label: str) -> dict[str, Any]:
    """The store's facts, after every check that does not need a worker."""
    from medray.model.tokenizer import tokenizer_digest

    opened = BlockStore(*store)
    objective.check_store(opened)
    own, found = tokenizer_digest(model), opened.facts["tokenizer"]
    if own != found:
        raise UserError(
            f"{label}: the token store was made with tokenizer {found[:8]}, expected the model's own, {own[:8]}: "
            "make the store with the model that is trained"
        )
    return opened.facts


def run_fixed(
    work: Callable[[dict[str, Any]], Any], job: Any, directory: Path, label: str, num_workers: int, *, use_gpu: bool
) -> Any:
    """What `work({"job": job})` returns on rank 0 of a fixed number of workers with a process group; tried once.

    directory: shared by driver and workers. A UserError of a worker is raised here as itself.
    """
    from ray.train.torch import TorchTrainer

    def guarded(config: dict[str, Any]) -> Any:
        return leaving_mistakes(work, config, directory)

    surroundings = _surroundings(num_workers, use_gpu, directory)
    return _returned(TorchTrainer(guarded, train_loop_config={"job": job}, **surroundings), directory, label)


def _first_failure(label: str, error: Exception) -> str:
    """The worker's own last line, out of Ray Train's wrapping."""
    failures = getattr(error, "worker_failures", {})
    rank, cause = min(failures.items(), default=(None, error))
    inner = getattr(cause, "_base_exc", cause)
    where = f"worker {rank}" if rank is not None else "the controller"
    return f"{label}: training failed on {where}: {type(inner).__name__}: {inner}"
