"""A training run on a Ray cluster to which things happen: the same rows in every step as without them, the same model.

What is compared with is one plain process that nothing happens to. Ray fills the machine: one run at a time.
"""

from __future__ import annotations

import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

from benchmarks.elastic_cluster import ElasticRun, plain_run, write_inputs
from medray.train.chaos import end_one

pytestmark = pytest.mark.timeout(1500)
NUM_ROWS = {"short": 120, "long": 720, "longest": 1800}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """For a length of run: its inputs, and what comes of it where nothing happens."""

    def made(length: str):
        if length not in found:
            directory = tmp_path_factory.mktemp(length)
            inputs = write_inputs(directory, NUM_ROWS[length])
            found[length] = inputs, plain_run(inputs, directory / "checkpoints")
        return found[length]

    found: dict = {}
    return made


def check_same(run: ElasticRun, plain: tuple[list[list[int]], list[float], dict]) -> None:
    rows, losses, weights = plain
    assert run.rows() == rows, "the ledger of consumed rows differs"
    assert len(run.losses()) == len(losses)
    assert max(abs(one - other) for one, other in zip(run.losses(), losses, strict=True)) < 2e-5
    [path] = (run.workspace.data / "model").glob("*.safetensors")
    for name, value in load_file(path).items():
        assert float((value.view(-1) - weights[name]).abs().max()) < 2e-4, name


def newest(run: ElasticRun, pattern: str) -> str:
    return max((str(path) for path in Path(run.workspace.checkpoints).glob(pattern)), default="")


def kill_some_worker(run: ElasticRun, rng: random.Random) -> None:
    """Whichever of the two lives; none, while a group is being started."""
    for rank in rng.sample(range(2), 2):
        with suppress(FileNotFoundError, psutil.NoSuchProcess):
            if "RayTrainWorker" in psutil.Process(run.pid(rank)).cmdline()[0]:
                return run.kill(rank)


def test_a_killed_worker_and_a_damaged_checkpoint(undisturbed, tmp_path):
    inputs, plain = undisturbed("short")
    with ElasticRun(tmp_path / "run", inputs, num_nodes=2, pause_s=0.25) as run:
        run.start(num_workers=(2, 2))
        before = run.wait_steps(9, 2)  # checkpoints after 4 and 8
        run.wait(lambda: "step-00000008" in newest(run, "step-*/complete.json"))
        assert end_one(tmp_path / "run" / "root", random.Random(1))["pid"] in (run.pid(0), run.pid(1))
        damaged = Path(newest(run, "step-*/*.safetensors"))
        with open(damaged, "r+b") as stream:
            stream.seek(-3, 2)
            stream.write(b"???")
        number = int(damaged.parent.name.removeprefix("step-"))
        after = run.next_group(before)
        assert after.after_step == number - 4, "the checkpoint before the damaged one"
        counters = run.finish(240)
        assert counters["num_restarts"] == 1 and counters["num_resizes"] == 0 and counters["restart_lost_s"] > 0
        assert 0 < counters["goodput"] < 1
        check_same(run, plain)


@pytest.mark.full
@pytest.mark.parametrize("phase", ["forward", "save", "register", "resize"])
def test_a_kill_at_a_random_point_of_a_phase(undisturbed, tmp_path, phase):
    inputs, plain = undisturbed("longest" if phase == "resize" else "long")
    with ElasticRun(tmp_path / "run", inputs, num_nodes=1 if phase == "resize" else 2) as run:
        run.start(max_failures=20)
        for attempt in range(1 if phase == "resize" else 3):
            rng = random.Random(f"{phase} {attempt}")
            before = run.wait_steps(5)
            if phase == "forward":
                time.sleep(rng.uniform(0, 2))
            elif phase == "resize":
                run.add_node()
                run.wait(lambda: run.events("grow"))
                time.sleep(rng.uniform(0, 12))
            else:
                pattern = "step-*" if phase == "save" else "step-*/complete.json"
                known = newest(run, pattern)
                run.wait(lambda: newest(run, pattern) > known, every_s=0.001)  # noqa: B023
                time.sleep(rng.uniform(0, 0.03))
            kill_some_worker(run, rng)
            if phase != "resize":
                run.next_group(before)
        run.finish(600)
        check_same(run, plain)


@pytest.mark.full
def test_hung_workers_and_stragglers_are_found(undisturbed, tmp_path):
    inputs, plain = undisturbed("long")
    with ElasticRun(tmp_path / "run", inputs, num_nodes=2) as run:
        run.start(step_timeout_s=10)
        group = run.wait_steps(4, 2)
        run.kill(1, signal.SIGSTOP)
        group = run.next_group(group)
        run.wait_steps(4, 2)
        (tmp_path / "run" / "stuck-0").touch()
        run.next_group(group)
        run.wait_steps(4, 2)
        slow = tmp_path / "run" / "slow-1"
        slow.touch()
        named = run.wait(lambda: run.events("straggler"))
        slow.unlink()
        run.finish(600)
        stopped, stuck = run.events("hung")
        assert (stopped["rank"], stopped["answers"]) == (1, False) and 10 <= stopped["waited_s"] < 20
        assert (stuck["rank"], stuck["answers"]) == (0, True) and 10 <= stuck["waited_s"] < 20
        assert named[0]["rank"] == 1 and named[0]["ratio"] >= 1.5
        check_same(run, plain)


@pytest.mark.full
def test_nodes_come_and_go(undisturbed, tmp_path):
    inputs, plain = undisturbed("longest")
    with ElasticRun(tmp_path / "run", inputs, num_nodes=1) as run:
        run.start(checkpoint_every_steps=100)  # only just in time, so what a notice loses would show
        alone = run.wait_steps(3, 1)
        node = run.add_node()
        grown = run.next_group(alone)
        assert grown.world_size == 2 and grown.after_step == run.groups()[0].steps[-1].number, "a step was repeated"
        run.wait_steps(3, 2)
        run.drain_node(node, 120)
        left = run.next_group(grown)
        assert left.world_size == 1 and left.after_step == run.groups()[1].steps[-1].number, "a step was repeated"
        run.wait_steps(3, 1)
        lost = run.add_node()
        grown = run.next_group(left)
        run.wait_steps(2, 2)
        run.lose_node(lost)
        after = run.next_group(grown)
        assert after.world_size == 1 and after.after_step == grown.after_step
        counters = run.finish(600)
        assert (counters["num_restarts"], counters["num_resizes"]) == (4, 4)
        assert [e["event"] for e in run.workspace.journal.events() if e["event"] != "group"] == [
            "grow",
            "drain",
            "grow",
        ]
        check_same(run, plain)
