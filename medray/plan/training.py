"""Tokens, parameters, machines and hours of a training run: what follows from which."""

from __future__ import annotations

from typing import NamedTuple

A100_FLOPS = 312e12
"""Dense bf16 operations a second. Source: NVIDIA A100 data sheet."""
H100_FLOPS = 989e12
"""Dense bf16 operations a second. Source: NVIDIA H100 SXM data sheet."""


class TrainingEstimate(NamedTuple):
    """A training run by arithmetic."""

    num_rows: int
    """Consumed, over all epochs."""
    num_steps: int
    tokens_per_step: int


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
