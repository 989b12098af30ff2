"""The stages of a round as far as its pairs, on tiny models: python -m tests.faults.round_stages ROOT MODELS."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from medray.core.artifact import Artifact
from medray.core.config import Config, Placement
from medray.core.schema import PROMPT, write_table
from medray.core.stage import Stage, execute
from medray.core.workspace import Root, Workspace
from medray.generate.config import EnginePlacement, Sampling
from medray.preference import answer, pairs
from medray.preference.answer import AnswerConfig
from medray.preference.judge import JudgeConfig
from medray.preference.pairs import PairsConfig
from medray.preference.sample import SampleConfig
from medray.serve.config import RewardServing, ServingPlacement

NUM_SHARDS = 16
OPTIONS = ["Heart", "Kidney"]


class Place(Placement):
    """Where the models were written."""

    models: str


class Given(Config):
    """One of the models."""

    name: str
    placement: Place


def write_models(directory: Path) -> None:
    """A policy, and a reward model with a random head."""
    import torch

    from medray.model.base import make_tiny
    from medray.model.export import save_model
    from medray.model.load import load_reward_model, load_tokenizer

    make_tiny(directory / "policy", ["Which organ is it? Heart Kidney"], hidden_size=128)
    reward_model = load_reward_model(directory / "policy", "fp32", from_policy=True)
    torch.nn.init.normal_(reward_model.score.weight, generator=torch.Generator().manual_seed(0))
    save_model(reward_model, load_tokenizer(directory / "policy"), directory / "reward_model", {"title": "tiny reward"})


def _copy(config: Given, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int]:
    shutil.copytree(Path(config.placement.models) / config.name, workspace.data / "model", dirs_exist_ok=True)
    return {}


def _prompts(config: Config, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int]:
    rows = []
    for number in range(2 * NUM_SHARDS):
        text, is_choice = f"Which organ is number {number}?", number % 4 == 0
        lines = [text, *(f"- {option}" for option in OPTIONS)] if is_choice else [text]
        rows.append({
            "id": f"p{number}", "task": "t", "messages": [{"role": "user", "content": "\n".join(lines)}],
            "options": OPTIONS if is_choice else [], "gold": 0 if is_choice else -1, "reference": "", "group": "",
            "split": "round_1",
        })  # fmt: skip
    write_table(workspace.data / "prompts.parquet", rows, PROMPT)
    return {"num_prompts": len(rows)}


ANSWER = AnswerConfig(
    sample=SampleConfig(
        sampling=Sampling(
            num_completions=3, temperature=1.0, top_p=1.0, max_tokens=12, rng_seed=3, dtype="fp32", max_model_len=128
        ),
        splits=("round_1",), num_prompts=None, salt="round_1", permutations=1,
        placement=EnginePlacement(
            threads=1, kv_cache_gib=0.25, max_num_seqs=16, prompts_per_shard=2, call_timeout_s=240
        ),
    ),
    judge=JudgeConfig(serving=RewardServing(dtype="fp32", max_tokens=128, placement=ServingPlacement(threads=1))),
)  # fmt: skip
PAIRS = PairsConfig(min_margin=0.0, unparsed_is_wrong=True, follows_text=True, source="round_1")


def stages(models: Path) -> dict[str, Stage]:
    """In the order in which they run."""
    place = Place(models=str(models))
    found = {
        name: Stage(name, name, 1, Given(name=name, placement=place), _copy) for name in ("policy", "reward_model")
    }
    found["prompts"] = Stage("prompts", "prompts", 1, Config(), _prompts)
    found["answer"] = Stage.of("answer", answer, ANSWER, **found)
    roles = {"completions": found["answer"], "rewards": found["answer"], "prompts": found["prompts"]}
    found["pairs"] = Stage.of("pairs", pairs, PAIRS, **roles)
    return found


if __name__ == "__main__":
    from medray.session import SessionPlacement, ray_session

    with ray_session(SessionPlacement(logical_cpus=4, object_store_bytes=128 * 2**20)):
        for each in stages(Path(sys.argv[2])).values():
            execute(each, Root(sys.argv[1]))
