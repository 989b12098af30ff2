"""Med42-v2's supervised fine-tuning and its three rounds of preferences as its paper states them; the files are the
user's.

Christophe et al. 2024, "Med42-v2: A Suite of Clinical LLMs". `medray plan med42_8b` needs none of the files;
`medray run med42_8b --set files.directory=DIRECTORY` needs `instructions/<name>.jsonl` of every row of TABLE_5, each
line with its `messages`, and `preferences/<name>` of ROUNDS as published. What the paper leaves open is marked Choices;
where its figures contradict each other, `claims` says so.
"""

from __future__ import annotations

from medray.corpus.base import BaseConfig, BaseLocation
from medray.plan.claims import Claim, check_claims
from medray.plan.corpus import Expected, ExpectedInstructions
from medray.preference.adopted import AdoptedPairsConfig
from medray.preference.dpo import DPOConfig
from medray.preference.reference import ReferenceConfig
from medray.recipes.files import BENCHMARKS, RULES, instruction_file, pair_file
from medray.recipes.recipe import Recipe, Round
from medray.sft.instructions import InstructionsConfig
from medray.sft.train import SFTConfig
from medray.train.config import ForwardPlacement, Optimization, PreferenceLoss, TrainPlacement

BLOCK_TOKENS = 8192  # 2.1, Training Methodology
NUM_MEDICAL, NUM_GENERAL = 952_942, 343_529  # Table 5
TABLE_5 = {
    "medmcqa": (180_462, "Apache-2.0", "public"), "medical_flashcards": (30_106, "CC BY-NC-SA 4.0", "restricted"),
    "stackexchange": (64_246, "CC BY-SA 4.0", "public"), "medqa": (11_290, "MIT", "public"),
    "cord19": (17_721, "each article's own", "public"), "pubmedqa": (499, "MIT", "public"),
    "headqa": (2_657, "MIT", "public"), "mediqa": (1_950, "CC BY 4.0", "public"),
    "sciq": (11_679, "CC BY-NC 3.0", "restricted"), "pubmed_causal": (2_169, "its own", "public"),
    "opengpt": (66_026, "its own", "restricted"), "medquad": (14_553, "CC BY 4.0", "public"),
    "mmlu": (244, "MIT", "public"), "niv2": (11_447, "Apache-2.0", "public"), "pubhealth": (9_804, "MIT", "public"),
    "medical_instruction": (120_000, "its own", "restricted"), "aci_bench": (87, "CC BY 4.0", "public"),
    "mts_dialog": (2_602, "CC BY 4.0", "public"),
    # general
    "slimorca_t0": (109_235, "MIT", "public"), "slimorca_flan": (109_169, "MIT", "public"),
    "slimorca_cot": (74_172, "MIT", "public"), "ultrachat": (50_953, "MIT", "public"),
}  # fmt: skip
"""Samples (Table 5), licence and access class (Choices: what their pages say; yours to check) of every subset."""
GENERAL = ("slimorca_t0", "slimorca_flan", "slimorca_cot", "ultrachat")
NUM_BLOCKS = 85_136
"""What Table 2's 5,321 steps of the 8B model allow at most: half of 5,321 x 32 blocks. See `claims`."""
STEPS = {"8b": (5_321, 262_144), "70b": (3_549, 393_216)}  # Table 2: steps, tokens in each
GPUS = {"8b": 16, "70b": 48}  # Table 2
PARAMETERS = {"8b": 8.03e9, "70b": 70.6e9}  # Grattafiori et al. 2024
ROUNDS = (("ultrafeedback", "snorkel_1"), ("snorkel_2",), ("snorkel_3",))
"""2.2, Training Process: the sets of each round; the Snorkel ones hold 20,000 prompts, 5 answers each ranked by PairRM,
the top and the bottom one."""
BETA = {"8b": 0.1, "70b": 0.01}  # Table 3
BATCH = {"8b": 256, "70b": 128}  # Table 3, pairs
PREFERENCE_GPUS = {"8b": 16, "70b": 32}  # Table 3
MAX_PAIR_TOKENS = 4096  # Table 3
_SETS = {
    "ultrafeedback": pair_file(
        "ultrafeedback", "MIT", "public", chosen_reward_field="score_chosen", rejected_reward_field="score_rejected"
    ),
    **{f"snorkel_{n}": pair_file(f"snorkel_{n}", "Apache-2.0", "public") for n in (1, 2, 3)},
}


def med42_8b() -> Recipe:
    """Llama-3.1-8B-Instruct, two epochs of 85,136 blocks of 8,192 tokens, three rounds of DPO.

    Raises UserError where figures are off.
    """
    return _med42("8b")


def med42_70b() -> Recipe:
    """The same of Llama-3.1-70B-Instruct."""
    return _med42("70b")


def _med42(size: str) -> Recipe:
    return Recipe(
        name=f"med42_{size}",
        base=BaseConfig(
            format="huggingface", licence="Llama 3.1 Community License", access="restricted",
            placement=BaseLocation(hub_id=f"meta-llama/Llama-3.1-{size.upper()}-Instruct"),
        ),
        instructions=InstructionsConfig(
            files=tuple(instruction_file(name, *row) for name, row in TABLE_5.items()),
            # the paper checks nothing; MedMCQA, MedQA and PubMedQA are both in training and in the evaluation
            benchmarks=BENCHMARKS, rules=RULES,
            dev_fraction=0.0, max_bad_fraction=0.001, rng_seed=7,
        ),
        sft=SFTConfig(
            optimization=_optimization(size), block_tokens=BLOCK_TOKENS,
            packing="concatenate",  # 2.1, Training Methodology: all samples in chunks of 8,192 tokens
            oversize="drop",  # Choices: a sample beyond a chunk is not spoken of
            num_examples=None,
            placement=TrainPlacement(
                num_workers=(GPUS[size] // 2, GPUS[size]), use_gpu=True, zero_stage=3, gradient_checkpointing=True,
                micro_batch=1, checkpoint_every_steps=200, max_failures=-1, log_every_steps=10,
            ),
        ),
        rounds=tuple(_round(size, number) for number in range(1, len(ROUNDS) + 1)),
        expected=Expected(
            instructions=ExpectedInstructions(
                num_examples=NUM_MEDICAL + NUM_GENERAL, num_rows=NUM_BLOCKS, row_tokens=BLOCK_TOKENS
            ),
            num_parameters=PARAMETERS[size],
            notes=check_claims("med42", claims()),
        ),
    )  # fmt: skip


def _optimization(size: str) -> Optimization:
    """Table 2. Choices: the length of the warm-up, clipping, decay to 0 and seed are not stated."""
    return Optimization(
        learning_rate=5e-6, schedule="cosine", warmup_fraction=0.03, min_learning_rate_fraction=0.0, optimizer="adamw",
        betas=(0.9, 0.95), weight_decay=0.01, gradient_clip=1.0, epochs=2.0, dtype="bf16", rng_seed=7,
        global_batch=STEPS[size][1] // BLOCK_TOKENS,
    )  # fmt: skip


def _round(size: str, number: int) -> Round:
    """Table 3. Choices: the warm-up is a tenth, as in the Alignment Handbook that was used; clipping and RMSprop's
    alpha are torch's and the Trainer's own; pairs of equal ratings, and those beyond 4,096 tokens, are left out.

    2.2 says that the previous round's model "served as a reward model" of pairs that PairRM had ranked already: read
    as the implicit reward of DPO, whose reference it then is.
    """
    placement = TrainPlacement(
        num_workers=(PREFERENCE_GPUS[size] // 2, PREFERENCE_GPUS[size]), use_gpu=True, zero_stage=3,
        gradient_checkpointing=True, micro_batch=1, checkpoint_every_steps=50, max_failures=-1,
    )  # fmt: skip
    return Round(
        pairs=AdoptedPairsConfig(
            files=tuple(_SETS[name] for name in ROUNDS[number - 1]), heldout_fraction=0.0, max_bad_fraction=0.001,
            benchmarks=BENCHMARKS, rules=RULES, rng_seed=7,
        ),
        reference_policy="previous",
        reference=ReferenceConfig(
            dtype="bf16", max_tokens=MAX_PAIR_TOKENS, oversize="drop", placement=ForwardPlacement(use_gpu=True)
        ),
        dpo=DPOConfig(
            loss=PreferenceLoss(name="dpo", beta=BETA[size]),
            optimization=Optimization(
                learning_rate=1e-6, schedule="cosine", warmup_fraction=0.1, min_learning_rate_fraction=0.0,
                optimizer="rmsprop", betas=(0.9, 0.99), weight_decay=0.0, gradient_clip=1.0, epochs=1.0, dtype="bf16",
                rng_seed=7, global_batch=BATCH[size],
            ),
            placement=placement,
        ),
    )  # fmt: skip


def claims() -> tuple[Claim, ...]:
    """The paper's figures, each beside what follows from its other figures."""
    blocks = {size: steps * tokens // BLOCK_TOKENS for size, (steps, tokens) in STEPS.items()}
    medical = sum(count for name, (count, *_) in TABLE_5.items() if name not in GENERAL)
    general = sum(TABLE_5[name][0] for name in GENERAL)
    whole = NUM_MEDICAL + NUM_GENERAL
    return (
        Claim("general samples, the total against the rows of Table 5", NUM_GENERAL, general),
        Claim("medical samples, the total against the rows of Table 5", NUM_MEDICAL, medical, contradicts=True),
        Claim("medical share of all samples", 0.735, NUM_MEDICAL / whole, tolerance=0.001),
        Claim("steps of the 8B model over two epochs", STEPS["8b"][0], -(-2 * NUM_BLOCKS // 32)),
        # no block count gives both: 85,121 to 85,136 give the 8B model's steps, 85,153 to 85,176 the 70B model's
        Claim("blocks, the 70B model's steps against the 8B model's", blocks["70b"], blocks["8b"], contradicts=True),
        Claim("the same, within 0.1 %", blocks["70b"], blocks["8b"], tolerance=0.001),
        Claim("steps of the 70B model over the 8B model's blocks", STEPS["70b"][0], -(-2 * NUM_BLOCKS // 48), 0.001),
    )
