"""The Bradley-Terry loss of a reward model.   Shapes: B pairs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def bradley_terry_loss(
    chosen_reward_B: Tensor, rejected_reward_B: Tensor, margin_B: Tensor | float = 0.0, *, centring: float = 0.0
) -> Tensor:
    """-log sigmoid(reward of chosen - reward of rejected - margin) of each pair (nats), shape B.

    margin_B: how far chosen must lead, larger where it is much better. centring: weight of the squared sum of both
    rewards, which draws them to 0; without it only differences mean anything.
    Source: Ouyang et al. 2022 (InstructGPT), eq. 1, for K = 2; margin: Touvron et al. 2023 (Llama 2), eq. 2; centring:
    Eisenstein et al. 2023, eq. 2. Choices: no mean, which is the caller's.
    """
    loss_B = -F.logsigmoid(chosen_reward_B - rejected_reward_B - margin_B)
    return loss_B + centring * (chosen_reward_B + rejected_reward_B).square() if centring else loss_B
