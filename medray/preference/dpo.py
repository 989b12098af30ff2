"""Stage: one round of Direct Preference Optimization -> data/model."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Config
from medray.core.workspace import Workspace
from medray.train.config import Optimization, TrainPlacement

NAME = "dpo"
VERSION = 1
EQUALITY = "numeric"


class DPOConfig(Config):
    """How the policy is trained. One row of the store is one pair: optimization.global_batch counts pairs."""

    beta: float = Field(gt=0)
    """Strength of the pull to the reference."""
    label_smoothing: float = Field(ge=0, lt=0.5)
    """Probability that a pair is flipped (cDPO); 0 is plain DPO."""
    optimization: Optimization
    placement: TrainPlacement = TrainPlacement()


def run(config: DPOConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """inputs: model (the policy the round starts from, data/model), reference (pairs with log-probs, data/store).

    Counters: those of training.
    """
    from medray.train.launch import fit
    from medray.train.objective import DPO

    return fit(
        objective=DPO(beta=config.beta, label_smoothing=config.label_smoothing),
        model=inputs["model"].data / "model",
        store=inputs["reference"].data / "store",
        store_url=inputs["reference"].remote("store"),
        optimization=config.optimization,
        placement=config.placement,
        workspace=workspace,
    )
