"""UltraMedical's supervised fine-tuning as its paper states it; the files are the user's.

Zhang et al. 2024, "UltraMedical: Building Specialized Generalists in Biomedicine". `medray run ultramedical_8b --set
files.directory=DIRECTORY` needs `instructions/ultramedical.jsonl` (the published rows: `id`, `conversations`) and
`instructions/<name>.jsonl` of GENERAL. What the paper leaves open is marked Choices.
"""

from __future__ import annotations

from medray.corpus.base import BaseConfig, BaseLocation
from medray.plan.claims import Claim, check_claims
from medray.plan.corpus import Expected, ExpectedInstructions
from medray.recipes.files import BENCHMARKS, RULES, instruction_file
from medray.recipes.recipe import Recipe
from medray.sft.instructions import InstructionsConfig
from medray.sft.train import SFTConfig
from medray.train.config import Optimization, TrainPlacement

NUM_EXAMPLES = 410_000  # section 1
TABLE_6 = {
    "medqa": 9_343, "medmcqa": 58_871, "medqa_evol": 51_809, "textbookqa": 91_684, "pubmedqa": 88_688, "medquad": 5_957,
    "medinstruct": 23_032, "medinstruction": 25_806, "chatdoctor": 31_115, "wikiinstruct": 23_288,
}  # fmt: skip
GENERAL = {"ultrachat": 58_000, "evol_instruct": 40_000, "openorca": 30_000, "camel": 47_000, "orca_math": 16_000}
"""Appendix B; drawn at random, and by whom is not published (issues 2 and 3 of the authors' repository)."""
MAX_TOKENS = 2048  # appendix B
PARAMETERS = {"8b": 8.03e9, "70b": 70.6e9}  # Grattafiori et al. 2024


def ultramedical_8b() -> Recipe:
    """Llama-3-8B-Instruct, two epochs of 410K medical and 190K general instructions."""
    return _ultramedical("8b")


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
        expected=Expected(
            # Choices: 600 tokens an example, to be counted on the files
            instructions=ExpectedInstructions(num_examples=num_examples, num_rows=num_examples, row_tokens=600),
            num_parameters=PARAMETERS[size],
            notes=check_claims("ultramedical", claims()),
        ),
    )  # fmt: skip


def claims() -> tuple[Claim, ...]:
    """The paper's figures, each beside what follows from its other figures."""
    return (
        Claim("instructions, the text against the rows of Table 6", NUM_EXAMPLES, sum(TABLE_6.values()), 0.001),
        Claim("general instructions, the text against the parts", 190_000, sum(GENERAL.values()), tolerance=0.01),
    )
