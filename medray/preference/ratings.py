"""Several models' answers to one prompt, rated and ranked by a judge: what it is asked, what it said, pairs of it.

Source: Zhang et al. 2024 (UltraMedical), 2.2 and appendix C. Two faults of its code are not repeated (SEEDS T11, T12):
answers carry letters, the same in the question and in the form of the reply, and their order is drawn for each prompt.
Or two by two, ranked by what they win: Jiang et al. 2023 (LLM-Blender, PairRM), section 3.2, there with a small model.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from medray.core.identity import stable_hash

PROMPT_VERSION, COMPARISON_VERSION = "ratings-1", "comparison-1"
MAX_ANSWERS = 8
_LETTERS = string.ascii_uppercase[:MAX_ANSWERS]

_CRITERIA = """You compare answers to a medical question. Judge correctness and safety first, then completeness, \
then how well the answer follows what was asked. Length, style and order of the answers do not count.
"""
_INSTRUCTION = f"""{_CRITERIA}
Rating: 5 excellent, 4 good with small gaps, 3 partly right, 2 mostly wrong or misleading, 1 wrong or harmful.
Rank: 1 is the best; answers of equal quality share a rank; a higher rating never has a worse rank.
"""


_VERDICTS = {"A": (2, 0), "B": (0, 2), "tie": (1, 1)}


class Answer(NamedTuple):
    """One model's completion. order: the place of its model in the recipe, which breaks ties."""

    id: str
    text: str
    order: int


class Rating(NamedTuple):
    """What the judge gave an answer: rating 1 to 5, or points of comparisons; rank from 1, equal ones allowed."""

    answer: Answer
    rating: int
    rank: int


class Unreadable(ValueError):
    """A judge's reply that is not what was asked for; the message says why, and goes back to the judge."""


def shuffled(answers: Sequence[Answer], rng_seed: int, prompt_id: str, *, is_reversed: bool = False) -> list[Answer]:
    """The answers in the order in which the judge sees them: drawn by hash, or the reverse of that."""
    assert 2 <= len(answers) <= MAX_ANSWERS, f"{prompt_id}: {len(answers)} answers"
    drawn = sorted(answers, key=lambda answer: stable_hash("judged", rng_seed, prompt_id, answer.id))
    return drawn[::-1] if is_reversed else drawn


def question(
    messages: Sequence[dict[str, str]], answers: Sequence[Answer], reference: str = ""
) -> list[dict[str, str]]:
    """The judge's messages about answers in the order given; the reference, where there is one, is shown apart."""
    form = json.dumps({letter: {"rating": "1 to 5", "rank": "1 or more"} for letter, _ in _lettered(answers)})
    asked = f"Reply with this JSON object, filled with whole numbers, after a line of reasons for each answer:\n{form}"
    return _asked(_INSTRUCTION, messages, answers, reference, asked)


def comparison(
    messages: Sequence[dict[str, str]], answers: Sequence[Answer], reference: str = ""
) -> list[dict[str, str]]:
    """The judge's messages about two answers."""
    forms = " or ".join(json.dumps({"better": verdict}) for verdict in _VERDICTS)
    asked = f"Reply with one of these JSON objects, after a line of reasons for each answer:\n{forms}"
    return _asked(_CRITERIA, messages, answers, reference, asked)


def _asked(
    instruction: str, messages: Sequence[dict[str, str]], answers: Sequence[Answer], reference: str, asked: str
) -> list[dict[str, str]]:
    conversation = "\n\n".join(f"{m['role']}: {m['content']}" for m in messages)
    shown = [f"<answer {letter}>\n{answer.text}\n</answer {letter}>" for letter, answer in _lettered(answers)]
    known = [f"<reference>\n{reference}\n</reference>"] if reference else []
    text = "\n\n".join([instruction, f"<question>\n{conversation}\n</question>", *known, *shown, asked])
    return [{"role": "user", "content": text}]


def parse(reply: str, answers: Sequence[Answer]) -> list[Rating]:
    """The ratings in a reply to `question` of these answers, in their order. Raises Unreadable.

    Read from the last JSON object in the reply; numbers may be strings ("4"). Nothing is guessed: every letter once
    and no other, ratings 1 to 5, ranks that agree with the ratings.
    """
    found = _last_object(reply)
    wanted = [letter for letter, _ in _lettered(answers)]
    if sorted(found) != wanted:
        raise Unreadable(f"the object has the keys {', '.join(sorted(found)) or 'none'}, expected {', '.join(wanted)}")
    ratings = [
        Rating(answer, _whole(found[letter], "rating", letter, 5), _whole(found[letter], "rank", letter, len(answers)))
        for letter, answer in _lettered(answers)
    ]
    for one, other in combinations(zip(wanted, ratings, strict=True), 2):
        (a, first), (b, second) = one, other
        if (first.rating - second.rating) * (second.rank - first.rank) < 0:
            raise Unreadable(
                f"{a} and {b} are rated {first.rating} and {second.rating}, ranked {first.rank} and {second.rank}"
            )
    return ratings


def parse_comparison(reply: str, answers: Sequence[Answer]) -> dict[str, int]:
    """Points of both answers, by id, in a reply to `comparison`: 2 for the better, 1 for a tie. Raises Unreadable."""
    found = _last_object(reply)
    verdict = found.get("better")
    if len(found) != 1 or verdict not in _VERDICTS:
        expected = ", ".join(json.dumps({"better": verdict}) for verdict in _VERDICTS)
        raise Unreadable(f"the object is {json.dumps(found)[:200]}, expected one of {expected}")
    return {answer.id: points for answer, points in zip(answers, _VERDICTS[verdict], strict=True)}


def ranked(answers: Sequence[Answer], comparisons: Sequence[Mapping[str, int]]) -> list[Rating]:
    """Answers by the points of all their comparisons, in the order given."""
    points = {answer.id: sum(found.get(answer.id, 0) for found in comparisons) for answer in answers}
    return [Rating(a, points[a.id], 1 + sum(points[other.id] > points[a.id] for other in answers)) for a in answers]


def all_pairs(ratings: Sequence[Rating]) -> list[tuple[Rating, Rating]]:
    """Every (better, worse) of different ratings, for a reward model: at most 28 of 8 answers, widest first."""
    found = [(a, b) if a.rating > b.rating else (b, a) for a, b in combinations(ratings, 2) if a.rating != b.rating]
    return sorted(found, key=lambda pair: (pair[1].rating - pair[0].rating, pair[0].answer.order, pair[1].answer.order))


def binarised(ratings: Sequence[Rating], rng_seed: int, prompt_id: str) -> tuple[Rating, Rating] | None:
    """(chosen, rejected) for DPO: the top rank, ties by the models' order, against a lower one drawn by hash."""
    top = min(rating.rank for rating in ratings)
    rest = [rating for rating in ratings if rating.rank > top]
    if not rest:
        return None
    chosen = min((r for r in ratings if r.rank == top), key=lambda r: r.answer.order)
    return chosen, min(rest, key=lambda r: stable_hash("rejected", rng_seed, prompt_id, r.answer.id))


def order_agreement(once: Sequence[Rating], again: Sequence[Rating]) -> tuple[int, int]:
    """Pairs of answers that keep their preference in the other order of showing, and all that had one in either."""
    before = {frozenset((a.answer.id, b.answer.id)): a.answer.id for a, b in all_pairs(once)}
    after = {frozenset((a.answer.id, b.answer.id)): a.answer.id for a, b in all_pairs(again)}
    return sum(after.get(pair) == better for pair, better in before.items()), len(before.keys() | after.keys())


def _lettered(answers: Sequence[Answer]) -> list[tuple[str, Answer]]:
    return list(zip(_LETTERS, answers, strict=False))


def _last_object(reply: str) -> dict[str, Any]:
    """The last outermost JSON object."""
    decoder, found, start = json.JSONDecoder(), None, reply.find("{")
    while start >= 0:
        try:
            value, stop = decoder.raw_decode(reply, start)
            found = value if isinstance(value, dict) else found
        except json.JSONDecodeError:
            stop = start + 1
        start = reply.find("{", stop)
    if found is None:
        raise Unreadable("there is no JSON object, expected one as the last thing")
    return found


def _whole(entry: Any, name: str, letter: str, largest: int) -> int:
    value = entry.get(name) if isinstance(entry, dict) else None
    text = value.strip() if isinstance(value, str) else str(value)
    if isinstance(value, bool) or not text.isdecimal() or not 1 <= int(text) <= largest:
        raise Unreadable(f"{name} of {letter} is {value!r}, expected a whole number from 1 to {largest}")
    return int(text)
