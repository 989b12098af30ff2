"""Leases: keep two runs of one stage apart, on a local file system or an object store."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from medray.core.config import UserError

HEARTBEAT_S = 10.0
EXPIRES_S = 60.0


@contextmanager
def hold_lease(fs: Any, path: str, what: str) -> Iterator[None]:
    """Hold a lease object at `path` of an fsspec file system while the block runs.

    A lease of a dead process of this machine, or one of another machine without a heartbeat for EXPIRES_S seconds,
    is taken over. Raises UserError naming the holder otherwise.
    """
    mine = {"token": uuid.uuid4().hex, "host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())}
    for _ in range(3):
        if _create(fs, path, mine):
            break
        holder = _read(fs, path)
        if holder is None:
            continue
        if _is_alive(holder):
            raise UserError(
                f"{what}: process {holder['pid']} on {holder['host']} is running this stage: wait for it to end, "
                "stop it, or use another --root"
            )
        fs.rm_file(path)
    else:
        raise UserError(f"{what}: another run took the stage at the same moment: run again when it has ended")
    stop = threading.Event()
    beat = threading.Thread(target=_keep, args=(fs, path, mine, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        holder = _read(fs, path)
        if holder and holder["token"] == mine["token"]:
            fs.rm_file(path)


def _create(fs: Any, path: str, mine: dict[str, Any]) -> bool:
    body = json.dumps({**mine, "at": time.time()}).encode()
    try:
        if "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol):
            # written aside and linked: the lease appears whole, and only if there was none
            partial = Path(f"{path}.{mine['token']}")
            partial.write_bytes(body)
            try:
                os.link(partial, path)
            finally:
                partial.unlink()
        else:
            fs.pipe_file(path, body, mode="create")
    except FileExistsError:
        return False
    return True


def _read(fs: Any, path: str) -> dict[str, Any] | None:
    try:
        return json.loads(fs.cat_file(path))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _keep(fs: Any, path: str, mine: dict[str, Any], stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_S):
        with suppress(OSError):  # a full disk, a network that comes back: the stage itself will tell
            fs.pipe_file(path, json.dumps({**mine, "at": time.time()}).encode())


def _is_alive(holder: dict[str, Any]) -> bool:
    if holder["host"] == socket.gethostname():
        return holder["born"] == _born(holder["pid"]) is not None
    return time.time() - holder["at"] < EXPIRES_S


def _born(pid: int) -> float | None:
    """Start time of a live process, so that a reused process number is not taken for the holder."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
