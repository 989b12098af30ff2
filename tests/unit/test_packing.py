import pytest
from hypothesis import given
from hypothesis import strategies as st

from medray.text.packing import best_fit, concatenate, padding_fraction, whole_pieces


@given(st.lists(st.integers(1, 64), max_size=200))
def test_every_sequence_stands_once_and_no_block_overflows(lengths):
    blocks = best_fit(lengths, 64)
    assert sorted(i for block in blocks for i in block) == list(range(len(lengths)))
    assert all(0 < sum(lengths[i] for i in block) <= 64 for block in blocks)
    assert best_fit(lengths, 64) == blocks, "deterministic"


@given(st.lists(st.integers(1, 64), min_size=1, max_size=200))
def test_packing_is_within_the_bound_of_best_fit_decreasing(lengths):
    fewest = -(-sum(lengths) // 64)  # no packing can do better; BFD <= 11/9 OPT + 6/9 and OPT may exceed this
    assert len(best_fit(lengths, 64)) <= max(2 * fewest, 1)


def test_perfect_fit_leaves_nothing_empty():
    lengths = [40, 24, 30, 34, 63, 1]
    blocks = best_fit(lengths, 64)
    assert len(blocks) == 3 and padding_fraction(whole_pieces(lengths, blocks), 64) == 0
    assert padding_fraction([], 64) == 0 and padding_fraction([[(0, 0, 48)]], 64) == 0.25


def test_a_sequence_goes_into_the_fullest_block_that_holds_it():
    assert best_fit([50, 40, 14, 24], 64) == [[0, 2], [1, 3]]


@pytest.mark.parametrize("length", [0, 65])
def test_what_cannot_be_packed_is_refused(length):
    with pytest.raises(AssertionError):
        best_fit([3, length], 64)


@given(st.lists(st.integers(1, 200), max_size=50))
def test_end_to_end_every_token_stands_once_in_order_and_only_the_last_block_has_room(lengths):
    blocks = concatenate(lengths, 64)
    tokens = [(i, t) for block in blocks for i, start, stop in block for t in range(start, stop)]
    assert tokens == [(i, t) for i, length in enumerate(lengths) for t in range(length)]
    sizes = [sum(stop - start for _, start, stop in block) for block in blocks]
    assert all(size == 64 for size in sizes[:-1]) and all(0 < size <= 64 for size in sizes)


def test_an_example_at_a_block_end_is_cut_there():
    assert concatenate([5, 6, 12], 8) == [[(0, 0, 5), (1, 0, 3)], [(1, 3, 6), (2, 0, 5)], [(2, 5, 12)]]
