"""Where everything came from: each artifact with its inputs, digest, licences, access class, minutes and memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from medray.core.artifact import Artifact

LOSS_NAMES = ("loss", "train_loss")
TOKEN_LOSS_KINDS = ("pretrain", "sft")
"""Kinds whose loss is per token; every other training stage's is per preference pair."""


def ordered(inputs: Mapping[str, Artifact]) -> list[Artifact]:
    """Every distinct artifact, its inputs before it, else in the order it was given."""
    by_id = {artifact.id: artifact for artifact in inputs.values()}
    done: dict[str, Artifact] = {}

    def visit(artifact: Artifact) -> None:
        if artifact.id in done:
            return
        for source in sorted(artifact.manifest.inputs.values(), key=lambda source: source.id):
            if source.id in by_id:
                visit(by_id[source.id])
        done[artifact.id] = artifact

    for artifact in sorted(by_id.values(), key=lambda artifact: (artifact.manifest.sealed_at, artifact.id)):
        visit(artifact)
    return list(done.values())


def rows(artifacts: Iterable[Artifact]) -> list[dict[str, Any]]:
    """What each artifact is made of: no times and no counters, so two equal runs give equal rows in label order."""
    found = []
    for artifact in artifacts:
        manifest = artifact.manifest
        found.append(
            {
                "label": manifest.label,
                "kind": manifest.kind,
                "id": manifest.id,
                "digest": manifest.digest,
                "inputs": {role: source.id for role, source in sorted(manifest.inputs.items())},
                "access": manifest.access,
                "licences": list(manifest.licences),
                "num_quarantined": manifest.num_quarantined,
            }
        )
    return sorted(found, key=lambda row: (row["label"], row["id"]))


def timings(artifacts: Iterable[Artifact]) -> list[dict[str, Any]]:
    """What each artifact cost, in the order they were made; these differ between equal runs."""
    return [
        {
            "label": artifact.manifest.label,
            "id": artifact.id,
            "wall_s": artifact.manifest.wall_s,
            "peak_memory_bytes": artifact.manifest.peak_memory_bytes,
            "size_bytes": artifact.manifest.size_bytes,
            "num_attempts": artifact.manifest.num_attempts,
            "cpu_core_hours": artifact.manifest.cpu_core_hours,
            "sealed_at": artifact.manifest.sealed_at,
            "counters": dict(artifact.manifest.counters),
        }
        for artifact in artifacts
    ]


def drift_curves(artifacts: Iterable[Artifact]) -> list[tuple[str, list[tuple[int, float]], list[tuple[int, float]]]]:
    """(label, log-prob of chosen, of rejected, each by optimizer_step) of each artifact whose journal holds both."""
    curves = []
    for artifact in artifacts:
        history = artifact.journal_history()
        chosen, rejected = (
            [(record["step"], record[name]) for record in history if record.get(name) is not None]
            for name in ("chosen_logprob", "rejected_logprob")
        )
        if len(chosen) > 1 and len(rejected) > 1:
            curves.append((artifact.manifest.label, chosen, rejected))
    return curves


def loss_curves(artifacts: Iterable[Artifact]) -> list[tuple[str, list[tuple[int, float]], str]]:
    """(label, (optimizer_step, loss) points, unit) of each artifact whose journal holds a loss."""
    curves = []
    for artifact in artifacts:
        history = artifact.journal_history()
        name = next((n for n in LOSS_NAMES if any(record.get(n) is not None for record in history)), None)
        points = [(record["step"], record[name]) for record in history if record.get(name) is not None] if name else []
        if len(points) > 1:
            unit = "nats per token" if artifact.kind in TOKEN_LOSS_KINDS else "nats per pair"
            curves.append((artifact.manifest.label, points, unit))
    return curves
