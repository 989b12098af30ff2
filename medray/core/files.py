"""Files on a local disk: written whole or not at all, and those that installed packages bring."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A hidden name, the process' own, to write to; when the block ends without an error it is renamed to `path`."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    yield partial
    partial.rename(path)


def package_directory(name: str) -> Path | None:
    """Where an installed package lies, which is not imported for it; None if it is not installed, or no directory."""
    spec = importlib.util.find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def link(source: Path, target: Path) -> None:
    """Pass a file on whole: as a hard link, or as a copy where the file system has none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(target) as partial:
        partial.unlink(missing_ok=True)
        try:
            os.link(source, partial)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, partial)
