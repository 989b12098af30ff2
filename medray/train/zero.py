"""The DeepSpeed engine, and this rank's own part of its state.   The only importer of deepspeed.

DeepSpeed is asked for two things: partitioned state (ZeRO) and the optimizer step. Micro-batches, loss scaling, the
learning rate, data and checkpoints are the loop's.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from medray.train.config import Optimization, TrainPlacement

PARAMETER = "fp32"
"""The key of a parameter's fp32 value; other keys are the optimizer's own (exp_avg, square_avg, ...)."""

_LOSS_SCALE = "loss_scale"
FIRST_LOSS_SCALE = 2.0**16
_LARGEST_LOSS_SCALE = 2.0**24
_STEPS_TO_DOUBLE = 1000
"""Choices: as in Micikevicius et al. 2018, section 3.2, but a step that overflows is done again, not skipped."""


@dataclass(frozen=True)
class Slice:
    """A run of elements of one flattened parameter, and the same run of its optimizer state: views, fp32."""

    name: str
    start: int
    values: dict[str, Tensor]

    @property
    def length(self) -> int:
        """Number of elements."""
        return self.values[PARAMETER].numel()


def build_engine(module: nn.Module, optimization: Optimization, placement: TrainPlacement, *, use_gpu: bool) -> Any:
    """A DeepSpeed engine around `module`, whose attribute `model` is what is trained and saved.

    Needs torch.distributed to be initialised, a group of one included. zero_stage 0 in bf16 or fp16 runs as 1: without
    partitions DeepSpeed accumulates gradients in those dtypes only.
    """
    if not use_gpu:
        os.environ["DS_ACCELERATOR"] = "cpu"
    os.environ.setdefault("LOCAL_RANK", "0")
    import deepspeed
    from deepspeed.accelerator import get_accelerator
    from deepspeed.runtime import bf16_optimizer, compiler
    from deepspeed.utils import logger

    logger.setLevel(logging.ERROR)
    # no compiled operators: they need a compiler, and those for shared memory leave 69 MB each behind a killed worker
    deepspeed.ops.__compatible_ops__ = {}
    # importing Muon, which is not used here, would start torch's compiler: 1 s and 50 MB in every worker
    compiler.compile = lambda: compiler.dummy_decorator
    if not use_gpu:  # torch computes fp16 on any CPU, slowly; DeepSpeed would refuse
        get_accelerator().is_fp16_supported = lambda: True
    warnings.filterwarnings("ignore", message=".*is deprecated.*", category=FutureWarning, module="torch.distributed")
    # it prints, and collects garbage for, every parameter group, whatever the log level
    bf16_optimizer.see_memory_usage = lambda message, force=False: None
    engine, *_ = deepspeed.initialize(
        model=module,
        optimizer=_optimizer(module, optimization),
        config=_settings(optimization, placement),
        dist_init_required=False,
    )
    if engine.dp_world_size == 1:  # it would copy all gradients together, reduce them over nobody, and copy back
        engine.buffered_allreduce_fallback = lambda *args, **kwargs: None
    return engine


def _settings(optimization: Optimization, placement: TrainPlacement) -> dict[str, Any]:
    """DeepSpeed's config."""
    dtype, offload = optimization.dtype, {"device": "cpu", "pin_memory": placement.use_gpu}
    stage = placement.zero_stage if dtype == "fp32" else max(placement.zero_stage, 1)
    zero: dict[str, Any] = {"stage": stage}
    if placement.offload:
        zero |= {"offload_optimizer": offload}
    if placement.offload == "parameters":
        zero |= {"offload_param": offload}
    return {
        # micro-batches are the loop's: with 1 and 1 DeepSpeed has nothing left to scale by
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": optimization.gradient_clip if stage else 0.0,  # at stage 0 `optimizer_step` does it
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,  # its own has to be compiled and knows Adam only
        "bf16": {"enabled": dtype == "bf16", "check_grad_overflow": True},
        # a fixed scale as DeepSpeed sees it: the loop changes it, so that no rows are skipped
        "fp16": {"enabled": dtype == "fp16", "loss_scale": FIRST_LOSS_SCALE},
        "data_types": {"grad_accum_dtype": "fp32"},
        "communication_data_type": "fp32",
        "steps_per_print": None,
    }


def _optimizer(module: nn.Module, optimization: Optimization) -> torch.optim.Optimizer:
    """AdamW or RMSprop in two groups: matrices with weight decay, vectors (norms, biases) without."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": optimization.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if optimization.optimizer == "adamw":
        # fused: one pass over the flat partition (135M parameters, 2 threads: 0.1 to 0.4 s after the first step)
        return torch.optim.AdamW(groups, lr=optimization.learning_rate, betas=optimization.betas, fused=True)
    return torch.optim.RMSprop(groups, lr=optimization.learning_rate, alpha=optimization.betas[1], foreach=False)


def begin_micro_step(engine: Any, *, is_last: bool) -> None:
    """Say, before its forward pass, whether a micro-step is the last one before the optimizer step."""
    engine.set_gradient_accumulation_boundary(is_last)


def backward(engine: Any, loss: Tensor) -> None:
    """Accumulate the gradient of this rank's share of the loss; the gradients of all ranks are *summed*."""
    # DeepSpeed averages over ranks
    engine.backward(loss * engine.dp_world_size, scale_wrt_gas=False)


def optimizer_step(engine: Any, learning_rate: float, gradient_clip: float) -> float:
    """Clip, step, and return the global gradient norm before clipping; a non-finite norm is returned *without* a step.

    After a non-finite norm the weights are those of the step before, on every rank, and partitioned gradients are
    dropped.
    """
    for group in _inner_optimizer(engine).param_groups:
        group["lr"] = learning_rate
    if engine.optimizer is _inner_optimizer(engine):  # zero_stage 0: DeepSpeed would step whatever the norm
        parameters = [p for p in engine.module.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
        if math.isfinite(norm):
            if gradient_clip:
                torch.nn.utils.clip_grads_with_norm_(parameters, gradient_clip, norm)
            engine.step()
        return float(norm)
    engine.step()
    return float(engine.get_global_grad_norm()) if engine.was_step_applied() else float("nan")


def halve_loss_scale(engine: Any) -> bool:
    """Halve the scale of an fp16 loss after a non-finite norm; False where there is none to halve.

    At scale 1 the gradient itself is not finite. Every rank sees the same norms, so all keep the same scale.
    """
    scale = loss_scale(engine)
    if scale is None or scale <= 1:
        return False
    engine.optimizer.cur_scale = scale / 2
    return True


def grow_loss_scale(engine: Any, optimizer_step: int) -> None:
    """Double the scale of an fp16 loss now and then: after so many steps, whatever came between."""
    scale = loss_scale(engine)
    if scale is not None and (optimizer_step + 1) % _STEPS_TO_DOUBLE == 0:
        engine.optimizer.cur_scale = min(2 * scale, _LARGEST_LOSS_SCALE)


def loss_scale(engine: Any) -> float | None:
    """By what an fp16 loss is multiplied before backward; None in other dtypes."""
    return float(engine.optimizer.cur_scale) if engine.fp16_enabled() else None


def _inner_optimizer(engine: Any) -> torch.optim.Optimizer:
    """The torch optimizer below DeepSpeed's wrapper."""
    return getattr(engine.optimizer, "optimizer", engine.optimizer)


def slices(engine: Any) -> Iterator[Slice]:
    """This rank's own partition of parameters and optimizer state, without communication; empty parts left out.

    At stage 0 the state is replicated and rank 0 owns all of it. Optimizer state that does not exist yet is left out.
    """
    state = _inner_optimizer(engine).state
    for name, start, parameter, owner, offset in _fragments(engine):
        values = {PARAMETER: parameter}
        for key, tensor in state.get(owner, {}).items():
            if torch.is_tensor(tensor) and tensor.numel() == owner.numel() and tensor.ndim:
                values[key] = tensor.view(-1).narrow(0, offset, parameter.numel())
        yield Slice(name, start, values)


def _fragments(engine: Any) -> Iterator[tuple[str, int, Tensor, Tensor, int]]:
    """(name, start in the parameter, fp32 view, tensor that keys the optimizer's state, offset of the view in it)."""
    optimizer, rank = engine.optimizer, engine.global_rank
    for name, p in engine.module.model.named_parameters():
        if not p.requires_grad:
            continue
        if hasattr(optimizer, "fp32_partitioned_groups_flat"):  # stage 3: every parameter is cut evenly, with padding
            group, offset, padded = optimizer.grad_position[optimizer.get_param_id(p)]
            owner = optimizer.fp32_partitioned_groups_flat[group]
            start, length = rank * padded, min(padded, p.ds_numel - rank * padded)
        elif optimizer is _inner_optimizer(engine):  # stage 0
            owner, start, offset, length = p, 0, 0, p.numel() if rank == 0 else 0
        else:  # stages 1 and 2: each group is one flat tensor, cut evenly; a parameter may straddle two ranks
            mapping = p._hp_mapping
            if mapping is None:
                continue
            owner = _flat_partitions(optimizer)[mapping.param_group_index]
            start, length = mapping.lp_fragment_address.start, mapping.lp_fragment_address.numel
            offset = mapping.hp_fragment_address.start
        if length > 0:
            yield name, start, owner.detach().view(-1).narrow(0, offset, length), owner, offset


def _flat_partitions(optimizer: Any) -> list[Tensor]:
    """This rank's fp32 partition of each parameter group (stages 1 and 2; bf16 at stage 1 has a class of its own)."""
    names = ("single_partition_of_fp32_groups", "fp32_groups_flat_partition")
    return next(getattr(optimizer, name) for name in names if hasattr(optimizer, name))


def scalars(engine: Any) -> dict[str, float]:
    """The optimizer's scalar state, such as Adam's step (all parameters step together), and an fp16 loss scale."""
    found = {} if loss_scale(engine) is None else {_LOSS_SCALE: loss_scale(engine)}
    for state in _inner_optimizer(engine).state.values():
        return found | {
            key: float(value) for key, value in state.items() if not torch.is_tensor(value) or value.numel() == 1
        }
    return found


def load_slices(
    engine: Any, read: Callable[[str, int, int, str], Tensor], state_keys: list[str], scalar_state: dict[str, float]
) -> None:
    """Fill this rank's partition through `read(name, start, length, key)`, then refresh the working weights.

    The optimizer's own state is made where it does not exist yet. All ranks must call this (the refresh communicates).
    """
    scalar_state = dict(scalar_state)
    if _LOSS_SCALE in scalar_state:
        engine.optimizer.cur_scale = scalar_state.pop(_LOSS_SCALE)
    state = _inner_optimizer(engine).state
    replicated = engine.optimizer is _inner_optimizer(engine)
    for name, start, parameter, owner, offset in _every_fragment(engine, replicated):
        parameter.copy_(read(name, start, parameter.numel(), PARAMETER))
        own = state[owner]
        for key in state_keys:
            if key not in own:
                own[key] = torch.zeros_like(owner, requires_grad=False)
            own[key].view(-1).narrow(0, offset, parameter.numel()).copy_(read(name, start, parameter.numel(), key))
        for key, value in scalar_state.items():
            own[key] = torch.tensor(value, dtype=torch.float32, device=owner.device)
    if not replicated:
        _refresh_working_weights(engine.optimizer)


def _every_fragment(engine: Any, replicated: bool) -> Iterator[tuple[str, int, Tensor, Tensor, int]]:
    """What this rank must read: its own fragments, and at stage 0 everything on every rank."""
    if not replicated:
        yield from _fragments(engine)
        return
    for name, p in engine.module.model.named_parameters():
        if p.requires_grad:
            yield name, 0, p.detach().view(-1), p, 0


def _refresh_working_weights(optimizer: Any) -> None:
    """Low-precision (or replicated) weights from the fp32 partitions of all ranks."""
    if hasattr(optimizer, "update_lp_params"):
        optimizer.update_lp_params()
        return
    for group, partition in enumerate(optimizer.fp32_partitioned_groups_flat):
        if partition.numel():
            optimizer.fp16_partitioned_groups_flat[group].data.copy_(partition.data)
        optimizer._unflatten_partitioned_parameters(group)
    if optimizer.persistent_parameters:  # small parameters that stage 3 keeps whole
        first = optimizer.persistent_parameters[0]
        first.partition(optimizer.persistent_parameters)
        first.all_gather(optimizer.persistent_parameters)


def leave_out_compiled_operators() -> None:
    """Have DeepSpeed use none in this process, whoever calls it: workers that compile together can wait for ever."""
    import deepspeed

    deepspeed.ops.__compatible_ops__ = {}
