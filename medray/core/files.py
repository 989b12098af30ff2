"""Files that are whole or not there, on a local disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A hidden name, the process' own, to write to; when the block ends without an error it is renamed to `path`."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    yield partial
    partial.rename(path)
