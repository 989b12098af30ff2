"""Stage: supervised fine-tuning -> data/model. Examples are rendered and packed once, then the one loop trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.identity import stable_hash
from medray.core.schema import EXAMPLE, read_table
from medray.core.workspace import Workspace
from medray.text.packing import best_fit, padding_fraction
from medray.train.config import Optimization, TrainPlacement

NAME = "sft"
VERSION = 1
_ROWS_PER_SHARD = 4096
_SHOWN = 8
"""Examples on the page tokens.html beside the journal: what the model is trained to say."""


class SFTConfig(Config):
    """What is trained on, and how."""

    optimization: Optimization
    block_tokens: int = Field(ge=8)
    """Several whole examples share a block without seeing each other."""
    oversize: Literal["drop", "error"]
    """What becomes of an example longer than a block; it is never split."""
    num_examples: int | None
    """Taken from the train split in hash order; None: all."""
    max_bad_fraction: float = Field(default=0.01, ge=0, le=1)
    """Largest share of examples that may fail to render (quarantined with the reason)."""
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
    from medray.model.load import load_tokenizer, tokenizer_digest
    from medray.model.render import render, tokens_page
    from medray.tables.blocks import BlockWriter

    tokenizer = load_tokenizer(model)
    rows = choose_examples(read_table(examples_path, EXAMPLE).to_pylist(), config)
    rendered, bad, num_oversize = [], [], 0
    for number, row in enumerate(rows):
        try:
            example = render(tokenizer, row["messages"])
        except UserError as error:
            bad.append({"where": f"example {row['id']}", "reason": str(error), "row": row})
            continue
        if len(example.ids) <= config.block_tokens:
            rendered.append(example)
        elif config.oversize == "drop":
            num_oversize += 1
        else:
            raise UserError(
                f"sft.block_tokens: example {row['id']} is {len(example.ids)} tokens, expected at most "
                f'{config.block_tokens}: raise block_tokens or set oversize to "drop"'
            )
        if number % 256 == 0:
            workspace.journal.progress(number, len(rows), "examples")
    workspace.quarantine("render", bad)
    workspace.check_quarantine(len(rows), config.max_bad_fraction)
    lengths = [len(example.ids) for example in rendered]
    blocks = best_fit(lengths, config.block_tokens)
    writer = BlockWriter(
        workspace.scratch / "store", "sft", tokenizer_digest(model), config.block_tokens, _ROWS_PER_SHARD
    )
    for block in blocks:
        examples = [rendered[i] for i in block]
        writer.add(
            [token for example in examples for token in example.ids],
            [len(example.ids) for example in examples],
            [flag for example in examples for flag in example.loss_mask],
        )
    writer.close()
    page = tokens_page(tokenizer, rendered[:_SHOWN], f"{workspace.label}: what is in the loss")
    (workspace.local / "tokens.html").write_text(page)
    workspace.mark_done(
        "render",
        num_examples=len(rendered),
        num_oversize=num_oversize,
        num_blocks=len(blocks),
        padding_fraction=padding_fraction(lengths, blocks, config.block_tokens),
    )


def choose_examples(rows: list[dict[str, Any]], config: SFTConfig) -> list[dict[str, Any]]:
    """The wanted number of train examples in hash order of their ids. Raises UserError when there are fewer."""
    train = [row for row in rows if row["split"] == "train"]
    train.sort(key=lambda row: (stable_hash("sft order", config.optimization.rng_seed, row["id"]), row["id"]))
    wanted = len(train) if config.num_examples is None else config.num_examples
    if not 0 < wanted <= len(train):
        raise UserError(f"sft.num_examples: {wanted} wanted, {len(train)} in the train split: lower it or make more")
    return train[:wanted]
