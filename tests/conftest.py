"""What every test shares: a quiet, offline environment, and one finished run of the tiny recipe."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medray.core.workspace import Root

REPOSITORY = Path(__file__).parents[1]

# Set at import: Ray, torch and Hugging Face read these when they are first imported, in this process and its children.
os.environ.pop("RAY_ADDRESS", None)  # tests never join somebody's cluster
os.environ.pop("MEDRAY_ROOT", None)
os.environ |= {
    "RAY_AUTH_MODE": "disabled",  # else Ray 2.60 writes a token into the home directory
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "DO_NOT_TRACK": "1",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip `gpu` tests where there is no CUDA device."""
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_items:
        return
    import torch

    if not torch.cuda.is_available():
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The directory that holds pyproject.toml."""
    return REPOSITORY


@pytest.fixture(scope="session")
def medray() -> Callable[..., subprocess.CompletedProcess]:
    """Calls the command line in a process of its own, as a user would: medray("run", "tiny", "--root", root)."""

    def call(*arguments: object, timeout: float = 600, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "medray.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=REPOSITORY,
            env={**os.environ, **environment},
        )

    return call


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a random policy of less than a million parameters. Made once: read it only."""
    from medray.model.base import make_tiny

    directory = tmp_path_factory.mktemp("tiny-model")
    make_tiny(directory, ["Renal failure leads to anaemia.", "Which organ makes bile? The liver."] * 3, vocab_size=400)
    return directory


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory, medray: Callable) -> Path:
    """A root in which the tiny recipe ran from nothing to its report, uninterrupted. Made once: read it only."""
    root = tmp_path_factory.mktemp("tiny") / "runs"
    done = medray("run", "tiny", "--root", root, timeout=900)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
    return root


@pytest.fixture
def s3_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Root]:
    """A root on moto's real S3 server; processes that are started meanwhile find it too."""
    moto_server, s3fs = pytest.importorskip("moto.server"), pytest.importorskip("s3fs")
    import httpx

    server = moto_server.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "MEDRAY_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    httpx.post(f"http://127.0.0.1:{port}/moto-api/reset")
    s3fs.S3FileSystem().mkdir("medray-test")
    yield Root("s3://medray-test/runs")
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()
