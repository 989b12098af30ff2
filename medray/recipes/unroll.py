"""A recipe as its ordered stages: what each takes from which, preference rounds unrolled."""

from __future__ import annotations

from medray.core.stage import Stage
from medray.corpus import base, build, clean, decontaminate, dedup, deidentify, sources
from medray.evaluate import fresh, model
from medray.evaluate import reward as reward_evaluation
from medray.preference import dpo, judge, pairs, reference, sample
from medray.pretrain import train as pretrain
from medray.recipes.recipe import Recipe, Round
from medray.report import build as report
from medray.reward import pairs as reward_pairs
from medray.reward import train as reward_train
from medray.sft import train as sft
from medray.synthesize import build as synthesize


def unroll(recipe: Recipe) -> list[Stage]:
    """All stages of a recipe, each after its inputs, in the order in which they run.

    Digests left empty in the recipe are filled in from the files (`resolve`), since a digest is identity.
    """
    order = _Order()
    first = order.add("sources", sources, sources.resolve(recipe.sources))
    tiny = {"sources": first} if recipe.base.format == "tiny" else {}
    start = order.add("base", base, base.resolve(recipe.base), **tiny)
    made = order.add("synthesize", synthesize, recipe.synthesize, sources=first)
    cleaned = order.add("clean", clean, recipe.clean, documents=made, sources=first)
    nobodys = order.add("deidentify", deidentify, recipe.deidentify, documents=cleaned)
    distinct = order.add("dedup", dedup, recipe.dedup, documents=nobodys)
    checks = decontaminate.resolve(recipe.decontaminate)
    checked = order.add("decontaminate", decontaminate, checks, documents=distinct, questions=made)
    corpus = order.add("corpus", build, recipe.corpus, model=start, documents=checked)
    evaluated = _Evaluated(order, recipe, corpus, made)
    evaluated.model("base", start)
    pretrained = order.add("pretrain", pretrain, recipe.pretrain, model=start, corpus=corpus)
    evaluated.model("pretrained", pretrained)
    tuned = order.add("sft", sft, recipe.sft, model=pretrained, examples=made)
    evaluated.model("sft", tuned)

    candidates = order.add("reward.sample", sample, recipe.reward.candidates, policy=tuned, prompts=made)
    judged = order.add("reward.pairs", reward_pairs, recipe.reward.pairs, completions=candidates, prompts=made)
    reward_model = order.add("reward.train", reward_train, recipe.reward.train, model=tuned, pairs=judged)
    evaluated.reward(reward_model, judged, tuned)
    evaluated.fresh("sft", tuned, reward_model)
    evaluated.fresh("sft_cool", tuned, reward_model, cool=True)

    policy = tuned
    for number, config in enumerate(recipe.rounds, 1):
        policy = _round(order, recipe, config, f"round_{number}", policy, tuned, reward_model, made)
        evaluated.model(f"round_{number}", policy)
        evaluated.fresh(f"round_{number}", policy, reward_model)
    order.add("report", report, recipe.report, **{stage.label: stage for stage in order.stages})
    return order.stages


class _Order:
    """Stages in the order in which they were added."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []

    def add(self, label: str, module, config, **inputs: Stage) -> Stage:
        stage = Stage.of(label, module, config, **inputs)
        self.stages.append(stage)
        return stage


def _round(
    order: _Order, recipe: Recipe, config: Round, name: str, policy: Stage, initial: Stage, reward_model: Stage,
    prompts: Stage,
) -> Stage:  # fmt: skip
    completions = order.add(f"{name}.sample", sample, config.sample, policy=policy, prompts=prompts)
    rewards = order.add(
        f"{name}.judge", judge, recipe.judge, completions=completions, reward_model=reward_model, prompts=prompts
    )
    chosen = order.add(f"{name}.pairs", pairs, config.pairs, completions=completions, rewards=rewards, prompts=prompts)
    reference_policy = initial if config.reference_policy == "initial" else policy
    ready = order.add(f"{name}.reference", reference, config.reference, reference=reference_policy, pairs=chosen)
    return order.add(f"{name}.dpo", dpo, config.dpo, model=policy, reference=ready)


class _Evaluated:
    """The stages that measure, added as what they measure is added."""

    def __init__(self, order: _Order, recipe: Recipe, corpus: Stage, made: Stage) -> None:
        self.order, self.recipe, self.corpus, self.made = order, recipe, corpus, made

    def model(self, name: str, policy: Stage) -> None:
        label, config = f"evaluate.{name}", self.recipe.evaluation.models
        self.order.add(label, model, config, model=policy, questions=self.made, corpus=self.corpus)

    def reward(self, reward_model: Stage, pairs_: Stage, policy: Stage) -> None:
        config = self.recipe.evaluation.reward_model
        self.order.add(
            "evaluate.reward", reward_evaluation, config, reward_model=reward_model, pairs=pairs_, policy=policy
        )

    def fresh(self, name: str, policy: Stage, reward_model: Stage, cool: bool = False) -> None:
        evaluation, prompts = self.recipe.evaluation, self.made
        config = evaluation.cool if cool else evaluation.fresh
        completions = self.order.add(f"fresh.{name}.sample", sample, config, policy=policy, prompts=prompts)
        rewards = self.order.add(
            f"fresh.{name}.judge", judge, self.recipe.judge,
            completions=completions, reward_model=reward_model, prompts=prompts,
        )  # fmt: skip
        measured = {"rewards": rewards, "completions": completions, "prompts": prompts}
        if not cool:
            greedy = self.order.add(f"fresh.{name}.greedy", sample, evaluation.greedy, policy=policy, prompts=prompts)
            measured["greedy"] = greedy
        self.order.add(f"fresh.{name}", fresh, evaluation.metrics, **measured)
