"""Checkpoints: bitwise on resume, written while training goes on, anywhere, and only whole ones count."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from medray.core.config import UserError
from medray.core.workspace import Root
from medray.tables.blocks import BlockStore
from medray.train import checkpoint
from medray.train.checkpoint import CheckpointReader, newest_whole
from medray.train.marker import (
    Marker,
    TrainState,
    directories,
    file_system,
    prune,
    read_marker,
    step_directory,
    write_marker,
)  # fmt: skip
from medray.train.objective import CausalLM
from medray.train.writer import CheckpointFailed
from tests.numerics.tiny_training import OPTIMIZATION, PLACEMENT, parameters, run, run_ranks, tiny_store

NUM_STEPS = 10  # 40 rows, two epochs, 8 rows a step


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> BlockStore:
    return tiny_store(tmp_path_factory.mktemp("store"))


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
    with safe_open(weights, "pt") as file:  # plain safetensors, for whoever wants to look
        assert "model.norm.weight|0|exp_avg" in file.keys()
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


def test_training_goes_on_while_a_checkpoint_is_written(
    store: BlockStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write, steps = threading.Event(), []
    write_rank = checkpoint.write_rank

    def slow(*arguments: Any, **facts: Any) -> None:
        assert may_write.wait(60), "the loop waits for the writer"
        write_rank(*arguments, **facts)

    def on_step(done: int, num_steps: int, metrics: dict[str, float]) -> None:
        steps.append((done, newest_whole(str(tmp_path / "c"))))
        if done == 6:
            may_write.set()

    monkeypatch.setattr(checkpoint, "write_rank", slow)
    placement = PLACEMENT.model_copy(update={"checkpoint_every_steps": 4, "keep_checkpoints": 9})
    run(store, tmp_path / "c", placement=placement, on_step=on_step)
    assert steps[5] == (6, None), "two steps after the snapshot nothing was written yet"
    assert [Path(path).name[-2:] for path in directories(tmp_path / "c")] == ["04", "08", "10"]
    # what was written later is the state of its own step
    run(store, tmp_path / "d", kill_after=5)
    at_4 = {name: [CheckpointReader(step_directory(tmp_path / name, 4)).read("model.norm.weight", 0, 20, key)
                   for key in ("fp32", "exp_avg")] for name in ("c", "d")}  # fmt: skip
    assert all(torch.equal(one, other) for one, other in zip(at_4["c"], at_4["d"], strict=True))


def test_a_writer_that_fails_ends_the_run_at_the_next_step(
    store: BlockStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rank = checkpoint.write_rank

    def full(path: str, *arguments: Any, **facts: Any) -> None:
        if "step-00000003" in path:
            raise OSError(28, "No space left on device")
        write_rank(path, *arguments, **facts)

    monkeypatch.setattr(checkpoint, "write_rank", full)
    with pytest.raises(CheckpointFailed, match="rank 0 could not write a checkpoint:.*No space left"):
        run(store, tmp_path)
    assert newest_whole(str(tmp_path)) == step_directory(tmp_path, 2)
    placement = PLACEMENT.model_copy(update={"checkpoint_every_steps": 0})
    monkeypatch.setattr(checkpoint, "write_rank", lambda path, *arguments, **facts: full("step-00000003"))
    with pytest.raises(CheckpointFailed):  # the last one, too
        run(store, tmp_path, placement=placement)


def test_files_of_another_attempt_do_not_complete_a_checkpoint(store: BlockStore, tmp_path: Path) -> None:
    directory = step_directory(tmp_path, 1)
    for rank, attempt in ((0, "new"), (1, "old")):
        tensors = {f"w|{3 * rank}|fp32": torch.arange(3.0) + 3 * rank}
        checkpoint.write_rank(checkpoint.rank_file(directory, rank, 2), tensors, attempt=attempt, scalars={})
    assert checkpoint.written_facts(directory, 1, 2, "new") is None
    for attempt, found in (("new", None), ("old", None)):
        write_marker(directory, Marker(TrainState(1, 8), {}, attempt, 2, {}))
        assert newest_whole(str(tmp_path)) == found
    tensors = {"w|3|fp32": torch.arange(3.0) + 3}
    checkpoint.write_rank(checkpoint.rank_file(directory, 1, 2), tensors, attempt="new", scalars={})
    write_marker(directory, Marker(TrainState(1, 8), {}, "new", 2, {}))
    assert newest_whole(str(tmp_path)) == directory
    assert CheckpointReader(directory).read("w", 1, 4, "fp32").tolist() == [1, 2, 3, 4]


def test_the_best_checkpoint_is_kept_beside_the_newest(store: BlockStore, tmp_path: Path) -> None:
    for step, loss in enumerate((3.0, 1.0, 2.0, 2.5, 4.0), start=1):
        directory = step_directory(tmp_path, step)
        checkpoint.write_rank(checkpoint.rank_file(directory, 0, 1), {}, attempt="a", scalars={})
        write_marker(directory, Marker(TrainState(step, step, mean_loss=loss), {}, "a", 1, {}))
    prune(tmp_path, 2, keep_best=True)
    assert directories(tmp_path) == [step_directory(tmp_path, step) for step in (2, 4, 5)]
    prune(tmp_path, 2, keep_best=False)
    assert directories(tmp_path) == [step_directory(tmp_path, step) for step in (4, 5)]
    losses = run(store, tmp_path / "c", placement=PLACEMENT.model_copy(update={"checkpoint_every_steps": 5}))
    found = [read_marker(path).state.mean_loss for path in directories(tmp_path / "c")]
    expected = [sum(losses[step] for step in steps) / 5 for steps in (range(1, 6), range(6, 11))]
    assert found == pytest.approx(expected)


def test_a_checkpoint_of_another_recipe_is_refused(store: BlockStore, tmp_path: Path) -> None:
    run(store, tmp_path / "c", kill_after=3)
    other = OPTIMIZATION.model_copy(update={"learning_rate": 0.5, "epochs": 3.0})
    expected = (
        "step-00000002: a checkpoint of another recipe: optimization.epochs is 2.0 there, 3.0 here .and 1 more.: set"
    )
    with pytest.raises(UserError, match=expected):
        run(store, tmp_path / "c", optimization=other)
    with pytest.raises(UserError, match="another recipe: objective.name is CausalLM there, Other here"):
        run(store, tmp_path / "c", objective=Other())
    with pytest.raises(UserError, match="another recipe: store is"):
        run(tiny_store(tmp_path / "store", num_rows=30), tmp_path / "c")
    assert min(run(store, tmp_path / "c", placement=PLACEMENT.model_copy(update={"zero_stage": 2}))) == 3


class Other(CausalLM):
    """Another objective."""


def test_checkpoints_on_an_object_store_cross_world_sizes_and_machines(
    s3_root: Root,
    store: BlockStore,
    tmp_path: Path,
) -> None:
    straight = run(store, tmp_path / "a")
    url = f"{s3_root.url}/pretrain/0/checkpoints"
    first = run(store, url, kill_after=4)
    environment = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
    second = run_ranks(2, store, tmp_path, checkpoints=url, kill_after=8, environment=environment)
    assert read_marker(newest_whole(url)).world_size == 2
    fs, path = file_system(checkpoint.rank_file(newest_whole(url), 1, 2))
    whole = fs.cat_file(path)
    fs.pipe_file(path, whole[:-1] + bytes([whole[-1] ^ 1]))
    assert newest_whole(url) == step_directory(url, 6), "the one before a damaged one"
    third = run(store, url)
    assert (min(second), min(third)) == (4, 7)
    losses = first | second | third
    assert max(abs(losses[step] - straight[step]) for step in straight) < 1e-5
    one, other = parameters(tmp_path / "a"), parameters(url)
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-5
