"""The learning rate as a pure function of the optimizer step."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["cosine", "linear", "constant"]


def learning_rate(
    optimizer_step: int, num_steps: int, *, peak: float, schedule: Schedule, warmup_fraction: float, min_fraction: float
) -> float:
    """The learning rate of one optimizer step, counted from 0; num_steps is one past the last.

    Warm-up rises linearly over ceil(warmup_fraction * num_steps) steps and reaches `peak` on the step after them; then
    cosine or line falls to min_fraction * peak at num_steps. "constant" stays at `peak`; min_fraction is not used.

    Choices: the first step is already > 0 (a step at rate 0 is a step lost), so warm-up step s has (s + 1) / (w + 1).
    """
    num_warmup = math.ceil(warmup_fraction * num_steps)
    if optimizer_step < num_warmup:
        return peak * (optimizer_step + 1) / (num_warmup + 1)
    progress = min(1.0, (optimizer_step - num_warmup) / max(1, num_steps - num_warmup))
    if schedule == "constant":
        return peak
    remaining = 1 - progress if schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return peak * (min_fraction + (1 - min_fraction) * remaining)
