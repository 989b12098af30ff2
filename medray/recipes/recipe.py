"""The recipe: one full typed config, from the base model to the report."""

from __future__ import annotations

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
from medray.plan.corpus import Expected
from medray.preference.annotate import AnnotateConfig
from medray.preference.dpo import DPOConfig
from medray.preference.judge import JudgeConfig
from medray.preference.pairs import PairsConfig
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
from medray.train.trl_methods import TRLConfig


class Annotation(Config):
    """Pairs by a judge, who rates the policy's completion of each prompt among other models'."""

    models: dict[str, BaseConfig] = Field(min_length=1, max_length=MAX_ANSWERS - 1)
    """The others by name, 7 at most; the policy is `own`."""
    sample: SampleConfig
    """How the others answer; their first completion of a prompt counts, as the policy's does."""
    annotate: AnnotateConfig
    bench: BenchRules | None = None
    """A benchmark of reward models, of the held-out prompts."""


class Ensemble(Config):
    """Several reward models, which the judge takes together by its rule."""

    num_models: int = Field(ge=2, le=8)
    is_disjoint: bool
    """Each is trained on a part of the prompts of its own; else all on the same pairs, in another order each."""


class RewardModel(Config):
    """How the reward model is made: the policy's own samples, pairs of them, Bradley-Terry."""

    candidates: SampleConfig
    pairs: RewardPairsConfig | Annotation
    train: RewardConfig
    ensemble: Ensemble | None = None
    """None: one reward model."""


class Round(Config):
    """One preference round: sample, judge, pairs, reference log-probs, DPO; or any method of TRL on the pairs."""

    sample: SampleConfig
    pairs: PairsConfig
    reference_policy: Literal["initial", "previous"]
    """Whose log-probs DPO is measured against: the SFT model, or the policy the round starts from."""
    reference: ReferenceConfig
    """Left out where TRL trains: its trainers take their own."""
    dpo: DPOConfig | TRLConfig
    observe: ObserveConfig | None = None
    """Whether the round is believed, by the evaluation's fresh prompts; None: whatever comes out is gone on from."""


class Evaluation(Config):
    """What every model is measured with, and the fresh prompts that all policies answer."""

    models: EvaluateConfig
    reward_model: RewardEvaluationConfig
    reward_bench: RewardBenchConfig | None = None
    """Benchmarks of reward models: files, and what the annotation has built."""
    fresh: SampleConfig
    """K samples per fresh prompt, for the SFT model and every round."""
    cool: SampleConfig
    """The same from the SFT model at a lower temperature: is a round better, or only sharper?"""
    greedy: SampleConfig
    """One greedy completion per fresh prompt: what best-of-N must beat."""
    metrics: FreshConfig


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
    reward: RewardModel | None = None
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
        for later, *earlier in _RESTS_ON:
            if getattr(self, later) and not any(getattr(self, name) for name in earlier):
                wanted = " or ".join(earlier)
                raise ValueError(f"{later} rests on {wanted}, which is left out: give {wanted}, or leave {later} out")
        if not self.evaluation and any(round_.observe for round_ in self.rounds):
            raise ValueError("rounds.observe rests on evaluation, which is left out: give it, or leave observe out")
        if self.judge and self.reward and bool(self.judge.ensemble) != bool(self.reward.ensemble):
            raise ValueError("reward.ensemble and judge.ensemble, its rule, need each other: set both or neither")
        evidence = self.corpus and self.corpus.evidence
        formats = {source.format for source in self.sources.sources} if self.sources else set()
        if evidence and evidence.citations and CITATIONS not in formats:
            raise ValueError(
                f"corpus.evidence.citations: no source of format {CITATIONS}, expected a table of them: add one to "
                "sources, or leave corpus.evidence.citations empty"
            )
        return self


_RESTS_ON = (
    ("synthesize", "sources"), ("clean", "sources"), ("deidentify", "clean"), ("dedup", "deidentify"),
    ("decontaminate", "dedup"), ("corpus", "decontaminate"), ("pretrain", "corpus"),
    ("sft", "instructions", "synthesize"), ("reward", "sft"), ("reward", "synthesize"), ("reward", "judge"),
    ("rounds", "reward"), ("evaluation", "synthesize"), ("evaluation", "corpus"), ("report", "evaluation"),
)  # fmt: skip
"""(later, earlier ...): the first may be there only with one of the others."""
