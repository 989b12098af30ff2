"""PubMed citations: structural variants of pubmed_250101.dtd with the exact document, and bad files."""

# ruff: noqa: E501  a variant of markup is one line
from __future__ import annotations

import gzip

import pytest

from tests.unit.reading import bad, good, left_out, rows_of

ABSTRACT = "<Abstract><AbstractText>Seen.</AbstractText><CopyrightInformation>(c) X</CopyrightInformation></Abstract>"
PUB_DATE = "<PubDate><Year>1998</Year><Month>Dec</Month><Day>3</Day></PubDate>"


def citation(
    pmid: str = "1",
    title: str = "<ArticleTitle>T.</ArticleTitle>",
    abstract: str = ABSTRACT,
    date: str = PUB_DATE,
    article: str = "",
    more: str = "",
    version: str = "1",
) -> str:
    return (
        f'<PubmedArticle><MedlineCitation Status="MEDLINE"><PMID Version="{version}">{pmid}</PMID><Article>'
        f"<Journal><JournalIssue>{date}</JournalIssue></Journal>{title}{abstract}"
        f"<AuthorList><Author><LastName>Doe</LastName></Author></AuthorList><Language>eng</Language>{article}</Article>"
        f"{more}</MedlineCitation><PubmedData><ReferenceList/></PubmedData></PubmedArticle>"
    )  # fmt: skip


def file_of(*records: str) -> bytes:
    head = (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD" "pubmed_250101.dtd">\n'
    )
    return (head + "<PubmedArticleSet>\n" + "\n".join(records) + "\n</PubmedArticleSet>\n").encode()


def read(tmp_path, record: str) -> dict:
    [fields] = good(rows_of(tmp_path, "pubmed25n0001.xml", file_of(record), "pubmed_xml"))
    return fields


def types(*names: str) -> str:
    inner = "".join(f'<PublicationType UI="D1">{name}</PublicationType>' for name in names)
    return f"<PublicationTypeList>{inner}</PublicationTypeList>"


def linked(kind: str) -> str:
    link = f'<CommentsCorrections RefType="{kind}"><RefSource>J</RefSource><PMID Version="1">9</PMID></CommentsCorrections>'
    return f"<CommentsCorrectionsList>{link}</CommentsCorrectionsList>"


def test_fields_of_a_citation(tmp_path):
    assert read(tmp_path, citation("20029611", article=types("Journal Article", "Review"))) == {
        "id": "pmid:20029611", "text": "T.\n\nSeen.", "group": "pmid:20029611", "language": "en", "date": "1998-12-03",
        "document_types": ["Journal Article", "Review"],
    }  # fmt: skip


TEXTS = {
    "structured abstract": (
        {"abstract": '<Abstract><AbstractText Label="AIM" NlmCategory="OBJECTIVE">To see.</AbstractText>'
        '<AbstractText Label="UNLABELLED">More.</AbstractText><AbstractText Label="END"/></Abstract>'},
        "T.|AIM|To see.|More.",
    ),
    "inline markup": (
        {"abstract": "<Abstract><AbstractText>In <i>E. coli</i> 10<sup>-3</sup> of H<sub>2</sub>O &lt; 5</AbstractText></Abstract>"},
        "T.|In E. coli 10^-3 of H2O < 5",
    ),
    "DispFormula": (
        {"abstract": '<Abstract><AbstractText>If <DispFormula><mml:math xmlns:mml="http://www.w3.org/1998/Math/MathML"><mml:mi>x</mml:mi></mml:math></DispFormula>.</AbstractText></Abstract>'},
        "T.|If x.",
    ),
    "translated title": ({"title": "<ArticleTitle>[On hearts].</ArticleTitle><VernacularTitle>Herz</VernacularTitle>"}, "On hearts|Seen."),
    "title not available": ({"title": "<ArticleTitle>[Not Available].</ArticleTitle>"}, "Seen."),
    "no title": ({"title": ""}, "Seen."),
    "OtherAbstract": ({"more": '<OtherAbstract Type="Publisher" Language="fre"><AbstractText>Vu.</AbstractText></OtherAbstract>'}, "T.|Seen."),
}  # fmt: skip


@pytest.mark.parametrize("case", TEXTS)
def test_text(case, tmp_path):
    changes, expected = TEXTS[case]
    assert read(tmp_path, citation(**changes))["text"] == expected.replace("|", "\n\n")


@pytest.mark.parametrize(
    ("date", "article", "expected"),
    [
        ("<PubDate><Year>2004</Year></PubDate>", "", "2004"),
        ("<PubDate><Year>2004</Year><Month>07</Month></PubDate>", "", "2004-07"),
        ("<PubDate><Year>2004</Year><Season>Spring</Season></PubDate>", "", "2004"),
        ("<PubDate><MedlineDate>1998 Dec-1999 Jan</MedlineDate></PubDate>", "", "1998"),
        ("", "<ArticleDate DateType='Electronic'><Year>2011</Year><Month>2</Month><Day>30</Day></ArticleDate>", "2011-02-30"),
        ("<PubDate><MedlineDate>Spring</MedlineDate></PubDate>", "", None),
    ],
)  # fmt: skip
def test_date(date, article, expected, tmp_path):
    assert read(tmp_path, citation(date=date, article=article)).get("date") == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"article": types("Journal Article", "Retracted Publication")}, "retracted"),
        ({"more": linked("RetractionIn")}, "retracted"),
        ({"article": types("Retraction of Publication")}, "retraction_notice"),
        ({"more": linked("RetractionOf")}, "retraction_notice"),
        ({"title": "<ArticleTitle>WITHDRAWN: Aspirin.</ArticleTitle>"}, "withdrawn"),
        ({"more": linked("ErratumIn")}, None),
        ({"more": linked("CommentOn")}, None),
    ],
)
def test_standing(changes, expected, tmp_path):
    assert read(tmp_path, citation(**changes)).get("standing") == expected


def test_book_article(tmp_path):
    record = (
        "<PubmedBookArticle><BookDocument><PMID Version='1'>5</PMID><Book><PubDate><Year>2001</Year></PubDate></Book>"
        f"<ArticleTitle>Gene.</ArticleTitle><PublicationType UI='D'>Review</PublicationType>{ABSTRACT}</BookDocument>"
        "<PubmedBookData/></PubmedBookArticle>"
    )
    assert read(tmp_path, record) == {
        "id": "pmid:5", "text": "Gene.\n\nSeen.", "group": "pmid:5", "language": "en", "date": "2001",
        "document_types": ["Review"],
    }  # fmt: skip


def test_versions_are_documents_of_one_group(tmp_path):
    content = file_of(citation("7"), citation("7", version="2"))
    documents = good(rows_of(tmp_path, "a.xml", content, "pubmed_xml"))
    assert [(d["id"], d["group"]) for d in documents] == [("pmid:7", "pmid:7"), ("pmid:7.2", "pmid:7")]


def test_every_record_is_accounted_for(tmp_path):
    records = [
        citation("1"),
        citation("2", abstract=""),
        citation("x"),
        citation("1"),
        citation("4", title="", abstract=""),
        citation("5").replace("</Article>", ""),
        citation("6").replace("</PubmedArticle>", ""),
        citation("7", abstract=f"<Abstract><AbstractText>{'long ' * 1000}</AbstractText></Abstract>"),
        citation("8", abstract="<Abstract><AbstractText>&#0;</AbstractText></Abstract>"),
        citation("9"),
        "<DeleteCitation><PMID Version='1'>3</PMID></DeleteCitation>",
    ]
    rows = rows_of(
        tmp_path, "a.xml.gz", gzip.compress(file_of(*records)), "pubmed_xml", max_document_bytes=4000
    )  # fmt: skip
    assert len(rows) == len(records) and [row.number for row in rows] == list(range(1, 12))
    assert [f["id"] for f in good(rows)] == ["pmid:1", "pmid:9"]
    assert left_out(rows) == [(2, "no_abstract"), (11, "deletion")]
    assert [(n, r.split(": ")[0]) for n, r in bad(rows)] == [
        (3, "no PMID"), (4, "id pmid:1 stood in the file before"), (5, "no text"), (6, "broken XML"), (7, "no closing tag"),
        (8, "5,454 bytes, expected at most 4,000"), (9, "broken XML"),
    ]  # fmt: skip


def test_not_utf8_costs_one_record(tmp_path):
    content = file_of(citation("1"), citation("2").replace("Seen", "S??n"), citation("3")).replace(
        b"S??n", b"S\xe9\xffn"
    )
    rows = rows_of(tmp_path, "a.xml", content, "pubmed_xml")
    assert [f["id"] for f in good(rows)] == ["pmid:1", "pmid:3"]
    [(number, reason)] = bad(rows)
    assert number == 2 and reason.startswith("not UTF-8 at byte ")


def test_torn_file_keeps_what_came_before(tmp_path):
    whole = gzip.compress(file_of(*(citation(str(i)) for i in range(1, 2001))))
    rows = rows_of(tmp_path, "a.xml.gz", whole[: len(whole) * 2 // 3], "pubmed_xml")
    assert 1000 < len(good(rows)) < 2000
    assert [r for _, r in bad(rows)] == [
        "the file is torn (Compressed file ended before the end-of-stream marker was reached)"
    ]
    assert bad(rows)[0][0] == len(rows)


def test_records_across_chunks(tmp_path):
    """Records and their tags fall on every offset of the reader's chunks."""
    records = [
        citation(str(i), abstract=f"<Abstract><AbstractText>{'w' * (i * 37 % 997)}.</AbstractText></Abstract>")
        for i in range(1, 700)
    ]
    rows = rows_of(tmp_path, "a.xml", file_of(*records), "pubmed_xml")
    assert len(good(rows)) == 699 and not bad(rows)
