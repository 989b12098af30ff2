"""Numbers of vehicles: plates by their shape near a car's words, and the seventeen characters of a VIN."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medray.text.phi.found import Found, matches_at, starts_of
from medray.text.phi.numbers import LINK

_UK_PLATE = re.compile(r"\b[A-Z]{2}\d{2} [A-Z]{3}\b(?! ?\d)")
_VIN = re.compile(r"[A-HJ-NPR-Z0-9](?<!\w.)[A-HJ-NPR-Z0-9]{16}(?!\w)")
_PLATE_VALUE = (
    r"(?:[A-Z]{1,3}[- ]?\d{2,5}|\d{1,3}[A-Z]{1,3}-[A-Z]?\d{1,4}|"
    r"\d{1,4}[- ]?[A-Z]{2,3}(?:[- ]?\d{1,4})?|\d[A-Z]{3}\d{3})"
)
_PLATE = re.compile(
    rf"[PpTtRr](?<!\w[PpTtRr])(?i:lates?(?: for [a-z]+)?|ag|egistration)\b(?i:{LINK})(?P<v>{_PLATE_VALUE})(?!\w)"
)
_CAR = re.compile(
    rf"[cCtTvVsSmMpP](?<!\w.)(?i:ar|ruck|an|ehicle|uv|edan|otorcycle|ickup|inivan)"
    rf"(?:,|\s\()[ ]?(?P<v>{_PLATE_VALUE})(?!\w)"
)
_CAR_WORD = re.compile(
    r"(?:cars?|truck|van|vehicles?|suv|sedan|motorcycle|pickup|minivan|trailer|scooter|moped|boat|hull|"
    r"bus|cab|taxi|jeep|"
    r"toyota|honda|ford|chevy|chevrolet|nissan|subaru|kia|hyundai|mazda|dodge|buick|bmw|audi|volvo|tesla|lexus|acura|"
    r"plates?|tags?|tagged|registered|registration|parked|driving|drove|drives|towed|tow|ambulance|rig|hin)\b"
)
_NEAR_CAR = re.compile(
    r"[^\n;]{0,40}?[ #:(\"](?P<v>(?!(?:19|20)\d\d[ -])(?:[A-Z]{1,4}[- ]?\d{2,5}[A-Z]?|"
    r"\d{1,4}[- ]?[A-Z]{2,4}(?:[- ]?\d{1,4})?|"
    r"\d[A-Z]{1,3}\d{2,4}|[A-Z]{3}\d{5}[A-Z]\d{3}))(?![\w/-])"
)
_NO_PLATE = re.compile(
    r"\d+[- ]?(?:MPH|KPH|MG|ML|KM|YO|YRS?|AM|PM|KG|LBS?|ED|MIN|HRS?|FT|MM|CM|CC|ICU|ER|CT|MRI)|(?:ICD|CPT|"
    r"AGE|RACE|SEX|ROOM|RM|UNIT|BED|DAY|POD|HOD|PGY|ASA|EMS|ED|BP|HR|RR|GCS|SpO)[- ]?\d+|F-?[1-5]50|"
    r"[A-Z]-?\d{2}|CD\d{1,3}|[LTCS]\d[- ]?\d*"
)
_BEFORE_PLATE = re.compile(rf"(?!\d+ [a-z])(?P<v>{_PLATE_VALUE}) (?i:plates?)\b")


def find_vehicles(text: str) -> Iterator[Found]:
    """Identifier (L) of 45 CFR 164.514(b)(2)(i); finds may overlap."""
    yield from (Found(*m.span(), "vehicle") for m in _UK_PLATE.finditer(text))
    for pattern in (_PLATE, _CAR):
        yield from (Found(*m.span("v"), "vehicle") for m in pattern.finditer(text))
    yield from _by_cars(text, low := text.lower())
    if " plate" in low:
        both = starts_of(text, "A0")
        yield from (Found(*m.span("v"), "vehicle") for m in matches_at(_BEFORE_PLATE, text, both))
    yield from (Found(*m.span(), "vehicle") for m in _VIN.finditer(text) if _is_mixed(m[0]))


def _by_cars(text: str, low: str) -> Iterator[Found]:
    """Plates near a car's words; `low` is the text in small letters."""
    if len(low) != len(text):
        return  # a letter that is two in small letters moves what follows it
    for word in _CAR_WORD.finditer(low):
        m = None if low[word.start() - 1 : word.start()].isalnum() else _NEAR_CAR.match(text, word.end())
        if m and not _NO_PLATE.fullmatch(m["v"]):
            yield Found(*m.span("v"), "vehicle")


def _is_mixed(code: str) -> bool:
    """Whether a code of 17 characters has the letters and digits of a vehicle's number."""
    return sum(map(str.isdigit, code)) > 4 and sum(map(str.isalpha, code)) > 1
