"""PubMed baseline and update files: citations with their abstracts.

Source: pubmed_250101.dtd and NLM's element descriptions.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any, BinaryIO

from medray.corpus.readers.markup import date_of, plain, standing_of
from medray.corpus.readers.rules import ReadRules
from medray.corpus.readers.xml import read_records
from medray.tables.formats import BadRow, LeftOut
from medray.tables.rows import Row

_RECORDS = ("PubmedArticle", "PubmedBookArticle", "DeleteCitation")
_DATE = ("Year", "Month", "Day")
_NOTICES = ("Retraction of Publication", "Retraction Notice")


def read_pubmed(stream: BinaryIO, name: str, rules: ReadRules) -> Iterator[Row]:
    """Documents of the citations with an abstract: title, then the abstract with its labels as headings.

    Fields: id ("pmid:1", "pmid:1.2" for version 2), text, group ("pmid:1"), language, and where stated date,
    document_types (publication types), standing. Left out: `no_abstract`, and lists of deleted citations (`deletion`).
    Choices: language is English, as NLM's titles and abstracts are whatever the article's; abstracts in other
    languages (OtherAbstract) stay out.
    """
    return read_records(stream, _RECORDS, rules.max_document_bytes, _document)


def _document(record: ET.Element) -> dict[str, Any]:
    if record.tag == "DeleteCitation":
        raise LeftOut("deletion")
    citation = record.find("MedlineCitation" if record.tag == "PubmedArticle" else "BookDocument")
    pmid = None if citation is None else citation.find("PMID")
    if citation is None or pmid is None or not (pmid.text or "").strip().isdigit():
        raise BadRow("no PMID")
    article = citation.find("Article")
    article = citation if article is None else article
    title = _title(article)
    sections = list(_sections(article))
    if not title and not sections:
        raise BadRow("no text")
    if not sections:
        raise LeftOut("no_abstract")
    number, version = pmid.text.strip(), pmid.get("Version", "1")
    types = [plain(e) for e in article.iter("PublicationType")]
    fields = {
        "id": f"pmid:{number}" if version == "1" else f"pmid:{number}.{version}",
        "text": "\n\n".join(filter(None, [title, *sections])),
        "group": f"pmid:{number}",
        "language": "en",
        "date": _date(article),
        "document_types": types,
        "standing": _standing(types, citation, title),
    }
    return {field: value for field, value in fields.items() if value}


def _title(article: ET.Element) -> str:
    """The English title; NLM sets translated ones in brackets and writes "[Not Available]." where there is none."""
    title = plain(article.find("ArticleTitle"))
    translated = re.fullmatch(r"\[(.*)\]\.?", title)
    title = translated[1] if translated else title
    return "" if title == "Not Available" else title


def _sections(article: ET.Element) -> Iterator[str]:
    for section in article.iterfind("Abstract/AbstractText"):
        if text := plain(section):
            label = section.get("Label", "")
            yield from ((label, text) if label not in ("", "UNLABELLED") else (text,))


def _date(article: ET.Element) -> str:
    issue = article.find("Journal/JournalIssue/PubDate")
    issue = article.find("Book/PubDate") if issue is None else issue
    loose = re.search(r"\b(?:1[5-9]|20)\d\d\b", "" if issue is None else issue.findtext("MedlineDate", ""))
    stated = [date_of(issue, _DATE), loose[0] if loose else "", date_of(article.find("ArticleDate"), _DATE)]
    return next(filter(None, stated), "")


def _standing(types: list[str], citation: ET.Element, title: str) -> str:
    links = {e.get("RefType") for e in citation.iterfind("CommentsCorrectionsList/CommentsCorrections")}
    if "Retracted Publication" in types or "RetractionIn" in links:
        return "retracted"
    if any(kind in types for kind in _NOTICES) or "RetractionOf" in links:
        return "retraction_notice"
    return standing_of(title)
