"""A recipe whose files are where the user's own lie."""

from __future__ import annotations

from collections.abc import Iterable
from os.path import join
from typing import TypeVar

from medray.core.config import Config
from medray.corpus.base import BaseConfig
from medray.recipes.recipe import Annotation, Recipe, RewardModel, Round
from medray.tables.gathered import GatherConfig

C = TypeVar("C", bound=Config)


def located(recipe: Recipe) -> Recipe:
    """The recipe with the paths of the user's own files joined to where they lie."""

    def moved(place: C) -> C:
        path = place.path and (place.path if "://" in place.path else join(recipe.files.directory, place.path))
        return place.model_copy(update={"path": path})

    def one_moved(file: C) -> C:
        return file.model_copy(update={"placement": moved(file.placement)})

    def all_moved(files: Iterable[C]) -> tuple[C, ...]:
        return tuple(map(one_moved, files))

    def gathered_moved(config: C) -> C:
        if not isinstance(config, GatherConfig):
            return config
        files = {"files": all_moved(config.files), "benchmarks": all_moved(config.benchmarks)}
        return config.model_copy(update=files)

    def annotation_moved(config: Annotation) -> Annotation:
        models = {name: one_moved(model) for name, model in config.models.items()}
        rules = config.bench
        if rules and rules.votes:
            rules = rules.model_copy(update={"votes": one_moved(rules.votes)})
        judge = config.judge and one_moved(config.judge)
        return config.model_copy(update={"models": models, "judge": judge, "bench": rules})

    def round_moved(config: Round) -> Round:
        found = {"pairs": gathered_moved(config.pairs)}
        if isinstance(config.reference_policy, BaseConfig):
            found["reference_policy"] = one_moved(config.reference_policy)
        return config.model_copy(update=found)

    def reward_moved(model: RewardModel) -> RewardModel:
        pairs = gathered_moved(model.pairs)
        if isinstance(pairs, Annotation):
            pairs = annotation_moved(pairs)
        others = {name: gathered_moved(other) for name, other in model.others.items()}
        made_of = model.base and one_moved(model.base)
        return model.model_copy(update={"pairs": pairs, "others": others, "base": made_of})

    found = {"base": one_moved(recipe.base), "reward": recipe.reward and reward_moved(recipe.reward)}
    found |= {name: gathered_moved(getattr(recipe, name)) for name in ("instructions", "prompts")}
    if stated := recipe.sources:
        locations = tuple(map(moved, stated.placement.locations))
        places = stated.placement.model_copy(update={"locations": locations})
        found["sources"] = stated.model_copy(update={"placement": places})
    if checks := recipe.decontaminate:
        found["decontaminate"] = checks.model_copy(update={"benchmarks": all_moved(checks.benchmarks)})
    if benches := recipe.evaluation and recipe.evaluation.reward_bench:
        benches = benches.model_copy(update={"files": all_moved(benches.files)})
        found["evaluation"] = recipe.evaluation.model_copy(update={"reward_bench": benches})
    return recipe.model_copy(update={**found, "rounds": tuple(map(round_moved, recipe.rounds))})
