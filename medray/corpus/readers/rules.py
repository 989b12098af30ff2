"""How the files of a source are read where its format leaves a choice."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import Field

from medray.core.config import Config


class ReadRules(Config):
    """Limits and choices of the readers; each format uses those that concern it."""

    max_document_bytes: int = Field(50_000_000, ge=1)
    """A longer row of a file goes to quarantine with its size and is never held; a worker holds a few times this."""
    tables: Literal["drop", "caption", "full"] = "caption"
    """Of a paper's tables: nothing, label and caption, or also the cells, a line per row."""
    figures: Literal["drop", "caption"] = "drop"
    """Of a paper's figures: nothing, or label and caption."""
    pile_sets: tuple[str, ...] = ("PubMed Central", "PubMed Abstracts")
    """Values of `meta.pile_set_name` that are wanted; rows of other sets are left out."""
    columns: dict[str, str] = {}
    """Of any other table: column by field of the document, {"text": "article"}; unnamed fields have their own name."""


class Origin(NamedTuple):
    """What is known of a file's rows before they are read."""

    stated: dict[str, Any]
    """Fields of a document where its row does not say them itself."""
    format: str
    reading: ReadRules
