"""Dates and ages over 89 in clinical text: found, read, and moved by a number of days in the form they had."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import chain

from medray.text.phi.found import Found, matches_at, starts_of
from medray.text.phi.words import MONTHS

_NAMES = (f"{m[:3]}(?:{m[3:]})?" if m != "september" else "sept?(?:ember)?" for m in MONTHS)
_B = rf"(?P<b>(?:{'|'.join(_NAMES)})\b\.?|(?:{'|'.join(m[:3] for m in MONTHS)})(?=\d))"
_D, _M = r"(?P<d>3[01]|[12]\d|0?[1-9])", r"(?P<m>1[0-2]|0?[1-9])"
_TH, _S = r"(?P<t>st|nd|rd|th)?", r"(?P<s>[-/.])"
_LONG = r"(?:1[89]|2[0-2])\d{2}"
_Y, _ANY_YEAR = rf"(?P<y>{_LONG})", rf"(?P<y>{_LONG}|\d{{2}})"

_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\b[.,]?[ ](?:the[ ])?)?"
"""Goes with a date; it stays true, since dates move by whole weeks."""

# The groups say how a date is read and written again: y year, m month as a number, b month by name, d day, t th.
_FORMS = {
    "ymd": rf"{_Y}{_S}{_M}(?P=s){_D}",
    "mdy": rf"{_WEEKDAY}{_M}{_S}{_D}(?P=s){_ANY_YEAR}",
    "dmy": rf"{_D}{_S}{_M}(?P=s)(?P<y>{_LONG}|(?<=\d\d[-/.]\d\d[-/.])\d\d)",
    "bdy": rf"{_WEEKDAY}{_B}[ -]?{_D}{_TH}(?:(?:,?\s|-){_Y}|,?[ ]'(?P<z>\d{{2}}))",
    "dby": rf"{_WEEKDAY}{_D}{_TH}(?:[ ]of)?[ -]?{_B}(?:[ ,-]{{0,2}}{_Y}|(?:[ -]'?|(?<=[a-z]))(?P<z>\d{{2}})"
    r"(?![\d:/%]|\.\d))",
    "by": rf"{_B}(?:(?:,|[ ]of)?[ /-]?{_Y}|[ ]'(?P<z>\d{{2}}))",
    "my": rf"{_M}/{_Y}",
    "bd": rf"{_WEEKDAY}{_B}[ ]?(?:the[ ])?{_D}{_TH}",
    "db": rf"{_WEEKDAY}{_D}{_TH}(?:[ ]of)?[ -]?{_B}",
    "md": rf"{_WEEKDAY}{_M}(?P<s>[/-]){_D}",
}
READABLE = {name: re.compile(form, re.I) for name, form in _FORMS.items()}
_ENDS_DATE = re.compile(r"[.,;)\n]|$| (?:at|with|for|and|on|by|from)\b")
_WEEKDAY_BEFORE = re.compile(rf"(?<![\w/.:-]){_WEEKDAY[:-1]}$", re.I)
_LONGEST_WEEKDAY = 16
_MONTH_STARTS = re.compile(
    rf"[{''.join(sorted({c for m in MONTHS for c in (m[0], m[0].upper())}))}](?<![^\W\d_][^\W\d_])"
    rf"(?i:{'|'.join(sorted({m[1:3] for m in MONTHS}))})"
)
_FIND = {
    name: re.compile(
        rf"(?:(?<![\w/.:-])|(?<=/\d-)|(?<=/\d\d-))(?:{form})(?!{'(?!T)' if name == 'ymd' else ''}[\w]|"
        rf"[/]\d|\.\d|"
    
                     rf"{'-' if name in ('mdy', 'ymd', 'dmy', 'my') else '/'}\d)", re.I)
    for name, form in _FORMS.items() if name != "md"
}  # fmt: skip
_CUE = re.compile(
    r"(?:\b(?:on|from|since|of|until|till|thru|through|between|and|dated?|by|after|before|starting|ending|began|"
    r"begun|due|"
    r"last|next|visit|meeting|admitted|admission|seen|done|drawn|sent|born|dob|cxr|ct|cta|mri|tte|echo|us|ekg|eeg|"
    r"visited|called|saw|met|spoke|reviewed|collected|obtained|reported|received|signed|completed|finished|"
    r"held|checked|refilled|ordered|updated|evaluated|cultures?|bcx|ucx|utox|scan|surgery|clinic|appointment|appt|exam|"
    r"eval|labs?|transferred|discharged?|intubated|"
    r"extubated|consult|note|tx|treatment|given|placed|removed|changed|started|stopped|repeat|returned?|"
    r"scheduled|f/u|fu|pmt|paid|payment|adm|rtc|lmp|edd|edc|exp|expires|d/c|dc'?d|vs|to)\b[ :(\n]{1,2}|"
    r"\b(?:dr|saw|md|np|pa)\b\.? [^\n\d.;]{1,20} |\b(?:mon|tues?|wed|thu(?:rs?)?|fri|sat|"
    r"sun)(?:day)?[., ]{1,2}|\(|\n|^|\d/\d{1,2} ?- ?)$",
    re.I,
)
_NO_DATE = re.compile(
    r" ?-? ?(?:of|strength|motor|murmur|systolic|diastolic|pain|positive|negative|nodes|bottles|throughout|"
    r"power|distal|proximal|weakness|"
    r"ns|cups?|tab\w*|sirs|criteria|doses?|hours|pulses|normal|miles?|inch\w*|packs?|in (?:all|both|the [lr])|"
    r"on the)\b",
    re.I,
)
_MONTH_DAY = re.compile(rf"(?<![\w/.])(?:{_FORMS['md'].removeprefix(_WEEKDAY)})(?![\w/%]|\.\d)", re.I)
_DAYS_AFTER = re.compile(r" ?[-–] ?\d{1,2}\b(?![/\d.-])")
_RANGE_AFTER = re.compile(r" ?(?:-{1,2}|–|to|through|thru|until) ?\d{1,2}/\d{1,2}(?![\w/])")
_STAMP_AFTER = re.compile(r"(?: \d{4})?:(?!\d)|,? (?:at )?[012]\d[0-5]\d\b")
"""A colon, which makes a stamp of what stands before it."""
_LONE_BEFORE = re.compile(
    r"(?:\b[a-z]{4,}(?:ed|en|ing|wn|nt)|\b[A-Z][a-z]+|\b(?:drink|use|dose|visit|fall|tube|POLST|MOLST|"
    r"DNR)|\b(?:wks?|weeks?|mos?|months?|days?),) $"
)
_LONE_AFTER = re.compile(r"[.;)](?!\d)|\n|$")
"""Around a month and a day without a cue: something was done then ("impounded 3/7.")."""
_SHARE = re.compile(
    r"\b(?:nodes?|day(?!s)|scored|rated|graded|strength|motor|power|reflex\w*|pulses|murmur|pain|apgars?|score|gleason|"
    r"scale|ratio|acuity|"
    r"bp|psv|bipap|cpap|ipap|ps|vent)[^\n.;]{0,16}\Z|\bapgars?\s{1,2}\Z",
    re.I,
)
_ORAL_TEN = "one|two|three|four|five|six|seven|eight|nine"
_OLD = re.compile(
    r"(?<![\w.-])(?<![^MF]/)(?:9\d|1[0-2]\d)(?!\d|[.,/-]\d| ?%|"
    r" ?(?:mm|cm|m[gl]\b|kg|lbs?\b|beats|bpm|percent|degrees|min|hours|days|weeks|mos?\b|months))"
)
_OLD_SPELLED = re.compile(
    rf"[NnOoAa](?<!\w[NnOoAa])(?i:inety(?:[- ](?:{_ORAL_TEN}))?|(?:ne)? hundred"
    rf"(?:[ -](?:and[ -])?(?:{_ORAL_TEN}|ten))?)\b"
)
_ONE = (
    "patient|pt|he|she|who|mother|father|mom|dad|mum|wife|husband|spouse|widow(?:er)?|sister|brother|aunt|uncle|twin|"
    "cousin|(?:great-)?grand(?:mother|father|ma|pa)|grandparent|parent|partner|neighbou?r|friend|roommate|caregiver|"
    "mgm|pgm|mgf|pgf|ggm|ggf|gma|gpa|resident|nana|granny|lady|woman|man|gentleman"
)
_NAME = r"(?-i:[A-Z][\w'’-]+)"
_AGE_AFTER = re.compile(
    r"(?:[ -]?(?:years?|yrs?)(?:\b|-)|[ -]?y[./ ]?o\b|[ -]?y\b| ?[MF]\b(?! ?\d)| ?/ ?[MF]\b|"
    r"[ -](?:wf|wm|bf|bm|aaf|aam|hf|hm|woman|man|male|female|lady|gentleman|widow|widower)\b|(?:st|nd|rd|th) birthday|"
    r" at (?:the )?(?:time|diagnosis|death|admission|presentation)\b)"
    r"(?!-?\w* (?:ago|history|survival|pack|later|after|with(?:out)?)\b)",
    re.I,
)
_AGE_BEFORE = re.compile(
    r"(?:\bage[ds]?(?:/sex|/gender)?(?: of| is| at|(?: in | ?\()?(?:years|yrs?)?\)?[ .]*:|[ ]?\.{2,})? {0,3}|"
    r"\bturn(?:s|ed|ing) |\bd\. ?(?:at |@ ?)?|"
    r"\bdied:? ?(?:at |@ ?)?|† ?|"
    r"\b(?:died|dead|lived|living|lives|alive|survived|passed(?: away)?|well|healthy|deceased|independent)"
    r"(?:\s\w+){0,2}\s(?:at|to|until|till|past|aged|@)\s(?:age )?)$",
    re.I,
)
_AFTER_AGE = (
    r"[,;.)\n]|$| (?:and|who|now|in|lives|with|is|was|htn|dm|cad|chf|mi|cva|dementia|a&w|w/|dec|deceased|died|alive|"
    r"living|healthy|well|has|had|from|of|still)\b"
)
_AGE_BETWEEN = tuple(
    (re.compile(before + "$", re.I), re.compile(after, re.I))
    for before, after in (
        (rf"{_NAME} \(", r"\)"),
        (rf"{_NAME}, ", r", ?[a-z]"),
        (rf"\b(?:{_ONE})\b[^.;:\n\d]{{0,30}} (?:at|@) ", r"\b"),
        (rf"\b(?:{_ONE}) \({_NAME}(?: {_NAME})?,\s", r"[,)]"),
        (r"\d[/-]\d+ \(", r"\)"),
        (r"(?:[MF]/|\ba?et\.? |\bæt\.? )", r"\b"),
        (r"\bat ", r",? (?:he|she|his|her|they|still|independent|lives|drives|works)\b"),
        (rf"\b(?:{_ONE})(?: {_NAME}){{0,2}}(?:,? \(|,? |: ?|['’]s (?:now )?)", _AFTER_AGE),
        (
            r"\b(?:is|was|be|turned|turns|turning|reached|nearly|almost|now|pt|patient|became|becomes) ",
            r",? (?:and|alive|when|years|now|but|in|next|on|this|who|with|lives)\b|[,;.\n](?!\d)|$",
        ),
    )
)
_VITAL_BEFORE = re.compile(
    r"(?:\b(?:pressure|gradient|count|level)\b[^\n.]{0,30}|\b(?:HR|rate|sat\w*|pulse|MAP|BP|SpO2|SBP|DBP|"
    r"weight|glucose|PTT|temp\w*|sugar|BG|TSH|WBC|CRP|IQ|BMI|"
    r"platelets?|sodium|saturation)\b[^\n.]{0,12}|\b(?:RR|K|P|R|T|O2|Na|Cl)[ :]{1,2})$",
    re.I,
)
_LONGEST_AGE_CUE = 56


def find_dates(text: str) -> Iterator[Found]:
    """Dates that name a month and a day or year, and ages over 89; finds may overlap, the longer forms come first.

    A year alone stays by the rule itself.
    Choices: a month alone stays too (as in "influenza vaccine each October").
    """
    digits, months = starts_of(text, "0"), [m.start() for m in _MONTH_STARTS.finditer(text)]
    for form, pattern in _FIND.items():
        for m in matches_at(pattern, text, months if form[0] == "b" else digits):
            if _is_date(m, form):
                yield Found(_with_weekday(text, m.start()), m.end(), "date", form)
                if form == "bd" and (last := _DAYS_AFTER.match(text, m.end())):
                    yield Found(*last.span(), "date")
    for m in matches_at(_MONTH_DAY, text, digits):
        before = text[max(0, m.start() - 24) : m.start()]
        # 9/24 and 09/02 look like nothing else, 4/5 does
        if m["s"] == "-" and not (len(m["m"] + m["d"]) == 4 and _CUE.search(before)):
            continue  # a range
        alone = _LONE_AFTER.match(text, m.end()) and _LONE_BEFORE.search(before) and not _is_fraction(m)
        padded = m["m"].startswith("0") or m["d"].startswith("0")
        if not padded and _NO_DATE.match(text, m.end()):
            continue
        sure = padded or int(m["d"]) > 12
        stamp = _RANGE_AFTER.match(text, m.end()) or _STAMP_AFTER.match(text, m.end())
        if (sure or alone or _CUE.search(before) or stamp) and not _SHARE.search(before):
            yield Found(_with_weekday(text, m.start()), m.end(), "date", "md")
    yield from _ages(text)


def _ages(text: str) -> Iterator[Found]:
    """Ages over 89, in digits or words: years old by what stands on one side of them, or on both."""
    for m in chain(_OLD.finditer(text), _OLD_SPELLED.finditer(text)):
        before, stop = text[max(0, m.start() - _LONGEST_AGE_CUE) : m.start()], m.end()
        sure = _AGE_AFTER.match(text, stop) or _AGE_BEFORE.search(before)
        both = any(left.search(before) and right.match(text, stop) for left, right in _AGE_BETWEEN)
        if sure or (both and not _VITAL_BEFORE.search(before)):
            yield Found(m.start(), stop, "age")


def read_date(text: str, form: str, near: date | None = None) -> date | None:
    """The day that a found date names, or None (31 February). A date without a year is the one closest to `near`.

    Choices: two digits of a year are of 1930 to 2029; a month without a day counts as its 15th.
    """
    m = READABLE[form].fullmatch(text)
    assert m, f"{text!r} has not the form {form}"
    g = m.groupdict()
    month = int(g["m"]) if g.get("m") else [n[:3] for n in MONTHS].index(g["b"][:3].lower()) + 1
    day, year = int(g.get("d") or 15), g.get("y") or g.get("z")
    if year and len(year) == 2:
        year = f"{'19' if int(year) >= 30 else '20'}{year}"
    around = near or date(2000, 7, 1)
    years = [int(year)] if year else [around.year - 1, around.year, around.year + 1]
    days = [date(y, month, day) for y in years if _exists(y, month, day)]
    return min(days, key=lambda d: abs(d - around)) if days else None


def shift_date(text: str, form: str, days: int, near: date | None = None) -> str:
    """The date `days` later, written as it was: order, separators, width, case, ordinal; unreadable ones stay.

    A date that no calendar has (31 February) is taken as the 28th of its month.
    """
    m = READABLE[form].fullmatch(text)
    old = read_date(text, form, near)
    if old is None:
        m = READABLE[form].fullmatch(text[: m.start("d")] + "28" + text[m.end("d") :])
        old = read_date(m.string, form, near)
    new, out = old + timedelta(days=days), m.string
    padded = all(len(m[g]) == 2 for g in "md" if g in m.re.groupindex and m[g])
    fresh = {
        "y": lambda was: f"{new.year:04d}"[-len(was) :], "z": lambda was: f"{new.year % 100:02d}",
        "m": lambda was: f"{new.month:0{2 if padded else 1}d}", "d": lambda was: f"{new.day:0{2 if padded else 1}d}",
        "t": lambda was: _like(_ordinal(new.day), was), "b": lambda was: _like(_month_name(new.month, was), was),
    }  # fmt: skip
    spans = sorted((m.span(g), g) for g in fresh if g in m.re.groupindex and m[g])
    for (start, stop), group in reversed(spans):
        out = out[:start] + fresh[group](out[start:stop]) + out[stop:]
    return out


def _is_fraction(m: re.Match[str]) -> bool:
    """Whether a month and a day may be so many of so many: 3/10, 4/5."""
    return int(m["m"]) <= int(m["d"]) and int(m["d"]) in (2, 3, 4, 5, 6, 8, 10)


def _with_weekday(text: str, start: int) -> int:
    """Where a date begins with its weekday, where one stands before it."""
    m = _WEEKDAY_BEFORE.search(text, max(0, start - _LONGEST_WEEKDAY), start)
    return m.start() if m and m[0] else start


def _is_date(m: re.Match[str], form: str) -> bool:
    g = m.groupdict()
    if g.get("s") == "." and len(g["y"]) == 2 and len(m[0]) < 7:
        return False  # 3.4.19 is a list of figures
    # "march 4 times", "may 2 of them": these two are verbs where nothing else says month
    if (
        (g.get("b") or "").lower() in ("may", "march", "mar", "sun")
        and g["b"].islower()
        and not (g.get("y") or g.get("t") or _ENDS_DATE.match(m.string, m.end()))
    ):
        return False
    return read_date(m[0], form) is not None or form in ("mdy", "ymd", "dmy")


def _exists(year: int, month: int, day: int) -> bool:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 1 <= day <= (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


def _ordinal(day: int) -> str:
    return "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _month_name(month: int, was: str) -> str:
    name, dot = MONTHS[month - 1], "." if was.endswith(".") else ""
    abbreviated = len(was.rstrip(".")) < 5 and was.lower() not in ("may", "june", "july") or dot
    return (name[:3] if abbreviated else name) + (dot if len(name) > 3 else "")


def _like(word: str, was: str) -> str:
    return word.upper() if was.isupper() else word.title() if was[0].isupper() else word
