"""Recipe -> ordered stages, preference rounds unrolled; plan, run, show, diff, verify."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medray.core.artifact import Artifact, Manifest
from medray.core.config import UserError, differences
from medray.core.placement import MemoryMeter
from medray.core.stage import Stage, execute, nearest
from medray.core.workspace import Root, Workspace
from medray.plan import corpus as plan_corpus
from medray.plan.corpus import CorpusEstimate
from medray.plan.training import TrainingEstimate, adapter_flops, full_flops, state_bytes
from medray.pretrain.train import PretrainConfig
from medray.recipes.load import load_recipe, recipe_names
from medray.recipes.recipe import Recipe
from medray.recipes.unroll import unroll
from medray.sft.train import SFTConfig
from medray.train.config import TrainPlacement


@dataclass(frozen=True)
class Planned:
    """One stage of a plan: sealed already or not, and why not."""

    stage: Stage
    sealed: Manifest | None
    reason: str


def stages_of(recipe: Recipe, only: Sequence[str] = (), start: str | None = None) -> list[Stage]:
    """The recipe's stages in the order they run; all, those labelled in `only`, or those from `start` on.

    Raises UserError for a label that the recipe does not have.
    """
    stages = unroll(recipe)
    labels = [stage.label for stage in stages]
    for label in (*only, *([start] if start else [])):
        if label not in labels:
            raise UserError(f"{recipe.name}: no stage {label!r}; it has {', '.join(labels)}: correct --only or --from")
    if only:
        return [stage for stage in stages if stage.label in only]
    return stages[labels.index(start) :] if start else stages


def plan(stages: Sequence[Stage], root: Root) -> list[Planned]:
    """What is sealed and what would run, each miss explained by the nearest sealed artifact. Starts no Ray."""
    planned = []
    for stage in stages:
        if root.is_sealed(stage.kind, stage.id):
            planned.append(Planned(stage, root.manifest(stage.kind, stage.id), ""))
            continue
        unfinished = root.is_local and (root.directory(stage.kind, stage.id) / "journal").exists()
        planned.append(Planned(stage, None, "unfinished, will resume" if unfinished else _why(stage, root)))
    return planned


def estimate(recipe: Recipe) -> tuple[CorpusEstimate | None, dict[str, TrainingEstimate]] | None:
    """The corpus and each training by arithmetic, where the recipe says what it expects of its sources."""
    expected = recipe.expected
    if expected is None:
        return None
    corpus, trained = None, {}
    if recipe.corpus and expected.sources:
        corpus = plan_corpus.estimate(expected, _mix(recipe))
    if corpus and recipe.pretrain:
        rows = (corpus.num_blocks, recipe.corpus.block_tokens)
        trained["pretrain"] = _training(recipe.pretrain, *rows, expected.num_parameters, None)
    if (store := expected.instructions) and recipe.sft:
        sizes = (expected.num_parameters, expected.adapter_parameters)
        trained["sft"] = _training(recipe.sft, store.num_rows, store.row_tokens, *sizes)
    return corpus, trained


def _training(
    stage: PretrainConfig | SFTConfig, num_rows: int, row_tokens: float, num_parameters: float,
    adapter_parameters: float | None,
) -> TrainingEstimate:  # fmt: skip
    """Training on a store of so many rows of so many tokens, at the most workers of the placement."""
    how, place = stage.optimization, stage.placement
    flops = full_flops if adapter_parameters is None else adapter_flops
    num_trained = num_parameters if adapter_parameters is None else adapter_parameters
    state = {"zero_stage": place.zero_stage, "num_workers": place.num_workers[1]}
    return TrainingEstimate(
        how.num_rows(num_rows), how.num_steps(num_rows), round(how.global_batch * row_tokens),
        flops(num_parameters, how.num_rows(num_rows) * row_tokens),
        state_bytes(num_parameters, num_trained, **state, is_adamw=how.optimizer == "adamw"),
    )  # fmt: skip


def _mix(recipe: Recipe) -> plan_corpus.Mix:
    corpus, near = recipe.corpus, recipe.dedup.near
    return plan_corpus.Mix(
        corpus.proportions, corpus.token_budget, corpus.max_epochs, corpus.source_epochs, corpus.block_tokens,
        corpus.blocks_per_file,
        num_shards=recipe.clean.placement.num_shards, deidentified=recipe.deidentify.categories,
        num_bands=near.bands if near else 0, keeps_ngrams=bool(near and near.min_jaccard),
    )  # fmt: skip


def _why(stage: Stage, root: Root) -> str:
    found = nearest(stage, root)
    if found is None:
        return "never run here"
    manifest, fields = found
    own = [f for f in fields if not f[0].startswith("inputs.")] or fields
    shown = "; ".join(f"{_name(name)}: {_short(theirs)} -> {_short(ours)}" for name, theirs, ours in own[:3])
    more = f" and {len(own) - 3} more" if len(own) > 3 else ""
    return f"nearest {manifest.id[:8]} differs in {shown}{more}"


def _name(field: str) -> str:
    return field.removeprefix("config.")


def _short(value: Any) -> str:
    text = str(value)
    is_id = isinstance(value, str) and len(value) == 32 and " " not in value
    return text[:8] if is_id else text if len(text) <= 40 else text[:37] + "..."


def run(
    stages: Sequence[Stage], root: Root, recipe: Recipe, on_stage: Any, verbose: bool = False
) -> list[tuple[Stage, Artifact, bool]]:
    """Run every stage that is not sealed; returns (stage, artifact, was sealed before) in order.

    `on_stage(index, stage, workspace)` is a context manager entered around each stage that runs (progress display).
    Ray starts only when something is left to run. Raises UserError when an input of the selection is not sealed.
    """
    from medray.session import free_for, ray_session

    root.prepare()
    selected = {stage.id for stage in stages}
    for stage in stages:
        for role, source in stage.inputs.items():
            if source.id not in selected and not root.is_sealed(source.kind, source.id):
                raise UserError(
                    f"{stage.label}: its input {role!r} ({source.label}, {source.id[:8]}) is not sealed in {root.url}: "
                    f"run that stage too (--from {source.label})"
                )
    if all(root.is_sealed(stage.kind, stage.id) for stage in stages):
        return [(stage, root.open(stage.kind, stage.id), True) for stage in stages]
    results = []
    with ray_session(recipe.session, verbose) as session:
        meter = MemoryMeter(session)
        meter.start()
        for index, stage in enumerate(stages):
            if root.is_sealed(stage.kind, stage.id):
                results.append((stage, root.open(stage.kind, stage.id), True))
                continue
            free_for(*_needs(stage))
            with on_stage(index, stage, Workspace(root, stage.kind, stage.id, stage.label)):
                results.append((stage, execute(stage, root, meter, recipe.trackers), False))
        meter.stop()
    return results


def _needs(stage: Stage) -> tuple[float, float]:
    """Logical CPUs and GPUs that the stage must find free: one for each worker of the smallest training pool."""
    placement = getattr(stage.config, "placement", None)
    if not isinstance(placement, TrainPlacement):
        return 1, 0
    num_workers = placement.num_workers[0]
    return num_workers, num_workers if placement.use_gpu else 0


def verify(stages: Sequence[Stage], root: Root) -> Iterator[tuple[Stage, str]]:
    """Check every sealed stage in order: content against manifest, inputs against what they claim to be.

    Yields (stage, problem), the problem "" when there is none; stages that are not sealed are a problem too.
    """
    for stage in stages:
        if not root.is_sealed(stage.kind, stage.id):
            yield stage, "not sealed"
            continue
        artifact = root.open(stage.kind, stage.id)
        problems = [f"content changed after sealing: {name}" for name in artifact.verify()]
        for role, claimed in artifact.manifest.inputs.items():
            if not root.is_sealed(claimed.kind, claimed.id):
                problems.append(f"input {role} ({claimed.id[:8]}) is gone")
            elif (found := root.manifest(claimed.kind, claimed.id)).digest != claimed.digest:
                problems.append(f"input {role} was {claimed.digest[:8]} when used and is {found.digest[:8]} now")
        yield stage, "; ".join(problems)


@dataclass(frozen=True)
class Divergence:
    """How one labelled stage differs between two roots."""

    label: str
    fields: list[tuple[str, Any, Any]]
    """Own differing fields; empty when only inputs or content differ."""
    inputs: list[str]
    """Roles whose artifacts differ."""
    same_id: bool
    is_sampled: bool
    """Whether one of them drew completions that no second run would have drawn."""


def diff(first: Root, second: Root) -> tuple[list[Divergence], list[str]]:
    """What differs between the latest run of each label in two roots, in the first root's order of sealing.

    Returns the divergences (a stage with equal id and equal content is none) and the labels only one root has.
    """
    a, b = _latest(first), _latest(second)
    found = []
    for label, ours in a.items():
        theirs = b.get(label)
        if theirs is None or _is_equal(ours, theirs):
            continue
        fields = differences(ours.config, theirs.config)
        if ours.version != theirs.version:
            fields.append(("version", ours.version, theirs.version))
        roles = [r for r in ours.inputs if r not in theirs.inputs or ours.inputs[r].id != theirs.inputs[r].id]
        is_sampled = "sampled" in (ours.equality, theirs.equality)
        found.append(Divergence(label, fields, roles, ours.id == theirs.id, is_sampled))
    return found, sorted(a.keys() ^ b.keys())


def _is_equal(ours: Manifest, theirs: Manifest) -> bool:
    """Equal id and content; weights trained at another placement are equal numerically, not to the bit."""
    is_moved = ours.equality == "numeric" and ours.placement != theirs.placement
    return ours.id == theirs.id and (ours.digest == theirs.digest or is_moved)


def _latest(root: Root) -> dict[str, Manifest]:
    found = sorted(root.manifests(), key=lambda manifest: manifest.sealed_at)
    if not found:
        raise UserError(f"{root.url}: no sealed artifact there: give a root that a run has written")
    return {manifest.label: manifest for manifest in found}


def find(root: Root, name: str) -> Manifest:
    """The sealed artifact with a label (the latest) or an id prefix. Raises UserError when none or several match."""
    manifests = list(root.manifests())
    labelled = [manifest for manifest in manifests if manifest.label == name]
    if labelled:
        return max(labelled, key=lambda manifest: manifest.sealed_at)
    matching = [manifest for manifest in manifests if manifest.id.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    labels = ", ".join(dict.fromkeys(m.label for m in sorted(manifests, key=lambda m: m.sealed_at)))
    raise UserError(
        f"{root.url}: {len(matching)} artifacts match {name!r}; give a longer id, or a label: {labels or 'none there'}"
    )


def policy_of(root: Root, name: str) -> Path:
    """The model directory of a sealed artifact, or of the base of a recipe, which must be sealed in the root."""
    if ":" in name or name in recipe_names():
        [base] = stages_of(load_recipe(name), only=("base",))
        if not root.is_sealed(base.kind, base.id):
            raise UserError(f"{name}: its base is not in {root.url}, expected it sealed there: run the recipe first")
        directory = root.open(base.kind, base.id).data / "model"
    else:
        manifest = find(root, name)
        directory = root.open(manifest.kind, manifest.id).data / "model"
    if not directory.is_dir():
        raise UserError(f"{name}: holds no model, expected an artifact with data/model: name another")
    return directory


def elapsed(seconds: float) -> str:
    """Seconds as text for people: 42 s, 3:07 min, 2:05 h."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"


def now_text() -> str:
    """Local time of day."""
    return time.strftime("%H:%M:%S")
