"""Stage `corpus`: documents tokenised, mixed by tokens and packed into a token store.

Content: `data/store` (token store), `data/order.parquet` (every unit at its place), `data/heldout.parquet`
(DOCUMENT), `data/card.json`, `data/account.json`. Order and mixture are pure functions of hashes: the number of parts
changes nothing.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from pydantic import Field, field_validator

from medray.core.artifact import Artifact
from medray.core.config import Config
from medray.core.workspace import Workspace
from medray.corpus.steps import StepPlacement, joined, parts_of, read_account, write_account

NAME = "corpus"
VERSION = 3


class CorpusConfig(Config):
    """What stands in the corpus and in what proportions."""

    proportions: dict[str, int]
    """Parts by category, in tokens: {"medical": 15, "clinical": 1, "general": 4} (Me-LLaMA, section 2)."""
    token_budget: int = Field(ge=0)
    """Tokens of the corpus, EOS included (a unit more at most per category). 0: as many as use `whole_sources` up, or,
    where there are none, as many as the sources can fill."""
    max_epochs: int = Field(ge=1)
    """How often a document may be used where its category has too few tokens."""
    max_unit_tokens: int = Field(ge=0)
    """Longer documents are mixed in pieces of at most this many tokens; 0: never cut."""
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


def run(config: CorpusConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Build the corpus of inputs["documents"] for the tokenizer of inputs["model"].

    Raises UserError where no document is left, or a category cannot fill its part. Counters: documents in, used or held
    out, unused; tokens; and per source how many documents and tokens were used.
    """
    from medray.corpus.assemble import assemble
    from medray.corpus.tokenise import tokenise_part
    from medray.tables.shards import Shard, run_remote, run_shards

    documents, model = inputs["documents"], inputs["model"].data / "model"
    parts = parts_of(documents)
    work = partial(tokenise_part, model=model, workspace=workspace)
    shards = [Shard(f"tokens-{path.stem}", {"path": path}) for path in parts]
    run_shards(workspace, shards, work, concurrency=config.placement.concurrency, unit="parts")
    tokens = [workspace.scratch / f"{shard.key}.parquet" for shard in shards]
    card = run_remote(assemble, config, parts, tokens, model, workspace.data)
    counts = {
        name: {"in": s["train"] + s["heldout"], "out": s["used"] + s["heldout"], "dropped.unused": s["unused"]}
        for name, s in card["sources"].items()
    }
    found = write_account(workspace, NAME, [counts], documents)
    placed = sum(category["tokens"] for category in card["categories"].values())
    assert placed == card["store"]["num_tokens"], f"packed {card['store']['num_tokens']} of {placed} tokens"
    card |= {"conservation": joined(read_account(workspace.data)), "certificates": _certificates(documents)}
    (workspace.data / "card.json").write_text(json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return found | _counters(card)


def _certificates(documents: Artifact) -> list[dict[str, Any]]:
    """What was looked for in the documents and found, without the matches."""
    path = documents.data / "certificates.json"
    found = json.loads(path.read_text()) if path.exists() else []
    return [{name: value for name, value in one.items() if name != "matches"} for one in found]


def _counters(card: dict[str, Any]) -> dict[str, int | float | str]:
    totals = {name: card["total"][name] for name in ("train", "heldout", "used", "unused")}
    counters: dict[str, int | float | str] = dict(totals)
    counters |= {"num_tokens": card["store"]["num_tokens"], "num_blocks": card["store"]["num_rows"]}
    counters |= {f"tokens_{name}": facts["tokens"] for name, facts in sorted(card["categories"].items())}
    for name, facts in sorted(card["sources"].items()):
        counters |= {f"{name}.used": facts["used"], f"{name}.train": facts["train"], f"{name}.tokens": facts["tokens"]}
    return counters
