"""Stage: K completions of each prompt, judged while more are sampled -> data/completions (COMPLETION) and
data/rewards.parquet (REWARD); of several reward models also data/members.parquet (MEMBERS).

Two pools work at once, vLLM's engines and the served reward model: a shard of completions is judged as soon as it is
written, and either pool starts while the other does.
"""

from __future__ import annotations

from functools import partial

from medray.core.artifact import Artifact, Equality
from medray.core.config import Config
from medray.core.workspace import Workspace
from medray.preference import sample
from medray.preference.judge import JudgeConfig, gather, judging
from medray.preference.sample import SampleConfig, draw

NAME = "answer"
VERSION = 2


class AnswerConfig(Config):
    """How completions are drawn, and who judges them."""

    sample: SampleConfig
    judge: JudgeConfig


def equality(config: AnswerConfig) -> Equality:
    """Whether two runs draw the same completions."""
    return sample.equality(config.sample)


def run(config: AnswerConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """inputs: policy (data/model), reward_model (or several, reward_model_<name>: data/model), prompts
    (data/prompts.parquet).

    Resumes by shard, sampled and judged each for itself. Counters: those of sampling and of judging.
    """
    step = partial(judging, config.judge, inputs, workspace)
    return {**draw(config.sample, inputs, workspace, then=step), **gather(config.judge, workspace)}
