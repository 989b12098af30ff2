"""The Bradley-Terry loss of a reward model.   Shapes: B pairs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def bradley_terry_loss(chosen_reward_B: Tensor, rejected_reward_B: Tensor) -> Tensor:
    """-log sigmoid(reward of chosen - reward of rejected) of each pair (nats), shape B.

    Source: Ouyang et al. 2022 (InstructGPT), eq. 1, for K = 2.
    Choices: no margin, no centring term: only differences of rewards mean anything; no mean (see dpo_loss).
    """
    return -F.logsigmoid(chosen_reward_B - rejected_reward_B)
