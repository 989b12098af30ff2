"""Direct Preference Optimization.   Shapes: B pairs."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class PreferenceLoss(NamedTuple):
    """Loss of each pair, and the implicit rewards beta * (policy - reference) of both sides (nats, detached)."""

    loss_B: Tensor
    chosen_reward_B: Tensor
    rejected_reward_B: Tensor


def dpo_loss(
    policy_chosen_B: Tensor,
    policy_rejected_B: Tensor,
    reference_chosen_B: Tensor,
    reference_rejected_B: Tensor,
    *,
    beta: float,
    label_smoothing: float = 0.0,
) -> PreferenceLoss:
    """DPO loss of each of B preference pairs.

    Each input is the log-probability of a whole completion given its prompt: a sum over completion tokens (nats), not a
    mean; prompt tokens do not count.

    beta: strength of the pull to the reference, > 0. Med42-v2 Table 3: 0.1 (8B), 0.01 (70B).
    label_smoothing: probability in [0, 0.5) that a pair is flipped; 0 gives plain DPO.

    Source: Rafailov et al. 2023, eq. 7; smoothing: Mitchell 2023 (cDPO), eq. 3.
    Choices: no mean here; the caller divides the sum by the pairs of the *global* batch, so the value does not depend
    on placement.
    """
    assert beta > 0 and 0 <= label_smoothing < 0.5, f"beta {beta}, label_smoothing {label_smoothing}"
    chosen_B = beta * (policy_chosen_B - reference_chosen_B)
    rejected_B = beta * (policy_rejected_B - reference_rejected_B)
    margin_B = chosen_B - rejected_B
    loss_B = -(1 - label_smoothing) * F.logsigmoid(margin_B) - label_smoothing * F.logsigmoid(-margin_B)
    return PreferenceLoss(loss_B, chosen_B.detach(), rejected_B.detach())
