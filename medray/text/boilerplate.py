"""Boilerplate: what publishers and web sites add to a text, cut out by a few named rules, each counted.

Rules see one line at a time. A text that holds none of a rule's words, in small letters, is not looked at further: most
texts cost a few searches at the speed of memory.
Source: C4 (Raffel et al. 2020, section 2.2: javascript, lorem ipsum; its code, c4_utils.py: policies and cookies);
RefinedWeb (Penedo et al. 2023, appendix G.2, line-wise filters: navigation); NLM's marks and notices of publishers at
the end of PubMed's abstracts. Choices: C4 drops whole pages for lorem ipsum or a curly bracket; here lorem ipsum costs
its line and brackets stay, since papers hold formulas.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

from pydantic import Field

from medray.core.config import Config
from medray.text.spans import Span, Substitution, substituted

RuleName = Literal[
    "abstract_truncated", "click_here", "copyright", "javascript", "lorem_ipsum", "navigation", "site_notice",
    "site_policy",
]  # fmt: skip


class BoilerplateRules(Config):
    """Which rules are applied."""

    rules: tuple[RuleName, ...] = Field(min_length=1)
    max_characters: int = Field(ge=1)
    """A line or passage that is longer stays: a whole paragraph that mentions JavaScript is about it."""


class _Rule(NamedTuple):
    words: tuple[str, ...]
    """One of them stands in every text that the pattern matches, put in small letters; the fewer, the faster."""
    pattern: str


def _line_with(*phrases: str, words: tuple[str, ...] = ()) -> _Rule:
    """A line that holds one of the phrases, with its end."""
    either = "|".join(map(re.escape, phrases))
    return _Rule(words or phrases, rf"(?im)^(?=[^\n]*(?:{either}))[^\n]+\n?")


_START = r"(?:^|(?<=[.!?] ))"
"""Where a sentence begins."""
_YEAR = r"(?:,? ?(?:by|the) )?(?:,? ?authors?(?:\(s\))?,?)? ?(?:19|20)\d\d\b"
_NOTICES = (
    rf"(?:crown )?copyright ?(?:©|\(c\)|&copy;)?{_YEAR}", rf"©{_YEAR}", "crown copyright", r"all rights reserved\b",
    "(?-i:Published by (?:Elsevier|Wiley|Oxford|Springer|BMJ|Blackwell|S\\. Karger))",
    "this article is protected by copyright", r"[(\[]?psycinfo database record[^\n]{0,60}all rights reserved",
)  # fmt: skip

_RULES: dict[RuleName, _Rule] = {
    "abstract_truncated": _Rule(("(abstract truncated",), r" ?\(ABSTRACT TRUNCATED(?: AT \d+ WORDS)? ?\)"),
    "click_here": _Rule(
        ("click here",),
        rf"(?im){_START}(?:- )?[^.!?\n]{{0,300}}\bclick here\b(?:[^.!?\n]|[.!?](?=[^ \n]))*(?:[.!?] ?|$)",
    ),
    "copyright": _Rule(
        ("copyright", "©", "rights reserved", "published by"), rf"(?im){_START}(?:{'|'.join(_NOTICES)})[^\n]*$"
    ),
    "javascript": _line_with("javascript"),
    "lorem_ipsum": _line_with("lorem ipsum"),
    "navigation": _Rule(
        ("sign in", "sign-in", "subscribe", "read more", "items in cart"),
        r"(?im)^(?!(?:[^ \n]* ){10})(?:(?:sign[ -]in|subscribe)\b[^\n]*"
        r"|[^\n]*(?:\bread more(?:\.\.\.|…|\.)?|\bitems in cart\b[^\n]*))$\n?",
    ),
    "site_notice": _line_with(
        "this information is not copyrighted",
        "images and logos on this website which are trademarked/copyrighted",
        "you are leaving an hhs web site",
        words=("copyright", "hhs web site"),
    ),  # fmt: skip
    "site_policy": _line_with(
        "terms of use",
        "privacy policy",
        "cookie policy",
        "uses cookies",
        "use of cookies",
        "use cookies",
        words=("terms of use", "privacy policy", "cookie"),
    ),  # fmt: skip
}
ALL_BOILERPLATE = BoilerplateRules(rules=tuple(_RULES), max_characters=500)
"""Choices: 500 characters hold every notice and warning seen, and few paragraphs."""

_PATTERNS = {name: re.compile(rule.pattern) for name, rule in _RULES.items()}


def without_boilerplate(
    text: str, spans: Sequence[Span], rules: BoilerplateRules
) -> tuple[str, list[Span], Counter[str]]:
    """The text without boilerplate, its spans where they now lie, and how many passages each rule has cut out.

    Blanks and empty lines that are left behind are the caller's to tidy up.
    """
    folded, moved, cut = text.lower(), list(spans), Counter[str]()
    words = {word for word in _words(rules.rules) if word in folded}
    for name in rules.rules if words else ():
        if not words.isdisjoint(_RULES[name].words):
            text, moved, number = _cut(text, moved, _PATTERNS[name], rules.max_characters)
            if number:
                cut[name] += number
    return text, moved, cut


@cache
def _words(names: tuple[RuleName, ...]) -> frozenset[str]:
    return frozenset(word for name in names for word in _RULES[name].words)


def _cut(text: str, spans: list[Span], pattern: re.Pattern[str], max_characters: int) -> tuple[str, list[Span], int]:
    number = sum(len(match.group()) <= max_characters for match in pattern.finditer(text))
    if not number:
        return text, spans, 0
    step: Substitution = (pattern, lambda found: found if len(found) > max_characters else "")
    return *substituted(text, spans, (step,)), number
