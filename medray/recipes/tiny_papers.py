"""The training of the papers in small: real files, a model of less than a million parameters, minutes on a CPU.

`medray run tiny_med42 --set files.directory=DIRECTORY`, with `corpus/`, `instruct/`, `preference/` and `eval/` in it.
They are the papers' recipes but for CHANGED: base, sizes, files and placement.
"""

from __future__ import annotations

from typing import TypeVar

from medray.core.config import Config, changed
from medray.corpus.base import BaseConfig, TinyShape
from medray.corpus.clean import CleanPlacement
from medray.corpus.sources import SourcesConfig, places
from medray.corpus.steps import StepPlacement
from medray.plan.corpus import Expected, ExpectedInstructions
from medray.recipes import tiny_preferences
from medray.recipes.alpacare import alpacare_7b
from medray.recipes.me_llama import SOURCES, me_llama_70b
from medray.recipes.med42 import med42_8b
from medray.recipes.online_rlhf import online_rlhf
from medray.recipes.open_corpus import BENCHMARKS
from medray.recipes.recipe import Recipe
from medray.recipes.tiny_preferences import with_small_preferences
from medray.recipes.ultramedical import ultramedical_8b
from medray.sft.rows import InstructionFile
from medray.tables.adopted import FilePlacement
from medray.train.config import TrainPlacement

C = TypeVar("C", bound=Config)

CHANGED = (
    "name", "expected", "base", "sources", "clean.placement", "deidentify.placement", "dedup.source_priority",
    "decontaminate.benchmarks", "decontaminate.placement", "corpus.token_budget", "corpus.max_unit_tokens",
    "corpus.block_tokens", "corpus.blocks_per_file", "corpus.placement", "pretrain.optimization.global_batch",
    "pretrain.placement", "instructions.files", "instructions.benchmarks", "sft.block_tokens",
    "sft.optimization.global_batch", "sft.placement", *tiny_preferences.CHANGED,
)  # fmt: skip
"""Fields in which a tiny recipe may differ from its paper's; tests hold it to that."""

_BLOCK_TOKENS = 1024
_PLACEMENT = TrainPlacement(num_workers=(1, 2), threads_per_worker=1, micro_batch=4, checkpoint_every_steps=20)
_PLACES = {
    "pile_abstracts": "corpus/pubmed_abstracts.jsonl.zst", "mimic3": "corpus/clinical/NOTEEVENTS.csv.gz",
    "redpajama": "corpus/redpajama_wikipedia.jsonl.zst",
}  # fmt: skip
_FILES = (
    InstructionFile(
        name="medquad", licence="CC BY 4.0", access="public", format="fields", prompt="{{ question }}",
        answer="{{ answer }}", id_field="id", max_examples=240,
        placement=FilePlacement(path="instruct/medquad_qa.jsonl.zst"),
    ),
    InstructionFile(
        name="pubmedqa", licence="MIT", access="public", format="fields", id_field="id", max_examples=80,
        prompt="{{ context }}\n\n{{ question }}", answer="{{ long_answer }}\n\nThe answer is {{ answer }}.",
        placement=FilePlacement(path="instruct/pubmedqa_train.jsonl"),
    ),
)  # fmt: skip


def tiny_me_llama() -> Recipe:
    """Me-LLaMA: 200,000 tokens at 15:1:4, then LoRA on 320 instructions."""
    recipe = _in_small(me_llama_70b(), global_batch=8)
    return changed(
        recipe,
        sources=SourcesConfig(
            sources=tuple(source for source in SOURCES if source.name in _PLACES),
            placement=places(_PLACES),
        ),
        clean=changed(recipe.clean, placement=CleanPlacement()),
        deidentify=changed(recipe.deidentify, placement=StepPlacement()),
        dedup=changed(recipe.dedup, source_priority=tuple(_PLACES)),
        decontaminate=changed(
            recipe.decontaminate, benchmarks=BENCHMARKS, placement=StepPlacement()
        ),
        corpus=changed(
            recipe.corpus, token_budget=200_000, max_unit_tokens=512, block_tokens=512, blocks_per_file=64,
            placement=StepPlacement(),
        ),
        pretrain=_trained(recipe.pretrain, 16),
    )  # fmt: skip


def tiny_alpacare() -> Recipe:
    """AlpaCare: three epochs of 320 instructions."""
    return _in_small(alpacare_7b(), global_batch=8)


def tiny_med42() -> Recipe:
    """Med42: two epochs of 320 instructions in concatenated blocks, three rounds of DPO on others' pairs."""
    return _in_small(med42_8b(), global_batch=4)


def tiny_ultramedical() -> Recipe:
    """UltraMedical: two epochs of 320 instructions, a reward model, a round of DPO on 5 samples of each prompt."""
    return _in_small(ultramedical_8b(), global_batch=8)


def tiny_online_rlhf() -> Recipe:
    """Online-RLHF: a reward model, three rounds of DPO on 8 samples of each prompt."""
    recipe = with_small_preferences(online_rlhf(), _PLACEMENT)
    return changed(recipe, name="tiny_online_rlhf", base=_base(recipe))


def _in_small(recipe: Recipe, global_batch: int) -> Recipe:
    # counted: 131,000 tokens, so that the examples end to end fill 128 blocks
    rows = (128, _BLOCK_TOKENS) if recipe.sft.packing == "concatenate" else (320, 410)
    expected = Expected(
        instructions=ExpectedInstructions(num_examples=320, num_rows=rows[0], row_tokens=rows[1]),
        num_parameters=574_000, adapter_parameters=393_000 if recipe.sft.adapter else None,
    )  # fmt: skip
    return changed(
        with_small_preferences(recipe, _PLACEMENT),
        name=f"tiny_{recipe.name.rpartition('_')[0]}",
        base=_base(recipe),
        instructions=changed(recipe.instructions, files=_FILES, benchmarks=BENCHMARKS),
        sft=changed(_trained(recipe.sft, global_batch), block_tokens=_BLOCK_TOKENS),
        expected=expected,
    )


def _base(recipe: Recipe) -> BaseConfig:
    shape = TinyShape(vocab_size=1024, hidden_size=128, num_layers=3, max_positions=_BLOCK_TOKENS, rng_seed=7)
    return BaseConfig(
        format="tiny", licence="none: random weights", access="public", tiny=shape,
        chat_template=recipe.base.chat_template,
    )  # fmt: skip


def _trained(stage: C, global_batch: int) -> C:
    optimization = changed(stage.optimization, global_batch=global_batch)
    return changed(stage, optimization=optimization, placement=_PLACEMENT)
