"""Placement equivalence: one trajectory whatever the workers, their changes, ZeRO stage and micro-batch.

The cells are a pairwise covering array: every two values of any two factors meet in one. Sizes of the model's
parameters are divided by no world size here. `-s` shows the table of residuals.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from medray.tables.blocks import BlockStore
from tests.numerics.tiny_training import OPTIMIZATION, PLACEMENT, parameters, run, run_ranks, tiny_store

NUM_STEPS = 20  # 40 rows, four epochs, 8 rows a step
JOURNEYS = {"1": (1,), "2": (2,), "3": (3,), "2-1-2": (2, 1, 2), "1-3": (1, 3)}
"""Workers of each attempt; all but the last are killed."""
# Largest difference of a loss; of a parameter it may be ten times that. fp32: floating-point order only. bf16: each
# micro-batch's gradient is rounded to 8 bits before it is added.
TOLERANCE = {("fp32", "adamw"): 1e-5, ("fp32", "rmsprop"): 2e-5, ("bf16", "adamw"): 5e-3, ("bf16", "rmsprop"): 1e-2}
"""bf16: seen at most 1.6e-4 with AdamW and 7.0e-3 with RMSprop, whose first updates are ten learning rates in the
gradient's sign, however small it is: supposed to part the weights where bf16 rounds a sign the other way."""


class Cell(NamedTuple):
    """One placement."""

    journey: str
    zero_stage: int
    micro_batch: int
    optimizer: str
    dtype: str


LEVELS = (tuple(JOURNEYS), (0, 1, 2, 3), (1, 2, 4), ("adamw", "rmsprop"), ("fp32", "bf16"))
CELLS = [
    Cell(journey, stage, (1, 2, 4)[(j + stage) % 3], ("adamw", "rmsprop")[(j + stage // 2) % 2],
         ("fp32", "bf16")[(j + stage + j // 3) % 2])
    for j, journey in enumerate(JOURNEYS)
    for stage in range(4)
]  # fmt: skip
QUICK = {("2-1-2", 2), ("1-3", 3), ("3", 1)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> BlockStore:
    return tiny_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def straight(store: BlockStore, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Losses and parameters of uninterrupted runs on one worker in one forward pass a step, made when first asked."""

    class Runs(dict):
        def __missing__(self, key: tuple[str, str]) -> tuple:
            checkpoints = tmp_path_factory.mktemp("straight")
            placement = PLACEMENT.model_copy(update={"zero_stage": 0, "micro_batch": 8, "checkpoint_every_steps": 0})
            losses = run(store, checkpoints, optimization=_optimization(*key), placement=placement)
            self[key] = losses, parameters(checkpoints)
            return self[key]

    return Runs()


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    lines = ["journey  zero  micro  optimizer  dtype  loss residual: steps 1-10, 11-20   parameters"]
    yield lines
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n" + "\n".join(lines))


def _optimization(optimizer: str, dtype: str):  # noqa: ANN202
    return OPTIMIZATION.model_copy(
        update={"optimizer": optimizer, "dtype": dtype, "learning_rate": 3e-3, "epochs": 4.0}
    )  # fmt: skip


def test_the_cells_cover_every_pair() -> None:
    for one, other in itertools.combinations(range(len(LEVELS)), 2):
        met = {(cell[one], cell[other]) for cell in CELLS}
        assert met == set(itertools.product(LEVELS[one], LEVELS[other])), (one, other)


@pytest.mark.parametrize(
    "cell",
    [pytest.param(c, marks=() if c[:2] in QUICK else pytest.mark.full, id="-".join(map(str, c))) for c in CELLS],
)
def test_a_placement_takes_the_same_trajectory(
    store: BlockStore, straight: dict, table: list[str], tmp_path: Path, cell: Cell
) -> None:
    update = {"zero_stage": cell.zero_stage, "micro_batch": cell.micro_batch}
    arguments = {
        "checkpoints": tmp_path / "c",
        "optimization": _optimization(cell.optimizer, cell.dtype),
        "placement": PLACEMENT.model_copy(update=update),
    }
    losses: dict[int, float] = {}
    attempts = JOURNEYS[cell.journey]
    for number, world_size in enumerate(attempts, start=1):
        kill_after = NUM_STEPS * number // len(attempts) if number < len(attempts) else None
        if world_size == 1:
            found = run(store, kill_after=kill_after, **arguments)
        else:
            found = run_ranks(world_size, store, tmp_path, kill_after=kill_after, **arguments)
        assert min(found) == (max(losses) if losses else 1), "the killed step is done again, from the one before it"
        losses |= found
    expected, theirs = straight[cell.optimizer, cell.dtype]
    assert sorted(losses) == sorted(expected) == list(range(1, NUM_STEPS + 1))
    residuals = [abs(losses[step] - expected[step]) for step in sorted(losses)]
    ours = parameters(tmp_path / "c")
    assert ours.keys() == theirs.keys()
    apart = max(float((ours[name] - theirs[name]).abs().max()) for name in ours)
    early, late = max(residuals[: NUM_STEPS // 2]), max(residuals[NUM_STEPS // 2 :])
    table.append(
        f"{cell.journey:8} {cell.zero_stage:4} {cell.micro_batch:6}  {cell.optimizer:9}  {cell.dtype:5}"
        f"  {early:22.1e}, {late:11.1e}   {apart:10.1e}"
    )
    tolerance = TOLERANCE[cell.dtype, cell.optimizer]
    assert max(early, late) < tolerance and apart < 10 * tolerance
    # without drift: the second half is no further off than rounding makes it
    assert late < 8 * max(early, tolerance / 20)
