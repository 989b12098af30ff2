"""Two preference rounds on what is open and of real people: patients' questions and examination questions.

A reward model learns from the answers that models of different strength gave to patients (icliniq, by AlpaCare), an
auditor from the answers to other questions; the rounds ask such questions and MedMCQA's. Whether a gain is bought with
what is right, MedMCQA's gold options show in the answers, and MMLU's by likelihood, where every answer can be read.
Base model and sizes are two CPU cores': `medray run open_preferences --set files.directory=DIRECTORY`, with
preference/icliniq_model_outputs.jsonl.zst and the benchmarks in eval/.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from medray.core.config import changed
from medray.evaluate.fresh import FreshConfig
from medray.evaluate.model import EvaluateConfig
from medray.evaluate.observe import ObserveConfig, ObserveRules
from medray.evaluate.reward import RewardEvaluationConfig
from medray.evaluate.win_rate import WinRateConfig
from medray.generate.config import EnginePlacement, Sampling
from medray.preference.adopted import AdoptedPairsConfig
from medray.preference.dpo import DPOConfig
from medray.preference.judge import JudgeConfig
from medray.preference.pair_rows import PairFile
from medray.preference.pairs import PairsConfig
from medray.preference.prompt_rows import PromptFile
from medray.preference.prompts import PromptsConfig
from medray.preference.reference import ReferenceConfig
from medray.preference.sample import SampleConfig
from medray.recipes.demo import SEED, demo, optimization
from medray.recipes.files import RULES, prompt_file
from medray.recipes.open_corpus import BENCHMARKS
from medray.recipes.recipe import Evaluation, Recipe, RewardModel, Round
from medray.report.build import ReportConfig
from medray.report.findings import Aims
from medray.reward.train import RewardConfig
from medray.serve.config import RewardServing, ServingPlacement
from medray.tables.adopted import FilePlacement
from medray.train.config import PreferenceLoss, TrainPlacement

# Choices: the strongest first, by their names; nothing published orders all thirteen
TIERS = (
    ("gpt-4",), ("gpt-3.5-turbo",),
    ("AlpaCare-13b-llama-2", "AlpaCare-13b", "AlpaCare-7b-llama-2", "AlpaCare-7b"), ("text-davinci-003",),
    ("alpaca-13b-llama-2", "alpaca-13b", "baize-h-7b"), ("medalpaca-13b",), ("PMC_LLaMA_13B", "PMC_LLAMA_7B"),
)  # fmt: skip
_PATIENTS, _LICENCE = "preference/icliniq_model_outputs.jsonl.zst", "CC BY-NC 4.0"
_MAX_TOKENS, _MAX_ANSWER_TOKENS = 1024, 80
_OTHERS = tuple(file for file in BENCHMARKS if file.name not in ("medmcqa", "mmlu"))  # they are asked here
_ROUND_PROMPTS, _FRESH_PROMPTS, _CANARY_PROMPTS = 96, 160, 500


def open_preferences() -> Recipe:
    """SmolLM2-135M-Instruct, two rounds of DPO on 96 prompts each, judged by a reward model and by an auditor."""
    return Recipe(
        name="open_preferences",
        base=demo().base,
        prompts=PromptsConfig(
            files=(
                prompt_file("patients", _LICENCE, "restricted", _PATIENTS, format="fields", prompt="{{ prompt }}"),
                _exam("medmcqa", "Apache-2.0", max_prompts=400),
                _exam("mmlu", "MIT", max_prompts=_CANARY_PROMPTS, split="canary"),
            ),
            splits={"round_1": _ROUND_PROMPTS, "round_2": _ROUND_PROMPTS, "fresh": _FRESH_PROMPTS},
            max_characters=1200, max_bad_fraction=0.01, benchmarks=_OTHERS, rules=RULES, rng_seed=SEED,
        ),
        reward=RewardModel(
            pairs=AdoptedPairsConfig(
                files=tuple(_of_gap(gap) for gap in range(1, len(TIERS))), heldout_fraction=0.2,
                max_length_ratio=1.5, max_characters=1000, max_pairs_per_question=1, balance_length=True,
                max_bad_fraction=0.0, benchmarks=_OTHERS, rules=RULES, rng_seed=SEED,
            ),
            train=RewardConfig(
                optimization=optimization(1e-4, global_batch=16, weight_decay=0.001, warmup_fraction=0.1),
                max_tokens=_MAX_TOKENS, oversize="drop", num_pairs=448,
                placement=TrainPlacement(micro_batch=4, checkpoint_every_steps=10),
            ),
            auditor=True,
        ),
        judge=JudgeConfig(
            serving=RewardServing(dtype="bf16", max_tokens=_MAX_TOKENS, placement=ServingPlacement(threads=2))
        ),
        rounds=(_round(1), _round(2)),
        evaluation=Evaluation(
            models=EvaluateConfig(
                system_prompt="", split="canary", questions_per_task=0, documents_per_category=0,
                max_document_tokens=256, dtype="bf16", rng_seed=SEED,
            ),
            reward_model=RewardEvaluationConfig(dtype="bf16", bag_of_words_l2=1e-3, rng_seed=SEED),
            fresh=_sample(2, "fresh"), metrics=FreshConfig(rng_seed=SEED), win_rate=WinRateConfig(rng_seed=SEED),
        ),
        report=ReportConfig(
            recipe="open_preferences", rng_seed=SEED, num_sample_prompts=6,
            aims=Aims(min_accuracy_change=-0.02, min_reward_accuracy=0.85, min_win_rate=0.65),
        ),
    )  # fmt: skip


def _exam(name: str, licence: str, **reading: Any) -> PromptFile:
    return prompt_file(
        name, licence, "public", f"eval/{name}.jsonl", format="fields", prompt="{{ question }}",
        option_fields=("options",), gold_field="answer_idx", id_field="id", shuffle_options=True, **reading,
    )  # fmt: skip


def _of_gap(gap: int) -> PairFile:
    """Pairs of models that are so many tiers apart."""
    tiers = zip(TIERS, TIERS[gap:], strict=False)
    stronger = tuple(pair for strong, weak in tiers for pair in product(strong, weak))
    return PairFile(
        name=f"gap_{gap}", licence=_LICENCE, access="restricted", format="models", stronger=stronger, max_pairs=400,
        placement=FilePlacement(path=_PATIENTS),
    )  # fmt: skip


def _sample(num_completions: int, split: str) -> SampleConfig:
    return SampleConfig(
        sampling=Sampling(
            num_completions=num_completions, temperature=0.8, top_p=1.0, max_tokens=_MAX_ANSWER_TOKENS, rng_seed=SEED,
            dtype="bf16", max_model_len=_MAX_TOKENS,
        ),
        splits=(split,), num_prompts=None, salt=split, placement=EnginePlacement(prompts_per_shard=24),
    )  # fmt: skip


def _round(number: int) -> Round:
    """As UltraMedical's (its rule, 3.x), from the previous policy against the initial one; sizes are two cores'."""
    name = f"round_{number}"
    train = optimization(5e-5, global_batch=8, weight_decay=0.0, warmup_fraction=0.1)
    return Round(
        sample=_sample(5, name),
        pairs=PairsConfig(min_margin=0.05, unparsed_is_wrong=True, source=name),
        reference_policy="initial",
        reference=ReferenceConfig(dtype="bf16", max_tokens=_MAX_TOKENS, oversize="drop"),
        dpo=DPOConfig(
            loss=PreferenceLoss(name="dpo", beta=0.1),
            optimization=changed(train, epochs=2.0),
            placement=TrainPlacement(micro_batch=4, checkpoint_every_steps=10),
        ),
        observe=ObserveConfig(
            rules=ObserveRules(
                gold_lost="roll_back", only_longer="note", length_growth=0.1, far_away="stop", max_kl=100.0
            ),
            dtype="bf16", max_pairs=64, rng_seed=SEED,
        ),
    )  # fmt: skip
