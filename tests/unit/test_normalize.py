"""Cleaning: one normal form, spans that stay right, filters, the key of equal texts."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medray.text.normalize import CleanRules, clean, duplicate_key, normalize

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
