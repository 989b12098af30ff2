"""Log-probabilities of target tokens, and their sums by sequence.

Shapes: N target tokens, D hidden, V vocabulary, S sequences.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

CHUNK_TOKENS = 2048
"""Rows of full-vocabulary fp32 logits alive at once: 2048 x 49152 x 4 bytes = 400 MB; past it, one recomputation."""


def token_logprobs(hidden_ND: Tensor, head: Callable[[Tensor], Tensor], target_N: Tensor) -> Tensor:
    """Log-probability (nats, fp32 or wider) of each target token under softmax(head(hidden)), shape N.

    hidden_ND holds the hidden state *before* each target. More than CHUNK_TOKENS targets are done in chunks whose
    logits are recomputed in the backward pass, so memory stays at one chunk for the price of one more head product.
    """
    if hidden_ND.shape[0] <= CHUNK_TOKENS:
        return _chunk_logprobs(hidden_ND, head, target_N)
    chunks = zip(hidden_ND.split(CHUNK_TOKENS), target_N.split(CHUNK_TOKENS), strict=True)
    return torch.cat([checkpoint(_chunk_logprobs, h, head, t, use_reentrant=False) for h, t in chunks])


def _chunk_logprobs(hidden_ND: Tensor, head: Callable[[Tensor], Tensor], target_N: Tensor) -> Tensor:
    logits_NV = head(hidden_ND)
    if logits_NV.dtype in (torch.bfloat16, torch.float16):
        logits_NV = logits_NV.float()  # a log-sum-exp over 10^5 terms loses the loss in bf16
    return -F.cross_entropy(logits_NV, target_N, reduction="none")


def sequence_logprobs(logprob_N: Tensor, sequence_N: Tensor, num_sequences: int) -> Tensor:
    """Sum of token log-probabilities (nats) of each sequence, shape S; sequence_N is the sequence of each token."""
    return logprob_N.new_zeros(num_sequences).index_add(0, sequence_N, logprob_N)
