"""Checkpoints restore at any world size and ZeRO stage, and only whole ones count."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medray.tables.blocks import BlockStore
from medray.train.checkpoint import CheckpointReader, newest_whole
from medray.train.marker import read_marker, step_directory
from tests.numerics.tiny_training import OPTIMIZATION, PLACEMENT, parameters, run, run_ranks, tiny_store

NUM_STEPS = 10  # 40 rows, two epochs, 8 rows a step
# Largest difference of loss or parameter found (stages 1 to 3, one run each): fp32 AdamW 9e-8, RMSprop 1.4e-7; bf16
# 0 to 1e-15: sums of a few bf16 gradients are probably exact in fp32, whatever their order.
TOLERANCE = {("fp32", "adamw"): 2e-6, ("fp32", "rmsprop"): 5e-6, ("bf16", "adamw"): 1e-5, ("bf16", "rmsprop"): 1e-5}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> BlockStore:
    return tiny_store(tmp_path_factory.mktemp("store"))


def _matrix() -> list:
    quick = {(1, "fp32", "adamw"), (2, "fp32", "rmsprop"), (3, "fp32", "adamw"), (1, "bf16", "adamw")}
    cells = [(s, d, o) for s in (0, 1, 2, 3) for d in ("fp32", "bf16") for o in ("adamw", "rmsprop")]
    return [pytest.param(*cell, marks=() if cell in quick else pytest.mark.full) for cell in cells]


@pytest.mark.parametrize(("zero_stage", "dtype", "optimizer"), _matrix())
def test_world_size_1_2_1_is_one_trajectory(
    store: BlockStore, tmp_path: Path, zero_stage: int, dtype: str, optimizer: str
) -> None:
    optimization = OPTIMIZATION.model_copy(update={"dtype": dtype, "optimizer": optimizer, "learning_rate": 3e-3})
    placement = PLACEMENT.model_copy(update={"zero_stage": zero_stage})
    straight = run(store, tmp_path / "a", optimization=optimization, placement=placement)
    assert sorted(straight) == list(range(1, NUM_STEPS + 1))
    common = {"checkpoints": tmp_path / "b", "optimization": optimization, "placement": placement}
    first = run(store, kill_after=4, **common)
    second = run_ranks(2, store, tmp_path, kill_after=8, **common)
    assert read_marker(newest_whole(str(tmp_path / "b"))).world_size == 2
    third = run(store, **common)
    assert (min(second), min(third)) == (4, 8)  # the killed step is done again, from the checkpoint before it
    losses = first | second | third
    tolerance = TOLERANCE[dtype, optimizer]
    assert max(abs(losses[step] - straight[step]) for step in straight) < tolerance
    one, other = parameters(tmp_path / "a"), parameters(tmp_path / "b")
    assert one.keys() == other.keys()
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < tolerance


@pytest.mark.full
@pytest.mark.parametrize("stages", [(1, 3, 2), (3, 2, 0), (0, 1, 3)], ids=str)
def test_a_checkpoint_crosses_zero_stages_and_three_workers(
    store: BlockStore, tmp_path: Path, stages: tuple[int, int, int]
) -> None:
    straight = run(store, tmp_path / "a")
    losses: dict[int, float] = {}
    for stage, world_size, kill_after in zip(stages, (2, 3, 1), (4, 8, None), strict=True):
        arguments = {"checkpoints": tmp_path / "b", "placement": PLACEMENT.model_copy(update={"zero_stage": stage})}
        if world_size == 1:
            losses |= run(store, kill_after=kill_after, **arguments)
        else:
            losses |= run_ranks(world_size, store, tmp_path, kill_after=kill_after, **arguments)
    assert max(abs(losses[step] - straight[step]) for step in straight) < TOLERANCE["fp32", "adamw"]


@pytest.mark.parametrize(("zero_stage", "dtype"), [(0, "fp32"), (1, "fp32"), (1, "bf16"), (2, "bf16"), (3, "bf16")])
def test_resume_is_bitwise(store: BlockStore, tmp_path: Path, zero_stage: int, dtype: str) -> None:
    optimization = OPTIMIZATION.model_copy(update={"dtype": dtype})
    placement = PLACEMENT.model_copy(update={"zero_stage": zero_stage, "checkpoint_every_steps": 5})
    common = {"optimization": optimization, "placement": placement}
    straight = run(store, tmp_path / "a", **common)
    before = run(store, tmp_path / "b", kill_after=7, **common)
    after = run(store, tmp_path / "b", **common)
    assert min(after) == 6
    assert before | after == straight
    one, other = parameters(tmp_path / "a"), parameters(tmp_path / "b")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_damaged_or_partial_checkpoint_does_not_count(store: BlockStore, tmp_path: Path) -> None:
    run(store, tmp_path, kill_after=5)
    steps = [Path(step_directory(tmp_path, step)) for step in (2, 3, 4)]
    assert newest_whole(tmp_path) == str(steps[2]) and sorted(tmp_path.iterdir()) == steps  # keep_checkpoints=3
    weights = next(steps[2].glob("*.safetensors"))
    damaged = bytearray(weights.read_bytes())
    damaged[-5] ^= 1
    weights.write_bytes(damaged)
    assert newest_whole(tmp_path) == str(steps[1])
    (steps[1] / "complete.json").unlink()
    assert newest_whole(tmp_path) == str(steps[0])
    next(steps[0].glob("rank-*.json")).unlink()
    assert newest_whole(tmp_path) is None
    assert min(run(store, tmp_path, kill_after=2)) == 1


def test_the_last_checkpoint_is_finished_and_holds_parameters_only(store: BlockStore, tmp_path: Path) -> None:
    run(store, tmp_path)
    found = newest_whole(tmp_path)
    reader = CheckpointReader(found)
    assert reader.state.is_finished and reader.state.position == 80 and reader.state.optimizer_step == NUM_STEPS
    assert reader.state_keys == []
    assert run(store, tmp_path) == {}  # nothing is left to train
    assert read_marker(found).world_size == 1


def test_a_read_past_the_slices_says_so(store: BlockStore, tmp_path: Path) -> None:
    run(store, tmp_path)
    reader = CheckpointReader(newest_whole(tmp_path))
    with pytest.raises(KeyError, match="only 20 elements of fp32"):
        reader.read("model.norm.weight", 0, 25, "fp32")
