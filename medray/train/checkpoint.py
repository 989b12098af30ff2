"""Checkpoints that restore at any world size and zero_stage.

Every rank writes the slices of its own partition, keyed `name|start|key`, as one safetensors file, streamed to its
place with a checksum, and beside it the facts that prove it whole. Readers take the ranges that they need.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from medray.train.marker import (
    directories,
    discard_after,
    file_system,
    read_json,
    read_marker,
    whole_file,
    write_json,
)  # fmt: skip
from medray.train.ranks import Ranks
from medray.train.zero import PARAMETER, Slice

_DTYPES = {"F32": torch.float32, "F64": torch.float64, "BF16": torch.bfloat16, "F16": torch.float16, "I64": torch.int64}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_CHUNK_BYTES = 1 << 22


def snapshot(
    slices: Iterable[Slice], buffers: dict[str, Tensor], *, keys: frozenset[str] | None = None
) -> dict[str, Tensor]:
    """Copies of slices in host memory, by `name|start|key`; only the given keys, or all.

    `buffers` is where the copies of the last snapshot lie; they are written over, since fresh memory costs as much time
    as the copy. On a GPU they are pinned.
    """
    taken = {}
    for part in slices:
        for key, value in part.values.items():
            if keys is None or key in keys:
                name = f"{part.name}|{part.start}|{key}"
                if name not in buffers or buffers[name].shape != value.shape:
                    buffers[name] = torch.empty(value.shape, dtype=value.dtype, pin_memory=value.is_cuda)
                taken[name] = buffers[name].copy_(value.detach(), non_blocking=True)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return taken


def rank_file(directory: str, rank: int, world_size: int) -> str:
    """The tensors of one rank; its facts are beside it, with ".json" added."""
    return f"{directory}/rank-{rank:05d}-of-{world_size:05d}.safetensors"


def write_rank(path: str, tensors: dict[str, Tensor], **facts: Any) -> None:
    """Write one rank's file of a checkpoint and then its facts, both whole or not there."""
    fs, local = file_system(path)
    header, offset = {}, 0
    for name, value in tensors.items():
        end = offset + value.numel() * value.element_size()
        header[name] = {"dtype": _NAMES[value.dtype], "shape": list(value.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pieces = [struct.pack("<Q", len(text)) + text]
    pieces += [value.view(-1).view(torch.uint8).numpy().data for value in tensors.values() if value.numel()]
    crc = num_bytes = 0
    with whole_file(fs, local) as stream:
        for piece in pieces:
            for start in range(0, len(piece), _CHUNK_BYTES):
                chunk = piece[start : start + _CHUNK_BYTES]
                crc, num_bytes = zlib.crc32(chunk, crc), num_bytes + len(chunk)
                stream.write(chunk)
    write_json(fs, f"{local}.json", {"num_bytes": num_bytes, "crc32": crc, **facts})


def written_facts(directory: str, rank: int, world_size: int, attempt: str) -> dict[str, Any] | None:
    """The facts of a rank's file, once this attempt has written it."""
    fs, path = file_system(f"{rank_file(directory, rank, world_size)}.json")
    facts = read_json(fs, path)
    return facts if facts and facts["attempt"] == attempt else None


def newest_whole(root: str, ranks: Ranks | None = None) -> str | None:
    """The newest checkpoint whose marker and files are all there and unchanged; None if there is none.

    Reads every byte once (CRC-32, above 1 GB/s); with `ranks` all of them call it and share the files out.
    """
    ranks = ranks or Ranks()
    for directory in ranks.agreed(list(reversed(directories(root))) if ranks.rank == 0 else None):
        if all(ranks.gathered(_is_whole(directory, ranks))):
            return directory
    return None


def resume(root: str, ranks: Ranks) -> CheckpointReader | None:
    """A reader of the newest whole checkpoint; what lies after it is removed, before any rank writes there."""
    found = newest_whole(root, ranks)
    reader = CheckpointReader(found) if found else None
    if ranks.rank == 0:
        discard_after(root, reader.state.optimizer_step if reader else -1)
    ranks.gathered(None)
    return reader


def _is_whole(directory: str, ranks: Ranks) -> bool:
    """Whether this rank's share of the files is as its facts say."""
    marker = read_marker(directory)
    if marker is None:
        return False
    for rank in range(ranks.rank, marker.world_size, ranks.world_size):
        facts = written_facts(directory, rank, marker.world_size, marker.attempt)
        fs, path = file_system(rank_file(directory, rank, marker.world_size))
        if facts is None or not fs.exists(path) or fs.size(path) != facts["num_bytes"]:
            return False
        crc = 0
        with fs.open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                crc = zlib.crc32(chunk, crc)
        if crc != facts["crc32"]:
            return False
    return True


class CheckpointReader:
    """Reads any run of elements of any tensor of a complete checkpoint, whatever ranks wrote it."""

    def __init__(self, directory: str):
        marker = read_marker(directory)
        assert marker is not None, f"{directory}: not a complete checkpoint"
        self.state, self.scalars, self.recipe = marker.state, marker.scalars, marker.recipe
        self._parts: dict[tuple[str, str], list[tuple[int, int, str, int, torch.dtype]]] = {}
        for rank in range(marker.world_size):
            self._fs, path = file_system(rank_file(directory, rank, marker.world_size))
            header_bytes = struct.unpack("<Q", self._fs.cat_file(path, start=0, end=8))[0]
            header = json.loads(self._fs.cat_file(path, start=8, end=8 + header_bytes))
            for full_name, entry in header.items():
                name, start, key = full_name.rsplit("|", 2)
                dtype, (begin, end) = _DTYPES[entry["dtype"]], entry["data_offsets"]
                part = (int(start), (end - begin) // dtype.itemsize, path, 8 + header_bytes + begin, dtype)
                self._parts.setdefault((name, key), []).append(part)

    @property
    def sizes(self) -> dict[str, int]:
        """Number of elements of each parameter."""
        whole = {name: parts for (name, key), parts in self._parts.items() if key == PARAMETER}
        return {name: sum(part[1] for part in parts) for name, parts in whole.items()}

    @property
    def state_keys(self) -> list[str]:
        """What the optimizer keeps for each parameter."""
        return sorted({key for _, key in self._parts} - {PARAMETER})

    def read(self, name: str, start: int, length: int, key: str) -> Tensor:
        """Elements start to start + length of a flattened tensor, fp32. Raises KeyError for what is not there."""
        result, found = torch.empty(length), 0
        for part_start, part_length, path, offset, dtype in self._parts.get((name, key), ()):
            low, high = max(start, part_start), min(start + length, part_start + part_length)
            if low < high:
                begin = offset + (low - part_start) * dtype.itemsize
                data = self._fs.cat_file(path, start=begin, end=begin + (high - low) * dtype.itemsize)
                result[low - start : high - start] = torch.frombuffer(bytearray(data), dtype=dtype)
                found += high - low
        if found != length:
            raise KeyError(f"{name}[{start}:{start + length}]: only {found} elements of {key} in the checkpoint")
        return result

    def load_model(self, model: nn.Module) -> None:
        """Copy every trained parameter into a whole model, rounded to the model's dtype."""
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if (name, PARAMETER) in self._parts:
                    parameter.copy_(self.read(name, 0, parameter.numel(), PARAMETER).view(parameter.shape))
