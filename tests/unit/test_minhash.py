"""Near-duplicates: hashes of words, signatures and the LSH curve, components and what stays, however it is sharded."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from medray.text.answers import normalise_words
from medray.text.duplicates import candidate_pairs, components, keepers, sorted_range, unique_pairs, verified
from medray.text.minhash import FINEWEB, MinHashRules, band_keys, lsh_probability, signatures
from medray.text.ngrams import Hashes, hash_ngrams, hash_spans, hash_words, jaccard, mix

M = 1 << 64
BASE = 0x9E3779B97F4A7C15
TEXTS = st.lists(st.text(st.one_of(st.sampled_from("ab'’ -_.\nßﬁİΣ́"), st.characters()), max_size=30), max_size=8)


def polynomial(values) -> int:
    return sum(int(value) * pow(BASE, place, M) for place, value in enumerate(values)) % M


def splitmix(value: int) -> int:
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % M
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % M
    return value ^ (value >> 31)


def word_hash(word: str) -> int:
    return splitmix(polynomial(map(ord, word)))


def ngrams_of(*texts: str, size: int = 5) -> Hashes:
    return hash_ngrams(hash_words(texts), size)


def sets(similarity: float, num_pairs: int, size: int = 400, seed: int = 0) -> tuple[Hashes, float]:
    """Pairs (2 i, 2 i + 1) of random sets of `size` n-grams, and their exact Jaccard similarity."""
    shared = round(2 * size * similarity / (1 + similarity))
    rng = np.random.default_rng(seed)
    values = rng.integers(0, M, (num_pairs, 2, size), np.uint64)
    values[:, 1, :shared] = values[:, 0, :shared]
    return Hashes(values.ravel(), np.arange(2 * num_pairs + 1) * size), shared / (2 * size - shared)


# --- words and n-grams


@settings(deadline=None)
@given(TEXTS)
def test_words_are_those_of_normalise_words(texts):
    words = hash_words(texts)
    assert [[int(value) for value in words.of(i)] for i in range(len(texts))] == [
        [word_hash(word) for word in normalise_words(text)] for text in texts
    ]


def test_letters_and_digits_are_those_of_the_regular_expressions():
    text = " ".join(map(chr, range(0x20000)))
    folded = "".join(normalise_words(text))
    assert re.fullmatch(r"[^\W_]+", folded)
    assert len(hash_words([text]).values) == len(normalise_words(text))


def test_hashes_are_the_same_on_every_machine():
    assert hash_words(["Aspirin"]).values.tolist() == [8720523391454181486]
    keys = band_keys(signatures(ngrams_of("a man of 50 years"), FINEWEB), FINEWEB)
    assert keys[0, 0] == 9563699371293295953


def test_chunks_do_not_show(monkeypatch):
    texts = ["one two", "", "three", "... --", "four five six"] * 5
    whole = hash_words(texts)
    monkeypatch.setattr("medray.text.ngrams._CHUNK_CHARACTERS", 7)
    np.testing.assert_equal(hash_words(texts), whole)
    assert hash_words([]).values.size == 0 and hash_words([]).offsets.tolist() == [0]


@settings(deadline=None)
@given(TEXTS, st.integers(1, 4))
def test_ngrams_hold_the_last_one_and_whole_short_texts(texts, size):
    found = ngrams_of(*texts, size=size)
    for i, text in enumerate(texts):
        words = [word_hash(word) for word in normalise_words(text)]
        expected = [words[at : at + size] for at in range(max(len(words) - size + 1, 1))] if words else []
        assert [int(value) for value in found.of(i)] == [polynomial(run) for run in expected]


def test_a_lone_surrogate_is_no_word():
    assert len(hash_words(["a \ud800 b\ud800c"]).values) == 3


def test_spans_of_equal_content_are_equal_wherever_they_lie():
    values = mix(np.arange(1, 200, dtype=np.uint64) % np.uint64(50))
    starts = np.arange(100)
    first, second = hash_spans(values, starts, starts + 7), hash_spans(values, starts + 50, starts + 57)
    assert (first == second).all() and len(set(first.tolist())) == 50


def test_jaccard_is_of_sets():
    assert jaccard(np.array([1, 1, 2]), np.array([2, 3])) == pytest.approx(1 / 3)
    assert jaccard(np.array([]), np.array([])) == 0


# --- signatures


def test_signatures_are_the_least_permuted_keys():
    rules = MinHashRules(ngram=1, bands=1, rows=3, rng_seed=7, min_jaccard=0)
    ngrams = ngrams_of("alpha beta gamma", "", "beta", size=1)
    factors, shifts = np.random.PCG64(7).random_raw((2, 3)).tolist()
    keys = [splitmix(polynomial(map(ord, word))) >> 32 for word in ("alpha", "beta", "gamma")]
    least = [min((a * key + b) % M >> 32 for key in keys) for a, b in zip(factors, shifts, strict=True)]
    only = [(a * keys[1] + b) % M >> 32 for a, b in zip(factors, shifts, strict=True)]
    assert signatures(ngrams, rules).tolist() == [least, [0xFFFFFFFF] * 3, only]


def test_blocks_and_batches_do_not_show(monkeypatch):
    texts = [f"patient {i} has " + "a rather long history " * (i % 7) for i in range(40)] + ["", "short"]
    whole = signatures(ngrams_of(*texts), FINEWEB)
    assert (np.concatenate([signatures(ngrams_of(text), FINEWEB) for text in texts]) == whole).all()
    monkeypatch.setattr("medray.text.minhash._BLOCK_NGRAMS", 16)
    assert (signatures(ngrams_of(*texts), FINEWEB) == whole).all()


@pytest.mark.parametrize("similarity", [0.1, 0.5, 0.8, 0.95])
def test_the_estimate_lies_within_the_binomial_bound(similarity):
    ngrams, exact = sets(similarity, num_pairs=300)
    found = signatures(ngrams, FINEWEB)
    equal = (found[0::2] == found[1::2]).mean(axis=1)
    deviation = np.sqrt(exact * (1 - exact) / 112)
    assert abs(equal.mean() - exact) < 4 * deviation / np.sqrt(300), "unbiased"
    assert equal.std() == pytest.approx(deviation, rel=0.2), "112 permutations count as 112"
    assert (abs(equal - exact) < 4.5 * deviation).all()


@pytest.mark.parametrize("similarity", [0.5, 0.65, 0.75, 0.9])
def test_recall_follows_the_lsh_curve(similarity):
    ngrams, exact = sets(similarity, num_pairs=1000)
    keys = band_keys(signatures(ngrams, FINEWEB), FINEWEB)
    found = (keys[0::2] == keys[1::2]).any(axis=1).mean()
    expected = lsh_probability(exact, FINEWEB)
    assert abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / 1000) + 1e-9


def test_the_curve_has_its_known_values():
    assert lsh_probability(1.0, FINEWEB) == 1 and lsh_probability(0.0, FINEWEB) == 0
    assert lsh_probability(0.75, FINEWEB) == pytest.approx(0.772, abs=5e-4)  # FineWeb, section 3.4: 77.2%
    assert lsh_probability(0.8, FINEWEB) == pytest.approx(0.924, abs=5e-4)  # 92.4%


def test_band_keys_differ_when_one_entry_differs():
    base = np.arange(112, dtype=np.uint32)[None]
    keys = band_keys(np.concatenate([base, base + (np.arange(112) == 50)]).astype(np.uint32), FINEWEB)
    assert np.flatnonzero(keys[0] != keys[1]).tolist() == [50 // 8]
    assert len(set(keys[0].tolist())) == 14


@pytest.mark.parametrize("field", ["ngram", "bands", "rows"])
def test_rules_refuse_what_has_no_meaning(field):
    with pytest.raises(ValidationError):
        MinHashRules(**{**FINEWEB.model_dump(), field: 0})


# --- pairs, components, what stays


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40), st.randoms())
def test_components_are_those_of_a_plain_search_in_any_order(edges, random):
    label = {node: node for edge in edges for node in edge}
    for _ in label:
        for a, b in edges:
            label[a] = label[b] = min(label[a], label[b])
    turned = [edge[:: random.choice((1, -1))] for edge in random.sample(edges, len(edges))]
    documents, found = components(np.array(turned, np.uint64).reshape(-1, 2))
    assert dict(zip(documents.tolist(), found.tolist(), strict=True)) == label


def test_a_long_chain_is_one_component():
    chain = np.random.default_rng(0).permutation(5000).astype(np.uint64)
    documents, found = components(np.column_stack([chain[:-1], chain[1:]]))
    assert len(documents) == 5000 and not found.any()


def test_a_wide_window_pairs_all_that_share_a_key():
    keys, documents = np.array([5, 9, 5, 5], np.uint64), np.array([40, 10, 30, 20], np.uint64)
    assert candidate_pairs(keys, documents).tolist() == [[20, 30], [30, 40]]
    assert candidate_pairs(keys, documents, window=9).tolist() == [[20, 30], [20, 40], [30, 40]]
    assert candidate_pairs(keys[:0], documents[:0]).shape == (0, 2)
    assert candidate_pairs(keys[:2], documents[:2]).shape == (0, 2)


def test_verification_keeps_similar_pairs_only():
    ngrams = {1: np.array([1, 2, 3]), 2: np.array([1, 2, 3, 4]), 3: np.array([1, 9])}
    pairs = np.array([[1, 2], [1, 3]], np.uint64)
    assert verified(pairs, ngrams, 0.75).tolist() == [[1, 2]]
    assert verified(pairs[:0], ngrams, 0.75).shape == (0, 2)


def test_what_stays_is_by_priority_then_date_then_id():
    rows = [
        (1, 1, 1, "2020-01-01", "a"),
        (2, 1, 0, "2021-01-01", "b"),
        (3, 1, 0, None, "c"),
        (4, 4, 0, "2020-05-05", "z"),
        (5, 4, 0, "2020-05-05", "y"),
    ]
    names = ("document", "component", "priority", "date", "id")
    table = pa.table({name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
        found = keepers(table.take(order))
        assert found["document"].to_pylist() == [2, 3, 1, 5, 4]
        assert found["kept"].to_pylist() == [2, 2, 2, 5, 5]
    assert keepers(table.slice(0, 0)).num_rows == 0


def near_duplicates(texts: dict[int, str], num_shards: int, num_ranges: int, order: np.ndarray) -> dict[int, int]:
    """The whole way as shards would go it: every worker its own documents, then band by band and range by range."""
    numbers = np.array(list(texts), np.uint64)[order]
    parts = []
    for shard in np.array_split(numbers, num_shards):
        keys = band_keys(signatures(ngrams_of(*(texts[int(n)] for n in shard)), FINEWEB), FINEWEB)
        parts.append([(keys[order, band], shard[order]) for band, order in enumerate(np.argsort(keys, axis=0).T)])
    pairs = []
    for band in range(FINEWEB.bands):
        for place in range(num_ranges):
            inside = [sorted_range(part[band][0], place, num_ranges) for part in parts]
            columns = zip(
                *([c[some] for c in part[band]] for part, some in zip(parts, inside, strict=True)), strict=True
            )
            pairs.append(candidate_pairs(*map(np.concatenate, columns)))
    documents, found = components(unique_pairs(np.concatenate(pairs)))
    return dict(zip(documents.tolist(), found.tolist(), strict=True))


@pytest.mark.parametrize("num_ranges", [1, 2, 3, 7, 1000])
def test_the_ranges_of_sorted_keys_follow_each_other_from_first_to_last(num_ranges):
    edges = [i * 2**64 // num_ranges + d for i in range(num_ranges + 1) for d in (-1, 0)]
    keys = np.array(sorted(key for key in edges if 0 <= key < 2**64), np.uint64)
    found = [sorted_range(keys, place, num_ranges) for place in range(num_ranges)]
    assert [(some.stop - some.start) for some in found] == [2] * num_ranges
    assert [some.start for some in found] == [0, *(some.stop for some in found[:-1])]
    empty = sorted_range(keys[:0], 0, num_ranges)
    assert empty == slice(0, 0)


def test_shards_ranges_and_order_change_nothing():
    rng = np.random.default_rng(3)
    vocabulary = [f"word{i}" for i in range(500)]
    texts = {}
    for family in range(30):
        words = rng.choice(vocabulary, 120)
        for copy in range(4):
            changed = np.where(rng.random(120) < 0.01 * copy, rng.choice(vocabulary, 120), words)
            texts[1000 * copy + family] = " ".join(changed)
    expected = near_duplicates(texts, 1, 1, np.arange(120))
    assert set(expected.values()) <= set(range(30)) and len(expected) > 100
    for num_shards, num_ranges in ((2, 3), (7, 1), (7, 5)):
        order = rng.permutation(120)
        assert near_duplicates(texts, num_shards, num_ranges, order) == expected
