"""Reads the answer out of a completion: the option, letter, label, number or span that it commits to.

Everything here works on whole words of normalised text, so `unknown` never reads as `no` and `eyebrow` never as `eye`.
What cannot be read is None (unparsed): it is never turned into a class or a vote.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

_NOT_WORD = re.compile(r"[^\w]+|_+")
_APOSTROPHE = re.compile(r"['’`´]")
_ARTICLES = frozenset({"the", "a", "an", "likely", "necessarily", "option"})
_NEGATIONS = frozenset({"not", "isnt", "wasnt", "never", "neither", "nor", "cannot"})
_SHORT = 30
_COPULAS = frozenset({"is", "are", "was", "were", "be", "answer"})
_AFTER_ANSWER = frozenset({"is", "was", "be", "would", "should", "must", "will", "therefore", "thus"})

_OPEN = r"(?:[*_(\[{\"'`$“]|\\boxed\{|\\text(?:bf)?\{)"
_CLOSE = r"[)\]}*_\"'`$”.:]"
_END = r"(?![\w'’]|-\w)"
_JOIN = r"\s*(?:,\s*and|,\s*or|and|or|,|/|&)\s*"
_ANSWER = r"(?i:\b(?:answer|option|choice|response|letter)s?\b)"
_COPULA = r"(?i:is|are|was|be|=|:)(?:\s*[*_]+)?\s*:?"
_FILLER = r"(?i:(?:most likely|likely|probably|clearly|therefore|thus|indeed|also|option|choice|letter|answer)\s+)*"
_CHOOSING = r"(?i:\b(?:is|are|be|select|choose|pick|with|for)\b)"
_DENIAL = re.compile(r"(?i:\b(?:not|cannot|never|incorrect|wrong|isn['’]t|except)\b)")
_DENIED_VERB = re.compile(r"(?i:\b(?:not|cannot|never)\s+)$")
_NUMBER = r"(?<![\w.])[-−+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w]*\d)"


class _Mention(NamedTuple):
    start: int  # word positions, stop exclusive
    stop: int
    option: int


def fold(text: str) -> str:
    """`text` in compatibility form, case folded, apostrophes dropped."""
    return _APOSTROPHE.sub("", unicodedata.normalize("NFKC", text).casefold())


def normalise_words(text: str) -> list[str]:
    """Words of `text` for comparison: folded, with punctuation as space."""
    return _NOT_WORD.sub(" ", fold(text)).split()


def extract_option(completion: str, options: Sequence[str]) -> int | None:
    """Index of the one option that `completion` names by its text; None when it names none, or more than one.

    A mention is the whole option as consecutive words, in any case and punctuation ("- The eye." names "Eye").
    A mention that lies inside a longer option's mention is not counted ("heart" inside "heart valve"), and one that is
    directly denied ("not the heart") is not either.

    Choices: two different options make the completion unparsed, unless "answer is X" (or "answer: X") names exactly
    one; the last such anchor wins. In a completion of more than _SHORT words a mention counts where the completion
    begins with it or a form of "be" leads to it: small models talk about an option that they do not choose. Options
    that are equal after normalisation can never be told apart, hence None.
    """
    words = normalise_words(completion)
    mentions = [m for m in _longest_mentions(words, options) if not _denied(words, m)]
    if len({m.option for m in mentions}) == 1:
        is_named = len(words) <= _SHORT or any(_follows(words, m, _COPULAS) or m.start == 0 for m in mentions)
        return mentions[0].option if is_named else None
    anchored = [m for m in mentions if _follows_answer(words, m)]
    if not anchored:
        return None
    last = {m.option for m in anchored if m.start == anchored[-1].start}
    return last.pop() if len(last) == 1 else None


def extract_choice(completion: str, options: Mapping[str, str]) -> str | None:
    """The letter of the option that `completion` commits to; options: text by capital letter, "A" to "Z".

    A letter is read where it is stated: after "answer is" and the like ("the best option would be **(C)**"), marked
    after a verb of choice ("is (C)", "go with **C**"), or at the start of the first or the last line. The last
    statement wins. Without any, an option that is named by its text counts, as `extract_option` reads it.

    Choices: a statement of two letters ("A or C"), of a letter with another option's text, or of what the answer is
    not, is unparsed. Letters are capital: the "a" of "the answer is a rash" is none, nor is that of "A rash".
    """
    stated = max(_statements(completion, "".join(options)), default=None)
    if stated is None:
        index = extract_option(completion, list(options.values()))
        return None if index is None else list(options)[index]
    _, stop, letter = stated
    rest = completion[stop:].split("\n", 1)[0]
    if re.match(rf"{_CLOSE}*{_JOIN}{_letter(''.join(options))}", rest) or _begins_other(rest, letter, options):
        return None
    return letter


def extract_label(completion: str, labels: Sequence[str] = ("yes", "no", "maybe")) -> str | None:
    """The one of the one-word `labels` that `completion` commits to.

    Read after "answer is" (the last), else as its first word, else where only one of the labels is used at all.
    """
    words = normalise_words(completion)
    anchored = [label for label, place in _used(words, labels) if _follows_answer(words, _Mention(place, place + 1, 0))]
    if anchored:
        return anchored[-1]
    used = [label for label, place in _used(words, labels) if not _denied(words, _Mention(place, place + 1, 0))]
    return used[0] if used and (used[0] == words[0] or len(set(used)) == 1) else None


def extract_number(completion: str) -> float | None:
    """The number that `completion` gives as its answer: the last after "answer is", "=" or \\boxed, else its only one.

    Thousands may be parted by commas; a unit or percent sign behind it is not read.
    """
    stated = re.findall(rf"(?:{_ANSWER}\s*{_COPULA}|=|\\boxed\{{)\s*{_FILLER}[*_$(]*\s*({_NUMBER})", completion)
    found = stated[-1:] or sorted(set(re.findall(_NUMBER, completion)))
    return float(found[0].replace(",", "").replace("−", "-")) if len(found) == 1 else None


def extract_span(completion: str) -> str | None:
    """What stands behind the last "answer is" to the end of its line, else the whole completion if it is one line."""
    stated = re.findall(rf"{_ANSWER}[*_]*\s*{_COPULA}[*_]*\s*([^\n]+)", completion)
    lines = [line for line in completion.splitlines() if line.strip()]
    found = stated[-1] if stated else lines[0] if len(lines) == 1 else ""
    return found.strip("*_\"'`. ") or None


def _statements(completion: str, letters: str) -> Iterator[tuple[int, int, str]]:
    """(start, stop, letter) of every place that states a choice."""
    marked = rf"(?:{_OPEN}+\s?(?P<a>[{letters}])|(?P<b>[{letters}])(?={_CLOSE})){_END}{_CLOSE}*"
    named = rf"{_ANSWER}(?P<between>[^.\n?!]{{0,60}}?)\s*{_COPULA}\s*{_FILLER}{_letter(letters)}"
    chosen = rf"(?:{_CHOOSING}|:)(?:\s*[*_]+)?\s*(?:(?i:option|choice)\s+)?{marked}"
    for found in re.finditer(named, completion):
        if not _DENIAL.search(found["between"]):
            yield found.start("letter"), found.end(), found["letter"]
    for found in re.finditer(chosen, completion):
        if _DENIED_VERB.search(completion, max(0, found.start() - 20), found.start()):
            continue
        yield found.start("a" if found["a"] else "b"), found.end(), found["a"] or found["b"]
    lines = list(re.finditer(r"[^\n]*\S[^\n]*", completion))
    begins = [re.match(rf"[\s>#]*{_letter(letters)}", line[0]) for line in lines]
    for index in {0, len(lines) - 1} if lines else ():
        is_list = index == 0 and len(lines) > 1 and begins[1]  # the options, repeated
        if (found := begins[index]) and not is_list:
            start = lines[index].start()
            yield start + found.start("letter"), start + found.end(), found["letter"]


def _letter(letters: str) -> str:
    """A pattern of one letter, bare or marked. "A" and "I" are words too: no small letters may follow the bare ones."""
    return rf"{_OPEN}*\s?(?P<letter>[{letters}]){_END}(?!(?<=[AI])\s+[a-z]){_CLOSE}*"


def _begins_other(rest: str, letter: str, options: Mapping[str, str]) -> bool:
    """Whether the words behind a letter are the text of an option, and not of that letter's."""
    words = normalise_words(rest)
    begun = {key: len(text) for key, option in options.items()
             if (text := normalise_words(option)) and words[: len(text)] == text}  # fmt: skip
    return bool(begun) and begun.get(letter, 0) < max(begun.values())


def _used(words: Sequence[str], labels: Sequence[str]) -> list[tuple[str, int]]:
    return [(word, place) for place, word in enumerate(words) if word in labels]


def _longest_mentions(words: Sequence[str], options: Sequence[str]) -> list[_Mention]:
    """Mentions of the options in order of place, without those strictly inside a longer mention."""
    found = []
    for index, option in enumerate(options):
        target = normalise_words(option)
        for start in range(len(words) - len(target) + 1 if target else 0):
            if words[start : start + len(target)] == target:
                found.append(_Mention(start, start + len(target), index))

    def inside(a: _Mention, b: _Mention) -> bool:
        return b.start <= a.start and a.stop <= b.stop and b.stop - b.start > a.stop - a.start

    return sorted(m for m in found if not any(inside(m, other) for other in found))


def _denied(words: Sequence[str], mention: _Mention) -> bool:
    before = mention.start - 1
    while before >= 0 and words[before] in _ARTICLES:
        before -= 1
    return before >= 0 and words[before] in _NEGATIONS


def _follows_answer(words: Sequence[str], mention: _Mention) -> bool:
    return _follows(words, mention, frozenset({"answer"}), _AFTER_ANSWER)


def _follows(
    words: Sequence[str], mention: _Mention, leads: frozenset[str], between: frozenset[str] = frozenset()
) -> bool:
    """Whether one of `leads` stands before the mention, with articles and words of `between` in between."""
    before = mention.start - 1
    while before >= 0 and (words[before] in _ARTICLES or words[before] in between):
        before -= 1
    return before >= 0 and words[before] in leads
