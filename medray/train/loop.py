"""The training loop: one page for pretraining, SFT, reward models and DPO, in one plain process or on many workers.

Per optimizer step: the rows of the step (a pure function of seed and position) -> this rank's micro-steps -> loss and
gradient summed over all ranks, divided by the units of the *global* batch -> clip -> scheduled step -> log -> save.
So the trajectory does not depend on the world size, the micro-batch or the ZeRO stage beyond floating-point order,
and a run's state is its weights, its optimizer state and one integer.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medray.core.config import UserError
from medray.core.identity import stable_hash
from medray.math.schedule import learning_rate
from medray.tables.blocks import BlockStore
from medray.train import checkpoint, zero
from medray.train.batches import load_batch, rank_rows, step_rows
from medray.train.config import Optimization, TrainPlacement
from medray.train.objective import Objective

OnStep = Callable[[int, int, dict[str, float]], None]
"""Called on rank 0 after each step with (steps done, steps in all, metrics)."""
OnRows = Callable[[int, list[int]], None]
"""Called on rank 0 after each step with (steps done, rows of the store whose gradients the ranks summed in it)."""
Interrupt = Callable[[], str | None]
"""Asked on every rank in each step: why to stop after it, or None."""


_INTERRUPT, _CONSUMED = "interrupt", "consumed"


class NonFiniteLoss(UserError):
    """The loss or the gradient of a step is NaN or infinite; raised on every rank, before the optimizer step."""


@dataclass(frozen=True)
class Ranks:
    """This process among the workers; torch.distributed must be initialised accordingly."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = torch.device("cpu")

    @staticmethod
    def alone(device: str = "cpu") -> Ranks:
        """One plain process: starts a process group of one where there is none."""
        if not dist.is_initialized():
            backend = "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
        return Ranks(device=torch.device(device))

    def sum(self, values: Tensor) -> Tensor:
        """Element-wise sum over all ranks."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def agreed(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        values = [value]
        if self.world_size > 1:
            dist.broadcast_object_list(values)
        return values[0]

    def gathered(self, value: Any) -> list[Any]:
        """Every rank's value, in rank order."""
        values = [value] * self.world_size
        if self.world_size > 1:
            dist.all_gather_object(values, value)
        return values


class _Forward(nn.Module):
    """The objective around its model, as the one module that DeepSpeed sees."""

    def __init__(self, model: nn.Module, objective: Objective):
        super().__init__()
        self.model = model
        self._objective = objective

    def forward(self, batch: Any) -> Any:
        return self._objective.loss(self.model, batch)


def train(
    model: nn.Module,
    store: BlockStore,
    *,
    objective: Objective,
    optimization: Optimization,
    placement: TrainPlacement,
    checkpoints: Path,
    ranks: Ranks,
    on_step: OnStep = lambda done, total, metrics: None,
    on_rows: OnRows = lambda done, rows: None,
    interrupt: Interrupt = lambda: None,
) -> checkpoint.TrainState:
    """Train a model on a token store to the end, from the newest whole checkpoint if there is one.

    Every rank calls it with the whole model. The last checkpoint holds the final fp32 parameters alone and is finished;
    where there is one already, nothing is trained. When any rank's `interrupt` gives a reason, all save after that step
    and return an unfinished state. Raises NonFiniteLoss, and UserError for a store that does not fit.
    """
    objective.check_store(store)
    found = ranks.agreed(checkpoint.newest_whole(checkpoints) if ranks.rank == 0 else None)
    reader = checkpoint.CheckpointReader(found) if found else None
    state = reader.state if reader else checkpoint.TrainState()
    if state.is_finished:
        return state
    model.train()
    if placement.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    engine = zero.build_engine(
        _Forward(model, objective), optimization, placement.zero_stage, use_gpu=ranks.device.type != "cpu"
    )
    if reader:
        zero.load_slices(engine, reader.read, state.state_keys, state.scalars)
    num_steps = optimization.num_steps(len(store))
    for step in range(state.optimizer_step, num_steps):
        started_at = time.perf_counter()
        rate = learning_rate(
            step, num_steps, peak=optimization.learning_rate, schedule=optimization.schedule,
            warmup_fraction=optimization.warmup_fraction, min_fraction=optimization.min_learning_rate_fraction,
        )  # fmt: skip
        rows = step_rows(step, store, optimization)
        metrics = _accumulate(engine, store, rows, step, objective, optimization, placement, ranks, interrupt)
        is_interrupted = metrics.pop(_INTERRUPT) > 0
        metrics["grad_norm"] = zero.optimizer_step(engine, rate)
        if not math.isfinite(metrics["grad_norm"]):
            raise NonFiniteLoss(_diagnosis(step, "gradient norm", metrics["grad_norm"], rows))
        metrics["learning_rate"] = rate
        metrics["tokens_per_s"] = sum(map(store.num_tokens, rows)) / (time.perf_counter() - started_at)
        done, is_finished = step + 1, step + 1 == num_steps
        state = checkpoint.TrainState(done, step * optimization.global_batch + len(rows), is_finished, metrics=metrics)
        if ranks.rank == 0:
            on_rows(done, rows)
            on_step(done, num_steps, metrics)
        is_due = placement.checkpoint_every_steps and done % placement.checkpoint_every_steps == 0
        if is_finished or is_interrupted or is_due:
            state = _save(engine, state, checkpoints, placement.keep_checkpoints, ranks)
        if is_interrupted:
            break
    engine.destroy()
    return state


def _accumulate(
    engine: Any,
    store: BlockStore,
    rows: list[int],
    step: int,
    objective: Objective,
    optimization: Optimization,
    placement: TrainPlacement,
    ranks: Ranks,
    interrupt: Interrupt,
) -> dict[str, float]:
    """Forward and backward over one step's rows; the step's loss and metrics over the global batch.

    Raises NonFiniteLoss on every rank when any rank's loss is not finite.
    """
    num_units = max(1, sum(objective.num_units(store, row) for row in rows))  # every rank counts alike: no message
    micro_steps = rank_rows(rows, store, ranks.rank, ranks.world_size, placement.micro_batch)
    totals: dict[str, Tensor] = {}
    bad_rows: list[int] = []
    consumed = 0
    for index, micro_rows in enumerate(micro_steps):
        batch = load_batch(store, micro_rows, ranks.device, idle_row=rows[0])
        torch.manual_seed(stable_hash("dropout", optimization.rng_seed, step, list(batch.rows)) >> 1)
        zero.begin_micro_step(engine, is_last=index == len(micro_steps) - 1)
        loss_sum, sums = engine(batch)
        zero.backward(engine, loss_sum * (batch.weight / num_units))
        sums["loss"] = loss_sum.detach()
        for name, value in sums.items():
            totals[name] = totals.get(name, 0) + value.double() * (batch.weight / num_units)
        if not math.isfinite(sums["loss"]):
            bad_rows += batch.rows
        consumed += _checksum(batch.rows)
    # two numbers more in the one message of a step: whether somebody wants to stop, and what was really consumed
    for name, number in ((_INTERRUPT, interrupt() is not None), (_CONSUMED, consumed)):
        totals[name] = torch.tensor(float(number), dtype=torch.float64, device=ranks.device)
    names = sorted(totals)
    values = ranks.sum(torch.stack([totals[name] for name in names])).tolist()
    metrics = dict(zip(names, values, strict=True))
    if not math.isfinite(metrics["loss"]):
        bad_rows = sorted(sum(ranks.gathered(bad_rows), []))
        raise NonFiniteLoss(_diagnosis(step, "loss", metrics["loss"], bad_rows))
    assert metrics.pop(_CONSUMED) == _checksum(rows), f"step {step}: the ranks' rows are not those of the step"
    return metrics


def _checksum(rows: Iterable[int]) -> int:
    """A sum over rows, exact in fp64 for up to 2^21 of them: equal sums are, but for chance, equal multisets."""
    return sum(zlib.crc32(row.to_bytes(8, "little")) for row in rows)


def _diagnosis(step: int, what: str, value: float, rows: list[int]) -> str:
    shown = f"{rows[:16]}{' and more' if len(rows) > 16 else ''}"
    return (
        f"train.step {step}: {what} is {value}, expected a finite number; rows {shown} of the token store; the weights "
        f"of step {step} are untouched: lower the learning rate, or look at these rows"
    )


def _save(engine: Any, state: checkpoint.TrainState, root: Path, num_kept: int, ranks: Ranks) -> checkpoint.TrainState:
    """Write a checkpoint with all ranks; a finished one holds parameters only. Returns the state as written."""
    directory = checkpoint.step_directory(root, state.optimizer_step)
    keys = {zero.PARAMETER} if state.is_finished else None
    part = checkpoint.snapshot(zero.slices(engine), keys)
    state_keys = {} if state.is_finished else {key for piece in zero.slices(engine) for key in piece.values}
    state_keys = sorted(set().union(*ranks.gathered(set(state_keys))) - {zero.PARAMETER})
    scalars = {} if state.is_finished else next((s for s in ranks.gathered(zero.scalars(engine)) if s), {})
    state = checkpoint.TrainState(
        state.optimizer_step, state.position, state.is_finished, state_keys, scalars, state.metrics
    )
    if ranks.rank == 0:
        checkpoint.discard(directory)
    ranks.gathered(None)  # nobody writes before the old marker is gone
    checkpoint.write_rank(directory, part, ranks.rank, ranks.world_size)
    ranks.gathered(None)
    if ranks.rank == 0:
        checkpoint.write_marker(directory, state, ranks.world_size)
        checkpoint.keep_newest(root, num_kept)
    return state
