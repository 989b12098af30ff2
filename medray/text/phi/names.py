"""Names of people: runs of capitalised words that a cue or their rarity gives away, and where they occur again.

A word that neither vocabulary nor terms know (`words`) is suspect by itself; a known word (Field, Rose, Price) needs a
cue. A name once found is found wherever its words occur again in the note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from medray.text.phi import cues
from medray.text.phi.cues import Word
from medray.text.phi.found import Found
from medray.text.phi.prose import ProseReader
from medray.text.phi.runs import MAX_WORDS, RunReader, solid_words
from medray.text.phi.words import FAMILY, GIVEN, NAME_WORDS, TOWNS, is_calendar, is_common, is_drug, is_rare, is_term

_AND = re.compile(r"(?:,? (?:and|&) |[,;] |/)(?=[^\W\d_])")


class NameReader(RunReader):
    """Finds the names of one note; surest cues first."""

    def find(self) -> Iterator[Found]:
        """Every name, the surer cues first; finds may overlap."""
        found = [*self._cued(), *self._written(), *self._with_credential(), *self._uncued()]
        found += ProseReader(self.text, self.words).find(found)
        yield from found
        yield from self._again(found)

    def _cued(self) -> Iterator[Found]:
        """Names after titles, labels, roles, relations and words such as "with" and "by"."""
        text, before = self.text, ""
        for word in self.words:
            low = word.lower
            if (
                low in cues.TITLES
                and (m := cues.TITLE_GAP.match(text, word.stop))
                and not text[word.start - 2 : word.start - 1].isdigit()
                and not ("\n" in m[0] and text[text.rfind("\n", 0, word.start) + 1].isdigit())  # 12 Meadow Dr
            ):
                yield from self._listed_runs(m.end(), "title")
            for m in cues.SHORT_NAME.finditer(text, word.start, word.stop + 8) if low in cues.TITLES else ():
                yield Found(*m.span("v"), "name")
            if low in cues.LABELS and (m := cues.COLON.match(text, word.stop)):
                yield from self._listed_runs(m.end(), "label")
            elif m := cues.BLANK.match(text, word.stop):
                if low == "by" and (before in cues.SIGNED or before == "goes"):
                    yield from self._listed_runs(m.end(), "signed")
                elif before == "baby" and low in ("boy", "girl"):
                    yield from self._listed_runs(m.end(), "title")
                elif low in cues.BARE_LABELS:
                    yield from self._listed_runs(m.end(), "label")
            if (word.start == 0 or text[word.start - 1] == "\n") and cues.LINE_NAME.match(text, word.start):
                yield from self._listed_runs(word.start, "line")
            person = low in cues.ROLES or low in cues.RELATIONS
            if (person or low in cues.NEAR) and (m := cues.NEAR_GAP.match(text, word.stop)):
                yield from self._listed_runs(m.end(), "person" if person else "near")
            before = low

    def _written(self) -> Iterator[Found]:
        """Names at the end of a letter, on labels, and in small letters beside a role."""
        for m in cues.CLOSING.finditer(self.text):
            yield from self._listed_runs(m.end(), "label")
        for m in cues.LOWER_NAME.finditer(self.text):
            group = next(name for name in ("v", "w", "x") if m[name])
            word = m[group]
            noted = group != "v" and (word in FAMILY or word in NAME_WORDS)
            if noted or is_rare(word) or ((word in GIVEN or word in FAMILY) and not is_common(word)):
                yield Found(*m.span(group), "name")

    def _listed_runs(self, start: int, cue: str) -> Iterator[Found]:
        """The run at a place, and those joined to it by commas and "and"."""
        run = self.read(start, cue)
        while run:
            yield self._name(run)
            credential = cues.CREDENTIAL.match(self.text, run[-1].stop)
            joint = _AND.match(self.text, credential.end() if credential else run[-1].stop)
            if joint and joint[0] == "/" and cue != "person":
                return
            keeps = joint and (cue == "person" or joint[0] == "; " or (cue == "title" and joint[0] != ", "))
            run = self.read(joint.end(), cue if keeps else "near") if joint else []

    def _name(self, run: list[Word]) -> Found:
        """A run as a find, the dot of a last initial with it."""
        stop = run[-1].stop
        return Found(run[0].start, stop + (len(run[-1].text) == 1 and self.text.startswith(".", stop)), "name")

    def _with_credential(self) -> Iterator[Found]:
        ends = {word.stop: number for number, word in enumerate(self.words)}
        for m in chain(cues.CREDENTIAL.finditer(self.text), cues.AGED_AFTER.finditer(self.text)):
            number = ends.get(m.start())
            if number is None:
                continue
            run: list[Word] = []
            for word in reversed(self.words[max(0, number + 1 - MAX_WORDS) : number + 1]):
                gap = self.text[word.stop : run[0].start] if run else " "
                if gap not in (" ", ". ", ", ", ",") or (gap == ". " and len(word.text) > 1 and word.lower != "st"):
                    break
                if not (word.is_capital or word.lower in cues.PARTICLES) or word.is_stop:
                    break
                run.insert(0, word)
            while run and (run[0].lower in cues.PARTICLES and len(run) == 1):
                run = run[1:]
            apart = len(solid_words(run)) > 1 and m[0].startswith(",") and m.re is cues.CREDENTIAL
            if m.re is cues.AGED_AFTER and len(run) == 1 and run[0].text.isupper() and len(run[0].text) < 5:
                continue  # RTC 1 y
            if any(w.is_listed or not (is_common(w.lower) or is_term(w.lower)) or apart for w in solid_words(run)):
                yield self._name(run)

    def _uncued(self) -> Iterator[Found]:
        stop = 0
        small = {word.text for word in self.words if word.text.islower()}
        for word in self.words:
            if word.start < stop or not word.is_capital:
                continue
            if self._acts_like_a_person(word):
                yield Found(word.start, word.stop, "name")
            if turned := self._turned(word):
                initial = cues.LAST_INITIAL.match(self.text, turned.stop)
                yield Found(word.start, initial.end() if initial else turned.stop, "name")
            initial = len(word.text) == 1 and self.text.startswith(". ", word.stop)
            before = self.text[max(0, word.start - 2) : word.start]
            initial = initial and before[-1:] != "/" and not before[:1].isdigit()  # OTR/L., 2 L.
            related = word.may_be_name and word.text.istitle() and cues.ROLE_AFTER.match(self.text, word.stop)
            if not (word.is_suspect or word.lower in GIVEN or initial or related):
                continue
            run = self.read(word.start, "plain")
            if not run or not self._stands_alone(run) or self._is_thing(run):
                continue
            if all(w.lower in small for w in solid_words(run)):
                continue  # written in small letters elsewhere: a word that vocabulary lacks
            stop = run[-1].stop
            yield self._name(run)._replace(start=self._with_particles(self.at[word.start]))

    def _turned(self, word: Word) -> Word | None:
        """The given name after a family name and a comma: HILL, DANIEL."""
        number = self.at[word.start] + 1
        if number == len(self.words) or self.text[word.stop : (after := self.words[number]).start] not in (", ", ","):
            return None
        alike = word.text.isupper() == after.text.isupper() and word.text.istitle() == after.text.istitle()
        known = after.lower in GIVEN or (after.text.isupper() and after.is_suspect and not is_rare(word.lower))
        named = known and after.is_capital and not (is_term(after.lower) or after.lower in TOWNS)
        rare = is_rare(word.lower) and len(word.text) > 2 and len(after.text) > 3 and "-" not in word.text
        if after.start - word.stop == 1 and alike and word.text.istitle() and len(after.text) > 2:  # Hernandez,Gloria
            names = [w for w in (word, after) if w.is_listed or w.is_suspect]
            return after if names and not (word.is_stop or after.is_stop) else None
        family = not word.is_stop and (word.is_listed or word.is_suspect or rare or word.lower in NAME_WORDS)
        return after if alike and named and family and len(word.text) > 1 else None

    def _with_particles(self, number: int) -> int:
        """Where a name begins whose first word, but for particles, is this one."""
        start = self.words[number].start
        while number and self.words[number - 1].lower in cues.PARTICLES and start - self.words[number - 1].stop == 1:
            number -= 1
            start = self.words[number].start
        return start

    def _acts_like_a_person(self, word: Word) -> bool:
        if (
            not word.may_be_name
            or (len(word.text) < 3 and not word.is_listed)
            or (word.text.isupper() and len(word.text) < 5)
        ):
            return False
        if cues.OF_SOMEBODY.match(self.text, word.stop):
            return True
        uncommon = word.is_listed or not is_common(word.lower)
        return bool(
            cues.AGED.match(self.text, word.stop) or (uncommon and cues.PERSON_ONLY_VERB.match(self.text, word.stop))
        )

    def _stands_alone(self, run: list[Word]) -> bool:
        """Whether a run without any cue is a name: a rare word, or a frequent given name that is no other word."""
        solid = solid_words(run)
        if len(run[0].text) == 1:
            return solid[0].is_suspect or (solid[0].is_listed and not is_term(solid[0].lower))  # J. Bailey
        if any(w.is_suspect for w in solid):
            return not solid[0].text.isupper() or len(solid) > 1 or self._in_capitals(solid[0])
        if cues.ROLE_AFTER.match(self.text, run[-1].stop):
            return True
        first = solid[0]
        if is_calendar(first.lower) or (first.text.isupper() and len(first.text) < 5 and not self._in_capitals(first)):
            return False  # "May Concern", "ASA III"
        if len(solid) > 1:
            return True
        if first.lower in GIVEN and cues.PERSON_VERB.match(self.text, run[-1].stop):
            return True
        return first.lower in GIVEN and not (is_common(first.lower) or is_term(first.lower) or first.lower in TOWNS)

    def _is_thing(self, run: list[Word]) -> bool:
        """Whether a single rare word stands where things do: after an article, in a list of drugs, as an item."""
        if len(run) > 1 or run[0].lower in GIVEN:
            return False
        word, before = run[0], self.text[max(0, run[0].start - 48) : run[0].start]
        if m := cues.NO_NAME_BEFORE.search(before):
            between = (m[1] or "").split()
            return not (cues.ROLES | cues.RELATIONS | cues.LABELS).intersection(between)
        if cues.ITEM.search(before):
            return True
        number = self.at[word.start]
        for other in self.words[max(0, number - 1) : number] + self.words[number + 1 : number + 2]:
            gap = self.text[min(word.stop, other.stop) : max(word.start, other.start)]
            if gap in (", ", " and ", ", and ", "/") and is_drug(other.lower):
                return True
        return False

    def _in_capitals(self, word: Word) -> bool:
        """Whether the words around one in capitals are in capitals too: what is not is an abbreviation."""
        number = self.at[word.start]
        around = [w for w in self.words[max(0, number - 2) : number + 3] if w is not word]
        return len(around) > 2 and all(w.text.isupper() for w in around)

    def _again(self, found: list[Found]) -> Iterator[Found]:
        """Other occurrences of the words of found names."""
        parts = {
            word.lower
            for name in found
            for word in self.words[self._first(name.start) : self._first(name.stop)]
            if len(word.text) > 1 and word.lower not in cues.PARTICLES and word.lower not in cues.STOP
        }
        for number, word in enumerate(self.words):
            if word.lower in parts and self._is_again(word):
                yield Found(self._with_particles(number), word.stop, "name")

    def _first(self, place: int) -> int:
        """Number of the first word that begins at or after a place."""
        low, high = 0, len(self.words)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.words[middle].start < place else (low, middle)
        return low

    def _is_again(self, word: Word) -> bool:
        if cues.EPONYM_NOUN.match(self.text, word.stop):
            return False
        if is_common(word.lower) or is_term(word.lower):
            if word.is_capital and (
                cues.PERSON_VERB.match(self.text, word.stop) or cues.PERSON_ONLY_VERB.match(self.text, word.stop)
            ):
                return True
            if word.is_listed and word.is_capital and cues.SET_OFF.match(self.text, word.stop):
                return True
            before = self.text[max(0, word.start - 2) : word.start]
            return word.text.istitle() and before[1:] == " " and before[:1] not in (".", ":", "?", "!", " ")
        return word.text.istitle() or len(word.text) > 4 or (word.is_capital and len(word.text) > 2)
