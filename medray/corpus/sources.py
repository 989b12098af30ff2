"""Stage `sources`: raw texts adopted by digest, each with its licence and access class.

Content: `data/<name>/<file>` and `data/sources.json`. A source's identity is its digest; where it lies is placement.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import fsspec
from pydantic import Field, model_validator

from medray.core.access import Access, combined_licences, strictest
from medray.core.artifact import Artifact
from medray.core.config import Config, Placement, UserError
from medray.core.digests import remembered_digest
from medray.core.files import package_directory
from medray.core.workspace import Workspace
from medray.corpus.prose import README_PACKAGES, package_readme
from medray.corpus.readers.rules import Origin, ReadRules

NAME = "sources"
VERSION = 2

Format = Literal[
    "hpo_obo", "hpoa", "icd10cm", "pydoc_topics", "package_readmes", "documents", "pile", "redpajama", "guidelines",
    "pmc_jats", "pubmed_xml", "mimic3_noteevents", "mimic4_notes", "mimic_cxr", "citations",
]  # fmt: skip

CITATIONS: Format = "citations"

_FILES = {
    "hpo_obo": "hp.obo", "hpoa": "phenotype.hpoa", "icd10cm": "icd10cm_tabular.xml",
    "pydoc_topics": "documents.jsonl", "package_readmes": "documents.jsonl",
}  # fmt: skip


class SourceConfig(Config):
    """One source: what it is and on what terms."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    category: Literal["medical", "clinical", "general"]
    format: Format
    """hpo_obo, hpoa, icd10cm: ontology files, read by `synthesize`. citations: how often articles are cited, read by
    `corpus`. pydoc_topics: Python's language reference. package_readmes: prose of package descriptions, held out of the
    mix. documents: jsonl, csv, parquet or txt with a `text` per row. The others as published; all may be compressed
    (.zst .gz .bz2) or in archives (.tar .zip)."""
    reading: ReadRules = ReadRules()
    digest: str = ""
    """SHA-256 of the file (of the list of files when there are several); empty: taken from what is found."""
    licence: str
    licence_url: str
    access: Access
    url: str
    """Where the publisher offers it."""


class SourceLocation(Config):
    """Where a source lies: a file inside an installed package (may be a pattern), a path or any fsspec URL of a file
    or directory, or package descriptions."""

    name: str
    package: str = ""
    file: str = ""
    path: str = ""
    packages: tuple[str, ...] = README_PACKAGES


class SourcesPlacement(Placement):
    """Where the sources lie; package_readmes and pydoc_topics need no entry."""

    locations: tuple[SourceLocation, ...] = ()


def places(paths: Mapping[str, str]) -> SourcesPlacement:
    """Paths by name of the source as a placement."""
    return SourcesPlacement(locations=tuple(SourceLocation(name=name, path=path) for name, path in paths.items()))


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
    """The config with every empty digest taken from the files, which are read once. Raises UserError if missing."""
    sources = tuple(
        s if s.digest else s.model_copy(update={"digest": _digest(s.name, _content(config, s))}) for s in config.sources
    )
    return config.model_copy(update={"sources": sources})


def terms(config: SourcesConfig) -> tuple[Access, tuple[str, ...]]:
    """Strictest access class and all licences of the sources."""
    return strictest(s.access for s in config.sources), combined_licences(s.licence for s in config.sources)


def run(config: SourcesConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Verify each source against its digest and copy it. Raises UserError on a source that is missing or differs."""
    counters: dict[str, int | float | str] = {}
    facts = []
    for done, source in enumerate(config.sources):
        workspace.journal.progress(done, len(config.sources), "sources", source.name)
        directory = workspace.data / source.name
        digest = _adopt(config, source, directory)
        num_bytes = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        facts.append({**source.model_dump(exclude={"digest"}), "digest": digest, "bytes": num_bytes})
        counters[f"bytes_{source.name}"] = num_bytes
    (workspace.data / "sources.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return {"num_sources": len(facts), **counters}


def _adopt(config: SourcesConfig, source: SourceConfig, directory: Path) -> str:
    """Copy a source; its digest, which is that of what was copied: the files may change while they are read."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    found = _digest(source.name, _content(config, source), directory)
    if source.digest and found != source.digest:
        shutil.rmtree(directory)
        raise UserError(
            f"sources.{source.name}: digest of what lies there is {found}, expected {source.digest}: "
            f"get the version that the recipe names, or set the digest to the new one"
        )
    return found


def _digest(source: str, content: dict[str, bytes | str], directory: Path | None = None) -> str:
    """The digest of a source's files, copied into the directory as they are read, if there is one."""
    digests = {}
    for name, item in content.items():
        try:
            if not directory and isinstance(item, str):
                digests[name] = remembered_digest(item)
                continue
            target = directory / name if directory else Path(os.devnull)
            target.parent.mkdir(exist_ok=True)
            with _opened(item) as stream, open(target, "wb") as copy:
                digest = hashlib.sha256()
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
                    copy.write(chunk)
        except FileNotFoundError as error:
            raise UserError(f"sources.{source}: {item} vanished before it was read: put it back, run again") from error
        digests[name] = digest.hexdigest()
    if len(digests) == 1:
        return digests.popitem()[1]
    return hashlib.sha256("\n".join(f"{digest}  {name}" for name, digest in digests.items()).encode()).hexdigest()


def _opened(item: bytes | str) -> Any:
    return io.BytesIO(item) if isinstance(item, bytes) else fsspec.open(item, "rb")


def _content(config: SourcesConfig, source: SourceConfig) -> dict[str, bytes | str]:
    """The files of a source by the names they get: bytes where they are made, a URL where they are copied."""
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
    return {_name(source, number, file): file for number, file in enumerate(files)}


def _name(source: SourceConfig, number: int, file: str) -> str:
    """The name of an adopted file, the same wherever it lay; that of a MIMIC-CXR report says whose it is."""
    from medray.tables.streams import stored_suffixes

    suffixes = stored_suffixes(file, _kinds(source))
    if source.format == "mimic_cxr" and suffixes.startswith(".txt"):
        return "/".join(PurePosixPath(file).parts[-2:])
    return f"part-{number:05d}{suffixes}"


def _kinds(source: SourceConfig) -> tuple[str, ...]:
    from medray.corpus.readers.formats import reader_of
    from medray.tables.formats import TABLE_KINDS

    if source.format == CITATIONS:
        return TABLE_KINDS
    return reader_of(source.format, source.reading).kinds


def _jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _find(source: SourceConfig, place: SourceLocation) -> list[str]:
    from medray.tables.rows import list_files

    if place.package:
        base = package_directory(place.package)
        if base is None:
            raise UserError(
                f"sources.{source.name}: package {place.package} is not installed, but holds {place.file}: "
                f"install it, or give a path in sources.placement.locations"
            )
        files, where = [str(path) for path in sorted(base.glob(place.file))], f"{place.package}/{place.file}"
    elif source.format in _FILES:
        fs, path = fsspec.core.url_to_fs(place.path)
        files, where = [place.path] if fs.isfile(path) else [], place.path
    else:
        files, where = list_files(place.path, _kinds(source)), place.path
    if not files:
        raise UserError(
            f"sources.{source.name}: nothing at {where}, expected a file: correct the location, or "
            "files.directory, where relative paths start"
        )
    if len(files) > 1 and source.format in _FILES:
        raise UserError(f"sources.{source.name}: {len(files)} files at {where}, expected one: name it exactly")
    return files


def stated_sources(raw: Path) -> list[SourceConfig]:
    """The sources whose files stand in the content of a sources artifact."""
    rows = json.loads((raw / "sources.json").read_text())
    return [SourceConfig.model_validate({name: row[name] for name in SourceConfig.model_fields}) for row in rows]


def files_with_documents(raw: Path) -> dict[str, Origin]:
    """Every file of documents in the content of a sources artifact, with what is known of its rows."""
    from medray.corpus.readers.formats import DOCUMENT_FORMATS
    from medray.tables.rows import list_files

    found: dict[str, Origin] = {}
    for source in stated_sources(raw):
        if source.format in DOCUMENT_FORMATS:
            stated = {"source": source.name, "category": source.category, "synthetic": False}
            terms = {"licence": source.licence, "access": source.access}
            origin = Origin(stated | terms, source.format, source.reading)
            found |= dict.fromkeys(list_files(str(raw / source.name), _kinds(source)), origin)
    return found
