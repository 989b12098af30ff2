"""The pool of workers on Ray Train: grows, shrinks, leaves draining nodes, ends hung workers.   (Only ray.train.)

This runs in Ray Train's controller, which asks the scaling policy twice a second. Ray Train restarts a group without a
word; here the workers are asked first, save just in time and stop (`Interrupted`), so that a planned restart repeats no
step. Three things that Ray Train 2.60 leaves to time-outs are looked at instead: what the cluster is now (its own view
is up to 20 s old), which nodes drain, and whether a node still answers (a dead one is missed only after 15 s or more).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.execution.failure_handling import FailureDecision
from ray.train.v2._internal.execution.failure_handling.default import DefaultFailurePolicy
from ray.train.v2._internal.execution.scaling_policy import ElasticScalingPolicy, NoopDecision
from ray.train.v2.api.exceptions import WorkerGroupError

from medray.core.config import UserError
from medray.core.journal import Journal
from medray.train import pulse
from medray.train.pulse import Pulse

_LOOK_S = 1.0
"""Between two looks at the cluster."""
_SETTLE_S = 10.0
"""A group is not resized until it has trained for so long, and for as long as its start took: nodes come in groups."""
_SILENT_S = 5.0
"""A worker that has not answered for so long counts as stopped, once the group makes no progress."""
_WINDOW_S = 10.0
"""Stragglers are judged over at least this long and _WINDOW_STEPS steps."""
_WINDOW_STEPS = 10
_ANSWER_S = 1.0
_START_LIMIT_S = 1800.0
"""For loading the model and the first step, whose length nobody knows."""


class Interrupted(Exception):
    """A worker was asked to stop, has saved, and stops; costs nothing of max_failures."""


class Trainer(TorchTrainer):
    """A TorchTrainer without the actor that hands out Ray datasets: workers read token stores, and wait 2 s for it."""

    def _create_default_callbacks(self) -> list[Any]:
        return [each for each in super()._create_default_callbacks() if not isinstance(each, DatasetsCallback)]


class ElasticTrainer(Trainer):
    """A Trainer whose controller has the policies of this file."""

    def __init__(self, *args: Any, journal: Journal, step_timeout_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._journal, self._step_timeout_s = journal, step_timeout_s

    def _initialize_and_run_controller(self, **parts: Any) -> Any:
        parts["scaling_policy"] = Pool(self.scaling_config, self._journal, self._step_timeout_s)
        parts["failure_policy"] = Failures(self.run_config.failure_config)
        return super()._initialize_and_run_controller(**parts)


class Failures(DefaultFailurePolicy):
    """Ray Train's own, but a user's mistake is not tried again, and who stopped because of being asked did not fail."""

    def make_decision(self, training_failed_error: Any) -> FailureDecision:
        """Retry or raise."""
        if isinstance(training_failed_error, WorkerGroupError):
            causes = training_failed_error.worker_failures.values()
            if any(isinstance(cause, UserError) for cause in causes):
                return FailureDecision.RAISE
            if all(isinstance(cause, Interrupted) for cause in causes):
                return FailureDecision.RETRY
        return super().make_decision(training_failed_error)


class Pool(ElasticScalingPolicy):
    """How many workers there shall be, and which of the running ones must go."""

    def __init__(self, scaling_config: ScalingConfig, journal: Journal, step_timeout_s: float) -> None:
        super().__init__(scaling_config)
        self._journal, self._step_timeout_s = journal, step_timeout_s
        self._watched: Watch | None = None
        self._looked_at = time.monotonic()

    def make_decision_for_non_running_worker_group(self) -> Any:
        """Start with what is there now."""
        self._watched = None
        decision = super().make_decision_for_non_running_worker_group()
        if isinstance(decision, NoopDecision):
            time.sleep(0.2)  # the controller asks again at once and would fill a core
            self._say_that_it_waits()
        return decision

    def _say_that_it_waits(self) -> None:
        now = time.monotonic()
        if now - self._looked_at > _SETTLE_S:
            self._looked_at = now
            said = self._journal.read_progress() or {"done": 0, "total": 1, "unit": "steps"}
            room = self._count_possible_workers(self._latest_reserved_resources or {})
            note = f"waits for room for {self.scaling_config.min_workers} workers, there is room for {room}"
            self._journal.progress(said["done"], said["total"], said["unit"], note)

    def make_decision_for_running_worker_group(self, worker_group_state: Any, worker_group_status: Any) -> Any:
        """Never a resize: who is to go on with another number of workers is asked to save and stop."""
        self._maybe_send_resource_request()
        if self._watched is None or self._watched.workers is not worker_group_state.workers:
            self._watched = Watch(worker_group_state.workers, self._journal, self._step_timeout_s)
        self._watched.look()
        now = time.monotonic()
        if self._watched.is_asked or now - self._looked_at < _LOOK_S:
            return NoopDecision()
        self._looked_at = now
        self._ask_to_stop(self._watched)
        return NoopDecision()

    def _ask_to_stop(self, watched: Watch) -> None:
        drained = {worker.metadata.node_id for worker in watched.workers} & _draining().keys()
        if drained:
            watched.ask_to_stop("drain", nodes=sorted(drained))
            return
        if not watched.is_settled or len(watched.workers) == self.scaling_config.max_workers:
            return
        reserved = self._get_reserved_resources() or {}
        # reservations do not know what others hold, and a group that cannot be placed would have stopped for nothing
        possible = min(self._count_possible_workers(reserved), len(watched.workers) + self._room(reserved))
        if possible > len(watched.workers):  # fewer means that a node died, and then its worker has too
            watched.ask_to_stop("grow", num_workers=possible)

    def _room(self, nodes: Iterable[str]) -> int:
        """Workers that fit on these nodes beside all that runs there."""
        needs = {name: need for name, need in self.scaling_config._resources_per_worker_not_none.items() if need}
        free = ray._private.state.available_resources_per_node()
        each = (min(free.get(node, {}).get(name, 0.0) // need for name, need in needs.items()) for node in nodes)
        return int(sum(each))

    def _get_reserved_resources(self) -> Any:
        """What is reserved for this run on nodes that are there, stay there and answer."""
        now = time.monotonic()
        if now - self._latest_reserved_resources_query_time < _LOOK_S:
            return self._latest_reserved_resources
        asked = self._autoscaling_coordinator.get_reserved_resources.remote(self._requester_id, recompute=True)
        try:
            reserved = ray.get(asked, timeout=_ANSWER_S * 30)
        except ray.exceptions.GetTimeoutError:
            reserved = None  # an overloaded machine: ask again
        else:
            usable = _answering(reserved.keys() - _draining().keys())
            reserved = {node: resources for node, resources in reserved.items() if node in usable}
        self._latest_reserved_resources_query_time, self._latest_reserved_resources = time.monotonic(), reserved
        return reserved


class Watch:
    """Reads the pulses of one group of workers and acts on them."""

    def __init__(self, workers: list[Any], journal: Journal, step_timeout_s: float) -> None:
        self.workers, self.is_asked = workers, False
        self._journal, self._step_timeout_s = journal, step_timeout_s
        self._pulses: dict[int, Pulse] = {}
        self._asked: dict[int, tuple[Any, float]] = {}
        self._began_at = self._progress_at = time.monotonic()
        self._stepped_at: float | None = None
        self._window: tuple[float, dict[int, Pulse]] | None = None
        self._slow: set[int] = set()
        journal.event("group", workers=[self._who(rank) for rank in range(len(workers))])

    @property
    def is_settled(self) -> bool:
        """Whether the group has trained long enough to be restarted for the better."""
        now = time.monotonic()
        return self._stepped_at is not None and now - self._stepped_at > max(
            _SETTLE_S, self._stepped_at - self._began_at
        )

    def look(self) -> None:
        """Collect what came, ask again, judge."""
        self._collect()
        if not any(p.is_done for p in self._pulses.values()):
            self._end_hung()
            self._name_stragglers()

    def ask_to_stop(self, reason: str, **facts: Any) -> None:
        """Have all workers save after the step they are in, and stop."""
        self.is_asked = True
        self._journal.event(reason, **facts)
        for worker in self.workers:
            worker.actor.execute.remote(pulse.ask_to_stop, reason)

    def _collect(self) -> None:
        now = time.monotonic()
        for rank, worker in enumerate(self.workers):
            reference, _ = self._asked.get(rank, (None, 0.0))
            if reference is not None:
                if not ray.wait([reference], timeout=0)[0]:
                    continue
                try:
                    found = ray.get(reference)
                except ray.exceptions.RayError:
                    continue  # the poll of the controller says so too
                if rank not in self._pulses or found.progress != self._pulses[rank].progress:
                    self._progress_at = now
                self._pulses[rank] = found
            self._asked[rank] = (worker.actor.execute.remote(pulse.read), now)
        if self._stepped_at is None and len(self._pulses) == len(self.workers):
            self._stepped_at = now if all(p.num_steps for p in self._pulses.values()) else None

    def _end_hung(self) -> None:
        now = time.monotonic()
        waited_s = now - self._progress_at
        if waited_s < (self._step_timeout_s if self._stepped_at else max(_START_LIMIT_S, self._step_timeout_s)):
            return
        silent = [rank for rank, (_, asked_at) in self._asked.items() if now - asked_at > _SILENT_S]
        for rank in pulse.hung_ranks(self._pulses, silent) if self._pulses or silent else range(len(self.workers)):
            self._note("hung", rank, waited_s=round(waited_s, 1), answers=rank not in silent)
            _end(self.workers[rank])
        self._progress_at = now

    def _name_stragglers(self) -> None:
        now = time.monotonic()
        if len(self._pulses) < len(self.workers):
            return
        if self._window is None:
            self._window = now, dict(self._pulses)
        began_at, before = self._window
        num_steps = min(p.num_steps - before[rank].num_steps for rank, p in self._pulses.items())
        if now - began_at < _WINDOW_S or num_steps < _WINDOW_STEPS:
            return
        slow = pulse.stragglers(before, self._pulses)
        for rank, ratio in slow.items():
            if rank not in self._slow:
                self._note("straggler", rank, ratio=round(ratio, 2), after_steps=self._pulses[rank].num_steps)
        self._slow, self._window = set(slow), (now, dict(self._pulses))

    def _note(self, name: str, rank: int, **facts: Any) -> None:
        self._journal.event(name, **self._who(rank), **facts)

    def _who(self, rank: int) -> dict[str, Any]:
        its = self.workers[rank].metadata
        return {"rank": rank, "pid": its.pid, "host": its.hostname, "node": its.node_ip, "node_id": its.node_id}


def _end(worker: Any) -> None:
    """SIGKILL, which a stopped process obeys too; sent on its node, since ray.kill asks the process itself."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(worker.metadata.node_id, soft=False)
    ray.remote(num_cpus=0, scheduling_strategy=there)(_kill).remote(worker.metadata.pid)
    ray.kill(worker.actor)


def _kill(pid: int) -> None:
    import os
    import signal
    from contextlib import suppress

    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _draining() -> dict[str, int]:
    """Nodes that are about to go, with their deadline (ms since 1970; 0: none)."""
    return ray._private.state.state.get_draining_nodes()


def _answering(node_ids: Iterable[str]) -> set[str]:
    """Those of the nodes that are alive in Ray's books and whose raylet takes a connection."""
    nodes = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] in set(node_ids)]
    with ThreadPoolExecutor(max(1, min(64, len(nodes)))) as threads:
        return {node["NodeID"] for node, answers in zip(nodes, threads.map(_answers, nodes), strict=True) if answers}


def _answers(node: dict[str, Any]) -> bool:
    try:
        socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), timeout=_ANSWER_S).close()
    except OSError:
        return False
    return True
