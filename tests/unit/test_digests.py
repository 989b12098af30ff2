"""Digests that are remembered: a file is read once, a changed one again, and a plan reads no mountain of files."""

from __future__ import annotations

import os

import pytest
from typer.testing import CliRunner

from medray import cli
from medray.core import digests
from medray.core.config import UserError, with_overrides
from medray.core.digests import NotReadError, remembered_digest, unread_at_most
from medray.core.identity import digest_file
from medray.corpus import sources
from medray.recipes.open_corpus import BENCHMARKS, PLACES, open_corpus
from medray.recipes.unroll import unroll


@pytest.fixture(autouse=True)
def read(tmp_path, monkeypatch) -> list[str]:
    """Names of the files that were read for their digest, in a cache of the test's own."""
    monkeypatch.setenv("MEDRAY_CACHE", str(tmp_path / "cache"))
    names = []
    monkeypatch.setattr(digests, "digest_file", lambda path: names.append(str(path)) or digest_file(path))
    return names


def test_a_file_is_read_once_and_a_changed_one_again(tmp_path, read):
    path = tmp_path / "a.txt"
    path.write_text("one")
    first = remembered_digest(path)
    assert first == remembered_digest(str(path)) == digest_file(path) and len(read) == 1
    before = path.stat()
    path.write_text("two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time: the change shows all the same
    assert remembered_digest(path) == digest_file(path) != first and len(read) == 2
    with pytest.raises(FileNotFoundError):
        remembered_digest(tmp_path / "gone")


def test_a_file_at_a_url_too(read):
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.pipe_file("/digests/a", b"one")
    first = remembered_digest("memory://digests/a")
    assert remembered_digest("memory://digests/a") == first and len(read) == 1
    fs.pipe_file("/digests/a", b"two")
    assert remembered_digest("memory://digests/a") != first and len(read) == 2


def test_past_the_limit_nothing_is_read_but_what_is_remembered_is_known(tmp_path, read):
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"x" * 10)
    large.write_bytes(b"x" * 100)
    with unread_at_most(109):
        remembered_digest(small)
        with pytest.raises(NotReadError, match="large: 0.0 GB without a digest, which have not been read yet: run"):
            remembered_digest(large)
    assert read == [str(small)]
    found = remembered_digest(large)
    with unread_at_most(0):
        assert remembered_digest(large) == found


def test_a_plan_reads_no_mountain_and_a_run_checks_what_it_takes(tmp_path, monkeypatch):
    for path in (*PLACES.values(), *(file.placement.path for file in BENCHMARKS)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"{}")
    monkeypatch.setattr(cli, "_MAX_UNREAD_BYTES", 1)
    arguments = ["plan", "open_corpus", "--root", str(tmp_path / "runs"), "--set", f"files.directory={tmp_path}"]
    asked = CliRunner().invoke(cli.app, arguments)
    assert (
        asked.exit_code == 0 and "The stages have no ids yet: " in asked.output and "not been read yet" in asked.output
    )
    recipe = with_overrides(open_corpus(), [f"files.directory={tmp_path}"])
    unroll(recipe)
    asked = CliRunner().invoke(cli.app, arguments)
    assert asked.exit_code == 0 and "7 stages, 0 sealed, 7 to run" in asked.output
    # what is remembered names the source; what is taken is read and checked against it
    adopted = unroll(recipe)[0].config
    (tmp_path / PLACES["medquad"]).write_bytes(b"[]")
    source = next(source for source in adopted.sources if source.name == "medquad")
    with pytest.raises(UserError, match="sources.medquad: digest of what lies there is .*, expected"):
        sources._adopt(adopted, source, tmp_path / "adopted")
