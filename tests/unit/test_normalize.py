"""Cleaning: one normal form, spans that stay right, filters, the key of equal texts."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medray.text import normalize as module
from medray.text.gopher import GOPHER
from medray.text.normalize import CleanRules, clean, duplicate_key, normalize, rejected
from medray.text.spans import substituted

RULES = CleanRules(
    min_words=3, max_words=100, max_symbol_fraction=0.3, max_repeated_line_fraction=0.3, max_repeated_ngram_fraction=0.3
)
_TRICKY = "ae \t\n\r\x00\x85\u200b\u0301\u0323\u00e9\u212b\u2028\u3000\ufeff\u1100\u1161"
CHARACTERS = st.one_of(
    st.sampled_from(_TRICKY),
    st.characters(codec="utf-8"),
)
TEXTS = st.text(CHARACTERS, max_size=60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cafe\u0301", "caf\u00e9"),
        ("e\u200b\u0301", "\u00e9"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a  b\t c \n d", "a b c\n d"),
        ("a\n\n\n \n\nb", "a\n\nb"),
        (" \n a\ufeff\x07b\u00ad ", "ab"),
        ("def f():\n    return 1", "def f():\n    return 1"),
        ("5\u00a0mg", "5 mg"),
    ],
)
def test_normal_form(text, expected):
    assert normalize(text)[0] == expected


@given(TEXTS)
def test_normalising_again_changes_nothing(text):
    once = normalize(text)[0]
    assert normalize(once)[0] == once
    assert unicodedata.is_normalized("NFC", once)


@given(TEXTS, st.integers(0, 60), st.integers(0, 60))
def test_spans_do_not_change_the_text_and_stay_inside(text, a, b):
    start, stop = sorted((min(a, len(text)), min(b, len(text))))
    new, [(new_start, new_stop)] = normalize(text, [(start, stop)])
    assert new == normalize(text)[0]
    assert 0 <= new_start <= new_stop <= len(new)


@given(TEXTS, st.integers(0, 60), st.integers(0, 60))
def test_the_fast_way_to_the_normal_form_is_that_of_the_steps(text, a, b):
    start, stop = sorted((min(a, len(text)), min(b, len(text))))
    assert normalize(text, [(start, stop)]) == substituted(text, [(start, stop)], module._STEPS)


def plainly_rejected(text: str, rules: CleanRules) -> str:
    words = text.split()
    if not rules.min_words <= len(words) <= rules.max_words:
        return "too_short" if len(words) < rules.min_words else "too_long"
    solid = [character for character in text if not character.isspace()]
    if sum(not character.isalnum() for character in solid) > rules.max_symbol_fraction * len(solid):
        return "symbols"
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    repeated = sum(len(line) * (count - 1) for line, count in Counter(lines).items())
    if repeated > rules.max_repeated_line_fraction * sum(map(len, lines)):
        return "repeated_lines"
    ngrams = [tuple(words[i : i + 5]) for i in range(len(words) - 4)]
    if len(ngrams) - len(set(ngrams)) > rules.max_repeated_ngram_fraction * len(ngrams):
        return "repeated_ngrams"
    return ""


PIECES = st.sampled_from(["a", "b c", "#", "½", "²", "\n", "\n\n", "é", "，", "\u3000", "a b c d e f", "(x)", "١"])
LIMITS = st.sampled_from([0, 0.1, 0.25, 0.5, 1])


@given(st.lists(PIECES, max_size=40).map(" ".join), st.integers(1, 9), LIMITS, LIMITS, LIMITS)
def test_shape_is_judged_as_written_out_plainly(text, min_words, symbols, lines, ngrams):
    rules = CleanRules(
        min_words=min_words, max_words=60, max_symbol_fraction=symbols, max_repeated_line_fraction=lines,
        max_repeated_ngram_fraction=ngrams,
    )  # fmt: skip
    assert rejected(text, rules) == plainly_rejected(text, rules)


def test_gophers_rules_see_the_normal_form_or_the_text_as_read():
    lines = [f"Sentence number {i} of the text that they have with the others to be read." for i in range(9)]
    text = "\n \n".join(line for one in lines for line in (one, ""))
    rules = RULES.model_copy(update={"max_words": 1000, "max_repeated_ngram_fraction": 1, "gopher": GOPHER.model_copy(
        update={"max_top_ngram_fraction": (), "max_duplicate_ngram_fraction": ()})})  # fmt: skip
    as_read = rules.model_copy(update={"gopher_on": "as_read"})
    assert clean([text], [()], rules)[2] == [""]
    assert clean([text], [()], as_read)[2] == ["duplicate_lines"]
    assert clean([text, "too short"], [(), ()], as_read)[2] == ["duplicate_lines", "too_short"]


@given(TEXTS, TEXTS, TEXTS)
def test_a_span_between_words_holds_its_own_normal_form(before, inside, after):
    def word(text):  # something solid at both ends, so that blanks and accents cannot move over the edge
        return f"x{text}x"

    text = f"{word(before)} {word(inside)} {word(after)}"
    start = len(word(before)) + 1
    new, [(a, b)] = normalize(text, [(start, start + len(word(inside)))])
    assert new[a:b] == normalize(word(inside))[0]


def test_many_spans_of_a_messy_text():
    text = "Term:\u00a0 Ane\u0301mia \r\n\r\n\r\nDefinition:\t low\u200b  haemoglobin. "
    spans = [(text.index("Ane"), text.index(" \r")), (text.index("low"), len(text) - 1)]
    new, moved = normalize(text, spans)
    assert [new[a:b] for a, b in moved] == ["An\u00e9mia", "low haemoglobin."]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("one two", "too_short"),
        ("word " * 101, "too_long"),
        ("a b c ### ### ### ###", "symbols"),
        ("the same line\nthe same line\nthe same line\nother words", "repeated_lines"),
        ("one two three four five six " * 4, "repeated_ngrams"),
        ("A sentence that is quite all right.", ""),
    ],
)
def test_reasons(text, reason):
    assert clean([text], [()], RULES)[2] == [reason]


def test_key_ignores_case_and_blanks_but_not_punctuation():
    assert duplicate_key("Low  Sodium\n(mild)") == duplicate_key("low sodium (mild)")
    assert duplicate_key("potassium < 5") != duplicate_key("potassium > 5")
