"""Stage: reference log-probs of preference pairs -> data/store (token store of kind "pairs").

Made once a round, so that DPO holds one model in memory. In the trainer's library and precision: another engine's
log-probs differ by 0.05 a token in bf16, more than a round moves the policy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.identity import stable_hash
from medray.core.schema import PAIR, read_table
from medray.core.workspace import Workspace
from medray.tables.rendered import RenderConfig, render_rows, write_store
from medray.train.config import ForwardPlacement

NAME = "reference"
VERSION = 1
_PAIRS_PER_SHARD = 64


class ReferenceConfig(RenderConfig):
    """What log-probs are taken of."""

    dtype: Literal["bf16", "fp32"]
    """Of the layers; logits are fp32."""
    max_tokens: int = Field(ge=8)
    """Of a prompt with its completion."""
    placement: ForwardPlacement = ForwardPlacement()


def run(config: ReferenceConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """inputs: reference (a policy, data/model), pairs (data/pairs.parquet, its train split).

    Counters: num_pairs, num_oversize, num_truncated, num_tokens, reference_margin_mean (log-prob of chosen minus
    rejected, nats).
    """
    from medray.tables.shards import run_remote

    model, pairs = inputs["reference"].data / "model", inputs["pairs"].data / "pairs.parquet"
    num_gpus = int(config.placement.use_gpu)
    return run_remote(add_reference, config, model, pairs, workspace, num_cpus=1, num_gpus=num_gpus)


def add_reference(config: ReferenceConfig, model: Path, pairs_path: Path, workspace: Workspace) -> dict[str, Any]:
    """Render the pairs, take log-probs shard by shard (each marked), and write data/store; returns the counters."""
    from medray.model.load import load_tokenizer
    from medray.model.render import render_pair

    tokenizer = load_tokenizer(model)
    rows = [row for row in read_table(pairs_path, PAIR).to_pylist() if row["split"] == "train"]
    rows.sort(key=lambda row: (stable_hash("reference order", row["id"]), row["id"]))
    usable, counts = render_rows(rows, lambda row: render_pair(tokenizer, row), config, config.max_tokens, workspace)
    pairs = [pair for _, pair in usable]
    values = _logprobs(config, model, pairs, workspace)
    facts = write_store(workspace.data / "store", "pairs", model, pairs, references=values.tolist())
    return {
        "num_pairs": len(pairs),
        **counts,
        "num_tokens": facts["num_tokens"],
        "reference_margin_mean": float(np.mean(values[:, 0] - values[:, 1])),
    }


def _logprobs(config: ReferenceConfig, model: Path, pairs: list, workspace: Workspace) -> np.ndarray:
    """Log-probs (pairs, 2) of chosen and rejected; finished shards are read from scratch."""
    from medray.train.forward import Forward

    starts = range(0, len(pairs), _PAIRS_PER_SHARD)
    directory, forward = workspace.scratch / "logprobs", None
    directory.mkdir(exist_ok=True)
    for start in starts:
        mark = f"logprobs-{start:08d}"
        workspace.journal.progress(start, len(pairs), "pairs")
        if workspace.is_done(mark):
            continue
        if forward is None:
            forward = Forward.placed(model, config.dtype, config.placement)
        np.save(directory / f"{mark}.npy", _shard_logprobs(forward, pairs[start : start + _PAIRS_PER_SHARD]))
        workspace.mark_done(mark)
    workspace.journal.progress(len(pairs), len(pairs), "pairs")
    return np.concatenate([np.zeros((0, 2)), *(np.load(directory / f"logprobs-{start:08d}.npy") for start in starts)])


def _shard_logprobs(forward: Any, pairs: list) -> np.ndarray:
    from medray.train.forward import ForwardRow

    rows = [ForwardRow(chosen.prompt, [chosen.completion, rejected.completion]) for chosen, rejected in pairs]
    return np.array([[value for value, _ in result] for result in forward.sequence_logprobs(rows)])
