"""What a corpus will hold and take, from the published sizes of its sources and measured rates."""

from __future__ import annotations

from math import ceil
from typing import Literal, NamedTuple

from pydantic import Field

from medray.core.config import Config
from medray.plan.rates import Rates


class ExpectedSource(Config):
    """What a source is said to hold: the recipe writes where each number comes from."""

    name: str
    category: Literal["medical", "clinical", "general"]
    num_documents: int = Field(ge=1)
    num_files: int = Field(ge=1)
    text_bytes: int = Field(ge=1)
    """Of the documents' text, uncompressed."""
    num_tokens: int = Field(ge=1)
    """With the recipe's tokenizer, what is dropped included."""


class ExpectedInstructions(Config):
    """The token store that fine-tuning is said to have."""

    num_examples: int = Field(ge=1)
    num_rows: int = Field(ge=1)
    """Blocks where examples are packed, else as many as examples."""
    row_tokens: float = Field(gt=0)
    """On average."""


class Expected(Config):
    """What a plan reckons with."""

    sources: tuple[ExpectedSource, ...] = ()
    instructions: ExpectedInstructions | None = None
    num_parameters: float = Field(default=0, ge=0)
    """Of the base model; 0: nothing is trained."""
    adapter_parameters: float | None = None
    rates: Rates = Rates()
    notes: tuple[str, ...] = ()
    """What a reader of the plan should know, such as figures of a paper that contradict each other."""


class Mix(NamedTuple):
    """The fields of a recipe that the arithmetic takes."""

    proportions: dict[str, int]
    token_budget: int
    max_epochs: int
    source_epochs: dict[str, int]
    block_tokens: int
    blocks_per_file: int
    num_shards: int
    deidentified: tuple[str, ...]
    """Categories whose documents go through the PHI gate."""
    num_bands: int
    """Of near-duplicates; 0: only equal texts are looked for."""
    keeps_ngrams: bool
    """Whether candidate pairs are verified by their n-grams."""


class Share(NamedTuple):
    """A category: its tokens in the sources and in the corpus, and how often a document is used on average."""

    category: str
    available: int
    needed: int
    epochs: float


class Step(NamedTuple):
    """A step of the corpus: the processor time it takes and what it leaves."""

    name: str
    cpu_hours: float
    stored_bytes: int
    """In the root, a disk or an object store."""
    scratch_bytes: int
    """Beside it while the step runs."""


class CorpusEstimate(NamedTuple):
    """A corpus by arithmetic."""

    num_documents: int
    text_bytes: int
    num_shards: int
    num_tokens: int
    num_blocks: int
    num_files: int
    """Of the token store."""
    shares: list[Share]
    steps: list[Step]
    shortage: str
    """Why the sources cannot fill the mixture and what they could, "" where they can."""


def estimate(expected: Expected, mix: Mix) -> CorpusEstimate:
    """The corpus that the expected sources make; token_budget 0: as many tokens as they can fill."""
    parts = sum(mix.proportions.values())
    available, usable = dict.fromkeys(mix.proportions, 0), dict.fromkeys(mix.proportions, 0)
    for source in expected.sources:
        epochs = mix.source_epochs.get(source.name, mix.max_epochs)
        available[source.category] = available.get(source.category, 0) + source.num_tokens
        usable[source.category] = usable.get(source.category, 0) + source.num_tokens * epochs
    can = min(usable[name] * parts // part for name, part in mix.proportions.items())
    budget = mix.token_budget or can
    shares = [_share(name, available[name], -(-budget * part // parts)) for name, part in mix.proportions.items()]
    short = [(share, usable[share.category]) for share in shares if share.needed > usable[share.category]]
    blocks = ceil(budget / mix.block_tokens)
    return CorpusEstimate(
        num_documents=sum(source.num_documents for source in expected.sources),
        text_bytes=sum(source.text_bytes for source in expected.sources),
        num_shards=mix.num_shards,
        num_tokens=budget,
        num_blocks=blocks,
        num_files=ceil(blocks / mix.blocks_per_file),
        shares=shares,
        steps=_steps(expected, mix, budget),
        shortage=_shortage(short, can) if short else "",
    )


def _share(category: str, available: int, needed: int) -> Share:
    return Share(category, available, needed, needed / available if available else float("inf"))


def _shortage(short: list[tuple[Share, int]], can: int) -> str:
    names = ", ".join(f"{s.category} needs {s.needed:,} tokens, has {n:,} with all its epochs" for s, n in short)
    return f"{names}: at most {can:,} tokens can be filled; lower corpus.token_budget, or add a source"


def _steps(expected: Expected, mix: Mix, budget: int) -> list[Step]:
    """Every step works on the whole text of the sources: what earlier ones drop is not foreseen."""
    rates = expected.rates
    text = sum(source.text_bytes for source in expected.sources)
    clinical = sum(source.text_bytes for source in expected.sources if source.category in mix.deidentified)
    documents = sum(source.num_documents for source in expected.sources)
    tokens = sum(source.num_tokens for source in expected.sources)

    def hours(num_bytes: float, mb_per_s: float) -> float:
        return num_bytes / (mb_per_s * 1e6) / 3600

    # of fewer files than shards each is read by several shards, which keep their own rows
    readings = ceil(mix.num_shards / sum(source.num_files for source in expected.sources))
    again = hours(text * (readings - 1), rates.read_mb_per_s)
    compressed, stored = round(text * rates.source_fraction), round(text * rates.stored_fraction)
    keys = documents * (rates.key_bytes + 12 * mix.num_bands)
    ngrams = round(text * rates.ngram_fraction) if mix.keeps_ngrams else 0
    tokenise, pack = tokens / rates.tokenise_tokens_per_s / 3600, budget / rates.pack_tokens_per_s / 3600
    return [
        Step("sources", hours(compressed, rates.copy_mb_per_s), compressed, 0),
        Step("clean", hours(text, rates.clean_mb_per_s) + again, stored, 0),
        Step("decontaminate", hours(text, rates.decontaminate_mb_per_s), stored, 0),
        Step("deidentify", hours(clinical, rates.deidentify_mb_per_s), round(clinical * rates.stored_fraction), 0),
        Step("dedup", hours(text, rates.dedup_mb_per_s), stored, keys + ngrams),
        Step(
            "corpus", tokenise + pack, round(budget * rates.store_bytes_per_token), tokens * rates.scratch_token_bytes
        ),
    ]
