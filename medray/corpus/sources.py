"""Stage `sources`: raw texts adopted by digest, each with its licence and access class.

Content: `data/<name>/<file>` and `data/sources.json`. A source's identity is its digest; where it lies is placement.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from medray.core.access import Access, combined_licences, strictest
from medray.core.artifact import Artifact
from medray.core.config import Config, Placement, UserError
from medray.core.identity import digest_file
from medray.core.workspace import Workspace
from medray.corpus.prose import README_PACKAGES, package_readme

NAME = "sources"
VERSION = 1

Format = Literal["hpo_obo", "hpoa", "icd10cm", "pydoc_topics", "package_readmes", "documents"]

_FILES = {
    "hpo_obo": "hp.obo", "hpoa": "phenotype.hpoa", "icd10cm": "icd10cm_tabular.xml",
    "pydoc_topics": "documents.jsonl", "package_readmes": "documents.jsonl",
}  # fmt: skip
DOCUMENT_FORMATS = ("pydoc_topics", "package_readmes", "documents")
"""Formats whose rows are documents: the corpus reads them; the others are read by `synthesize`."""


class SourceConfig(Config):
    """One source: what it is and on what terms."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    category: Literal["medical", "clinical", "general"]
    format: Format
    """hpo_obo, hpoa, icd10cm: ontology files. pydoc_topics: Python's language reference. package_readmes: prose of
    package descriptions, held out of the mix. documents: jsonl(.zst/.gz), parquet or txt with a `text` per row."""
    digest: str = ""
    """SHA-256 of the file (of the list of files when there are several); empty: taken from what is found."""
    licence: str
    licence_url: str
    access: Access
    url: str
    """Where the publisher offers it."""


class SourceLocation(Config):
    """Where a source lies: a file inside an installed package (may be a pattern), a path, or package descriptions."""

    name: str
    package: str = ""
    file: str = ""
    path: str = ""
    packages: tuple[str, ...] = README_PACKAGES


class SourcesPlacement(Placement):
    """Where the sources lie; package_readmes and pydoc_topics need no entry."""

    locations: tuple[SourceLocation, ...] = ()


class SourcesConfig(Config):
    """Everything adopted, with the places to find it."""

    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    placement: SourcesPlacement = SourcesPlacement()

    @model_validator(mode="after")
    def _names_are_unique(self) -> SourcesConfig:
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError(f"two sources of one name among {', '.join(names)}: rename one")
        return self

    def location(self, source: SourceConfig) -> SourceLocation:
        """The place of a source; raises UserError when it needs one and has none."""
        found = [place for place in self.placement.locations if place.name == source.name]
        if not found and source.format not in ("pydoc_topics", "package_readmes"):
            raise UserError(
                f"sources.{source.name}: no location, expected a package and file, or a path: "
                f"add one to sources.placement.locations"
            )
        return found[0] if found else SourceLocation(name=source.name)


def resolve(config: SourcesConfig) -> SourcesConfig:
    """The config with every empty digest taken from the files (~0.3 s for the demo's). Raises UserError if missing."""
    sources = [s if s.digest else s.model_copy(update={"digest": _digest(_content(config, s))}) for s in config.sources]
    return config.model_copy(update={"sources": tuple(sources)})


def terms(config: SourcesConfig) -> tuple[Access, tuple[str, ...]]:
    """Strictest access class and all licences of the sources."""
    return strictest(s.access for s in config.sources), combined_licences(s.licence for s in config.sources)


def run(config: SourcesConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Verify each source against its digest and copy it. Raises UserError on a source that is missing or differs."""
    counters: dict[str, int | float | str] = {}
    facts = []
    for done, source in enumerate(config.sources):
        workspace.journal.progress(done, len(config.sources), "sources", source.name)
        num_bytes = _adopt(config, source, workspace.data / source.name)
        stated = source.model_dump(exclude={"digest"})
        facts.append({**stated, "digest": source.digest or _digest(_content(config, source)), "bytes": num_bytes})
        counters[f"bytes_{source.name}"] = num_bytes
    (workspace.data / "sources.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return {"num_sources": len(facts), **counters}


def _adopt(config: SourcesConfig, source: SourceConfig, directory: Path) -> int:
    content = _content(config, source)
    found = _digest(content)
    if source.digest and found != source.digest:
        raise UserError(
            f"sources.{source.name}: digest of what lies there is {found}, expected {source.digest}: "
            f"get the version that the recipe names, or set the digest to the new one"
        )
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name, item in content.items():
        if isinstance(item, bytes):
            (directory / name).write_bytes(item)
        else:
            shutil.copyfile(item, directory / name)
    return sum(path.stat().st_size for path in directory.iterdir())


def _digest(content: dict[str, bytes | Path]) -> str:
    digests = [hashlib.sha256(i).hexdigest() if isinstance(i, bytes) else digest_file(i) for i in content.values()]
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _content(config: SourcesConfig, source: SourceConfig) -> dict[str, bytes | Path]:
    """The files of a source by the names they get: bytes where they are made, a path where they are copied."""
    if source.format == "pydoc_topics":
        from pydoc_data.topics import topics

        rows = [{"id": f"pydoc/{name}", "text": text} for name, text in sorted(topics.items())]
        return {_FILES[source.format]: _jsonl(rows)}
    place = config.location(source)
    if source.format == "package_readmes":
        rows = [{**package_readme(name), "split": "heldout"} for name in place.packages]
        return {_FILES[source.format]: _jsonl(rows)}
    files = _find(source, place)
    if source.format in _FILES:
        return {_FILES[source.format]: files[0]}
    return {f"part-{i:05d}{''.join(_suffixes(file))}": file for i, file in enumerate(files)}


def _suffixes(file: Path) -> list[str]:
    return [s for s in file.suffixes if s in (".jsonl", ".parquet", ".txt", ".zst", ".gz")]


def _jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _find(source: SourceConfig, place: SourceLocation) -> list[Path]:
    if place.package:
        spec = importlib.util.find_spec(place.package)
        if spec is None or not spec.submodule_search_locations:
            raise UserError(
                f"sources.{source.name}: package {place.package} is not installed, but holds {place.file}: "
                f"install it, or give a path in sources.placement.locations"
            )
        base = Path(spec.submodule_search_locations[0])
        files, where = sorted(base.glob(place.file)), f"{place.package}/{place.file}"
    else:
        path, where = Path(place.path), place.path
        files = sorted(p for p in path.rglob("*") if p.is_file() and _suffixes(p)) if path.is_dir() else [path]
    files = [file for file in files if file.is_file()]
    if not files:
        raise UserError(f"sources.{source.name}: nothing at {where}, expected a file: correct the location")
    if len(files) > 1 and source.format in _FILES:
        raise UserError(f"sources.{source.name}: {len(files)} files at {where}, expected one: name it exactly")
    return files
