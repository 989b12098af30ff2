"""A file of word vectors, adopted by digest: which words mean about the same, for `decontaminate`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from medray.core.access import Access
from medray.core.config import Config, Placement, UserError
from medray.core.files import package_directory
from medray.core.identity import digest_file
from medray.text.dense import Embed


class VectorPlacement(Placement):
    """Where the files lie: below an installed package, or, without one, anywhere."""

    package: str = ""
    weights: str
    """Safetensors with one table of vectors."""
    tokenizer: str
    """The table's tokenizer.json."""


class VectorFile(Config):
    """Static embeddings: a vector for every token. They only say where to look, so their terms bind nothing."""

    digest: str = ""
    """Of both files; empty: of what lies there."""
    licence: str
    access: Access
    placement: VectorPlacement


def resolve(file: VectorFile) -> VectorFile:
    """The file with its digest, where that is empty, taken from what lies there. Raises UserError if it is missing."""
    found = [str(path.absolute()) for path in _found(file)]  # workers run in other directories
    place = VectorPlacement(weights=found[0], tokenizer=found[1])
    return file.model_copy(update={"placement": place, "digest": file.digest or _digest(file)})


def load(file: VectorFile | None) -> Embed | None:
    """The vectors of words; None for no file. Raises UserError when it is missing or not the one of the digest."""
    from medray.model.vectors import WordVectors

    if file is None:
        return None
    if file.digest and (found := _digest(file)) != file.digest:
        raise UserError(f"decontaminate.vectors: digest is {found}, expected {file.digest}: get that version")
    return WordVectors(*_found(file))


def _found(file: VectorFile) -> list[Path]:
    place = file.placement
    base = package_directory(place.package) if place.package else Path()
    if base is None:
        raise UserError(
            f"decontaminate.vectors: package {place.package} is not installed, but holds {place.weights}: "
            f"install it, or give paths in decontaminate.vectors.placement"
        )
    paths = [base / place.weights, base / place.tokenizer]
    for path in paths:
        if not path.is_file():
            raise UserError(f"decontaminate.vectors: no such file {path}, expected word vectors: correct the path")
    return paths


def _digest(file: VectorFile) -> str:
    return hashlib.sha256("".join(map(digest_file, _found(file))).encode()).hexdigest()
