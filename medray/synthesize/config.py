"""What the synthesis makes and how much of it; every field changes the result."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator

from medray.core.config import Config

Task = Literal[
    "definition_to_term", "term_to_system", "term_to_synonym", "phenotypes_to_disease", "disease_to_phenotype"
]
TASKS: tuple[str, ...] = get_args(Task)
PROMPT_SPLITS = ("reward_train", "reward_heldout", "round_1", "round_2", "fresh")
GROUP_SPLITS = ("test", "dev", "train", *PROMPT_SPLITS)
NUM_OPTIONS = 4


class TaskCounts(Config):
    """A number per multiple-choice task; questions come in fours, see `questions.py`."""

    definition_to_term: int = Field(ge=0)
    term_to_system: int = Field(ge=0)
    term_to_synonym: int = Field(ge=0)
    phenotypes_to_disease: int = Field(ge=0)
    disease_to_phenotype: int = Field(ge=0)

    def of(self, task: str) -> int:
        """The number of one task."""
        return getattr(self, task)

    @property
    def total(self) -> int:
        """Sum over the tasks."""
        return sum(self.of(task) for task in TASKS)


class GroupCounts(Config):
    """How many terms (or diseases) of the focus set belong to each split; each a multiple of 4."""

    test: int = Field(ge=0, multiple_of=4)
    dev: int = Field(ge=0, multiple_of=4)
    train: int = Field(ge=0, multiple_of=4)
    reward_train: int = Field(ge=0, multiple_of=4)
    reward_heldout: int = Field(ge=0, multiple_of=4)
    round_1: int = Field(ge=0, multiple_of=4)
    round_2: int = Field(ge=0, multiple_of=4)
    fresh: int = Field(ge=0, multiple_of=4)

    def of(self, split: str) -> int:
        """The number of one split."""
        return getattr(self, split)

    @property
    def total(self) -> int:
        """Sum over the splits: the size of the focus set."""
        return sum(self.of(split) for split in GROUP_SPLITS)


class HeldoutCounts(Config):
    """Documents that never enter the corpus, of the same kinds, about other terms and diseases."""

    terms: int = Field(ge=0)
    diseases: int = Field(ge=0)
    icd_categories: int = Field(ge=0)
    notes: int = Field(ge=0)


class PromptCounts(Config):
    """Prompts per split."""

    reward_train: int = Field(ge=0)
    reward_heldout: int = Field(ge=0)
    round_1: int = Field(ge=0)
    round_2: int = Field(ge=0)
    fresh: int = Field(ge=0)

    def of(self, split: str) -> int:
        """The number of one split."""
        return getattr(self, split)


class SynthesizeConfig(Config):
    """Documents, questions, instructions and prompts made from the ontologies."""

    rng_seed: int = Field(ge=0)
    system_prompt: str
    """First message of every conversation."""
    systems: tuple[str, ...] = Field(min_length=NUM_OPTIONS)
    """Body systems whose terms are used, by label ("nervous system", "eye", ...); at least four."""
    disease_database: Literal["ORPHA", "OMIM", "DECIPHER"]
    """Whose diseases are used. ORPHA has readable names and a frequency for every phenotype."""
    definition_words: tuple[int, int]
    """Shortest and longest definition of a term, in words."""
    max_profile_phenotypes: int = Field(ge=6)
    """Phenotypes told in a disease profile, most frequent first."""
    focus_terms: GroupCounts
    """Terms whose facts stand in the corpus (test and dev too)."""
    focus_diseases: GroupCounts
    extra_terms: GroupCounts
    """Terms outside the corpus, asked for their body system only: what names alone tell, over many names."""
    num_icd_categories: int = Field(ge=0)
    num_notes: int = Field(ge=0, multiple_of=4)
    """Synthetic clinical notes in the corpus, one per disease, on whole families of four diseases."""
    heldout: HeldoutCounts
    test_questions: TaskCounts
    dev_questions: TaskCounts
    examples: TaskCounts
    """Multiple-choice instructions for SFT."""
    num_open_examples: int = Field(ge=0)
    """Instructions without options (define, name the system, other name, list features) for SFT."""
    num_general_examples: int = Field(ge=0)
    """Paragraphs of general prose to continue, in SFT, so that it is not forgotten."""
    prompts: PromptCounts
    prompt_mix: TaskCounts
    """Proportions of the multiple-choice tasks in every prompt split."""
    open_fraction: float = Field(ge=0, le=1)
    """Fraction of a prompt split without options."""
    max_bad_fraction: float = Field(ge=0, le=1)
    """Fraction of raw rows that may be unreadable before the stage fails."""

    @field_validator("test_questions", "dev_questions", "examples")
    @classmethod
    def _in_fours(cls, counts: TaskCounts) -> TaskCounts:
        odd = [task for task in TASKS if counts.of(task) % NUM_OPTIONS]
        if odd:
            raise ValueError(f"{odd[0]} is {counts.of(odd[0])}, questions come in fours")
        return counts
