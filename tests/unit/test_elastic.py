"""The pool's policies and `medray chaos`, without a cluster."""

from __future__ import annotations

import json
import random
import socket
import subprocess

import pytest

from medray import cli
from medray.core.config import UserError
from medray.train.chaos import end_one, live_workers


def test_a_group_that_was_asked_to_stop_has_not_failed():
    from ray.train import FailureConfig
    from ray.train.v2._internal.execution.failure_handling import FailureDecision
    from ray.train.v2.api.exceptions import WorkerGroupError

    from medray.train.elastic import Failures, Interrupted

    policy = Failures(FailureConfig(max_failures=1))
    asked = WorkerGroupError("asked", {0: Interrupted("drain"), 1: Interrupted("drain")})
    failed = WorkerGroupError("failed", {0: Interrupted("drain"), 1: RuntimeError("broken")})
    assert [policy.make_decision(asked) for _ in range(5)] == [FailureDecision.RETRY] * 5
    assert policy.make_decision(failed) == FailureDecision.RETRY
    assert policy.make_decision(asked) == FailureDecision.RETRY
    assert policy.make_decision(failed) == FailureDecision.RAISE


def test_a_node_answers_while_its_raylet_listens():
    from medray.train.elastic import _answers

    with socket.create_server(("127.0.0.1", 0)) as raylet:
        node = {"NodeManagerAddress": "127.0.0.1", "NodeManagerPort": raylet.getsockname()[1]}
        assert _answers(node)
    assert not _answers(node)


@pytest.fixture
def worker():
    """A process that calls itself what Ray calls its training workers."""
    process = subprocess.Popen(["ray::RayTrainWorker", "60"], executable="/bin/sleep")
    yield process
    process.kill()
    process.wait()


def events(root, stage: str, *lines: dict) -> None:
    journal = root / "pretrain" / stage / "journal"
    journal.mkdir(parents=True)
    (journal / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def group(pid: int, host: str = "") -> dict:
    return {"event": "group", "workers": [{"rank": 0, "pid": pid, "host": host or socket.gethostname()}]}


def test_chaos_ends_a_worker_of_the_newest_group(tmp_path, worker, capsys):
    other = subprocess.Popen(["/bin/sleep", "60"])  # the pid of a dead worker may be somebody else's by now
    try:
        events(tmp_path, "a" * 16, group(worker.pid))
        (tmp_path / "pretrain" / ("a" * 16) / "manifest.json").write_text("{}")
        events(tmp_path, "b" * 16, group(worker.pid), group(other.pid))
        events(tmp_path, "c" * 16, group(worker.pid, host="elsewhere"))
        assert live_workers(tmp_path) == [], "sealed; no worker any more; on another machine"
        with pytest.raises(UserError, match="no training worker lives on this machine: start a run"):
            cli.chaos(str(tmp_path))
        events(tmp_path, "d" * 16, group(other.pid), {"event": "grow"}, group(worker.pid))
        assert [found["pid"] for found in live_workers(tmp_path)] == [worker.pid]
        cli.chaos(str(tmp_path))
        assert capsys.readouterr().out == f"ended rank 0 (pid {worker.pid}) of pretrain dddddddd\n"
        assert worker.wait(10) == -9 and other.poll() is None
        assert end_one(tmp_path, random.Random(0)) is None
    finally:
        other.kill()
        other.wait()
