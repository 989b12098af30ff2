"""Names that are words too (Lamb, Day, Jun): what their place in a sentence, or beside a found name, gives away."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medray.text.phi import cues
from medray.text.phi.cues import Word
from medray.text.phi.found import Found
from medray.text.phi.runs import RunReader
from medray.text.phi.words import (
    FAMILY,
    GIVEN,
    NAME_WORDS,
    STATE_CODES,
    STATES,
    TOWN_WORDS,
    TOWNS,
    is_calendar,
    is_common,
    is_rare,
    is_term,
)

_TALKED = (
    r"sp(?:oke|eaking|eak)|talk(?:s|ed|ing)?|discuss(?:ed|ions?|ing)?|m[ee]et(?:ing|s)?|met|conferred|conferences?|"
    r"sign(?:ed|s)?[ -]?(?:out|off|over)?|hand(?:ed)?[ -]?(?:off|over)|report(?: given)?|staffed|review(?:ed)?|seen|"
    r"examined|follow(?:ed|s|[ -]?up)|consulted|conversation|calls?|paged?|texts?|messages?|letters?|e-?mails?|"
    r"referred|referral|notes?|handoff|visit(?:s|ed)?|lives?|living|resides|married|engaged|accompanied|assisted|"
    r"brought in|driven|performed|done|placed|read|typed|dictated|drawn|given|taken|administered|checked|verified|"
    r"witnessed|countersigned|co-?signed|entered|interpreted|cared for|raised|"
    r"appointment|appt|consults?|plan|agreed?|according|care|transferred care|f/u|per"
)
_SPOKEN = re.compile(
    rf"(?:\b(?:d/w|s/w|w/|c/w|r/v|c/o)|\b(?:{_TALKED})(?: [a-z]+){{0,2}} (?:with|to|by|from|under|w/|of)|"
    r"\b(?:paged|texted|emailed|phoned|asked|told|called|informed|notified|updated|thanked|per|cc|attn|"
    r"thanks,?|thank you,?|hi|hello|hey|dear|named|nicknamed|nickname|a\.?k\.?a\.?|née|nee|goes by|"
    r"known as|prefers|formerly|alias|relieved|met|saw))"
    r":? $",
    re.I,
)
"""What is said of people only: to have been spoken to, to have done something."""
_ARTICLE = frozenset("a an the this his her their our your its no any each every some another".split())
_JOINT = re.compile(r"(?: ?/ ?| ?& ?|,? (?:and|or) |, |\n?,? ?& ?|; )(?=[A-Z])")
_JOINT_BEFORE = re.compile(r"(?<=[.,;:(/\n ])(?P<v>[A-Z][a-z'’]+)(?: ?/ ?| ?& ?|,? and )$")
_QUOTED = re.compile(r",? ?\(?[\"“'‘](?P<v>[A-Z][\w'’-]+)[\"”'’]")
_INITIALS = re.compile(r"\b[Ii]nitials?:? (?P<v>[A-Z]{2,3})\b")
_INITIAL_AFTER = re.compile(r" [A-Z]\.(?=[,:;)\n]| (?:RN|MD|NP|PA|DO|LPN|RT)\b)")
_CLOSE = re.compile(
    r"['’]s\b| \d{4}\b|[ ]?[,;:.)/\"”]|\n|$| {2}| [-–]| (?:MD|RN|NP|PA|DO|LPN|RT|PhD|PharmD|aware|and|re|"
    r"at|on|to)\b"
)
_OPEN = re.compile(r"(?:[-–/(:;,.\n\"“ ]|[a-z]|^) ?$")
_DATED = re.compile(r",? (?:(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}\.? \d|\d{1,2}/\d{1,2}/\d)")
_SPEAKER = re.compile(r": [a-z]")
_AT_WORK = re.compile(
    r" (?:from|with|in|of) (?:the )?(?:social|case|pharmacy|nursing|PT|OT|SLP|radiology|transport|dietary|"
    r"lab|registration|billing|"
    r"hospice|pastoral|palliative|respiratory|insurance|security|dispatch|housekeeping|scheduling|records|front desk)\b"
)
_SERVICE_BEFORE = re.compile(
    r"\b(?:ID|renal|cards?|cardiology|GI|neuro\w*|surgery|surg|PCP|attending|fellow|resident|intern|ortho|"
    r"psych|heme|onc|pulm|"
    r"palliative|SW|PT|OT|SLP|CM|RN|NP|MD|pharm\w*|social work|case manage\w+|nurs\w+|vascular|uro\w*|"
    r"derm|endo|rheum|ENT|"
    r"IR|OB|peds|nutrition|chaplain\w*|trauma|anesthesia|neurosurgery|oncology) \($"
)
_RELATED = re.compile(rf"\b(?:{'|'.join(sorted(cues.RELATIONS, key=len, reverse=True))})\b[^.;:,\n]{{0,24}}, $")
_OWN_THING = re.compile(
    r"['’]s (?:graduation|wedding|funeral|birthday|house|home|school|car|phone|number|room|request|office|"
    r"cell|family|apartment|visit)\b"
)
_QUOTED_BABY = re.compile(r"\b(?:girl|boy|baby|infant|twin \w|named|called|nicknamed|patient|pt),? [\"“]$")
_BEGIN = re.compile(r"[(\[;.:\n] ?$")
_LINE_END = re.compile(r"\n|$|,| {2}| MD\b")
_AGED = re.compile(r", (?:\(\d{3}\) ?|\d[-.]|\+\d ?)?\d{3}[-. ]\d{3,4}|(?:, | \()\d{1,2}(?:\)|[,;] | and )")
"""When, or how old: what stands before it did something, or is somebody."""
_CAPS_CLOSE = re.compile(
    r" {2}|\n|$|[,;.(/]| (?:TO|AT|MD|RN|DO|NP|PA|CRNA|AND|WITH|NOTIFIED|AWARE|PRESENT|ON|FOR|IN)\b"
)


class ProseReader(RunReader):
    """Finds names by their neighbours in one note."""

    def find(self, found: list[Found]) -> Iterator[Found]:
        """The names that those found already, or the sentence, give away; finds may overlap."""
        more = [*self._in_sentences(), *self._of_initials(), *self._in_capitals(), *self._in_small_letters()]
        yield from more
        yield from self._beside([*found, *more])

    def _is_known(self, word: Word) -> bool:
        """Whether it may be a name if its place says so: listed, or no word of any vocabulary."""
        if word.is_stop or len(word.text) < 2 or word.lower in STATES or word.text in STATE_CODES:
            return False
        if word.lower in GIVEN or word.lower in FAMILY or word.is_listed:
            return True
        return (word.lower in NAME_WORDS or word.is_suspect) and not is_term(word.lower)

    def _in_sentences(self) -> Iterator[Found]:
        """Capitalised words in the middle of a sentence: after what is said of people, or listed names anywhere."""
        for number, word in enumerate(self.words):
            if not word.text[:1].isupper() or word.text.isupper() or not self._is_known(word):
                continue
            if cues.EPONYM_NOUN.match(self.text, word.stop) or cues.DOSE_AFTER.match(self.text, word.stop):
                continue
            if is_calendar(word.lower):
                if self._is_person_of_month(number):
                    yield self._run(number)
                continue
            spoken = _SPOKEN.search(self.text, max(0, word.start - 56), word.start)
            dated = _BEGIN.search(self.text, max(0, word.start - 2), word.start) and _DATED.match(self.text, word.stop)
            spoken = spoken or _AGED.match(self.text, word.stop)
            speaks = _SPEAKER.match(self.text, word.stop) and self.text[word.start - 2 : word.start] == ". "
            speaks = speaks and (word.is_suspect or not is_common(word.lower))
            speaks = speaks or _OWN_THING.match(self.text, word.stop) or _AT_WORK.match(self.text, word.stop)
            speaks = speaks or _QUOTED_BABY.search(self.text, max(0, word.start - 24), word.start)
            speaks = speaks or self._in_apposition(word) or self._in_brackets(word)
            ends = self._ends_here(self.words[self._last(number)])
            if dated or speaks or ((spoken or self._is_amid(number)) and ends):
                yield self._run(number)

    def _in_brackets(self, word: Word) -> bool:
        """Whether it stands alone in brackets behind a service: renal (Frost)."""
        closed = self.text.startswith((")", "/", ","), word.stop)
        return closed and _SERVICE_BEFORE.search(self.text, max(0, word.start - 24), word.start) is not None

    def _in_apposition(self, word: Word) -> bool:
        """Whether it stands between commas behind a relation: his husband of 50 years, Art, died."""
        before = self.text[max(0, word.start - 40) : word.start]
        return self.text.startswith(",", word.stop) and _RELATED.search(before) is not None

    def _is_person_of_month(self, number: int) -> bool:
        """Whether a month's name (Jun, April) is a person's: a family name, or what people do, comes after it."""
        word = self.words[number]
        if word.lower not in GIVEN or len(word.text) > 6:
            return False
        if cues.PERSON_ONLY_VERB.match(self.text, word.stop):
            return True
        after = self.words[number + 1 : number + 2]
        if after and len(after[0].text) == 1 and self.text.startswith(". ", after[0].stop):
            return self.words[number + 2].text.istitle() if number + 2 < len(self.words) else False  # June T. Patel
        return bool(
            after
            and self.text[word.stop : after[0].start] == " "
            and after[0].text.istitle()
            and self._is_known(after[0])
            and not is_calendar(after[0].lower)
        )

    def _is_amid(self, number: int) -> bool:
        """Whether a frequent name that is a word stands capitalised amid small letters, with no article before it."""
        word = self.words[number]
        if word.lower not in FAMILY and word.lower not in GIVEN or is_term(word.lower) or word.lower in TOWNS:
            return False
        before = self.words[number - 1] if number else None
        if not before or self.text[before.stop : word.start] != " " or not before.text.islower():
            return False
        left = self.text[max(0, word.start - 48) : word.start]
        return before.lower not in _ARTICLE and not cues.NO_NAME_BEFORE.search(left)

    def _last(self, number: int) -> int:
        """The last word of the run of names that begins with this one."""
        last = number
        while last + 1 < len(self.words) and last - number < 3:
            gap, after = self.text[self.words[last].stop : self.words[last + 1].start], self.words[last + 1]
            initial = len(after.text) == 1 and after.is_capital and self.text.startswith(".", after.stop)
            joined = gap == " " or (gap == ". " and len(self.words[last].text) == 1)
            named = after.text[0].isupper() and not after.text.isupper() and self._is_known(after)
            if not joined or not (initial or named):
                break
            last += 1
        return last

    def _run(self, number: int) -> Found:
        return Found(self.words[number].start, self.words[self._last(number)].stop, "name")

    def _in_small_letters(self) -> Iterator[Found]:
        """Frequent names that are no other word, in the small letters of a hurried hand."""
        for word in self.words:
            if len(word.text) > 3 and word.text.islower() and (word.lower in GIVEN or word.lower in FAMILY):
                other = is_common(word.lower) or is_term(word.lower) or word.lower in TOWNS or word.lower in TOWN_WORDS
                if not other and not cues.EPONYM_NOUN.match(self.text, word.stop):
                    yield Found(word.start, word.stop, "name")

    def _of_initials(self) -> Iterator[Found]:
        """A given name before an initial (Patrick B.), a family name after one (R. Joiner)."""
        yield from (Found(*m.span("v"), "name") for m in _INITIALS.finditer(self.text))
        for number, word in enumerate(self.words):
            if word.lower in GIVEN and word.text.istitle() and (m := _INITIAL_AFTER.match(self.text, word.stop)):
                yield Found(word.start, m.end(), "name")
            after = self.words[number + 1] if number + 1 < len(self.words) else None
            if len(word.text) != 1 or not word.is_capital or not after or not after.is_capital:
                continue
            if len(after.text) < 3 and not _LINE_END.match(self.text, after.stop):
                continue
            if self.text[word.stop : after.start] not in (". ", ".") or not self._is_known(after):
                continue
            if _OPEN.search(self.text, max(0, word.start - 2), word.start) and _CLOSE.match(self.text, after.stop):
                yield Found(word.start, after.stop, "name")

    def _in_capitals(self) -> Iterator[Found]:
        """Names after a role where everything is in capitals: SURGEON ROOT   CIRCULATOR PHOEBE."""
        for role, word in zip(self.words, self.words[1:], strict=False):
            if not (role.text.isupper() and word.text.isupper() and len(word.text) > 2):
                continue
            person = role.lower in cues.ROLES or role.lower in cues.RELATIONS
            gap = self.text[role.stop : word.start]
            apart = gap in (" ", "  ", ": ", " .... ") or (gap == ", " and role.lower in cues.RELATIONS)
            if not person or not apart or word.is_stop or cues.CREDENTIAL.match(self.text, role.stop):
                continue
            if is_calendar(word.lower) and word.lower not in GIVEN:
                continue
            start = self.at[word.start]
            last = start
            while last < start + 2 and last + 1 < len(self.words):
                after = self.words[last + 1]
                if self.text[self.words[last].stop : after.start] != " " or after.is_stop or not after.text.isupper():
                    break
                last += 1
            run = self.words[start : last + 1]
            known = [w for w in run if self._is_known(w) or not (is_common(w.lower) or is_term(w.lower))]
            if known and run[0] in known and _CAPS_CLOSE.match(self.text, run[-1].stop):
                yield Found(word.start, run[-1].stop, "name")

    def _beside(self, found: list[Found]) -> Iterator[Found]:
        """Nicknames after a name, names joined to one, the other half of one."""
        for item in found:
            if m := _QUOTED.match(self.text, item.stop):
                yield Found(*m.span("v"), "name")
            stop = item.stop
            while (m := _JOINT.match(self.text, stop)) and (number := self.at.get(m.end())) is not None:
                word = self.words[number]
                if not self._may_join(word, m[0]):
                    break
                run = self._run(number)
                yield run
                stop = run.stop
            if m := _JOINT_BEFORE.search(self.text, max(0, item.start - 24), item.start):
                number = self.at.get(m.start("v"))
                if number is not None and self._is_known(self.words[number]):
                    yield Found(*m.span("v"), "name")
            yield from self._other_half(item)

    def _may_join(self, word: Word, joint: str) -> bool:
        if not self._is_known(word) or is_calendar(word.lower) or cues.EPONYM_NOUN.match(self.text, word.stop):
            return False
        sure = not (is_common(word.lower) or is_term(word.lower) or word.lower in TOWNS)
        if joint == ", " and not sure:
            return False  # a title, a department, a town
        return word.text.isupper() == self.text[word.start - len(joint) - 1].isupper() and (
            sure or _CLOSE.match(self.text, word.stop) is not None
        )

    def _other_half(self, item: Found) -> Iterator[Found]:
        """The word before a found name, amid small letters, and a family name that is a word, after it."""
        first = self.at.get(item.start)
        if first is None:
            return
        word = self.words[first - 1] if first else None
        if self.text[item.start : item.stop].isupper():
            if word and word.text.isupper() and len(word.text) > 2 and is_rare(word.lower) and not word.is_stop:
                if self.text[word.stop : item.start] == " ":
                    yield Found(word.start, item.stop, "name")
            return
        before = self.words[first - 2] if first > 1 else None
        if word and before and self.text[word.stop : item.start] == " " and word.text.istitle() and len(word.text) > 1:
            labelled = self.text[word.start - 2 : word.start] == ": "
            amid = labelled or before.text.islower() and self.text[before.stop : word.start] == " "
            listed = word.lower in GIVEN
            if (listed or amid) and not (word.is_stop or is_term(word.lower)) and before.lower not in _ARTICLE:
                yield Found(word.start, item.stop, "name")
        if " " in self.text[item.start : item.stop] or self.text[item.stop : item.stop + 1] not in (" ", "\n"):
            return
        number = self.at.get(item.stop + 1)
        if number is not None and (after := self.words[number]).text.istitle() and self._is_known(after):
            if not is_calendar(after.lower) and self._ends_here(after) and after.lower not in TOWNS:
                if _CLOSE.match(self.text, after.stop) or self.words[first].lower in GIVEN:
                    yield Found(item.start, after.stop, "name")
