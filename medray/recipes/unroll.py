"""A recipe as its ordered stages: what each takes from which, preference rounds unrolled."""

from __future__ import annotations

from collections.abc import Iterable
from os.path import join
from typing import TypeVar

from medray.core.config import Config
from medray.core.stage import Stage
from medray.corpus import base, build, clean, decontaminate, dedup, deidentify, sources
from medray.evaluate import fresh, model, observe, reward_bench
from medray.evaluate import reward as reward_evaluation
from medray.preference import annotate, dpo, judge, pairs, reference, sample
from medray.preference import reward_bench as bench_build
from medray.pretrain import train as pretrain
from medray.recipes.recipe import Annotation, Recipe, RewardModel, Round
from medray.report import build as report
from medray.reward import pairs as reward_pairs
from medray.reward import train as reward_train
from medray.reward.pairs import RewardPairsConfig
from medray.reward.train import DataPart
from medray.sft import instructions
from medray.sft import train as sft
from medray.synthesize import build as synthesize
from medray.train import trl_methods
from medray.train.trl_methods import TRLConfig

C = TypeVar("C", bound=Config)
Members = dict[str, Stage]
"""The reward model by its role, or those of an ensemble."""


def unroll(recipe: Recipe) -> list[Stage]:
    """All stages of a recipe, each after its inputs, in the order in which they run.

    Digests left empty in the recipe are filled in from the files (`resolve`), since a digest is identity.
    """
    recipe = located(recipe)
    order = _Order()
    first = recipe.sources and order.add("sources", sources, sources.resolve(recipe.sources))
    taught = recipe.instructions and order.add("instructions", instructions, instructions.resolve(recipe.instructions))
    texts = {"sources": first} if first else {"examples": taught}  # of a tiny base's tokenizer
    start = order.add("base", base, base.resolve(recipe.base), **(texts if recipe.base.format == "tiny" else {}))
    made = recipe.synthesize and order.add("synthesize", synthesize, recipe.synthesize, sources=first)
    corpus = recipe.corpus and _corpus(order, recipe, start, first, made)
    _models(order, recipe, _Evaluated(order, recipe, corpus, made), start, corpus, made, taught)
    if recipe.report:
        order.add("report", report, recipe.report, **{stage.label: stage for stage in order.stages})
    return order.stages


def _corpus(order: _Order, recipe: Recipe, start: Stage, first: Stage, made: Stage | None) -> Stage:
    """The steps from documents to packed tokens."""
    cleaned = order.add("clean", clean, recipe.clean, documents=made, sources=first)
    checks = decontaminate.resolve(recipe.decontaminate)
    checked = order.add("decontaminate", decontaminate, checks, documents=cleaned, questions=made)
    nobodys = order.add("deidentify", deidentify, recipe.deidentify, documents=checked)
    distinct = order.add("dedup", dedup, recipe.dedup, documents=nobodys)
    # what the steps before dropped, the card shows
    before = {"cleaned": cleaned, "decontaminated": checked, "deidentified": nobodys}
    if recipe.corpus.evidence and recipe.corpus.evidence.citations:
        before["sources"] = first
    return order.add("corpus", build, recipe.corpus, model=start, documents=distinct, **before)


def located(recipe: Recipe) -> Recipe:
    """The recipe with the paths of the user's own files joined to where they lie."""

    def moved(place: C) -> C:
        path = place.path and (place.path if "://" in place.path else join(recipe.files.directory, place.path))
        return place.model_copy(update={"path": path})

    def all_moved(files: Iterable[C]) -> tuple[C, ...]:
        return tuple(file.model_copy(update={"placement": moved(file.placement)}) for file in files)

    found: dict[str, Config] = {"base": all_moved([recipe.base])[0]}
    if adopted := recipe.sources:
        locations = tuple(map(moved, adopted.placement.locations))
        places = adopted.placement.model_copy(update={"locations": locations})
        found["sources"] = adopted.model_copy(update={"placement": places})
    if checks := recipe.decontaminate:
        found["decontaminate"] = checks.model_copy(update={"benchmarks": all_moved(checks.benchmarks)})
    if taught := recipe.instructions:
        files = {"files": all_moved(taught.files), "benchmarks": all_moved(taught.benchmarks)}
        found["instructions"] = taught.model_copy(update=files)
    if recipe.evaluation and (benches := recipe.evaluation.reward_bench):
        benches = benches.model_copy(update={"files": all_moved(benches.files)})
        found["evaluation"] = recipe.evaluation.model_copy(update={"reward_bench": benches})
    rules = recipe.reward and getattr(recipe.reward.pairs, "bench", None)
    if rules and rules.votes:
        rules = rules.model_copy(update={"votes": all_moved([rules.votes])[0]})
        judged = recipe.reward.pairs.model_copy(update={"bench": rules})
        found["reward"] = recipe.reward.model_copy(update={"pairs": judged})
    return recipe.model_copy(update=found)


def _models(
    order: _Order, recipe: Recipe, evaluated: _Evaluated, start: Stage, corpus: Stage | None, made: Stage | None,
    taught: Stage | None,
) -> None:  # fmt: skip
    """Everything that is trained, as far as the recipe goes."""
    if not (recipe.pretrain or recipe.sft):
        return
    evaluated.model("base", start)
    if recipe.pretrain:
        start = order.add("pretrain", pretrain, recipe.pretrain, model=start, corpus=corpus)
        evaluated.model("pretrained", start)
    if recipe.sft:
        tuned = order.add("sft", sft, recipe.sft, model=start, examples=taught or made)
        evaluated.model("sft", tuned)
        if recipe.reward:
            _preferences(order, recipe, evaluated, tuned, made)


def _preferences(order: _Order, recipe: Recipe, evaluated: _Evaluated, tuned: Stage, made: Stage) -> None:
    """The reward model, and the rounds that it judges."""
    candidates = order.add("reward.sample", sample, recipe.reward.candidates, policy=tuned, prompts=made)
    judged = _judged(order, recipe.reward.pairs, candidates, made)
    reward_model = _trained(order, recipe.reward, tuned, judged)
    evaluated.reward(reward_model, judged, tuned)
    evaluated.bench(reward_model, judged)
    measured, _ = evaluated.fresh("sft", tuned, reward_model)
    evaluated.fresh("sft_cool", tuned, reward_model, cool=True)
    policy = tuned
    for number, config in enumerate(recipe.rounds, 1):
        name, previous, before = f"round_{number}", policy, measured
        policy = _round(order, recipe, config, name, policy, tuned, reward_model, made)
        evaluated.model(name, policy)
        measured, completions = evaluated.fresh(name, policy, reward_model)
        if config.observe:
            policy = order.add(
                f"{name}.observe", observe, config.observe, policy=policy, previous=previous, initial=tuned,
                before=before, after=measured, completions=completions, pairs=order.named(f"{name}.pairs"),
            )  # fmt: skip
            measured = policy  # its figures are those of what it hands on: an undone round's are not


def _trained(order: _Order, config: RewardModel, policy: Stage, judged: Stage) -> Members:
    if not config.ensemble:
        return {"reward_model": order.add("reward.train", reward_train, config.train, model=policy, pairs=judged)}
    found, seed, num = {}, config.train.optimization.rng_seed, config.ensemble.num_models
    for number in range(1, num + 1):
        part = DataPart(index=number, of=num) if config.ensemble.is_disjoint else None
        optimization = config.train.optimization.model_copy(update={"rng_seed": seed + number - 1})
        train = config.train.model_copy(update={"optimization": optimization, "part": part})
        member = order.add(f"reward.train.{number}", reward_train, train, model=policy, pairs=judged)
        found[f"reward_model_{number}"] = member
    return found


def _judged(order: _Order, config: RewardPairsConfig | Annotation, candidates: Stage, prompts: Stage) -> Stage:
    """The pairs of the reward model: by gold answers, or by a judge of several models' completions."""
    if not isinstance(config, Annotation):
        return order.add("reward.pairs", reward_pairs, config, completions=candidates, prompts=prompts)
    answers = {"completions_own": candidates}
    for name, other in config.models.items():
        policy = order.add(f"annotate.{name}", base, base.resolve(other))
        answers[f"completions_{name}"] = order.add(
            f"annotate.{name}.sample", sample, config.sample, policy=policy, prompts=prompts
        )
    return order.add("reward.pairs", annotate, config.annotate, prompts=prompts, **answers)


class _Order:
    """Stages in the order in which they were added."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []

    def add(self, label: str, module, config, **inputs: Stage | None) -> Stage:
        stage = Stage.of(label, module, config, **{role: source for role, source in inputs.items() if source})
        self.stages.append(stage)
        return stage

    def named(self, label: str) -> Stage | None:
        """The stage of a label, if there is one."""
        return next((stage for stage in self.stages if stage.label == label), None)


def _round(
    order: _Order, recipe: Recipe, config: Round, name: str, policy: Stage, initial: Stage, reward_model: Members,
    prompts: Stage,
) -> Stage:  # fmt: skip
    completions = order.add(f"{name}.sample", sample, config.sample, policy=policy, prompts=prompts)
    rewards = order.add(f"{name}.judge", judge, recipe.judge, completions=completions, **reward_model, prompts=prompts)
    chosen = order.add(f"{name}.pairs", pairs, config.pairs, completions=completions, rewards=rewards, prompts=prompts)
    if isinstance(config.dpo, TRLConfig):
        return order.add(f"{name}.dpo", trl_methods, config.dpo, model=policy, pairs=chosen)
    reference_policy = initial if config.reference_policy == "initial" else policy
    ready = order.add(f"{name}.reference", reference, config.reference, reference=reference_policy, pairs=chosen)
    return order.add(f"{name}.dpo", dpo, config.dpo, model=policy, reference=ready)


class _Evaluated:
    """The stages that measure, added as what they measure is added; none where the recipe has no evaluation."""

    def __init__(self, order: _Order, recipe: Recipe, corpus: Stage | None, made: Stage | None) -> None:
        self.order, self.recipe, self.corpus, self.made = order, recipe, corpus, made

    def model(self, name: str, policy: Stage) -> None:
        if evaluation := self.recipe.evaluation:
            inputs = {"model": policy, "questions": self.made, "corpus": self.corpus}
            self.order.add(f"evaluate.{name}", model, evaluation.models, **inputs)

    def reward(self, reward_model: Members, pairs_: Stage, policy: Stage) -> None:
        if evaluation := self.recipe.evaluation:
            config = evaluation.reward_model.model_copy(update={"ensemble": self.recipe.judge.ensemble})
            self.order.add("evaluate.reward", reward_evaluation, config, **reward_model, pairs=pairs_, policy=policy)

    def bench(self, reward_model: Members, ratings: Stage) -> None:
        """Benchmarks of the reward model; the recipe's own is built without an evaluation too."""
        rules = getattr(self.recipe.reward.pairs, "bench", None)
        built = rules and self.order.add(
            "reward.bench", bench_build, bench_build.resolve(rules), ratings=ratings, prompts=self.made
        )
        if self.recipe.evaluation and (benches := self.recipe.evaluation.reward_bench):
            config = reward_bench.resolve(benches.model_copy(update={"ensemble": self.recipe.judge.ensemble}))
            self.order.add("evaluate.reward_bench", reward_bench, config, **reward_model, built=built)

    def fresh(
        self, name: str, policy: Stage, reward_model: Members, cool: bool = False
    ) -> tuple[Stage | None, Stage | None]:  # fmt: skip
        """The figures of a policy's completions of fresh prompts, and these completions."""
        evaluation, prompts = self.recipe.evaluation, self.made
        if not evaluation:
            return None, None
        config = evaluation.cool if cool else evaluation.fresh
        completions = self.order.add(f"fresh.{name}.sample", sample, config, policy=policy, prompts=prompts)
        rewards = self.order.add(
            f"fresh.{name}.judge", judge, self.recipe.judge,
            completions=completions, **reward_model, prompts=prompts,
        )  # fmt: skip
        measured = {"rewards": rewards, "completions": completions, "prompts": prompts}
        if not cool:
            greedy = self.order.add(f"fresh.{name}.greedy", sample, evaluation.greedy, policy=policy, prompts=prompts)
            measured["greedy"] = greedy
        return self.order.add(f"fresh.{name}", fresh, evaluation.metrics, **measured), completions
