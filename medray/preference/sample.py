"""Stage: sample K completions of each prompt from a policy -> data/completions/part-*.parquet (COMPLETION).

With permutations also data/permuted.parquet (PROMPT), the prompts with shuffled options, and data/permuted, the
completions of these.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
from pydantic import Field

from medray.core.artifact import Artifact, Equality
from medray.core.config import Config, UserError
from medray.core.identity import stable_hash
from medray.core.schema import PROMPT, read_table, write_table
from medray.core.workspace import Workspace
from medray.generate.config import EnginePlacement, Sampling
from medray.generate.config import equality as config_equality
from medray.preference.permute import permuted
from medray.tables.shards import Step

NAME = "sample"
VERSION = 1


class SampleConfig(Config):
    """Which prompts, and how completions are drawn."""

    sampling: Sampling
    splits: tuple[str, ...] = Field(min_length=1)
    """Splits of the prompts: reward_train, reward_heldout, round_1, round_2, fresh."""
    num_prompts: int | None = Field(ge=1)
    """Prompts of each split to use, chosen by hash; None: all of them."""
    salt: str = Field(min_length=1)
    """Name of the use, mixed into every seed: two uses of one prompt never share their randomness."""
    permutations: int = Field(default=0, ge=0)
    """Times that each prompt with a gold option is asked once more, its options in another order, drawn by hash."""
    placement: EnginePlacement = EnginePlacement()


def equality(config: SampleConfig) -> Equality:
    """Whether two runs draw the same completions."""
    return config_equality(config.sampling, config.placement)


def run(config: SampleConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """inputs: policy (data/model), prompts (data/prompts.parquet). Resumes by shard.

    Counters: num_prompts, num_completions, num_tokens, num_cut (ended by max_tokens), num_failed (blank, of prompts
    that no engine survives); with permutations also num_permuted (prompts asked again) and num_not_permuted (of those
    with a gold option).
    """
    return draw(config, inputs, workspace)


def draw(
    config: SampleConfig, inputs: dict[str, Artifact], workspace: Workspace, then: Callable[[], Step] | None = None
) -> dict[str, int | float | str]:
    """`run`, with a step more: what is done with each shard of completions as soon as it is written."""
    from medray.generate.engine import sample

    table = read_table(inputs["prompts"].data / "prompts.parquet", PROMPT)
    prompts = pa.concat_tables([choose_prompts(table, split, config.num_prompts) for split in config.splits])
    how = {
        "model": inputs["policy"].data / "model", "model_id": inputs["policy"].id, "sampling": config.sampling,
        "placement": config.placement, "workspace": workspace, "salt": config.salt,
    }  # fmt: skip
    counters = sample(prompts=prompts, then=then, **how)
    expected = len(prompts) * config.sampling.num_completions
    assert counters["num_completions"] == expected, f"{counters['num_completions']} completions, expected {expected}"
    if not config.permutations:
        return dict(counters)
    asked = [row for row in prompts.to_pylist() if row["gold"] >= 0]
    variants = [permuted(row, config.permutations, config.sampling.rng_seed) for row in asked]
    write_table(workspace.data / "permuted.parquet", [row for rows in variants for row in rows], PROMPT)
    if any(variants):
        sample(prompts=read_table(workspace.data / "permuted.parquet", PROMPT), into="permuted", **how)
    num_permuted = sum(map(bool, variants))
    return {**counters, "num_permuted": num_permuted, "num_not_permuted": len(asked) - num_permuted}


def choose_prompts(prompts: pa.Table, split: str, num_prompts: int | None) -> pa.Table:
    """Rows of a split in hash order (independent of the row order of the file), the first `num_prompts` of them.

    Raises UserError when the split is empty or has fewer prompts than asked for.
    """
    splits = prompts.column("split").to_pylist()
    ids = prompts.column("id").to_pylist()
    chosen = sorted(
        (i for i, found in enumerate(splits) if found == split),
        key=lambda i: (stable_hash("prompt", split, ids[i]), ids[i]),
    )
    if not chosen:
        found = ", ".join(sorted(set(splits))) or "none"
        raise UserError(f"sample.splits: no prompts of split {split!r}, expected one of: {found}; correct the split")
    if num_prompts is not None and num_prompts > len(chosen):
        raise UserError(
            f"sample.num_prompts: split {split!r} has {len(chosen)} prompts, got {num_prompts}: ask for fewer"
        )
    return prompts.take(pa.array(chosen[:num_prompts], pa.int64()))
