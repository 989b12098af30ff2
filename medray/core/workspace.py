"""Roots and workspaces: where stages write, resume and seal; local directories or object stores through fsspec.

A stage's directory is `<root>/<kind>/<id>/`. Without manifest.json it is unfinished and resumable; the manifest is
written last. Of a directory on an object store every machine has a mirror: finished shards are sent, and a shard
fetches what others have written (`medray/core/mirror.py`).
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec

from medray.core.artifact import FETCHED_LATER, MANIFEST, Artifact, Manifest, read_manifest
from medray.core.config import UserError
from medray.core.files import written_whole
from medray.core.journal import Journal, Trackers
from medray.core.lease import hold_lease
from medray.core.mirror import LEDGER, Mirror, mirrored, remove

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
        return mirrored(self.url) / kind / id

    def remote(self, kind: str, id: str, name: str = "") -> str:
        """Path of a stage's file on the root's own file system."""
        return "/".join(part for part in (self.path, kind, id, name) if part)

    def url_of(self, kind: str, id: str, name: str) -> str:
        """Where something of a stage lies under the root itself: a local path, or a URL."""
        return f"{self.url.rstrip('/')}/{kind}/{id}/{name}"

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
        if not self.is_local:
            self.mirror(kind, id).pull(leave=leave)

    def upload(self, kind: str, id: str, only: Sequence[str] = ("*",)) -> None:
        """Send a stage's local files that are new or have changed to the remote root, by patterns of names."""
        if not self.is_local:
            self.mirror(kind, id).push(only, leave=(MANIFEST, "lease.json"))

    def mirror(self, kind: str, id: str) -> Mirror:
        """A remote stage's directory and its local copy."""
        return Mirror(self._fs, self.remote(kind, id), self.directory(kind, id))

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
    """Where one stage writes. Picklable: workers on any machine use it, what they read of it they `fetch`."""

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

    def fetch(self, *names: str) -> None:
        """Have here what other machines have written of a remote stage, by patterns of names; own changes stay."""
        if not self.root.is_local:
            self.root.mirror(self.kind, self.id).pull(names, keep_changes=True)

    def publish(self, *names: str) -> None:
        """Have the other machines see what was written here, all of it or by patterns of names."""
        self.root.upload(self.kind, self.id, names or ("*",))

    def is_done(self, mark: str) -> bool:
        """Whether `mark_done(mark)` was called in this or an earlier attempt."""
        return (self.local / "marks" / f"{mark}.json").exists()

    def mark_done(self, mark: str, **facts: Any) -> None:
        """Record that a shard's output is whole; on a remote root the output is sent first, what is new of it."""
        self.publish()
        path = self._made("marks") / f"{mark}.json"
        with written_whole(path) as partial:
            partial.write_text(json.dumps(facts))
        self.publish()

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
                remove(path)

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
        for name in (_CHECKPOINTS, "scratch"):
            shutil.rmtree(self.local / name, ignore_errors=True)
            if not self.root.is_local:
                self.root.mirror(self.kind, self.id).drop(name)
        for path in self.local.rglob(".*"):
            if path.is_file() and path.name != LEDGER:
                path.unlink()

    def add_time(self, name: str, seconds: float) -> tuple[float, int]:
        """Add one attempt's seconds to the stage's account; returns total seconds and number of attempts."""
        path = self.local / "attempts.json"
        attempts = json.loads(path.read_text()) if path.exists() else []
        attempts.append({"outcome": name, "seconds": round(seconds, 3), "at": round(time.time(), 3)})
        path.write_text(json.dumps(attempts))
        self.publish()
        return sum(a["seconds"] for a in attempts), len(attempts)
