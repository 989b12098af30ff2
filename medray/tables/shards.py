"""Work in shards through Ray Data, with completion marks; and single functions in a plain Ray task."""

from __future__ import annotations

import io
import logging
import pickle
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from medray.core.config import UserError
from medray.core.mirror import fetched, url_of
from medray.core.workspace import Workspace

R = TypeVar("R")

_MAX_RETRIES = 2
"""Attempts after the first one when a worker dies (Ray Data's own default is to retry for ever)."""


@dataclass(frozen=True)
class Shard:
    """One resumable piece of a stage's work: a unique key (its mark) and whatever the function needs to know."""

    key: str
    payload: dict[str, Any] = field(default_factory=dict)


class Step(NamedTuple):
    """What is done with a shard that has been through the steps before: `fn`, `concurrency` of them at a time."""

    fn: Callable[[Shard], dict[str, Any]]
    num_cpus: float = 1
    concurrency: int = 2
    prefix: str = ""
    """Of this step's marks, before the shard's key."""


def run_shards(
    workspace: Workspace,
    shards: Sequence[Shard],
    fn: Callable[[Shard], dict[str, Any]],
    *,
    num_cpus: float = 1,
    concurrency: int = 2,
    unit: str = "shards",
) -> dict[str, dict[str, Any]]:
    """Facts of every shard by key, after `fn(shard)` ran on each unfinished one in Ray Data's workers."""
    return run_steps(workspace, shards, [Step(fn, num_cpus, concurrency)], unit)[0]


def run_steps(
    workspace: Workspace, shards: Sequence[Shard], steps: Sequence[Step], unit: str = "shards"
) -> list[dict[str, dict[str, Any]]]:
    """Facts of every shard by key, for each of the steps: a shard is in one step while others are in another.

    A step's `fn` runs at least once per shard, on any machine: it must write its output whole or not at all, into its
    workspace, and depend on nothing but the shard; what other shards and steps have written it fetches
    (`workspace.fetch`), and paths into the mirror of a remote root are given to it as those of its own machine. Its
    facts (JSON-ready) are kept in the mark, one per step and shard: what is marked is not done again. The first failing
    shard ends the pipeline with its own exception; one whose worker dies is tried three times.
    """
    keys = [shard.key for shard in shards]
    marks = [[f"{step.prefix}{key}" for key in keys] for step in steps]
    assert len({mark for each in marks for mark in each}) == len(keys) * len(steps), f"{workspace.label}: equal marks"
    pending = [shard for shard in shards if not all(workspace.is_done(f"{s.prefix}{shard.key}") for s in steps)]
    done = len(shards) - len(pending)
    workspace.journal.progress(done, len(shards), unit)
    if pending:
        workspace.publish()
        for _ in _results(workspace, pending, steps):
            done += 1
            workspace.journal.progress(done, len(shards), unit)
        workspace.fetch("marks/*", "quarantine/*")
    facts = workspace.marks()
    return [{key: facts[mark] for key, mark in zip(keys, each, strict=True)} for each in marks]


def _results(workspace: Workspace, pending: list[Shard], steps: Sequence[Step]) -> Any:
    import ray
    from ray.exceptions import RayError

    # what fails is raised and progress is in the journal; Ray Data configures "ray.data" itself, not its children
    for name in ("ray.data._internal", "ray.data.exceptions"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True
    items = []
    for shard in pending:
        open_ = [None if workspace.is_done(f"{step.prefix}{shard.key}") else step.fn for step in steps]
        items.append({"shard": packed((open_, shard))})
    pipeline = ray.data.from_items(items, override_num_blocks=len(items))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the only way to bound retries in Ray 2.60 is deprecated for 2.64
        for number, step in enumerate(steps):
            pipeline = pipeline.map_batches(
                _work(workspace, number, step.prefix),
                batch_size=1,
                compute=ray.data.TaskPoolStrategy(size=min(step.concurrency, len(items))),
                num_cpus=step.num_cpus,
                # Ray fuses no steps that have this: each keeps a pool of its own
                ray_remote_args_fn=lambda: {"max_retries": _MAX_RETRIES},
            )
    try:
        yield from pipeline.iter_rows()
    except RayError as error:
        raise own_error(error, workspace.label) from None


def _work(workspace: Workspace, number: int, prefix: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def work(batch: dict[str, Any]) -> dict[str, Any]:
        for item in batch["shard"]:
            functions, shard = pickle.loads(item)
            if functions[number]:
                workspace.mark_done(f"{prefix}{shard.key}", **functions[number](shard))
        return batch

    return work


def packed(value: Any) -> bytes:
    """A value pickled; a path into the mirror of a remote root is a copy of its own wherever it is unpickled."""
    from ray import cloudpickle

    class Pickler(cloudpickle.CloudPickler):
        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, Path) and (url := url_of(value)):
                return fetched, (url,)
            return super().reducer_override(value)

    with io.BytesIO() as stream:
        Pickler(stream).dump(value)
        return stream.getvalue()


def run_remote(fn: Callable[..., R], *args: Any, num_cpus: float = 1, num_gpus: float = 0, **kwargs: Any) -> R:
    """The result of `fn(*args, **kwargs)`, run in a Ray task of its own process, without a GPU on this machine.

    What `fn` raises is raised here as itself. A function whose worker dies is tried three times: it must be safe to
    run again.
    """
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    name = getattr(fn, "__name__", "function")
    # what it reads and writes lies here; a head that offers no CPU to others runs it too
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    where = {"num_cpus": num_cpus, "num_gpus": num_gpus} if num_gpus else {"num_cpus": 0, "scheduling_strategy": here}
    task = ray.remote(max_retries=_MAX_RETRIES, **where)(_call).options(name=name)
    try:
        return ray.get(task.remote(fn, args, kwargs))
    except RayError as error:
        raise own_error(error, name) from None


def _call(fn: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
    return fn(*args, **kwargs)


def own_error(error: BaseException, where: str) -> BaseException:
    """The exception that a worker raised, out of Ray's wrappings; a one-line UserError when the worker itself died.

    The worker's traceback stays on the exception as a note, except on a UserError, which is one line by law.
    """
    from ray.exceptions import NodeDiedError, OutOfMemoryError, RayTaskError, UserCodeException, WorkerCrashedError

    trace, found = "", error
    while True:
        inner = found.cause if isinstance(found, RayTaskError) else found.__cause__
        if not isinstance(found, (RayTaskError, UserCodeException)) or inner is None:
            break
        trace, found = trace or str(found), inner
    if isinstance(found, (WorkerCrashedError, OutOfMemoryError, NodeDiedError)):
        return UserError(
            f"{where}: a worker died {_MAX_RETRIES + 1} times ({type(found).__name__}), expected it to live: "
            "give it more memory, or run fewer at a time"
        )
    if isinstance(found, UserError):
        return UserError(str(found).splitlines()[0])  # Ray Data adds lines of its own
    if trace:
        found.add_note(trace)
    return found
