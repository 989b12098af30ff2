"""Places that their own words do not give away (Liberty, The Pines at Prescott, KVMC): told by what stands before."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medray.text.phi.cues import EPONYM_NOUN, ROLES, STOP, is_suspect
from medray.text.phi.found import Found, matches_at, starts_of
from medray.text.phi.streets import CAP
from medray.text.phi.words import (
    LONG_TOWNS,
    MONTHS,
    STATE_CODES,
    STATES,
    TOWN_WORDS,
    TOWNS,
    is_common,
    is_drug,
    is_term,
)

_END = (
    r"(?=[,.;:)\n(]|$| {2}| (?:with|where|who|and|on|for|since|near|until|by|but|that|w/|when|after|"
    r"before|to|then|she|he|this|last|area)\b)"
)
_BEFORE_TOWN = re.compile(
    r"\b(?:in|from|near|to|outside(?: of)?|around|leaving|via|of|(?:left|leaving|headed|bound|flew|fly|"
    r"flying|drove|back) for|"
    r"IN|FROM|NEAR|OUTSIDE)[ \n]$"
)
_WORD_HERE = re.compile(rf"(?:[A-Z][a-z]+|[A-Z]{{4,}}){_END}")
_NEXT_TOWN = re.compile(r",[ \n](?P<v>[A-Z][\w'’-]+)(?=[,.;)\n]|$| (?:for|with|on|by|after|where|and)\b)")
_NAMED_AT = re.compile(
    rf"\b(?:The {CAP}(?: {CAP}){{0,2}}|{CAP}(?: {CAP}){{0,1}} (?:Pines|Oaks|Gardens|Villas?|Village|"
    rf"Meadows|Manor|Commons|"
    rf"Landing|House|Place|Residences?|Woods|Hills|Springs|Terrace|Cottages?|Arbors?)) (?:at|on|"
    rf"of) (?:the )?{CAP}(?: {CAP})?"
)
_ACRONYM = re.compile(
    r"(?!CMC|[ABP]+BMC|BMC|V?SMC|CGH|LMH|OMH|BMH)[A-Z]{1,4}(?:MC|GH|RH)\b(?! ?(?:joint|level|test|\d))"
)
_BEFORE_ACRONYM = re.compile(r"(?:\b(?:at|from|to|to the|via|by|in)[ \n]|[:(/–-][ \n]{0,2}|^|\n)$")
_ACRONYM_TOWN = re.compile(rf"\b[A-Z]{{1,4}}[CH] (?P<v>{CAP})\b")
_NARROW = (
    r"facility|hospital|(?:pre|high |day ?)?school|daycare|employer|empl|workplace|works? at|pharmacy|agency|church|"
    r"residence|address|addr|transfer(?:red)? (?:from|to)|referred from|birthplace|place of birth|home ?town|campus|"
    r"shelter|assisted living|nursing home|snf|company|congregation|branch"
)
_WIDE = (
    r"location|site|sending|receiving|disposition|dispo|destination|origin|(?:outside |old |prior )?records?|"
    r"(?:past|prior|previous) admissions?|lab|unit|city|town|clinic|lives(?: in| at)?|born(?: in)?|from|place"
)
_LABEL_GAP = re.compile(
    r"(?::[ \t]*\n?[ \t]*|\.{3,}[ \t]*|[ \t]{2,}|(?<=mployer) (?=[A-Z])|(?<=EMPL|SITE|LITY|TION|HOOL|"
    r"OYER) (?=[A-Z]{3,} [A-Z]{2,}))(?=[A-Z])"
)
_LABEL_BEFORE = tuple(re.compile(rf"\b(?:{labels})(?: name)?[ \t]?$", re.I) for labels in (_NARROW, _WIDE))
_RUN = re.compile(rf"{CAP}(?:[ -](?:{CAP}|of|the|at|on|de|du|la|&|and)){{0,5}}")
_LIVES_BEFORE = re.compile(
    r"\b(?:liv(?:es?|ed|ing)|resid(?:es?|ed|ing)|stay(?:s|ed|ing)?|works?|worked|working|employed|job|"
    r"boss|shift|placement|"
    r"operator|worker|driver|clerk|cashier|teacher|cook|janitor|welder|mechanic|foreman|guard|student|"
    r"professor|engineer|"
    r"electrician|plumber|carpenter|machinist|custodian|waitress|bartender|secretary|manager|"
    r"moved|retired from|attends|enrolled|graduated|teaches|studies)(?: \w+)? (?:at|on|for|by|in|near|"
    r"from|to|off) (?:the )?$",
    re.I,
)
_PREPOSITION = re.compile(r" (?:at|on|for|by|in|near|from|to|off) (?:the )?$")
_HOME_HERE = re.compile(rf"(?:The )?{CAP}(?: (?:{CAP}|of|the|at|&|and)){{0,4}}{_END}")
_HOUSES = frozenset("university college school our center hospital clinic home office medicine surgery".split())
_WITHIN_PLACES = _HOUSES | frozenset("all of the at st st.".split())
"""Words of notes that are words of places too."""
_POSTCODE = re.compile(r"(?:[A-Z]{1,2}\d{1,2}[A-Z]? \d[A-Z]{2}|[A-Z]\d[A-Z] \d[A-Z]\d)\b")
_BEFORE_POSTCODE = re.compile(rf"\b(?P<v>{CAP}(?: {CAP})?),? $")
_BEFORE_NUMBER = re.compile(
    r"(?:(?:[,:(]|--)[ ]|\b(?:at|to|of|from|near|on|lives?|lived|living|home|house|address|residence|"
    r"scene|by)[ \n]|\n)$",
    re.I,
)
_HOUSE_NUMBER = re.compile(
    rf"(?P<v>\d{{2,5}}(?:[NSEW]\.?|-\d{{1,4}})? (?:[NSEW]\.? )?{CAP}(?: {CAP}){{0,2}})"
    r"(?=[,;)\n]|\.(?!\d)|$| (?:for|in|with|and|where|by|when|after|w/)\b)"
)
_ROADS = re.compile(
    r"(?i)(?<![\w/.-])\d{1,6} (?:[NSEW]\.? |North |South |East |West )?(?:US |U\.S\. |State |County |Old |"
    r"Farm to Market |Ranch )"
    r"{0,2}(?:Highway|Hwy\.?|Road|Rd\.?|Route|Rte\.?|FM|CR|SR|Interstate|I-?|RR) ?\d{1,4}\b"
    r"(?:,? (?:apt|apartment|unit|lot|#)\.? ?#?\w{1,5})?"
)
_NO_STREET = frozenset(
    """
    units unit beats pounds lead leads hour hours week weeks day days month months minutes minute years year tablets
    tablet caps capsules views view fr french gauge percent degrees points items beds stairs steps feet inches miles
    times doses dose grams type stage grade class level hr hrs min mins x
    """.split()
)


def find_sites(text: str) -> Iterator[Found]:
    """Places known by what stands before them; finds may overlap."""
    capitals, digits = starts_of(text, "A"), starts_of(text, "0")
    for m in matches_at(_WORD_HERE, text, capitals):
        word = m[0].lower()
        if word in TOWN_WORDS and not is_term(word) and not EPONYM_NOUN.match(text, m.end()):
            if _BEFORE_TOWN.search(text, max(0, m.start() - 14), m.start()):
                yield Found(*m.span(), "location")
    yield from (Found(*m.span(), "location") for m in matches_at(_NAMED_AT, text, capitals) if _is_named(m[0]))
    for m in matches_at(_ACRONYM, text, capitals):
        if _BEFORE_ACRONYM.search(text, max(0, m.start() - 8), m.start()):
            yield Found(*m.span(), "location")
    for m in matches_at(_ACRONYM_TOWN, text, capitals):
        if m["v"].lower() in TOWNS or m["v"].split(" ")[0].lower() in LONG_TOWNS and m["v"].lower() not in STOP:
            yield Found(*m.span(), "location")
    yield from _labelled(text)
    yield from _homes(text, capitals)
    for m in matches_at(_POSTCODE, text, capitals):
        if town := _BEFORE_POSTCODE.search(text, max(0, m.start() - 40), m.start()):
            yield Found(*town.span("v"), "location")
    yield from (Found(*m.span(), "location") for m in matches_at(_ROADS, text, digits))
    for m in matches_at(_HOUSE_NUMBER, text, digits):
        if _BEFORE_NUMBER.search(text, max(0, m.start() - 12), m.start()) and _may_be_street(m["v"]):
            yield Found(*m.span("v"), "location")


def _labelled(text: str) -> Iterator[Found]:
    for gap in _LABEL_GAP.finditer(text):
        for pattern, is_narrow in zip(_LABEL_BEFORE, (True, False), strict=True):
            if pattern.search(text, max(0, gap.start() - 32), gap.start()):
                name = _without_tail(_RUN.match(text, gap.end())[0]) if _RUN.match(text, gap.end()) else ""
                if name and _may_label(name, is_narrow):
                    yield Found(gap.end(), gap.end() + len(name), "location")


def _homes(text: str, capitals: list[int]) -> Iterator[Found]:
    """Where somebody lives or works."""
    for start in capitals:
        if not _PREPOSITION.search(text, max(0, start - 10), start):
            continue
        if not _LIVES_BEFORE.search(text, max(0, start - 40), start):
            continue
        run = _HOME_HERE.match(text, start)
        name = _without_tail(run[0]) if run else ""
        if name and not name.isupper() and _may_live(name):
            yield Found(start, start + len(name), "location")


def find_next_towns(text: str, found: list[Found]) -> Iterator[Found]:
    """Towns after a comma behind the places found already."""
    for item in found:
        m = _NEXT_TOWN.match(text, item.stop) if item.kind == "location" else None
        if m and (m["v"].lower() in TOWNS or m["v"].lower() in TOWN_WORDS):
            yield Found(*m.span("v"), "location")


def _is_plain(word: str) -> bool:
    low = word.lower().strip(".")
    return low in STOP or low in ROLES or is_drug(low) or low in MONTHS


def _is_named(name: str) -> bool:
    words = [w for w in re.sub(r"^[A-Z]\w+ (?=The )", "", name).removeprefix("The ").split(" ") if w[0].isupper()]
    return not any(_is_plain(w) for w in words[1:]) and words[-1].lower() not in STATES


def _without_tail(name: str) -> str:
    """A labelled run without the small words at its end, or the label that follows it."""
    words = name.split(" ")
    while words and (words[-1][0].islower() or words[-1] == "&"):
        words.pop()
    return " ".join(words)


def _may_label(name: str, is_narrow: bool) -> bool:
    words = [w for w in re.split("[ -]", name) if w[:1].isupper()]
    if is_narrow and any(_is_plain(w) and not w.isupper() for w in words[:1]):
        return False
    if not is_narrow and any(_is_plain(w) for w in words if w.lower() not in _WITHIN_PLACES):
        return False
    if words[0].upper() in STATE_CODES and len(words) == 1:
        return False
    strange = any(is_suspect(w) or w.lower() in TOWNS or w.lower() in TOWN_WORDS for w in words)
    if name.isupper() and len(words) == 1 and len(name) < 6:
        return False
    if is_narrow:
        return len(words) > 1 or (strange and not is_common(words[0].lower()))
    return strange and (len(words) > 1 or words[0].lower() in TOWNS or words[0].lower() in TOWN_WORDS)


def _may_live(name: str) -> bool:
    words = [w for w in re.split("[ -]", name.removeprefix("The ")) if w[:1].isupper()]
    return (
        name != "United States"
        and any(w.lower() not in _HOUSES for w in words)
        and not any(
            ((_is_plain(w) if w is words[0] else is_drug(w.lower())) and w.lower() not in _HOUSES)
            or w.lower() in STATES
            or w in STATE_CODES
            for w in words
        )
    )


def _may_be_street(street: str) -> bool:
    number, *words = street.split(" ")
    names = [w.lower().strip(".") for w in words]
    year = 1900 <= int(re.match(r"\d+", number)[0]) < 2100 and len(names) < 2
    return not year and not any(_is_plain(w) or w in _NO_STREET for w in names) and not all(w.isupper() for w in words)
