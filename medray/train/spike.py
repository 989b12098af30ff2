"""Loss spikes: go back to a checkpoint before the spike and leave out the batches up to and around it.

Source: Chowdhery et al. 2022 (PaLM), section 5.1: training was restarted from a checkpoint about 100 steps before a
spike and 200 to 500 batches were left out. Choices: what a spike is (the paper looked at the curve), and that the
checkpoint is at a multiple of `rewind_steps`, so that the trajectory does not depend on when others are written.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medray.train.batches import first_position
from medray.train.config import LossSpike, Optimization
from medray.train.marker import TrainState, discard_after, read_marker, step_directory, write_marker


def judge(rule: LossSpike | None, before: Sequence[float], loss: float, done: int) -> tuple[list[float], int]:
    """The losses of the window from now on, and the step to go back to if this loss is a spike, else 0.

    before: losses of the window so far; nothing is a spike until it is full, nor where there is no checkpoint yet that
    is rewind_steps old.
    """
    if rule is None:
        return [], 0
    is_spike = len(before) == rule.window and loss > (
        statistics.fmean(before) + rule.num_sigmas * statistics.stdev(before)
    )
    target = (done // rule.rewind_steps - 1) * rule.rewind_steps
    return [*before, loss][-rule.window :], max(0, target) if is_spike else 0


def rewind(root: Path | str, after_step: int, store_rows: int, optimization: Optimization) -> TrainState:
    """Make the checkpoint after a step the newest, and let it leave out the next batches; on one rank.

    At least one row is left to train on. Returns the state to go on from.
    """
    assert optimization.loss_spike
    directory = step_directory(root, after_step)
    marker = read_marker(directory)
    assert marker, f"{directory}: no checkpoint to go back to from a loss spike"
    skipped, batch = marker.state.skipped, optimization.global_batch
    left = optimization.num_rows(store_rows) - first_position(after_step, batch, skipped)
    entry = (after_step, min(optimization.loss_spike.skip_steps * batch, left - 1))
    state = replace(marker.state, skipped=[*skipped, entry])
    write_marker(directory, replace(marker, state=state))
    discard_after(root, after_step)
    return state
