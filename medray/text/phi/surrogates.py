"""What stands in for an identifier: an invented one of its form, the same for the same identifier of a patient.

Everything is a keyed hash of (rng_seed, patient, normalised identifier), word by word where an identifier has words:
"Okonkwo, Mary" and "Mrs. Okonkwo" keep the same family name. Nobody without the seed can go back, and no two patients
share a table. What can belong to nobody is used where there is such a thing (exchange 555, SSN from 900, example.org,
TEST-NET addresses).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from medray.core.identity import stable_hash
from medray.text.phi.cues import PARTICLES
from medray.text.phi.dates import READABLE, shift_date
from medray.text.phi.words import GIVEN, MONTHS

_GIVEN = (
    "Alden Briar Corin Delwyn Emlyn Farrin Garnet Hollis Ivory Jocelin Kerrin Lorne Marlow Nevin Orrin Perrin Quillan "
    "Rowan Selwyn Tarrin Udell Vanner Wendell Yardley Ansel Brannoch Cassel Derrin Elwin Fennel Garrin Harlan"
).split()
_HEADS = (
    "Ash Bram Cald Dun Elling Farn Gar Hazel Ing Kel Lang Mel Nether Oaken Pem Quar Raven Sel Thorn Ul Wex Yar".split()
)
_NAME_TAILS = "ard brook cott den field gate hurst ingham land mere nock ridge som thwaite well wick".split()
_PLACE_TAILS = "borough bury chester combe dale ford ham haven holm ley minster mouth ness port stead ton".split()
_KEPT = frozenset(
    """
    street st avenue ave road rd drive dr lane ln boulevard blvd court ct circle place way terrace parkway pkwy
    highway trail row square plaza loop path apt apartment unit suite north south east west n s e w sw se nw ne old
    route county parish township borough box po p o hospital hospice center centre clinic medical nursing home
    facility rehabilitation rehab general community memorial regional university college va skilled assisted living
    senior manor dialysis of the and at school high elementary family practice church pharmacy health care de la las
    los du le les del and or
    """.split()
)
_PIECE = re.compile(r"[^\W\d_]+(?:['’](?![sS]\b)[^\W\d_]+)*|\d+")
_BLANKS = {  # by kind: what a mark without a value is filled into; digits and letters are drawn
    "phone": "(200) 555-0000", "fax": "(200) 555-0000", "email": "aaaaaa@a", "ssn": "900-00-0000",
    "vehicle": "AAA-0000", "url": "https://", "ip": "1.1.1.1",
}  # fmt: skip


_DRAWN_AT_ONCE = 4
"""Characters of a code that one hash gives, from 16 bits each."""


class Key(NamedTuple):
    """Whose identifiers, and under which seed."""

    rng_seed: int
    patient: str

    def draw(self, *parts: str | int) -> int:
        """64 bits that only these parts and this key give."""
        return _drawn(self, *parts)

    def shift_days(self, max_weeks: int) -> int:
        """Days by which all dates of the patient go back: whole weeks, so that weekdays stay true; never 0."""
        return -7 * (1 + self.draw("shift") % max_weeks)


@lru_cache(1 << 14)
def _drawn(key: Key, *parts: str | int) -> int:
    return stable_hash("phi", key.rng_seed, key.patient, *parts)


def surrogate(kind: str, form: str, text: str, key: Key, days: int, near: date | None = None) -> str:
    """What replaces an identifier of a kind (KINDS); `form` as found, `days` and `near` as in `shift_date`."""
    if form.startswith("["):
        return _of_mark(kind, form[1:], key, days, near)
    if kind == "date":
        return shift_date(text, form, days, near) if form else _scrambled(text, key)
    if kind == "age":
        return "ninety" if text[0].isalpha() else "90"
    if kind == "name":
        return _PIECE.sub(lambda m: _name(m[0], key), text)
    if kind == "location":
        return _PIECE.sub(lambda m: _place(m[0], key), text)
    value = re.sub(r"\W", "", text).lower()
    if kind in ("phone", "fax"):
        return _phone(text, key)
    if kind == "ssn" and len(value) == 9:
        return re.sub(r"\d", "9", _scrambled(text, key), count=1)
    if kind == "email":
        return f"{_scrambled(text.split('@')[0], key)}@example.org"
    if kind == "url":
        scheme = re.match(r"(?:\w+://)?(?:www\.)?", text)[0]
        return f"{scheme}example.org/{key.draw(value):016x}"[: max(len(scheme) + 20, 20)]
    if kind == "ip":
        return f"2001:db8::{key.draw(value) % 65536:x}" if ":" in text else f"192.0.2.{1 + key.draw(value) % 254}"
    return _scrambled(text, key)


def _name(word: str, key: Key) -> str:
    lower = _normal(word)
    if lower in PARTICLES:
        return word
    number = key.draw("name", lower)
    if len(word) == 1:
        return chr(ord("A") + number % 26) if word.isupper() else word
    new = _GIVEN[number % len(_GIVEN)] if lower in GIVEN else _composed(_NAME_TAILS, number)
    return _cased(new, word)


def _place(word: str, key: Key) -> str:
    if word.isdigit():
        return _scrambled(word, key)
    if word.lower() in _KEPT or (len(word) == 1 and not word.isupper()):
        return word
    return _cased(_composed(_PLACE_TAILS, key.draw("place", _normal(word))), word)


def _composed(tails: Sequence[str], number: int) -> str:
    return _HEADS[number % len(_HEADS)] + tails[number // len(_HEADS) % len(tails)]


def _phone(text: str, key: Key) -> str:
    digits = re.sub(r"\D", "", text)
    if len(digits) < 7:
        return _scrambled(text, key)
    # the last seven digits are drawn for themselves: a number is known again without its area code
    line = f"555{key.draw('phone', digits[-7:]) % 10000:04d}"
    area = f"{200 + key.draw('area', digits[:-7]) % 800}" if len(digits) >= 10 else ""
    new = digits[: max(0, len(digits) - 10)] + area + line
    new = new.rjust(len(digits), "0")
    fresh = iter(new)
    return re.sub(r"\d", lambda _: next(fresh), text)


def _scrambled(text: str, key: Key) -> str:
    """Digits for digits and letters for letters; no leading zero where there was none."""
    value = _normal(re.sub(r"\W", "", text))
    out = text
    for attempt in range(8):  # one digit in ten draws itself
        draws = [key.draw("code", value, attempt, place) for place in range(0, len(text), _DRAWN_AT_ONCE)]
        stream = (number >> shift for number in draws for shift in range(0, 64, 64 // _DRAWN_AT_ONCE))
        out = "".join(_like(c, number % 65536, i) for i, (c, number) in enumerate(zip(text, stream, strict=False)))
        if out != text:
            break
    return out


def _like(character: str, number: int, place: int) -> str:
    if character.isdigit():
        return str(1 + number % 9) if place == 0 and character != "0" else str(number % 10)
    if character.isalpha():
        letter = "ABCDEFGHJKLMNPRSTUVWXYZ"[number % 23]
        return letter if character.isupper() else letter.lower()
    return character


def _of_mark(kind: str, content: str, key: Key, days: int, near: date | None) -> str:
    low, number = content.lower(), key.draw("mark", content.lower())
    if kind == "date":
        return _of_date_mark(content, number, days, near)
    if kind == "age":
        return "90"
    if kind == "name":
        given = _GIVEN[number % len(_GIVEN)]
        return given[0] if "initial" in low else given if "first" in low else _composed(_NAME_TAILS, number)
    if kind == "location":
        town = _composed(_PLACE_TAILS, number)
        for word, filled in (
            ("ward", f"{town} Ward"), ("hospital", f"{town} Hospital"), ("street", f"{1 + number % 998} {town} Street"),
            ("zip", f"{number % 100000:05d}"), ("po box", f"P.O. Box {number % 1000}"),
            ("univers", f"{town} University"), ("company", f"{town} Company"), ("room", f"Room {number % 1000}"),
        ):  # fmt: skip
            if word in low:
                return filled
        return town
    return surrogate(kind, "", _BLANKS.get(kind, "0000000"), Key(number, key.patient), days)


def _of_date_mark(content: str, number: int, days: int, near: date | None) -> str:
    for form in ("ymd", "mdy", "md"):
        if READABLE[form].fullmatch(content) or READABLE[form].fullmatch(content.replace("-", "/")):
            text = content if form != "md" and READABLE[form].fullmatch(content) else content.replace("-", "/")
            return shift_date(text, form, days, near)
    if content.isdigit():
        return str(int(content) + round(days / 365.25))
    if "year" in content.lower() and "month" not in content.lower():
        return str((near.year if near else 2000) + round(days / 365.25))
    return (
        f"{MONTHS[number % 12].title()} {1 + number // 12 % 28}"
        if "day" in content.lower()
        else MONTHS[number % 12].title()
    )


def _cased(new: str, was: str) -> str:
    return new.upper() if was.isupper() and len(was) > 1 else new if was[0].isupper() else new.lower()


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
