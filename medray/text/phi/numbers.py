"""Numbers, codes and addresses of networks that identify: found by their shape, or by the label before them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medray.text.phi.found import Found, matches_at, starts_of

# A label is followed by "number", "no.", "#", "is", ":", dots, in any order, and then by the value.
LINK = (
    r"(?:[ \t]*(?:numbers?|num|n[or]s?\b\.?|id\b|#|:|is\b|was\b|are\b|tag|there|code|on file|end(?:s|ing)(?: in|"
    r" with)?\b|\.{2,}|=|-(?=[ \t])))*"
    r"[ \t]*\n?[ ]{0,4}"
)
# Holds three digits at least; may have letters, dashes, dots and slashes inside.
_CODE = r"(?:(?=(?:[\w./-]*\d){3})[A-Z0-9]+(?:[-./][A-Z0-9]+)*|\d{2,}:[A-Z]{1,3}\d{3,}|[A-Z]{2,3}\d\d)(?!\w)"
_GROUPS = re.compile(r"(?<![\w.-])\d{4}(?: \d{4}){2,3}(?![\w.-])")
_OBSTETRIC = re.compile(r"G\d{1,2}P\d{1,4}|[CTLS]\d{1,2}-[CTLS]?\d{1,2}", re.I)
"""Pregnancies and births, levels of the spine."""
_AREA = r"[2-9]\d{2}"
_PHONE = re.compile(
    rf"(?<![\w.-])(?:(?:\+?1[ .-]?)?(?:\({_AREA}\)[ .-]{{0,2}}|{_AREA}[./-]|"
    rf"(?<!\D\d )(?<!\D\d\d )(?<!\D\d{{3}} ){_AREA} ){_AREA}[ .-]\d{{4}}"
    rf"|\+(?=(?:[ ().-]{{0,2}}\d){{8}})\d{{1,3}}[ .-]?\(?\d{{1,5}}\)?"
    rf"(?:[ .-]?\d{{2,8}}){{1,4}}|0[1237]\d{{1,3}}[ -]\d{{3,4}}[ -]\d{{3,4}}|"
    rf"{_AREA}[-.]\d{{4}}(?! ?(?:m[lgc]|cc|units?|"
    rf"kcal|cal|steps|iu|k|g)\b))(?![\w-])"
    r"(?:[ ,]*(?:x|ext\.?|extension)[ ]?(?P<ext>\d{2,6}))?"
)
_FAX_BEFORE = re.compile(r"(?:\bfax\w*|\bfacsimile)[^\d\n;]{0,24}$", re.I)
_LAB_BEFORE = re.compile(
    r"\b(?:glucose|fsbs|fs|bg|ck|plt|platelets?|bun|ld|wbc|range|"
    r"counts?)[ :]{1,2}[\d ,-]*$",
    re.I,
)
_PHONE_STARTS = re.compile(r"[+(\d](?<![\w.-][+(\d])")
_EXTENSION = re.compile(
    rf"[PpBbEe](?<!\w[PpBbEe])(?i:ager|eeper|leep|gr|age (?:me|him|her) at|aged(?: at)?|xt\b\.?|xtension){LINK}"
    rf"(?P<v>\d{{4,7}}|\d-\d{{4}})(?![\w-])"
)

# Words that label a code by themselves, and words that do so only with "number", "no.", "id" or "#" after them.
_LABELLED = {
    "medical_record": (
        r"MRNs?|MPI|NHI|NHS|HRN|URN|CRN|med(?:ical)?[. ]{1,2}rec(?:ord)?s?\b\.?|patient identifier|chart",
        r"MR|UR|unit|hosp(?:ital)?\.?|patient",
    ),
    "ssn": (r"SSN|social security|social(?= ?[#:])|last[ -](?:4|four)(?:(?: digits)? of)?(?: SSN| social\w*)?", r"SS"),
    "health_plan": (
        r"grp|subscriber|medicaid|medicare|beneficiary|insured|HICN?|MBI|health card",
        r"member(?:ship)?|policy|group|group/policy|"
        r"(?:health )?(?:insurance|plan)|aetna,?|blue cross,?|cigna,?|humana,?|payer",
    ),
    "account": (
        r"acct\b\.?|account|FIN|CSN|HAR|invoice|claim file|credit card|visa|mastercard|amex",
        r"billing|encounter|visit|guarantor|card",
    ),
    "licence": (
        r"DEA|NPI|UPIN|GMC|NMC|HCPC|NABP|NCPDP|CDL|licen[cs]ed?(?! (?:plate|tag))|lic\b\.?|certificate|"
        r"cert\b\.?|passport|permit",
        r"DL|cert\b\.?|certification|reg\b\.?|registration|credential|PIN|NRP|EMT(?:-P)?|RN|LPN|LVN|NP|PA(?:-C)?|MD|DO|"
        r"RPh|PharmD|PT|OT|RT|CRNA|board",
    ),
    "vehicle": (
        r"VIN|HIN|placard|decal|tail number|licen[cs]e plates?|plates?",
        r"vehicle|registration|reg\b\.?|tag|bus|van|truck|car|trailer",
    ),
    "device": (
        r"ser(?:ial)?\b\.?|S/?N|UDI|IMEI|model/serial|lot|transmitter|sensor code",
        r"device|implant|pump|machine|monitor|unit|generator",
    ),
    "other": (
        r"(?<=\()ID|ID(?= ?[#:]| (?:band|bracelet|tag|badge))(?: band| bracelet| tag| badge)?|accession|specimen|badge|"
        r"employee|requisition|military|docket|incident|wristband|bracelet|(?:id )?band|ticket|subject|"
        r"participant|job|clip",
        r"study|trial|interpreter|case|kit|claim|ref(?:erence)?|protocol|dictation|document|order|prescription|rx|"
        r"confirmation|prisoner|inmate|student|user ?|state|national|tax|identification",
    ),
}
_NUMBERED = r"(?= ?(?:#|id\b|no\b|num))"
_OF = r"(?: of [^\d.;:\n]{2,40}(?=:))?"
_LABEL_BEFORE = tuple(
    (kind, re.compile(rf"(?:{alone}|(?:{words}){_NUMBERED}){_OF}{LINK}$", re.I))
    for kind, (alone, words) in _LABELLED.items()
)
_SOME_LABEL = re.compile("|".join(pattern.pattern for _, pattern in _LABEL_BEFORE), re.I)
_LETTERS = re.compile(r"(?<![A-Za-z])[A-Za-z]")
# What is left: a code after "number", "no." or "#", six digits in a row, or five among letters and dashes.
_PICTURE_BEFORE = re.compile(
    r"\b(?:images?|series|slices?|figs?|figures?|size|with|running)\b[ \w]{0,8}#[ ]?$|\(#$", re.I
)
_ANY_LABEL = re.compile(rf"(?:\bnumber|\bno\.|#|\bID:){LINK}$", re.I)
# These label only what cannot be a dose or a count: letters with digits, or seven digits.
_LOOSE_LABEL = re.compile(
    rf"\b(?:ID|ref(?:erence)?\b\.?|claim|case|rx|specimen|sample|order|insurance|protocol|study|trial|"
    rf"offer|donor){LINK}$",
    re.I,
)
_LOOSE_CODE = re.compile(r"[A-Z]+-?\d{3,}[A-Z\d-]*|(?:\d-?){7,}|\d{3}-\d{3}|\d+[:-][A-Z]{2,}-?\d{3,}")
_ANY_CODE = re.compile(
    r"(?:\d+-)*\d{6,}(?:-\d+)*|(?=(?:[A-Z-]*\d){5})(?=[\d-]*[A-Z])[A-Z0-9]+(?:-[A-Z0-9]+)*|"
    r"(?=[A-Z0-9-]{6})(?=(?:[A-Z-]*\d){4})(?=(?:[\d-]*[A-Z]){2})[A-Z0-9]+(?:-[A-Z0-9]+)*"
)
_SPACED = re.compile(
    r"(?<![\w-])(?:(?!(?:ID|NO|NUM|NR|SSN|MRN|RN|NPI|DEA|LIC|VIN|SN|"
    r"ACCT) )[A-Z]{1,4} \d{3,10}(?: [A-Z]{1,2})?|\d{2,4}(?: \d{2,4}){2,3}|[A-Z]\d[A-Z] \d{2,3})(?![\w-]|"
    r"\.\d)"
)
"""A code in groups, which only a label tells from other words and figures."""
_CATALOGUE_BEFORE = re.compile(
    r"\b(?:NDC|SNOMED(?: CT)?|RxCUI|LOINC|CPT|HCPCS|ICD(?:-\d+)?(?:-CM)?|DRG|CVX|cat(?:alog(?:ue)?)?\.?|"
    r"BIN|PCN|PMID|chr\w+)"
    r"(?: ?(?:#|no\.?|number|code))?[ :]{0,2}$",
    re.I,
)
"""What stands before a code of a thing of which there are many."""
_HANDLE = re.compile(r"(?<![\w.])@(?P<v>[A-Za-z][\w.-]*[\d_][\w-]*|[A-Z]\w+-[A-Z]\w+)")
_USER = re.compile(
    r"\b(?:user ?name|user ?id)(?: is|:)? (?P<v>(?!from\b)[a-z]+[a-z._]*\d*[a-z\d._]*)\b(?! (?:to|is|and|"
    r"in|the|with))",
    re.I,
)
_MAC = re.compile(r"(?<![\w:])(?:[\dA-Fa-f]{2}[:-]){5}[\dA-Fa-f]{2}(?![\w:])")
_SLASHED = re.compile(r"\d{1,2}([/.-])\d{1,2}\1\d{2,4}|(?:19|20)\d\d([/.-])\d{1,2}\2\d{1,2}")
_SIGNED_CODE = re.compile(rf"[^\W\d_]{{3,}}/(?P<v>{_ANY_CODE.pattern})", re.I)
_IN_BRACKETS = re.compile(r"(?<=[^\W\d_] )\((?P<v>\d{2,4}(?:-\d{2,4}){2})\)")
_CODES = re.compile(rf"(?<![\w-])(?<!\d[./])(?<!\w\.){_CODE}", re.I)
_LONGEST_LABEL = 72
_STATE_BEFORE = re.compile(r"(?<![A-Za-z])[A-Z]{1,3} $")
_LONG_FRACTION = re.compile(r"\d{2,3}\.\d{5,7}(?![\w.])")
"""A number of a register, a place on the globe: nothing is measured so finely."""
_JOINED = re.compile(r"\d(?<![\w./-]\d)\d*(?:-\d+)+(?![\w/]|\.\d|-\w)")
_DATED = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}-\d{1,2}-\d{4}")
_ABROAD = re.compile(r"0\d{2,4}\)?[ -]?\d{3,4}[ -]?\d{3,4}(?![\w-])")
_CALLED_BEFORE = re.compile(
    r"\b(?:tel|telephone|phone|ph|cell|mobile|landline|home|work|call|cb|callback|contact|fax|number|"
    r"at)\b[.:# ]{1,3}\(?$",
    re.I,
)
_ON_PAGER = re.compile(r"[px](?<!\w[px])\.?(?P<v>\d{4,5}|\d-\d{4})(?![\w-]|\.\d)")
_SSN_SPACED = re.compile(r"\d{3} \d{2} \d{4}\b")
_SSN_MASKED = re.compile(r"[X*x#•](?:[X*x#•]{2}-?[X*x#•]{2}-?|[X*x#•]{2,4}-)\d{4}\b")
_UDI = re.compile(r"\(01\)\d{14}(?:\(\d{2}\)[\w-]+)*")
_EMAIL = re.compile(r"(?<![\w.])[\w.+'-]+@[\w-]+(?:\.[\w-]+)+")
_DOMAIN = (
    r"\.(?:com|org|net|edu|gov|info|io|us|uk|ca|health|int|test|example|invalid|local|co|biz|care|clinic|"
    r"de|fr|au|nz)\b"
)
LINKED = re.compile(rf"{_DOMAIN}|://|www\.", re.I)
_URL = re.compile(
    r"\b(?:https?|ftp)://[^\s<>()\"']+[^\s<>()\"'.,;:?!]|\bwww\.[\w.-]+\.\w{2,}(?:/[\w./%?=&#~-]*\w)?"
    rf"|(?<![\w@.-])(?=[a-z][\w-]*+\.[a-z])[a-z][\w-]*(?:\.[a-z][\w-]*)*{_DOMAIN}(?:/[\w./%?=&#~-]*\w)?",
    re.I,
)
_IP4 = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w]|\.\d)")
_IP6 = re.compile(
    r"(?<![\w:])(?=[\da-f:]*(?:::|(?::[^:\s]+){7}))(?=[\da-f:]*[\da-f]{3})[\da-f]{0,4}(?::[\da-f]{0,4}){2,7}(?![\w:])",
    re.I,
)
_SSN = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")
_SERIAL = re.compile(r"SN(?<!\wSN)-?\d{5,}\b")


def find_numbers(text: str) -> Iterator[Found]:
    """Identifiers (D) to (O) and (R) of 45 CFR 164.514(b)(2)(i), the surer rules first; finds may overlap."""
    digits = starts_of(text, "0")
    if "@" in text:
        yield from (Found(*m.span(), "email") for m in _EMAIL.finditer(text))
    if LINKED.search(text):
        yield from (Found(*m.span(), "url") for m in _URL.finditer(text))
    yield from (Found(*m.span(), "ip") for m in matches_at(_IP4, text, digits))
    if "::" in text or text.count(":") > 6:
        yield from (Found(*m.span(), "ip") for m in _IP6.finditer(text))
    yield from (Found(*m.span(), "device") for m in _UDI.finditer(text))
    yield from (Found(*m.span(), "device") for m in _MAC.finditer(text))
    for pattern in (_HANDLE, _USER):
        yield from (Found(*m.span("v"), "other") for m in pattern.finditer(text))
    yield from (Found(*m.span(), "ssn") for m in matches_at(_SSN, text, digits))
    yield from (Found(*m.span(), "device") for m in _SERIAL.finditer(text))
    yield from _labelled(text)
    for m in matches_at(_SSN_SPACED, text, digits):
        if not text[max(0, m.start() - 2) : m.start() - 1].isdigit():
            yield Found(*m.span(), "ssn")
    yield from (Found(*m.span(), "ssn") for m in _SSN_MASKED.finditer(text))
    yield from _phones(text, digits)


def _labelled(text: str) -> Iterator[Found]:
    for code in _GROUPS.finditer(text):
        before, kind = _label_before(text, code.start())
        if kind or _ANY_LABEL.search(before):
            yield Found(*code.span(), kind or "other")
    for code in _SPACED.finditer(text):
        if kind := _label_before(text, code.start())[1]:
            yield Found(*code.span(), kind)
    for code in _CODES.finditer(text):
        if found := _code(text, code):
            yield found


def _code(text: str, code: re.Match[str]) -> Found | None:
    """A code that its label or its shape gives away."""
    start, (before, kind) = code.start(), _label_before(text, code.start())
    state = _STATE_BEFORE.search(before)  # lic. OH 12345
    if state and not kind:
        kind = _label_before(text, start - len(state[0]))[1]
        start -= len(state[0]) if kind else 0
    if (not kind and _CATALOGUE_BEFORE.search(before)) or (kind == "other" and _SLASHED.fullmatch(code[0])):
        return None  # of a catalogue, a date
    loose = _LOOSE_CODE.fullmatch(code[0]) and _LOOSE_LABEL.search(before)
    named = sum(map(str.isdigit, code[0])) > 3 and _ANY_LABEL.search(before) and not _PICTURE_BEFORE.search(before)
    if not kind and (loose or named or _ANY_CODE.fullmatch(code[0])):
        kind = "other"
    signed = _SIGNED_CODE.fullmatch(code[0])
    if signed and not kind:  # K. Ramirez/76-ER-2417
        start, kind = start + signed.start("v"), "other"
    return Found(start, code.end(), kind) if kind and not _OBSTETRIC.fullmatch(code[0]) else None


def _label_before(text: str, place: int) -> tuple[str, str | None]:
    """What stands before a code, and the kind of its label, if there is one."""
    before = text[max(0, place - _LONGEST_LABEL) : place]
    starts = [m.start() for m in _LETTERS.finditer(before)]
    if not any(_SOME_LABEL.match(before, start) for start in starts):
        return before, None
    return before, next(kind for kind, pattern in _LABEL_BEFORE for start in starts if pattern.match(before, start))


def _phones(text: str, digits: list[int]) -> Iterator[Found]:
    for m in matches_at(_PHONE, text, [m.start() for m in _PHONE_STARTS.finditer(text)]):
        before = text[max(0, m.start() - 40) : m.start()]
        if not _LAB_BEFORE.search(before):
            stop = m.start("ext") - 1 if m["ext"] else m.end()
            stop = len(text[:stop].rstrip(" ,.xetnsio")) if m["ext"] else stop
            yield Found(m.start(), stop, "fax" if _FAX_BEFORE.search(before) else "phone")
            if m["ext"]:
                yield Found(*m.span("ext"), "phone")
    for m in _IN_BRACKETS.finditer(text):  # Mary Okonkwo (892-897-195)
        if text[text.rfind(" ", 0, m.start() - 1) + 1].isupper():
            yield Found(*m.span("v"), "other")
    yield from (Found(*m.span(), "other") for m in matches_at(_LONG_FRACTION, text, digits))
    for m in _JOINED.finditer(text):
        lengths = {len(group) for group in m[0].split("-")}
        before = text[max(0, m.start() - 40) : m.start()]
        measured = _LAB_BEFORE.search(before) or _CATALOGUE_BEFORE.search(before)
        if len(lengths) > 1 and not measured and not _DATED.fullmatch(m[0]) and len(re.sub("-", "", m[0])) > 6:
            yield Found(*m.span(), "other")  # neither a range nor a row of values is written so
    for m in matches_at(_ABROAD, text, digits):
        if _CALLED_BEFORE.search(text, max(0, m.start() - 16), m.start()):
            yield Found(*m.span(), "phone")
    for pattern in (_EXTENSION, _ON_PAGER):
        yield from (Found(*m.span("v"), "phone") for m in pattern.finditer(text))
