"""Stage: the reward model -> data/model, trained on pairs by Bradley-Terry from the policy's own weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Config
from medray.core.identity import stable_hash
from medray.core.schema import PAIR, read_table
from medray.core.workspace import Workspace
from medray.tables.rendered import RenderConfig, choose_rows, render_rows, write_store
from medray.train.config import Optimization, TrainPlacement

NAME = "reward"
VERSION = 1
EQUALITY = "numeric"


class DataPart(Config):
    """One of several parts of the pairs, told apart by their prompts' hash."""

    index: int = Field(ge=1)
    of: int = Field(ge=1)

    def holds(self, prompt_id: str) -> bool:
        """Whether the pairs of this prompt are of this part."""
        return stable_hash("part", prompt_id) % self.of == self.index - 1


class RewardConfig(RenderConfig):
    """What is trained on, and how. One row of the store is one pair: optimization.global_batch counts pairs."""

    optimization: Optimization
    max_tokens: int = Field(ge=8)
    """Of a prompt with its completion."""
    num_pairs: int | None
    """Taken from the train split in hash order; None: all."""
    part: DataPart | None = None
    """What is taken from: None: all pairs; else one member's of an ensemble on disjoint data."""
    placement: TrainPlacement = TrainPlacement()


def run(config: RewardConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """inputs: model (the SFT policy, data/model), pairs (data/pairs.parquet); held-out pairs are left for evaluation.

    Counters: num_pairs, num_oversize, num_truncated, and those of training.
    """
    from medray.tables.shards import run_remote
    from medray.train.launch import fit
    from medray.train.objective import BradleyTerry

    model = inputs["model"].data / "model"
    if not workspace.is_done("render"):
        run_remote(render_pairs, config, model, inputs["pairs"].data / "pairs.parquet", workspace)
    trained = fit(
        objective=BradleyTerry(),
        model=model,
        store=workspace.scratch / "store",
        optimization=config.optimization,
        placement=config.placement,
        workspace=workspace,
    )
    return {**workspace.marks()["render"], **trained}


def render_pairs(config: RewardConfig, model: Path, pairs_path: Path, workspace: Workspace) -> None:
    """Render the train pairs into the token store scratch/store; its facts are those of the mark "render"."""
    from medray.model.load import load_tokenizer
    from medray.model.render import render_pair

    tokenizer = load_tokenizer(model)
    pairs = read_table(pairs_path, PAIR).to_pylist()
    pairs = [row for row in pairs if config.part is None or config.part.holds(row["prompt_id"])]
    rows = choose_rows(pairs, config.num_pairs, config.optimization.rng_seed, NAME)
    usable, counts = render_rows(rows, lambda row: render_pair(tokenizer, row), config, config.max_tokens, workspace)
    pairs = [pair for _, pair in usable]
    write_store(workspace.scratch / "store", "pairs", model, pairs)
    workspace.mark_done("render", num_pairs=len(pairs), **counts)
