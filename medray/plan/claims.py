"""A paper's figures held against each other: which agree, which do not, and that it stays so in the recipe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from medray.core.config import UserError


class Claim(NamedTuple):
    """A figure that a paper states beside the one that follows from its other figures."""

    what: str
    stated: float
    computed: float
    tolerance: float = 0.0
    """Relative difference up to which the two agree."""
    contradicts: bool = False
    """The paper is known to contradict itself here."""

    @property
    def agrees(self) -> bool:
        """Whether the two figures are the same, within the tolerance."""
        return abs(self.computed - self.stated) <= self.tolerance * abs(self.stated)

    def __str__(self) -> str:
        return f"{self.what}: stated {_number(self.stated)}, computed {_number(self.computed)}"


def check_claims(recipe: str, claims: Iterable[Claim]) -> tuple[str, ...]:
    """The claims that are known to contradict, as text. Raises UserError for any that is not what it is said to be."""
    found = []
    for claim in claims:
        if claim.agrees == claim.contradicts:
            expected = "them to differ" if claim.contradicts else "them to agree"
            raise UserError(f"{recipe}: {claim}, expected {expected}: correct the number in the recipe")
        if claim.contradicts:
            found.append(str(claim))
    return tuple(found)


def _number(value: float) -> str:
    if abs(value) >= 1e9:
        return f"{value / 1e9:,.2f}B"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}"
