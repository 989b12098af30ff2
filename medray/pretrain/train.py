"""Stage: continued pretraining of a base model on a packed corpus."""

from __future__ import annotations

from typing import Any

from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
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
    """Train inputs["model"] (data/model) on inputs["corpus"] (data/store) by next-token prediction.

    Writes data/model. Raises UserError when the corpus was not made with the model's own tokenizer.
    """
    from medray.model.load import tokenizer_digest
    from medray.tables.blocks import BlockStore
    from medray.train.launch import fit
    from medray.train.objective import CausalLM

    model, store = inputs["model"].data / "model", inputs["corpus"].data / "store"
    own, stores = tokenizer_digest(model), BlockStore(store).facts["tokenizer"]
    if own != stores:
        raise UserError(
            f"pretrain: the corpus was tokenised with {stores[:8]}, expected the model's own tokenizer, {own[:8]}: "
            "build the corpus with the model that is trained"
        )
    return fit(
        objective=CausalLM(),
        model=model,
        store=store,
        optimization=config.optimization,
        placement=config.placement,
        workspace=workspace,
    )
