"""Several reward models as one, and how far they disagree.   Shapes: M models, N completions of one prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from medray.core.config import Config

REWARD_MODEL = "reward_model"
"""Role of the reward model among a stage's inputs; of several `reward_model_<name>`."""


class EnsembleRule(Config):
    """One reward of several.

    Source: Coste et al. 2024, Reward Model Ensembles Help Mitigate Overoptimization, section 3: mean, worst case, and
    mean less uncertainty (there the variance).
    """

    rule: Literal["mean", "min", "mean_minus_std"]
    std_factor: float | None = Field(default=None, gt=0)
    """Of mean_minus_std: how many standard deviations are taken off."""

    @model_validator(mode="after")
    def _is_whole(self) -> EnsembleRule:
        if (self.rule == "mean_minus_std") != (self.std_factor is not None):
            raise ValueError("std_factor goes with mean_minus_std and no other rule: set both or neither")
        return self


def members(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The reward models among a stage's inputs, by role in order: one, or several."""
    found = sorted(role for role in inputs if role == REWARD_MODEL or role.startswith(f"{REWARD_MODEL}_"))
    return {role: inputs[role] for role in found}


def combined(rewards_MN: np.ndarray | Sequence[Sequence[float]], rule: EnsembleRule) -> tuple[np.ndarray, np.ndarray]:
    """The reward of each of a prompt's N completions, and the standard deviation of the members (N, divisor M).

    Choices: Bradley-Terry leaves every member a constant of its own, so that min and std over raw rewards would pick
    the member with the lowest constant. Members are compared after each one's mean over the prompt's completions is
    taken off; the mean of all is put back, which keeps the reward's level from prompt to prompt. `mean` is the plain
    mean of the members; one completion alone has no disagreement.
    """
    rewards_MN = np.asarray(rewards_MN, dtype=np.float64)
    level, centred_MN = rewards_MN.mean(), rewards_MN - rewards_MN.mean(axis=1, keepdims=True)
    std_N = centred_MN.std(axis=0)
    match rule.rule:
        case "mean":
            return level + centred_MN.mean(axis=0), std_N
        case "min":
            return level + centred_MN.min(axis=0), std_N
        case "mean_minus_std":
            return level + centred_MN.mean(axis=0) - (rule.std_factor or 0.0) * std_N, std_N
