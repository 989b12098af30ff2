"""Gopher's rules: words as spaCy splits them, and the same decisions as datatrove's filters written out plainly."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medray.text import gopher, words
from medray.text.gopher import GOPHER, STOP_WORDS, GopherRules, gopher_reasons
from medray.text.ngrams import SpanHashes
from medray.text.words import split_words, word_hash

OFF = GopherRules(**{name: () if "ngram" in name else None for name in GopherRules.model_fields})
PROSE = (
    "The patient came to the clinic with a cough and some pain in her chest, so the doctor took a history and "
    "listened to both of the lungs before he ordered an X-ray; that picture showed an old scar of no importance, "
    "and they agreed to have another look at it within half a year."
)
PIECES = st.sampled_from(
    ["a", "the", "of", "kidney", "renal cyst", "…", "...", "#", "•", "-", "12.5", "(a)", "\n", "\n\n", " \n ", "\n\n\n",
     "- item", "x, y", "don't", "and that", "one two three four five six seven eight nine ten", "Σß", "10%"]
)  # fmt: skip
TEXTS = st.lists(st.lists(PIECES, max_size=60).map(" ".join), max_size=6)
FRACTIONS = st.one_of(st.none(), st.floats(0.001, 0.9))


def word_list(text: str) -> list[str]:
    characters = np.frombuffer(f"\n{text}\n".encode("utf-32-le"), "<u4")
    starts, stops = words._spans(characters, words._kinds()[characters], SpanHashes(characters))
    return [text[start - 1 : stop - 1] for start, stop in zip(starts, stops, strict=True)]


def plain_reason(text: str, rules: GopherRules) -> str:
    """datatrove 0.10.1's GopherRepetitionFilter, then its GopherQualityFilter, over our words."""
    return _plain_repetition(text, rules) or _plain_quality(text, rules)


def _plain_repetition(text: str, rules: GopherRules) -> str:
    for name, pieces, most, most_characters in (
        ("paragraph", re.split(r"\n{2,}", text.strip()), rules.max_duplicate_paragraph_fraction,
         rules.max_duplicate_paragraph_character_fraction),
        ("line", re.split(r"\n+", text), rules.max_duplicate_line_fraction,
         rules.max_duplicate_line_character_fraction),
    ):  # fmt: skip
        again = [piece for place, piece in enumerate(pieces) if piece in pieces[:place]]
        if most is not None and len(again) / len(pieces) > most:
            return f"duplicate_{name}s"
        if most_characters is not None and sum(map(len, again)) / max(len(text), 1) > most_characters:
            return f"duplicate_{name}_characters"
    found = word_list(text)
    top, duplicate = dict(rules.max_top_ngram_fraction), dict(rules.max_duplicate_ngram_fraction)
    for size in sorted({*top, *duplicate}):  # Gopher's top n-grams are all shorter than its duplicate ones
        ngrams = [tuple(found[i : i + size]) for i in range(len(found) - size + 1)]
        if size in top and ngrams:
            ngram, count = Counter(map(" ".join, ngrams)).most_common(1)[0]
            if len(ngram) * count / len(text) > top[size]:
                return f"top_{size}_gram"
        seen, repeated, place = set(), 0, 0
        while place < len(ngrams):
            again = ngrams[place] in seen
            repeated += len("".join(ngrams[place])) if again else 0
            seen.add(ngrams[place])
            place += size if again else 1
        if size in duplicate and repeated / max(len(text), 1) > duplicate[size]:
            return f"duplicate_{size}_grams"
    return ""


def _plain_quality(text: str, rules: GopherRules) -> str:
    found, lines = word_list(text), text.splitlines()
    symbols = {chr(i) for i in np.flatnonzero(words._kinds() & words.SYMBOL)}
    real = [word for word in found if not set(word) <= symbols]
    num, length = max(len(found), 1), sum(map(len, real)) / max(len(real), 1)
    bullets = sum(line.lstrip().startswith(("•", "-")) for line in lines) / max(len(lines), 1)
    ends = sum(line.rstrip().endswith(("...", "…")) for line in lines) / max(len(lines), 1)
    lettered = sum(any(map(str.isalpha, word)) for word in found) / num
    checks = (
        ("few_words", len(real), rules.min_words, -1), ("many_words", len(real), rules.max_words, 1),
        ("short_words", length, rules.min_mean_word_length, -1), ("long_words", length, rules.max_mean_word_length, 1),
        ("hashes", text.count("#") / num, rules.max_symbols_per_word, 1),
        ("ellipses", (text.count("...") + text.count("…")) / num, rules.max_symbols_per_word, 1),
        ("bullet_lines", bullets, rules.max_bullet_line_fraction, 1),
        ("ellipsis_lines", ends, rules.max_ellipsis_line_fraction, 1),
        ("unalphabetic_words", lettered, rules.min_alphabetic_word_fraction, -1),
        ("stop_words", len(set(found) & set(STOP_WORDS)), rules.min_stop_words, -1),
    )  # fmt: skip
    return next((name for name, value, limit, sign in checks if limit is not None and sign * (value - limit) > 0), "")


@st.composite
def some_rules(draw) -> GopherRules:
    fields = {name: draw(FRACTIONS) for name in GopherRules.model_fields if "fraction" in name and "ngram" not in name}
    for name in ("min_words", "max_words", "min_stop_words"):
        fields[name] = draw(st.one_of(st.none(), st.integers(0, 8)))
    lengths = st.one_of(st.none(), st.floats(0, 6))
    fields |= {name: draw(lengths) for name in ("min_mean_word_length", "max_mean_word_length", "max_symbols_per_word")}
    for name, sizes in (("max_top_ngram_fraction", (2, 3, 4)), ("max_duplicate_ngram_fraction", (2, 3, 5, 10))):
        fields[name] = tuple((size, draw(st.floats(0.01, 0.9))) for size in sizes if draw(st.booleans()))
    return GopherRules(**fields)


@settings(deadline=None, max_examples=150)
@given(TEXTS, some_rules())
def test_decisions_are_those_of_the_filters_written_out(texts, rules):
    assert gopher_reasons(texts, rules) == [plain_reason(text, rules) for text in texts]


def test_long_texts_with_many_repetitions_in_one_batch():
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(PROSE.split(), size)) + "." for size in (20, 400, 3000, 60, 800) for _ in range(6)]
    texts += [PROSE + " " + text[:200] + " " + PROSE[: 40 * i] for i, text in enumerate(texts[:8])]
    found = gopher_reasons(texts, GOPHER)
    assert found == [plain_reason(text, GOPHER) for text in texts]
    assert len(set(found)) > 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [  # what spaCy 3.8's blank English tokenizer makes of them
        ("The patient's X-ray (7.5 mg/dL), and/or 10%.", "The|patient|'s|X|-|ray|(|7.5|mg|/|dL|)|,|and/or|10|%|."),
        ("They don't. We're 50,000 U.S. men!", "They|do|n't|.|We|'re|50,000|U.S.|men|!"),
        ("e.g. low-grade 22q11.2 HTLV-1 gene(s)", "e.g.|low|-|grade|22q11.2|HTLV-1|gene(s|)"),
        ('"Wait..." he said: end.Start', '"|Wait|...|"|he|said|:|end|.|Start'),
        ("CD4+ alpha-1 L. 140/90 a,b", "CD4|+|alpha-1|L.|140/90|a|,|b"),
    ],
)
def test_words_are_those_of_spacy(text, expected):
    assert "|".join(word_list(text)) == expected


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), max_size=5))
def test_words_cover_what_is_not_blank_and_do_not_depend_on_the_batch(texts):
    found = split_words(texts)
    for number, text in enumerate(texts):
        mine = slice(*found.offsets[number : number + 2])
        assert "".join(word_list(text)) == "".join(text.split())
        assert np.array_equal(found.values[mine], split_words([text]).values)
        assert [word_hash(word) for word in word_list(text)] == found.values[mine].tolist()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PROSE, ""),
        (PROSE[:200], "few_words"),
        ("\n".join([PROSE] + ["the same"] * 9), "duplicate_lines"),
        (PROSE + "\n\n" + PROSE, "duplicate_paragraphs"),
        (PROSE + "\n" + PROSE, "duplicate_lines"),
        (PROSE + " " + PROSE, "duplicate_5_grams"),
        (PROSE + " very very very very very very very very very very very very very very very very", "top_2_gram"),
        (PROSE.replace(" ", "\n- ").replace("The", "- The"), "bullet_lines"),
        (PROSE.replace(" ", " # ", 20), "hashes"),
        (PROSE + " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "unalphabetic_words"),
        (re.sub(r"\b(the|to|of|and|that|have|with)\b", "zu", PROSE), "stop_words"),
    ],
)
def test_each_reason(text, reason):
    assert gopher_reasons([text], GOPHER) == [reason]
    assert gopher_reasons([text], OFF) == [""]


def test_keys_that_differ_in_their_low_bits_are_told_apart():
    keys = np.array([5 << 32, (5 << 32) + 1, 7, 5 << 32, 7, (5 << 32) + 1], np.uint64)
    places, group, counts, first = gopher._grouped(np.arange(6), keys)
    assert places.tolist() == [0, 1, 2, 3, 4, 5]
    assert sorted(zip(counts.tolist(), first.tolist(), strict=True)) == [(2, 0), (2, 1), (2, 2)]
    assert [int(first[g]) for g in group] == [0, 1, 2, 0, 2, 1]
