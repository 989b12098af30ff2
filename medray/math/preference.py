"""Losses of preference pairs, and of labelled completions.   Shapes: B pairs or completions.

A ratio is log p(completion | prompt) of the policy less that of the reference (nats): sums over completion tokens,
not means; prompt tokens do not count. All losses are per pair or completion; the caller divides their sum by those of
the *global* batch, so that the value does not depend on placement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Terms(NamedTuple):
    """What the losses are made of; those that a loss does not name do not count."""

    chosen_B: Tensor
    """Ratio of the preferred completion; for SimPO the policy's log-probability alone."""
    rejected_B: Tensor
    chosen_tokens_B: Tensor
    """Tokens of the completion, at least 1."""
    rejected_tokens_B: Tensor
    beta: float
    """Strength of the pull to the reference, > 0. Med42-v2 Table 3: 0.1 (8B), 0.01 (70B)."""
    label_smoothing: float = 0.0
    """Probability in [0, 0.5) that a pair is flipped."""
    margin: float = 0.0
    """SimPO's gamma: the reward by which chosen must lead."""
    chosen_kl: float = 0.0
    """Mean ratio of the chosen completions of the global batch, and of the rejected ones."""
    rejected_kl: float = 0.0


def dpo(t: Terms) -> Tensor:
    """Rafailov et al. 2023, eq. 7; smoothing: Mitchell 2023 (cDPO), eq. 3."""
    return _smoothed(t.beta * (t.chosen_B - t.rejected_B), t.label_smoothing)


def robust(t: Terms) -> Tensor:
    """Chowdhury et al. 2024 (rDPO), eq. 8: unbiased where pairs are flipped with the probability label_smoothing."""
    margin_B = t.beta * (t.chosen_B - t.rejected_B)
    flipped = t.label_smoothing
    return (-(1 - flipped) * F.logsigmoid(margin_B) + flipped * F.logsigmoid(-margin_B)) / (1 - 2 * flipped)


def hinge(t: Terms) -> Tensor:
    """Zhao et al. 2023 (SLiC-HF) on DPO's margin, as in Liu et al. 2024 (RSO), eq. 10."""
    return F.relu(1 - t.beta * (t.chosen_B - t.rejected_B))


def ipo(t: Terms) -> Tensor:
    """Azar et al. 2024, eq. 17, where beta is tau.

    Choices: ratios are means over tokens, as the authors' results were (TRL, dpo_trainer.py).
    """
    return (_lead_by_token(t) - 1 / (2 * t.beta)).square()


def apo_zero(t: Terms) -> Tensor:
    """D'Oosterlinck et al. 2024, eq. 7: chosen up and rejected down, for chosen better than the model's own."""
    return 1 - torch.sigmoid(t.beta * t.chosen_B) + torch.sigmoid(t.beta * t.rejected_B)


def apo_down(t: Terms) -> Tensor:
    """D'Oosterlinck et al. 2024, eq. 8: both down, rejected more, for chosen worse than the model's own."""
    return torch.sigmoid(t.beta * t.chosen_B) + 1 - torch.sigmoid(t.beta * (t.chosen_B - t.rejected_B))


def simpo(t: Terms) -> Tensor:
    """Meng et al. 2024, eq. 6: no reference, log-probabilities by token, and a margin."""
    return _smoothed(t.beta * _lead_by_token(t) - t.margin, t.label_smoothing)


def kto_pair(t: Terms) -> Tensor:
    """Ethayarajh et al. 2024, eq. 8, on pairs: each side against the mean ratio of the other, which is not below 0.

    As TRL had it until 0.9, and UltraMedical used it. Choices: the means are of the global batch (TRL: of all
    processes' one micro-batch), and the two sides are averaged, as TRL's mean over 2 B losses does.
    """
    chosen_B = 1 - torch.sigmoid(t.beta * (t.chosen_B - max(t.rejected_kl, 0.0)))
    rejected_B = 1 - torch.sigmoid(t.beta * (max(t.chosen_kl, 0.0) - t.rejected_B))
    return (chosen_B + rejected_B) / 2


def kto(
    ratio_B: Tensor, is_desirable_B: Tensor, *, kl: float, beta: float, desirable_weight: float,
    undesirable_weight: float,
) -> Tensor:  # fmt: skip
    """Ethayarajh et al. 2024, eq. 8: desirable completions up and others down, each from the reference point `kl`.

    kl: mean ratio of mismatched completions of the global batch (section 4.1), of which not below 0 counts.
    Choices: 1 - v rather than lambda - lambda v, which differs by a constant (TRL's form, and the authors' code).
    """
    lead_B = torch.where(is_desirable_B, 1.0, -1.0) * (ratio_B - max(kl, 0.0))
    weight_B = torch.where(is_desirable_B, desirable_weight, undesirable_weight)
    return weight_B * (1 - torch.sigmoid(beta * lead_B))


LOSSES: dict[str, Callable[[Terms], Tensor]] = {
    loss.__name__: loss for loss in (dpo, robust, hinge, ipo, apo_zero, apo_down, simpo, kto_pair)
}


def _lead_by_token(t: Terms) -> Tensor:
    return t.chosen_B / t.chosen_tokens_B - t.rejected_B / t.rejected_tokens_B


def _smoothed(margin_B: Tensor, label_smoothing: float) -> Tensor:
    return -(1 - label_smoothing) * F.logsigmoid(margin_B) - label_smoothing * F.logsigmoid(-margin_B)
