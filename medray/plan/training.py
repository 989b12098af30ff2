"""Tokens, parameters, machines and hours of a training run: what follows from which."""

from __future__ import annotations

from typing import NamedTuple

A100_FLOPS = 312e12
"""Dense bf16 operations a second. Source: NVIDIA A100 data sheet."""
H100_FLOPS = 989e12
"""Dense bf16 operations a second. Source: NVIDIA H100 SXM data sheet."""


H100_BYTES = 80e9
"""Memory of one. Source: the same."""


class TrainingEstimate(NamedTuple):
    """A training run by arithmetic."""

    num_rows: int
    """Consumed, over all epochs."""
    num_steps: int
    tokens_per_step: int
    flops: float
    state_bytes: float
    """On each worker: weights, gradients, master weights and optimizer state; activations are not in it."""


def state_bytes(
    num_parameters: float, num_trained: float, *, zero_stage: int, num_workers: int, is_adamw: bool = True
) -> float:
    """Bytes of training state on each worker in bf16: 2 a weight; 4 a gradient, 4 a master weight and 8 (AdamW) or 4
    (RMSprop) of optimizer state for each trained one.

    Source: Rajbhandari et al. 2020 (ZeRO), section 5, with gradients in fp32, as medray accumulates them.
    """
    optimizer, gradients, weights = num_trained * (12 if is_adamw else 8), num_trained * 4, num_parameters * 2
    divided = [zero_stage >= level for level in (1, 2, 3)]
    parts = zip((optimizer, gradients, weights), divided, strict=True)
    return sum(size / num_workers if is_divided else size for size, is_divided in parts)


def full_flops(num_parameters: float, num_tokens: float) -> float:
    """Operations to train all parameters: 6 N T, attention left out. Source: Kaplan et al. 2020, section 2.1."""
    return 6 * num_parameters * num_tokens


def adapter_flops(num_parameters: float, num_tokens: float) -> float:
    """Operations to train adapters on frozen weights, whose own gradients are not computed: 4 N T."""
    return 4 * num_parameters * num_tokens


def utilisation(flops: float, num_gpus: int, hours: float, gpu_flops: float) -> float:
    """The part of the machines' operations that a run of this length has used (model FLOPs utilisation)."""
    return flops / (num_gpus * hours * 3600 * gpu_flops)


def device_flops(name: str) -> float | None:
    """Dense bf16 operations a second of a GPU, by the name that its driver gives; None for one not known here."""
    known = {"A100": A100_FLOPS, "H100": H100_FLOPS, "H200": H100_FLOPS}  # an H200 computes as an H100 does
    return next((flops for part, flops in known.items() if part in name), None)
