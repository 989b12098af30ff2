"""Invented clinical notes with planted identifiers: what `benchmarks/phi.py` measures the PHI rules against.

It imports nothing of medray and takes its names from `phi_people.py`, a list of
its own of many origins. A template holds slots such as `{pt.last_first}` or `{date.us}`: the slot's text is planted
under a kind, all other text must stay. Set "a" was there to look at while writing the rules. Sets "f" and "g" have
casts, places, decoys and forms of dates and codes of their own; set "h" has too and comes from an author who never saw
the rules. Each was measured once before anybody looked at what the rules had missed in it; LOG.md has those figures,
and those of the sets "b" to "e", which are gone. All are read now: they keep the rules from getting worse, and measure
nothing else.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

from benchmarks import phi_cast_h, phi_templates_a, phi_templates_f, phi_templates_g, phi_templates_h
from benchmarks import phi_people as people
from benchmarks.phi_codes import CODES

KINDS = (
    "name", "location", "date", "age", "phone", "fax", "email", "ssn", "medical_record", "health_plan", "account",
    "licence", "vehicle", "device", "url", "ip", "other",
)  # fmt: skip
"""The textual kinds of 45 CFR 164.514(b)(2)(i), (A) to (R); ages over 89 stand apart from dates."""

_OWN_CAST = {"f": phi_templates_f, "g": phi_templates_g, "h": phi_cast_h}
_TEMPLATES = {
    "a": phi_templates_a.NOTES, "f": phi_templates_f.NOTES, "g": phi_templates_g.NOTES,
    "h": phi_templates_h.NOTES,
}  # fmt: skip
_SLOT = re.compile(r"\{(\w+)\.(\w+)\}")
_SIGN = re.compile(r"<\w+>|[#!?@~]")
_MONTHS = "January February March April May June July August September October November December".split()


class Planted(NamedTuple):
    """An identifier at characters [start, stop) of its note."""

    kind: str
    start: int
    stop: int


class Note(NamedTuple):
    """A note, the patient it belongs to, and what was planted in it, in order."""

    patient: str
    text: str
    planted: list[Planted]


def make_notes(template_set: str, rng_seed: int, num_notes: int) -> list[Note]:
    """Notes of one template set; all templates are used in turn, each with a cast, dates and numbers of its own."""
    templates = _TEMPLATES[template_set]
    notes = []
    for number in range(num_notes):
        rng = random.Random(f"{template_set}/{rng_seed}/{number}")
        scene = _Scene(rng, template_set)
        text, planted, template = "", [], templates[number % len(templates)]
        at = 0
        for slot in _SLOT.finditer(template):
            text += template[at : slot.start()]
            kind, value = scene.fill(slot[1], slot[2])
            if kind:
                planted.append(Planted(kind, len(text), len(text) + len(value)))
            text, at = text + value, slot.end()
        notes.append(Note(f"{template_set}{number}", text + template[at:], planted))
    return notes


class _Person(NamedTuple):
    given: str
    family: str
    middle: str


class _Scene:
    """The cast and the facts of one note; a slot asks for one of them in some form."""

    def __init__(self, rng: random.Random, template_set: str) -> None:
        self.rng = rng
        source = _OWN_CAST.get(template_set, people)
        self.given, self.family, self.towns = source.GIVEN, source.FAMILY, source.TOWNS
        self.streets, self.facilities = source.STREETS, source.FACILITIES
        self.codes = CODES | getattr(source, "CODES", {})
        self.decoys = people.DECOYS | getattr(source, "DECOYS", {})
        self.dates: dict[str, str] = getattr(source, "DATES", {})
        self.given_of: dict[str, list[str]] = getattr(source, "GIVEN_OF", {})
        self.places: dict[str, list[str]] = getattr(source, "PLACES", {})
        self.nicknames: dict[str, str] = getattr(source, "NICKNAMES", {})
        self.cast: dict[str, _Person] = {}
        self.day = date(rng.randint(2004, 2023), 1, 1) + timedelta(days=rng.randrange(365))

    def fill(self, what: str, form: str) -> tuple[str, str]:
        """Kind ("" for text that must stay) and text of a slot."""
        make: dict[str, Callable[[str], tuple[str, str]]] = {
            "date": self._date, "place": self._place, "no": self._number, "not": self._decoy, "age": self._age,
        }  # fmt: skip
        return make[what](form) if what in make else ("name", self._name(what, form))

    def _name(self, who: str, form: str) -> str:
        if who not in self.cast:
            self.cast[who] = _Person(
                self.rng.choice(self.given_of.get(who, self.given)),
                self.rng.choice(self.family),
                self.rng.choice("ABCDEFGHJKLMNPRSTW"),
            )
        p = self.cast[who]
        forms = {
            "first": p.given, "last": p.family, "full": f"{p.given} {p.family}", "last_first": f"{p.family}, {p.given}",
            "full_mi": f"{p.given} {p.middle}. {p.family}", "last_first_mi": f"{p.family}, {p.given} {p.middle}.",
            "f_last": f"{p.given[0]}. {p.family}", "last_comma": f"{p.family},{p.given}",
            "nick": self.nicknames.get(p.given, p.given), "initials": f"{p.given[0]}{p.middle}{p.family[0]}".upper(),
        }  # fmt: skip
        if form.lower() not in forms:
            raise KeyError(form)
        text = forms[form.lower()]
        if form.isupper():
            return text.upper()
        return text.lower() if form.istitle() else text  # {nurse.Last}: a hurried hand without capitals

    def _date(self, form: str) -> tuple[str, str]:
        self.day += timedelta(days=self.rng.choice((0, 1, 1, 2, 3, 9)))
        d = self.day - timedelta(days=self.rng.randrange(9000, 30000)) if form.startswith("born") else self.day
        month = _MONTHS[d.month - 1]
        if form in self.dates:
            text = d.strftime(self.dates[form])
            return "date", text.lower() if form.istitle() else text
        th = "th" if 10 < d.day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(d.day % 10, "th")
        return "date", {
            "us": f"{d:%m/%d/%Y}", "us_short": f"{d.month}/{d.day}/{d:%y}", "us_mixed": f"{d.month}/{d.day}/{d.year}",
            "born": f"{d:%m/%d/%Y}", "born_dash": f"{d:%m-%d-%Y}", "born_long": f"{month} {d.day}, {d.year}",
            "iso": d.isoformat(), "dash": f"{d.month}-{d.day}-{d:%y}", "dots": f"{d:%d.%m.%Y}",
            "long": f"{month} {d.day}, {d.year}", "long_th": f"{month} {d.day}{th}, {d.year}",
            "LONG": f"{month.upper()} {d.day}, {d.year}", "abbr": f"{month[:3]} {d.day}, {d.year}",
            "abbr_dot": f"{month[:3]}. {d.day}, {d.year}" if month != "May" else f"May {d.day}, {d.year}",
            "dmy": f"{d.day} {month} {d.year}", "dmy_abbr": f"{d.day:02d}-{month[:3]}-{d.year}",
            "DMY_ABBR": f"{d.day:02d}{month[:3].upper()}{d.year}", "dmy_short": f"{d.day} {month[:3]} {d:%y}",
            "month_day": f"{month} {d.day}", "month_day_th": f"{month} {d.day}{th}", "abbr_day": f"{month[:3]} {d.day}",
            "the_th": f"{d.day}{th} of {month}", "md": f"{d.month}/{d.day}", "md0": f"{d:%m/%d}",
            "month_year": f"{month} {d.year}", "abbr_year": f"{month[:3]} {d.year}", "my": f"{d:%m/%Y}",
            "stamp": f"{d.isoformat()}",
        }[form]  # fmt: skip

    def _age(self, form: str) -> tuple[str, str]:
        old = self.rng.randint(90, 104)
        return {"old": ("age", str(old)), "young": ("", str(self.rng.randint(19, 89)))}[form]

    def _place(self, form: str) -> tuple[str, str]:
        rng = self.rng
        states = ["Massachusetts", "Ohio", "Texas", "Oregon", "Georgia", "Minnesota"]
        if form in ("state", "st"):
            return "", rng.choice(states if form == "state" else ["MA", "OH", "TX", "OR", "GA", "MN", "CA", "NY"])
        kind, _, case = form.partition("_")
        if kind in self.places:
            text = rng.choice(self.places[kind])
        else:
            text = {
                "town": lambda: rng.choice(self.towns),
                "street": lambda: f"{rng.randint(2, 9800)} {rng.choice(self.streets)}",
                "apt": lambda: f"{rng.randint(2, 980)} {rng.choice(self.streets)}, Apt {rng.randint(1, 40)}B",
                "zip": lambda: f"{rng.randint(1001, 99950):05d}",
                "zip9": lambda: f"{rng.randint(1001, 99950):05d}-{rng.randint(1, 9999):04d}",
                "facility": lambda: rng.choice(self.facilities),
                "county": lambda: f"{rng.choice(self.towns)} County",
                "box": lambda: f"P.O. Box {rng.randint(10, 9999)}",
                "postcode": lambda: f"{rng.choice(['SW', 'LS', 'M'])}{rng.randint(1, 19)} {rng.randint(1, 9)}QX",
            }[kind]()
        return "location", {"caps": text.upper(), "low": text.lower()}.get(case, text)

    def _number(self, form: str) -> tuple[str, str]:
        rng = self.rng
        kind, shapes = self.codes[form]
        meant = {
            "<name>": lambda: re.sub(r"[^a-z]", "", rng.choice(self.family).lower()) or "staff",
            "<domain>": lambda: rng.choice(people.DOMAINS), "<octet>": lambda: str(rng.randint(11, 254)),
            "#": lambda: rng.choice("0123456789"), "!": lambda: rng.choice("123456789"),
            "?": lambda: rng.choice("23456789"), "@": lambda: rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ"),
            "~": lambda: rng.choice("abcdefghjklmnprstuvwxyz"),
        }  # fmt: skip
        shape = rng.choice(shapes)
        is_address = kind in ("email", "url")  # here an @ is an @
        return kind, _SIGN.sub(lambda m: m[0] if m[0] == "@" and is_address else meant[m[0]](), shape)

    def _decoy(self, form: str) -> tuple[str, str]:
        return "", self.rng.choice(self.decoys[form])
