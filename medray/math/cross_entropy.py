"""Cross-entropy over the loss tokens of a batch.   Shapes: N loss tokens, D hidden."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from medray.math.logprob import token_logprobs


def cross_entropy_sum(hidden_ND: Tensor, head: Callable[[Tensor], Tensor], target_N: Tensor) -> Tensor:
    """Sum over N tokens of -log p(target | before), in nats: a scalar.

    Choices: a sum, never a mean, so that the caller divides by the number of loss tokens of the *global* batch and the
    value does not depend on how rows fall into micro-batches.
    """
    return -token_logprobs(hidden_ND, head, target_N).sum()
