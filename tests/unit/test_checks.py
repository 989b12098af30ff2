"""Training runs that could not begin are refused in one line, before there are workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medray.core.config import UserError
from medray.core.workspace import Root, Workspace
from medray.tables.blocks import BlockStore, BlockWriter
from medray.train.checks import check_run
from medray.train.config import Optimization, TrainPlacement
from medray.train.marker import Marker, TrainState, directories, recipe_of, step_directory, write_marker
from medray.train.objective import CausalLM

OPTIMIZATION = Optimization(
    learning_rate=1e-3, schedule="constant", warmup_fraction=0.0, min_learning_rate_fraction=0.0, optimizer="adamw",
    betas=(0.9, 0.95), weight_decay=0.0, gradient_clip=1.0, global_batch=4, epochs=1, dtype="fp32", rng_seed=0,
)  # fmt: skip


def make_store(directory: Path, flag: int = 1) -> BlockStore:
    writer = BlockWriter(directory, "causal_lm", "digest", 0, 8)
    writer.add([1, 2, 3], [3], [flag] * 3)
    writer.close()
    return BlockStore(directory)


def check(directory: Path, store: BlockStore | None = None, **changes: Any) -> None:
    optimization = OPTIMIZATION.model_copy(update={k: v for k, v in changes.items() if k in Optimization.model_fields})
    placement = TrainPlacement(**{k: v for k, v in changes.items() if k in TrainPlacement.model_fields})
    store = store or make_store(directory / "store")
    check_run(CausalLM(), optimization, placement, store, str(directory / "c"), "sft")


def test_a_sound_run_passes(tmp_path: Path) -> None:
    check(tmp_path)
    check(tmp_path, num_workers=(1, 4))


def test_a_store_without_loss_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sft: the token store has 1 rows and no loss token, expected some.*give other"):
        check(tmp_path, make_store(tmp_path / "empty", flag=0))


def test_a_global_batch_that_leaves_workers_idle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sft.optimization.global_batch: 4 rows for up to 5 workers.*lower placement"):
        check(tmp_path, num_workers=(1, 5))


def test_gpus_that_a_local_ray_has_not_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0, "GPU": 1.0})
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    check(tmp_path, use_gpu=True)
    with pytest.raises(UserError, match="sft.placement.use_gpu: 2 GPUs wanted, this machine has 1: join a cluster"):
        check(tmp_path, use_gpu=True, num_workers=(2, 2))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")  # a cluster may grow
    check(tmp_path, use_gpu=True, num_workers=(2, 2))


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    recipe = recipe_of(CausalLM(), OPTIMIZATION, store)
    write_marker(step_directory(tmp_path / "c", 3), Marker(TrainState(3, 12), recipe, "a", 1, {}))
    check(tmp_path, store)
    with pytest.raises(UserError, match="another recipe: optimization.rng_seed is 0 there, 1 here: set it"):
        check(tmp_path, store, rng_seed=1)


def test_checkpoints_of_a_remote_root_lie_there_and_are_not_mirrored(
    s3_root: Root,
) -> None:
    workspace = Workspace(s3_root, "pretrain", "0" * 32, "pretrain")
    assert workspace.checkpoints == f"s3://medray-test/runs/pretrain/{'0' * 32}/checkpoints"
    for step in (1, 2):
        write_marker(step_directory(workspace.checkpoints, step), Marker(TrainState(step, step), {}, "a", 1, {}))
    assert len(directories(workspace.checkpoints)) == 2
    (workspace.data / "x").write_text("x")
    s3_root.upload("pretrain", "0" * 32)
    (workspace.data / "x").unlink()
    s3_root.download("pretrain", "0" * 32)
    here = [path.name for path in workspace.local.rglob("*") if path.is_file()]
    assert [name for name in here if not name.startswith(".")] == ["x"]
    workspace.clean()
    assert directories(workspace.checkpoints) == []


def test_checkpoints_of_a_local_root_lie_in_its_directory(tmp_path: Path) -> None:
    workspace = Workspace(Root(str(tmp_path)), "pretrain", "0" * 32, "pretrain")
    assert Path(workspace.checkpoints) == workspace.local / "checkpoints"
    write_marker(step_directory(workspace.checkpoints, 1), Marker(TrainState(1, 1), {}, "a", 1, {}))
    workspace.clean()
    assert not Path(workspace.checkpoints).exists()
