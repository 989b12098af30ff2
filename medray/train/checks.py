"""What is wrong with a training run, found before there are workers: place, found, expected, what to do."""

from __future__ import annotations

import os

from medray.core.config import UserError
from medray.tables.blocks import BlockStore
from medray.train.config import Optimization, TrainPlacement
from medray.train.marker import check_recipe, recipe_of
from medray.train.objective import Objective


def check_run(
    objective: Objective,
    optimization: Optimization,
    placement: TrainPlacement,
    store: BlockStore,
    checkpoints: str,
    label: str,
) -> None:
    """Raise UserError for a run that could not begin, or would give nothing.

    Needs a Ray session for a placement on GPUs; a cluster that was joined may grow one later, a local Ray may not.
    """
    if not store.facts["num_loss_tokens"]:
        raise UserError(
            f"{label}: the token store has {len(store)} rows and no loss token, expected some: "
            "give other examples, or longer blocks"
        )
    most = placement.num_workers[1]
    if optimization.global_batch < most:
        raise UserError(
            f"{label}.optimization.global_batch: {optimization.global_batch} rows for up to {most} workers, expected "
            "one or more for each: raise it, or lower placement.num_workers"
        )
    if placement.use_gpu and not os.environ.get("RAY_ADDRESS"):
        import ray

        found = int(ray.cluster_resources().get("GPU", 0))
        if found < placement.num_workers[0]:
            raise UserError(
                f"{label}.placement.use_gpu: {placement.num_workers[0]} GPUs wanted, this machine has {found}: join a "
                "cluster that has them (RAY_ADDRESS), or set use_gpu=false"
            )
    check_recipe(checkpoints, recipe_of(objective, optimization, store))
