"""The preference part of the papers' recipes in small: other files, fewer prompts, shorter answers; for `tiny_papers`.

Pairs are of a strong and a weak model's answers to patients, prompts are patients' questions and multiple choice.
"""

from __future__ import annotations

from medray.core.config import changed
from medray.evaluate.fresh import FreshConfig
from medray.evaluate.reward import RewardEvaluationConfig
from medray.generate.config import EnginePlacement
from medray.preference.adopted import AdoptedPairsConfig
from medray.preference.judge import JudgeConfig, JudgePlacement
from medray.preference.pair_rows import PairFile
from medray.preference.prompts import PromptsConfig
from medray.preference.sample import SampleConfig
from medray.recipes.files import prompt_file
from medray.recipes.open_corpus import BENCHMARKS
from medray.recipes.recipe import Evaluation, Recipe, RewardModel, Round
from medray.serve.config import ServingPlacement
from medray.tables.adopted import FilePlacement
from medray.train.config import ForwardPlacement, TrainPlacement

CHANGED = (
    "prompts.files", "prompts.splits", "prompts.max_characters", "prompts.benchmarks",
    "prompts.max_bad_fraction", "reward.base", "reward.pairs.files",
    "reward.pairs.benchmarks", "reward.pairs.heldout_fraction", "reward.pairs.max_characters",
    "reward.train.max_tokens", "reward.train.optimization.global_batch", "reward.train.placement",
    "judge.serving.max_tokens", "judge.serving.placement", "judge.placement", "evaluation",
    *(
        f"rounds.{number}.{field}"
        for number in range(3)
        for field in (
            "sample.sampling.max_tokens", "sample.sampling.max_model_len", "sample.placement", "pairs.files",
            "pairs.benchmarks", "pairs.max_characters", "reference.max_tokens", "reference.placement",
            "dpo.optimization.global_batch", "dpo.placement",
        )
    ),
)  # fmt: skip
"""Fields that `with_small_preferences` changes."""

MODELS = ("gpt-4", "gpt-3.5-turbo", "text-davinci-003", "AlpaCare-13b", "alpaca-13b", "baize-h-7b", "medalpaca-13b")
"""Of the answers, the strongest first (Choices: by their names)."""

_OTHERS = tuple(file for file in BENCHMARKS if file.name != "medmcqa")  # of which the prompts are taken here
_PATIENTS = "preference/icliniq_model_outputs.jsonl.zst"
_LICENCE = "CC BY-NC 4.0"
_ROUND_PROMPTS, _FRESH_PROMPTS = 16, 12
_MAX_TOKENS, _MAX_ANSWER_TOKENS = 1024, 24
_BATCH = 8


def with_small_preferences(recipe: Recipe, placement: TrainPlacement) -> Recipe:
    """The recipe with what it has of prompts, a reward model and rounds in small, and measured where it has prompts."""
    small = {"rounds": tuple(_round(round_, number, placement) for number, round_ in enumerate(recipe.rounds))}
    if recipe.prompts:
        small["prompts"] = _prompts(recipe.prompts, len(recipe.rounds))
    if recipe.reward:
        small["reward"] = _reward(recipe.reward, placement)
        small["judge"] = _judge(recipe.judge)
        small["evaluation"] = _evaluation(recipe)
    return changed(recipe, **small)


def _prompts(config: PromptsConfig, num_rounds: int) -> PromptsConfig:
    files = (
        prompt_file("patients", _LICENCE, "restricted", _PATIENTS, format="fields", prompt="{{ prompt }}"),
        prompt_file(
            "medmcqa", "Apache-2.0", "public", "eval/medmcqa.jsonl", format="fields", prompt="{{ question }}",
            option_fields=("options",), gold_field="answer_idx", id_field="id", shuffle_options=True, max_prompts=200,
        ),
    )  # fmt: skip
    splits = {f"round_{number}": _ROUND_PROMPTS for number in range(1, num_rounds + 1)} | {"fresh": _FRESH_PROMPTS}
    # 13 of MedMCQA's 2,279 rows state one option twice
    return changed(config, files=files, splits=splits, max_characters=1200, benchmarks=_OTHERS, max_bad_fraction=0.01)


def _pairs(config: AdoptedPairsConfig, first: int) -> AdoptedPairsConfig:
    """As many files as there were, each of answers of two models."""
    files = tuple(
        PairFile(
            name=f"models_{first + number}", licence=_LICENCE, access="restricted", format="models", max_pairs=48,
            stronger=((MODELS[first + number], MODELS[-1 - number]),), placement=FilePlacement(path=_PATIENTS),
        )
        for number in range(min(2, len(config.files)))
    )  # fmt: skip
    return changed(config, files=files, benchmarks=_OTHERS, max_characters=1500)


def _reward(model: RewardModel, placement: TrainPlacement) -> RewardModel:
    optimization = changed(model.train.optimization, global_batch=_BATCH)
    train = changed(model.train, optimization=optimization, max_tokens=_MAX_TOKENS, placement=placement)
    pairs = changed(_pairs(model.pairs, 0), heldout_fraction=0.25)
    return changed(model, base=None, pairs=pairs, train=train)


def _judge(judge: JudgeConfig) -> JudgeConfig:
    serving = changed(judge.serving, max_tokens=_MAX_TOKENS, placement=ServingPlacement())
    return changed(judge, serving=serving, placement=JudgePlacement())


def _round(round_: Round, number: int, placement: TrainPlacement) -> Round:
    optimization = changed(round_.dpo.optimization, global_batch=_BATCH)
    small = {
        "reference": changed(round_.reference, max_tokens=_MAX_TOKENS, placement=ForwardPlacement()),
        "dpo": changed(round_.dpo, optimization=optimization, placement=placement),
    }
    if round_.sample:
        return changed(round_, sample=_sample(round_.sample), **small)
    return changed(round_, pairs=_pairs(round_.pairs, number), **small)


def _sample(config: SampleConfig, **fields: object) -> SampleConfig:
    sampling = changed(config.sampling, max_tokens=_MAX_ANSWER_TOKENS, max_model_len=_MAX_TOKENS)
    placement = EnginePlacement(threads=1, kv_cache_gib=0.25, prompts_per_shard=16)
    return changed(config, sampling=sampling, placement=placement, **fields)


def _evaluation(recipe: Recipe) -> Evaluation:
    """Fresh prompts as a round samples them, and the held-out pairs; the papers' own benchmarks need other data."""
    return Evaluation(
        reward_model=RewardEvaluationConfig(dtype="bf16", bag_of_words_l2=0.01, rng_seed=7),
        fresh=_sample(recipe.rounds[0].sample, splits=("fresh",), salt="fresh"),
        metrics=FreshConfig(rng_seed=7),
    )
