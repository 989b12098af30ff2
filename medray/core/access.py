"""Access classes and licence terms, and how they flow to what is derived."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from medray.core.config import UserError

Access = Literal["public", "restricted", "credentialed"]
"""public: may leave; restricted: licence terms bind what is derived; credentialed: patient data, must not leave."""

_ORDER = get_args(Access)


def strictest(classes: Iterable[str]) -> Access:
    """The access class of what is derived from inputs of the given classes: the strictest one; public if none."""
    ranks = [_ORDER.index(access) for access in classes]
    return _ORDER[max(ranks, default=0)]


def combined_licences(licences: Iterable[str]) -> tuple[str, ...]:
    """Every distinct licence that binds a derived artifact, sorted."""
    return tuple(sorted({licence for licence in licences if licence}))


def require_at_most(access: str, limit: Access, what: str, chain: Iterable[str]) -> None:
    """Refuse to let data out that its access class keeps in.

    Raises UserError naming what was asked and the chain of artifacts that forbids it.
    """
    if _ORDER.index(access) > _ORDER.index(limit):
        raise UserError(
            f"{what}: needs data of class {limit} or freer, got {access} through {' -> '.join(chain)}: "
            "drop that source or keep the data inside"
        )
