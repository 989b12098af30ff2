"""Digests of outside files that are remembered: a file is read again only when it has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

import fsspec

from medray.core.config import UserError
from medray.core.files import written_whole
from medray.core.identity import digest_file
from medray.core.mirror import cache

_bytes_left: ContextVar[float] = ContextVar("bytes_left", default=float("inf"))


class NotReadError(UserError):
    """A digest is asked for that only a long reading could give."""


@contextmanager
def unread_at_most(num_bytes: float) -> Iterator[None]:
    """Within the block files of so many bytes in all are read for their digests; past them NotReadError is raised."""
    token = _bytes_left.set(num_bytes)
    try:
        yield
    finally:
        _bytes_left.reset(token)


def remembered_digest(path: str | Path) -> str:
    """SHA-256 (hex) of a file, local or at an fsspec URL; of one with the size, times and tag it had before, from then.

    Only for what is identity: who takes the file's content checks it against this. Raises FileNotFoundError.
    """
    fs, place = fsspec.core.url_to_fs(str(path))
    # of a local file: size, inode and the times of its last change, which no copying tool sets back
    found = [place, fs.ukey(place)] if "://" in str(path) else [place, *_stat(place)]
    name = hashlib.blake2b(repr(found).encode(), digest_size=16).hexdigest()
    known = cache() / "digests" / name
    if known.is_file():
        return known.read_text()
    size = fs.size(place) or 0
    if size > _bytes_left.get():
        raise NotReadError(
            f"{path}: {size / 1e9:,.1f} GB without a digest, which have not been read yet: run, which reads them once, "
            "or state their digest in the recipe"
        )
    _bytes_left.set(_bytes_left.get() - size)
    digest = digest_file(path)
    with suppress(OSError):  # where nothing can be remembered it is read again
        known.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(known) as partial:
            partial.write_text(digest)
    return digest


def _stat(path: str) -> tuple[int, ...]:
    found = os.stat(path)
    return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns
