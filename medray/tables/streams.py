"""Files at any fsspec URL as streams of bytes: decompressed, archives member by member, lines of bounded length."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import fsspec
import pyarrow as pa

from medray.core.config import UserError

TORN = (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile)
"""What reading the content of a damaged compressed file or archive raises."""

_BUFFER = 1 << 16
_ARCHIVES = (".tar", ".tgz", ".zip")


class _Zstd(io.RawIOBase):
    """A zstandard file, of which all is read that stands before a tear.

    Arrow's read that meets a tear drops what it had got: it is repeated byte by byte where the file can be read again.
    """

    def __init__(self, stored: BinaryIO) -> None:
        self._stored, self._stream = stored, _decompressed(stored)
        self._num_read = 0
        self._tear: OSError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._tear:
            raise self._tear
        try:
            content = self._stream.read(len(buffer))
        except OSError as error:
            self._tear = error
            content = self._before_tear() if self._stored.seekable() else b""
            if not content:
                raise
        self._num_read += len(content)
        buffer[: len(content)] = content
        return len(content)

    def _before_tear(self) -> bytes:
        self._stored.seek(0)
        again = _decompressed(self._stored)
        for start in range(0, self._num_read, _BUFFER):
            again.read(min(_BUFFER, self._num_read - start))
        found = bytearray()
        with suppress(OSError):  # the tear
            while byte := again.read(1):
                found += byte
        return bytes(found)


def _decompressed(stored: BinaryIO) -> Any:
    return pa.CompressedInputStream(pa.PythonFile(stored, mode="r"), "zstd")


_DECOMPRESSORS: dict[str, Callable[[BinaryIO], Any]] = {
    ".zst": lambda stored: io.BufferedReader(_Zstd(stored), _BUFFER),
    ".gz": gzip.open, ".tgz": gzip.open, ".bz2": bz2.open,
}  # fmt: skip


class _Stored(io.RawIOBase):
    """A file as its storage delivers it: what fails here is the storage, not the file, and ends the run."""

    def __init__(self, url: str, file: BinaryIO) -> None:
        self._url, self._file = url, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._file.read(len(buffer))
        except OSError as error:
            raise UserError(f"{self._url}: its storage failed ({error}), expected a file: run again") from error
        buffer[: len(content)] = content
        return len(content)


def kind_of(name: str) -> str:
    """The suffix that says what a file holds, below compression: ".jsonl" for a.jsonl.zst, ".tar" for b.tgz."""
    suffixes = [s for s in PurePosixPath(name).suffixes if s == ".tgz" or s not in _DECOMPRESSORS]
    return (suffixes[-1] if suffixes else "").replace(".tgz", ".tar")


def is_readable(name: str, kinds: tuple[str, ...]) -> bool:
    """Whether a file is of one of the kinds, or an archive that may hold such files; hidden files are not."""
    return kind_of(name) in (*kinds, *_ARCHIVES) and not PurePosixPath(name).name.startswith(".")


def stored_suffixes(name: str, kinds: tuple[str, ...]) -> str:
    """The end of a file's name that `open_streams` needs to read it: ".jsonl.zst" for part.1.jsonl.zst."""
    known = (*kinds, *_ARCHIVES, *_DECOMPRESSORS)
    return "".join(s for s in PurePosixPath(name).suffixes if s in known)


def open_streams(url: str, kinds: tuple[str, ...]) -> Iterator[tuple[str, BinaryIO]]:
    """The file as (name, stream); of an archive every member of one of the kinds, open until the next is asked for.

    Compression by suffix (.zst .gz .bz2); archives are .tar, .tgz and .zip, a .zip needs random access. Raises
    UserError when the file is missing or its storage fails, one of TORN when its content is damaged.
    """
    try:
        opened = fsspec.open(url, "rb").open()
    except FileNotFoundError as error:
        raise UserError(f"{url}: vanished before it was read: put it back and run again") from error
    with opened as file:
        stream: Any = io.BufferedReader(_Stored(url, file), _BUFFER)
        if decompress := _DECOMPRESSORS.get(PurePosixPath(url).suffix):
            stream = decompress(stream)
        if kind_of(url) == ".tar":
            yield from _tar_members(stream, kinds)
        elif kind_of(url) == ".zip":
            yield from _zip_members(stream, kinds)
        else:
            yield url, stream


def _tar_members(stream: BinaryIO, kinds: tuple[str, ...]) -> Iterator[tuple[str, BinaryIO]]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if member.isfile() and kind_of(member.name) in kinds:
                yield member.name, archive.extractfile(member)
            archive.members = []  # tarfile remembers every member it has passed


def _zip_members(stream: BinaryIO, kinds: tuple[str, ...]) -> Iterator[tuple[str, BinaryIO]]:
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            if not info.is_dir() and kind_of(info.filename) in kinds:
                with archive.open(info) as member:
                    yield info.filename, member


def lines(stream: BinaryIO, max_bytes: int, *, quoted: bool = False) -> Iterator[bytes | int]:
    """Lines with their ends; for one longer than `max_bytes`, which is passed over and never held, its length.

    quoted: newlines between double quotes belong to the line (RFC 4180). A byte order mark is left out.
    """
    held: list[bytes] = []
    size = num_quotes = 0
    first = True
    while piece := stream.readline(_BUFFER):
        if first:
            piece, first = piece.removeprefix(codecs.BOM_UTF8), False
        size += len(piece)
        num_quotes += piece.count(b'"') if quoted else 0
        if size <= max_bytes:
            held.append(piece)
        else:
            held.clear()
        if piece.endswith(b"\n") and num_quotes % 2 == 0:
            yield b"".join(held) if size <= max_bytes else size
            held.clear()
            size = num_quotes = 0
    if size:
        yield b"".join(held) if size <= max_bytes else size
