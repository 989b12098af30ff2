"""SIGKILL of the driver in pretraining and in round 1: the resumed run ends with an uninterrupted run's digests."""

import json
import os
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
