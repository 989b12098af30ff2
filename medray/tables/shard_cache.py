"""Shards of a token store on an object store, in a local directory of bounded size, for any number of processes."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec

from medray.core.config import UserError
from medray.core.identity import digest_file

_MAX_COMING = 4
"""Shards that are asked for ahead, at most."""


class ShardCache:
    """What lies at `url`, file by file when it is needed. At most max_bytes of shards stay, the last used ones.

    A lock per shard: of several processes that want it one fetches it, and nobody else waits. A lock per directory:
    none is removed while another process opens it. A shard that is removed while it is mapped stays readable.
    """

    def __init__(self, url: str, directory: Path, max_bytes: int) -> None:
        self.url, self.directory, self.max_bytes = url.rstrip("/"), Path(directory), max_bytes
        self.directory.mkdir(parents=True, exist_ok=True)
        self._fetcher: ThreadPoolExecutor | None = None
        self._coming: dict[str, Future] = {}

    def fetch_facts(self) -> None:
        """Have store.json here. It is replaced whole: several processes may do so at once."""
        if not (self.directory / "store.json").exists():
            self._fetch("store.json")

    @contextmanager
    def shard(self, facts: dict[str, Any]) -> Iterator[Path]:
        """A shard's file, which is there for as long as the block lasts.

        Raises UserError when it is not at the url, or its content is not that of store.json.
        """
        path = self.directory / facts["name"]
        while True:
            with self._locked(f".lock.{path.name}"):
                if not self._is_here(facts):
                    self._fetch(facts["name"], facts["sha256"])
            with self._locked(".lock"):
                if not path.is_file():  # another process made room meanwhile
                    continue
                os.utime(path)
                self._make_room(path)
                yield path
                return

    def prefetch(self, facts: dict[str, Any]) -> None:
        """Begin to fetch a shard, in a thread, if there is room for it beside what is in use; returns at once.

        What fails fails again, and is told, when the shard is needed.
        """
        self._coming = {name: future for name, future in self._coming.items() if not future.done()}
        no_room = (len(self._coming) + 2) * facts["num_bytes"] > self.max_bytes or len(self._coming) >= _MAX_COMING
        if no_room or facts["name"] in self._coming or self._is_here(facts):
            return
        self._fetcher = self._fetcher or ThreadPoolExecutor(1, "prefetch")
        self._coming[facts["name"]] = self._fetcher.submit(self._have, facts)

    def _have(self, facts: dict[str, Any]) -> None:
        with self.shard(facts):
            pass

    def _is_here(self, facts: dict[str, Any]) -> bool:
        path = self.directory / facts["name"]
        return path.is_file() and path.stat().st_size == facts["num_bytes"]

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with open(self.directory / name, "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _fetch(self, name: str, sha256: str = "") -> None:
        source, partial = f"{self.url}/{name}", self.directory / f".{name}.{os.getpid()}.{threading.get_ident()}"
        fs, path = fsspec.core.url_to_fs(source, use_listings_cache=False)
        try:
            fs.get_file(path, str(partial))
            if sha256 and (found := digest_file(partial)) != sha256:
                raise UserError(
                    f"{source}: its content has sha256 {found[:16]}, expected {sha256[:16]} by store.json: the shard "
                    "is damaged or was replaced, write the store again"
                )
            partial.rename(self.directory / name)
        except FileNotFoundError as error:
            raise UserError(f"{source}: not there, expected a file of a token store: write the store again") from error
        finally:
            partial.unlink(missing_ok=True)

    def _make_room(self, keep: Path) -> None:
        found = [(path.stat(), path) for path in self.directory.glob("part-*.arrow")]
        too_much = sum(stat.st_size for stat, _ in found) - self.max_bytes
        for stat, path in sorted(found, key=lambda item: (item[0].st_mtime_ns, item[1].name)):
            if too_much <= 0:
                break
            if path != keep:
                path.unlink()
                path.with_name(f".lock.{path.name}").unlink(missing_ok=True)
                too_much -= stat.st_size
