"""A worker's pulse: how far it is, how long its own work takes, and whether it was asked to stop.

The training thread beats; the worker's main thread answers the controller, which reads the pulses of all ranks and
judges them (`hung_ranks`, `stragglers`: pure). Own work is the backbone's forward pass: in it no rank waits for another
(but at ZeRO stage 3), so its time names the slow one, which the step's time, the same on all ranks, cannot.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

SLOW = 1.5
"""A rank whose forward pass takes this many times the median of the others, per token, is a straggler."""


@dataclass(frozen=True)
class Pulse:
    """What one rank has done so far in this group of workers."""

    num_steps: int = 0
    num_forwards: int = 0
    is_in_forward: bool = False
    num_tokens: int = 0
    forward_s: float = 0.0
    is_done: bool = False

    @property
    def progress(self) -> tuple[int, int, bool]:
        """Changes whenever the rank gets anywhere."""
        return self.num_steps, self.num_forwards, self.is_in_forward


_now = Pulse()
_reason: str | None = None
_started: Any = None
_timed: list[tuple[Any, Any, int]] = []
"""(begin, end, tokens) of forward passes whose time is not known yet."""


def watch(model: Any) -> None:
    """Let the backbone's forward passes beat; once per process, before training."""
    model.base_model.register_forward_pre_hook(_enter, with_kwargs=True)
    model.base_model.register_forward_hook(_leave, with_kwargs=True)


def read() -> Pulse:
    """This process' pulse."""
    return _now


def ask_to_stop(reason: str) -> None:
    """Let `stop_reason` say so from now on; the first reason stays."""
    global _reason
    _reason = _reason or reason


def stop_reason() -> str | None:
    """The loop's `interrupt`: asked once in each step, which counts it."""
    global _now
    _now = replace(_now, num_steps=_now.num_steps + 1)
    return _reason


def done() -> None:
    """No steps come any more: what this process does now is not judged."""
    global _now
    _now = replace(_now, is_done=True)


def _enter(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
    global _now, _started
    _now = replace(_now, num_forwards=_now.num_forwards + 1, is_in_forward=True)
    _started = _mark(kwargs["input_ids"])


def _leave(module: Any, args: Any, kwargs: dict[str, Any], output: Any) -> None:
    global _now
    _timed.append((_started, _mark(kwargs["input_ids"]), kwargs["input_ids"].numel()))
    while _timed and (seconds := _elapsed(*_timed[0][:2])) is not None:
        _now = replace(_now, forward_s=_now.forward_s + seconds, num_tokens=_now.num_tokens + _timed.pop(0)[2])
    _now = replace(_now, is_in_forward=False)


def _mark(tensor: Any) -> Any:
    """A point in time: the clock's, or on a GPU an event, since kernels run behind the program."""
    if tensor.device.type == "cpu":
        return time.perf_counter()
    import torch

    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _elapsed(start: Any, end: Any) -> float | None:
    """Seconds between two marks; None while the GPU is not there yet."""
    if isinstance(start, float):
        return end - start
    return start.elapsed_time(end) / 1000 if end.query() else None


def hung_ranks(pulses: Mapping[int, Pulse], silent: Collection[int]) -> list[int]:
    """Who keeps a group that makes no progress: those that do not answer, else those inside their own work while
    others wait for them, else those with the fewest forward passes, else everybody."""
    if silent:
        return sorted(silent)
    working = [rank for rank, pulse in pulses.items() if pulse.is_in_forward]
    if working and len(working) < len(pulses):
        return sorted(working)
    fewest = min(pulse.num_forwards for pulse in pulses.values())
    return sorted(rank for rank, pulse in pulses.items() if pulse.num_forwards == fewest)


def stragglers(before: Mapping[int, Pulse], after: Mapping[int, Pulse]) -> dict[int, float]:
    """Ranks slow in their own work between two readings: times the median of the others, seconds per token."""
    pace = {
        rank: (after[rank].forward_s - before[rank].forward_s) / (after[rank].num_tokens - before[rank].num_tokens)
        for rank in after
        if rank in before and after[rank].num_tokens > before[rank].num_tokens
    }
    ratios = {}
    for rank, own in pace.items():
        others = [value for other, value in pace.items() if other != rank]
        if others and statistics.median(others) > 0:
            ratios[rank] = own / statistics.median(others)
    return {rank: ratio for rank, ratio in ratios.items() if ratio >= SLOW}
