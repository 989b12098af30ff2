"""The pair of a prompt: correctness before reward, and every prompt accounted for."""

import pytest

from medray.preference.pairs import OUTCOMES, Candidate, PairsConfig, choose_pairs


def candidates(*rows, tokens=None):
    """Rows of (reward, correct[, is_cut[, text]])."""
    return [
        Candidate(i, row[3] if len(row) > 3 else f"text {i}", row[0], row[1], row[2] if len(row) > 2 else False,
                  tokens[i] if tokens else 1)
        for i, row in enumerate(rows)
    ]  # fmt: skip


def choose(rows, *, has_gold, min_margin=0, unparsed_is_wrong=False, prompt_id="p", **fields):
    config = PairsConfig(min_margin=min_margin, unparsed_is_wrong=unparsed_is_wrong, source="round_1", **fields)
    return choose_pairs(rows, config, prompt_id, has_gold=has_gold)


def picked(choice):
    [(chosen, rejected)] = choice.pairs
    return choice.outcome, chosen.index, rejected.index


def indices(choice):
    return [(chosen.index, rejected.index) for chosen, rejected in choice.pairs]


def test_gold_takes_best_correct_and_worst_incorrect():
    choice = choose(candidates((9, 0), (1, 1), (2, 1), (-3, 0)), has_gold=True, min_margin=0.5)
    assert picked(choice) == ("pair_gold", 2, 3)


def test_gold_pair_stands_where_the_reward_model_disagrees():
    assert picked(choose(candidates((9, 0), (1, 1)), has_gold=True, min_margin=5)) == ("pair_gold", 1, 0)


def test_unparsed_is_neither_correct_nor_incorrect():
    assert choose(candidates((1, 1), (0, -1)), has_gold=True, min_margin=0).outcome == "dropped_no_incorrect"
    assert choose(candidates((1, 0), (0, -1)), has_gold=True, min_margin=0).outcome == "dropped_no_correct"


def test_unparsed_may_be_rejected_where_it_counts_as_wrong():
    rows = candidates((1, 1), (0, 0), (-1, -1))
    assert picked(choose(rows, has_gold=True, min_margin=0)) == ("pair_gold", 0, 1)
    assert picked(choose(rows, has_gold=True, min_margin=0, unparsed_is_wrong=True)) == ("pair_gold", 0, 2)
    only = candidates((0, 0), (9, -1))
    assert choose(only, has_gold=True, min_margin=0, unparsed_is_wrong=True).outcome == "dropped_no_correct"


def test_open_takes_best_and_worst_reward_by_margin():
    rows = candidates((1, -1), (3, -1), (0.5, -1))
    assert picked(choose(rows, has_gold=False, min_margin=2.5)) == ("pair_open", 1, 2)
    assert choose(rows, has_gold=False, min_margin=2.6).outcome == "dropped_margin"


def test_equal_rewards_are_no_preference():
    assert choose(candidates((1, -1), (1, -1)), has_gold=False, min_margin=0).outcome == "dropped_tie"


def test_ties_within_a_side_go_to_the_lower_index_in_any_order():
    rows = candidates((5, 1), (5, 1), (0, 0), (0, 0))
    for order in (rows, rows[::-1]):
        assert picked(choose(order, has_gold=True, min_margin=0)) == ("pair_gold", 0, 2)


def test_identical_texts_are_no_pair():
    rows = candidates((5, -1, False, "same "), (1, -1, False, "same"))
    assert choose(rows, has_gold=False, min_margin=0).outcome == "dropped_identical"


def test_cut_completion_is_chosen_only_without_an_alternative():
    assert picked(choose(candidates((9, -1, True), (5, -1), (1, -1)), has_gold=False, min_margin=0))[1] == 1
    assert picked(choose(candidates((9, 1, True), (1, 0)), has_gold=True, min_margin=0))[1] == 0
    only_whole_is_worst = candidates((9, -1, True), (1, -1))
    assert choose(only_whole_is_worst, has_gold=False, min_margin=0).outcome == "dropped_margin"


def test_blank_completions_are_never_used():
    rows = candidates((9, -1, False, " \n"), (5, -1), (1, -1))
    assert picked(choose(rows, has_gold=False, min_margin=0)) == ("pair_open", 1, 2)
    assert choose(rows[:2], has_gold=False, min_margin=0).outcome == "dropped_blank"


@pytest.mark.parametrize("has_gold", [True, False])
def test_every_outcome_is_in_the_ledger(has_gold):
    for rewards in [(1, 2), (1, 1)]:
        for correct in [(1, 0), (1, 1), (0, 0), (-1, -1)]:
            rows = candidates(*zip(rewards, correct, strict=True))
            assert choose(rows, has_gold=has_gold, min_margin=0).outcome in OUTCOMES


def test_gold_may_be_left_to_the_reward():
    rows = candidates((9, 0), (1, 1), (2, 1), (-3, 0))
    assert picked(choose(rows, has_gold=True, gold="by_reward")) == ("pair_gold", 0, 3)


def test_all_pairs_have_different_rewards_and_come_widest_first():
    rows = candidates((3, -1), (1, -1), (3, -1), (0, -1))
    choice = choose(rows, has_gold=False, rule="all_pairs")
    assert indices(choice) == [(0, 3), (2, 3), (0, 1), (2, 1), (1, 3)]
    assert indices(choose(rows, has_gold=False, rule="all_pairs", min_margin=2)) == [(0, 3), (2, 3), (0, 1), (2, 1)]
    assert len(choose(candidates(*((i, -1) for i in range(8))), has_gold=False, rule="all_pairs").pairs) == 28


def test_all_gold_pairs_are_correct_against_incorrect():
    rows = candidates((0, 1), (5, 0), (1, 1), (2, -1))
    assert indices(choose(rows, has_gold=True, rule="all_pairs")) == [(2, 1), (0, 1)]


def test_a_random_rejected_one_is_drawn_by_hash_for_the_best():
    rows = candidates((9, -1), (1, -1), (2, -1), (3, -1))
    drawn = {picked(choose(rows, has_gold=False, rule="max_random", prompt_id=f"p{i}"))[1:] for i in range(60)}
    assert drawn == {(0, 1), (0, 2), (0, 3)}
    again = [picked(choose(order, has_gold=False, rule="max_random")) for order in (rows, rows[::-1])]
    assert again[0] == again[1]
    far = choose(rows, has_gold=False, rule="max_random", min_margin=8)
    assert indices(far) == [(0, 1)]


def test_sides_of_unlike_length_are_no_pair():
    rows = candidates((9, -1), (5, -1), (1, -1), tokens=[100, 30, 40])
    assert picked(choose(rows, has_gold=False, max_length_ratio=2)) == ("pair_open", 1, 2)
    assert picked(choose(rows, has_gold=False, max_length_ratio=2.5)) == ("pair_open", 0, 2)
    assert choose(rows, has_gold=False, max_length_ratio=1.1).outcome == "dropped_length"
    gold = candidates((9, 1), (5, 0), tokens=[100, 1])
    assert choose(gold, has_gold=True, max_length_ratio=2).outcome == "dropped_length"
