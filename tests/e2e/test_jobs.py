"""`ray start --head`, then `ray job submit`: the recipe runs inside a job on a cluster that is not ours."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

RAY = str(Path(sys.executable).with_name("ray"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def cluster():
    """A head with two logical CPUs; yields the dashboard's address. Gone afterwards, other Rays untouched."""
    temporary, dashboard = Path("/tmp") / f"medray-head-{os.getpid()}", free_port()
    head = subprocess.Popen(
        [RAY, "start", "--head", "--block", f"--port={free_port()}", f"--dashboard-port={dashboard}",
         "--dashboard-host=127.0.0.1", f"--ray-client-server-port={free_port()}", "--num-cpus=2",
         f"--dashboard-agent-listen-port={free_port()}",  # 52365, if another Ray of this machine has not taken it
         "--object-store-memory=300000000", f"--temp-dir={temporary}", "--disable-usage-stats"],
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    try:
        deadline = time.time() + 90
        while subprocess.run(
            ["curl", "-sf", f"http://127.0.0.1:{dashboard}/api/version"], capture_output=True
        ).returncode:
            assert head.poll() is None and time.time() < deadline, "the head did not start"
            time.sleep(0.5)
        yield f"http://127.0.0.1:{dashboard}"
    finally:
        head.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):  # what is left after it is killed
            head.wait(60)
        subprocess.run(["pkill", "-KILL", "-s", str(head.pid)])
        head.wait(10)
        shutil.rmtree(temporary, ignore_errors=True)


def submit(cluster, root, repository, timeout):
    command = [
        RAY, "job", "submit", "--address", cluster, "--working-dir", ".", "--", "python", "jobs/pipeline.py",
        "--recipe", "tiny", "--root", str(root),
    ]  # fmt: skip
    deadline = time.time() + 120
    while True:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=repository)
        # the agent that runs jobs registers a moment after the head answers
        if "No available agent" not in done.stdout + done.stderr or time.time() > deadline:
            return done
        time.sleep(2)


def test_a_job_finds_everything_sealed(cluster, tiny_root, repository):
    done = submit(cluster, tiny_root, repository, 240)
    assert done.returncode == 0 and "0 ran" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_a_job_runs_the_whole_recipe(cluster, tmp_path, repository):
    done = submit(cluster, tmp_path / "runs", repository, 1000)
    assert done.returncode == 0 and "0 were sealed already" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
