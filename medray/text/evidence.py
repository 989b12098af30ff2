"""Evidence weighting: how often a document stands in one pass over its source, by what kind of evidence it states.

Points for the publication type, the age and the citations are added and scaled to a factor, which is rounded to a whole
number of copies by a hash of the document's name: a factor of 1.4 is 2 copies of 40% of such documents and 1 of the
others.
Source: Meditron's gap-replay/pubmed/upsample.py (SEEDS A5). Choices: its points for approved journals and for animal
studies are left out: PubMed and JATS state neither as medray reads them, and a point that is missing for every document
changes nothing. A document without a date, or whose citations are not known, gets no points for it; Meditron drops it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from medray.core.config import Config, UserError, explain
from medray.core.identity import stable_hash


class EvidencePolicy(Config):
    """Which documents are repeated, and which are left out: copies = base + upfold * points, rounded stochastically."""

    sources: tuple[str, ...]
    """Sources that it applies to; documents of all others stand once in a pass. Empty: all sources."""
    base: float = Field(ge=0)
    upfold: float = Field(ge=0)
    types: dict[str, float]
    """Points by document type, whole and in any case; of a document's types the one with most points counts."""
    excluded_types: tuple[str, ...]
    """A document that states one of these is left out."""
    ages: tuple[tuple[float, float], ...]
    """(years, points) by growing years: a document younger than so many years at `as_of` gets the points of the first
    pair that says so."""
    citations: tuple[tuple[float, float], ...] = ()
    """(least, points) by falling numbers: a document whose article has at least so many citations, in the measure of
    the sources of format `citations`, gets the points of the first pair that says so. Empty: no such source is read."""
    as_of: str
    """YYYY, YYYY-MM or YYYY-MM-DD; a policy knows no clock."""
    rng_seed: int = Field(ge=0)

    @field_validator("types")
    @classmethod
    def _ignore_case(cls, types: dict[str, float]) -> dict[str, float]:
        return {name.casefold(): points for name, points in types.items()}

    @field_validator("excluded_types")
    @classmethod
    def _ignore_case_too(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.casefold() for name in types)

    @field_validator("as_of", mode="before")
    @classmethod
    def _is_a_date(cls, date: Any) -> str:
        years(str(date))
        return str(date)  # YAML reads an unquoted date as one

    @field_validator("citations")
    @classmethod
    def _fall(cls, citations: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        least = [number for number, _ in citations]
        if any(later >= earlier for earlier, later in zip(least, least[1:], strict=False)):
            raise ValueError("numbers of citations fall from pair to pair, as ((75, 1.0), (25, 0.5))")
        return citations

    def factor(self, source: str, types: Sequence[str], date: str, citations: float | None = None) -> float:
        """The expected number of copies of a document, 0 or more; citations: None where they are not known."""
        if self.sources and source not in self.sources:
            return 1.0
        stated = [name.casefold() for name in types]
        if any(name in self.excluded_types for name in stated):
            return 0.0
        points = max((self.types[name] for name in stated if name in self.types), default=0.0)
        if date:
            age = years(self.as_of) - years(date)
            points += next((bonus for limit, bonus in self.ages if age < limit), 0.0)
        if citations is not None:
            points += next((bonus for least, bonus in self.citations if citations >= least), 0.0)
        return max(self.base + self.upfold * points, 0.0)

    def copies(self, source: str, id: str, types: Sequence[str], date: str, citations: float | None = None) -> int:
        """How often the document stands in one pass: its factor rounded down or up by a hash of its name."""
        factor = self.factor(source, types, date, citations)
        drawn = stable_hash("evidence", self.rng_seed, source, id) / 2**64
        return math.floor(factor) + (drawn < factor % 1)


def years(date: str) -> float:
    """A date as years: what is not stated counts as the first month or day. Raises ValueError for another format."""
    year, month, day = (*map(int, date.split("-")), 1, 1)[:3]
    return year + (month - 1) / 12 + (day - 1) / 365


QUARTILES = ((75.0, 1.0), (25.0, 0.5))
"""Meditron's points for citations: the most cited quarter, and those between. Choices: percentiles of NIH iCite
(`nih_percentile`), which are adjusted for field and year, where Meditron ranks its own articles."""


def meditron(
    sources: tuple[str, ...], upfold: float, as_of: str, rng_seed: int,
    citations: tuple[tuple[float, float], ...] = (),
) -> EvidencePolicy:  # fmt: skip
    """Meditron's points for PubMed's publication types and JATS' article types (SEEDS A5); upfold is not published.

    citations: QUARTILES where a source of iCite's percentiles is there.
    """
    points = {
        1.0: ("Guideline", "Practice Guideline", "Meta-Analysis"),
        0.8: ("Systematic Review", "Clinical Trial, Phase IV"),
        0.6: ("Clinical Trial, Phase III",),
        0.5: ("Randomized Controlled Trial", "Review", "Review-Article", "Observational Study"),
        0.4: ("Clinical Trial, Phase II",),
        0.2: ("Clinical Trial, Phase I",),
        0.1: ("Editorial",),
    }
    return EvidencePolicy(
        sources=sources,
        base=1.0,
        upfold=upfold,
        types={name: value for value, names in points.items() for name in names},
        excluded_types=(
            "Retracted Publication", "Retraction of Publication", "Preprint", "Clinical Trial, Veterinary",
            "Randomized Controlled Trial, Veterinary", "Observational Study, Veterinary",
        ),
        ages=((5.5, 1.0), (10.0, 0.2)),
        citations=citations,
        as_of=as_of,
        rng_seed=rng_seed,
    )  # fmt: skip


def read_policy(path: str | Path) -> EvidencePolicy:
    """A policy from a JSON or YAML file, for a recipe: `evidence=read_policy("policy.yaml")`.

    Raises UserError when the file is missing, is neither, or has a field that a policy has not.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"evidence policy {path}: no such file, expected one of JSON or YAML: correct the path")
    try:
        return EvidencePolicy.model_validate(_parsed(path))
    except ValidationError as error:
        raise UserError(explain(error, f"evidence policy {path}")) from error


def _parsed(path: Path) -> Any:
    text = path.read_text()
    if path.suffix not in (".yaml", ".yml"):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"evidence policy {path}: not JSON ({error}): mend it, or name it .yaml") from error
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"evidence policy {path}: not YAML ({reason}): mend it") from error
