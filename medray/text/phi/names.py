"""Names of people: runs of capitalised words that a cue or their rarity gives away, and where they occur again.

A word that neither vocabulary nor terms know (`words`) is suspect by itself; a known word (Field, Rose, Price) needs a
cue. A name once found is found wherever its words occur again in the note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from medray.text.phi import cues
from medray.text.phi.cues import Word
from medray.text.phi.found import Found
from medray.text.phi.words import GIVEN, TOWNS, is_calendar, is_common, is_rare, is_term

_MAX_WORDS = 5
_AND = re.compile(r"(?:,? (?:and|&) |, )(?=[^\W\d_])")


def _solid(run: list[Word]) -> list[Word]:
    """The words of a run that are neither initials nor particles."""
    return [w for w in run if len(w.text) > 1 and w.lower not in cues.PARTICLES]


class NameReader:
    """Finds the names of one note; surest cues first."""

    def __init__(self, text: str, words: list[Word]) -> None:
        self.text = text
        self.words = words
        self.at = {word.start: number for number, word in enumerate(words)}

    def find(self) -> Iterator[Found]:
        """Every name, the surer cues first; finds may overlap."""
        found = [*self._cued(), *self._with_credential(), *self._uncued()]
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
            ):
                yield from self._listed_runs(m.end(), "title")
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

    def _listed_runs(self, start: int, cue: str) -> Iterator[Found]:
        """The run at a place, and those joined to it by commas and "and"."""
        run = self._run(start, cue)
        while run:
            yield self._name(run)
            credential = cues.CREDENTIAL.match(self.text, run[-1].stop)
            joint = _AND.match(self.text, credential.end() if credential else run[-1].stop)
            keeps = joint and (cue == "person" or (cue == "title" and joint[0] != ", "))
            run = self._run(joint.end(), cue if keeps else "near") if joint else []

    def _name(self, run: list[Word]) -> Found:
        """A run as a find, the dot of a last initial with it."""
        stop = run[-1].stop
        return Found(run[0].start, stop + (len(run[-1].text) == 1 and self.text.startswith(".", stop)), "name")

    def _run(self, start: int, cue: str) -> list[Word]:
        """The words of the name that begins at a place, or [] where its first word does not suit the cue."""
        first = self.at.get(start)
        if first is None:
            return []
        run: list[Word] = []
        comma = False
        for word in self.words[first : first + _MAX_WORDS]:
            if run:
                gap = self.text[run[-1].stop : word.start]
                joined = gap in (" ", "\n") or (gap == ". " and (len(run[-1].text) == 1 or run[-1].lower == "st"))
                if gap in (", ", ",") and not comma and self._may_turn(run, word, cue, gap):
                    comma = joined = True
                if not joined or (gap == "\n" and not word.is_suspect):
                    break
            if not self._belongs(word, run, cue, comma):
                break
            run.append(word)
        run = self._trimmed(run, comma)
        return run if run and self._suits(run, cue, comma) else []

    def _may_turn(self, run: list[Word], word: Word, cue: str, gap: str) -> bool:
        """Whether a comma may stand between a family name and the given name after it."""
        initial = len(word.text) == 1 and not self.text.startswith(".", word.stop)
        if initial or not word.is_capital or cues.CREDENTIAL.match(self.text, run[-1].stop):
            return False
        return (cue in ("label", "line", "plain") or gap == ",") and len(_solid(run)) == 1

    def _belongs(self, word: Word, run: list[Word], cue: str, comma: bool) -> bool:
        """Whether a word may go on a run (or begin it)."""
        if word.lower in cues.PARTICLES and self._next_is_name(word, cue == "title" and not word.is_capital):
            return True
        if not word.is_capital:
            begins = not any(w.lower not in cues.PARTICLES for w in run)
            surname = word.is_listed or is_rare(word.lower) or cues.LOWER_AFTER.match(self.text, word.stop)
            return cue == "title" and begins and word.may_be_name and bool(surname)
        if len(word.text) == 1:
            return True
        if not run:
            return word.may_be_name or (cue == "title" and not word.is_stop)
        if (
            is_term(word.lower) and not word.is_listed and not comma
        ):  # "Mary Foley", but not "Kwon Tuesday", nor "Kwon COPD"
            knows = run[0].is_suspect or run[0].lower in GIVEN
            return (
                knows
                and word.text.istitle() == run[0].text.istitle()
                and self._ends_here(word)
                and not (word.is_stop or is_calendar(word.lower))
            )
        if word.is_listed or (is_rare(word.lower) and word.text.isupper() == run[0].text.isupper()):
            return word.may_be_name
        if not word.may_be_name or word.text.isupper() != (run[-1].text.isupper() and len(run[-1].text) > 1):
            # "Xu" and "Ng" are as short as abbreviations: they pass after a name
            return word.may_be_name and len(run[-1].text) == 1 and not word.text.isupper()
        return (comma and not is_term(word.lower)) or (len(_solid(run)) < 2 and self._ends_here(word))

    def _ends_here(self, word: Word) -> bool:
        """Whether no further capitalised word follows at once: "Keoni Field." but not "Kwon Small Bowel"."""
        after = self.text[word.stop : word.stop + 2]
        return not (after[:1] == " " and (after[1:].isupper() or (word.text.isupper() and after[1:].isalpha())))

    def _next_is_name(self, word: Word, in_lower_case: bool) -> bool:
        number = self.at[word.start] + 1
        if number >= len(self.words) or self.text[word.stop : self.words[number].start] not in (" ", ". "):
            return False
        after = self.words[number]
        if after.lower in cues.PARTICLES and self._next_is_name(after, in_lower_case):
            return True
        return after.may_be_name and (after.is_capital or (in_lower_case and is_rare(after.lower) or after.is_listed))

    def _trimmed(self, run: list[Word], comma: bool) -> list[Word]:
        """The run without a particle at its end, or a letter that is no initial ("Smith, John A" ends with one)."""
        while len(run) > 1 and run[-1].lower in cues.PARTICLES and not run[-1].is_capital:
            run = run[:-1]
        letter = len(run) > 1 and len(run[-1].text) == 1
        return run[:-1] if letter and not comma and not self.text.startswith(".", run[-1].stop) else run

    def _suits(self, run: list[Word], cue: str, comma: bool) -> bool:
        solid = _solid(run)
        if not solid:
            return False
        if cue == "title":
            return True
        if cues.EPONYM_NOUN.match(self.text, run[-1].stop) or cues.DOSE_AFTER.match(self.text, run[-1].stop):
            return cue in ("label", "signed", "person") and len(solid) > 1 and solid[0].lower in GIVEN
        known = [w for w in solid if w.is_suspect or (w.is_listed and not is_common(w.lower))]
        given = solid[0].lower in GIVEN
        if comma and cue != "plain" and any(w.is_listed for w in solid[1:]):
            return True
        if cue == "line":
            return comma and (bool(known) or any(w.is_listed for w in solid[1:]))
        if cue in ("label", "signed"):
            listed = any(w.is_listed for w in solid) and cues.ENDS.match(self.text, run[-1].stop)
            pair = cue == "signed" and len(solid) == 2 and all(w.text.istitle() for w in solid)
            return bool(known or given or listed or pair)
        if cue == "person":
            start = solid[0].start
            ends_line = self.text[start - 1] == "\n" and self.text[start - 2] != ","
            return (
                bool(known)
                or given
                or (not ends_line and not solid[0].text.isupper() and self._ends_here(solid[-1]) and len(run) <= 2)
            )
        return bool(known) or (given and (len(solid) > 1 or (cue == "plain" and not solid[0].text.isupper())))

    def _with_credential(self) -> Iterator[Found]:
        ends = {word.stop: number for number, word in enumerate(self.words)}
        for m in cues.CREDENTIAL.finditer(self.text):
            number = ends.get(m.start())
            if number is None:
                continue
            run: list[Word] = []
            for word in reversed(self.words[max(0, number + 1 - _MAX_WORDS) : number + 1]):
                gap = self.text[word.stop : run[0].start] if run else " "
                if gap not in (" ", ". ", ", ", ",") or (gap == ". " and len(word.text) > 1 and word.lower != "st"):
                    break
                if not (word.is_capital or word.lower in cues.PARTICLES) or word.is_stop:
                    break
                run.insert(0, word)
            while run and (run[0].lower in cues.PARTICLES and len(run) == 1):
                run = run[1:]
            apart = len(_solid(run)) > 1 and m[0].startswith(",")
            if any(w.is_listed or not (is_common(w.lower) or is_term(w.lower)) or apart for w in _solid(run)):
                yield self._name(run)

    def _uncued(self) -> Iterator[Found]:
        stop = 0
        for word in self.words:
            if word.start < stop or not word.is_capital:
                continue
            if self._acts_like_a_person(word):
                yield Found(word.start, word.stop, "name")
            if not (word.is_suspect or word.lower in GIVEN):
                continue
            run = self._run(word.start, "plain")
            if not run or not self._stands_alone(run):
                continue
            stop = run[-1].stop
            yield self._name(run)

    def _acts_like_a_person(self, word: Word) -> bool:
        if not word.may_be_name:
            return False
        if cues.OF_SOMEBODY.match(self.text, word.stop):
            return True
        uncommon = word.is_listed or not is_common(word.lower)
        return bool(
            cues.AGED.match(self.text, word.stop) or (uncommon and cues.PERSON_ONLY_VERB.match(self.text, word.stop))
        )

    def _stands_alone(self, run: list[Word]) -> bool:
        """Whether a run without any cue is a name: a rare word, or a frequent given name that is no other word."""
        solid = _solid(run)
        if any(w.is_suspect for w in solid):
            return not solid[0].text.isupper() or len(solid) > 1 or self._in_capitals(solid[0])
        if cues.ROLE_AFTER.match(self.text, run[-1].stop):
            return True
        first = solid[0]
        if len(solid) > 1:
            return True
        if first.lower in GIVEN and cues.PERSON_VERB.match(self.text, run[-1].stop):
            return True
        return first.lower in GIVEN and not (is_common(first.lower) or is_term(first.lower) or first.lower in TOWNS)

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
                start = word.start
                while (
                    number
                    and self.words[number - 1].lower in cues.PARTICLES
                    and start - self.words[number - 1].stop == 1
                ):
                    number -= 1
                    start = self.words[number].start
                yield Found(start, word.stop, "name")

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
            before = self.text[max(0, word.start - 2) : word.start]
            return word.text.istitle() and before[1:] == " " and before[:1] not in (".", ":", "?", "!", " ")
        return word.text.istitle() or len(word.text) > 4 or (word.is_capital and len(word.text) > 2)
