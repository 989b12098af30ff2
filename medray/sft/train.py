"""Stage: supervised fine-tuning -> data/model. Examples are rendered and packed once, then the one loop trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.schema import EXAMPLE, read_table
from medray.core.workspace import Workspace
from medray.model.adapter import Adapter
from medray.tables.rendered import RenderConfig, choose_rows, render_rows, write_store
from medray.text.packing import best_fit, concatenate, padding_fraction, whole_pieces
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
    """Several examples share a block without seeing each other; one longer than a block is oversize."""
    packing: Literal["best_fit", "concatenate"]
    """best_fit: no example is split. concatenate: examples lie end to end in hash order and are cut at block ends; what
    is cut off goes on in the next block without seeing its beginning, and a block with no answer in it is left out."""
    num_examples: int | None
    """Taken from the train split in hash order; None: all."""
    adapter: Adapter | None = None
    """Train low-rank changes of some matrices and merge them at the end; None: train all weights."""
    placement: TrainPlacement = TrainPlacement()


def run(config: SFTConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """inputs: model (data/model), examples (data/examples.parquet).

    The result is data/model, a plain model; of an adapter, data/adapter too. Counters: those of `render_examples` and
    of training. Raises UserError when the adapter's targets are not in the model, there are fewer examples than
    wanted, too many bad ones, or an oversize one where that is an error.
    """
    from medray.model.adapter import check_targets
    from medray.tables.shards import run_remote
    from medray.train.launch import fit
    from medray.train.objective import CausalLM

    model = inputs["model"].data / "model"
    if config.adapter:
        run_remote(check_targets, model, config.adapter)
    if not workspace.is_done("render"):
        run_remote(render_examples, config, model, inputs["examples"].data / "examples.parquet", workspace)
    trained = fit(
        objective=CausalLM(adapter=config.adapter),
        model=model,
        store=workspace.scratch / "store",
        optimization=config.optimization,
        placement=config.placement,
        workspace=workspace,
    )
    return {**workspace.marks()["render"], **trained}


def render_examples(config: SFTConfig, model: Path, examples_path: Path, workspace: Workspace) -> None:
    """Render, pack and write the token store into scratch/store.

    Facts of the mark "render": num_examples, num_oversize, num_truncated, num_blocks, num_cut (examples that a block
    end cuts), num_empty_blocks (left out: no token in the loss), padding_fraction.
    """
    from medray.model.load import load_tokenizer
    from medray.model.render import render, tokens_page

    tokenizer = load_tokenizer(model)
    rows = read_table(examples_path, EXAMPLE).to_pylist()
    rows = choose_rows(rows, config.num_examples, config.optimization.rng_seed, NAME)
    usable, counts = render_rows(
        rows, lambda row: [render(tokenizer, row["messages"])], config, config.block_tokens, workspace
    )
    examples = [example for _, [example] in usable]
    lengths = [len(example.ids) for example in examples]
    if config.packing == "best_fit":
        blocks = whole_pieces(lengths, best_fit(lengths, config.block_tokens))
    else:
        blocks = concatenate(lengths, config.block_tokens)
    units = [[examples[index].part(start, stop) for index, start, stop in block] for block in blocks]
    taught = [unit for unit in units if any(any(piece.loss_mask[1:]) for piece in unit)]
    write_store(workspace.scratch / "store", "sft", model, taught, block_tokens=config.block_tokens)
    page = tokens_page(tokenizer, examples[:_SHOWN], f"{workspace.label}: what is in the loss")
    (workspace.local / "tokens.html").write_text(page)
    workspace.mark_done(
        "render",
        num_examples=len(examples),
        **counts,
        num_blocks=len(taught),
        num_cut=len({index for block in blocks for index, start, _ in block if start}),
        num_empty_blocks=len(units) - len(taught),
        padding_fraction=padding_fraction(blocks, config.block_tokens),
    )
