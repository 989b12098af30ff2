"""The recipe: one full typed config, from the base model to the report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from medray.core.config import Config, Placement
from medray.core.journal import Trackers
from medray.corpus.base import BaseConfig
from medray.corpus.build import CorpusConfig
from medray.corpus.clean import CleanConfig
from medray.corpus.decontaminate import DecontaminateConfig
from medray.corpus.dedup import DedupConfig
from medray.corpus.deidentify import DeidentifyConfig
from medray.corpus.sources import CITATIONS, SourcesConfig
from medray.evaluate.fresh import FreshConfig
from medray.evaluate.model import EvaluateConfig
from medray.evaluate.observe import ObserveConfig
from medray.evaluate.reward import RewardEvaluationConfig
from medray.evaluate.reward_bench import RewardBenchConfig
from medray.evaluate.win_rate import WinRateConfig
from medray.generate.config import LocalTeacher
from medray.plan.corpus import Expected
from medray.preference.adopted import AdoptedPairsConfig
from medray.preference.annotate import OWN, REFERENCE, AnnotateConfig
from medray.preference.dpo import DPOConfig
from medray.preference.judge import JudgeConfig
from medray.preference.labels import LabelsConfig
from medray.preference.pairs import PairsConfig
from medray.preference.prompts import PromptsConfig
from medray.preference.ratings import MAX_ANSWERS
from medray.preference.reference import ReferenceConfig
from medray.preference.reward_bench import BenchRules
from medray.preference.sample import SampleConfig
from medray.pretrain.train import PretrainConfig
from medray.report.build import ReportConfig
from medray.reward.pairs import RewardPairsConfig
from medray.reward.train import RewardConfig
from medray.session import SessionPlacement
from medray.sft.instructions import InstructionsConfig
from medray.sft.train import SFTConfig
from medray.synthesize.config import SynthesizeConfig
from medray.train.config import KTOLoss
from medray.train.trl_methods import TRLConfig


class Annotation(Config):
    """Pairs by a judge, who rates the policy's completion of each prompt among other models'."""

    models: dict[str, BaseConfig] = Field(min_length=1, max_length=MAX_ANSWERS - 1)
    """The others by name, 7 at most; the policy is `own`."""
    sample: SampleConfig
    """How the others answer; their first completion of a prompt counts, as the policy's does."""
    annotate: AnnotateConfig
    judge: BaseConfig | None = None
    """Whose judgement it is, where annotate.judge is a local model; None: an endpoint's."""
    bench: BenchRules | None = None
    """A benchmark of reward models, of the held-out prompts."""

    @model_validator(mode="after")
    def _has_one_judge(self) -> Annotation:
        if isinstance(self.annotate.judge, LocalTeacher) != bool(self.judge):
            raise ValueError("judge: a model is for annotate.judge that is local, which needs one: give both, or none")
        return self

    @model_validator(mode="after")
    def _compares_what_is_rated(self) -> Annotation:
        rated = {OWN, *self.models} | ({REFERENCE} if self.annotate.reference_is_candidate else set())
        if self.bench and (unknown := self.bench.models - rated):
            raise ValueError(
                f"bench: {', '.join(sorted(unknown))} answers nothing that is rated, expected of "
                f"{', '.join(sorted(rated))}: correct the name, or add the model"
            )
        return self


class Ensemble(Config):
    """Several reward models, which the judge takes together by its rule."""

    num_models: int = Field(ge=2, le=8)
    is_disjoint: bool
    """Each is trained on a part of the prompts of its own; else all on the same pairs, in another order each."""


class RewardModel(Config):
    """How the reward model is made: the policy's own samples, pairs of them, Bradley-Terry; or pairs of others."""

    candidates: SampleConfig | None = None
    """None: the pairs are adopted."""
    pairs: RewardPairsConfig | Annotation | AdoptedPairsConfig
    others: dict[str, AdoptedPairsConfig] = {}
    """Further pairs by name, learnt from and held out beside these; train.proportions takes them as pairs_<name>."""
    train: RewardConfig
    base: BaseConfig | None = None
    """What it is made of; None: the model that the rounds start from."""
    ensemble: Ensemble | None = None
    """None: one reward model."""
    auditor: bool = False
    """Whether a further reward model, of a part of the prompts that no other one learns from, judges the fresh
    completions: a gain that it does not see is one in the first one's eyes only."""

    @model_validator(mode="after")
    def _has_its_candidates(self) -> RewardModel:
        if (self.candidates is None) != isinstance(self.pairs, AdoptedPairsConfig):
            raise ValueError("candidates are what pairs are made of, and adopted pairs have none: give one of the two")
        return self


class Round(Config):
    """One preference round: sample and judge, pairs, reference log-probs, DPO; or any method of TRL on the pairs.

    Or pairs of others, where nothing is sampled and judged: Med42's rounds.
    """

    sample: SampleConfig | None = None
    """None: the pairs are adopted."""
    pairs: PairsConfig | LabelsConfig | AdoptedPairsConfig
    """Labels only where KTO trains: it also takes pairs, each as a desirable completion and an undesirable one."""
    reference_policy: Literal["initial", "previous"] | BaseConfig
    """Whose log-probs DPO is measured against: the SFT model, the policy the round starts from, or another model with
    the same tokenizer."""
    reference: ReferenceConfig
    """Left out where TRL trains: its trainers take their own."""
    dpo: DPOConfig | TRLConfig
    observe: ObserveConfig | None = None
    """Whether the round is believed, by the evaluation's fresh prompts; None: whatever comes out is gone on from."""

    @property
    def is_unpaired(self) -> bool:
        """Whether KTO trains, on single completions."""
        return isinstance(self.dpo, DPOConfig) and isinstance(self.dpo.loss, KTOLoss)

    @model_validator(mode="after")
    def _has_its_samples(self) -> Round:
        if (self.sample is None) != isinstance(self.pairs, AdoptedPairsConfig):
            raise ValueError("sample is what pairs are made of, and adopted pairs have none: give one of the two")
        follows_text = isinstance(self.pairs, PairsConfig) and self.pairs.follows_text
        if follows_text and not self.sample.permutations:
            raise ValueError("rounds.pairs.follows_text: no permutations are sampled: set rounds.sample.permutations")
        if isinstance(self.pairs, LabelsConfig) and not self.is_unpaired:
            raise ValueError("pairs: labels are for KTO alone: give a rule for pairs, or let dpo.loss be KTO's")
        return self


class Evaluation(Config):
    """What every model is measured with, and the fresh prompts that all policies answer. None: left out."""

    models: EvaluateConfig | None = None
    """Of every model, on what there is of questions (`synthesize`, or `prompts` of its split that have a gold option)
    and held-out text (`corpus`)."""
    reward_model: RewardEvaluationConfig | None = None
    reward_bench: RewardBenchConfig | None = None
    """Benchmarks of reward models: files, and what the annotation has built."""
    fresh: SampleConfig | None = None
    """K samples per fresh prompt, for the model that the rounds start from and every round."""
    cool: SampleConfig | None = None
    """The same from the first of them at a lower temperature: is a round better, or only sharper?"""
    greedy: SampleConfig | None = None
    """One greedy completion per fresh prompt: what best-of-N must beat."""
    metrics: FreshConfig | None = None
    win_rate: WinRateConfig | None = None
    """Of every round over the model that the rounds start from, by `fresh`."""

    @model_validator(mode="after")
    def _measures_what_is_sampled(self) -> Evaluation:
        if bool(self.fresh) != bool(self.metrics) or ((self.cool or self.greedy) and not self.fresh):
            raise ValueError("fresh and metrics need each other, and cool and greedy need both: give them, or none")
        if self.win_rate and not self.fresh:
            raise ValueError("win_rate compares what is sampled as `fresh`, which is left out: give it, or leave both")
        return self


class FilesPlacement(Placement):
    """Where the user's own files lie."""

    directory: str = ""
    """Relative paths of sources, benchmarks and base model start here, a directory or an fsspec URL; "": from where
    medray runs."""


class Recipe(Config):
    """From raw text to a judged model, or as far as is wanted: what is None is left out, and so is what rests on it."""

    name: str
    base: BaseConfig
    sources: SourcesConfig | None = None
    synthesize: SynthesizeConfig | None = None
    clean: CleanConfig | None = None
    deidentify: DeidentifyConfig | None = None
    dedup: DedupConfig | None = None
    decontaminate: DecontaminateConfig | None = None
    corpus: CorpusConfig | None = None
    pretrain: PretrainConfig | None = None
    instructions: InstructionsConfig | None = None
    sft: SFTConfig | None = None
    """Of the pretrained model, or of the base where there is no pretraining; on `instructions`, or else on what is
    synthesized."""
    prompts: PromptsConfig | None = None
    """What is asked in rounds and of fresh models; None: what is synthesized."""
    reward: RewardModel | None = None
    """The rounds start from what is tuned, or pretrained, or else from the base."""
    judge: JudgeConfig | None = None
    rounds: tuple[Round, ...] = ()
    evaluation: Evaluation | None = None
    """The models there are; the fresh prompts once there is a reward model."""
    report: ReportConfig | None = None
    expected: Expected | None = None
    """How large the sources are, as published: what `medray plan` reckons with before they are there."""
    files: FilesPlacement = FilesPlacement()
    session: SessionPlacement = SessionPlacement()
    trackers: Trackers = Trackers()

    @model_validator(mode="after")
    def _has_what_it_rests_on(self) -> Recipe:
        for later, *earlier in (*_RESTS_ON, *self._samples_rest_on()):
            if getattr(self, later.split(".")[0]) and not any(getattr(self, name) for name in earlier):
                wanted = " or ".join(earlier)
                raise ValueError(f"{later} rests on {wanted}, which is left out: give {wanted}, or leave {later} out")
        if any(round_.observe for round_ in self.rounds) and not (self.evaluation and self.evaluation.fresh):
            raise ValueError("rounds.observe rests on evaluation, which is left out: give it, or leave observe out")
        if self.reward and bool(self.reward.ensemble) != bool(self.judge and self.judge.ensemble):
            raise ValueError("reward.ensemble and judge.ensemble, its rule, need each other: set both or neither")
        if self.reward and self.reward.auditor and not (self.evaluation and self.evaluation.win_rate):
            raise ValueError("reward.auditor judges for evaluation.win_rate, which is left out: give it, or no auditor")
        evidence = self.corpus and self.corpus.evidence
        formats = {source.format for source in self.sources.sources} if self.sources else set()
        if evidence and evidence.citations and CITATIONS not in formats:
            raise ValueError(
                f"corpus.evidence.citations: no source of format {CITATIONS}, expected a table of them: add one to "
                "sources, or leave corpus.evidence.citations empty"
            )
        return self

    def _samples_rest_on(self) -> Iterator[tuple[str, ...]]:
        """What sampling and judging need, as in _RESTS_ON; pairs of others need none of it."""
        if self.reward and self.reward.candidates:
            yield "reward", "prompts", "synthesize"
        if any(round_.observe for round_ in self.rounds):
            yield "rounds.observe", "reward"
        if any(round_.sample for round_ in self.rounds):
            yield from (("rounds", "reward"), ("rounds", "judge"), ("rounds", "prompts", "synthesize"))
        if self.evaluation and self.evaluation.fresh and self.reward:
            yield from (("evaluation.fresh", "judge"), ("evaluation.fresh", "prompts", "synthesize"))


_RESTS_ON = (
    ("synthesize", "sources"), ("clean", "sources"), ("deidentify", "clean"), ("dedup", "deidentify"),
    ("decontaminate", "dedup"), ("corpus", "decontaminate"), ("pretrain", "corpus"),
    ("sft", "instructions", "synthesize"), ("evaluation", "synthesize", "prompts", "corpus", "reward"),
    ("report", "evaluation"),
)  # fmt: skip
"""(later, earlier ...): the first may be there only with one of the others."""
