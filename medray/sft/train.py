"""Stage: supervised fine-tuning -> data/model. Examples are rendered and packed once, then the one loop trains."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.workspace import Workspace
from medray.model.adapter import Adapter
from medray.sft.render import pack_examples, parts_of, render_part
from medray.tables.rendered import RenderConfig
from medray.train.config import Optimization, TrainPlacement

NAME = "sft"
VERSION = 2
EQUALITY = "numeric"


class SFTConfig(RenderConfig):
    """What is trained on, and how."""

    optimization: Optimization
    block_tokens: int = Field(ge=8)
    """Several examples share a block without seeing each other; one longer than a block is oversize."""
    packing: Literal["none", "best_fit", "concatenate"]
    """none: every example is a row, and global_batch counts examples. best_fit: no example is split. concatenate:
    examples lie end to end in hash order and are cut at block ends; what is cut off goes on in the next block without
    seeing its beginning, and a block with no answer in it is left out. No row is ever padded."""
    num_examples: int | None
    """Taken from the train split in hash order; None: all."""
    adapter: Adapter | None = None
    """Train low-rank changes of some matrices and merge them at the end; None: train all weights."""
    placement: TrainPlacement = TrainPlacement()


def run(config: SFTConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """inputs: model (data/model), examples (data/examples.parquet).

    The result is data/model, a plain model; of an adapter, data/adapter too. Counters: num_oversize, num_truncated,
    those of `pack_examples` and of training. Raises UserError when the adapter's targets are not in the model, there
    are fewer examples than wanted, too many bad ones, or an oversize one where that is an error.
    """
    from medray.model.adapter import check_targets
    from medray.tables.shards import Shard, run_remote, run_shards
    from medray.train.launch import fit
    from medray.train.objective import CausalLM

    model, path = inputs["model"].data / "model", inputs["examples"].data / "examples.parquet"
    if config.adapter:
        run_remote(check_targets, model, config.adapter)
    parts = parts_of(config, path)
    render = partial(render_part, config=config, model=model, path=path, workspace=workspace)
    rendered = run_shards(workspace, parts, render, unit="parts rendered")
    pack = partial(pack_examples, config=config, model=model, parts=parts, workspace=workspace)
    packed = run_shards(workspace, [Shard("pack")], pack, unit="stores packed")
    trained = fit(
        objective=CausalLM(adapter=config.adapter),
        model=model,
        store=workspace.scratch / "store",
        optimization=config.optimization,
        placement=config.placement,
        workspace=workspace,
    )
    counts = {name: sum(facts[name] for facts in rendered.values()) for name in ("num_oversize", "num_truncated")}
    return {**packed["pack"], **counts, **trained}
