"""English prose out of the long descriptions of installed Python packages: general text that stands in no corpus mix.

Code, tables, badges, HTML and link targets go; what stays are paragraphs of sentences.
"""

from __future__ import annotations

import importlib.metadata
import re

from medray.core.config import UserError

README_PACKAGES = (
    "accelerate", "datasets", "deepspeed", "fastapi", "huggingface_hub", "peft", "regex", "rich", "tokenizers",
    "transformers", "trl",
)  # fmt: skip
"""Part of every installation that can run a recipe; 11.7k SmolLM2 tokens of prose at the pinned versions."""

_MARKUP: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"<!--.*?-->", re.S), ""),
    (re.compile(r"^[ \t]*(```|~~~).*?^[ \t]*\1[^\n]*$", re.S | re.M), "\n\n"),
    (re.compile(r"^\.\. [^\n]*(\n[ \t]+[^\n]*|\n(?=\n[ \t]))*", re.M), "\n\n"),  # rst directives with their bodies
    (re.compile(r"^(?: {4,}|\t)[^\n]*$", re.M), ""),  # indented code
    (re.compile(r"^[ \t]*[|+=][^\n]*$", re.M), ""),  # tables
    (re.compile(r"^[ \t]*(#{1,6} [^\n]*|[=\-~^*\"`'.+:_#]{3,})[ \t]*$", re.M), "\n"),  # headings and rules
    (re.compile(r"\[?!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])(?:\]\([^)]*\))?"), ""),  # images and badges
    (re.compile(r"^\[[^\]]+\]:[^\n]*$", re.M), ""),
    (re.compile(r"\[([^\]]+)\](?:\([^)]*\)|\[[^\]]*\])"), r"\1"),
    (re.compile(r"`([^`<]+?)\s*<[^>`]*>`__?"), r"\1"),
    (re.compile(r"</?[a-zA-Z][^>]*>"), ""),
    (re.compile(r"https?://[^\s)>]+"), ""),
    (re.compile(r"``?([^`]+)``?_{0,2}"), r"\1"),
    (re.compile(r"\*\*|__|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)"), ""),
)
_BULLET = re.compile(r"^[ \t]*(?:[-*+•]|\d+[.)])[ \t]+", re.M)
_CODE_LIKE = re.compile(r"[{}=<>\\$]|\w\(|\.\w+\.|>>>|::")
_SENTENCE = re.compile(r"[.!?:][\"')]?$")


def prose_of(description: str, min_words: int = 8) -> str:
    """The paragraphs of a Markdown or reStructuredText description that are sentences of at least `min_words`."""
    for pattern, replacement in _MARKUP:
        description = pattern.sub(replacement, description)
    kept: list[str] = []
    for paragraph in re.split(r"\n[ \t]*\n", _BULLET.sub("\n\n", description)):
        text = " ".join(paragraph.split())
        words = text.split()
        letters = sum(c.isalpha() and c.isascii() for c in text)
        english = letters >= 0.75 * len(text) and not _CODE_LIKE.search(text)
        if len(words) >= min_words and english and _SENTENCE.search(text) and text not in kept:
            kept.append(text)
    return "\n\n".join(kept)


def package_readme(name: str) -> dict[str, str]:
    """The prose and the licence of an installed package as a document row. Raises UserError when it is missing."""
    try:
        facts = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(f"sources: package {name} is not installed, its description is a source: install it") from error
    description = facts.get("Description") or facts.get_payload()
    return {"id": f"readme/{name}", "text": prose_of(description), "licence": _licence(facts)}


def _licence(facts: importlib.metadata.PackageMetadata) -> str:
    """The SPDX expression, the licence field when it is a name, or the classifier's last part."""
    if expression := facts.get("License-Expression"):
        return expression
    field = (facts.get("License") or "").strip()
    if field and len(field) < 60 and "\n" not in field:
        return field
    classifiers = [c for c in facts.get_all("Classifier") or [] if c.startswith("License ::")]
    return classifiers[0].rsplit(" :: ", 1)[-1] if classifiers else "unknown"
