"""The mixture's arithmetic and the interleave: proportions in every prefix, and what is said of a mix that is short."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medray.core.config import UserError
from medray.text.mixture import (
    Group,
    capacities,
    check_mixture,
    cut,
    fillable,
    interleave,
    num_filling,
    num_pieces,
    shares,
    shuffled,
    stratified,
)
from tests.unit.plain_mixture import split_lengths

ME_LLAMA = {"medical": 15, "clinical": 1, "general": 4}


def test_me_llama_is_129_billion_tokens_to_the_token():
    assert shares(129_000_000_000, ME_LLAMA) == {
        "medical": 96_750_000_000, "clinical": 6_450_000_000, "general": 25_800_000_000,
    }  # fmt: skip
    assert shares(21, ME_LLAMA) == {"medical": 16, "clinical": 2, "general": 5}


def test_every_prefix_keeps_the_proportions_after_ten_million_tokens():
    """40M tokens of documents with lognormal lengths and a few that are very long, in pieces: arrays only."""
    draw = np.random.default_rng(0)
    lengths = {
        "medical": np.append(draw.lognormal(6.5, 1.2, 60_000), [3e6, 1e6, 5e5]),
        "clinical": draw.lognormal(7.5, 0.8, 4_000),
        "general": np.append(draw.lognormal(6, 2, 15_000), [2e6]),
    }
    budget, pieces = 40_000_000, {}
    for name, values in lengths.items():
        units = cut(values.astype(np.int64) + 1, 4096)
        assert units.num_tokens.max() <= 4096 and units.num_tokens.sum() == (values.astype(np.int64) + 1).sum()
        order = draw.permutation(len(units.num_tokens))
        pieces[name] = units.num_tokens[order][: num_filling(units.num_tokens[order], shares(budget, ME_LLAMA)[name])]
    names = sorted(pieces)
    category = np.repeat(np.arange(3), [len(pieces[name]) for name in names])
    tokens = np.concatenate([pieces[name] for name in names]).astype(np.int64)
    order = interleave(pieces, ME_LLAMA)
    assert sorted(order) == list(range(len(tokens)))
    total = np.cumsum(tokens[order])
    assert budget <= total[-1] < budget + 3 * 4096
    for code, name in enumerate(names):
        found = np.cumsum(np.where(category[order] == code, tokens[order], 0))
        off = np.abs(found / total - ME_LLAMA[name] / 20)
        assert off[total >= 10_000_000].max() < 0.0005  # the aim is 0.005
        assert np.abs(found - total * ME_LLAMA[name] / 20).max() <= 2 * 4096


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=40), st.sampled_from([0, 1, 7, 700]))
def test_pieces_are_those_of_a_plain_loop(num_tokens, max_tokens):
    units = cut(np.array(num_tokens, np.int32), max_tokens)
    plain = [split_lengths(length, max_tokens) for length in num_tokens]
    assert units.num_tokens.tolist() == [piece for pieces in plain for piece in pieces]
    assert units.document.tolist() == [i for i, pieces in enumerate(plain) for _ in pieces]
    assert units.piece.tolist() == [number for pieces in plain for number in range(len(pieces))]
    assert num_pieces(np.array(num_tokens), max_tokens).tolist() == list(map(len, plain))
    assert not max_tokens or units.num_tokens.max() <= max_tokens


def test_the_interleave_is_exact_where_floats_are_not():
    """After the first two of each the lags are 21 huge + 7 and 21 huge + 6, the same number as floats: b lags more."""
    huge = (1 << 52) + 1
    assert float(21 * huge + 7) == float(21 * huge + 6)
    lengths = {"a": np.array([3 * huge, 1, 1]), "b": np.array([7 * huge, 2, 1])}
    assert interleave(lengths, {"a": 3, "b": 7}).tolist() == [0, 3, 1, 4, 5, 2]
    assert interleave({"a": np.array([5, 5]), "b": np.array([5, 5])}, {"b": 1, "a": 1}).tolist() == [0, 2, 1, 3]


def test_equal_keys_go_by_name():
    keys = np.array([7, 3, 7, 1, 3, 7], np.uint64)
    names = "f e d c b a".split()
    assert shuffled(keys, names.__getitem__).tolist() == [3, 4, 1, 5, 2, 0]
    with pytest.raises(AssertionError, match="two units of one name"):
        shuffled(keys, lambda index: "same")


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 500)), min_size=3, max_size=300), st.integers(0, 9))
def test_strata_stand_in_every_prefix_in_proportion(units, seed):
    strata, tokens = (np.array(column) for column in zip(*units, strict=True))
    order = np.random.default_rng(seed).permutation(len(units))
    found = stratified(order, strata, tokens)
    assert sorted(found) == list(range(len(units)))
    total = np.cumsum(tokens[found])
    for code in set(strata.tolist()):
        mine = found[strata[found] == code]
        assert mine.tolist() == order[strata[order] == code].tolist(), "within a stratum the order stays"
        share = tokens[strata == code].sum() / total[-1]
        held = np.cumsum(np.where(strata[found] == code, tokens[found], 0))
        assert np.abs(held - total * share).max() <= 2 * 500


GROUPS = [Group("hpo", "medical", 1000, 1), Group("pydoc", "general", 100, 1)]


def test_what_can_be_filled_counts_each_source_as_often_as_it_may_be_used():
    groups = [*GROUPS, Group("books", "general", 50, 4)]
    assert capacities(groups, {"medical": 3, "general": 1}) == {"medical": 1000, "general": 300}
    assert fillable(groups, {"medical": 3, "general": 1}) == 1200
    check_mixture(groups, {"medical": 3, "general": 1}, 1200)
    with pytest.raises(UserError, match=r"has 300 \(books in 4 epochs, pydoc in 1 epochs\), is 1 short.*most 1,200"):
        check_mixture(groups, {"medical": 3, "general": 1}, 1204)


def test_a_short_category_is_named_with_what_is_missing_and_what_could_be_filled():
    with pytest.raises(UserError) as error:
        check_mixture(GROUPS, {"medical": 3, "general": 1}, 1200)
    message = str(error.value)
    assert "general needs 300 tokens, has 100 (pydoc; 1 epochs), is 200 short" in message
    assert "token_budget to at most 400 (what general can fill)" in message and "\n" not in message
    with pytest.raises(UserError, match=r"clinical needs 1 tokens, has 0 \(no source.*give that category a source"):
        check_mixture(GROUPS, {"medical": 3, "clinical": 1, "general": 1}, 5)
    with pytest.raises(UserError, match=r"2 categories but 1 parts \(3\); add a part for 'general'"):
        check_mixture(GROUPS, {"medical": 3}, 5)


def test_parts_too_fine_to_be_exact_are_refused():
    groups = [Group("a", "medical", 1 << 50, 1), Group("b", "general", 1 << 50, 1)]
    with pytest.raises(UserError, match="corpus.proportions: parts 99991:99989 .* round them to smaller integers"):
        check_mixture(groups, {"medical": 99991, "general": 99989}, 1 << 40)
