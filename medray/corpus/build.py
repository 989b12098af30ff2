"""Stage `corpus`: documents cleaned, deduplicated, mixed by tokens, tokenised and packed into a token store.

Content: `data/store` (token store), `data/order.parquet` (every unit at its place), `data/heldout.parquet`
(DOCUMENT), `data/card.json`. Order and mixture are pure functions of hashes: the number of shards changes nothing.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from pydantic import Field, field_validator

from medray.core.artifact import Artifact
from medray.core.config import Config, Placement, UserError
from medray.core.workspace import Workspace
from medray.corpus.readers.rules import Origin, ReadRules
from medray.corpus.sources import files_with_documents
from medray.text.normalize import CleanRules

NAME = "corpus"
VERSION = 2


class CorpusPlacement(Placement):
    """How the work is shared out."""

    num_shards: int = Field(2, ge=1)
    concurrency: int = Field(2, ge=1)


class CorpusConfig(Config):
    """What stands in the corpus and in what proportions."""

    rules: CleanRules
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
    source_priority: tuple[str, ...] = ()
    """Of equal documents the one of the earliest source here is kept; sources not named come after, by name."""
    block_tokens: int = Field(ge=2)
    blocks_per_file: int = Field(1024, ge=1)
    max_quarantine_fraction: float = Field(ge=0, le=1)
    rng_seed: int = Field(ge=0)
    placement: CorpusPlacement = CorpusPlacement()

    @field_validator("proportions")
    @classmethod
    def _are_parts(cls, parts: dict[str, int]) -> dict[str, int]:
        unknown = set(parts) - {"medical", "clinical", "general"}
        if unknown or not parts or min(parts.values()) < 1:
            raise ValueError("proportions are parts of at least 1 for medical, clinical, general")
        return parts


def run(config: CorpusConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Build the corpus. Raises UserError on too many bad rows, no documents, or a category that cannot fill its part.

    Counters: rows and documents of every step, and per source how many documents and tokens were used.
    """
    from medray.corpus.assemble import assemble
    from medray.corpus.prepare import prepare_shard
    from medray.tables.rows import split_files
    from medray.tables.shards import Shard, run_remote, run_shards

    files = _files(inputs)
    # the number of shards is in the key: marks of another number must not be taken for these
    count = config.placement.num_shards
    shards = [
        Shard(f"prepare-{number:05d}-of-{count:05d}", {"pieces": [(piece, files[piece.path]) for piece in pieces]})
        for number, pieces in enumerate(split_files(list(files), count))
    ]
    model = inputs["model"].data / "model"
    work = partial(prepare_shard, rules=config.rules, model=model, workspace=workspace)
    facts = run_shards(workspace, shards, work, concurrency=config.placement.concurrency, unit="shards")
    workspace.check_quarantine(sum(f["rows"] for f in facts.values()), config.max_quarantine_fraction)
    prepared = [workspace.scratch / f"{shard.key}.parquet" for shard in shards]
    card = run_remote(assemble, config, prepared, list(facts.values()), model, workspace.data)
    _check_conservation(card)
    (workspace.data / "card.json").write_text(json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return _counters(card)


def _files(inputs: dict[str, Artifact]) -> dict[str, Origin]:
    """Every file with documents, and what is known of its rows."""
    from medray.corpus.readers.formats import reader_of
    from medray.tables.rows import list_files

    found: dict[str, Origin] = {}
    if "documents" in inputs:
        made = Origin({}, "documents", ReadRules())
        kinds = reader_of(made.format, made.reading).kinds
        found |= dict.fromkeys(list_files(str(inputs["documents"].data / "documents"), kinds), made)
    if "sources" in inputs:
        found |= files_with_documents(inputs["sources"].data)
    if not found:
        raise UserError("corpus: no input with documents, expected synthesised ones or a source of documents: add one")
    return found


def _check_conservation(card: dict[str, Any]) -> None:
    """in = out + dropped + quarantined at every step, per source and in all."""
    for name, s in [*card["sources"].items(), ("all", card["total"])]:
        assert s["rows"] == s["quarantined"] + sum(s["dropped"].values()) + s["cleaned"], f"{name}: clean lost rows"
        assert s["cleaned"] == s["duplicates"] + s["duplicate_ids"] + s["train"] + s["heldout"], f"{name}: dedup lost"
        assert s["train"] == s["used"] + s["unused"], f"{name}: mixture lost documents"
    placed = sum(c["tokens"] for c in card["categories"].values())
    assert placed == card["store"]["num_tokens"], f"packed {card['store']['num_tokens']} of {placed} tokens"


def _counters(card: dict[str, Any]) -> dict[str, int | float | str]:
    total = card["total"]
    steps = ("rows", "quarantined", "cleaned", "duplicates", "duplicate_ids", "train", "heldout", "used", "unused")
    counters: dict[str, int | float | str] = {name: total[name] for name in steps}
    counters["dropped"] = sum(total["dropped"].values())
    counters |= {"num_tokens": card["store"]["num_tokens"], "num_blocks": card["store"]["num_rows"]}
    counters |= {f"tokens_{name}": facts["tokens"] for name, facts in sorted(card["categories"].items())}
    for name, facts in sorted(card["sources"].items()):
        counters |= {f"{name}.used": facts["used"], f"{name}.train": facts["train"], f"{name}.tokens": facts["tokens"]}
    return counters
