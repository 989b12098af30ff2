"""The ledger of consumed rows: what survives restarts, the first repeated or missing row, and what restarts cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medray.train.ledger import Ledger, costs, first_fault, surviving


def written(path: Path, lines: list[dict]) -> Ledger:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Ledger(path)


def group(after: int, world_size: int = 1, skipped: tuple[int, ...] = ()) -> dict:
    return {"from": after, "world_size": world_size, "skipped": list(skipped), "at": 0.0}


def step(number: int, rows: list[int], at: float = 0.0, step_s: float = 1.0) -> dict:
    return {"step": number, "rows": rows, "at": at, "step_s": step_s}


def test_a_restart_takes_back_the_steps_after_its_checkpoint(tmp_path):
    ledger = Ledger(tmp_path / "journal" / "ledger.jsonl")
    ledger.open_session()
    ledger.open_group(0, 2)
    for number, rows in enumerate(([3, 1], [0, 2], [5, 4]), 1):
        ledger.record(number, rows, 0.5)
    ledger.open_group(1, 1)
    ledger.record(2, [0, 2], 0.25)
    ledger.record(3, [5, 4], 0.25)
    steps, skipped = surviving(ledger.groups())
    assert [(s.number, s.rows.tolist(), s.step_s) for s in steps] == [
        (1, [3, 1], 0.5), (2, [0, 2], 0.25), (3, [5, 4], 0.25),
    ]  # fmt: skip
    assert skipped == {} and first_fault(ledger.groups(), 6, 6) is None
    assert ledger.path.read_text().count("\n{") == 8, "nothing is ever taken out of the file"


def test_a_torn_line_is_a_step_that_never_was(tmp_path):
    ledger = written(tmp_path / "ledger.jsonl", [group(0), step(1, [0, 1])])
    with open(ledger.path, "a") as stream:
        stream.write('{"step": 2, "rows": [2')
    ledger.open_group(1, 1)
    ledger.record(2, [2, 3], 1.0)
    assert [s.rows.tolist() for s in surviving(ledger.groups())[0]] == [[0, 1], [2, 3]]


def _again(number: int, row: int, lacking: int) -> str:
    return f"step {number}: row {row} a second time; epoch 0 had it in step 1 and lacks others, row {lacking} first"


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([step(1, [0, 1]), step(2, [2, 3])], None),
        ([step(1, [0, 1]), step(2, [2, 1])], _again(2, 1, 3)),
        ([step(1, [0, 1]), step(3, [2, 3])], "step 3 follows step 1, expected step 2"),
        ([step(1, [0, 1]), step(1, [0, 1])], "step 1 follows step 1, expected step 2"),
        ([step(1, [0, 1]), group(0), step(2, [2, 3])], "step 2 follows step 0, expected step 1"),
        ([step(1, [0, 1])], "2 rows after the last step, 1, expected 4"),
        ([step(1, [0, 1]), step(2, [2, 4])], "step 2: row 4, expected one of the store's 4"),
        ([step(1, [0]), group(1, 1, (1, 2)), step(2, [3])], None),
        ([step(1, [0]), group(1, 1, (1,)), step(2, [2]), group(2), step(3, [3])], None),
        ([step(1, [0]), group(1, 1, (1,)), step(2, [2]), group(1), step(2, [1]), step(3, [2, 3])], None),
        ([step(1, [0]), group(1, 1, (0,)), step(2, [2, 3])], _again(2, 0, 1)),
    ],
)  # fmt: skip
def test_the_first_fault_is_named(tmp_path, lines, fault):
    ledger = written(tmp_path / "ledger.jsonl", [group(0), *lines])
    assert first_fault(ledger.groups(), 4, 4) == fault


def test_an_epoch_may_end_inside_a_step(tmp_path):
    lines = [group(0), step(1, [0, 2]), step(2, [1, 1]), step(3, [0, 2])]
    assert first_fault(written(tmp_path / "a", lines).groups(), 3, 6) is None
    lines[-1] = step(3, [0, 1])
    fault = first_fault(written(tmp_path / "b", lines).groups(), 3, 6)
    assert fault == "step 3: row 1 a second time; epoch 1 had it in step 2 and lacks others, row 2 first"


def test_costs(tmp_path):
    lines = [
        {"session": True, "at": 100.0},
        group(0, 2), step(1, [0], 112.0, 2.0), step(2, [1], 114.0, 2.0), step(3, [2], 116.0, 2.0),
        group(2, 1), step(3, [2], 130.0, 4.0),
        {"session": True, "at": 1000.0},
        group(3, 1), step(4, [3], 1010.0, 4.0),
    ]  # fmt: skip
    found = costs(written(tmp_path / "ledger.jsonl", lines).groups())
    assert found == {
        "num_restarts": 2,
        "num_resizes": 1,
        "restart_lost_s": 2.0 + (126 - 116) + (1006 - 1000),
        "goodput": round((2 + 2 + 4 + 4) / (130 - 100 + 1010 - 1000), 4),
    }


def test_an_uninterrupted_run_lost_nothing(tmp_path):
    lines = [{"session": True, "at": 0.0}, group(0), step(1, [0], 5.0, 1.0), step(2, [1], 6.0, 1.0)]
    found = costs(written(tmp_path / "ledger.jsonl", lines).groups())
    assert found == {"num_restarts": 0, "num_resizes": 0, "restart_lost_s": 0.0, "goodput": round(2 / 6, 4)}
    assert costs(written(tmp_path / "none", []).groups())["goodput"] == 1.0
