"""A run of words read as a name: which words go together, and whether they suit the cue before them."""

from __future__ import annotations

from medray.text.phi import cues
from medray.text.phi.cues import Word
from medray.text.phi.words import GIVEN, STATE_CODES, STATES, is_calendar, is_common, is_rare, is_term

_STATES_OF_TWO = frozenset(("new york", "new jersey", "new mexico", "new hampshire", "rhode island", "west virginia"))
_BEGIN_STATES = frozenset("new north south west rhode".split())
MAX_WORDS = 5
"""Of a name, initials and particles among them."""


def solid_words(run: list[Word]) -> list[Word]:
    """The words of a run that are neither initials nor particles."""
    return [w for w in run if len(w.text) > 1 and w.lower not in cues.PARTICLES]


class RunReader:
    """Reads runs in the words of one note."""

    def __init__(self, text: str, words: list[Word]) -> None:
        self.text = text
        self.words = words
        self.at = {word.start: number for number, word in enumerate(words)}

    def read(self, start: int, cue: str) -> list[Word]:
        """The words of the name that begins at a place, or [] where its first word does not suit the cue."""
        first = self.at.get(start)
        if first is None:
            return []
        run: list[Word] = []
        comma = False
        for word in self.words[first : first + MAX_WORDS]:
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
        if cue != "label" and (word.text in STATE_CODES or word.lower in STATES or word.lower in _BEGIN_STATES):
            return False  # a town before it
        return (cue in ("label", "line", "plain") or gap == ",") and len(solid_words(run)) == 1

    def _belongs(self, word: Word, run: list[Word], cue: str, comma: bool) -> bool:
        """Whether a word may go on a run (or begin it)."""
        if word.lower in cues.PARTICLES and self._next_is_name(word, cue == "title" and not word.is_capital):
            return True
        if not word.is_capital:
            begins = not any(w.lower not in cues.PARTICLES for w in run)
            listed = word.is_listed and not is_common(word.lower)
            surname = listed or is_rare(word.lower) or cues.LOWER_AFTER.match(self.text, word.stop)
            return cue == "title" and begins and word.may_be_name and bool(surname)
        if len(word.text) == 1:
            return True
        if run and word.text in STATE_CODES and not run[-1].text.isupper():
            return False
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
        return (comma and not is_term(word.lower)) or (len(solid_words(run)) < 2 and self._ends_here(word))

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
        solid = solid_words(run)
        if not solid or " ".join(w.lower for w in solid) in _STATES_OF_TWO:
            return False
        if cue == "title":
            return True
        if cues.EPONYM_NOUN.match(self.text, run[-1].stop) or cues.DOSE_AFTER.match(self.text, run[-1].stop):
            return cue in ("label", "signed", "person") and len(solid) > 1 and solid[0].lower in GIVEN
        if cue == "plain" and len(solid) == 1 and cues.NO_NAME_AFTER.match(self.text, run[-1].stop):
            return False
        sure = cue not in ("near", "plain")  # "with Wilson", "by Parkinson": eponyms
        if sure and len(solid) > 1 and all(w.text.isupper() and is_rare(w.lower) for w in solid):
            return True  # HIEN KONÉ
        known = [
            w
            for w in solid
            if w.is_suspect or (w.is_listed and not is_common(w.lower) and (sure or not is_term(w.lower)))
        ]
        if len(solid) > 1 and cue == "near":
            known += [w for w in solid if w.is_listed and solid[0].is_listed]
        given = solid[0].lower in GIVEN
        if cue == "plain" and len(run[0].text) == 1 and solid[0].is_listed:
            return True  # A. Sharp
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
