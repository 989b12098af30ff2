"""Ends a random worker of a training run on this machine, to see that the run does not mind."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
from pathlib import Path
from typing import Any

import psutil


def live_workers(root: Path) -> list[dict[str, Any]]:
    """Training workers of unfinished stages below a root that live on this machine: rank, pid, host, stage."""
    found = []
    for path in sorted(root.glob("*/*/journal/events.jsonl")):
        directory = path.parents[1]
        if not (directory / "manifest.json").exists():
            events = [json.loads(line) for line in path.read_text().splitlines()]
            groups = [event["workers"] for event in events if event["event"] == "group"]
            stage = f"{directory.parent.name} {directory.name[:8]}"
            found += [{**worker, "stage": stage} for group in groups[-1:] for worker in group]
    return [worker for worker in found if worker["host"] == socket.gethostname() and _is_worker(worker["pid"])]


def end_one(root: Path, rng: random.Random) -> dict[str, Any] | None:
    """SIGKILL to one of them; None if there is none."""
    workers = live_workers(root)
    if not workers:
        return None
    chosen = rng.choice(workers)
    os.kill(chosen["pid"], signal.SIGKILL)
    return chosen


def _is_worker(pid: int) -> bool:
    """Whether the process is (still) a worker of Ray Train, as its title says."""
    try:
        return "RayTrainWorker" in " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return False
