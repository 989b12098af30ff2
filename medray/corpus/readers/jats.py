"""PMC open-access articles: JATS and NLM XML, one article per file or many in an article set or an archive.

Source: JATS 1.3 (ANSI/NISO Z39.96-2021), PMC's tagging guidelines. Choices: see `article_text`.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO

from medray.corpus.readers.markup import date_of, formula, gather_child, plain, standing_of, tidy
from medray.corpus.readers.rules import ReadRules
from medray.corpus.readers.xml import read_records
from medray.tables.formats import BadRow
from medray.tables.rows import Row

_OTHER_ABSTRACTS = ("graphical", "teaser", "toc", "web-summary", "video", "key-image")
_NOT_PUBLISHED = ("pmc-release", "nihms-submitted", "retraction", "corrected", "received", "accepted")
_LICENCE = re.compile(r"creativecommons\.org/(licenses|publicdomain)/([a-z-]+)/?(\d\.\d)?", re.IGNORECASE)
_PUBLIC_DOMAIN = {"zero": "CC0", "mark": "CC-PDM"}
_IDS = (("pmid", "pmid:"), ("doi", "doi:"), ("publisher-id", "publisher:"))


def read_jats(stream: BinaryIO, name: str, rules: ReadRules) -> Iterator[Row]:
    """Documents of the <article> elements of a stream.

    Fields where stated: id (PMC id, else PubMed id, DOI, the publisher's, the file's name), text, group (PubMed id),
    date (first publication), language, licence (SPDX for Creative Commons), document_types (article-type), standing.
    """
    return read_records(stream, ("article",), rules.max_document_bytes, partial(_document, name=name, rules=rules))


def _document(article: ET.Element, name: str, rules: ReadRules) -> dict[str, Any]:
    text = article_text(article, rules)
    if not text:
        raise BadRow("no text")
    meta = article.find("front/article-meta")
    meta = ET.Element("article-meta") if meta is None else meta
    ids = {e.get("pub-id-type", ""): (e.text or "").strip() for e in meta.findall("article-id")}
    kind = article.get("article-type", "")
    fields = {
        "id": _id(ids) or name.rpartition("/")[2].split(".")[0],
        "text": text,
        "group": f"pmid:{ids['pmid']}" if ids.get("pmid") else "",
        "date": _first_date(meta),
        "language": article.get("lang", "").lower(),
        "licence": _licence(meta),
        "document_types": [kind] if kind else [],
        "standing": _standing(kind, meta),
    }
    return {field: value for field, value in fields.items() if value}


def _id(ids: dict[str, str]) -> str:
    if pmc := ids.get("pmcid") or ids.get("pmc"):
        return f"pmc:PMC{pmc.upper().removeprefix('PMC')}"
    return next((prefix + ids[kind] for kind, prefix in _IDS if ids.get(kind)), "")


def _first_date(meta: ET.Element) -> str:
    kinds = ((e, e.get("date-type") or e.get("pub-type") or "") for e in meta.findall("pub-date"))
    return min(filter(None, (date_of(e) for e, kind in kinds if kind not in _NOT_PUBLISHED)), default="")


def _licence(meta: ET.Element) -> str:
    for licence in meta.iterfind("permissions/license"):
        stated = " ".join([*(v for e in licence.iter() for v in e.attrib.values()), *licence.itertext()])
        if found := _LICENCE.search(stated):
            kind = _PUBLIC_DOMAIN.get(found[2].lower(), f"CC-{found[2].upper()}")
            return f"{kind}-{found[3]}" if found[3] else kind
        return licence.get("href") or licence.get("license-type") or plain(licence)[:200]
    return ""


def _standing(kind: str, meta: ET.Element) -> str:
    related = {e.get("related-article-type") for e in meta.iterfind("related-article")}
    if kind in ("retraction", "retraction-notice") or "retracted-article" in related:
        return "retraction_notice"
    if kind == "retracted-article" or "retraction-forward" in related:
        return "retracted"
    return standing_of(plain(meta.find("title-group/article-title")))


def article_text(article: ET.Element, rules: ReadRules) -> str:
    """Title, abstract and headed sections of an article, blank lines between them; headings are lines of their own.

    Choices: kept are the title, abstracts in the article's language (not graphical ones and teasers), the body, and
    of what stands behind it the appendices. Out are authors, affiliations, keywords, references and their marks,
    footnotes, acknowledgements, supplements, and articles in the article (reviews, replies, translations). Tables and
    figures by rule.
    """
    blocks: list[str] = []
    meta = article.find("front/article-meta")
    if meta is not None:
        title = [plain(meta.find("title-group/article-title")), *map(plain, meta.iterfind("title-group/subtitle"))]
        blocks.append(": ".join(filter(None, title)))
        for abstract in meta.iterfind("abstract"):
            if abstract.get("abstract-type") not in _OTHER_ABSTRACTS:
                blocks += _section(abstract, rules, heading="Abstract")
    for path in ("body", "back/app-group", "back/app", "floats-group"):
        for part in article.iterfind(path):
            blocks += _section(part, rules)
    return "\n\n".join(filter(None, blocks))


def _section(element: ET.Element, rules: ReadRules, heading: str = "") -> Iterator[str]:
    """The heading, if anything stands below it, and the blocks below."""
    title = " ".join(filter(None, (plain(element.find("label")), plain(element.find("title")))))
    below = list(_flow(element, rules, skipped=("label", "title", "sec-meta")))
    if below:
        yield title or heading
        yield from below


def _flow(element: ET.Element, rules: ReadRules, skipped: tuple[str, ...] = ()) -> Iterator[str]:
    """Blocks of mixed content: runs of inline text as paragraphs, block elements in their place."""
    inline = [element.text] if element.text else []
    for child in element:
        if child.tag in skipped:
            continue
        if child.tag in _BLOCKS:
            yield from _paragraph(inline)
            yield from _BLOCKS[child.tag](child, rules)
            inline = []
        else:
            gather_child(child, inline)
        if child.tail:
            inline.append(child.tail)
    yield from _paragraph(inline)


def _paragraph(inline: list[str]) -> Iterator[str]:
    if text := tidy("".join(inline)):
        yield text


def _list(element: ET.Element, rules: ReadRules) -> Iterator[str]:
    ordered = element.get("list-type", "") == "order"
    lines = [plain(element.find("title"))]
    for number, item in enumerate(element.iterfind("list-item"), 1):
        mark = plain(item.find("label")) or (f"{number}." if ordered else "-")
        if text := "\n".join(_flow(item, rules, skipped=("label",))):
            lines.append(f"{mark} {text}")
    yield "\n".join(filter(None, lines))


def _definitions(element: ET.Element, rules: ReadRules) -> Iterator[str]:
    lines = [plain(element.find("title"))]
    for item in element.iterfind("def-item"):
        meanings = (" ".join(_flow(d, rules)) for d in item.iterfind("def"))
        lines.append(f"{plain(item.find('term'))}: " + "; ".join(meanings))
    yield "\n".join(filter(None, lines))


def _table(element: ET.Element, rules: ReadRules) -> Iterator[str]:
    if rules.tables != "drop":
        yield from _caption(element, rules)
    if rules.tables == "full":
        rows = [" | ".join(plain(cell) for cell in row if cell.tag in ("th", "td")) for row in element.iter("tr")]
        yield "\n".join(filter(None, rows))


def _figure(element: ET.Element, rules: ReadRules) -> Iterator[str]:
    if rules.figures == "caption":
        yield from _caption(element, rules)


def _caption(element: ET.Element, rules: ReadRules) -> Iterator[str]:
    label = plain(element.find("label")).rstrip(".:")
    caption = element.find("caption")
    lines = [] if caption is None else list(_flow(caption, rules))
    if text := " ".join(lines):
        yield f"{label}. {text}" if label else text


def _formula(element: ET.Element, rules: ReadRules) -> Iterator[str]:
    if text := formula(element):
        yield text


def _verbatim(element: ET.Element, rules: ReadRules) -> Iterator[str]:
    if text := "".join(element.itertext()).strip("\n"):
        yield text


def _nothing(element: ET.Element, rules: ReadRules) -> Iterator[str]:
    return iter(())


_BLOCKS: dict[str, Callable[[ET.Element, ReadRules], Iterator[str]]] = {
    **dict.fromkeys(("sec", "app", "app-group", "boxed-text", "statement", "question-wrap"), _section),
    **dict.fromkeys(
        ("p", "title", "caption", "disp-quote", "verse-group", "verse-line", "speech", "attrib", "answer"), _flow
    ),
    **dict.fromkeys(("table-wrap-group", "fig-group"), _flow),
    **dict.fromkeys(("preformat", "code"), _verbatim),
    **dict.fromkeys(("disp-formula", "disp-formula-group"), _formula),
    **dict.fromkeys(("ref-list", "fn-group", "supplementary-material", "media", "graphic", "notes", "bio"), _nothing),
    **dict.fromkeys(("ack", "glossary", "sec-meta", "chem-struct-wrap", "array", "permissions", "object-id"), _nothing),
    "list": _list,
    "def-list": _definitions,
    "table-wrap": _table,
    "fig": _figure,
}
"""Elements that stand in blocks of their own; any other is part of its paragraph."""
