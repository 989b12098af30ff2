"""A root on an object store, against moto's real S3 server: seal once, resume elsewhere, lease."""

import httpx
import pytest

from medray.core.config import UserError
from medray.core.stage import execute
from medray.core.workspace import Root
from tests.unit.test_stage import stage, write_numbers

pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")


@pytest.fixture
def s3_root(tmp_path, monkeypatch):
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
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    httpx.post(f"http://127.0.0.1:{port}/moto-api/reset")
    s3fs.S3FileSystem().mkdir("medray-test")
    yield Root("s3://medray-test/runs")
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def test_seal_resume_and_lease_on_s3(s3_root, tmp_path, monkeypatch):
    s3_root.prepare()
    monkeypatch.setattr(write_numbers, "fail_at", 1, raising=False)
    with pytest.raises(RuntimeError):
        execute(stage(), s3_root)
    assert not s3_root.is_sealed("numbers", stage().id)
    monkeypatch.setattr(write_numbers, "fail_at", None, raising=False)
    monkeypatch.setenv("MEDRAY_CACHE", str(tmp_path / "another machine"))
    artifact = execute(stage(), s3_root)
    assert artifact.manifest.counters == {"num_shards": 3} and artifact.manifest.num_attempts == 2

    monkeypatch.setenv("MEDRAY_CACHE", str(tmp_path / "a third"))
    assert s3_root.open("numbers", stage().id).verify() == []
    with pytest.raises(FileExistsError):
        s3_root.seal(artifact.manifest)
    with s3_root.lease("numbers", "x" * 32), pytest.raises(UserError, match="is running this stage"):
        with s3_root.lease("numbers", "x" * 32):
            pass
    with s3_root.lease("numbers", "x" * 32):
        pass


def test_missing_bucket_is_one_line(s3_root):
    with pytest.raises(UserError, match=r"--root s3://no-such-bucket/runs: cannot write"):
        Root("s3://no-such-bucket/runs").prepare()
