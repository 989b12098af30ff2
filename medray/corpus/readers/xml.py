"""Records out of large XML files: cut at their tags, parsed one by one, so that a broken one spoils no other."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from functools import partial
from html.entities import html5
from typing import Any, BinaryIO

from medray.tables.formats import BadRow, decoded, made, too_long
from medray.tables.rows import Row, excerpt

_CHUNK = 1 << 16
_LONGEST_TAG = _OUTSIDE = 1 << 13
_ENTITIES = {name[:-1]: text for name, text in html5.items() if name.endswith(";")}
_UNDEFINED_ENTITY = 11  # expat's XML_ERROR_UNDEFINED_ENTITY


def read_records(
    stream: BinaryIO, names: tuple[str, ...], max_bytes: int, make: Callable[[ET.Element], dict[str, Any]]
) -> Iterator[Row]:
    """A row for every element of one of the names (which do not nest), made of its tree by `make`.

    `make` may raise BadRow or LeftOut. Bad are also records that are broken, unclosed or longer than `max_bytes`
    (never held), and a file that ends before its root is closed.
    """
    cutter = _Cutter(names, max_bytes)
    for number, (raw, problem) in enumerate(cutter.cut(stream), 1):
        if problem:
            yield Row(number, None, problem, excerpt(raw))
        else:
            yield made(number, partial(_make, raw, cutter.encoding, make), raw)


def _make(raw: bytes, encoding: str, make: Callable[[ET.Element], dict[str, Any]]) -> dict[str, Any]:
    try:
        return make(parse(decoded(raw, encoding)))
    except RecursionError as error:
        raise BadRow("XML nested too deep") from error


def parse(text: str) -> ET.Element:
    """The tree of an element, tags and attributes without their namespaces. Raises BadRow where it is broken.

    Named characters (&nbsp;) are those of HTML 5, which hold the ISO sets of NLM's DTDs. Nothing is fetched.
    """
    try:
        try:
            root = _parsed(text, {})
        except ET.ParseError as error:
            if error.code != _UNDEFINED_ENTITY:
                raise
            root = _parsed(f'<!DOCTYPE x SYSTEM "x">{text}', _ENTITIES)  # expat asks for names only below a DTD
    except ET.ParseError as error:
        why = f"NUL character at {text.index(chr(0))}" if "\x00" in text else f"broken XML: {error}"
        raise BadRow(why) from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for name in [name for name in element.attrib if "}" in name]:
            element.attrib[name.rpartition("}")[2]] = element.attrib.pop(name)
    return root


def _parsed(text: str, entities: dict[str, str]) -> ET.Element:
    parser = ET.XMLParser()
    parser.entity.update(entities)
    parser.feed(text)
    return parser.close()


class _Cutter:
    """Cuts a stream at the tags of its records; `encoding` is the one that stands before the first."""

    def __init__(self, names: tuple[str, ...], max_bytes: int) -> None:
        self.encoding = "utf-8"
        self._names, self._max_bytes = names, max_bytes
        self._tag = re.compile(rf"<(/?)(?:[\w.-]+:)?(?:{'|'.join(names)})(?=[\s/>])[^<>]*>".encode())
        self._root: bytes | None = None
        self._outside = b""

    def cut(self, stream: BinaryIO) -> Iterator[tuple[bytes, str]]:
        """(record, "") or (its start, why it is bad), in order."""
        buffer = bytearray()
        # head: the start of a record that is too long to hold; passed: how much of it is gone
        inside, head, passed, scanned = False, b"", 0, 0
        while chunk := stream.read1(_CHUNK):
            buffer += chunk
            done = 0
            for tag in self._tag.finditer(buffer, scanned):
                opens = not tag[1]
                end = tag.start() if opens else tag.end()
                if inside or not opens:
                    raw = head or bytes(buffer[done:end])
                    yield raw, self._problem(inside, opens, passed + end - done)
                else:
                    self._pass(buffer[done:end], starts=True)
                inside, head, passed, done = opens, b"", 0, end
            last = buffer.rfind(b"<", max(done, len(buffer) - _LONGEST_TAG))
            scanned = last if last >= 0 and buffer.find(b">", last) < 0 else len(buffer)
            if not inside:
                self._pass(buffer[done:scanned])
                done = scanned
            elif scanned - done > self._max_bytes:
                head, passed, done = head or bytes(buffer[done : done + _OUTSIDE]), passed + scanned - done, scanned
            del buffer[:done]
            scanned -= done
        yield from self._end(inside, head or bytes(buffer))

    def _problem(self, inside: bool, opens: bool, size: int) -> str:
        if size > self._max_bytes:
            return too_long(size, self._max_bytes)
        return "" if inside and not opens else "no closing tag" if inside else "no opening tag"

    def _pass(self, between: bytes | bytearray, *, starts: bool = False) -> None:
        """Take note of what stands outside of records: encoding and root at first, the end of the root at last."""
        self._outside = (self._outside + between)[-_OUTSIDE:]
        if starts and self._root is None:
            prolog = re.sub(rb"<!--.*?-->", b"", self._outside, flags=re.S)
            declared = re.search(rb"""<\?xml[^>]*encoding=["']([\w.-]+)""", prolog)
            self.encoding = declared[1].decode() if declared else "utf-8"
            root = re.search(rb"<([A-Za-z_][\w:.-]*)", prolog)
            self._root = root[1] if root else b""
        self._outside = b"" if starts else self._outside

    def _end(self, inside: bool, rest: bytes) -> Iterator[tuple[bytes, str]]:
        if inside:
            yield rest, "the file ends inside the record"
            return
        self._pass(rest)
        if self._root is None and self._outside.strip():
            yield self._outside, f"no <{'> or <'.join(self._names)}> in it"
        elif self._root and b"</" + self._root not in self._outside:
            yield self._outside, f"the file ends before </{self._root.decode()}>"
