"""The interleave keeps its proportions in every prefix, whatever the order of its units, and says what is short."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medray.core.config import UserError
from medray.text.mixture import Unit, cut_blocks, fillable, interleave, split_lengths

PARTS = {"medical": 15, "clinical": 1, "general": 4}


def units(count: int, longest: int = 400, seed: int = 0) -> list[Unit]:
    draw = random.Random(seed)
    sizes = {"medical": count * 15, "clinical": count * 4, "general": count * 6}
    return [
        Unit(f"{name}-{i}", 0, f"source_{i % 3}", name, draw.randint(1, longest))
        for name, size in sizes.items()
        for i in range(size)
    ]


def test_every_prefix_keeps_the_proportions_within_a_document():
    order = interleave(units(200), PARTS, 400_000, 1, rng_seed=3)
    used = dict.fromkeys(PARTS, 0)
    for placed in order:
        used[placed.unit.category] += placed.unit.num_tokens
        total = sum(used.values())
        for name, part in PARTS.items():
            assert abs(used[name] - total * part / 20) <= 2 * 400
    assert 400_000 <= sum(used.values()) < 400_000 + 3 * 400
    assert [used[name] / sum(used.values()) for name in PARTS] == pytest.approx([0.75, 0.05, 0.2], abs=0.002)


def test_order_does_not_depend_on_the_order_of_the_units():
    found = units(20)
    shuffled = random.Random(1).sample(found, len(found))
    assert interleave(found, PARTS, 20_000, 1, 5) == interleave(shuffled, PARTS, 20_000, 1, 5)
    assert interleave(found, PARTS, 20_000, 1, 5) != interleave(found, PARTS, 20_000, 1, 6)


def test_a_smaller_budget_is_a_prefix():
    found = units(50)
    long, short = (interleave(found, PARTS, budget, 1, 5) for budget in (60_000, 20_000))
    assert short[:-3] == long[: len(short) - 3]


def test_filling_uses_the_scarce_category_whole():
    found = units(20)
    budget = fillable(found, PARTS, 1)
    order = interleave(found, PARTS, budget, 1, 5)
    left = {name: sum(u.category == name for u in found) for name in PARTS}
    for placed in order:
        left[placed.unit.category] -= 1
    assert min(left.values()) == 0


def test_no_document_is_used_more_often_than_allowed():
    found = units(2)
    budget = fillable(found, PARTS, 3)
    order = interleave(found, PARTS, budget, 3, 5)
    assert len({(p.unit, p.epoch) for p in order}) == len(order)
    assert {p.epoch for p in order} == {0, 1, 2}
    first = [p.unit.id for p in order if p.unit.category == "medical" and p.epoch == 0]
    again = [p.unit.id for p in order if p.unit.category == "medical" and p.epoch == 1]
    assert set(again) <= set(first) and first != again


def test_pieces_of_a_long_document_do_not_fill_a_small_part():
    found = [Unit(f"d{i}", piece, "s", "medical", 10) for i in range(10) for piece in range(10)]
    order = interleave(found, {"medical": 1}, 100, 1, 0)
    assert len({p.unit.id for p in order}) > 4 and len({(p.unit.id, p.unit.piece) for p in order}) == 10


def test_a_short_category_is_named_with_what_is_missing():
    found = [Unit("a", 0, "hpo", "medical", 1000), Unit("b", 0, "pydoc", "general", 100)]
    with pytest.raises(UserError) as error:
        interleave(found, {"medical": 3, "general": 1}, 1200, 1, 0)
    message = str(error.value)
    assert "general needs 300 tokens, has 100 (pydoc; 1 epochs), is 200 short" in message
    assert "token_budget to at most 400" in message and "\n" not in message
    with pytest.raises(UserError, match=r"clinical needs 1 tokens, has 0 \(no source.*give that category a source"):
        interleave(found, {"medical": 3, "clinical": 1, "general": 1}, 5, 1, 0)
    with pytest.raises(UserError, match=r"2 categories but 1 parts \(3\); add a part for 'general'"):
        interleave(found, {"medical": 3}, 5, 1, 0)


@given(st.integers(1, 5000), st.integers(0, 700))
def test_pieces_add_up(num_tokens, max_tokens):
    pieces = split_lengths(num_tokens, max_tokens)
    assert sum(pieces) == num_tokens and min(pieces) > 0
    assert not max_tokens or max(pieces) <= max_tokens
    assert max(pieces) - min(pieces) <= 1


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(2, 64))
def test_blocks_hold_every_token_once(lengths, block_tokens):
    blocks = list(cut_blocks(lengths, block_tokens))
    assert [b.start for b in blocks] == [i * block_tokens for i in range(len(blocks))]
    assert all(sum(b.lengths) == b.stop - b.start for b in blocks)
    assert all(b.stop - b.start == block_tokens for b in blocks[:-1])
    assert blocks[-1].stop == sum(lengths)
    edges = {b.start + sum(b.lengths[:i]) for b in blocks for i in range(len(b.lengths))}
    assert {sum(lengths[:i]) for i in range(len(lengths))} <= edges
