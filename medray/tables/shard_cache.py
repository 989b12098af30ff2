"""Shards of a token store on an object store, in a local directory of bounded size, for any number of processes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec

from medray.core.config import UserError
from medray.core.identity import digest_file


class ShardCache:
    """What lies at `url`, file by file when it is needed. At most max_bytes of shards stay, the last used ones.

    One lock per directory: of several processes that want a shard one fetches it, and none is removed while another
    process opens it. A shard that is removed while it is mapped stays readable.
    """

    def __init__(self, url: str, directory: Path, max_bytes: int) -> None:
        self.url, self.directory, self.max_bytes = url.rstrip("/"), Path(directory), max_bytes
        self.directory.mkdir(parents=True, exist_ok=True)

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
        with open(self.directory / ".lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.is_file() or path.stat().st_size != facts["num_bytes"]:
                self._fetch(facts["name"], facts["sha256"])
            os.utime(path)
            self._make_room(path)
            yield path

    def _fetch(self, name: str, sha256: str = "") -> None:
        source, partial = f"{self.url}/{name}", self.directory / f".{name}.{os.getpid()}"
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
                too_much -= stat.st_size
