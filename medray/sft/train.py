"""Stage: supervised fine-tuning -> data/model. Examples are rendered and packed once, then the one loop trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.schema import EXAMPLE, read_table
from medray.core.workspace import Workspace
from medray.tables.rendered import RenderConfig, choose_rows, render_rows, write_store
from medray.text.packing import best_fit, padding_fraction
from medray.train.config import Optimization, TrainPlacement

NAME = "sft"
VERSION = 1
EQUALITY = "numeric"
_SHOWN = 8
"""Examples on the page tokens.html beside the journal: what the model is trained to say."""


class SFTConfig(RenderConfig):
    """What is trained on, and how."""

    optimization: Optimization
    block_tokens: int = Field(ge=8)
    """Several whole examples share a block without seeing each other; one longer than a block is oversize."""
    num_examples: int | None
    """Taken from the train split in hash order; None: all."""
    placement: TrainPlacement = TrainPlacement()


def run(config: SFTConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """inputs: model (data/model), examples (data/examples.parquet).

    Counters: num_examples, num_oversize, num_blocks, padding_fraction, and those of training. Raises UserError when
    there are fewer examples than wanted, too many bad ones, or an oversize one where that is an error.
    """
    from medray.tables.shards import run_remote
    from medray.train.launch import fit
    from medray.train.objective import CausalLM

    model = inputs["model"].data / "model"
    if not workspace.is_done("render"):
        run_remote(render_examples, config, model, inputs["examples"].data / "examples.parquet", workspace)
    trained = fit(
        objective=CausalLM(),
        model=model,
        store=workspace.scratch / "store",
        optimization=config.optimization,
        placement=config.placement,
        workspace=workspace,
    )
    return {**workspace.marks()["render"], **trained}


def render_examples(config: SFTConfig, model: Path, examples_path: Path, workspace: Workspace) -> None:
    """Render, pack and write the token store into scratch/store; its facts are those of the mark "render"."""
    from medray.model.load import load_tokenizer
    from medray.model.render import render, tokens_page

    tokenizer = load_tokenizer(model)
    rows = read_table(examples_path, EXAMPLE).to_pylist()
    rows = choose_rows(rows, config.num_examples, config.optimization.rng_seed, NAME)
    rendered, num_oversize = render_rows(
        rows, lambda row: [render(tokenizer, row["messages"])], config, config.block_tokens, workspace
    )
    examples = [example for [example] in rendered]
    lengths = [len(example.ids) for example in examples]
    blocks = best_fit(lengths, config.block_tokens)
    units = [[examples[i] for i in block] for block in blocks]
    write_store(workspace.scratch / "store", "sft", model, units, block_tokens=config.block_tokens)
    page = tokens_page(tokenizer, examples[:_SHOWN], f"{workspace.label}: what is in the loss")
    (workspace.local / "tokens.html").write_text(page)
    workspace.mark_done(
        "render",
        num_examples=len(examples),
        num_oversize=num_oversize,
        num_blocks=len(blocks),
        padding_fraction=padding_fraction(lengths, blocks, config.block_tokens),
    )
