"""Streets with their numbers, post boxes and postal codes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medray.text.phi.cues import STOP
from medray.text.phi.found import Found, matches_at, starts_of
from medray.text.phi.words import STATE_CODES, STATES, is_drug, is_term

CAP = r"(?:(?:St|Ste|Mt|Ft|Pt|ST|STE|MT|FT)\.|[A-Z][\w'’-]*\w(?!\w|\.\w)|[NSEW]\.)"
_SECOND_WORDS = frozenset("hampshire jersey mexico york carolina dakota rhode columbia".split())
_STATE_NAMES = "|".join(
    (
        "New (?:York|Jersey|Mexico|Hampshire)|(?:North|South) (?:Carolina|Dakota)|West Virginia|Rhode Island",
        *(name.title() for name in sorted(STATES - _SECOND_WORDS)),
    )
)
CODE = "|".join(sorted(STATE_CODES))
STATE = rf"(?:{CODE}|{_STATE_NAMES})"
_SUFFIX = (
    r"(?:street|st|avenue|ave|road|rd|drive|dr|lane|ln|boulevard|blvd|court|ct|circle|cir|place|pl|terrace|ter|way|"
    r"parkway|pkwy|highway|hwy|trail|trl|row|square|sq|plaza|loop|path|walk|pike|crossing|alley|turnpike|mews|"
    r"close|crescent)"
)
_UNIT = r"(?:,? (?:apt|apartment|unit|suite|ste|no|#|floor|fl|room|rm)\b\.? ?#?\w{1,5})"
_STREET_WORD = rf"(?:{CAP}|[JSD]r\.|[A-Z]\.|\d{{1,3}}(?:st|nd|rd|th)|d[eu]l?|l[ao]s?|of|the|and)"
_STREETS = (
    re.compile(
        rf"(?<![\w/.-])(?:\d{{1,6}}(?:-\d{{1,4}}| 1/2)?[A-Z]?|One|Two|Three|Four|Five|Six|"
        rf"Ten),? (?:{_STREET_WORD} ){{1,5}}?(?i:{_SUFFIX})\b\.?"
    
               rf"(?: (?:NE|NW|SE|SW|Ne|Nw|Se|Sw|[NSEW])\b)?(?i:{_UNIT})?"),
    re.compile(rf"(?<![\w/.-])\d{{1,6}} (?:(?:Old |East |West |North |South )?(?:County Road|County Rd|"
               rf"State Road|Route|Rte|Highway|Hwy|Rural Route|RR) \d+|"
               rf"(?:Avenida|Calle|Camino|Via|Rue|Avenue|Paseo|Rua|Piazza)(?: (?:de[l]?|la|los|las|du|"
               rf"des))*(?: {CAP}){{1,2}}|(?:(?:North|South|East|West|[NSEW]\.?) )?Broadway)(?i:{_UNIT})?"),
    re.compile(rf"\b(?:[NSEW]{{1,2}}\.? )?(?:{CAP} |\d{{1,3}}(?:st|nd|rd|th) ){{1,3}}(?:Street|Avenue|Ave|Road|"
               rf"Rd|Lane|Boulevard|Blvd|Parkway|Pkwy)\b\.?"),
)  # fmt: skip
_BARE_STREET = re.compile(
    rf"\d{{2,5}} (?P<v>{CAP}(?: (?:de[l]? |la )?{CAP})?)(?i:{_UNIT})?"
    r"(?=[,;.\n)]|$| (?:in|with|and|on|where|by|when|is)\b)"
)
_ON_STREET = re.compile(
    rf"\b(?:on|at|near|of|off|from|to|along|and|down) (?P<v>(?:[NSEW]\.? )?(?:{CAP}|\d{{1,3}}(?:st|nd|rd|"
    rf"th)) (?:St|Dr|Ct|Ln|Cir|Pl|Ter|Way)\b\.?)"
    r"(?! [A-Z])"
)
_CORNER = re.compile(
    rf"\b(?:corner of|intersection of) (?P<v>(?:{CAP}|\d{{1,3}}(?:st|nd|rd|th)) (?:and|&) (?:{CAP}|"
    rf"\d{{1,3}}(?:st|nd|rd|th)))\b"
)
_HOME_BEFORE = re.compile(
    r"(?:\b(?:at|on|near|from|to|outside|opposite|scene|house|home|lives?|residing|"
    r"residence|address|addr|street)[ :.]{1,24}|\n[ ]*)$",
    re.I,
)
_BOX = re.compile(r"[Pp](?<!\w[Pp])\.? ?[Oo]\.? ?(?i:box) \d{1,7}")
_APARTMENT = re.compile(
    r"[AaMmTt](?<!\w.)(?:pt|partment|obile home lot|railer)\b\.?,? ?(?:#|no\.?)? ?(?P<v>\d{1,4}[A-Z]?|"
    r"[A-Z]-?\d{1,4})\b(?! ?(?:mg|ml|of))|"
    r"(?P<w>[RrHhSs](?<!\w.)(?:R|\.R\.|C|ural route|tar route) ?#?\d{1,3},? box \d{1,5})\b",
    re.I,
)
_CODES = (
    re.compile(rf"(?<=\b)(?:{STATE})[.,]? {{1,2}}(?P<v>\d{{5}}(?:-\d{{4}})?)(?![\w-])"),
    re.compile(r"(?<![\w-])(?P<v>\d{5}-\d{4})(?![\w-])"),
    re.compile(r"\b(?P<v>(?:[A-Z]{1,2}\d{1,2}[A-Z]? \d[A-Z]{2}|[A-Z]\d[A-Z] \d[A-Z]\d))\b"),
)  # fmt: skip
_ZIP = re.compile(
    r"[ZzPp](?<!\w[ZzPp])(?i:ip(?: ?code)?|ost(?:al )?code)(?: (?:is|of))?[ :#]{1,3}"
    r"(?P<v>[A-Z0-9][A-Z0-9 -]{3,8}[A-Z0-9])\b"
)


def find_streets(text: str) -> Iterator[Found]:
    """Streets and houses in them, as "12 Old Mill Road, Apt 3" and, where somebody lives or is found, "12 Maple"."""
    digits = starts_of(text, "0")
    for pattern in _STREETS:
        for m in matches_at(pattern, text, starts_of(text, "A0") if pattern is not _STREETS[1] else digits):
            if _is_street(m[0]):
                yield Found(*m.span(), "location")
    for pattern in (_ON_STREET, _CORNER):
        yield from (Found(*m.span("v"), "location") for m in pattern.finditer(text))
    for m in matches_at(_BARE_STREET, text, digits):
        known = any(word in STOP or is_drug(word) for word in m["v"].lower().split())
        if not known and _HOME_BEFORE.search(text, max(0, m.start() - 36), m.start()):
            yield Found(*m.span(), "location")


def find_codes(text: str) -> Iterator[Found]:
    """Post boxes and postal codes."""
    yield from (Found(*m.span(), "location") for m in _BOX.finditer(text))
    yield from (Found(*m.span("v" if m["v"] else "w"), "location") for m in _APARTMENT.finditer(text))
    yield from (Found(*m.span("v"), "location") for m in _ZIP.finditer(text))
    for pattern in _CODES:
        yield from (Found(*m.span("v"), "location") for m in matches_at(pattern, text, starts_of(text, "A0")))


def _is_street(street: str) -> bool:
    words = street.lower().split()
    time = len(words) == 2 and (words[1] in STOP or is_term(words[1]))  # "at 1430 Monday"
    return not time and not re.search(r"\b(?:Dr\. |mg|Patient|Date)\b", street)
