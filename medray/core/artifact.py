"""Artifacts: the sealed output of a stage, described by its manifest."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from medray.core.access import Access
from medray.core.config import Config, UserError
from medray.core.identity import digest_directory, digest_file
from medray.core.journal import Journal

Equality = Literal["exact", "numeric", "sampled"]
"""How two runs of one id must agree: to the bit; (weights trained at another placement) within a tolerance; or not at
all: completions of engines whose arithmetic depends on what is computed together."""
MANIFEST = "manifest.json"


class Input(Config):
    """A sealed input of a stage."""

    kind: str
    id: str
    digest: str


class Manifest(Config):
    """What an artifact is, where it came from and what it cost. Written last: its presence seals the artifact."""

    kind: str
    label: str
    id: str
    version: int
    config: dict[str, Any]
    placement: dict[str, Any]
    inputs: dict[str, Input]
    counters: dict[str, int | float | str]
    digest: str
    parts: dict[str, str]
    equality: Equality
    size_bytes: int
    num_quarantined: int
    access: Access
    licences: tuple[str, ...]
    passed_access: Access | None = None
    """Access class and licences of what is made of it, where the stage's own terms bind only what it quotes."""
    passed_licences: tuple[str, ...] | None = None
    commit: str
    packages: dict[str, str]
    started_at: float
    sealed_at: float
    wall_s: float
    """Seconds spent on the stage, interrupted attempts included (one ended by SIGKILL leaves no record)."""
    num_attempts: int
    peak_memory_bytes: int
    """Largest summed proportional memory (PSS) of all processes of the run while the stage ran."""
    cpu_core_hours: float


FETCHED_LATER = "data/store/part-*.arrow"
"""Files of a remote artifact that are not downloaded when it is opened: the shards of a token store, which need not fit
the local disk. Who reads them fetches them (`medray/tables/shard_cache.py`)."""


@dataclass(frozen=True)
class Artifact:
    """A sealed directory. `data` is a local path: a remote artifact was downloaded when it was opened."""

    manifest: Manifest
    directory: Path
    url: str = ""
    """Where it lies on an object store; "" for a local artifact."""

    @property
    def id(self) -> str:
        """Content id of the stage that made it."""
        return self.manifest.id

    @property
    def kind(self) -> str:
        """Name of the stage's kind."""
        return self.manifest.kind

    @property
    def data(self) -> Path:
        """Local directory with the sealed content."""
        return self.directory / "data"

    @property
    def access(self) -> Access:
        """Strictest access class of everything it derives from."""
        return self.manifest.access

    @property
    def licences(self) -> tuple[str, ...]:
        """Licences of everything it derives from."""
        return self.manifest.licences

    @property
    def passed_terms(self) -> tuple[Access, tuple[str, ...]]:
        """Access class and licences that flow to what is made of it."""
        passed = self.manifest.passed_access, self.manifest.passed_licences
        return self.access if passed[0] is None else passed[0], self.licences if passed[1] is None else passed[1]

    def journal_history(self) -> list[dict[str, Any]]:
        """Metrics logged while the stage ran, one record per step."""
        return Journal(self.directory / "journal", self.manifest.label).history()

    def verify(self) -> list[str]:
        """Names of the parts of the content that no longer match the manifest; empty when all do.

        What was not downloaded is read through once where it lies.
        """
        _, parts = digest_directory(self.data)
        for name in self.manifest.parts.keys() - parts.keys() if self.url else ():
            if fnmatch(f"data/{name}", FETCHED_LATER):
                with suppress(FileNotFoundError):  # then it is missing from what was found
                    parts[name] = digest_file(f"{self.url}/data/{name}")
        names = parts.keys() | self.manifest.parts.keys()
        return sorted(name for name in names if parts.get(name) != self.manifest.parts.get(name))


def read_manifest(text: str, where: str) -> Manifest:
    """A manifest from its JSON. Raises UserError when it is not one."""
    try:
        return Manifest.model_validate(json.loads(text))
    except ValueError as error:
        first = str(error).splitlines()[0]
        raise UserError(
            f"{where}: not a manifest of this version ({first}): move the directory away and run"
        ) from error
