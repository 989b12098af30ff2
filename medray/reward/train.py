"""Stage: the reward model -> data/model, trained on pairs by Bradley-Terry from the policy's own weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.identity import stable_hash
from medray.core.schema import PAIR, read_table
from medray.core.workspace import Workspace
from medray.train.config import Optimization, TrainPlacement

NAME = "reward"
VERSION = 1
_ROWS_PER_SHARD = 1024


class RewardConfig(Config):
    """What is trained on, and how. One row of the store is one pair: optimization.global_batch counts pairs."""

    optimization: Optimization
    max_tokens: int = Field(ge=8)
    """Of a prompt with its completion."""
    oversize: Literal["drop", "error"]
    """What becomes of a pair with a longer side; it is never cut: the end of an answer is what is judged."""
    num_pairs: int | None
    """Taken from the train split in hash order; None: all."""
    max_bad_fraction: float = Field(default=0.01, ge=0, le=1)
    """Largest share of pairs that may fail to render (quarantined with the reason)."""
    placement: TrainPlacement = TrainPlacement()


def run(config: RewardConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """inputs: model (the SFT policy, data/model), pairs (data/pairs.parquet); held-out pairs are left for evaluation.

    Counters: num_pairs, num_oversize, and those of training.
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
    from medray.model.load import load_tokenizer, tokenizer_digest
    from medray.model.render import render_completion
    from medray.tables.blocks import BlockWriter

    tokenizer = load_tokenizer(model)
    rows = choose_pairs(read_table(pairs_path, PAIR).to_pylist(), config)
    writer = BlockWriter(workspace.scratch / "store", "pairs", tokenizer_digest(model), 0, _ROWS_PER_SHARD)
    bad, num_pairs, num_oversize = [], 0, 0
    for row in rows:
        try:
            sides = [render_completion(tokenizer, row["messages"], row[side]) for side in ("chosen", "rejected")]
        except UserError as error:
            bad.append({"where": f"pair {row['id']}", "reason": str(error), "row": row})
            continue
        longest = max(len(side.ids) for side in sides)
        if longest > config.max_tokens:
            if config.oversize == "error":
                raise UserError(
                    f"reward.max_tokens: pair {row['id']} has a side of {longest} tokens, expected at most "
                    f'{config.max_tokens}: raise max_tokens or set oversize to "drop"'
                )
            num_oversize += 1
            continue
        num_pairs += 1
        chosen, rejected = sides
        writer.add(
            chosen.ids + rejected.ids,
            [len(chosen.ids), len(rejected.ids)],
            chosen.loss_mask + rejected.loss_mask,
        )
    workspace.quarantine("render", bad)
    workspace.check_quarantine(len(rows), config.max_bad_fraction)
    writer.close()
    workspace.mark_done("render", num_pairs=num_pairs, num_oversize=num_oversize)


def choose_pairs(rows: list[dict[str, Any]], config: RewardConfig) -> list[dict[str, Any]]:
    """The wanted number of train pairs in hash order of their ids. Raises UserError when there are fewer."""
    train = [row for row in rows if row["split"] == "train"]
    train.sort(key=lambda row: (stable_hash("reward order", config.optimization.rng_seed, row["id"]), row["id"]))
    wanted = len(train) if config.num_pairs is None else config.num_pairs
    if not 0 < wanted <= len(train):
        raise UserError(
            f"reward.num_pairs: {wanted} wanted, {len(train)} train pairs were made: lower it, or sample more prompts"
        )
    return train[:wanted]
