"""Words and marks of many texts at numpy's speed, split nearly as spaCy's English tokenizer splits them.

A blank ends a word; brackets, quotes, commas and stops at its ends stand alone, as do hyphens between letters and the
ends of contractions (do|n't, patient|'s). What is inside otherwise stays: 7.5, 22q11.2, and/or.

Source: spaCy 3.8, `lang/punctuation.py` and the affixes of `lang/char_classes.py`. Choices: of its exceptions only the
contractions and _ABBREVIATIONS.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from medray.text.ngrams import SpanHashes, hash_spans, mix

# bits of a character's class
BLANK, LETTER, UPPER, LOWER, DIGIT, LEADING, TRAILING, SYMBOL = (1 << bit for bit in range(8))

_PUNCTUATION = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"
_CURRENCY = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿"
_LEADING = _PUNCTUATION + _QUOTES + _CURRENCY + "§%=—–"
_TRAILING = _PUNCTUATION + _QUOTES + "—–%"
_HYPHENS = "-–—~"
_SYMBOLS = (
    "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
    "᪩⁈𑩂꩞𑅃﹗𑂾᭽𑇆꡶꘎⁉࠾᪨𑊩𑱂᱿𖩮᥅﹒𑈸።܂؞꛳𐩖࠽᪪։॥৷।።။៕។᠃᠉⸮‼‽؟۔܀܁܂"
)  # fmt: skip
"""What datatrove 0.10.1 holds to be no part of a word (`utils.text.PUNCTUATION_SET`, with all control characters)."""
_NEGATED = ("'t", "’t")
_ENDINGS = ("'s", "’s", "'S", "’S", "'re", "’re", "'ll", "’ll", "'ve", "’ve", "'m", "’m", "'d", "’d")
_WHOLE = (*_ENDINGS, "and/or")
_ABBREVIATIONS = (
    "e.g.", "i.e.", "E.g.", "I.e.", "vs.", "v.s.", "Dr.", "Mr.", "Mrs.", "Ms.", "St.", "Jr.", "Inc.", "Ltd.", "Co.",
    "co.", "Corp.", "Prof.", "Md.", "a.m.", "p.m.", "Ph.D.", "Gen.", "Mt.", "Bros.", "Adm.", "Gov.", "Rep.", "Sen.",
    "Rev.", "Jan.", "Feb.", "Mar.", "Apr.", "Jun.", "Jul.", "Aug.", "Sep.", "Sept.", "Oct.", "Nov.", "Dec.",
)  # fmt: skip


class Words(NamedTuple):
    """W words of D texts end to end: those of text d are offsets[d] to offsets[d + 1]."""

    values: np.ndarray
    """uint64 hash of each word."""
    lengths: np.ndarray
    """Characters of each word."""
    has_letter: np.ndarray
    """bool: whether any character is a letter."""
    is_mark: np.ndarray
    """bool: whether it is made of _SYMBOLS alone."""
    offsets: np.ndarray


def split_words(texts: Sequence[str]) -> Words:
    """The words of the texts, in order. Memory: about 60 bytes a character."""
    characters = np.frombuffer("\n".join(["", *texts, ""]).encode("utf-32-le", "surrogatepass"), "<u4")
    kinds = _kinds()[characters]
    hashes = SpanHashes(characters)
    starts, stops = _spans(characters, kinds, hashes)
    lengths = stops - starts
    letters, symbols = (np.cumsum((kinds & bit) > 0, dtype=np.int32) for bit in (LETTER, SYMBOL))
    ends = 1 + np.cumsum([0, *(len(text) + 1 for text in texts)])
    return Words(
        mix(hashes.of(starts, stops)),
        lengths,
        letters[stops - 1] > letters[starts - 1],
        symbols[stops - 1] - symbols[starts - 1] == lengths,
        np.searchsorted(starts, ends),
    )


def _spans(characters: np.ndarray, kinds: np.ndarray, hashes: SpanHashes) -> tuple[np.ndarray, np.ndarray]:
    """Where the words begin and end. The first and the last character are blanks.

    All that is not a blank, a letter or a digit is a mark: they are few, and only beside them words are cut.
    """
    solid = (kinds & BLANK) == 0
    edges = np.flatnonzero(solid[1:] != solid[:-1]) + 1
    starts, stops = edges[::2], edges[1::2]
    marks = np.flatnonzero((kinds & (BLANK | LETTER | DIGIT)) == 0)
    run = np.searchsorted(starts, marks, "right") - 1  # of solid characters, which each mark is in
    dots = characters[marks] == ord(".")
    beside = np.append(False, dots[1:] & dots[:-1] & (np.diff(marks) == 1))  # a dot behind a dot
    first, last = _bodies(characters, kinds, starts, stops, marks, dots, beside)
    kept = np.flatnonzero(dots & (marks == last[run]))
    kept = kept[np.isin(hashes.of(first[run[kept]], marks[kept] + 1), _hashes(_ABBREVIATIONS))]
    last[run[kept]] += 1
    opens = np.zeros(len(characters) + 1, bool)
    """Where a word begins, or what follows one."""
    opens[edges] = True
    whole = np.isin(hashes.of(starts[run], stops[run]), _hashes(_WHOLE))
    affixes = ~whole & ((marks < first[run]) | (marks >= last[run]))
    opens[marks[affixes & ~beside]] = True
    opens[marks[affixes & ~np.append(beside[1:], False)[: len(marks)]] + 1] = True
    inside = marks[~affixes & ~whole]
    cuts = inside[_stands_alone(characters[inside], kinds[inside - 1], kinds[inside + 1])]
    opens[cuts] = opens[cuts + 1] = True
    quotes = ~whole & (np.isin(characters[marks], _points("'’")))
    opens[_endings(characters, hashes, marks[quotes], first[run[quotes]], last[run[quotes]])] = True
    bounds = np.flatnonzero(opens)
    begins = np.flatnonzero(solid[bounds[:-1]])
    return bounds[begins], bounds[begins + 1]


def _bodies(
    characters: np.ndarray, kinds: np.ndarray, starts: np.ndarray, stops: np.ndarray, marks: np.ndarray,
    dots: np.ndarray, beside: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Where what is left of each run of solid characters begins and ends when leading and trailing marks are off it."""
    ellipsis = beside | np.append(beside[1:], False)[: len(marks)]
    before = kinds[marks - 1]
    ends_word = (before & (LOWER | DIGIT | TRAILING) > 0) | (before & kinds[np.maximum(marks - 2, 0)] & UPPER > 0)
    ends_plus = (characters[marks] == ord("+")) & (before & DIGIT > 0)
    leading = marks[(kinds[marks] & LEADING > 0) | ellipsis]
    trailing = marks[(kinds[marks] & TRAILING > 0) | ellipsis | (dots & ends_word) | ends_plus]
    first, last = starts.copy(), stops.copy()
    ends = np.flatnonzero(np.diff(leading, append=-1) != 1)
    led = np.isin(starts, leading, assume_unique=True)
    places = np.searchsorted(leading, starts[led])
    first[led] = leading[ends[np.searchsorted(ends, places)]] + 1
    begins = np.flatnonzero(np.diff(trailing, prepend=-1) != 1)
    trailed = np.isin(stops - 1, trailing, assume_unique=True)
    places = np.searchsorted(trailing, stops[trailed] - 1)
    last[trailed] = trailing[begins[np.searchsorted(begins, places, "right") - 1]]
    first = np.minimum(first, stops)
    return first, np.maximum(last, first)


def _stands_alone(marks: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Whether a mark inside a word cuts it, by the kinds of characters beside it."""
    wordy, letter = before & (LETTER | DIGIT) > 0, after & LETTER > 0
    found = (before & LETTER > 0) & letter & (marks == ord(","))
    found |= wordy & letter & np.isin(marks, _points(":<>=/" + _HYPHENS))
    found |= (before & LOWER > 0) & (after & UPPER > 0) & (marks == ord("."))
    return found | (before & after & DIGIT > 0) & np.isin(marks, _points("+-*^"))


def _endings(
    characters: np.ndarray, hashes: SpanHashes, quotes: np.ndarray, first: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """Where contractions are cut: before the quote, or before the n of n't."""
    inside = np.flatnonzero((quotes > first) & (last - quotes >= 2) & (last - quotes <= 3))
    found = hashes.of(quotes[inside], last[inside])
    negated = inside[np.isin(found, _hashes(_NEGATED)) & (characters[quotes[inside] - 1] == ord("n"))]
    return np.concatenate([quotes[inside[np.isin(found, _hashes(_ENDINGS))]], quotes[negated] - 1])


def word_hash(word: str) -> np.uint64:
    """The hash that `split_words` gives to a word."""
    return mix(_hashes((word,)))[0]


@lru_cache(maxsize=32)
def _hashes(words: tuple[str, ...]) -> np.ndarray:
    points = [_points(word) for word in words]
    return np.array([hash_spans(word, np.array([0]), np.array([len(word)]))[0] for word in points])


def _points(characters: str) -> np.ndarray:
    return np.frombuffer(characters.encode("utf-32-le"), "<u4")


@lru_cache(maxsize=1)
def _kinds() -> np.ndarray:
    """The class of each code point (uint8, 1.1 MB)."""
    every = np.arange(0x110000, dtype="<u4").view("<U1")
    found = np.zeros(0x110000, np.uint8)
    for bit, test in ((BLANK, "isspace"), (LETTER, "isalpha"), (UPPER, "isupper"), (LOWER, "islower")):
        found[getattr(np.strings, test)(every)] |= bit
    found[np.strings.isdigit(every)] |= DIGIT
    for bit, characters in ((LEADING, _LEADING), (TRAILING, _TRAILING), (SYMBOL, _SYMBOLS)):
        found[_points(characters)] |= bit
    found[[*range(10), *range(11, 32), *range(127, 160)]] |= SYMBOL
    return found
