"""Mirrors: what lies on an object store, and its copy on the disk of each machine that works on it.

`s3://bucket/runs/x` has its copy at `$MEDRAY_CACHE/mirror/s3/bucket/runs/x`: every machine tells one from the other,
and no path of one machine is used on another. A ledger beside the files says which of them are the same on both sides,
so that only what is new is sent.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import fsspec

from medray.core.files import written_whole

LEDGER = ".mirror.json"
_LOCK = ".mirror.lock"

_Ledger = dict[str, list[int]]


def cache() -> Path:
    """Where this machine keeps what can be had again: $MEDRAY_CACHE."""
    return Path(os.environ.get("MEDRAY_CACHE", Path.home() / ".cache" / "medray")).absolute()


def _mirror() -> Path:
    return cache() / "mirror"


def mirrored(url: str) -> Path:
    """Where this machine keeps its copy of what lies at a URL."""
    protocol, _, path = url.partition("://")
    return _mirror() / protocol / path.strip("/")


def url_of(path: str | Path) -> str:
    """The URL of what a path holds a copy of; "" outside the mirror."""
    if not Path(path).is_relative_to(_mirror()):
        return ""
    protocol, *rest = Path(path).relative_to(_mirror()).parts
    return f"{protocol}://{'/'.join(rest)}"


def there(path: str | Path) -> str:
    """What another machine is told of a path: the URL of what it holds a copy of, else the path (a shared disk's)."""
    return url_of(path) or str(path)


def here(place: str) -> Path:
    """This machine's path of what `there` has said: its own copy, made if it is not here yet."""
    return fetched(place) if "://" in place else Path(place)


def fetched(url: str) -> Path:
    """This machine's copy of a file or a directory, made if it is not here yet."""
    target = mirrored(url)
    if not target.is_file():
        fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
        if fs.isfile(path):
            with _locked(target.parent):
                if not target.is_file():
                    _get(fs, path, target)
        elif fs.isdir(path):
            Mirror(fs, path, target).pull()
        else:  # it is to be written
            target.parent.mkdir(parents=True, exist_ok=True)
    return target


def remove(path: Path) -> None:
    """Remove a file here, and what it is a copy of."""
    path.unlink(missing_ok=True)
    if url := url_of(path):
        fs, there = fsspec.core.url_to_fs(url, use_listings_cache=False)
        if fs.exists(there):
            fs.rm_file(there)


class Mirror:
    """A directory of an object store and its copy here, for any number of processes on any number of machines.

    A lock per directory and machine: of several processes that want a file one fetches or sends it.
    """

    def __init__(self, fs: Any, base: str, directory: Path) -> None:
        self._fs, self._base, self._directory = fs, base, directory

    def pull(self, only: Sequence[str] = ("*",), leave: str = "", keep_changes: bool = False) -> None:
        """Fetch what is not here, or of another size, by patterns of names.

        keep_changes: what this machine has written since it was sent or fetched last stays.
        """
        with self._ledger() as same:
            for name, size in self._there().items():
                target = self._directory / name
                if fnmatch(name, leave) or not any(fnmatch(name, pattern) for pattern in only):
                    continue
                found = _stamp(target)
                if keep_changes and found and found != same.get(name):
                    continue
                if not found or found[0] != size:
                    _get(self._fs, f"{self._base}/{name}", target)
                same[name] = _stamp(target)

    def push(self, only: Sequence[str] = ("*",), leave: Sequence[str] = ()) -> None:
        """Send every file that is new or has changed here, by patterns of names; hidden ones and `leave` stay."""
        with self._ledger() as same:
            for file in sorted(self._directory.rglob("*")):
                name = file.relative_to(self._directory).as_posix()
                if file.name.startswith(".") or name in leave or not any(fnmatch(name, wanted) for wanted in only):
                    continue
                if (stamp := _stamp(file)) and same.get(name) != stamp:
                    self._fs.put_file(str(file), f"{self._base}/{name}")
                    same[name] = stamp

    def drop(self, folder: str) -> None:
        """Remove a folder there."""
        with suppress(FileNotFoundError):
            self._fs.rm(f"{self._base}/{folder}", recursive=True)

    def _there(self) -> dict[str, int]:
        try:
            found = self._fs.find(self._base, detail=True)
        except FileNotFoundError:
            found = {}
        return {path.removeprefix(self._base).lstrip("/"): facts["size"] for path, facts in sorted(found.items())}

    @contextmanager
    def _ledger(self) -> Iterator[_Ledger]:
        """Size and time of change of each file that is the same on both sides, to be changed in the block."""
        path = self._directory / LEDGER
        with _locked(self._directory):
            same = json.loads(path.read_text()) if path.exists() else {}
            before = dict(same)
            try:
                yield same
            finally:
                if same != before:
                    with written_whole(path) as partial:
                        partial.write_text(json.dumps(same))


def _stamp(file: Path) -> list[int]:
    """Size and time of change; [] for no file."""
    try:
        found = file.stat()
    except FileNotFoundError:  # another process may remove what it no longer needs
        return []
    return [found.st_size, found.st_mtime_ns] if file.is_file() else []


def _get(fs: Any, source: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(target) as partial:
        fs.get_file(source, str(partial))


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / _LOCK, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
