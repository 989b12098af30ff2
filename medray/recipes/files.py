"""The files of the papers' recipes: instructions, prompts and preferences, and the benchmarks kept out of training,
Me-LLaMA's twelve, which hold the others' own."""

from __future__ import annotations

from typing import Any

from medray.core.access import Access
from medray.preference.pair_rows import PairFile
from medray.preference.prompt_rows import PromptFile
from medray.sft.rows import InstructionFile
from medray.tables.adopted import FilePlacement
from medray.tables.benchmarks import BenchmarkFile
from medray.text.contamination import ContaminationRules

# Me-LLaMA, table 3. Choices: every split that a team evaluates on belongs there; jsonl with these fields is the form
_TERMS = {
    "emrqa": ("n2c2 data use agreement", "credentialed"), "i2b2": ("n2c2 data use agreement", "credentialed"),
    "mednli": ("PhysioNet Credentialed Health Data License 1.5.0", "credentialed"),
    "mimic_cxr_summaries": ("PhysioNet Credentialed Health Data License 1.5.0", "credentialed"),
}  # fmt: skip
BENCHMARKS = tuple(
    BenchmarkFile(
        name=name, id_field="id", text_field="text", option_fields=("options",) if with_options else (),
        licence=_TERMS.get(name, ("its own", "public"))[0], access=_TERMS.get(name, ("its own", "public"))[1],
        placement=FilePlacement(path=f"benchmarks/{name}.jsonl"),
    )
    for name, with_options in {
        "pubmedqa": False, "medqa": True, "medmcqa": True, "emrqa": False, "i2b2": False, "ddi2013": False,
        "hoc": False, "mtsample": False, "pubmed_summaries": False, "mimic_cxr_summaries": False, "bionli": False,
        "mednli": False,
    }.items()
)  # fmt: skip


RULES = ContaminationRules(ngram=13, min_alone_words=8, min_aligned_fraction=0.6)
"""No paper states any. 13: GPT-3 (Brown et al. 2020, appendix C). Choices: 8 and 0.6 find all that
benchmarks/decontaminate.py plants."""


def instruction_file(
    name: str, max_examples: int | None, licence: str, access: Access, format: str = "messages", **reading: Any
) -> InstructionFile:
    """`instructions/<name>.jsonl`, each line with its `messages` where no other format is stated."""
    return InstructionFile(
        name=name, licence=licence, access=access, format=format, max_examples=max_examples,
        placement=FilePlacement(path=f"instructions/{name}.jsonl"), **reading,
    )  # fmt: skip


def prompt_file(name: str, licence: str, access: Access, path: str = "", **reading: Any) -> PromptFile:
    """`prompts/<name>`, a file or a directory of files, where no path is stated."""
    place = FilePlacement(path=path or f"prompts/{name}")
    return PromptFile(name=name, licence=licence, access=access, placement=place, **reading)


def pair_file(name: str, licence: str, access: Access, **reading: Any) -> PairFile:
    """`preferences/<name>`, a file or a directory of files, each row with its `chosen` and `rejected`."""
    place = FilePlacement(path=f"preferences/{name}")
    return PairFile(name=name, licence=licence, access=access, format="pairs", placement=place, **reading)
