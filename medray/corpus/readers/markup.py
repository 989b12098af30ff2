"""Marked-up text of JATS and PubMed as plain text: inline elements, citation marks, formulae; dates and standing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

_MARK = "\ufdd0"  # a noncharacter: stands where a citation or footnote mark stood
_MARKS = re.compile(  # of text whose blanks are single: runs of them would cost their square
    rf" ?(?:\[[\s,;–—-]*(?:{_MARK}[\s,;–—-]*)+\]|\([\s,;–—-]*(?:{_MARK}[\s,;–—-]*)+\)"
    rf"|{_MARK}(?:[\s,;–—-]*{_MARK})*)"
)
_FOOTNOTES = ("fn", "table-fn", "aff", "author-notes", "corresp")
_SILENT = frozenset(
    "fn graphic inline-graphic media supplementary-material inline-supplementary-material object-id index-term".split()
)
_SEPARATE = frozenset("break p title label term def list-item tr td th".split())
_EXPONENT = re.compile(r"\s*[+−–-]?\s*\d[\d.]*\s*")
_FORMULAE = ("inline-formula", "disp-formula", "DispFormula", "math", "tex-math", "chem-struct")
_SCRIPTS = {"msup": "^", "msub": "_", "mfrac": "/", "mover": "^", "munder": "_"}

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_STANDING = re.compile(r"\W*(retracted|withdrawn)(?:\s+(?:article|paper))?\s*[:.\])–—-]", re.IGNORECASE)


def plain(element: ET.Element | None) -> str:
    """The text of an element in one line; "" for none.

    Numeric citation marks and footnote marks go, with their brackets; citations by author are part of the sentence and
    stay. After a digit a superscript is an exponent: 10^-3, not 10-3. Formulae are TeX where they have it.
    """
    parts: list[str] = []
    if element is not None:
        _gather(element, parts)
    return tidy("".join(parts))


def tidy(text: str) -> str:
    """Text of `gather_child` in one line, without what citation marks left behind."""
    return _MARKS.sub("", " ".join(text.split())).strip()


def _gather(element: ET.Element, parts: list[str]) -> None:
    if element.text:
        parts.append(element.text)
    for child in element:
        gather_child(child, parts)
        if child.tail:
            parts.append(child.tail)


def gather_child(element: ET.Element, parts: list[str]) -> None:
    """Append an inline element's text to the parts of its paragraph, citation marks still in it; for `tidy`."""
    if element.tag in _SILENT:
        return
    if element.tag in _FORMULAE:
        parts.append(formula(element))
    elif element.tag in _SEPARATE:
        parts.append(" ")
        _gather(element, parts)
        parts.append(" ")
    elif element.tag == "alternatives":
        parts.append(formula(element) or "".join(map(plain, element)))
    else:
        inner: list[str] = []
        _gather(element, inner)
        text = "".join(inner)
        if element.tag == "xref" and _is_mark(element.get("ref-type", ""), text):
            text = _MARK
        elif element.tag == "sup" and parts and parts[-1][-1:].isdigit() and _EXPONENT.fullmatch(text):
            text = f"^{text.strip()}"
        if text:
            parts.append(text)


def _is_mark(kind: str, text: str) -> bool:
    return kind in _FOOTNOTES or (kind == "bibr" and not any(map(str.isalpha, text)))


def formula(element: ET.Element) -> str:
    """A formula in one line: its TeX without the document around it, else its MathML written out, else ""."""
    tex = next(element.iter("tex-math"), None)
    if tex is not None:
        whole = "".join(tex.itertext())
        body = re.search(r"\\begin\{document\}(.*?)\\end\{document\}", whole, re.S)
        return " ".join((body[1] if body else whole).strip().strip("$").split())
    math = next(element.iter("math"), None)
    if math is not None:
        return _linear(math)
    parts: list[str] = []
    for child in element.findall("label"):
        child.text = ""  # the number of the formula
    _gather(element, parts)
    return tidy("".join(parts))


def _linear(math: ET.Element) -> str:
    """MathML in one line: a^b, a_b, (a)/(b), sqrt(a)."""
    children = [_linear(child) for child in math if child.tag not in ("annotation", "annotation-xml")]
    if math.tag in _SCRIPTS and len(children) == 2:
        return _SCRIPTS[math.tag].join(map(_grouped, children))
    if math.tag == "msubsup" and len(children) == 3:
        base, below, above = map(_grouped, children)
        return f"{base}_{below}^{above}"
    if math.tag == "msqrt":
        return f"sqrt({''.join(children)})"
    return " ".join((math.text or "").split()) + "".join(children)


def _grouped(term: str) -> str:
    return term if re.fullmatch(r"[+−-]?\w+", term) else f"({term})"


def date_of(element: ET.Element | None, names: tuple[str, str, str] = ("year", "month", "day")) -> str:
    """YYYY, YYYY-MM or YYYY-MM-DD of an element with year, month and day (numbers, or names of months); "" for none."""
    year, month, day = ("" if element is None else (element.findtext(name) or "").strip() for name in names)
    if not re.fullmatch(r"\d{4}", year):
        return ""
    month = str(_MONTHS.index(month[:3].lower()) + 1) if month[:3].lower() in _MONTHS else month
    date = year
    for part, most in ((month, 12), (day, 31)):
        if not part.isdigit() or not 1 <= int(part) <= most:
            break
        date += f"-{int(part):02d}"
    return date


def standing_of(title: str) -> str:
    """What a title says first of its article: retracted or withdrawn ("RETRACTED: ...", "[Withdrawn] ..."), else ""."""
    found = _STANDING.match(title)
    return found[1].lower() if found else ""
