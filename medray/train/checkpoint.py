"""Checkpoints that restore at any world size and zero_stage.

Every rank writes the slices of its own partition (safetensors, keyed `name|start|key`) and an index of them; the marker
`complete.json` is written last, by rank 0. A directory without it, or whose files do not match it, does not count.
A snapshot goes to host memory first and is written after, so that writing can move to the background.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from medray.core.files import written_whole
from medray.train.zero import PARAMETER, Slice

_MARKER = "complete.json"


@dataclass(frozen=True)
class TrainState:
    """All that a run is besides tensors. `position` counts rows consumed since the start, over all epochs."""

    optimizer_step: int = 0
    position: int = 0
    is_finished: bool = False
    state_keys: list[str] = field(default_factory=list)
    scalars: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """A rank's slices, copied to host memory."""

    tensors: dict[str, Tensor]
    index: list[tuple[str, int, int]]


def snapshot(slices: Iterable[Slice], keys: Iterable[str] | None = None) -> Snapshot:
    """Copies of slices on the host; only the given keys, or all."""
    tensors, index = {}, []
    for part in slices:
        index.append((part.name, part.start, part.length))
        for key, value in part.values.items():
            if keys is None or key in keys:
                tensors[f"{part.name}|{part.start}|{key}"] = value.detach().to("cpu", copy=True)
    return Snapshot(tensors, index)


def write_rank(directory: Path, part: Snapshot, rank: int, world_size: int) -> None:
    """Write one rank's file of a checkpoint and the facts that prove it whole (by rename)."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"rank-{rank:05d}-of-{world_size:05d}.safetensors"
    partial = path.with_suffix(".partial")
    save_file(part.tensors, partial)
    facts = {"num_bytes": partial.stat().st_size, "crc32": _crc32(partial), "index": part.index}
    with open(partial, "rb") as stream:
        os.fsync(stream.fileno())
    partial.rename(path)
    _write_json(path.with_suffix(".json"), facts)


def write_marker(directory: Path, state: TrainState, world_size: int) -> None:
    """Declare a checkpoint complete; every rank must have written before."""
    _write_json(directory / _MARKER, {"world_size": world_size, "state": asdict(state)})


def discard(directory: Path) -> None:
    """Make a checkpoint not count any more, before its files are written anew."""
    (directory / _MARKER).unlink(missing_ok=True)


def step_directory(root: Path, optimizer_step: int) -> Path:
    """Where the checkpoint after `optimizer_step` steps lies."""
    return root / f"step-{optimizer_step:08d}"


def keep_newest(root: Path, num_kept: int) -> None:
    """Remove all but the newest complete checkpoints, and incomplete ones older than those."""
    directories = sorted(root.glob("step-*"))
    complete = [path for path in directories if (path / _MARKER).exists()]
    for path in directories:
        if complete[-num_kept:] and path < complete[-num_kept:][0]:
            discard(path)
            shutil.rmtree(path)


def newest_whole(root: Path) -> Path | None:
    """The newest checkpoint whose marker and files are all there and unchanged; None if there is none.

    Reads every byte once (CRC-32, above 1 GB/s), so call it on one rank.
    """
    for path in sorted(root.glob("step-*"), reverse=True):
        if (path / _MARKER).exists() and _is_whole(path):
            return path
    return None


def _is_whole(directory: Path) -> bool:
    try:
        world_size = json.loads((directory / _MARKER).read_text())["world_size"]
        for rank in range(world_size):
            path = directory / f"rank-{rank:05d}-of-{world_size:05d}.safetensors"
            facts = json.loads(path.with_suffix(".json").read_text())
            if path.stat().st_size != facts["num_bytes"] or _crc32(path) != facts["crc32"]:
                return False
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return False
    return True


class CheckpointReader:
    """Reads any run of elements of any tensor of a complete checkpoint, whatever ranks wrote it."""

    def __init__(self, directory: Path):
        marker = json.loads((directory / _MARKER).read_text())
        self.state = TrainState(**marker["state"])
        world_size = marker["world_size"]
        paths = [directory / f"rank-{rank:05d}-of-{world_size:05d}.safetensors" for rank in range(world_size)]
        self._files = [safe_open(path, "pt") for path in paths]
        self._where: dict[str, list[tuple[int, int, int]]] = {}
        for file, path in enumerate(paths):
            for name, start, length in json.loads(path.with_suffix(".json").read_text())["index"]:
                self._where.setdefault(name, []).append((start, length, file))

    def read(self, name: str, start: int, length: int, key: str) -> Tensor:
        """Elements start to start + length of a flattened tensor, fp32. Raises KeyError for what is not there."""
        result, found = torch.empty(length), 0
        for part_start, part_length, file in self._where[name]:
            low, high = max(start, part_start), min(start + length, part_start + part_length)
            if low < high:
                part = self._files[file].get_slice(f"{name}|{part_start}|{key}")
                result[low - start : high - start] = part[low - part_start : high - part_start]
                found += high - low
        if found != length:
            raise KeyError(f"{name}[{start}:{start + length}]: only {found} elements of {key} in the checkpoint")
        return result

    def load_model(self, model: nn.Module) -> None:
        """Copy every trained parameter into a whole model, rounded to the model's dtype."""
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in self._where:
                    parameter.copy_(self.read(name, 0, parameter.numel(), PARAMETER).view(parameter.shape))


def _write_json(path: Path, value: dict[str, Any]) -> None:
    with written_whole(path) as partial:
        partial.write_text(json.dumps(value))


def _crc32(path: Path) -> int:
    crc = 0
    with open(path, "rb") as stream:
        while chunk := stream.read(1 << 22):
            crc = zlib.crc32(chunk, crc)
    return crc
