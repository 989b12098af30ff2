"""Stage: continued pretraining of a base model on a packed corpus."""

from __future__ import annotations

from typing import Any

from medray.core.artifact import Artifact
from medray.core.config import Config
from medray.core.workspace import Workspace
from medray.train.config import Optimization, TrainPlacement

NAME = "pretrain"
VERSION = 1
EQUALITY = "numeric"


class PretrainConfig(Config):
    """How the base model is trained on; what it reads is decided by the corpus stage."""

    optimization: Optimization
    placement: TrainPlacement = TrainPlacement()


def run(config: PretrainConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """Train inputs["model"] (data/model) on inputs["corpus"] (data/store) by next-token prediction -> data/model."""
    from medray.train.launch import fit
    from medray.train.objective import CausalLM

    return fit(
        objective=CausalLM(),
        model=inputs["model"].data / "model",
        store=inputs["corpus"].data / "store",
        optimization=config.optimization,
        placement=config.placement,
        workspace=workspace,
    )
