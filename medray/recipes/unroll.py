"""A recipe as its ordered stages: what each takes from which, preference rounds unrolled."""

from __future__ import annotations

from medray.core.stage import Stage
from medray.corpus import base, build, clean, decontaminate, dedup, deidentify, sources
from medray.corpus.base import BaseConfig
from medray.evaluate import fresh, model, observe, reward_bench, win_rate
from medray.evaluate import reward as reward_evaluation
from medray.math.ensemble import EnsembleRule
from medray.preference import adopted, annotate, answer, dpo, judge, labels, pairs, prompts, reference, sample
from medray.preference import reward_bench as bench_build
from medray.preference.adopted import AdoptedPairsConfig
from medray.preference.answer import AnswerConfig
from medray.preference.labels import LabelsConfig
from medray.pretrain import train as pretrain
from medray.recipes.located import located
from medray.recipes.recipe import Annotation, Evaluation, Recipe, RewardModel, Round
from medray.report import build as report
from medray.reward import pairs as reward_pairs
from medray.reward import train as reward_train
from medray.reward.train import OWN, DataPart
from medray.sft import instructions
from medray.sft import train as sft
from medray.synthesize import build as synthesize
from medray.train import trl_methods
from medray.train.trl_methods import TRLConfig

Members = dict[str, Stage]
"""Stages by their role: the reward model or those of an ensemble; the pairs that reward models are made of."""


def unroll(recipe: Recipe) -> list[Stage]:
    """All stages of a recipe, each after its inputs, in the order in which they run.

    Digests left empty in the recipe are filled in from the files (`resolve`), since a digest is identity.
    """
    recipe = located(recipe)
    order = _Order()
    first = recipe.sources and order.add("sources", sources, sources.resolve(recipe.sources))
    taught = recipe.instructions and order.add("instructions", instructions, instructions.resolve(recipe.instructions))
    asked = recipe.prompts and order.add("prompts", prompts, prompts.resolve(recipe.prompts))
    # of a tiny base's tokenizer
    texts = {"sources": first} if first else {"examples": taught} if taught else {"prompts": asked}
    start = order.add("base", base, base.resolve(recipe.base), **(texts if recipe.base.format == "tiny" else {}))
    made = recipe.synthesize and order.add("synthesize", synthesize, recipe.synthesize, sources=first)
    corpus = recipe.corpus and _corpus(order, recipe, start, first, made)
    _models(order, recipe, _Evaluated(order, recipe, corpus, made, asked or made), start, corpus, taught or made)
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


def _models(
    order: _Order, recipe: Recipe, evaluated: _Evaluated, start: Stage, corpus: Stage | None, examples: Stage | None
) -> None:
    """Everything that is trained, as far as the recipe goes."""
    if not (recipe.pretrain or recipe.sft or recipe.reward or recipe.rounds):
        return
    name = "base"
    evaluated.model(name, start)
    if recipe.pretrain:
        start, name = order.add("pretrain", pretrain, recipe.pretrain, model=start, corpus=corpus), "pretrained"
        evaluated.model(name, start)
    if recipe.sft:
        start, name = order.add("sft", sft, recipe.sft, model=start, examples=examples), "sft"
        evaluated.model(name, start)
    if recipe.reward or recipe.rounds:
        _preferences(order, recipe, evaluated, start, name)


def _preferences(order: _Order, recipe: Recipe, evaluated: _Evaluated, start: Stage, name: str) -> None:
    """The reward model, and the rounds that it judges, from a model of that name on."""
    asked, reward_model, auditor = evaluated.prompts, {}, None
    if config := recipe.reward:
        made_of = order.add("reward.base", base, base.resolve(config.base)) if config.base else start
        judged = {OWN: _judged(order, recipe, start, asked)}
        for other, how in config.others.items():
            stage = order.add(f"reward.pairs.{other}", adopted, adopted.resolve(how), prompts=asked)
            judged[f"{OWN}_{other}"] = stage
        reward_model, auditor = _trained(order, config, made_of, judged)
        evaluated.reward(reward_model, judged, made_of)
        evaluated.bench(reward_model, judged[OWN])
        if auditor:
            evaluated.reward({"reward_model": auditor}, judged, made_of, "auditor")
    measured, answers = evaluated.fresh(name, start, reward_model)
    answered = {name: answers}
    evaluated.fresh(f"{name}_cool", start, reward_model, cool=True)
    policy = start
    for number, config in enumerate(recipe.rounds, 1):
        name, previous, before = f"round_{number}", policy, measured
        policy = _round(order, recipe, config, name, policy, start, reward_model, asked)
        evaluated.model(name, policy)
        measured, completions = evaluated.fresh(name, policy, reward_model)
        answered[name] = completions
        if config.observe:
            policy = order.add(
                f"{name}.observe", observe, config.observe, policy=policy, previous=previous, initial=start,
                before=before, after=measured, completions=completions, pairs=order.named(f"{name}.pairs"),
            )  # fmt: skip
            measured = policy  # its figures are those of what it hands on: an undone round's are not
    evaluated.win_rates(answered, auditor)


def _trained(
    order: _Order, config: RewardModel, policy: Stage, judged: Members
) -> tuple[Members, Stage | None]:  # fmt: skip
    """The reward model or those of an ensemble, and the auditor, which is not among them."""
    num = config.ensemble.num_models if config.ensemble else 1
    num_parts = (num if config.ensemble and config.ensemble.is_disjoint else 1) + config.auditor

    def trained(number: int, part: int, label: str) -> Stage:
        optimization = config.train.optimization
        optimization = optimization.model_copy(update={"rng_seed": optimization.rng_seed + number - 1})
        data = DataPart(index=part, of=num_parts) if num_parts > 1 else None
        train = config.train.model_copy(update={"optimization": optimization, "part": data})
        return order.add(label, reward_train, train, model=policy, **judged)

    if not config.ensemble:
        found = {"reward_model": trained(1, 1, "reward.train")}
    else:
        parts = range(1, num + 1) if config.ensemble.is_disjoint else [1] * num
        found = {
            f"reward_model_{number}": trained(number, part, f"reward.train.{number}")
            for number, part in enumerate(parts, 1)
        }
    return found, trained(num + 1, num_parts, "reward.train.auditor") if config.auditor else None


def _judged(order: _Order, recipe: Recipe, policy: Stage, prompts: Stage | None) -> Stage:
    """The pairs of the reward model: others', or by gold answers, or by a judge of several models' completions."""
    config = recipe.reward.pairs
    if isinstance(config, AdoptedPairsConfig):
        return order.add("reward.pairs", adopted, adopted.resolve(config), prompts=prompts)
    candidates = order.add("reward.sample", sample, recipe.reward.candidates, policy=policy, prompts=prompts)
    if not isinstance(config, Annotation):
        return order.add("reward.pairs", reward_pairs, config, completions=candidates, prompts=prompts)
    answers = {f"completions_{annotate.OWN}": candidates}
    for name, other in config.models.items():
        policy = order.add(f"annotate.{name}", base, base.resolve(other))
        answers[f"completions_{name}"] = order.add(
            f"annotate.{name}.sample", sample, config.sample, policy=policy, prompts=prompts
        )
    if config.judge:
        answers["judge"] = order.add("annotate.judge", base, base.resolve(config.judge))
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
    role = "unpaired" if config.is_unpaired else "pairs"
    if isinstance(config.pairs, AdoptedPairsConfig):
        chosen = order.add(f"{name}.pairs", adopted, adopted.resolve(config.pairs), prompts=prompts)
    else:
        how = AnswerConfig(sample=config.sample, judge=recipe.judge)
        answers = order.add(f"{name}.answer", answer, how, policy=policy, prompts=prompts, **reward_model)
        judged = {"completions": answers, "rewards": answers, "prompts": prompts}
        if isinstance(config.pairs, LabelsConfig):
            chosen, role = order.add(f"{name}.labels", labels, config.pairs, **judged), "labelled"
        else:
            chosen = order.add(f"{name}.pairs", pairs, config.pairs, **judged)
    if isinstance(config.dpo, TRLConfig):
        return order.add(f"{name}.dpo", trl_methods, config.dpo, model=policy, pairs=chosen)
    if isinstance(config.reference_policy, BaseConfig):
        other = order.add(f"{name}.reference_policy", base, base.resolve(config.reference_policy))
    else:
        other = initial if config.reference_policy == "initial" else policy
    sources = {"reference": other, role: chosen}
    ready = order.add(f"{name}.reference", reference, config.reference, **sources)
    return order.add(f"{name}.dpo", dpo, config.dpo, model=policy, reference=ready)


class _Evaluated:
    """The stages that measure, added as what they measure is added; none where the recipe has no evaluation."""

    def __init__(
        self, order: _Order, recipe: Recipe, corpus: Stage | None, made: Stage | None, prompts: Stage | None
    ) -> None:
        self.order, self.corpus, self.made, self.prompts = order, corpus, made, prompts
        self.recipe, self.how = recipe, recipe.evaluation or Evaluation()

    def model(self, name: str, policy: Stage) -> None:
        if self.how.models and (self._questions or self.corpus):
            inputs = {"model": policy, "questions": self._questions, "corpus": self.corpus}
            self.order.add(f"evaluate.{name}", model, self.how.models, **inputs)

    def reward(self, reward_model: Members, judged: Members, policy: Stage, name: str = "reward") -> None:
        if self.how.reward_model:
            config = self.how.reward_model.model_copy(
                update={"ensemble": self._rule if len(reward_model) > 1 else None}
            )
            self.order.add(f"evaluate.{name}", reward_evaluation, config, **reward_model, **judged, policy=policy)

    def bench(self, reward_model: Members, ratings: Stage) -> None:
        """Benchmarks of the reward model; the recipe's own is built without an evaluation too."""
        rules = getattr(self.recipe.reward.pairs, "bench", None)
        built = rules and self.order.add(
            "reward.bench", bench_build, bench_build.resolve(rules), ratings=ratings, prompts=self.prompts
        )
        if benches := self.how.reward_bench:
            config = reward_bench.resolve(benches.model_copy(update={"ensemble": self._rule}))
            self.order.add("evaluate.reward_bench", reward_bench, config, **reward_model, built=built)

    def win_rates(self, answered: dict[str, Stage | None], auditor: Stage | None) -> None:
        """Of every model over the first; the auditor judges when all rounds are over, its service starts once."""
        if not self.how.win_rate or not all(answered.values()):
            return
        (first, before), *later = answered.items()
        audited = dict.fromkeys(answered)
        if auditor:
            config = self.recipe.judge.model_copy(update={"ensemble": None})
            for name, answers in answered.items():
                inputs = {"completions": answers, "reward_model": auditor, "prompts": self.prompts}
                audited[name] = self.order.add(f"fresh.{name}.auditor", judge, config, **inputs)
        for name, after in later:
            self.order.add(
                f"win_rate.{name}", win_rate, self.how.win_rate, before=before, after=after, prompts=self.prompts,
                before_auditor=audited[first], after_auditor=audited[name],
            )  # fmt: skip

    @property
    def _questions(self) -> Stage | None:
        """What is made, else the user's prompts where they have the split that models are measured on."""
        given, how = self.recipe.prompts, self.how.models
        has_split = given and how and how.split in prompts.split_names(given)
        return self.made or (self.prompts if has_split else None)

    @property
    def _rule(self) -> EnsembleRule | None:
        return self.recipe.judge and self.recipe.judge.ensemble

    def fresh(
        self, name: str, policy: Stage, reward_model: Members, cool: bool = False
    ) -> tuple[Stage | None, Stage | None]:  # fmt: skip
        """The figures of a policy's completions of fresh prompts, and these completions."""
        evaluation, prompts = self.how, self.prompts
        config = evaluation.cool if cool else evaluation.fresh
        if not config or not reward_model:
            return None, None
        how = AnswerConfig(sample=config, judge=self.recipe.judge)
        answers = self.order.add(f"fresh.{name}.answer", answer, how, policy=policy, prompts=prompts, **reward_model)
        measured = {"rewards": answers, "completions": answers, "prompts": prompts}
        if evaluation.greedy and not cool:
            greedy = self.order.add(f"fresh.{name}.greedy", sample, evaluation.greedy, policy=policy, prompts=prompts)
            measured["greedy"] = greedy
        return self.order.add(f"fresh.{name}", fresh, evaluation.metrics, **measured), answers
