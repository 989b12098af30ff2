"""Shards on real Ray Data, and single tasks: errors arrive as themselves, dead workers are replaced, then given up."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from medray.core.config import UserError
from medray.core.workspace import Root, Workspace
from medray.session import SessionPlacement, ray_session
from medray.tables.shards import Shard, Step, run_remote, run_shards, run_steps

pytest.importorskip("ray")


@pytest.fixture(scope="module", autouse=True)
def ray_here():
    with ray_session(SessionPlacement(logical_cpus=3, object_store_bytes=80 * 2**20)):
        yield


def workspace(path: Path) -> Workspace:
    return Workspace(Root(str(path)), "corpus", "1", "corpus")


def fail_on(shard: Shard, error: Exception) -> dict:
    if shard.payload["number"] == 1:
        raise error
    return {}


def die_on(shard: Shard, log: Path, times: int) -> dict:
    if shard.payload["number"] == 1:
        with open(log, "a") as stream:
            stream.write("x")
        if len(log.read_text()) <= times:
            os.kill(os.getpid(), signal.SIGKILL)
    return {"number": shard.payload["number"]}


SHARDS = [Shard(f"shard-{number}", {"number": number}) for number in range(3)]


@pytest.mark.parametrize("error", [UserError("x: got 1, expected 2: mend it"), KeyError("missing")])
def test_a_shard_fails_with_its_own_exception(tmp_path, error):
    with pytest.raises(type(error), match=str(error.args[0])[:10]) as raised:
        run_shards(workspace(tmp_path), SHARDS, partial(fail_on, error=error))
    assert type(raised.value) is type(error)
    assert not isinstance(error, UserError) or str(raised.value) == str(error)


def test_a_dead_worker_is_replaced_and_for_ever_dead_ones_end_the_run(tmp_path):
    where = workspace(tmp_path)
    facts = run_shards(where, SHARDS, partial(die_on, log=tmp_path / "once", times=1))
    assert [fact["number"] for fact in facts.values()] == [0, 1, 2]
    with pytest.raises(UserError, match="a worker died 3 times"):
        run_shards(workspace(tmp_path / "other"), SHARDS, partial(die_on, log=tmp_path / "always", times=99))


def first(shard: Shard, directory: Path) -> dict:
    """The last shard ends only when the first has been through the second step."""
    stop_at = time.monotonic() + 120
    while shard.payload["number"] == 2 and not (directory / "second-0").exists():
        assert time.monotonic() < stop_at, "no shard reaches the second step while another is in the first"
        time.sleep(0.05)
    (directory / f"first-{shard.payload['number']}").touch(exist_ok=False)
    return {"step": 1}


def second(shard: Shard, directory: Path) -> dict:
    assert (directory / f"first-{shard.payload['number']}").exists()
    (directory / f"second-{shard.payload['number']}").touch(exist_ok=False)
    return {"step": 2, "number": shard.payload["number"]}


def test_a_shard_is_in_one_step_while_others_are_in_another(tmp_path):
    where, seen = workspace(tmp_path), tmp_path / "seen"
    seen.mkdir()
    where.mark_done("shard-1", step=1)  # an earlier attempt got so far
    (seen / "first-1").touch()
    steps = [Step(partial(first, directory=seen), num_cpus=0.1, concurrency=1),
             Step(partial(second, directory=seen), num_cpus=0.1, concurrency=1, prefix="then-")]  # fmt: skip
    facts = run_steps(where, SHARDS, steps)
    assert facts[0] == {f"shard-{n}": {"step": 1} for n in range(3)}
    assert facts[1] == {f"shard-{n}": {"step": 2, "number": n} for n in range(3)}
    assert sorted(path.name for path in seen.iterdir()) == [f"{s}-{n}" for s in ("first", "second") for n in range(3)]
    assert run_steps(where, SHARDS, steps) == facts, "nothing is done twice"


def test_run_remote_returns_and_raises():
    assert run_remote(max, 3, 4) == 4
    with pytest.raises(UserError, match="^x: one line$") as error:
        run_remote(fail_on, Shard("s", {"number": 1}), UserError("x: one line"))
    assert type(error.value) is UserError
