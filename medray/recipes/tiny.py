"""The demo's stages with a model of less than a million parameters made on the spot: for tests, a few minutes."""

from __future__ import annotations

from typing import TypeVar

from medray.core.config import Config, changed
from medray.corpus.base import BaseConfig, TinyShape
from medray.evaluate.observe import ObserveConfig, ObserveRules
from medray.generate.config import EnginePlacement
from medray.preference.sample import SampleConfig
from medray.recipes.demo import SEED, demo
from medray.recipes.recipe import Recipe
from medray.synthesize.config import GroupCounts, HeldoutCounts, PromptCounts, SynthesizeConfig, TaskCounts
from medray.train.config import Optimization, TrainPlacement

C = TypeVar("C", bound=Config)

_PLACEMENT = TrainPlacement(num_workers=(2, 2), threads_per_worker=1, micro_batch=8, checkpoint_every_steps=8)
OBSERVED = ObserveConfig(
    rules=ObserveRules(gold_lost="note", only_longer="note", length_growth=0.1, far_away="note", max_kl=50.0),
    dtype="fp32", rng_seed=SEED,
)  # fmt: skip
_ENGINE = EnginePlacement(threads=1, kv_cache_gib=0.25, prompts_per_shard=16)


def tiny() -> Recipe:
    """The demo in small: fp32 (so that runs are equal to the bit), two workers, four body systems."""
    recipe = demo()
    return changed(
        recipe,
        name="tiny",
        base=BaseConfig(
            format="tiny",
            licence="none: random weights",
            access="public",
            tiny=TinyShape(vocab_size=1024, hidden_size=128, num_layers=3, max_positions=1024, rng_seed=SEED),
        ),
        synthesize=_synthesized(recipe.synthesize),
        corpus=changed(recipe.corpus, token_budget=0, block_tokens=128, max_unit_tokens=128),
        pretrain=_trained(recipe.pretrain, 4e-3, 16, 8.0),
        sft=changed(_trained(recipe.sft, 4e-3, 8, 6.0), block_tokens=256),
        reward=changed(
            recipe.reward,
            candidates=_sampled(recipe.reward.candidates),
            train=changed(_trained(recipe.reward.train, 2e-3, 8, 4.0), num_pairs=None),
        ),
        judge=changed(recipe.judge, serving=changed(recipe.judge.serving, dtype="fp32")),
        rounds=tuple(
            changed(
                round_,
                sample=_sampled(round_.sample),
                reference=changed(round_.reference, dtype="fp32"),
                dpo=_trained(round_.dpo, 1e-3, 4, 2.0),
                observe=OBSERVED,
            )
            for round_ in recipe.rounds
        ),
        evaluation=changed(
            recipe.evaluation,
            models=changed(recipe.evaluation.models, dtype="fp32"),
            reward_model=changed(recipe.evaluation.reward_model, dtype="fp32"),
            fresh=_sampled(recipe.evaluation.fresh),
            cool=_sampled(recipe.evaluation.cool),
            greedy=_sampled(recipe.evaluation.greedy),
        ),
        report=changed(recipe.report, recipe="tiny", num_sample_prompts=4),
    )


def _synthesized(config: SynthesizeConfig) -> SynthesizeConfig:
    """Few terms of four body systems; most questions ask for the system, which a tiny model can learn."""
    none = TaskCounts(
        definition_to_term=0, term_to_system=0, term_to_synonym=0, phenotypes_to_disease=0, disease_to_phenotype=0
    )
    return changed(
        config,
        systems=("nervous system", "eye", "cardiovascular system", "digestive system"),
        definition_words=(5, 16),
        max_profile_phenotypes=6,
        focus_terms=GroupCounts(
            test=16, dev=0, train=16, reward_train=16, reward_heldout=16, round_1=16, round_2=16, fresh=16
        ),
        focus_diseases=GroupCounts(
            test=4, dev=0, train=4, reward_train=4, reward_heldout=0, round_1=0, round_2=0, fresh=0
        ),
        extra_terms=GroupCounts(
            test=0, dev=0, train=64, reward_train=16, reward_heldout=0, round_1=16, round_2=16, fresh=16
        ),
        num_icd_categories=4,
        num_notes=8,
        heldout=HeldoutCounts(terms=12, diseases=2, icd_categories=2, notes=1),
        test_questions=changed(none, definition_to_term=8, term_to_system=16, phenotypes_to_disease=4),
        dev_questions=none,
        examples=changed(none, definition_to_term=16, term_to_system=80, phenotypes_to_disease=4),
        num_open_examples=32,
        num_general_examples=4,
        prompts=PromptCounts(reward_train=24, reward_heldout=12, round_1=12, round_2=12, fresh=12),
        prompt_mix=changed(none, term_to_system=1),
    )


def _trained(stage: C, learning_rate: float, global_batch: int, epochs: float) -> C:
    """A training stage's config for the tiny model."""
    optimization: Optimization = changed(
        stage.optimization, learning_rate=learning_rate, global_batch=global_batch, epochs=epochs, dtype="fp32"
    )
    return changed(stage, optimization=optimization, placement=_PLACEMENT)


def _sampled(config: SampleConfig) -> SampleConfig:
    """A sampling config for the tiny model."""
    return changed(config, sampling=changed(config.sampling, dtype="fp32", max_tokens=24), placement=_ENGINE)
