"""The pair of a prompt: correctness before reward, and every prompt accounted for."""

import pytest

from medray.preference import pairs
from medray.preference.pairs import OUTCOMES, Candidate


def candidates(*rows):
    """Rows of (reward, correct[, is_cut[, text]])."""
    return [
        Candidate(i, row[3] if len(row) > 3 else f"text {i}", row[0], row[1], row[2] if len(row) > 2 else False)
        for i, row in enumerate(rows)
    ]


def choose_pair(rows, *, has_gold, min_margin, unparsed_is_wrong=False):
    return pairs.choose_pair(rows, has_gold=has_gold, min_margin=min_margin, unparsed_is_wrong=unparsed_is_wrong)


def picked(choice):
    return choice.outcome, choice.chosen.index, choice.rejected.index


def test_gold_takes_best_correct_and_worst_incorrect():
    choice = choose_pair(candidates((9, 0), (1, 1), (2, 1), (-3, 0)), has_gold=True, min_margin=0.5)
    assert picked(choice) == ("pair_gold", 2, 3)


def test_gold_pair_stands_where_the_reward_model_disagrees():
    assert picked(choose_pair(candidates((9, 0), (1, 1)), has_gold=True, min_margin=5)) == ("pair_gold", 1, 0)


def test_unparsed_is_neither_correct_nor_incorrect():
    assert choose_pair(candidates((1, 1), (0, -1)), has_gold=True, min_margin=0).outcome == "dropped_no_incorrect"
    assert choose_pair(candidates((1, 0), (0, -1)), has_gold=True, min_margin=0).outcome == "dropped_no_correct"


def test_unparsed_may_be_rejected_where_it_counts_as_wrong():
    rows = candidates((1, 1), (0, 0), (-1, -1))
    assert picked(choose_pair(rows, has_gold=True, min_margin=0)) == ("pair_gold", 0, 1)
    assert picked(choose_pair(rows, has_gold=True, min_margin=0, unparsed_is_wrong=True)) == ("pair_gold", 0, 2)
    only = candidates((0, 0), (9, -1))
    assert choose_pair(only, has_gold=True, min_margin=0, unparsed_is_wrong=True).outcome == "dropped_no_correct"


def test_open_takes_best_and_worst_reward_by_margin():
    rows = candidates((1, -1), (3, -1), (0.5, -1))
    assert picked(choose_pair(rows, has_gold=False, min_margin=2.5)) == ("pair_open", 1, 2)
    assert choose_pair(rows, has_gold=False, min_margin=2.6).outcome == "dropped_margin"


def test_equal_rewards_are_no_preference():
    assert choose_pair(candidates((1, -1), (1, -1)), has_gold=False, min_margin=0).outcome == "dropped_tie"


def test_ties_within_a_side_go_to_the_lower_index_in_any_order():
    rows = candidates((5, 1), (5, 1), (0, 0), (0, 0))
    for order in (rows, rows[::-1]):
        assert picked(choose_pair(order, has_gold=True, min_margin=0)) == ("pair_gold", 0, 2)


def test_identical_texts_are_no_pair():
    rows = candidates((5, -1, False, "same "), (1, -1, False, "same"))
    assert choose_pair(rows, has_gold=False, min_margin=0).outcome == "dropped_identical"


def test_cut_completion_is_chosen_only_without_an_alternative():
    assert picked(choose_pair(candidates((9, -1, True), (5, -1), (1, -1)), has_gold=False, min_margin=0))[1] == 1
    assert picked(choose_pair(candidates((9, 1, True), (1, 0)), has_gold=True, min_margin=0))[1] == 0
    only_whole_is_worst = candidates((9, -1, True), (1, -1))
    assert choose_pair(only_whole_is_worst, has_gold=False, min_margin=0).outcome == "dropped_margin"


def test_blank_completions_are_never_used():
    rows = candidates((9, -1, False, " \n"), (5, -1), (1, -1))
    assert picked(choose_pair(rows, has_gold=False, min_margin=0)) == ("pair_open", 1, 2)
    assert choose_pair(rows[:2], has_gold=False, min_margin=0).outcome == "dropped_blank"


@pytest.mark.parametrize("has_gold", [True, False])
def test_every_outcome_is_in_the_ledger(has_gold):
    for rewards in [(1, 2), (1, 1)]:
        for correct in [(1, 0), (1, 1), (0, 0), (-1, -1)]:
            rows = candidates(*zip(rewards, correct, strict=True))
            assert choose_pair(rows, has_gold=has_gold, min_margin=0).outcome in OUTCOMES
