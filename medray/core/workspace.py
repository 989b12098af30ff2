"""Roots and workspaces: where stages write, resume and seal; local directories or object stores through fsspec.

A stage's directory is `<root>/<kind>/<id>/`. Without manifest.json it is unfinished and resumable; the manifest is
written last. On an object store the directory is mirrored locally, and `publish` uploads what is new.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import fsspec

from medray.core.artifact import FETCHED_LATER, MANIFEST, Artifact, Manifest, read_manifest
from medray.core.config import UserError
from medray.core.files import written_whole
from medray.core.journal import Journal, Trackers
from medray.core.lease import hold_lease

_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Root:
    """A directory of artifacts at any fsspec URL."""

    url: str

    def __post_init__(self) -> None:
        # workers run in directories of their own, where a relative root would be another one
        if self.is_local:
            object.__setattr__(self, "url", self.path)

    @property
    def _fs(self) -> Any:
        # no listings cache: another machine may have sealed, or taken a lease, a moment ago
        return fsspec.core.url_to_fs(self.url, use_listings_cache=False)[0]

    @property
    def path(self) -> str:
        """The root without its protocol."""
        return fsspec.core.url_to_fs(self.url)[1].rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether the root is a local (or mounted) directory."""
        return "file" in self._protocols

    @property
    def _protocols(self) -> tuple[str, ...]:
        protocol = self._fs.protocol
        return (protocol,) if isinstance(protocol, str) else tuple(protocol)

    def directory(self, kind: str, id: str) -> Path:
        """Local directory of a stage: the real one, or the mirror of a remote one (under $MEDRAY_CACHE)."""
        if self.is_local:
            return Path(self.path) / kind / id
        cache = Path(os.environ.get("MEDRAY_CACHE", Path.home() / ".cache" / "medray"))
        return cache / hashlib.blake2b(self.url.encode(), digest_size=8).hexdigest() / kind / id

    def remote(self, kind: str, id: str, name: str = "") -> str:
        """Path of a stage's file on the root's own file system."""
        return "/".join(part for part in (self.path, kind, id, name) if part)

    def url_of(self, kind: str, id: str, name: str) -> str:
        """Where something of a stage lies under the root itself: a local path, or a URL."""
        return f"{self.url.rstrip('/')}/{kind}/{id}/{name}"

    def remove(self, kind: str, id: str, name: str) -> None:
        """Remove a directory of a stage from the root itself."""
        path = self.remote(kind, id, name)
        if self._fs.exists(path):
            self._fs.rm(path, recursive=True)

    def prepare(self) -> None:
        """Create the root and prove that it can be written. Raises UserError where it cannot."""
        probe = f"{self.path}/.write-probe-{os.getpid()}"
        try:
            if self.is_local:  # on an object store this would create a bucket of a mistyped name
                self._fs.makedirs(self.path, exist_ok=True)
            self._fs.pipe_file(probe, b"x" * 65536)
            self._fs.rm_file(probe)
        except OSError as error:
            reason = error.strerror or str(error).splitlines()[0]
            raise UserError(
                f"--root {self.url}: cannot write ({reason}): choose a writable root with free space"
            ) from error

    def is_sealed(self, kind: str, id: str) -> bool:
        """Whether the stage's manifest exists."""
        return self._fs.exists(self.remote(kind, id, MANIFEST))

    def manifest(self, kind: str, id: str) -> Manifest:
        """The manifest of a sealed artifact."""
        path = self.remote(kind, id, MANIFEST)
        return read_manifest(self._fs.cat_file(path).decode(), path)

    def manifests(self, kind: str | None = None) -> Iterator[Manifest]:
        """Every sealed manifest (of one kind) under the root."""
        if not self._fs.exists(self.path):
            return
        for path in sorted(self._fs.glob(f"{self.path}/{kind or '*'}/*/{MANIFEST}")):
            yield read_manifest(self._fs.cat_file(path).decode(), path)

    def open(self, kind: str, id: str) -> Artifact:
        """A sealed artifact with its content at hand locally, all but what is FETCHED_LATER."""
        manifest, directory = self.manifest(kind, id), self.directory(kind, id)
        self.download(kind, id, leave=FETCHED_LATER)
        return Artifact(manifest, directory, self._url(kind, id))

    def _url(self, kind: str, id: str) -> str:
        return "" if self.is_local else f"{self.url.rstrip('/')}/{kind}/{id}"

    def download(self, kind: str, id: str, leave: str = f"{_CHECKPOINTS}/*") -> None:
        """Mirror a remote stage's files locally, but those of the pattern; files there of the same size are kept."""
        base, directory = self.remote(kind, id), self.directory(kind, id)
        if self.is_local or not self._fs.exists(base):
            return
        for path, facts in self._fs.find(base, detail=True).items():
            name = path.removeprefix(base).lstrip("/")
            target = directory / name
            if fnmatch(name, leave):
                continue
            if not target.exists() or target.stat().st_size != facts["size"]:
                target.parent.mkdir(parents=True, exist_ok=True)
                self._fs.get_file(path, str(target))

    def upload(self, kind: str, id: str) -> None:
        """Upload a stage's local files that the remote root lacks (by size; the journal always)."""
        if self.is_local:
            return
        base, directory = self.remote(kind, id), self.directory(kind, id)
        there = self._fs.find(base, detail=True) if self._fs.exists(base) else {}
        for file in sorted(p for p in directory.rglob("*") if p.is_file() and not p.name.startswith(".")):
            relative = file.relative_to(directory).as_posix()
            remote = f"{base}/{relative}"
            if relative in (MANIFEST, "lease.json"):
                continue
            if relative.startswith("journal/") or there.get(remote, {}).get("size") != file.stat().st_size:
                self._fs.put_file(str(file), remote)

    def seal(self, manifest: Manifest) -> Artifact:
        """Write a manifest, last of all: by rename locally, by one conditional PUT on an object store."""
        directory = self.directory(manifest.kind, manifest.id)
        text = manifest.model_dump_json(indent=1)
        if self.is_local:
            partial = directory / f".{MANIFEST}"
            partial.write_text(text)
            partial.rename(directory / MANIFEST)
        else:
            self.upload(manifest.kind, manifest.id)
            self._fs.pipe_file(self.remote(manifest.kind, manifest.id, MANIFEST), text.encode(), mode="create")
            (directory / MANIFEST).write_text(text)
        return Artifact(manifest, directory, self._url(manifest.kind, manifest.id))

    @contextmanager
    def lease(self, kind: str, id: str) -> Iterator[None]:
        """Hold the stage for this process. Raises UserError naming the holder when another live run has it."""
        self.directory(kind, id).mkdir(parents=True, exist_ok=True)
        with hold_lease(self._fs, self.remote(kind, id, "lease.json"), f"{kind} {id[:8]} in {self.url}"):
            yield


@dataclass(frozen=True)
class Workspace:
    """Where one stage writes. Picklable: workers on the same file system use it too."""

    root: Root
    kind: str
    id: str
    label: str
    trackers: Trackers = field(default_factory=lambda: Trackers(tensorboard=False))

    @property
    def local(self) -> Path:
        """The stage's local directory."""
        return self.root.directory(self.kind, self.id)

    @property
    def data(self) -> Path:
        """Directory of the content that will be sealed and digested."""
        return self._made("data")

    @property
    def checkpoints(self) -> str:
        """Directory or URL of training checkpoints, under the root itself; removed when the stage is sealed."""
        return self.root.url_of(self.kind, self.id, _CHECKPOINTS)

    @property
    def scratch(self) -> Path:
        """Directory for intermediate files that survive an interruption; removed when the stage is sealed."""
        return self._made("scratch")

    @property
    def journal(self) -> Journal:
        """Metrics and progress of the stage."""
        return Journal(self.local / "journal", self.label, self.trackers)

    def _made(self, name: str) -> Path:
        path = self.local / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def is_done(self, mark: str) -> bool:
        """Whether `mark_done(mark)` was called in this or an earlier attempt."""
        return (self.local / "marks" / f"{mark}.json").exists()

    def mark_done(self, mark: str, **facts: Any) -> None:
        """Record that a shard's output is whole; on a remote root the output is uploaded first."""
        self.root.upload(self.kind, self.id)
        path = self._made("marks") / f"{mark}.json"
        with written_whole(path) as partial:
            partial.write_text(json.dumps(facts))
        self.root.upload(self.kind, self.id)

    def marks(self) -> dict[str, dict[str, Any]]:
        """Facts of every finished shard by mark, in name order."""
        paths = sorted((self.local / "marks").glob("[!.]*.json"))
        return {path.stem: json.loads(path.read_text()) for path in paths}

    def quarantine(self, mark: str, rows: list[dict[str, Any]]) -> None:
        """Set aside the bad rows of one shard: dicts of where, reason, row. Called again for a shard, replaces."""
        if rows:
            path = self._made("quarantine") / f"{mark}.jsonl"
            path.write_text("".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows))

    def quarantined(self) -> list[dict[str, Any]]:
        """All rows set aside so far."""
        paths = sorted((self.local / "quarantine").glob("*.jsonl"))
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]

    def keep_quarantined(self, marks: Collection[str]) -> None:
        """Forget the bad rows of other shards: those of an attempt that shared the work out otherwise."""
        for path in (self.local / "quarantine").glob("*.jsonl"):
            if path.stem not in marks:
                path.unlink()

    def check_quarantine(self, num_rows: int, max_fraction: float) -> None:
        """Raises UserError when more than `max_fraction` of `num_rows` were set aside, with the first reason."""
        bad = self.quarantined()
        if len(bad) > max_fraction * num_rows:
            first = bad[0]
            raise UserError(
                f"{self.label}: {len(bad)} of {num_rows} rows are bad, at most {max_fraction:.2%} may be; first: "
                f"{first['where']}: {first['reason']}; all in {self.local / 'quarantine'}: mend the source or raise "
                "the fraction"
            )

    def clean(self) -> None:
        """Remove what a seal does not keep: checkpoints, scratch, temporary files of killed attempts."""
        self.root.remove(self.kind, self.id, _CHECKPOINTS)
        shutil.rmtree(self.local / "scratch", ignore_errors=True)
        for path in self.local.rglob(".*"):
            if path.is_file():
                path.unlink()

    def add_time(self, name: str, seconds: float) -> tuple[float, int]:
        """Add one attempt's seconds to the stage's account; returns total seconds and number of attempts."""
        path = self.local / "attempts.json"
        attempts = json.loads(path.read_text()) if path.exists() else []
        attempts.append({"outcome": name, "seconds": round(seconds, 3), "at": round(time.time(), 3)})
        path.write_text(json.dumps(attempts))
        self.root.upload(self.kind, self.id)
        return sum(a["seconds"] for a in attempts), len(attempts)
