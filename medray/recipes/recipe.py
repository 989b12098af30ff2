"""The recipe: one full typed config, from the base model to the report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medray.core.config import Config
from medray.core.journal import Trackers
from medray.corpus.base import BaseConfig
from medray.corpus.build import CorpusConfig
from medray.corpus.clean import CleanConfig
from medray.corpus.decontaminate import DecontaminateConfig
from medray.corpus.dedup import DedupConfig
from medray.corpus.deidentify import DeidentifyConfig
from medray.corpus.sources import SourcesConfig
from medray.evaluate.fresh import FreshConfig
from medray.evaluate.model import EvaluateConfig
from medray.evaluate.reward import RewardEvaluationConfig
from medray.preference.dpo import DPOConfig
from medray.preference.judge import JudgeConfig
from medray.preference.pairs import PairsConfig
from medray.preference.reference import ReferenceConfig
from medray.preference.sample import SampleConfig
from medray.pretrain.train import PretrainConfig
from medray.report.build import ReportConfig
from medray.reward.pairs import RewardPairsConfig
from medray.reward.train import RewardConfig
from medray.session import SessionPlacement
from medray.sft.train import SFTConfig
from medray.synthesize.config import SynthesizeConfig


class RewardModel(Config):
    """How the reward model is made: the policy's own samples, pairs of them, Bradley-Terry."""

    candidates: SampleConfig
    pairs: RewardPairsConfig
    train: RewardConfig


class Round(Config):
    """One preference round: sample, judge, pairs, reference log-probs, DPO."""

    sample: SampleConfig
    pairs: PairsConfig
    reference_policy: Literal["initial", "previous"]
    """Whose log-probs DPO is measured against: the SFT model, or the policy the round starts from."""
    reference: ReferenceConfig
    dpo: DPOConfig


class Evaluation(Config):
    """What every model is measured with, and the fresh prompts that all policies answer."""

    models: EvaluateConfig
    reward_model: RewardEvaluationConfig
    fresh: SampleConfig
    """K samples per fresh prompt, for the SFT model and every round."""
    cool: SampleConfig
    """The same from the SFT model at a lower temperature: is a round better, or only sharper?"""
    greedy: SampleConfig
    """One greedy completion per fresh prompt: what best-of-N must beat."""
    metrics: FreshConfig


class Recipe(Config):
    """From raw text to a judged model."""

    name: str
    base: BaseConfig
    sources: SourcesConfig
    synthesize: SynthesizeConfig
    clean: CleanConfig
    deidentify: DeidentifyConfig
    dedup: DedupConfig
    decontaminate: DecontaminateConfig
    corpus: CorpusConfig
    pretrain: PretrainConfig
    sft: SFTConfig
    reward: RewardModel
    judge: JudgeConfig
    rounds: tuple[Round, ...] = Field(min_length=1)
    evaluation: Evaluation
    report: ReportConfig
    session: SessionPlacement = SessionPlacement()
    trackers: Trackers = Trackers()
