"""What this machine offers, and what a run is told to use of it."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field

import psutil


def num_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int:
    """Physical memory of this machine, in bytes."""
    return psutil.virtual_memory().total


def run_processes(session: str | None) -> list[psutil.Process]:
    """This process, its descendants and the processes of a Ray session."""
    own = psutil.Process()
    processes = {own.pid: own, **{p.pid: p for p in own.children(recursive=True)}}
    for process in psutil.process_iter(["cmdline"]) if session else ():
        if any(session in part for part in process.info["cmdline"] or ()):
            processes[process.pid] = process
    return list(processes.values())


def run_memory_bytes(session: str | None) -> int:
    """Summed memory of the run's processes, in bytes.

    Proportional set size where the platform has it (shared pages are counted once), else resident set size.
    """
    total = 0
    for process in run_processes(session):
        try:
            facts = process.memory_full_info()
            total += getattr(facts, "pss", 0) or facts.rss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # ended while we looked
    return total


@dataclass
class MemoryMeter:
    """Samples the run's memory in a thread and keeps the peak since `reset`.

    A look costs 0.1 s or more (the kernel walks every page table), so it is not taken often.
    """

    session: str | None = None
    interval_s: float = 5.0
    peak_bytes: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin to sample."""
        threading.Thread(target=self._sample, daemon=True).start()

    def stop(self) -> None:
        """Stop sampling."""
        self._stop.set()

    def reset(self) -> None:
        """Begin a new peak."""
        self.peak_bytes = 0

    def _sample(self) -> None:
        while not self._stop.is_set():
            self.peak_bytes = max(self.peak_bytes, run_memory_bytes(self.session))
            self._stop.wait(self.interval_s)
