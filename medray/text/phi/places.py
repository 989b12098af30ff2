"""Places smaller than a state: streets, towns, counties, postal codes, hospitals and homes."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

from medray.text.phi.cues import EPONYM_NOUN, STOP, is_suspect
from medray.text.phi.found import Found, matches_at, starts_of
from medray.text.phi.sites import find_sites
from medray.text.phi.streets import CAP, CODE, STATE, find_codes, find_streets
from medray.text.phi.words import (
    LONG_TOWNS,
    MONTHS,
    STATE_CODES,
    STATES,
    TOWN_WORDS,
    TOWNS,
    is_common,
    is_rare,
    is_term,
)

_TOWN = rf"{CAP}(?:[ -](?!(?:{CODE})\b)(?:{CAP}|d['’]{CAP}|(?:d[eu]|la|las|los|or|of|sur|on)\b)){{0,3}}"
_BEFORE_STATE = re.compile(rf"(?P<v>{_TOWN})(?:,\s(?:{STATE})|[ ](?:{STATE})(?=[. ]{{1,3}}\d{{5}}(?!\d)))\b")
_FIVE_DIGITS = re.compile(r"\d{5}")
_BEFORE_CODE = re.compile(rf"(?P<v>{_TOWN}),? (?P<code>\d{{5}}(?:-\d{{4}})?)(?![\w-])")
_AFTER_STREET = re.compile(
    rf"[,.]?\s{{1,4}}(?P<v>{_TOWN})(?:,? (?P<code>\d{{5}}(?:-\d{{4}})?)\b|(?=[,.;\n]| (?:{CODE})\b|$))"
)
_NATURE = re.compile(
    rf"\b(?:(?:Mount|Mt\.?|Fort|Ft\.|Port|San|Santa|Los|Las|El|Lake|Cape|Sault|Saint|Ste\.|Camp) {CAP}"
    rf"(?: (?!(?:{CODE})\b){CAP})?|(?:Holy|Sacred|Blessed|Immaculate|Our Lady(?: of)?) [A-Z]\w+|"
    r"St\.? [A-Z]\w+['’]s(?! (?:wort|fire|vitus))|"
    r"[A-Z]\w+(?:-[A-Z]\w+)*-(?:aux?|de|du|des|la|les?|sur|sous|upon|on|by|the|en|in|of)-[A-Z]\w+(?:-[A-Z]\w+)*)"
)
_BARE = re.compile(
    rf"(?P<v>{CAP}(?: (?!(?:{CODE})\b){CAP}){{0,2}}) (?:Regional|Memorial|General|Baptist|Methodist|Presbyterian|"
    r"Lutheran|Adventist|Deaconess|Children['’]s|Rehab|Hospice|Infirmary|SNF|ALF|ILF|LTACH?|SAR|ARU|IRF)"
    r"(?=[,.;:)\n]|$|  | \(| (?:on|for|in|to|and|ED|ER|ICU|with|by|at)\b)"
)
_SYSTEM = re.compile(
    r"(?:Memorial Hermann|Kaiser(?: Permanente)?|Mass General|Johns Hopkins|Mount Sinai|Cedars[- ]Sinai|"
    r"NYU Langone|UPMC|UCSF|"
    r"UCLA|MD Anderson|Mayo Clinic|Cleveland Clinic|Geisinger|Intermountain|Banner|Providence|Sutter|"
    r"Ascension|Northwell|"
    rf"Henry Ford|Baylor|Ochsner|Emory|Vanderbilt|Mercy|Trinity|HCA|AdventHealth|Novant|Atrium) {CAP}(?: (?:{CAP}))?\b"
)
"""Chains of hospitals, with what they call one of them."""
_VETERANS = re.compile(r"\b(?P<v>[A-Z][\w'’-]+) (?:VA|VAMC)\b")
_LAND = re.compile(
    rf"\b{CAP} (?:Falls|Rapids|Forks|Springs|Creek|City|Beach|Hills|Heights|Valley|Grove|Ridge|Rock|Island|Mills|"
    r"Bluffs|Junction|Harbor|Haven|Landing|Plains|Village|Bend|River|Lakes|"
    r"Oaks|Pines|Gardens|Meadows|Acres|Estates|Commons|Towers|Woods|Manor|Terrace|Villas?|Place|Hospice|"
    r"Reservation|Nation|Pueblo|Hollow|Cove|Shores|Crossing|Prairie)\b"
)
_JOINING = frozenset(("of", "or", "on", "du", "de", "la"))
_COUNTY = re.compile(
    rf"\b{CAP}(?: (?:{CAP}|d['’]{CAP}|or|du|des?|la|las)){{0,3}} (?:County|COUNTY|Parish|"
    rf"Township)\b"
)
_COUNTY_NOUN = re.compile("County|COUNTY|Parish|Township")
_HOUSE = (
    r"(?:(?i:(?:(?:regional|memorial|general|community|university|medical|health|rehabilitation|rehab|nursing|"
    r"skilled nursing|dialysis|"
    r"surgery|cancer|heart|children's|veterans|va|assisted|senior|family|psychiatric|behavioral|recovery|"
    r"wellness|adult day|long term care) )*"
    r"(?:hospital|medical center|med ctr|medical ctr|clinic|infirmary|nursing home|nursing facility|"
    r"nursing center|center|centre|facility|memory care|burn unit|dialysis unit|state prison|detention center|"
    r"(?-i:Homes?|School|Practice|Institute|Jail|Medicine|Physicians|Kindergarten|Day ?care|Urgent Care|"
    r"Orthop(?:a?edics|a?edic Group))|"
    r"hospice|dialysis|mental health|behavioral health|"
    r"treatment center|rehab|rehabilitation|assisted living|senior living|living|manor|villa|lodge|family practice|"
    r"pediatrics|medical associates|associates|"
    r"medical group|healthcare|health care|health system|retirement community|care home|convalescent home|"
    r"high school|elementary|"
    r"middle school|university|college|academy|church|synagogue|mosque|prison|correctional facility|shelter|"
    r"pharmacy))\b)"
)
_FACILITY = re.compile(
    rf"\b(?P<lead>(?:{CAP}(?:['’]s)?|of|at|de|the)(?: (?:{CAP}(?:['’]s)?|of|the|at|de|and|"
    rf"&)){{0,4}}?) (?P<house>{_HOUSE})(?! (?:of|[Cc]ourse|[Dd]ays?|COURSE|[Ss]tay|[Nn]ote|[Vv]isit|[Aa]dmission|"
    rf"[Dd]ischarge)\b)"
)
_HOUSE_NOUN = re.compile(
    r"hosp|cent(?:er|re)|med|clinic|infirm|nursing|facil|hospice|dialy|mental|behav|treat|rehab|living|"
    r"manor|villa|lodge|"
    r"family|pedia|assoc|health|retire|care|conval|school|elem|middle|univ|college|acad|church|synag|mosq|"
    r"prison|correc|"
    r"sister|medicine|shelt|pharm|memory|burn|state|deten|home|practice|instit|jail|physi|kinder|day|urgent|orthop"
)
_LONGEST_LEAD = 80
_UNIVERSITY = re.compile(
    rf"(?:{CAP} ){{0,2}}?(?:University|College|Hospital|Sisters|Church) of (?:the )?{CAP}(?: {CAP}){{0,3}}"
)
# Words that make no hospital's name: its department, its rank, its trade.
_GENERIC = frozenset(
    """
    the a an of at and & brief for our your this that his her their in to from any each other another new old former
    local outside area emergency urgent primary care medical surgical surgery medicine pain oncology cardiology
    neurology heart failure diabetes wound device coumadin anticoagulation infusion dialysis renal hematology
    transplant pulmonary sleep orthopedic orthopaedic spine hand eye ear nose throat dental psychiatric psychiatry
    behavioral mental health general community regional memorial university children children's pediatric women's
    men's veterans va rehabilitation rehab nursing skilled acute long term adult day senior assisted family internal
    outpatient inpatient ambulatory allergy asthma dermatology endocrine endocrinology rheumatology gi gyn ob
    urology fertility genetics geriatric gerontology infectious disease id hepatology liver kidney breast cancer
    tumor radiation trauma burn stroke vascular cardiac thoracic cardiothoracic plastic research clinical state
    county city national american public private home school high middle elementary poison control call data
    please follow-up followup telephone fax
    visit tertiary transfer crisis birth birthing imaging infusion
    referring referral accepting admitting he she pt patient no on per cvs walgreens living retail
    pacemaker memory sick headache hernia travel lipid prenatal postpartum preop hearing balance foot fracture
    continence hypertension stone lung thyroid ostomy hand movement epilepsy ms als tb std vaccine flu
    physical occupational speech therapy room floor service services resources customer vision bariatric maintenance
    mail order recovery chest stem cell bone marrow attending message voice contact
    """.split()
)  # fmt: skip
_IN = frozenset("in from at near to of outside around via leaving nearby".split())
_LONGEST_IN = 9
_PART_OF = re.compile(
    r"\b(?:line|plane|space|angle|ligament|foramen|ampulla|canal|point|signs?|symptoms?|units?|m[gl]|mcg|"
    r"cc|cream|tablets?|"
    r"doses?|day|syndrome|use|trial|course|level|bottle|adherence) $",
    re.I,
)
_TOWN_HERE = re.compile(_TOWN)
_MOVED = re.compile(
    r"\b(?:liv(?:es|ed|ing)|resid(?:es|ed|ing|ent)|born|raised|grew up|moved|relocat\w+|travel\w*|transferred|"
    r"vacation\w*|"
    r"visit\w*|commut\w+|native|home|house|apartment|farm|work(?:s|ed|ing)?|fell|collision|accident|crash|gardening|"
    r"incarcerated|camp\w*|hospitali[sz]ed|closer|presents?|presented|comes?|came|originally|referred|admitted|back|"
    r"returned|stay\w*|drove|flew|family|daughter|son|wife|husband|mother|father|man|woman|lady|gentleman|female|"
    r"male|"
    r"brother|sister)\b[^.;:\n]{0,18}$",
    re.I,
)

_LIVED = re.compile(
    r"\b(?:(?:liv(?:es?|ed|ing)|resid(?:es|ed|ing|ent)|born|raised|grew up|stay(?:s|ed|ing))\b[^.;:\n]{0,8}"
    r"\b(?:in|near|outside|at|of)|(?:native|parents|retired|widow(?:er)?|years?[- ]old|y/?o|man|woman|drove|flew|flies)"
    r"\b[^.;:\n]{0,8}\b(?:from|of))\s$",
    re.I,
)
_CITY = re.compile(r"[A-Z](?<!\w[A-Z])(?:[a-z]+|[A-Z]{3,})\b")


def find_places(text: str) -> Iterator[Found]:
    """Identifiers (B) of 45 CFR 164.514(b)(2)(i) and the names of hospitals, homes and schools; finds may overlap.

    States and countries stay.
    Choices: the whole postal code goes, not only its last two digits.
    """
    capitals = starts_of(text, "A")
    yield from find_sites(text)
    for street in find_streets(text):
        yield street
        town = _AFTER_STREET.match(text, street.stop)
        if town and _is_town(town["v"]):
            yield Found(*town.span("v"), "location")
            if town["code"]:
                yield Found(*town.span("code"), "location")
    yield from find_codes(text)
    yield from _named(text, capitals)
    yield from _after_cues(text, capitals)
    yield from _cities(text)


def _named(text: str, capitals: list[int]) -> Iterator[Found]:
    """Places that their own words give away: hospitals, counties, towns before a state or a code, lakes."""
    for m in matches_at(_FACILITY, text, _before_houses(text, capitals)):
        lead = _lead_in(m["lead"])
        if not _all_generic(m["lead"][lead:]):
            in_town = m["house"].islower() and m["lead"][lead:].strip().lower() in TOWNS  # "in Redding clinic"
            yield Found(m.start("lead") + lead, m.end("lead") if in_town else m.end(), "location")
            town = _AFTER_STREET.match(text, m.end()) if text.startswith(",", m.end()) else None
            if town and _is_town(town["v"]) and (_is_strange(town["v"]) or " " in town["v"]):
                yield Found(*town.span("v"), "location")
    yield from (
        Found(*m.span(), "location")
        for m in matches_at(_UNIVERSITY, text, _before_houses(text, capitals))
        if not _all_generic(m[0].split(" of ")[1])
    )
    counties = capitals if _COUNTY_NOUN.search(text) else []
    for m in matches_at(_COUNTY, text, counties):
        lead = _lead_in(m[0].removeprefix("County ")) + 7 * m[0].startswith("County ")
        if not _all_generic(m[0][lead:].rsplit(" ", 1)[0]):
            yield Found(m.start() + lead, m.end(), "location")
    for m in matches_at(_BEFORE_STATE, text, capitals):
        town = m["v"][_lead_in(m["v"]) :].split(" of ")[-1]
        if m[0].endswith(" ID") and "," not in m[0]:
            continue  # Pump ID 88213
        if _is_town(town) and ("," in m[0] or _is_strange(town) or _FIVE_DIGITS.match(text, m.end() + 1)):
            yield Found(m.end("v") - len(town), m.end("v"), "location")
    for m in matches_at(_VETERANS, text, capitals if " VA" in text else []):
        if _is_strange(m["v"]):
            yield Found(*m.span(), "location")
    for m in matches_at(_BARE, text, capitals):
        lead = _lead_in(m["v"] + " ")
        if not _all_generic(m["v"][lead:]):
            yield Found(m.start() + lead, m.end(), "location")
    for m in matches_at(_BEFORE_CODE, text, capitals if _FIVE_DIGITS.search(text) else []):
        town = m["v"][_lead_in(m["v"]) :]
        if _is_town(town) and _is_strange(town):
            yield Found(*m.span("code"), "location")
            yield Found(m.end("v") - len(town), m.end("v"), "location")
    yield from (Found(*m.span(), "location") for m in matches_at(_SYSTEM, text, capitals))
    for pattern in (_NATURE, _LAND):
        for m in matches_at(pattern, text, capitals):
            if not EPONYM_NOUN.match(text, m.end()) and (_is_town(m[0]) or m[0].startswith("Our ")):
                yield Found(*m.span(), "location")


def _before_houses(text: str, capitals: list[int]) -> list[int]:
    """The capitals that may begin the name of a house."""
    chosen: set[int] = set()
    for m in _HOUSE_NOUN.finditer(text.lower()):
        chosen.update(capitals[bisect_left(capitals, m.start() - _LONGEST_LEAD) : bisect_left(capitals, m.start() + 1)])
    return sorted(chosen)


def _lead_in(name: str) -> int:
    """Characters of the words before a name that only begin its sentence: "The ", "At ", "Mammogram at "."""
    at = name.find(" at ") + 4 if " at " in name else 0
    for m in re.finditer(r"\S+ ", name):
        word = m[0].strip().lower().rstrip(".")
        if m.start() < at:
            continue
        if at != m.start() or not (word in STOP and word not in ("st", "our", "all") or word in MONTHS):
            break
        at = m.end()
    return at


def _all_generic(name: str) -> bool:
    words = [w.strip(".,'’").lower().removesuffix("'s") for w in name.split()]
    return all(w in _GENERIC or w in STOP or w in STATES or w.isdigit() for w in words)


def _is_town(name: str) -> bool:
    words = name.replace("-", " ").lower().split()
    if words[0] in MONTHS or len(words[0]) < 2:
        return False
    if len(words) == 1 and is_term(words[0]) and words[0] not in TOWN_WORDS:
        return False
    if any(w.strip(".") in STOP for w in words if w not in _JOINING):
        return False
    return name.upper() not in STATE_CODES and not all(w in STATES for w in words)


def _is_strange(town: str) -> bool:
    """Whether a word of it is a city's name or none that vocabulary knows."""
    return any(is_suspect(word) or word.lower() in TOWNS for word in town.split(" "))


def _after_cues(text: str, capitals: list[int]) -> Iterator[Found]:
    """Towns after "in", "from", "near": rare words, or common ones where somebody lives, falls or comes from."""
    for start in capitals:
        cue = text[max(0, start - _LONGEST_IN) : start].lower()
        cue = cue[:-1].rpartition(" ")[2].rpartition("\n")[2] if cue[-1:] in (" ", "\n") else ""
        if cue not in _IN:
            continue
        before, name = start - 1 - len(cue), _TOWN_HERE.match(text, start)
        if not name or EPONYM_NOUN.match(text, name.end()):
            continue
        parts = name[0].split(" ")
        while parts and parts[-1].lower() in STOP:
            parts.pop()
        words = [part.lower().strip(".").removesuffix("'s") for part in parts]
        if not words or any((w in STOP and w not in _JOINING) or (is_term(w) and w not in TOWNS) for w in words):
            continue
        if _all_generic(name[0]) or (cue == "of" and _PART_OF.search(text, max(0, before - 14), before)):
            continue
        in_capitals = text[max(0, before - 12) : start + 3].isupper()
        if not in_capitals and cue == "of" and name[0].isupper():
            continue  # an abbreviation
        pattern, end = (_LIVED, start) if len(words) == 1 else (_MOVED, before)
        moved = not in_capitals and pattern.search(text, max(0, before - 32), end)
        town = " ".join(parts)
        if moved or _is_strange(town) or (in_capitals and any(map(is_rare, words))):
            yield Found(start, start + len(town), "location")


def _cities(text: str) -> Iterator[Found]:
    for m in _CITY.finditer(text):
        word = m[0].lower()
        for town in LONG_TOWNS.get(word, ()):
            name = text[m.start() : m.start() + len(town)]
            last = name.rfind(" ") + 1
            if (
                name.lower() == town
                and name[last].isupper()
                and not text[(end := m.start() + len(town)) : end + 1].isalnum()
            ):
                yield Found(m.start(), end, "location")
        short = m[0].isupper() and len(word) < 5  # LIMA, an artery
        known = word in TOWNS and not (short or is_common(word) or is_term(word))
        if known and not EPONYM_NOUN.match(text, m.end()):
            yield Found(*m.span(), "location")
