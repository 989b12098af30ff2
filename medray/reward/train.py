"""Stage: the reward model -> data/model, trained on pairs by Bradley-Terry from the policy's own weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.identity import stable_hash
from medray.core.schema import PAIR, read_table
from medray.core.workspace import Workspace
from medray.tables.rendered import RenderConfig, choose_rows, render_rows, write_store
from medray.train.config import Optimization, TrainPlacement

NAME = "reward"
VERSION = 1
EQUALITY = "numeric"
OWN = "pairs"
"""Role of the pairs that are always there; others are pairs_<name>."""


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
    """Taken from the train split in hash order; None: all, or as many as are there in the proportions."""
    proportions: dict[str, float] = {}
    """Parts of the pairs that each input is to give, by its role; {}: no matter which they come from."""
    margin_factor: float = Field(default=0.0, ge=0)
    """How far chosen must lead (Touvron et al. 2023, Llama 2, eq. 2): so many times the difference of the pair's own
    rewards, grades or ratings, and nothing where rejected has the higher one; 0: no margin."""
    centring: float = Field(default=0.0, ge=0)
    """Weight of the squared sum of a pair's rewards, which keeps them near 0 (Eisenstein et al. 2023: 0.01)."""
    part: DataPart | None = None
    """What is taken from: None: all pairs; else one member's of an ensemble on disjoint data."""
    placement: TrainPlacement = TrainPlacement()


def run(config: RewardConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """inputs: model (the SFT policy, data/model), pairs and any pairs_<name> (data/pairs.parquet); held-out pairs are
    left for evaluation.

    Counters: num_pairs (of several inputs also num_pairs_own and num_pairs_<name>), num_oversize, num_truncated, and
    those of training.
    """
    from medray.tables.shards import run_remote
    from medray.train.launch import fit
    from medray.train.objective import BradleyTerry

    model = inputs["model"].data / "model"
    tables = {role: made.data / "pairs.parquet" for role, made in inputs.items() if role != "model"}
    if not workspace.is_done("render"):
        run_remote(render_pairs, config, model, tables, workspace)
    trained = fit(
        objective=BradleyTerry(margin_factor=config.margin_factor, centring=config.centring),
        model=model,
        store=workspace.scratch / "store",
        optimization=config.optimization,
        placement=config.placement,
        workspace=workspace,
    )
    return {**workspace.marks()["render"], **trained}


def render_pairs(config: RewardConfig, model: Path, tables: Mapping[str, Path], workspace: Workspace) -> None:
    """Render the train pairs into the token store scratch/store; its facts are those of the mark "render"."""
    from medray.model.load import load_tokenizer
    from medray.model.render import Rendered, render_pair

    tokenizer = load_tokenizer(model)

    def rendered(row: dict[str, Any]) -> list[Rendered]:
        if config.margin_factor and not math.isfinite(lead_of(row)):
            raise UserError(f"rewards {row['chosen_reward']} and {row['rejected_reward']}: no margin, expected numbers")
        return render_pair(tokenizer, row)

    rows = mixed({role: read_table(path, PAIR).to_pylist() for role, path in tables.items()}, config)
    usable, counts = render_rows(rows, rendered, config, config.max_tokens, workspace)
    pairs = [pair for _, pair in usable]
    labels = [lead_of(row) for row, _ in usable] if config.margin_factor else None
    write_store(workspace.scratch / "store", "pairs", model, pairs, labels=labels)
    roles = [row["role"] for row, _ in usable]
    parts = {f"num_{OWN}_own" if role == OWN else f"num_{role}": roles.count(role) for role in tables}
    workspace.mark_done("render", num_pairs=len(pairs), **(parts if len(tables) > 1 else {}), **counts)


def lead_of(pair: Mapping[str, Any]) -> float:
    """How much better its own rewards say chosen is."""
    return pair["chosen_reward"] - pair["rejected_reward"]


def mixed(tables: Mapping[str, list[dict[str, Any]]], config: RewardConfig) -> list[dict[str, Any]]:
    """The pairs to train on, of the part that is taken from, each with its input's `role`, in hash order.

    Raises UserError for proportions of other inputs, and where an input has too few pairs for its part.
    """
    wanted, seed = config.proportions, config.optimization.rng_seed
    rows = {
        role: [{**row, "role": role} for row in table if not config.part or config.part.holds(row["prompt_id"])]
        for role, table in tables.items()
    }
    if not wanted:
        return choose_rows(sum(rows.values(), []), config.num_pairs, seed, NAME)
    if wanted.keys() != tables.keys() or min(wanted.values()) <= 0:
        raise UserError(
            f"reward.proportions: got {wanted}, expected a part above 0 for each of {', '.join(tables)}: correct them"
        )
    total = sum(wanted.values())
    sizes = {role: sum(row["split"] == "train" for row in table) for role, table in rows.items()}
    most = min(sizes[role] * total / part for role, part in wanted.items())
    num_pairs = math.floor(most + 1e-9) if config.num_pairs is None else config.num_pairs
    chosen = [
        choose_rows(rows[role], round(num_pairs * part / total), seed, f"{NAME}: {role}")
        for role, part in wanted.items()
    ]
    return choose_rows(sum(chosen, []), None, seed, NAME)
