"""A loss spike: back to the checkpoint before, past the batches around it, the same whatever else was saved."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError

from medray.core.workspace import Root, Workspace
from medray.train import spike
from medray.train.batches import rows_at, step_rows
from medray.train.config import LossSpike
from medray.train.ledger import first_fault
from medray.train.objective import CausalLM
from medray.train.record import Record, ledger_of
from medray.train.worker import _Recorder
from tests.numerics.tiny_training import OPTIMIZATION, PLACEMENT, parameters, tiny_model, tiny_store

RULE = LossSpike(window=8, num_sigmas=6.0, rewind_steps=5, skip_steps=10)
SPIKED = OPTIMIZATION.model_copy(update={"global_batch": 4, "epochs": 1.0, "loss_spike": RULE})


def run_to_the_end(store, checkpoints: Path, objective, **placement) -> tuple[list[tuple[int, list[int]]], list[int]]:
    """What on_rows heard, and the step after which each call of `train` ended."""
    from medray.train.loop import Ranks, train

    torch.set_num_threads(1)
    heard, ends = [], []
    while True:
        state = train(
            tiny_model(), store, objective=objective, optimization=SPIKED, checkpoints=checkpoints, ranks=Ranks.alone(),
            placement=PLACEMENT.model_copy(update=placement), on_rows=lambda done, rows: heard.append((done, rows)),
        )  # fmt: skip
        ends.append(state.optimizer_step)
        if state.is_finished:
            return heard, ends


class Spiky(CausalLM):
    """A loss ten times as high wherever some row of the store is."""

    bad_row: int

    def loss(self, model, batch):
        loss, sums = super().loss(model, batch)
        return loss * (10.0 if self.bad_row in batch.rows else 1.0), sums


def test_a_spike_is_left_out_with_the_batches_around_it(tmp_path):
    store = tiny_store(tmp_path / "store", num_rows=120)  # 30 steps
    order = rows_at(range(120), store, SPIKED)
    bad_row, found = order[17 * 4], {}  # in step 18
    for name, placement in {"often": {"checkpoint_every_steps": 2, "keep_checkpoints": 1}, "rarely": {}}.items():
        found[name] = run_to_the_end(store, tmp_path / name, Spiky(bad_row=bad_row), **placement)
    heard, ends = found["often"]
    assert found["rarely"] == (heard, ends)
    one, other = parameters(tmp_path / "often"), parameters(tmp_path / "rarely")
    assert all(torch.equal(one[name], other[name]) for name in one), "when checkpoints are written is no matter"
    assert ends == [10, 20], "18 holds 3 whole fives, and the one before them ends with step 10"
    steps = [*range(1, 19), *range(11, 21)]
    batches = [*range(18), *range(20, 30)]  # 10 to 19 are left out
    assert heard == [(step, order[4 * b : 4 * b + 4]) for step, b in zip(steps, batches, strict=True)]


def test_the_ledger_says_what_was_left_out(tmp_path):
    from medray.train.loop import Ranks, train

    store = tiny_store(tmp_path / "store", num_rows=120)
    order = rows_at(range(120), store, SPIKED)
    workspace = Workspace(Root(str(tmp_path / "root")), "train", "one", "spiky")
    job = SimpleNamespace(workspace=workspace, optimization=SPIKED, placement=PLACEMENT)
    state, record = SimpleNamespace(is_finished=False), Record(workspace)
    while not state.is_finished:
        recorder = _Recorder(job, store, 1, lambda method, *told: getattr(record, method)(*told))
        state = train(
            tiny_model(), store, objective=Spiky(bad_row=order[17 * 4]), optimization=SPIKED, placement=PLACEMENT,
            checkpoints=workspace.checkpoints, ranks=Ranks.alone(), on_rows=recorder.rows, on_step=recorder.step,
        )  # fmt: skip
        recorder.note_spike(state)
    groups = ledger_of(workspace).groups()
    assert [(group.after_step, len(group.steps), group.skipped.tolist()) for group in groups] == [
        (0, 18, []), (10, 10, order[40:80]),
    ]  # fmt: skip
    assert first_fault(groups, 120, 120) is None and state.position == 120
    [event] = workspace.journal.events()
    assert (event["event"], event["step"], event["back_to"], event["rows_left_out"]) == ("loss_spike", 18, 10, 40)
    history = workspace.journal.history()
    assert [record["step"] for record in history] == list(range(1, 21))
    assert [record["num_restarts"] for record in history] == [0.0] * 10 + [1.0] * 10
    assert workspace.journal.read_progress()["note"].split(", ")[-1].startswith("1 restarts took ")


def test_rows_are_a_pure_function_of_the_step_and_what_was_left_out(tmp_path):
    store = tiny_store(tmp_path / "store", num_rows=120)
    order = rows_at(range(120), store, SPIKED)
    skipped = [(10, 40), (12, 8)]
    assert step_rows(9, store, SPIKED, skipped) == order[36:40]
    assert step_rows(10, store, SPIKED, skipped) == order[80:84]
    assert step_rows(12, store, SPIKED, skipped) == order[96:100]
    assert SPIKED.num_steps(120) == 30 and SPIKED.num_steps(120, skipped) == 18
    assert step_rows(17, store, SPIKED, skipped) == order[116:120]


@pytest.mark.parametrize(
    ("losses", "loss", "done", "expected"),
    [
        ([1.0, 1.2] * 4, 3.0, 18, 10),
        ([1.0, 1.2] * 4, 3.0, 10, 5),
        ([1.0, 1.2] * 4, 3.0, 9, 0),
        ([1.0, 1.2] * 4, 1.3, 18, 0),
        ([1.0, 1.2] * 3, 3.0, 18, 0),
    ],
    ids=["a spike", "just old enough", "no checkpoint so old", "no spike", "window not full"],
)
def test_what_is_a_spike(losses, loss, done, expected):
    recent, target = spike.judge(RULE, losses, loss, done)
    assert target == expected and recent == [*losses, loss][-8:]
    assert spike.judge(None, [], loss, done) == ([], 0)


def test_the_rule_must_leave_the_spike_out():
    with pytest.raises(ValidationError, match="skip_steps 9 must be at least 2 rewind_steps, 10"):
        LossSpike(window=8, num_sigmas=6.0, rewind_steps=5, skip_steps=9)
