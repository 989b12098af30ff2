"""Diseases and their phenotypes with frequencies out of phenotype.hpoa.

Source: HPO annotation format (12 tab-separated columns; aspect P = phenotype; frequency as an HPO term, n/m or x%).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from medray.synthesize.ontology import PHENOTYPIC_ABNORMALITY, Ontology

COLUMNS = ("database_id", "disease_name", "qualifier", "hpo_id", "reference", "evidence", "onset", "frequency", "sex",
           "modifier", "aspect", "biocuration")  # fmt: skip
# Middle of each class of HP:0040279 "Frequency"; HP:0040285 "Excluded" is 0.
FREQUENCY_TERMS = {"HP:0040280": 1.0, "HP:0040281": 0.9, "HP:0040282": 0.55, "HP:0040283": 0.17,
                   "HP:0040284": 0.025, "HP:0040285": 0.0}  # fmt: skip
ASPECTS = frozenset("PICMH")
_RATIO = re.compile(r"^(\d+)/(\d+)$")
_PERCENT = re.compile(r"^(\d+(?:\.\d+)?)%$")
_OMIM_NUMBER = re.compile(r"^[#*+%^]?\s*\d{6}\s+")


@dataclass(frozen=True)
class Disease:
    """A disease with its phenotypes: (term id, fraction of patients or None), most frequent first."""

    id: str
    name: str
    phenotypes: tuple[tuple[str, float | None], ...]


def parse_frequency(text: str) -> float | None:
    """Fraction of patients in [0, 1] out of an HPO term, "n/m" or "x%"; None if empty; ValueError otherwise."""
    if not text:
        return None
    if text in FREQUENCY_TERMS:
        return FREQUENCY_TERMS[text]
    ratio, percent = _RATIO.match(text), _PERCENT.match(text)
    if ratio and 0 < int(ratio[2]) and int(ratio[1]) <= int(ratio[2]):
        return int(ratio[1]) / int(ratio[2])
    if percent and float(percent[1]) <= 100:
        return float(percent[1]) / 100
    raise ValueError(f"frequency {text!r} is neither an HPO frequency term, n/m nor x%")


def clean_disease_name(name: str) -> str:
    """A readable disease name: "#154700 MARFAN SYNDROME; MFS" -> "Marfan syndrome".

    The OMIM number and the abbreviation after ";" go; a name all in capitals is set in lower case with its first
    word capitalised (eponyms are nearly always first).
    """
    name = _OMIM_NUMBER.sub("", name).split(";")[0].strip()
    if name.isupper() and " " in name:
        name = name[:1] + name[1:].lower()
    return re.sub(r"\s+", " ", name)


def read_annotations(path: Path, ontology: Ontology, database: str) -> tuple[list[Disease], list[dict], int]:
    """Diseases of one database (OMIM, ORPHA or DECIPHER) by id, bad rows {where, reason, row}, number of rows read.

    Kept: aspect P, no NOT qualifier, frequency not "excluded", terms under "Phenotypic abnormality". The same phenotype
    from several references keeps its highest frequency.
    """
    names: dict[str, str] = {}
    found: dict[str, dict[str, float | None]] = {}
    bad: list[dict] = []
    num_rows = 0
    with path.open(encoding="utf-8") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.rstrip("\n")
            if not line or line.startswith("#") or line.startswith("database_id\t"):
                continue
            num_rows += 1
            try:
                row = _parse_row(line, ontology)
            except ValueError as error:
                bad.append({"where": f"{path.name}:{number}", "reason": str(error), "row": line[:200]})
                continue
            if row is None or not row[0].startswith(database + ":"):
                continue
            disease_id, name, term_id, fraction = row
            names.setdefault(disease_id, clean_disease_name(name))
            phenotypes = found.setdefault(disease_id, {})
            phenotypes[term_id] = max((phenotypes.get(term_id), fraction), key=lambda f: -1.0 if f is None else f)
    diseases = [
        Disease(disease_id, names[disease_id], tuple(sorted(found[disease_id].items(), key=_most_frequent_first)))
        for disease_id in sorted(found)
    ]
    return diseases, bad, num_rows


def _parse_row(line: str, ontology: Ontology) -> tuple[str, str, str, float | None] | None:
    """(disease id, name, term id, fraction) or None for a row we do not use; ValueError with the reason if bad."""
    cells = line.split("\t")
    if len(cells) != len(COLUMNS):
        raise ValueError(f"{len(cells)} columns, expected {len(COLUMNS)}")
    row = dict(zip(COLUMNS, cells, strict=True))
    if row["aspect"] not in ASPECTS:
        raise ValueError(f"aspect {row['aspect']!r} is none of P, I, C, M, H")
    if row["aspect"] != "P" or row["qualifier"] == "NOT":
        return None
    if ":" not in row["database_id"] or not row["disease_name"]:
        raise ValueError("no disease id or name")
    term = ontology.resolve(row["hpo_id"])
    if term is None:
        raise ValueError(f"unknown HPO id {row['hpo_id']!r}")
    fraction = parse_frequency(row["frequency"])
    if fraction == 0.0 or PHENOTYPIC_ABNORMALITY not in ontology.ancestors(term.id):
        return None
    return row["database_id"], row["disease_name"], term.id, fraction


def _most_frequent_first(item: tuple[str, float | None]) -> tuple[float, str]:
    return (-(0.3 if item[1] is None else item[1]), item[0])
