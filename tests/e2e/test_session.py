"""A local Ray obeys the run that has started it, and nobody else on the network."""

import os
import subprocess
import sys

import httpx
import psutil
import pytest

from medray.core.placement import run_processes

pytestmark = pytest.mark.timeout(180)

OTHERS = """
import ray
ray.init(address="{address}", logging_level="ERROR")
print(ray.get(ray.remote(num_cpus=0)(lambda: "ran").remote(), timeout=20))
"""


def test_nobody_without_the_token_can_run_anything(tmp_path, monkeypatch):
    import ray

    from medray.session import SessionPlacement, ray_session

    monkeypatch.setenv("RAY_AUTH_TOKEN", "the user's own")
    before = {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")}
    with ray_session(SessionPlacement(logical_cpus=2, object_store_bytes=128 * 2**20)) as session:
        assert ray.get(ray.remote(lambda: 1).remote(), timeout=60) == 1
        body = {"entrypoint": f"touch {tmp_path / 'intruder'}"}
        sockets = [
            c for p in run_processes(session) for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN
        ]
        seen = {}
        for where in {
            (c.laddr.ip.replace("0.0.0.0", "127.0.0.1").replace("::", "127.0.0.1"), c.laddr.port) for c in sockets
        }:
            try:
                url = f"http://{where[0]}:{where[1]}/api/job_agent/jobs/"
                seen[where] = httpx.post(url, json=body, timeout=5, trust_env=False).status_code
            except httpx.HTTPError:
                seen[where] = None  # not HTTP
        assert 401 in seen.values() and 200 not in seen.values(), seen
        address = ray.get_runtime_context().gcs_address
        ours = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": os.environ["RAY_AUTH_TOKEN"]}
        for environment in (ours, ours | {"RAY_AUTH_TOKEN": "guessed" * 9}, {"RAY_AUTH_MODE": "disabled"}):
            with subprocess.Popen(
                [sys.executable, "-c", OTHERS.format(address=address)], stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env=environment, text=True,
            ) as other:  # fmt: skip
                try:
                    said, _ = other.communicate(timeout=40)
                except subprocess.TimeoutExpired:
                    other.kill()
                    said = ""
            assert ("ran" in said) == (environment is ours)
    assert {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")} == before
    assert not (tmp_path / "intruder").exists()
