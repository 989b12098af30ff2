"""Stage: one round of direct preference optimization, DPO or a kin of it, or KTO -> data/model."""

from __future__ import annotations

from typing import Any

from medray.core.artifact import Artifact
from medray.core.config import Config
from medray.core.workspace import Workspace
from medray.train.config import KTOLoss, Optimization, PreferenceLoss, TrainPlacement

NAME = "dpo"
VERSION = 1
EQUALITY = "numeric"


class DPOConfig(Config):
    """How the policy is trained. One row of the store is one pair, of KTO one labelled completion: they are what
    optimization.global_batch counts."""

    loss: PreferenceLoss | KTOLoss
    optimization: Optimization
    placement: TrainPlacement = TrainPlacement()


def run(config: DPOConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """inputs: model (the policy the round starts from, data/model), reference (rows with log-probs, data/store).

    Counters: those of training.
    """
    from medray.train.launch import fit
    from medray.train.objective import KTO, Preference

    return fit(
        objective=(KTO if isinstance(config.loss, KTOLoss) else Preference)(terms=config.loss),
        model=inputs["model"].data / "model",
        store=inputs["reference"].data / "store",
        optimization=config.optimization,
        placement=config.placement,
        workspace=workspace,
    )
