"""Stage `corpus`: documents tokenised, mixed by tokens and packed into a token store.

Content: `data/store` (token store), `data/order` (every unit at its place, in one part per file of the store),
`data/heldout.parquet` (DOCUMENT), `data/card.json`, the data card as a page in `data/card.html`, `data/dropped.parquet`
(all that the steps dropped) and `data/account.json`. Order and mixture are pure functions of hashes: the number of
parts changes nothing. Parts are tokenised, their order is planned from numbers alone, and then every file of the store
gathers its own tokens: each is a shard that a stopped run goes on from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from medray.core.artifact import Artifact
from medray.core.config import Config
from medray.core.workspace import Workspace
from medray.corpus.steps import StepPlacement, keep_parts, parts_of, write_account
from medray.tables.shards import Shard, run_remote, run_shards
from medray.text.evidence import EvidencePolicy

NAME = "corpus"
VERSION = 5


class CorpusConfig(Config):
    """What stands in the corpus and in what proportions."""

    proportions: dict[str, int]
    """Parts by category, in tokens: {"medical": 15, "clinical": 1, "general": 4} (Me-LLaMA, section 2)."""
    token_budget: int = Field(ge=0)
    """Tokens of the corpus, EOS included (a unit more at most per category). 0: as many as use `whole_sources` up, or,
    where there are none, as many as the sources can fill."""
    max_epochs: int = Field(ge=1)
    """How often a document may be used where its category has too few tokens."""
    source_epochs: dict[str, Annotated[int, Field(ge=1)]] = {}
    """The same for single sources, by name: {"mimic_iv_notes": 4}."""
    stratify_sources: bool = False
    """Whether the sources of a category, too, stand in every prefix of a pass in proportion to their tokens, instead of
    about so, by chance."""
    max_unit_tokens: int = Field(ge=0)
    """Longer documents are mixed in pieces of at most this many tokens; 0: never cut."""
    evidence: EvidencePolicy | None = None
    """Which documents are repeated or left out for what they are; None: each stands once in a pass."""
    whole_sources: tuple[str, ...] = ()
    """Sources of which every document must be used at least once; too small a budget is then an error."""
    block_tokens: int = Field(ge=2)
    blocks_per_file: int = Field(1024, ge=1)
    rng_seed: int = Field(ge=0)
    placement: StepPlacement = StepPlacement()

    @field_validator("proportions")
    @classmethod
    def _are_parts(cls, parts: dict[str, int]) -> dict[str, int]:
        unknown = set(parts) - {"medical", "clinical", "general"}
        if unknown or not parts or min(parts.values()) < 1:
            raise ValueError("proportions are parts of at least 1 for medical, clinical, general")
        return parts

    @model_validator(mode="after")
    def _files_can_be_addressed(self) -> CorpusConfig:
        if self.block_tokens * self.blocks_per_file >= 1 << 31:
            raise ValueError("block_tokens * blocks_per_file must be below 2^31 tokens: lower blocks_per_file")
        return self


def run(config: CorpusConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Build the corpus of inputs["documents"] for the tokenizer of inputs["model"]; other inputs: steps before, and
    `sources` where the evidence policy asks for citations.

    Raises UserError where no document is left, or a category cannot fill its part. Counters: documents in, used or held
    out, unused; tokens; and per source how many documents and tokens were used.
    """
    from medray.corpus.assemble import card_of, pack_file
    from medray.corpus.tokenise import tokenise_part
    from medray.tables.blocks import write_facts

    documents, model = inputs["documents"], inputs["model"].data / "model"
    shared = {"concurrency": config.placement.concurrency}
    shards = [Shard(f"tokens-{path.stem}", {"path": path}) for path in parts_of(documents)]
    cited = _cited(config, inputs, workspace)
    work = partial(tokenise_part, model=model, evidence=config.evidence, cited=cited, workspace=workspace)
    parts = run_shards(workspace, shards, work, **shared, unit="parts")
    work = partial(_plan, config=config, keys=list(parts), model=model, workspace=workspace)
    (order,) = run_shards(workspace, [Shard(f"order-of-{len(parts)}")], work, unit="orders").values()
    num_files = -(-order["num_tokens"] // (config.block_tokens * config.blocks_per_file))
    shards = [Shard(f"store-{number:05d}", {"number": number}) for number in range(num_files)]
    work = partial(pack_file, config=config, parts=parts, workspace=workspace)
    files = list(run_shards(workspace, shards, work, **shared, unit="files").values())
    keep_parts(workspace.data / "order", [f"part-{number:05d}.parquet" for number in range(num_files)])
    counted = {name: sum(facts.pop(name) for facts in files) for name in ("num_tokens", "num_loss_tokens")}
    assert counted["num_tokens"] == order["num_tokens"], f"packed {counted['num_tokens']} of {order['num_tokens']}"
    where = workspace.data / "store"
    store = write_facts(where, "causal_lm", order["tokenizer"], config.block_tokens, files, **counted)
    return _account(card_of(list(parts.values()), order, store), config, inputs, workspace)


def _cited(
    config: CorpusConfig, inputs: dict[str, Artifact], workspace: Workspace
) -> Callable[[list[str]], list[float | None]] | None:
    """Groups of documents -> citations, by a table made of the sources; None where no evidence policy asks for them."""
    from medray.corpus.citations import read_citations, write_citations

    if not (config.evidence and config.evidence.citations):
        return None
    path = workspace.scratch / "citations.arrow"
    work = partial(write_citations, sources=inputs["sources"].data, path=path)
    run_shards(workspace, [Shard("citations")], work, unit="tables")
    return partial(read_citations, path)


def _plan(shard: Shard, *, config: CorpusConfig, keys: list[str], model: Path, workspace: Workspace) -> dict[str, Any]:
    """Plan the order, and write what is held out; facts: those of the order, the tokenizer's digest."""
    from medray.corpus.assemble import write_heldout
    from medray.corpus.order import plan_order
    from medray.model.tokenizer import tokenizer_digest

    workspace.fetch("scratch/*.documents.arrow", "scratch/*.heldout.parquet")
    facts = plan_order(config, workspace.scratch, keys)
    heldout = [workspace.scratch / f"{key}.heldout.parquet" for key in keys]
    write_heldout(heldout, workspace.data / "heldout.parquet")
    return {**facts, "tokenizer": tokenizer_digest(model)}


def _account(
    card: dict[str, Any], config: CorpusConfig, inputs: dict[str, Artifact], workspace: Workspace
) -> dict[str, int | float | str]:
    """Write the account and the data card; the counters."""
    from medray.corpus.card import write_card

    counts = {}
    for name, source in card["sources"].items():
        dropped = {"unused": source["unused"]} | ({"low_evidence": n} if (n := source["low_evidence"]) else {})
        counts[name] = Counter(
            {"in": source["train"] + source["heldout"], "out": source["used"] + source["heldout"]}
            | {f"dropped.{reason}": number for reason, number in dropped.items()}
        )
    found = write_account(workspace, NAME, [counts], inputs["documents"])
    workspace.fetch("data/order/*")
    steps = {role: artifact for role, artifact in inputs.items() if role != "sources"}
    run_remote(write_card, card, config.proportions, steps, workspace.data)
    return found | _counters(card)


def _counters(card: dict[str, Any]) -> dict[str, int | float | str]:
    totals = {name: card["total"][name] for name in ("train", "heldout", "used", "unused")}
    counters: dict[str, int | float | str] = dict(totals)
    counters |= {"num_tokens": card["store"]["num_tokens"], "num_blocks": card["store"]["num_rows"]}
    counters |= {f"tokens_{name}": facts["tokens"] for name, facts in sorted(card["categories"].items())}
    for name, facts in sorted(card["sources"].items()):
        counters |= {f"{name}.used": facts["used"], f"{name}.train": facts["train"], f"{name}.tokens": facts["tokens"]}
    return counters
