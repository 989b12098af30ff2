"""What a guesser that cannot know the answer gets right: the lines that every accuracy must beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from medray.text.answers import normalise_words
from medray.text.phrases import PhraseCounts, shared_fraction


def guess_accuracy(questions: Sequence[dict], value: Callable[[dict, str], float]) -> float:
    """Expected accuracy of choosing the option of greatest value, ties shared; nan-free: 0 without questions."""
    right = 0.0
    for row in questions:
        values = [value(row, option) for option in row["options"]]
        best = [index for index, v in enumerate(values) if v == max(values)]
        right += (row["gold"] in best) / len(best)
    return right / len(questions) if questions else 0.0


def question_baselines(questions: Sequence[dict], counts: PhraseCounts, name: str) -> dict[str, int | float]:
    """Counters of a question set: blind baselines, balance of positions and classes, corpus counts of the options.

    word_overlap is not blind: it takes the option that shares most of its words with the question.
    Chance is 0.25; `mean_count_gold` and `mean_count_distractors` are occurrences in the training documents.
    """
    gold = [counts.count(row["options"][row["gold"]]) for row in questions]
    others = [counts.count(o) for row in questions for i, o in enumerate(row["options"]) if i != row["gold"]]
    unequal = [r for r in questions if r["task"] != "term_to_system" and len({*map(counts.count, r["options"])}) > 1]
    classes = Counter(row["options"][row["gold"]] for row in questions if row["task"] == "term_to_system")
    positions = Counter(row["gold"] for row in questions)
    facts = {
        "longest_option": guess_accuracy(questions, lambda row, option: len(normalise_words(option))),
        "most_characters": guess_accuracy(questions, lambda row, option: len(option)),
        "most_frequent_name": guess_accuracy(questions, lambda row, option: counts.count(option)),
        "word_overlap": guess_accuracy(questions, lambda row, option: shared_fraction(option, row["prompt"])),
        "most_frequent_class": max(classes.values(), default=0) / max(1, classes.total()),
        "most_frequent_position": max(positions.values(), default=0) / max(1, len(questions)),
        "mean_count_gold": sum(gold) / max(1, len(gold)),
        "mean_count_distractors": sum(others) / max(1, len(others)),
        "num_unequal_counts": len(unequal),
        "num_questions": len(questions),
    }
    return {f"{name}_{key}": round(value, 4) for key, value in facts.items()}
