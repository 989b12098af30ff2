"""The training loop: one page for pretraining, SFT, reward models and DPO, in one plain process or on many workers.

Per optimizer step: the rows of the step (a pure function of seed and position) -> this rank's micro-steps -> loss and
gradient summed over all ranks, divided by the units of the *global* batch -> clip -> scheduled step -> log -> save.
So the trajectory does not depend on the world size, the micro-batch or the ZeRO stage beyond floating-point order,
and a run's state is its weights, its optimizer state and one integer.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medray.core.identity import stable_hash
from medray.math.schedule import learning_rate
from medray.model.attention import use_packed_attention
from medray.tables.blocks import BlockStore
from medray.train import checkpoint, spike, zero
from medray.train.batches import Batch, Step, StepLoader, first_position
from medray.train.config import Optimization, TrainPlacement
from medray.train.marker import TrainState, check_recipe, recipe_of
from medray.train.micro_batch import MicroBatch
from medray.train.objective import Objective
from medray.train.ranks import RaisedOnAllRanks, Ranks
from medray.train.speed import StepClock
from medray.train.writer import CheckpointWriter

OnStep = Callable[[int, int, dict[str, float]], None]
"""Called on rank 0 after each step with (steps done, steps in all, metrics)."""
OnRows = Callable[[int, list[int]], None]
"""Called on rank 0 after each step with (steps done, rows of the store whose gradients the ranks summed in it)."""
Interrupt = Callable[[], str | None]
"""Asked on every rank in each step: why to stop after it, or None."""


class NonFiniteLoss(RaisedOnAllRanks):
    """The loss or the gradient of a step is NaN or infinite; raised before the optimizer step."""


class _Forward(nn.Module):
    """The objective around its model, as the one module that DeepSpeed sees."""

    def __init__(self, model: nn.Module, objective: Objective):
        super().__init__()
        self.model = model
        self._objective = objective

    def forward(self, batch: Batch, *, only_means: bool = False) -> Any:
        return (self._objective.means if only_means else self._objective.loss)(self.model, batch)


def train(
    model: nn.Module,
    store: BlockStore,
    *,
    objective: Objective,
    optimization: Optimization,
    placement: TrainPlacement,
    checkpoints: Path | str,
    ranks: Ranks,
    on_step: OnStep = lambda done, total, metrics: None,
    on_rows: OnRows = lambda done, rows: None,
    interrupt: Interrupt = lambda: None,
) -> TrainState:
    """Train a model on a token store to the end, from the newest whole checkpoint (below a directory or fsspec URL).

    Every rank calls it with the whole model. The last checkpoint holds the final fp32 parameters alone and is finished;
    where there is one already, nothing is trained. When any rank's `interrupt` gives a reason, all save after that step
    and return an unfinished state; so they do after a loss spike, to be called again. Raises NonFiniteLoss, and
    UserError for a store or a checkpoint that does not fit.
    """
    objective.check_store(store)
    recipe = recipe_of(objective, optimization, store)
    check_recipe(checkpoints, recipe)
    reader = checkpoint.resume(str(checkpoints), ranks)
    state = reader.state if reader else TrainState()
    if state.is_finished:
        return state
    model.train()
    use_packed_attention(model)
    if placement.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    clock = StepClock(model, ranks)  # before ZeRO 3 cuts the parameters up, which it counts
    use_gpu = ranks.device.type != "cpu"
    engine = zero.build_engine(_Forward(model, objective), optimization, placement, use_gpu=use_gpu)
    if reader:
        zero.load_slices(engine, reader.read, reader.state_keys, reader.scalars)
    num_steps, losses = optimization.num_steps(len(store)), []
    last_step, rewound_to = optimization.num_steps(len(store), state.skipped), 0
    save_every = placement.checkpoint_every_steps, optimization.rewind_steps
    micro_batch = MicroBatch(placement.micro_batch, ranks)
    writing = CheckpointWriter(str(checkpoints), recipe, ranks, placement, optimization.rewind_steps)
    with (
        closing(StepLoader(store, objective.num_units, optimization, ranks, state.skipped)) as loader,
        writing as writer,
    ):
        clock.restart()
        for step in range(state.optimizer_step, last_step):
            data = loader.take(step, micro_batch.size)
            clock.lap("data")
            if not data.num_units:
                raise RaisedOnAllRanks(_diagnosis(step, "number of loss tokens", 0, data.rows, "at least one"))
            rate = learning_rate(
                step, num_steps, peak=optimization.learning_rate, schedule=optimization.schedule,
                warmup_fraction=optimization.warmup_fraction, min_fraction=optimization.min_learning_rate_fraction,
            )  # fmt: skip
            while True:
                means = _global_means(engine, data, step, optimization, ranks) if objective.needs_means else {}
                micro_steps = ((replace(b, means=means), last) for b, last in micro_batch.micro_steps(loader, data))
                metrics, is_interrupted = _accumulate(engine, micro_steps, data, step, optimization, ranks, interrupt)
                metrics["grad_norm"] = zero.optimizer_step(engine, rate, optimization.gradient_clip)
                # an fp16 gradient beyond its range: the same step once more, with a smaller loss scale
                if math.isfinite(metrics["grad_norm"]) or not zero.halve_loss_scale(engine):
                    break
            if not math.isfinite(metrics["grad_norm"]):
                raise NonFiniteLoss(_diagnosis(step, "gradient norm", metrics["grad_norm"], data.rows))
            zero.grow_loss_scale(engine, step)
            metrics["learning_rate"] = rate
            losses.append(metrics["loss"])
            done, is_finished = step + 1, step + 1 == last_step
            recent_losses, rewound_to = spike.judge(optimization.loss_spike, state.recent_losses, metrics["loss"], done)
            position = first_position(step, optimization.global_batch, state.skipped) + len(data.rows)
            mean_loss = sum(losses) / len(losses)
            state = TrainState(done, position, is_finished, mean_loss, metrics, state.skipped, recent_losses)
            readings = clock.read(data.num_tokens) | {"micro_batch": micro_batch.size}
            clock.restart()
            if ranks.rank == 0:
                on_rows(done, data.rows)
                on_step(done, num_steps, metrics | readings)
            clock.lap("told")
            if rewound_to:
                break
            is_due = any(every and done % every == 0 for every in save_every)
            if is_finished or is_interrupted or is_due:
                losses = []
                writer.save(engine, state)
            writer.check()
            clock.lap("save")
            if is_interrupted:
                break
    engine.destroy()
    if rewound_to:  # all that was saved counts by now
        return ranks.agreed(ranks.rank == 0 and spike.rewind(checkpoints, rewound_to, len(store), optimization))
    return state


@torch.no_grad()
def _global_means(
    engine: Any, data: Step, step: int, optimization: Optimization, ranks: Ranks
) -> dict[str, float]:  # fmt: skip
    """What the objective's loss needs of the whole global batch, at the weights before the step."""
    totals: dict[str, Tensor] = {}
    for batch in data.batches:
        _seed_dropout(optimization, step, batch)
        for name, value in engine(batch, only_means=True).items():
            totals[name] = totals.get(name, 0) + value.double() * (batch.weight / data.num_units)
    names = sorted(totals)
    return dict(zip(names, ranks.sum(torch.stack([totals[name] for name in names])).tolist(), strict=True))


def _seed_dropout(optimization: Optimization, step: int, batch: Batch) -> None:
    torch.manual_seed(stable_hash("dropout", optimization.rng_seed, step, list(batch.rows)) >> 1)


def _accumulate(
    engine: Any,
    micro_steps: Iterable[tuple[Batch, bool]],
    data: Step,
    step: int,
    optimization: Optimization,
    ranks: Ranks,
    interrupt: Interrupt,
) -> tuple[dict[str, float], bool]:
    """Forward and backward over one step's rows: its loss and metrics over the global batch, and whether to stop.

    Raises NonFiniteLoss on every rank when any rank's loss is not finite.
    """
    totals: dict[str, Tensor | float] = {}
    losses: list[tuple[tuple[int, ...], Tensor]] = []
    for batch, is_last in micro_steps:
        _seed_dropout(optimization, step, batch)
        zero.begin_micro_step(engine, is_last=is_last)
        loss_sum, sums = engine(batch)
        share = batch.weight / data.num_units
        zero.backward(engine, loss_sum * share)
        sums["loss"] = loss_sum.detach()
        for name, value in sums.items():
            totals[name] = totals.get(name, 0) + value.double() * share
        losses.append((batch.rows, sums["loss"]))
    # two numbers more in the one message of a step: whether somebody wants to stop, and what was really consumed
    consumed = sum(_checksum(rows) for rows, _ in losses)
    flags = torch.tensor([float(interrupt() is not None), float(consumed)], dtype=torch.float64, device=ranks.device)
    names = sorted(totals)
    values = ranks.sum(torch.cat([torch.stack([totals[name] for name in names]), flags])).tolist()
    metrics = dict(zip(names, values, strict=False))
    if not math.isfinite(metrics["loss"]):
        bad_rows = [row for rows, loss in losses if not math.isfinite(loss) for row in rows]
        raise NonFiniteLoss(_diagnosis(step, "loss", metrics["loss"], sorted(sum(ranks.gathered(bad_rows), []))))
    assert values[-1] == _checksum(data.rows), f"step {step}: the ranks' rows are not those of the step"
    return metrics, values[-2] > 0


def _checksum(rows: Iterable[int]) -> int:
    """A sum over rows, exact in fp64 for up to 2^21 of them: equal sums are, but for chance, equal multisets."""
    return sum(zlib.crc32(row.to_bytes(8, "little")) for row in rows)


def _diagnosis(step: int, what: str, value: float, rows: list[int], expected: str = "a finite number") -> str:
    shown = f"{rows[:16]}{' and more' if len(rows) > 16 else ''}"
    return (
        f"train.step {step}: {what} is {value}, expected {expected}; rows {shown} of the token store; the weights "
        f"of step {step} are untouched: lower the learning rate, or look at these rows"
    )
