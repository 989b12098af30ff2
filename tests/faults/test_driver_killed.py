"""SIGKILL of the driver in pretraining and in every step of round 1: the resumed run ends with an uninterrupted run's
digests."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medray.core.workspace import Root
from medray.pipeline import stages_of
from medray.recipes.load import load_recipe

pytestmark = pytest.mark.timeout(1500)


def start(root: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "medray.cli", "run", "tiny", "--root", str(root)]
    with open(root.parent / "killed.log", "a") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)


def kill_when(process: subprocess.Popen, reached, timeout_s: float) -> None:
    deadline = time.time() + timeout_s
    while not reached():
        assert process.poll() is None, f"the run ended (exit {process.returncode}) before the kill"
        assert time.time() < deadline, f"not reached within {timeout_s} s"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)


def steps_logged(root: Path, kind: str, id: str) -> int:
    path = root / kind / id / "journal" / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_killed_twice_ends_with_the_same_digests(tiny_root, tmp_path):
    root = tmp_path / "killed"
    stages = {stage.label: stage for stage in stages_of(load_recipe("tiny"))}
    pretrain, dpo = stages["pretrain"], stages["round_1.dpo"]
    every = pretrain.config.placement.checkpoint_every_steps

    kill_when(start(root), lambda: steps_logged(root, pretrain.kind, pretrain.id) > every + 1, 300)
    directory = root / pretrain.kind / pretrain.id
    assert not (directory / "manifest.json").exists() and any((directory / "checkpoints").iterdir())

    process = start(root)
    kill_when(process, lambda: steps_logged(root, dpo.kind, dpo.id) >= 1, 600)
    records = [json.loads(line) for line in (directory / "journal" / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records] == sorted({r["step"] for r in records}), "a step was logged twice"

    assert start(root).wait(600) == 0
    ours, theirs = Root(str(root)), Root(str(tiny_root))
    for label, stage in stages.items():
        resumed, whole = ours.manifest(stage.kind, stage.id), theirs.manifest(stage.kind, stage.id)
        assert resumed.parts == whole.parts, f"{label}: content differs from the uninterrupted run's"
    assert ours.manifest(pretrain.kind, pretrain.id).num_attempts >= 1


@pytest.mark.full
def test_killed_in_every_step_of_a_round_and_at_every_boundary(tiny_root, tmp_path):
    """Prints the table: each step, what was there when the driver died in it and at its end, and both digests."""
    root = tmp_path / "killed"
    shutil.copytree(tiny_root, root)
    stages = {stage.label: stage for stage in stages_of(load_recipe("tiny"))}
    labels = list(stages)
    for label in labels[labels.index("round_1.answer") :]:
        shutil.rmtree(root / stages[label].kind / stages[label].id)

    for label in ("round_1.answer", "round_1.pairs", "round_1.reference", "round_1.dpo"):
        directory = root / stages[label].kind / stages[label].id
        kill_when(start(root), (directory / "lease.json").exists, 300)
        left = "sealed already" if (directory / "manifest.json").exists() else "not sealed"
        print(f"{label}: killed inside ({left})", end=", ", flush=True)
        if left == "not sealed":
            kill_when(start(root), (directory / "manifest.json").exists, 600)
        print("killed at its end", flush=True)
    assert start(root).wait(900) == 0
    ours, theirs = Root(str(root)), Root(str(tiny_root))
    for label, stage in stages.items():
        resumed, whole = ours.manifest(stage.kind, stage.id), theirs.manifest(stage.kind, stage.id)
        assert resumed.parts == whole.parts, f"{label}: content differs from the uninterrupted run's"
        if label.startswith("round_1."):
            print(f"{label}: {resumed.digest[:8]} = {whole.digest[:8]}")
