"""How time and memory of the corpus' steps grow with the input: 1x, 4x and 16x, all through one small object store.

time_slope is the slope of log(seconds) over log(input), from clean's start to the sealed corpus; rss_ratio the peak
memory at 16x over that at 1x: the proportional set size of all of the run's processes, which share the object store's
pages among them. The input is written by a process that is none of these. The largest is at least five times the
object store; driver_ratio is the growth of this process' own peak. anonymous_ratio is of what no file backs: the whole
counts libraries and mapped files too, more of them on a quiet machine, where no other process has them mapped. Files,
shards and files of the token store have the same size at every scale, as more input means more files. Ray and its
workers are started, and warm from a small input, before the clock starts.

    python benchmarks/corpus_growth.py [--quick | --megabytes N] [--data ../shared/data/corpus] [--cache DIR]
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from corpus import MEGABYTE, NUM_CORES, NUM_FILES, begin, cached_model, link_model, parser_for, stages, write_input

from medray.core.placement import run_memory_bytes, run_processes
from medray.core.stage import execute
from medray.core.workspace import Root
from medray.session import SessionPlacement, ray_session

SCALES = (1, 4, 16)
BLOCKS_PER_FILE = 64
"""Of the token store: few, so that the input at 1x fills whole files too."""
OBJECT_STORE_MB = 80
"""About the smallest that Ray starts with."""


class Peaks:
    """Samples the memory of the run and of this process in a thread, and keeps the peaks since `reset`."""

    def __init__(self, session: str) -> None:
        self._session, self._stop = session, threading.Event()
        self.reset()
        threading.Thread(target=self._sample, daemon=True).start()

    def reset(self) -> None:
        """Begin new peaks."""
        self.run = self.anonymous = self.driver = 0

    def stop(self) -> None:
        """Stop sampling."""
        self._stop.set()

    def _sample(self) -> None:
        own = psutil.Process()
        while not self._stop.wait(0.5):
            self.run = max(self.run, run_memory_bytes(self._session))
            self.anonymous = max(self.anonymous, sum(map(anonymous_bytes, run_processes(self._session))))
            self.driver = max(self.driver, own.memory_info().rss)


def anonymous_bytes(process: psutil.Process) -> int:
    """Proportional set size of a process' memory that no file backs; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss_Anon:")), 0)


def measure(inputs: Path, root: Root, cached: Root, num_shards: int) -> float:
    """Seconds of clean, dedup and corpus."""
    found = stages(inputs, num_shards, BLOCKS_PER_FILE)
    execute(found["sources"], root)
    link_model(found["base"], root, cached)
    started = time.perf_counter()
    for name in ("clean", "dedup", "corpus"):
        execute(found[name], root)
    return time.perf_counter() - started


def main() -> None:
    """Print a line for each scale and, last, one JSON line."""
    arguments = begin(parser_for(__doc__, "input at 1x", quick=25, whole=150))
    num_megabytes = arguments.megabytes
    seconds: list[float] = []
    found: dict[str, list[int]] = {"run": [], "anonymous": [], "driver": []}
    with tempfile.TemporaryDirectory(prefix="medray-growth-") as where:
        work, cached = Path(where), Root(str(arguments.cache / "root"))
        for scale in (0, *SCALES):
            size = scale * num_megabytes if scale else 1
            wanted = work / f"input-{scale}", arguments.data, size * MEGABYTE, NUM_FILES * max(scale, 1)
            writing = multiprocessing.get_context("spawn").Process(target=write_input, args=wanted)
            writing.start()
            writing.join()
            assert writing.exitcode == 0, f"{wanted[0]}: writing the input failed"
        cached_model(cached, work / "input-0")
        placement = SessionPlacement(logical_cpus=NUM_CORES, object_store_bytes=int(OBJECT_STORE_MB * MEGABYTE))
        with ray_session(placement) as session:
            peaks = Peaks(session)
            for scale in (0, *SCALES):
                peaks.reset()
                took = measure(
                    work / f"input-{scale}", Root(str(work / f"root-{scale}")), cached, NUM_FILES * scale or 2
                )
                if scale:
                    seconds.append(took)
                    for name, values in found.items():
                        values.append(getattr(peaks, name))
                    shown = ", ".join(f"{name} {values[-1] / MEGABYTE:,.0f} MB" for name, values in found.items())
                    print(f"{scale:3}x {scale * num_megabytes:7.0f} MB {took:7.1f} s, peak of {shown}", flush=True)
            peaks.stop()
    print(f"the last input is {SCALES[-1] * num_megabytes / OBJECT_STORE_MB:.1f} times the object store")
    slope = np.polyfit(np.log(SCALES), np.log(seconds), 1)[0]
    ratios = {name: values[-1] / values[0] for name, values in found.items()}
    result = {"time_slope": slope, "rss_ratio": ratios.pop("run")} | {f"{n}_ratio": r for n, r in ratios.items()}
    print(json.dumps({name: round(float(value), 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
