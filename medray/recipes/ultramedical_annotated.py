"""UltraMedical's preferences made anew: candidates, GPT-4 as judge, Medical RewardBench (Zhang et al. 2024, 2.2, C.3).

`ultramedical_8b` reads the published pairs, one a prompt; here the prompts are answered by the paper's models, rated
and ranked, and all pairs of different ratings (1.8M in the paper) make the reward model. What the paper leaves open is
marked Choices. The judge is asked over the network: its key is in OPENAI_API_KEY, and it never sees credentialed rows.
"""

from __future__ import annotations

from medray.core.config import changed
from medray.corpus.base import BaseConfig, BaseLocation
from medray.generate.config import Budget, Endpoint, EndpointPlacement, EnginePlacement, Sampling
from medray.preference.annotate import OWN, REFERENCE, AnnotateConfig
from medray.preference.reward_bench import BenchRules, Sides
from medray.preference.sample import SampleConfig
from medray.recipes.recipe import Annotation, Recipe
from medray.recipes.ultramedical import MAX_TOKENS, NUM_PROMPTS, ultramedical_8b

_MODELS = {
    "llama3_8b": ("meta-llama/Meta-Llama-3-8B-Instruct", "Meta Llama 3 Community License"),
    "llama3_70b": ("meta-llama/Meta-Llama-3-70B-Instruct", "Meta Llama 3 Community License"),
    "qwen_72b": ("Qwen/Qwen1.5-72B-Chat", "Tongyi Qianwen License"),
    "mixtral_8x7b": ("mistralai/Mixtral-8x7B-Instruct-v0.1", "Apache-2.0"),
    "mixtral_8x22b": ("mistralai/Mixtral-8x22B-Instruct-v0.1", "Apache-2.0"),
}
"""2.2: with the fine-tuned model, here OWN. GPT-4's answer stands in the published instructions, hence as REFERENCE;
GPT-3.5's, the eighth, is left out (Choices: only models of one's own are sampled)."""
_SET_ASIDE = 1_000  # 2.2


def ultramedical_8b_annotated() -> Recipe:
    """`ultramedical_8b` with pairs of its own, and the benchmark of reward models that is built of them."""
    recipe = ultramedical_8b()
    prompts = changed(
        recipe.prompts,
        splits={"reward_train": NUM_PROMPTS, "reward_heldout": _SET_ASIDE, "round_1": NUM_PROMPTS, "fresh": 1_000},
    )
    reward = changed(recipe.reward, candidates=_sample(1), pairs=_annotation())
    return changed(recipe, name="ultramedical_8b_annotated", prompts=prompts, reward=reward)


def _annotation() -> Annotation:
    models = {
        name: BaseConfig(
            format="huggingface", licence=licence, access="restricted", placement=BaseLocation(hub_id=hub_id)
        )
        for name, (hub_id, licence) in _MODELS.items()
    }
    return Annotation(
        models=models,
        sample=_sample(8),
        annotate=AnnotateConfig(
            judge=Endpoint(
                # 2.2: the newest GPT-4. Choices: 0; 5,000 tokens in and 800 out of each prompt, and half as much again
                model="gpt-4-turbo-2024-04-09", access="restricted", temperature=0.0, top_p=1.0, max_tokens=2_048,
                rng_seed=None,
                budget=Budget(
                    max_tokens=900_000_000, max_cost=12_000.0, price_per_million_in=10.0, price_per_million_out=30.0
                ),
                placement=EndpointPlacement(
                    base_url="https://api.openai.com/v1", key_variable="OPENAI_API_KEY", concurrency=64
                ),
            ),
            reference_is_candidate=True, both_orders_fraction=0.02, max_tries=3, max_unreadable_fraction=0.02,
            max_answer_characters=8_000, rng_seed=42,
        ),
        # C.3. Choices: gaps in rating, a tenth for "the same length", no quota (100 of each in 2.2, 180 to 238 in C.4);
        # votes come after the annotation: --set reward.pairs.bench.votes=...
        bench=BenchRules(
            num_prompts=_SET_ASIDE, per_column=None,
            easy=Sides(chosen=(REFERENCE,), rejected=("mixtral_8x22b", "mixtral_8x7b")),
            hard=(REFERENCE, "llama3_70b", OWN), hard_gap=1,
            length=Sides(chosen=("llama3_70b",), rejected=("llama3_8b",)), length_gap=2, max_length_difference=0.1,
            votes=None, rng_seed=42,
        ),
    )  # fmt: skip


def _sample(tensor_parallel: int) -> SampleConfig:
    """One answer of a model to each prompt; 141B parameters in bf16 are divided among 8 GPUs."""
    return SampleConfig(
        # Choices: the paper states no sampling for the candidates; as its rounds
        sampling=Sampling(
            num_completions=1, temperature=0.8, top_p=1.0, max_tokens=1024, rng_seed=42, dtype="bf16",
            max_model_len=MAX_TOKENS,
        ),
        splits=("reward_train", "reward_heldout"), num_prompts=None, salt="candidates",
        placement=EnginePlacement(
            replicas=8 // tensor_parallel, tensor_parallel=tensor_parallel, use_gpu=True, prompts_per_shard=512
        ),
    )  # fmt: skip
