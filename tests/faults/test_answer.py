"""Sampling and judging in one stage: what it seals is what one after the other gives, whoever is killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from medray.core.identity import digest_table
from medray.core.workspace import Root, Workspace
from tests.faults.round_stages import ANSWER, NUM_SHARDS, stages, write_models

pytest.importorskip("vllm")
pytestmark = pytest.mark.timeout(1800)
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models")
    write_models(directory)
    return directory


def start(root: Path, models: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.faults.round_stages", str(root), str(models)]
    with open(root.parent / f"{root.name}.log", "a") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=REPOSITORY, start_new_session=True)


def finish(run: subprocess.Popen, root: Path) -> None:
    try:
        assert run.wait(600) == 0, (root.parent / f"{root.name}.log").read_text()[-4000:]
    finally:
        run.kill()


@pytest.fixture(scope="module")
def whole(models, tmp_path_factory):
    """A root in which nothing was killed."""
    root = tmp_path_factory.mktemp("whole") / "root"
    finish(start(root, models), root)
    return Root(str(root))


def sealed(root: Root, models: Path, name: str):
    stage = stages(models)[name]
    return root.open(stage.kind, stage.id)


def test_the_stage_seals_what_sampling_and_then_judging_give(whole, models, tmp_path):
    from medray.preference import judge, sample
    from medray.serve.reward_app import ensure_reward_app
    from medray.session import SessionPlacement, ray_session

    both = sealed(whole, models, "answer")
    counters = both.manifest.counters
    assert counters["num_prompts"] == 2 * NUM_SHARDS and counters["num_completions"] == 6 * NUM_SHARDS
    assert counters["num_permuted"] == NUM_SHARDS // 2 and counters["num_not_permuted"] == 0
    inputs = {name: sealed(whole, models, name) for name in ("policy", "reward_model", "prompts")}
    workspace = Workspace(Root(str(tmp_path)), "one after the other", "1", "sample")
    with ray_session(SessionPlacement(logical_cpus=4, object_store_bytes=128 * 2**20)):
        sampled = sample.run(ANSWER.sample, inputs, workspace)
        config, model = ANSWER.judge, inputs["reward_model"]
        endpoint = ensure_reward_app(model.data / "model", model.id, config.serving)
        for part in (workspace.data / "completions").iterdir():
            prompts, target = inputs["prompts"].data / "prompts.parquet", workspace.scratch / judge.REWARDS / part.name
            facts = judge.judge_part(part, prompts, target, [endpoint], config)
            workspace.mark_done(f"{judge.REWARDS}-{part.stem}", **facts)
    assert {**sampled, **judge.gather(config, workspace)} == counters
    for name in ("completions/*.parquet", "rewards.parquet", "permuted/*.parquet", "permuted.parquet"):
        assert digest_table(workspace.data.glob(name)) == digest_table(both.data.glob(name)), name


class Watched(SimpleNamespace):
    """A driver at work on an unfinished `answer` stage."""

    def num_done(self, prefix: str) -> int:
        return len(list((self.directory / "marks").glob(f"{prefix}*[0-9].json")))

    def wait(self, reached: Callable[[], object], timeout_s: float = 600) -> object:
        stop_at = time.monotonic() + timeout_s
        while not (found := reached()):
            assert self.process.poll() is None, f"the driver ended (exit {self.process.returncode}) before the kill"
            assert time.monotonic() < stop_at, f"not reached within {timeout_s} s"
            time.sleep(0.01)
        return found

    def worker(self, title: str) -> psutil.Process | None:
        """The worker of this driver's Ray whose title begins so."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if " ".join(process.cmdline()).startswith(title):
                    return process
            except psutil.NoSuchProcess:
                continue
        return None


@pytest.fixture
def begin(models, tmp_path):
    """begin(): a driver at work in tmp_path / "root"; none is left when the test ends."""
    stage, runs = stages(models)["answer"], []

    def start_one():
        directory = tmp_path / "root" / stage.kind / stage.id
        runs.append(Watched(process=start(tmp_path / "root", models), directory=directory))
        return runs[-1]

    yield start_one
    for run in runs:
        run.process.kill()


@pytest.mark.full
def test_kills_change_nothing(whole, models, begin, tmp_path):
    def kill_driver(run):
        os.kill(run.process.pid, signal.SIGKILL)
        run.process.wait(30)
        assert not (run.directory / "manifest.json").exists()

    first = begin()
    first.wait(lambda: first.num_done("completions-") >= 2)
    kill_driver(first)
    sampled, directory = first.num_done("completions-"), first.directory

    second = begin()
    second.wait(lambda: second.num_done("rewards-") > sampled)
    kill_driver(second)
    assert sampled < second.num_done("completions-")
    judged = {path.name: path.stat().st_mtime_ns for path in (directory / "marks").glob("rewards-*")}
    assert len(judged) < NUM_SHARDS

    third = begin()
    third.wait(lambda: third.num_done("rewards-") > len(judged) and third.worker("ray::ServeReplica")).kill()
    third.wait(lambda: third.worker("ray::_Engine")).kill()
    finish(third.process, tmp_path / "root")
    assert {name: (directory / "marks" / name).stat().st_mtime_ns for name in judged} == judged, "judged once"
    ours = Root(str(tmp_path / "root"))
    for name in ("answer", "pairs"):
        resumed, uninterrupted = sealed(ours, models, name).manifest, sealed(whole, models, name).manifest
        assert resumed.parts == uninterrupted.parts and resumed.digest == uninterrupted.digest, name
        assert resumed.counters == uninterrupted.counters
