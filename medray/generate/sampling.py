"""Seeds and shards of sampling: pure functions of the prompts and the config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from medray.core.config import UserError
from medray.core.identity import stable_hash

SEED_BITS = 31  # vLLM and numpy both take it; a signed 32-bit column can hold it


class Shard(NamedTuple):
    """Prompts [start, stop) in stable order; the unit of resuming and of bitwise reproducibility."""

    folder: str
    index: int
    start: int
    stop: int

    @property
    def mark(self) -> str:
        """Name of the completion mark."""
        return f"{self.folder}-{self.index:05d}"

    @property
    def file_name(self) -> str:
        """Parquet part that holds the shard's completions."""
        return f"part-{self.index:05d}.parquet"


def completion_seeds(rng_seed: int, salt: str, prompt_id: str, num_completions: int) -> list[int]:
    """Seeds of one prompt's completions, each in [0, 2**31), distinct within the prompt.

    `salt` names the use (round_1, round_2, fresh): the same prompt asked again gets other seeds. Across prompts two
    seeds are equal only by chance (2**-31 a pair), which does no harm: the prompts differ.
    Source: the known trap "one seed for all sampling replicas" (DESIGN): equal seeds gave identical completions.
    """
    seeds: list[int] = []
    for index in range(num_completions):
        attempt = 0
        while True:
            seed = stable_hash("completion", rng_seed, salt, prompt_id, index, attempt) & ((1 << SEED_BITS) - 1)
            if seed not in seeds:
                break
            attempt += 1
        seeds.append(seed)
    return seeds


def plan_shards(num_prompts: int, prompts_per_shard: int, folder: str = "completions") -> list[Shard]:
    """Consecutive shards of `prompts_per_shard` prompts; the last may be smaller. folder: where completions go."""
    starts = range(0, num_prompts, prompts_per_shard)
    return [Shard(folder, i, start, min(start + prompts_per_shard, num_prompts)) for i, start in enumerate(starts)]


def check_lengths(prompt_ids: Sequence[str], lengths: Sequence[int], *, max_tokens: int, max_model_len: int) -> None:
    """Raises UserError naming the first prompt whose tokens plus `max_tokens` exceed `max_model_len`."""
    for prompt_id, length in zip(prompt_ids, lengths, strict=True):
        if length + max_tokens > max_model_len:
            raise UserError(
                f"sampling.max_model_len: prompt {prompt_id!r} has {length} tokens and needs {max_tokens} more, "
                f"got room for {max_model_len}; raise max_model_len, lower max_tokens or leave the prompt out"
            )


def check_unique(prompt_ids: Sequence[str]) -> None:
    """Raises UserError when a prompt id occurs twice (its completions could not be told apart)."""
    seen: set[str] = set()
    for prompt_id in prompt_ids:
        if prompt_id in seen:
            raise UserError(f"prompts.id: {prompt_id!r} occurs twice; expected once: remove the duplicate")
        seen.add(prompt_id)
