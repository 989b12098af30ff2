"""PMC articles: one structural variant of JATS 1.3 or its forerunners per case, with the exact text; and bad files."""

# ruff: noqa: E501  a variant of markup is one line
from __future__ import annotations

import gzip
import io
import random
import tarfile
import tracemalloc

import pytest

from medray.corpus.readers.formats import reader_of
from medray.corpus.readers.rules import ReadRules
from medray.tables.rows import Piece, read_piece
from tests.unit.reading import bad, good, rows_of

META = '<article-id pub-id-type="pmc">PMC1</article-id><title-group><article-title>T</article-title></title-group>'


def article(body: str = "<p>B.</p>", meta: str = META, attributes: str = "", back: str = "") -> str:
    return (
        f'<article xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML" {attributes}>'
        f"<front><journal-meta><journal-id>j</journal-id></journal-meta><article-meta>{meta}</article-meta></front>"
        f"<body>{body}</body>{back}</article>"
    )


def read(tmp_path, xml: str, **rules) -> dict:
    [fields] = good(rows_of(tmp_path, "a.nxml", xml.encode(), "pmc_jats", **rules))
    return fields


BODIES = {
    "sec, nested, with label": (
        "<sec><label>1.</label><title>Methods</title><p>A.</p><sec><title>Cells</title><p>B.</p></sec></sec>",
        "1. Methods|A.|Cells|B.",
    ),
    "sec without text has no heading": ("<sec><title>Empty</title></sec><p>A.</p>", "A."),
    "sec-meta": ("<sec><sec-meta><kwd-group><kwd>k</kwd></kwd-group></sec-meta><title>S</title><p>A.</p></sec>", "S|A."),
    "p around blocks": (
        '<p>Before <disp-quote><p>Quoted.</p></disp-quote> after.</p>',
        "Before|Quoted.|after.",
    ),
    "blanks, very many": (f"<p>A{' ' * 300_000}B [<xref ref-type='bibr'> 1 </xref>\n,\n<xref ref-type='bibr'>2</xref>] C</p>", "A B C"),
    "inline styles": ("<p>In <italic>E. <bold>coli</bold></italic> <sc>k</sc>12.</p>", "In E. coli k12."),
    "sup and sub": (
        "<p>10<sup>-3</sup> kg/m<sup>2</sup>, <italic>10</italic><sup>6</sup>, Ca<sup>2+</sup>, H<sub>2</sub>O, 0.05<sup>*</sup></p>",
        "10^-3 kg/m2, 10^6, Ca2+, H2O, 0.05*",
    ),
    "xref bibr, numbers go with their brackets": (
        '<p>Seen [<xref ref-type="bibr" rid="a">1</xref>, <xref ref-type="bibr" rid="b">2</xref>–<xref ref-type="bibr" '
        'rid="c">4</xref>] often.<sup><xref ref-type="bibr" rid="d">5</xref></sup> In 2010<sup><xref ref-type="bibr" '
        'rid="d">6</xref></sup>.</p>',
        "Seen often. In 2010.",
    ),
    "xref bibr, authors stay": (
        '<p>As <xref ref-type="bibr" rid="a">Smith et al. (2010)</xref> saw.</p>',
        "As Smith et al. (2010) saw.",
    ),
    "xref to table and footnote": (
        '<p>See Table <xref ref-type="table" rid="t">1</xref><xref ref-type="fn" rid="f"><sup>a</sup></xref>.</p>',
        "See Table 1.",
    ),
    "ext-link and uri": (
        '<p>At <ext-link ext-link-type="uri" xlink:href="http://x.org">x.org</ext-link> or <uri>y.org</uri>.</p>',
        "At x.org or y.org.",
    ),
    "list, bullet and nested": (
        '<list list-type="bullet"><list-item><p>One</p><list list-type="order"><list-item><p>In</p></list-item></list>'
        "</list-item><list-item><p>Two</p></list-item></list>",
        "- One\n1. In\n- Two",
    ),
    "list with labels and title": (
        "<p>Thus:<list><title>L</title><list-item><label>(a)</label><p>x</p></list-item><list-item/></list></p>",
        "Thus:|L\n(a) x",
    ),
    "def-list": (
        "<def-list><def-item><term>MI</term><def><p>myocardial infarction</p></def></def-item></def-list>",
        "MI: myocardial infarction",
    ),
    "boxed-text": (
        "<boxed-text><caption><title>Box 1</title><p>Key points</p></caption><p>A.</p></boxed-text>",
        "Box 1|Key points|A.",
    ),
    "disp-formula with alternatives": (
        '<p>So <disp-formula id="e"><label>(1)</label><alternatives><tex-math id="M">\\documentclass{minimal}'
        "\\begin{document}$$x = 1$$\\end{document}</tex-math><mml:math><mml:mi>x</mml:mi></mml:math>"
        '<graphic xlink:href="e.jpg"/></alternatives></disp-formula> holds.</p>',
        "So|x = 1|holds.",
    ),
    "inline-formula, MathML": (
        "<p>If <inline-formula><mml:math><mml:msup><mml:mi>x</mml:mi><mml:mrow><mml:mo>-</mml:mo><mml:mn>2</mml:mn></mml:mrow></mml:msup><mml:mo>=</mml:mo>"
        "<mml:mfrac><mml:mn>1</mml:mn><mml:mrow><mml:mi>a</mml:mi><mml:mo>+</mml:mo><mml:mi>b</mml:mi></mml:mrow></mml:mfrac>"
        "</mml:math></inline-formula>.</p>",
        "If x^-2=1/(a+b).",
    ),
    "inline-formula, text": ("<p>If <inline-formula><italic>r</italic> = 1</inline-formula>.</p>", "If r = 1."),
    "preformat keeps its lines": ("<preformat>a  b\n c</preformat>", "a  b\n c"),
    "fn, media, supplementary-material, graphic": (
        '<p>A.<fn><p>Note.</p></fn></p><supplementary-material><caption><p>S1</p></caption></supplementary-material>'
        '<graphic xlink:href="g"/><media xlink:href="m"><caption><p>Film</p></caption></media>',
        "A.",
    ),
    "statement, verse-group, speech": (
        "<statement><title>Lemma</title><p>L.</p></statement><verse-group><verse-line>V1</verse-line><verse-line>V2"
        "</verse-line></verse-group><speech><speaker>A:</speaker><p>Hm.</p></speech>",
        "Lemma|L.|V1|V2|A:|Hm.",
    ),
    "comment, CDATA, processing instruction": ("<p>A<!-- no --> <![CDATA[p < 5]]><?x y?>.</p>", "A p < 5."),
    "character and named entities": ("<p>&#x3b1;&beta;&nbsp;&lt; 5</p>", "αβ < 5"),
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
def test_body(case, tmp_path):
    body, expected = BODIES[case]
    assert read(tmp_path, article(body))["text"] == "T\n\n" + expected.replace("|", "\n\n")


TABLE = """<table-wrap id="t"><label>Table 1.</label><caption><title>Ages</title><p>In years.</p></caption><alternatives>
<graphic/><table><thead><tr><th>Group</th><th>Age</th></tr></thead><tbody><tr><td>A</td><td>5<sup>a</sup></td></tr>
</tbody></table></alternatives><table-wrap-foot><fn><p>a: about</p></fn></table-wrap-foot></table-wrap>"""
FIGURE = '<fig><label>Fig 2</label><caption><p>A heart.</p></caption><graphic xlink:href="f"/></fig>'


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, "Table 1. Ages In years."),
        ({"tables": "drop"}, ""),
        ({"tables": "full"}, "Table 1. Ages In years.\n\nGroup | Age\nA | 5a"),
        ({"tables": "drop", "figures": "caption"}, "Fig 2. A heart."),
    ],
)
@pytest.mark.parametrize("place", ["body", "floats-group"])
def test_tables_and_figures_by_rule(rules, expected, place, tmp_path):
    floats = TABLE + f"<fig-group>{FIGURE}</fig-group>"
    xml = article(floats) if place == "body" else article("", back=f"<floats-group>{floats}</floats-group>")
    assert read(tmp_path, xml, **rules)["text"] == "\n\n".join(filter(None, ["T", expected]))


def test_front_and_back_matter(tmp_path):
    meta = (
        '<title-group><article-title>On <italic>E. coli</italic><xref ref-type="fn"><sup>*</sup></xref></article-title>'
        "<subtitle>A study</subtitle><trans-title-group><trans-title>Sur</trans-title></trans-title-group></title-group>"
        "<contrib-group><contrib><name><surname>Doe</surname></name></contrib><aff>Rome</aff></contrib-group>"
        '<abstract abstract-type="graphical"><p>G</p></abstract><abstract abstract-type="teaser"><p>Z</p></abstract>'
        "<abstract><sec><title>Aim</title><p>To see.</p></sec><sec><title>Result</title><p>Seen.</p></sec></abstract>"
        '<abstract abstract-type="plain-language-summary"><title>In short</title><p>Easy.</p></abstract>'
        '<trans-abstract xml:lang="fr"><p>Vu.</p></trans-abstract><kwd-group><kwd>coli</kwd></kwd-group>'
    )
    back = (
        "<back><ack><p>Thanks.</p></ack><app-group><app><title>Appendix</title><p>More.</p></app></app-group><fn-group>"
        "<fn><p>COI</p></fn></fn-group><glossary><def-list/></glossary><ref-list><ref><mixed-citation>R.</mixed-citation>"
        "</ref></ref-list></back><sub-article article-type='reply'><front-stub/><body><p>Reply.</p></body></sub-article>"
        "<response><body><p>Response.</p></body></response>"
    )
    expected = "On E. coli: A study|Abstract|Aim|To see.|Result|Seen.|In short|Easy.|B.|Appendix|More."
    assert read(tmp_path, article(meta=meta, back=back))["text"] == expected.replace("|", "\n\n")


def test_fields(tmp_path):
    meta = (
        '<article-id pub-id-type="pmid">11</article-id><article-id pub-id-type="pmc">7</article-id><article-id '
        'pub-id-type="doi">10.1/x</article-id><title-group><article-title>T</article-title></title-group>'
        '<pub-date pub-type="epub"><day>5</day><month>3</month><year>2010</year></pub-date>'
        '<pub-date pub-type="ppub"><month>Apr</month><year>2010</year></pub-date>'
        '<pub-date pub-type="pmc-release"><year>2009</year></pub-date>'
        '<permissions><license license-type="open-access" xlink:href="http://creativecommons.org/licenses/by-nc/4.0/">'
        "<license-p>Free.</license-p></license></permissions>"
    )
    xml = article(meta=meta, attributes='article-type="review-article" xml:lang="EN"')
    assert read(tmp_path, xml) == {
        "id": "pmc:PMC7", "text": "T\n\nB.", "group": "pmid:11", "date": "2010-03-05", "language": "en",
        "licence": "CC-BY-NC-4.0", "document_types": ["review-article"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ({"pmcid": "PMC9", "doi": "10.1/x"}, "pmc:PMC9"),
        ({"pmid": "3", "doi": "10.1/x"}, "pmid:3"),
        ({"doi": "10.1/x", "publisher-id": "p"}, "doi:10.1/x"),
        ({"publisher-id": "p"}, "publisher:p"),
        ({}, "a"),
    ],
)
def test_id_is_the_most_lasting_one(ids, expected, tmp_path):
    meta = "".join(f'<article-id pub-id-type="{kind}">{id}</article-id>' for kind, id in ids.items())
    assert read(tmp_path, article(meta=meta))["id"] == expected


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("<license><license-p>See <ext-link xlink:href='https://creativecommons.org/publicdomain/zero/1.0/'/></license-p></license>", "CC0-1.0"),
        ("<license xmlns:ali='http://www.niso.org/schemas/ali/1.0/'><ali:license_ref>http://creativecommons.org/licenses/by/4.0/</ali:license_ref></license>", "CC-BY-4.0"),
        ("<license license-type='elsevier'><license-p>Terms</license-p></license>", "elsevier"),
        ("<license><license-p>Free to read.</license-p></license>", "Free to read."),
        ("<copyright-statement>(c)</copyright-statement>", None),
    ],
)  # fmt: skip
def test_licence(licence, expected, tmp_path):
    assert read(tmp_path, article(meta=f"{META}<permissions>{licence}</permissions>")).get("licence") == expected


@pytest.mark.parametrize(
    ("attributes", "meta", "expected"),
    [
        ('article-type="retraction"', META, "retraction_notice"),
        ('article-type="correction"', META + '<related-article related-article-type="retracted-article"/>', "retraction_notice"),
        ("", META + '<related-article related-article-type="retraction-forward"/>', "retracted"),
        ('article-type="retracted-article"', META, "retracted"),
        ("", META.replace("T<", "RETRACTED ARTICLE: Cells<"), "retracted"),
        ("", META.replace("T<", "[Withdrawn] Cells<"), "withdrawn"),
        ("", META.replace("T<", "Withdrawn patients fare worse<"), None),
        ('article-type="expression-of-concern"', META, None),
    ],
)  # fmt: skip
def test_standing(attributes, meta, expected, tmp_path):
    assert read(tmp_path, article(meta=meta, attributes=attributes)).get("standing") == expected


def named(number: int, body: str = "<p>B.</p>") -> str:
    return article(body, META.replace("PMC1", f"PMC{number}"))


def test_article_set_with_default_namespace_and_another_encoding(tmp_path):
    articles = [
        named(i, f"<p>é{i}</p>").replace("<article ", '<article xmlns="http://jats.nlm.nih.gov" ') for i in (1, 2)
    ]
    xml = f'<?xml version="1.0" encoding="ISO-8859-1"?><!-- <note> --><set>{"<x/>".join(articles)}</set>'
    rows = rows_of(tmp_path, "a.xml", xml.encode("latin-1"), "pmc_jats")
    assert [(f["id"], f["text"]) for f in good(rows)] == [("pmc:PMC1", "T\n\né1"), ("pmc:PMC2", "T\n\né2")]
    assert not bad(rows)


def archive(members: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


def test_archive_of_articles_and_other_files(tmp_path):
    content = archive(
        {"PMC1/a.nxml": named(1), "PMC1/f.jpg": "x", "PMC2/b.xml": "<article><p></article>", "c.nxml": named(3)}
    )
    rows = rows_of(tmp_path, "oa.tar.gz", content, "pmc_jats")
    assert [(row.number, row.is_good) for row in rows] == [(1, True), (2, False), (3, True)]
    assert bad(rows) == [(2, "PMC2/b.xml: broken XML: mismatched tag: line 1, column 14")]


def test_torn_archive_keeps_what_came_before(tmp_path):
    noise = "".join(random.Random(0).choices("abcdefghij ", k=200_000))
    content = archive({f"{i}.xml": named(i, f"<p>{noise[i * 9 :]}</p>") for i in range(4)})
    rows = rows_of(tmp_path, "oa.tar.gz", content[: len(content) // 2], "pmc_jats")
    assert len(good(rows)) >= 1 and len(bad(rows)) == 1
    assert bad(rows)[0][1].startswith("the file is torn (")


def test_broken_records_cost_only_themselves(tmp_path):
    good_one, last = named(1), named(9)
    xml = "<set>" + good_one + "".join(
        [
            named(2).replace("</p>", ""),  # broken
            named(3).replace("</article>", ""),  # unclosed: cut at the next one
            named(4, "<p>" + "long " * 2000 + "</p>"),
            named(5, "<p>\ud800</p>"),
            named(6, "<p>\x00</p>"),
            named(1),
            "<article><front/><body/></article>",
            "</article>",
            last,
        ]
    ) + "</set>"  # fmt: skip
    rows = rows_of(tmp_path, "a.xml", xml.encode(errors="surrogatepass"), "pmc_jats", max_document_bytes=5000)
    assert [f["id"] for f in good(rows)] == ["pmc:PMC1", "pmc:PMC9"]
    reasons = [reason for _, reason in bad(rows)]
    assert [r.split(" at ")[0].split(": ")[0] for r in reasons] == [
        "broken XML", "no closing tag", "10,335 bytes, expected", "not UTF-8", "NUL character", "id pmc:PMC1 stood in the file before",
        "no text", "no opening tag",
    ]  # fmt: skip
    assert [row.number for row in rows] == list(range(1, 11))


def test_long_article_is_never_held(tmp_path):
    path = tmp_path / "a.xml"
    with open(path, "wb") as stream:
        stream.write(b"<set>" + named(1).encode() + b"<article><body><p>")
        for _ in range(640):
            stream.write(b"word " * (1 << 15))
        stream.write(b"</p></body></article>" + named(2).encode() + b"</set>")
    assert path.stat().st_size > 100 * 2**20
    tracemalloc.start()
    rows = list(read_piece(Piece(str(path)), reader_of("pmc_jats", ReadRules(max_document_bytes=2**20))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [f["id"] for f in good(rows)] == ["pmc:PMC1", "pmc:PMC2"]
    assert bad(rows) == [(2, "104,857,639 bytes, expected at most 1,048,576")] and peak < 16 * 2**20


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (named(1)[:-20], "the file ends inside the record"),
        ("<set>" + named(1), "the file ends before </set>"),
        ("<html>no</html>", "no <article> in it"),
        ("", "no row in the file"),
    ],
)
def test_cut_and_foreign_files(xml, reason, tmp_path):
    rows = rows_of(tmp_path, "a.xml", xml.encode(), "pmc_jats")
    assert [r for _, r in bad(rows)] == [reason]
    assert len(good(rows)) == (1 if "before" in reason else 0)


def test_entity_bomb_and_deep_nesting_are_bad_rows(tmp_path):
    bomb = '<!DOCTYPE article [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + named(1, "<p>&b;</p>")
    deep = named(2, "<sec>" * 5000 + "<p>x</p>" + "</sec>" * 5000)
    rows = rows_of(tmp_path, "a.xml.gz", gzip.compress(f"<set>{bomb}{deep}</set>".encode()), "pmc_jats")
    assert [r.split(":")[0] for _, r in bad(rows)] == ["broken XML", "XML nested too deep"]
