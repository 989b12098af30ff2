"""Which checkpoints a run has: its state at each, its recipe, and which are kept. Below a directory or fsspec URL.

A checkpoint is a directory `step-*` of rank files; its marker `complete.json` is written last, so a directory without
one does not count. Nothing here needs torch: the driver looks before there are workers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import fsspec

from medray.core.config import UserError, differences, identity_of
from medray.core.files import written_whole
from medray.core.identity import content_id
from medray.tables.blocks import BlockStore
from medray.train.config import Optimization
from medray.train.objective import Objective

MARKER = "complete.json"


@dataclass(frozen=True)
class TrainState:
    """All that a run is besides tensors. `position` counts rows consumed since the start, over all epochs."""

    optimizer_step: int = 0
    position: int = 0
    is_finished: bool = False
    mean_loss: float | None = None
    """over the steps since the checkpoint before this one"""
    metrics: dict[str, float] = field(default_factory=dict)
    skipped: list[tuple[int, int]] = field(default_factory=list)
    """(optimizer step, rows left out after it); `position` counts them too"""
    recent_losses: list[float] = field(default_factory=list)
    """of the steps before, where loss spikes are watched for"""


@dataclass(frozen=True)
class Marker:
    """What makes a directory a checkpoint."""

    state: TrainState
    recipe: dict[str, Any]
    attempt: str
    """of the worker group that wrote it; files of another attempt are not part of it"""
    world_size: int
    scalars: dict[str, float]
    """of the optimizer, such as Adam's step"""


def file_system(url: str | Path) -> tuple[Any, str]:
    """The fsspec file system of a directory or URL, and the path on it. Listings are never cached: others write too."""
    return fsspec.core.url_to_fs(str(url), use_listings_cache=False)


@contextmanager
def whole_file(fs: Any, path: str) -> Iterator[Any]:
    """A stream into a file that appears at the end of the block: by rename locally, by the last part elsewhere."""
    if "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with written_whole(Path(path)) as partial, open(partial, "wb") as stream:
            yield stream
    else:
        with fs.open(path, "wb") as stream:
            yield stream


def write_json(fs: Any, path: str, value: Any) -> None:
    """A small JSON file, whole or not there."""
    with whole_file(fs, path) as stream:
        stream.write(json.dumps(value).encode())


def read_json(fs: Any, path: str) -> Any:
    """A JSON file's value; None where there is none, or it is torn."""
    try:
        return json.loads(fs.cat_file(path))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def step_directory(root: str | Path, optimizer_step: int) -> str:
    """Where the checkpoint after `optimizer_step` steps lies."""
    return f"{str(root).rstrip('/')}/step-{optimizer_step:08d}"


def read_marker(directory: str) -> Marker | None:
    """The marker of a checkpoint; None where it is not complete."""
    fs, path = file_system(directory)
    found = read_json(fs, f"{path}/{MARKER}")
    return Marker(**{**found, "state": TrainState(**found["state"])}) if found else None


def write_marker(directory: str, marker: Marker) -> None:
    """Declare a checkpoint complete; every rank must have written before."""
    fs, path = file_system(directory)
    write_json(fs, f"{path}/{MARKER}", asdict(marker))


def directories(root: str | Path) -> list[str]:
    """Every checkpoint's directory, complete or not, oldest first."""
    fs, path = file_system(root)
    names = [found.rstrip("/").rsplit("/", 1)[1] for found in fs.ls(path, detail=False)] if fs.exists(path) else []
    return [f"{str(root).rstrip('/')}/{name}" for name in sorted(names) if name.startswith("step-")]


def discard(directory: str) -> None:
    """Remove a checkpoint; its marker first, so that it is never a part of one that counts."""
    fs, path = file_system(directory)
    if fs.exists(f"{path}/{MARKER}"):
        fs.rm_file(f"{path}/{MARKER}")
    fs.rm(path, recursive=True)


def discard_after(root: str | Path, optimizer_step: int) -> None:
    """Remove every checkpoint after a step: damaged or partial ones, which the run will write again."""
    for directory in directories(root):
        if directory > step_directory(root, optimizer_step):
            discard(directory)


def prune(root: str | Path, num_kept: int, *, keep_best: bool, rewind_steps: int = 0) -> None:
    """Remove all but the newest complete checkpoints, the best one and those that a loss spike may go back to, and
    incomplete ones older than those."""
    every = directories(root)
    losses = {path: marker.state.mean_loss for path in every if (marker := read_marker(path))}
    newest = sorted(losses)[-num_kept:]
    measured = [path for path in losses if losses[path] is not None]
    best = min(measured, key=lambda path: losses[path]) if keep_best and measured else None
    for path in every:
        if newest and path < newest[0] and path != best and not _may_be_rewound_to(path, newest[-1], rewind_steps):
            discard(path)


def _may_be_rewound_to(path: str, newest: str, rewind_steps: int) -> bool:
    step, last = (int(name.rsplit("-", 1)[1]) for name in (path, newest))
    return rewind_steps > 0 and step % rewind_steps == 0 and step > last - 2 * rewind_steps


def recipe_of(objective: Objective, optimization: Optimization, store: BlockStore) -> dict[str, Any]:
    """What decides a run's trajectory, JSON-ready: a checkpoint is of use to no other."""
    return {
        "objective": {"name": type(objective).__name__, **identity_of(objective)},
        "optimization": json.loads(json.dumps(identity_of(optimization))),
        "store": content_id(store.facts),
    }


def check_recipe(root: str | Path, recipe: dict[str, Any]) -> None:
    """Raise UserError when the newest complete checkpoint is of another recipe."""
    for directory in reversed(directories(root)):
        if marker := read_marker(directory):
            found = differences(marker.recipe, recipe)
            if found:
                name, theirs, ours = found[0]
                more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
                raise UserError(
                    f"{directory}: a checkpoint of another recipe: {name} is {theirs} there, {ours} here{more}: "
                    "set it back, or remove the directory, or train elsewhere"
                )
            return
