"""UltraMedical as its paper states it: fine-tuning, reward model, one round of preferences; the files are the user's.

Zhang et al. 2024, "UltraMedical: Building Specialized Generalists in Biomedicine". `medray run ultramedical_8b --set
files.directory=DIRECTORY` needs `instructions/ultramedical.jsonl` (the published rows: `id`, `conversations`,
`answer`), `instructions/<name>.jsonl` of GENERAL, `preferences/<name>` of PREFERENCES, each row with its `prompt`,
`chosen` and `rejected`, and the benchmarks of TABLE_4 as published. What the paper leaves open is marked Choices.
"""

from __future__ import annotations

from medray.core.config import changed
from medray.corpus.base import BaseConfig, BaseLocation
from medray.evaluate.pair_benchmarks import BenchFile
from medray.evaluate.reward import RewardEvaluationConfig
from medray.evaluate.reward_bench import RewardBenchConfig
from medray.generate.config import EnginePlacement, Sampling
from medray.plan.claims import Claim, check_claims
from medray.plan.corpus import Expected, ExpectedInstructions
from medray.preference.adopted import AdoptedPairsConfig
from medray.preference.dpo import DPOConfig
from medray.preference.judge import JudgeConfig, JudgePlacement
from medray.preference.pairs import PairsConfig
from medray.preference.prompts import PromptsConfig
from medray.preference.reference import ReferenceConfig
from medray.preference.sample import SampleConfig
from medray.recipes.files import BENCHMARKS, RULES, instruction_file, pair_file, prompt_file
from medray.recipes.recipe import Evaluation, Recipe, RewardModel, Round
from medray.reward.train import RewardConfig
from medray.serve.config import RewardServing, ServingPlacement
from medray.sft.instructions import InstructionsConfig
from medray.sft.train import SFTConfig
from medray.tables.adopted import FilePlacement
from medray.train.config import ForwardPlacement, Optimization, PreferenceLoss, TrainPlacement

NUM_EXAMPLES = 410_000  # section 1
TABLE_6 = {
    "medqa": 9_343, "medmcqa": 58_871, "medqa_evol": 51_809, "textbookqa": 91_684, "pubmedqa": 88_688, "medquad": 5_957,
    "medinstruct": 23_032, "medinstruction": 25_806, "chatdoctor": 31_115, "wikiinstruct": 23_288,
}  # fmt: skip
GENERAL = {"ultrachat": 58_000, "evol_instruct": 40_000, "openorca": 30_000, "camel": 47_000, "orca_math": 16_000}
"""Appendix B; drawn at random, and by whom is not published (issues 2 and 3 of the authors' repository)."""
MAX_TOKENS = 2048  # appendix B
PREFERENCES = ("ultramedical", "ultrafeedback", "ultrainteract", "ultrasafety")
"""3.2: 100K medical and 75K general pairs. Choices: as published, one pair a prompt; the reward model's 1.8M pairs of
different ratings (2.2) are not published, and are what `preference/annotate.py` makes."""
NUM_PROMPTS = 100_000  # appendix B
GRID = {
    "rounds.0.dpo.optimization.learning_rate": (1e-7, 3e-7, 5e-7),
    "rounds.0.dpo.loss.beta": (0.01, 0.05, 0.1, 0.4),
}
"""Appendix B: what was tried, as fields to --set; all that comes before the round's training is shared."""
TABLE_4 = {
    "medical": ({"easy": 94.12, "hard": 73.47, "human": 77.30, "length": 77.22}, 80.53),
    "reward_bench": ({"Chat": 97.21, "Chat Hard": 67.11, "Safety": 91.19, "Reasoning": 86.62}, 85.53),
}  # fmt: skip
"""Percent of pairs that UltraMedRM-8B has right, and the stated average: what `evaluate.reward_bench` is to come to."""
PARAMETERS = {"8b": 8.03e9, "70b": 70.6e9}  # Grattafiori et al. 2024
_PLACEMENT = TrainPlacement(
    num_workers=(4, 8), use_gpu=True, zero_stage=3, gradient_checkpointing=True, micro_batch=2,
    checkpoint_every_steps=100, max_failures=-1,
)  # fmt: skip


def ultramedical_8b() -> Recipe:
    """Llama-3-8B-Instruct, two epochs of 410K medical and 190K general instructions; iterative DPO."""
    return _ultramedical("8b")


def ultramedical_8b_kto() -> Recipe:
    """The same with iterative KTO, which is TRL's former kto_pair."""
    recipe = _ultramedical("8b")
    [last] = recipe.rounds
    dpo = changed(last.dpo, loss=changed(last.dpo.loss, name="kto_pair"))
    return changed(recipe, name="ultramedical_8b_kto", rounds=(changed(last, dpo=dpo),))


def ultramedical_8b_vanilla() -> Recipe:
    """The same with vanilla DPO: others' pairs instead of the model's own, hence no reward model."""
    recipe = _ultramedical("8b")
    [last] = recipe.rounds
    vanilla = changed(last, sample=None, pairs=_preferences(heldout_fraction=0.0))
    name = "ultramedical_8b_vanilla"
    without = {"prompts": None, "reward": None, "judge": None, "evaluation": None}
    return changed(recipe, name=name, rounds=(vanilla,), **without)


def ultramedical_70b() -> Recipe:
    """The same of Llama-3-70B-Instruct."""
    return _ultramedical("70b")


def _ultramedical(size: str) -> Recipe:
    num_examples = sum(TABLE_6.values()) + sum(GENERAL.values())
    return Recipe(
        name=f"ultramedical_{size}",
        base=BaseConfig(
            # section 3.1 says base models, appendix B instructed ones. Choices: appendix B, which has the numbers
            format="huggingface", licence="Meta Llama 3 Community License", access="restricted",
            placement=BaseLocation(hub_id=f"meta-llama/Meta-Llama-3-{size.upper()}-Instruct"),
        ),
        instructions=InstructionsConfig(
            files=(
                instruction_file("ultramedical", None, "MIT", "restricted", "conversations", id_field="id"),
                *(instruction_file(name, count, "its own", "restricted") for name, count in GENERAL.items()),
            ),
            benchmarks=BENCHMARKS, rules=RULES,  # D.4 has dense vectors only: too far off for short questions (T13)
            dev_fraction=0.0, max_bad_fraction=0.001, rng_seed=42,
        ),
        sft=SFTConfig(
            # appendix B. Choices: batch (the code's 2 x 8 on 8 GPUs), betas, weight decay and clipping of the
            # Hugging Face Trainer; the code packs and takes the loss of all tokens, the paper speaks of neither
            optimization=Optimization(
                learning_rate=2e-5, schedule="cosine", warmup_fraction=0.1, min_learning_rate_fraction=0.0,
                optimizer="adamw", betas=(0.9, 0.999), weight_decay=0.0, gradient_clip=1.0, epochs=2.0, dtype="bf16",
                rng_seed=42, global_batch=128,
            ),
            packing="none", block_tokens=MAX_TOKENS, oversize="drop", num_examples=None,
            placement=TrainPlacement(
                num_workers=(4, 8 if size == "8b" else 32), use_gpu=True, zero_stage=3, gradient_checkpointing=True,
                micro_batch=2, checkpoint_every_steps=200, max_failures=-1, log_every_steps=10,
            ),
        ),
        prompts=_prompts(),
        reward=_reward(),
        judge=JudgeConfig(
            serving=RewardServing(
                dtype="bf16", max_tokens=MAX_TOKENS, placement=ServingPlacement(replicas=4, use_gpu=True)
            ),
            placement=JudgePlacement(num_workers=8),
        ),
        rounds=(_round(size),),
        evaluation=_evaluation(),
        expected=Expected(
            # Choices: 600 tokens an example, to be counted on the files
            instructions=ExpectedInstructions(num_examples=num_examples, num_rows=num_examples, row_tokens=600),
            num_parameters=PARAMETERS[size],
            notes=check_claims("ultramedical", claims()),
        ),
    )  # fmt: skip


def _prompts() -> PromptsConfig:
    """Appendix B: 100K of the instructions; the options stand in their text, `answer` is the right letter."""
    return PromptsConfig(
        files=(
            prompt_file(
                "ultramedical", "MIT", "restricted", "instructions/ultramedical.jsonl", format="conversations",
                options_in_prompt=True, gold_field="answer", id_field="id",
            ),
        ),
        # Choices: the others are fresh; a prompt that leaves no room for an answer is not asked
        splits={"round_1": NUM_PROMPTS, "fresh": 1_000}, max_characters=4_000, max_bad_fraction=0.01,
        benchmarks=BENCHMARKS, rules=RULES, rng_seed=42,
    )  # fmt: skip


def _preferences(heldout_fraction: float) -> AdoptedPairsConfig:
    return AdoptedPairsConfig(
        files=tuple(pair_file(name, "MIT", "restricted") for name in PREFERENCES), heldout_fraction=heldout_fraction,
        max_bad_fraction=0.001, benchmarks=BENCHMARKS, rules=RULES, rng_seed=42,
    )  # fmt: skip


def _reward() -> RewardModel:
    """Appendix B: of Llama-3-8B-Instruct, one epoch, 2e-6, 2,048 tokens. Choices: batch and weight decay are those of
    RLHFlow's code, betas and clipping the Trainer's; a fiftieth of the questions is held out, as in the published set.
    """
    return RewardModel(
        base=BaseConfig(
            format="huggingface", licence="Meta Llama 3 Community License", access="restricted",
            placement=BaseLocation(hub_id="meta-llama/Meta-Llama-3-8B-Instruct"),
        ),
        pairs=_preferences(heldout_fraction=0.02),
        train=RewardConfig(
            optimization=_optimization(2e-6, global_batch=512, weight_decay=0.001), max_tokens=MAX_TOKENS,
            oversize="drop", num_pairs=None, placement=_PLACEMENT,
        ),
    )  # fmt: skip


def _evaluation() -> Evaluation:
    """The reward model on table 4's benchmarks and on held-out pairs. Choices: the penalty of the bag of words."""
    files = tuple(
        BenchFile(
            name=layout, layout=layout, licence=licence, access="restricted",
            placement=FilePlacement(path=f"reward_benchmarks/{layout}.jsonl"),
        )
        for layout, licence in (("medical", "MIT"), ("reward_bench", "ODC-BY"))
    )  # fmt: skip
    how = {"dtype": "bf16", "rng_seed": 42, "placement": ForwardPlacement(use_gpu=True)}
    return Evaluation(
        reward_model=RewardEvaluationConfig(bag_of_words_l2=1e-3, **how),
        reward_bench=RewardBenchConfig(files=files, max_tokens=MAX_TOKENS, **how),
    )


def _round(size: str) -> Round:
    """Appendix B: 5 completions at 0.8, gold before reward, one epoch. Choices: learning rate and beta are those of the
    code within GRID, which the paper does not decide, as is the batch; what names no option is not known to be wrong.
    """
    return Round(
        sample=SampleConfig(
            sampling=Sampling(
                num_completions=5, temperature=0.8, top_p=1.0, max_tokens=1024, rng_seed=42, dtype="bf16",
                max_model_len=MAX_TOKENS,
            ),
            splits=("round_1",), num_prompts=None, salt="round_1",
            placement=EnginePlacement(replicas=8, use_gpu=True, prompts_per_shard=512),
        ),
        pairs=PairsConfig(
            gold="mcq_reject", rule="max_min", min_margin=0.0, unparsed_is_wrong=False, rng_seed=42, source="round_1"
        ),
        reference_policy="initial",
        reference=ReferenceConfig(
            dtype="bf16", max_tokens=MAX_TOKENS, oversize="drop", placement=ForwardPlacement(use_gpu=True)
        ),
        dpo=DPOConfig(
            loss=PreferenceLoss(name="dpo", beta=0.1),
            optimization=_optimization(3e-7, global_batch=32, weight_decay=0.0),
            placement=changed(_PLACEMENT, num_workers=(4, 8 if size == "8b" else 32)),
        ),
    )  # fmt: skip


def _optimization(learning_rate: float, global_batch: int, weight_decay: float) -> Optimization:
    return Optimization(
        learning_rate=learning_rate, schedule="cosine", warmup_fraction=0.1, min_learning_rate_fraction=0.0,
        optimizer="adamw", betas=(0.9, 0.999), weight_decay=weight_decay, gradient_clip=1.0, epochs=1.0, dtype="bf16",
        rng_seed=42, global_batch=global_batch,
    )  # fmt: skip


def claims() -> tuple[Claim, ...]:
    """The paper's figures, each beside what follows from its other figures."""
    return (
        Claim("instructions, the text against the rows of Table 6", NUM_EXAMPLES, sum(TABLE_6.values()), 0.001),
        Claim("general instructions, the text against the parts", 190_000, sum(GENERAL.values()), tolerance=0.01),
        *(
            Claim(f"table 4, the average of {name} against its columns", average, sum(found.values()) / 4, 0.0001)
            for name, (found, average) in TABLE_4.items()
        ),
    )
