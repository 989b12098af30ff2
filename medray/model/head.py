"""From the last hidden states to the loss: logits only where it looks.   Shapes: N loss tokens, D hidden."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from medray.core.config import UserError
from medray.math.cross_entropy import cross_entropy_sum


def logits_head(model: Any) -> Callable[[Tensor], Tensor]:
    """The function from hidden states to a model's logits, Gemma 2's cap c tanh(x / c) among it.

    Raises UserError for a model that does something else after its output layer.
    """
    head, cap = model.get_output_embeddings(), getattr(model.config, "final_logit_softcapping", None)
    for name in ("logit_scale", "logits_scaling", "output_multiplier"):
        if getattr(model.config, name, None) not in (None, 1.0):
            raise UserError(
                f"model.config.{name} is {getattr(model.config, name)}: not computed here; use another model"
            )
    return (lambda hidden: cap * torch.tanh(head(hidden) / cap)) if cap else head


def loss_kernel(device: torch.device) -> str:
    """What computes the cross-entropy: "liger" (fused with the output layer) on a GPU that has it, else "chunked"."""
    return "liger" if device.type == "cuda" and importlib.util.find_spec("liger_kernel") else "chunked"


def cross_entropy_of(model: Any, hidden_ND: Tensor, target_N: Tensor) -> Tensor:
    """Sum over N tokens of -log p(target | before), nats: a scalar."""
    if loss_kernel(hidden_ND.device) == "chunked":
        return cross_entropy_sum(hidden_ND, logits_head(model), target_N)
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    logits_head(model)
    head = model.get_output_embeddings()
    return liger_fused_linear_cross_entropy(
        hidden_ND, head.weight, target_N, bias=head.bias, reduction="sum",
        softcap=getattr(model.config, "final_logit_softcapping", None),
    )  # fmt: skip
