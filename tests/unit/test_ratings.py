"""Answers rated by a judge: no position is favoured, nothing is guessed, and every pair is what the judge said."""

import json

import pytest

from medray.preference.ratings import (
    Answer,
    Unreadable,
    all_pairs,
    binarised,
    order_agreement,
    parse,
    question,
    shuffled,
)

ANSWERS = [Answer(f"m{i}/0", f"text of {i}", i) for i in range(4)]


def reply(*entries, before="A is right.\n"):
    return before + json.dumps({"ABCDEFGH"[i]: {"rating": r, "rank": k} for i, (r, k) in enumerate(entries)})


def test_the_order_is_drawn_for_each_prompt_and_no_place_is_favoured():
    first = [shuffled(ANSWERS, 1, f"p{i}")[0].order for i in range(4000)]
    assert all(900 < first.count(order) < 1100 for order in range(4))
    assert shuffled(ANSWERS, 1, "p") == shuffled(ANSWERS[::-1], 1, "p")
    assert shuffled(ANSWERS, 1, "p", is_reversed=True) == shuffled(ANSWERS, 1, "p")[::-1]


def test_letters_of_the_answers_and_of_the_form_are_the_same():
    [message] = question([{"role": "user", "content": "Which organ?"}], ANSWERS[:3], "The liver.")
    text = message["content"]
    assert [text.index(f"<answer {x}>\ntext of {i}\n") for i, x in enumerate("ABC")] == sorted(
        text.index(f"<answer {x}>") for x in "ABC"
    )
    assert list(json.loads(text[text.rindex('{"A"') :])) == ["A", "B", "C"]
    assert "<answer D>" not in text and "<reference>\nThe liver.\n</reference>" in text
    assert "reference" not in question([{"role": "user", "content": "?"}], ANSWERS)[0]["content"]


def test_a_reply_is_read():
    ratings = parse(reply((4, 2), ("5", "1"), (4, 2), (1, 4)), ANSWERS)
    assert [(r.answer.id, r.rating, r.rank) for r in ratings] == [
        ("m0/0", 4, 2), ("m1/0", 5, 1), ("m2/0", 4, 2), ("m3/0", 1, 4)]  # fmt: skip
    fenced = "```json\n" + reply((3, 1), (2, 2), before='Not {"A": 1} but {this}:') + "\n```"
    assert [r.rating for r in parse(fenced, ANSWERS[:2])] == [3, 2]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("A is better.", "no JSON object"),
        (reply((3, 1)), "the keys A, expected A, B"),
        (reply((3, 1), (2, 2), (1, 3)), "the keys A, B, C, expected A, B"),
        ('{"Model 0": {"rating": 3, "rank": 1}, "Model 1": {"rating": 2, "rank": 2}}', "the keys Model 0, Model 1"),
        (reply((6, 1), (2, 2)), "rating of A is 6, expected a whole number from 1 to 5"),
        (reply((3, 1), (0, 2)), "rating of B is 0"),
        (reply((3.5, 1), (2, 2)), "rating of A is 3.5"),
        (reply((True, 1), (2, 2)), "rating of A is True"),
        (reply(("good", 1), (2, 2)), "rating of A is 'good'"),
        (reply((3, 1), (2, 3)), "rank of B is 3, expected a whole number from 1 to 2"),
        (reply((3, 2), (2, 1)), "A and B are rated 3 and 2, ranked 2 and 1"),
        ('{"A": 3, "B": 2}', "rating of A is None"),
    ],
)
def test_what_was_not_asked_for_is_not_guessed(text, problem):
    with pytest.raises(Unreadable, match=problem):
        parse(text, ANSWERS[:2])


def test_pairs_of_different_ratings_widest_first():
    ratings = parse(reply((4, 2), (5, 1), (4, 2), (1, 4)), ANSWERS)
    assert [(a.answer.order, b.answer.order) for a, b in all_pairs(ratings)] == [(1, 3), (0, 3), (2, 3), (1, 0), (1, 2)]
    eight = [Answer(str(i), "x", i) for i in range(8)]
    assert len(all_pairs(parse(reply(*[(1 + i % 5, 8 - i % 5) for i in range(8)]), eight))) == 28 - 3
    assert not all_pairs(parse(reply((3, 1), (3, 1)), ANSWERS[:2]))


def test_binarised_takes_the_top_and_draws_from_the_rest():
    tie = parse(reply((5, 1), (5, 1), (2, 3), (2, 3)), [ANSWERS[i] for i in (3, 1, 0, 2)])
    drawn = {tuple(side.answer.order for side in binarised(tie, 1, f"p{i}")) for i in range(50)}
    assert drawn == {(1, 0), (1, 2)}
    assert binarised(parse(reply((3, 1), (3, 1)), ANSWERS[:2]), 1, "p") is None


def test_agreement_of_the_two_orders():
    once = parse(reply((5, 1), (3, 2), (3, 2)), ANSWERS[:3])
    same = parse(reply((2, 2), (2, 2), (4, 1)), ANSWERS[2::-1])
    assert order_agreement(once, same) == (2, 2)
    other = parse(reply((5, 1), (3, 2), (3, 2)), ANSWERS[2::-1])
    assert order_agreement(once, other) == (0, 3)
