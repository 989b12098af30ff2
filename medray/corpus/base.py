"""Stage `base`: the base model adopted by digest, as a Hugging Face directory `data/model`.

Identity is the digest of the weights; where they lie (a package, a directory, the hub) is placement.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from medray.core.access import Access
from medray.core.artifact import Artifact
from medray.core.config import Config, Placement, UserError
from medray.core.digests import remembered_digest
from medray.core.files import package_directory
from medray.core.identity import digest_file
from medray.core.workspace import Workspace
from medray.model.template import TemplateName

NAME = "base"
VERSION = 1

_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt")
"""What of a Hugging Face directory is adopted: weights, config, tokenizer, chat template; never pickles."""


class TinyShape(Config):
    """A random Llama of less than a million parameters; its tokenizer is trained on what there is of texts."""

    vocab_size: int = Field(ge=300)
    hidden_size: int = Field(ge=16, multiple_of=4)
    num_layers: int = Field(ge=1)
    max_positions: int = Field(ge=128)
    rng_seed: int = Field(ge=0)


class BaseLocation(Placement):
    """Where the weights lie: a file in an installed package, a path, or a hub id; exactly one for gguf, huggingface."""

    package: str = ""
    file: str = ""
    """File inside the package; may be a pattern (`*.gguf`)."""
    path: str = ""
    hub_id: str = ""
    revision: str = "main"


class BaseConfig(Config):
    """The model everything starts from."""

    format: Literal["gguf", "huggingface", "tiny"]
    digest: str = ""
    """SHA-256 of the GGUF file, or of the list of (name, SHA-256) of the adopted files; empty: taken by `resolve`."""
    licence: str
    access: Access
    chat_template: TemplateName | None = None
    """For a model that has none: the name of a template, which is stored with it. It replaces the model's own."""
    tiny: TinyShape | None = None
    placement: BaseLocation = BaseLocation()

    @model_validator(mode="after")
    def _is_complete(self) -> BaseConfig:
        if (self.format == "tiny") != (self.tiny is not None):
            raise ValueError("format tiny needs the field tiny (a shape), and only it may have one")
        return self


def terms(config: BaseConfig) -> tuple[Access, tuple[str, ...]]:
    """Access class and licence of the weights."""
    return config.access, (config.licence,)


def resolve(config: BaseConfig) -> BaseConfig:
    """The config with an empty digest taken from the files, which are read once: 0.1 s for a 98 MB GGUF, 1 s per GB.

    Of a hub id only the small files are downloaded: the hub knows the digests of the weights. Raises UserError when
    nothing lies at the location.
    """
    if config.format == "tiny" or config.digest:
        return config
    place = _location(config)
    digest = _digest_on_hub(place) if place.hub_id else _digest(_weights(place), remembered_digest)
    return config.model_copy(update={"digest": digest})


def run(config: BaseConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Adopt the model into `data/model`. Raises UserError on a digest that differs, or a model that cannot be used."""
    from medray.tables.shards import run_remote

    directory = workspace.data / "model"
    shutil.rmtree(directory, ignore_errors=True)
    workspace.journal.progress(0, 1, "models", config.format)
    if config.format == "tiny":
        run_remote(_make_tiny, config, inputs, directory)
    else:
        files = _weights(_location(config))
        found = _digest(files)
        if config.digest and found != config.digest:
            raise UserError(
                f"base.digest: the weights there have {found}, expected {config.digest}: "
                f"get the weights that the recipe names, or set the digest to theirs"
            )
        if config.format == "gguf":
            run_remote(_convert, files, directory)
        else:
            run_remote(_copy, files, directory, config.chat_template)
    return {
        "num_parameters": run_remote(_check, directory, config.chat_template),
        "bytes": sum(path.stat().st_size for path in directory.iterdir()),
    }


def _digest(files: list[Path], of: Callable[[Path], str] = digest_file) -> str:
    if len(files) == 1:
        return of(files[0])
    return _combined({file.name: of(file) for file in files})


def _combined(digests: dict[str, str]) -> str:
    return hashlib.sha256("".join(f"{name} {digests[name]}\n" for name in sorted(digests)).encode()).hexdigest()


def _location(config: BaseConfig) -> BaseLocation:
    place = config.placement
    given = [name for name in ("package", "path", "hub_id") if getattr(place, name)]
    if len(given) != 1:
        raise UserError(
            f"base.placement: got {', '.join(given) or 'no location'}, expected exactly one of package, path, hub_id: "
            f"say where the weights lie"
        )
    return place


def _weights(place: BaseLocation) -> list[Path]:
    """The files to adopt, in name order; a hub id is downloaded into the hub's own cache first."""
    if place.package:
        return _in_package(place)
    path = _from_hub(place, _FILES) if place.hub_id else Path(place.path)
    if path.is_file():
        return [path]
    files = sorted({f for pattern in _FILES for f in path.glob(pattern)}, key=lambda f: f.name)
    if not any(f.suffix == ".safetensors" for f in files):
        raise UserError(f"base.placement: no *.safetensors in {path}, expected a Hugging Face directory: correct it")
    return files


def _in_package(place: BaseLocation) -> list[Path]:
    base = package_directory(place.package)
    if base is None:
        raise UserError(f"base.placement.package: {place.package} is not installed, but holds the weights: install it")
    files = sorted(base.glob(place.file or "*.gguf"))
    if len(files) != 1:
        raise UserError(f"base.placement.file: {len(files)} files fit {place.file!r}, expected one: name it exactly")
    return files


def _from_hub(place: BaseLocation, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    with _hub_errors(place):
        return Path(
            snapshot_download(
                place.hub_id, revision=place.revision, allow_patterns=list(patterns), ignore_patterns=["*/*"]
            )
        )


def _digest_on_hub(place: BaseLocation) -> str:
    """What `_digest` gives after a download: weights by the hub's own SHA-256, the rest downloaded and hashed."""
    from huggingface_hub import HfApi

    with _hub_errors(place):
        files = HfApi().model_info(place.hub_id, revision=place.revision, files_metadata=True).siblings or []
    weights = {f.rfilename: f.lfs.sha256 for f in files if f.lfs and fnmatch(f.rfilename, _FILES[0])}
    if not weights:
        raise UserError(f"base.placement.hub_id: no *.safetensors in {place.hub_id}, expected weights: name another")
    small = _from_hub(place, _FILES[1:])
    rest = {f.name: digest_file(f) for pattern in _FILES[1:] for f in small.glob(pattern)}
    return _combined({name: digest for name, digest in weights.items() if "/" not in name} | rest)


@contextmanager
def _hub_errors(place: BaseLocation) -> Iterator[None]:
    # HTTPError is the base of whichever httpx the hub's client uses; not in cache and offline are OSErrors
    from huggingface_hub.errors import HFValidationError, HTTPError

    try:
        yield
    except (HTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0][:120]
        raise UserError(
            f"base.placement.hub_id: cannot fetch {place.hub_id}@{place.revision} ({reason}): check name and network, "
            f"or download it elsewhere and give its directory as base.placement.path"
        ) from error


def _convert(files: list[Path], directory: Path) -> None:
    from medray.model.base import convert_gguf

    if len(files) != 1:
        raise UserError(f"base.placement: {len(files)} files, expected one GGUF file: name it")
    convert_gguf(files[0], directory)


def _copy(files: list[Path], directory: Path, template: str | None) -> None:
    from medray.model.base import check_model_dir

    check_model_dir(files[0].parent, template)  # before anything is copied: an error must name the user's own directory
    directory.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, directory / file.name)


def _make_tiny(config: BaseConfig, inputs: dict[str, Artifact], directory: Path) -> None:
    from medray.model.base import make_tiny

    assert config.tiny is not None
    texts = _documents(inputs["sources"].data) if "sources" in inputs else _said(inputs)
    make_tiny(directory, texts, **config.tiny.model_dump())


def _documents(sources: Path) -> list[str]:
    from medray.corpus.readers.formats import reader_of
    from medray.corpus.sources import files_with_documents
    from medray.tables.rows import Piece, read_piece

    files = files_with_documents(sources).items()
    rows = (r for file, origin in files for r in read_piece(Piece(file), reader_of(origin.format, origin.reading)))
    return [row.fields["text"] for row in rows if row.fields and row.is_good]


def _said(inputs: dict[str, Artifact]) -> list[str]:
    """What is said in the instructions, or in the prompts where there are none."""
    from medray.core.schema import EXAMPLE, PROMPT, read_table

    name, schema = ("examples", EXAMPLE) if "examples" in inputs else ("prompts", PROMPT)
    conversations = read_table(inputs[name].data / f"{name}.parquet", schema).column("messages").to_pylist()
    return [message["content"] for messages in conversations for message in messages]


def _check(directory: Path, template: str | None) -> int:
    """The number of parameters of a model directory that passes `check_model_dir`, once it has its template."""
    import math

    from safetensors import safe_open

    from medray.model.base import check_model_dir, set_template

    if template:
        set_template(directory, template)
    check_model_dir(directory)
    count = 0
    for file in sorted(directory.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as tensors:
            count += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())
    return count
