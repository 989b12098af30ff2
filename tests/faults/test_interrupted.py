"""SIGTERM or SIGINT to a run: exit code 130 at once, without a stack, and Ray is gone with its directory."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SLEEPER = """
import sys, time
from medray.session import SessionPlacement, ray_session
try:
    with ray_session(SessionPlacement()):
        print("up", flush=True)
        time.sleep(300)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_session_cleans_up(number):
    run = subprocess.Popen(
        [sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert run.stdout.readline() == "up\n"
    assert list(Path("/tmp").glob(f"medray-ray-{run.pid}-*"))
    run.send_signal(number)
    _, errors = run.communicate(timeout=90)
    assert run.returncode == 130 and errors == ""
    assert not list(Path("/tmp").glob(f"medray-ray-{run.pid}-*"))
    assert subprocess.run(["pgrep", "-s", str(run.pid)], capture_output=True).stdout == b""
