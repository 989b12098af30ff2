"""AlpaCare's fine-tuning on MedInstruct-52k as its paper and code state it; the file is the user's.

Zhang et al. 2023, "AlpaCare: Instruction-tuned Large Language Models for Medical Application". `medray run alpacare_7b
--set files.directory=DIRECTORY` needs MedInstruct-52k.json there. What is left open is marked Choices.
"""

from __future__ import annotations

from medray.corpus.base import BaseConfig, BaseLocation
from medray.plan.corpus import Expected, ExpectedInstructions
from medray.recipes.files import BENCHMARKS, RULES
from medray.recipes.recipe import Recipe
from medray.sft.instructions import InstructionsConfig
from medray.sft.rows import InstructionFile
from medray.sft.train import SFTConfig
from medray.tables.adopted import FilePlacement
from medray.train.config import Optimization, TrainPlacement

NUM_EXAMPLES = 52_000  # section 1; the file has 52,002 rows in the authors' repository
MAX_TOKENS = 1024  # training script
SIZES = {"7b": (2e-5, 3.0, 6.74e9), "13b": (1e-5, 5.0, 13.0e9)}  # training scripts: learning rate, epochs; parameters
PROMPT = "{{ instruction }}{% if input %}\n\n### Input:\n{{ input }}{% endif %}"
"""The instruction, and its input where it has one, as the template `alpaca` knows them."""


def alpacare_7b() -> Recipe:
    """LLaMA-2 7B, three epochs of MedInstruct-52k in batches of 128."""
    return _alpacare("7b")


def alpacare_13b() -> Recipe:
    """LLaMA-2 13B, five epochs."""
    return _alpacare("13b")


def _alpacare(size: str) -> Recipe:
    learning_rate, epochs, num_parameters = SIZES[size]
    return Recipe(
        name=f"alpacare_{size}",
        base=BaseConfig(
            format="huggingface", licence="Llama 2 Community License", access="restricted",
            placement=BaseLocation(hub_id=f"meta-llama/Llama-2-{size}-hf"), chat_template="alpaca",
        ),
        instructions=InstructionsConfig(
            files=(
                InstructionFile(
                    name="medinstruct", licence="CC BY-NC 4.0", access="restricted", format="fields", prompt=PROMPT,
                    answer="{{ output }}", empty_values=("<noinput>",),  # whole fields: trap T3
                    placement=FilePlacement(path="MedInstruct-52k.json"),
                ),
            ),
            benchmarks=BENCHMARKS, rules=RULES,  # the paper checks nothing
            dev_fraction=0.0, max_bad_fraction=0.01, rng_seed=42,
        ),
        sft=SFTConfig(
            # training scripts. Choices: betas and clipping are the Hugging Face Trainer's defaults, which they take
            optimization=Optimization(
                learning_rate=learning_rate, schedule="cosine", warmup_fraction=0.03, min_learning_rate_fraction=0.0,
                optimizer="adamw", betas=(0.9, 0.999), weight_decay=0.0, gradient_clip=1.0, epochs=epochs, dtype="bf16",
                rng_seed=42, global_batch=128,  # examples: 4 GPUs x 4 x 8, or 8 x 2 x 8
            ),
            packing="none", block_tokens=MAX_TOKENS,
            oversize="drop",  # Choices: the code cuts the end of the answer off, stop token and all
            num_examples=None,
            placement=TrainPlacement(
                num_workers=(2, 8), use_gpu=True, zero_stage=3, gradient_checkpointing=True, micro_batch=4,
                checkpoint_every_steps=100, max_failures=-1, log_every_steps=10,
            ),
        ),
        expected=Expected(
            # Choices: 250 tokens an example, to be counted on the file
            instructions=ExpectedInstructions(num_examples=NUM_EXAMPLES, num_rows=NUM_EXAMPLES, row_tokens=250),
            num_parameters=num_parameters,
        ),
    )  # fmt: skip
