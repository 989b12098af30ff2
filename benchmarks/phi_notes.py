"""Invented clinical notes with planted identifiers: what `benchmarks/phi.py` measures the PHI rules against.

Written and frozen before the rules; it imports nothing of medray and takes its names from `phi_people.py`, a list of
its own of many origins. A template holds slots such as `{pt.last_first}` or `{date.us}`: the slot's text is planted
under a kind, all other text must stay. Template set "a" was there to look at while writing the rules. Set "b", with
names, towns and phrasing of its own, was held out until it had been measured, and then looked at; set "c" is held out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

from benchmarks import phi_people as people
from benchmarks import phi_templates_a, phi_templates_b, phi_templates_c

KINDS = (
    "name", "location", "date", "age", "phone", "fax", "email", "ssn", "medical_record", "health_plan", "account",
    "licence", "vehicle", "device", "url", "ip", "other",
)  # fmt: skip
"""The textual kinds of 45 CFR 164.514(b)(2)(i), (A) to (R); ages over 89 stand apart from dates."""

_TEMPLATES = {"a": phi_templates_a.NOTES, "b": phi_templates_b.NOTES, "c": phi_templates_c.NOTES}
_SLOT = re.compile(r"\{(\w+)\.(\w+)\}")
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
        source = phi_templates_c if template_set == "c" else people
        every = slice(None) if template_set == "c" else slice("ab".index(template_set), None, 2)
        self.given, self.family, self.towns = source.GIVEN[every], source.FAMILY[every], source.TOWNS[every]
        self.streets, self.facilities = source.STREETS[every], source.FACILITIES[every]
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
                self.rng.choice(self.given), self.rng.choice(self.family), self.rng.choice("ABCDEFGHJKLMNPRSTW")
            )
        p = self.cast[who]
        forms = {
            "first": p.given, "last": p.family, "full": f"{p.given} {p.family}", "last_first": f"{p.family}, {p.given}",
            "full_mi": f"{p.given} {p.middle}. {p.family}", "last_first_mi": f"{p.family}, {p.given} {p.middle}.",
            "f_last": f"{p.given[0]}. {p.family}", "last_comma": f"{p.family},{p.given}",
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
        return "location", text.upper() if case == "caps" else text

    def _digits(self, count: int) -> str:
        return str(self.rng.randint(1, 9)) + "".join(self.rng.choice("0123456789") for _ in range(count - 1))

    def _letters(self, count: int) -> str:
        return "".join(self.rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(count))

    def _number(self, form: str) -> tuple[str, str]:
        d, letters, rng = self._digits, self._letters, self.rng
        area, exchange, line = f"{rng.randint(2, 9)}{d(2)}", f"{rng.randint(2, 9)}{d(2)}", f"{rng.randint(0, 9999):04d}"
        phones = [
            f"({area}) {exchange}-{line}",
            f"{area}-{exchange}-{line}",
            f"{area}.{exchange}.{line}",
            f"({area}){exchange}-{line}",
            f"+1 {area} {exchange} {line}",
            f"1-{area}-{exchange}-{line}",
            f"{area} {exchange} {line}",
            f"+1 ({area}) {exchange}-{line}",
        ]
        name = re.sub(r"[^a-z]", "", rng.choice(self.family).lower()) or "staff"
        domain = rng.choice(people.DOMAINS)
        choices: dict[str, tuple[str, list[str]]] = {
            "phone": ("phone", phones),
            "phone7": ("phone", [f"{exchange}-{line}"]),
            "pager": ("phone", [d(5), d(4)]),
            "ext": ("phone", [d(4), d(5)]),
            "phone_intl": ("phone", [f"+44 20 {d(4)} {d(4)}", f"+91 {d(5)} {d(5)}", f"+49 30 {d(7)}"]),
            "fax": ("fax", phones[:5]),
            "email": (
                "email",
                [f"{name}{d(2)}@{domain}", f"{letters(1).lower()}.{name}@{domain}", f"{name}_{d(4)}@{domain}"],
            ),
            "ssn": ("ssn", [f"{d(3)}-{rng.randint(1, 99):02d}-{d(4)}"]),
            "ssn_plain": ("ssn", [d(9), f"{d(3)} {rng.randint(1, 99):02d} {d(4)}"]),
            "ssn4": ("ssn", [d(4)]),
            "mrn": (
                "medical_record",
                [
                    d(7),
                    d(8),
                    f"{d(3)}-{d(2)}-{d(2)}",
                    f"{letters(1)}{d(7)}",
                    f"{d(2)}-{d(2)}-{d(2)}",
                    f"{letters(2)}{d(6)}",
                ],
            ),
            "plan": (
                "health_plan",
                [
                    f"{letters(3)}{d(9)}",
                    f"{d(1)}EG4-TE{d(1)}-MK{d(2)}",
                    f"{d(9)}{letters(1)}",
                    f"{letters(2)}-{d(8)}",
                    d(10),
                ],
            ),
            "account": (
                "account",
                [d(9), d(10), f"{d(4)}-{d(4)}-{d(4)}-{d(4)}", f"{letters(1)}{d(9)}", f"{d(6)}-{d(3)}"],
            ),
            "dea": ("licence", [f"{letters(2)}{d(7)}"]),
            "npi": ("licence", [f"1{d(9)}"]),
            "licence": ("licence", [f"{letters(1)}{d(5)}", f"{letters(2)}-{d(6)}", d(6), f"{letters(1)}{d(8)}"]),
            "vin": ("vehicle", [f"1{letters(2)}BH41{letters(1)}XMN{d(6)}"]),
            "plate": (
                "vehicle",
                [f"{d(1)}{letters(3)}{d(3)}", f"{letters(3)}-{d(4)}", f"{letters(3)} {d(3)}", f"{d(3)} {letters(3)}"],
            ),
            "serial": ("device", [f"SN-{d(7)}", f"{letters(3)}{d(6)}{letters(1)}", d(9), f"{letters(2)}{d(4)}-{d(3)}"]),
            "udi": ("device", [f"(01)0{d(13)}(21){letters(1)}{d(6)}"]),
            "url": (
                "url",
                [
                    f"https://{domain}/p/{name}",
                    f"www.{domain}/patients/{d(4)}",
                    f"http://{name}.{domain}",
                    f"{domain}/{name}",
                ],
            ),
            "ip": (
                "ip",
                [
                    f"10.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}",
                    f"{rng.randint(11, 223)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}",
                ],
            ),
            "ipv6": ("ip", [f"2001:db8:{d(4)}::{d(2)}", f"fe80::{d(4)}:a{d(2)}:{d(4)}:c{d(1)}"]),
            "study": ("other", [f"{letters(3)}-{d(4)}", f"{letters(4)}{d(3)}", f"{letters(2)}-{d(3)}-{d(4)}"]),
            "badge": ("other", [d(5), f"{letters(1)}{d(4)}", d(4)]),
            "accession": (
                "other",
                [d(8), f"{letters(1)}{d(2)}-{d(5)}", f"{letters(2)}{d(8)}", f"{d(2)}-{letters(2)}-{d(6)}"],
            ),
            "job": ("other", [d(6), d(7)]),
        }
        kind, options = choices[form]
        return kind, rng.choice(options)

    def _decoy(self, form: str) -> tuple[str, str]:
        return "", self.rng.choice(people.DECOYS[form])
