"""Stage: reference log-probs of preference pairs, or of labelled completions -> data/store (token store).

Made once a round, so that DPO and KTO hold one model in memory. In the trainer's library and precision: another
engine's log-probs differ by 0.05 a token in bf16, more than a round moves the policy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.identity import stable_hash
from medray.core.schema import LABELLED, PAIR, read_table
from medray.core.workspace import Workspace
from medray.preference.labels import unpaired, with_mismatched
from medray.tables.rendered import RenderConfig, render_rows, write_store
from medray.train.config import ForwardPlacement

NAME = "reference"
VERSION = 1
ROLES = {"pairs": "pairs.parquet", "unpaired": "pairs.parquet", "labelled": "labelled.parquet"}
"""What log-probs are taken of, by the input's role, and its table: pairs, for DPO and its kin; for KTO, the sides of
pairs as labelled completions, or labelled completions."""
_ROWS_PER_SHARD = 64


class ReferenceConfig(RenderConfig):
    """What log-probs are taken of."""

    dtype: Literal["bf16", "fp32"]
    """Of the layers; logits are fp32."""
    max_tokens: int = Field(ge=8)
    """Of a prompt with its completion."""
    placement: ForwardPlacement = ForwardPlacement()


def run(config: ReferenceConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """inputs: reference (a policy, data/model), and one of ROLES, of whose table the train split is used.

    Counters: num_pairs (of labelled ones num_rows, num_desirable, num_unmatched: those behind whose prompt no other
    prompt's completion fits), num_oversize, num_truncated, num_tokens, reference_margin_mean (nats: log-prob of chosen
    minus rejected, or of a completion minus another prompt's).
    """
    from medray.tables.shards import run_remote

    role = next(role for role in ROLES if role in inputs)
    model, table = inputs["reference"].data / "model", inputs[role].data / ROLES[role]
    num_gpus = int(config.placement.use_gpu)
    return run_remote(add_reference, config, model, table, workspace, role, num_cpus=1, num_gpus=num_gpus)


def add_reference(
    config: ReferenceConfig, model: Path, table: Path, workspace: Workspace, role: str = "pairs"
) -> dict[str, Any]:
    """Render the rows, take log-probs shard by shard (each marked), and write data/store; returns the counters."""
    labels, kind = None, "pairs"
    if role == "pairs":
        units, counts = _rendered_pairs(config, model, table, workspace)
    else:
        kind = "labelled"
        units, labels, counts = _rendered_labelled(config, model, table, workspace, is_paired=role == "unpaired")
    values = _logprobs(config, model, units, workspace)
    facts = write_store(workspace.data / "store", kind, model, units, references=values.tolist(), labels=labels)
    margin = float(np.mean(values[:, 0] - values[:, 1]))
    return {**counts, "num_tokens": facts["num_tokens"], "reference_margin_mean": margin}


def _rendered_pairs(config: ReferenceConfig, model: Path, table: Path, workspace: Workspace) -> tuple[list, dict]:
    from medray.model.load import load_tokenizer
    from medray.model.render import render_pair

    tokenizer = load_tokenizer(model)
    rows = [row for row in read_table(table, PAIR).to_pylist() if row["split"] == "train"]
    rows.sort(key=lambda row: (stable_hash("reference order", row["id"]), row["id"]))
    usable, counts = render_rows(rows, lambda row: render_pair(tokenizer, row), config, config.max_tokens, workspace)
    return [pair for _, pair in usable], {"num_pairs": len(usable), **counts}


def _rendered_labelled(
    config: ReferenceConfig, model: Path, table: Path, workspace: Workspace, *, is_paired: bool
) -> tuple[list, list[float], dict]:
    """Completions, each with another prompt's, and their labels."""
    from medray.model.load import load_tokenizer
    from medray.model.render import render_completion

    tokenizer = load_tokenizer(model)
    rows = [row for row in read_table(table, PAIR if is_paired else LABELLED).to_pylist() if row["split"] == "train"]
    rows = unpaired(rows) if is_paired else rows
    rows.sort(key=lambda row: [(stable_hash("reference order", row[name]), row[name]) for name in ("prompt_id", "id")])
    usable, counts = render_rows(
        rows, lambda row: [render_completion(tokenizer, row["messages"], row["completion"])], config,
        config.max_tokens, workspace,
    )  # fmt: skip
    found = with_mismatched([(row, own) for row, [own] in usable], config.max_tokens)
    labels = [float(row["desirable"]) for row, _ in found]
    made = {"num_rows": len(found), "num_desirable": int(sum(labels)), "num_unmatched": len(usable) - len(found)}
    return [unit for _, unit in found], labels, {**made, **counts}


def _logprobs(config: ReferenceConfig, model: Path, units: list, workspace: Workspace) -> np.ndarray:
    """Log-probs (units, 2) of both sequences of each; finished shards are read from scratch."""
    from medray.train.forward import Forward

    starts = range(0, len(units), _ROWS_PER_SHARD)
    directory, forward = workspace.scratch / "logprobs", None
    directory.mkdir(exist_ok=True)
    for start in starts:
        mark = f"logprobs-{start:08d}"
        workspace.journal.progress(start, len(units), "rows")
        if workspace.is_done(mark):
            continue
        if forward is None:
            forward = Forward.placed(model, config.dtype, config.placement)
        np.save(directory / f"{mark}.npy", _shard_logprobs(forward, units[start : start + _ROWS_PER_SHARD]))
        workspace.mark_done(mark)
    workspace.journal.progress(len(units), len(units), "rows")
    return np.concatenate([np.zeros((0, 2)), *(np.load(directory / f"logprobs-{start:08d}.npy") for start in starts)])


def _shard_logprobs(forward: Any, units: list) -> np.ndarray:
    from medray.train.forward import ForwardRow

    rows = [ForwardRow(first.prompt, [first.completion, second.completion]) for first, second in units]
    return np.array([[value for value, _ in result] for result in forward.sequence_logprobs(rows)])
