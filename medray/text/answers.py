"""Reads the answer out of a completion: which option, or which letter, it commits to.

Everything here works on whole words of normalised text, so `unknown` never reads as `no` and `eyebrow` never as `eye`.
What cannot be read is None (unparsed): it is never turned into a class or a vote.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

_NOT_WORD = re.compile(r"[^\w]+|_+")
_APOSTROPHE = re.compile(r"['’`´]")
_ARTICLES = frozenset({"the", "a", "an", "likely", "necessarily", "option"})
_NEGATIONS = frozenset({"not", "isnt", "wasnt", "never", "neither", "nor", "cannot"})
_AFTER_ANSWER = frozenset({"is", "was", "be", "would", "should", "must", "will", "therefore", "thus"})
_CHOICE_ANCHOR = r"(?i:answer|option|choice)\s*(?i:is|:|would be|should be)?\s*:?\s*(?:\\boxed\{|[(\[*\"']{1,3})?"


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
    one; the last such anchor wins. Options that are equal after normalisation can never be told apart, hence None.
    """
    words = normalise_words(completion)
    mentions = [m for m in _longest_mentions(words, options) if not _denied(words, m)]
    if len({m.option for m in mentions}) == 1:
        return mentions[0].option
    anchored = [m for m in mentions if _follows_answer(words, m)]
    if not anchored:
        return None
    last = {m.option for m in anchored if m.start == anchored[-1].start}
    return last.pop() if len(last) == 1 else None


def extract_choice(completion: str, letters: str = "ABCD") -> str | None:
    """The option letter that `completion` commits to, or None.

    Read from "answer is C", "Answer: (C)", "option C" (the last one wins), or else from a completion that starts with
    the letter itself ("C", "C.", "(C) text"). Letters are upper case: the "a" of "the answer is a rash" is no choice.
    """
    group = f"([{re.escape(letters)}])"
    anchored = re.findall(rf"\b{_CHOICE_ANCHOR}{group}(?![\w'’])", completion)
    if anchored:
        return anchored[-1]
    start = re.match(rf"\s*(?:{group}\s*(?:$|[.:)\],\n])|[(\[*]{{1,2}}{group}[)\]*])", completion)
    return (start.group(1) or start.group(2)) if start else None


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
    before = mention.start - 1
    while before >= 0 and (words[before] in _ARTICLES or words[before] in _AFTER_ANSWER):
        before -= 1
    return before >= 0 and words[before] == "answer"
