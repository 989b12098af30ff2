"""Three-character categories of ICD-10-CM out of the tabular XML.

Source: CDC/NCHS ICD-10-CM tabular list (chapter > section > nested diag with desc, inclusionTerm, excludes1/2).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from medray.core.config import UserError

_CODES = re.compile(r"\s*\((?:[A-Z]\d[0-9A-Z]?[^()]*|with .*character.*)\)")


@dataclass(frozen=True)
class Category:
    """A category, e.g. A57 Chancroid: cleaned texts, codes in parentheses removed."""

    code: str
    title: str
    section: str
    inclusions: tuple[str, ...]
    excludes: tuple[str, ...]
    subcategories: tuple[str, ...]


def clean_text(text: str) -> str:
    """Tabular wording as prose: code references and NOS/NEC go, [synonym] becomes (synonym)."""
    text = _CODES.sub("", text)
    text = re.sub(r",? (NOS|NEC|not elsewhere classified)\b", "", text).replace("[", "(").replace("]", ")")
    return re.sub(r"\s+", " ", text).strip(" ,;.")


def read_categories(path: Path) -> tuple[list[Category], list[dict], int]:
    """Categories by code, bad rows {where, reason, row}, number of diag elements read. UserError if not XML."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        where = f"{path.name}:{error.position[0]}"
        raise UserError(f"{where}: not well-formed XML ({error}): take the file from its publisher") from error
    categories, bad, num_rows = [], [], 0
    for section in root.iter("section"):
        title = clean_text(section.findtext("desc", ""))
        for diag in section.findall("diag"):
            num_rows += 1
            code, name = (diag.findtext("name") or "").strip(), clean_text(diag.findtext("desc") or "")
            if not code or not name:
                where = f"{path.name}:{code or section.get('id', '?')}"
                bad.append({"where": where, "reason": "diag without name or desc", "row": code or name})
                continue
            excludes = [*diag.findall("excludes1/note"), *diag.findall("excludes2/note")]
            children = [clean_text(child.findtext("desc") or "") for child in diag.findall("diag")]
            categories.append(
                Category(code, name, title, _notes(diag.findall(".//inclusionTerm/note")), _notes(excludes),
                         tuple(child for child in children if child))
            )  # fmt: skip
    return sorted(categories, key=lambda category: category.code), bad, num_rows


def _notes(elements: list[ElementTree.Element]) -> tuple[str, ...]:
    raw = ["".join(element.itertext()).strip() for element in elements]
    if any(text.endswith(":") for text in raw):
        return ()  # "osteomyelitis due to:" heads the notes after it, which mean nothing alone
    texts = (clean_text(text) for text in raw)
    return tuple(dict.fromkeys(text for text in texts if text))
