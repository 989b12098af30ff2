"""Multiple choice by the likelihood of the whole answer, beside what can be had without reading the question.

Base models and chat models get the same rendering: the question with its options as lines, the option as the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from medray.core.identity import content_id, stable_hash
from medray.math import statistics
from medray.tables.conversations import with_system
from medray.text.options import with_options

NEUTRAL_PROMPT = "Answer:"
"""The question of the prior: it asks nothing, so what remains is how common the option is."""

BASELINES = ("chance", "longest_option", "most_frequent", "prior")
"""chance: one of the options at random; longest_option: in characters; most_frequent: the option that was most often
the answer in the train split of its task; prior: the option likeliest after NEUTRAL_PROMPT (this model's own).
Ties share their credit, so a baseline's credit for a question lies in [0, 1]."""

_PRIOR_BATCH = 16  # options behind one shared neutral prompt: attention over a row is quadratic

CHOICE = pa.schema(
    [
        pa.field(name, kind, nullable=False)
        for name, kind in {
            "id": pa.string(), "task": pa.string(), "cluster": pa.string(), "gold": pa.int32(), "predicted": pa.int32(),
            "correct": pa.float64(), "correct_normalised": pa.float64(),
            "logprobs": pa.list_(pa.float64()), "num_tokens": pa.list_(pa.int32()),
            "prior_logprobs": pa.list_(pa.float64()),
            **{name: pa.float64() for name in BASELINES},
        }.items()
    ]
)  # fmt: skip
"""logprobs: nats of each whole option with its stop token given the question; normalised: divided by its tokens."""


def choose_questions(questions: Sequence[dict[str, Any]], per_task: int, rng_seed: int) -> list[dict[str, Any]]:
    """At most `per_task` questions of each task (0: all), drawn by hash, in order of id."""
    chosen: list[dict[str, Any]] = []
    for task in sorted({row["task"] for row in questions}):
        rows = [row for row in questions if row["task"] == task]
        rows.sort(key=lambda row: (stable_hash("question", rng_seed, row["id"]), row["id"]))
        chosen += rows[: per_task or None]
    return sorted(chosen, key=lambda row: row["id"])


def cluster_of(row: Mapping[str, Any]) -> str:
    """A name for the questions (or prompts) of one task over the same options; an open one has a name of its own.

    Questions are made four to a set of options; a model's liking for one of these moves its answers to all of them.
    """
    return content_id(row["task"], sorted(row["options"])) if row["options"] else row["id"]


def question_text(question: Mapping[str, Any]) -> str:
    """The user's text: the question and its options as lines."""
    return with_options(question["prompt"], question["options"])


def asked(question: Mapping[str, Any], system_prompt: str) -> list[dict[str, str]]:
    """The conversation of a row of QUESTION or of PROMPT; the system prompt is for those that bring none."""
    turns = question.get("messages") or [{"role": "user", "content": question_text(question)}]
    return with_system(turns, system_prompt)


def measure_choices(
    forward: Any, tokenizer: Any, questions: Sequence[dict[str, Any]], system_prompt: str
) -> list[list[tuple[float, int]]]:
    """Log-likelihood (nats) and token count, stop token included, of each option of each question."""
    from medray.train.forward import ForwardRow

    rows = []
    for question in questions:
        turns = asked(question, system_prompt)
        rendered = [_rendered(tokenizer, turns, option) for option in question["options"]]
        rows.append(ForwardRow(rendered[0].prompt, [answer.completion for answer in rendered]))
    return forward.sequence_logprobs(rows)


def measure_priors(forward: Any, tokenizer: Any, options: Sequence[str], system_prompt: str) -> dict[str, float]:
    """Log-likelihood (nats) of each distinct option without its question."""
    from medray.train.forward import ForwardRow

    neutral = with_system([{"role": "user", "content": NEUTRAL_PROMPT}], system_prompt)
    distinct, rows = sorted(set(options)), []
    for start in range(0, len(distinct), _PRIOR_BATCH):
        chunk = distinct[start : start + _PRIOR_BATCH]
        rendered = [_rendered(tokenizer, neutral, option) for option in chunk]
        rows.append(ForwardRow(rendered[0].prompt, [answer.completion for answer in rendered]))
    values = [value for row in forward.sequence_logprobs(rows) for value, _ in row]
    return dict(zip(distinct, values, strict=True))


def _rendered(tokenizer: Any, turns: list[dict[str, str]], option: str) -> Any:
    from medray.model.render import render

    return render(tokenizer, [*turns, {"role": "assistant", "content": option}])


def judge_choices(
    questions: Sequence[dict[str, Any]],
    measured: Sequence[Sequence[tuple[float, int]]],
    priors: Mapping[str, float],
    train_questions: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """One row of CHOICE for each question: the prediction, and the credit of each baseline."""
    answers: dict[str, Counter[str]] = {}
    for row in train_questions:
        answers.setdefault(row["task"], Counter())[row["options"][row["gold"]]] += 1
    rows = []
    for question, options in zip(questions, measured, strict=True):
        logprobs, num_tokens = [value for value, _ in options], [count for _, count in options]
        per_token = [value / count for value, count in options]
        prior = [priors[option] for option in question["options"]]
        frequent = [answers.get(question["task"], Counter())[option] for option in question["options"]]
        gold, predicted = question["gold"], int(np.argmax(logprobs))
        rows.append(
            {
                **{name: question[name] for name in ("id", "task", "gold")},
                "cluster": cluster_of(question),
                "predicted": predicted,
                "correct": float(predicted == gold),
                "correct_normalised": float(int(np.argmax(per_token)) == gold),
                "logprobs": logprobs,
                "num_tokens": num_tokens,
                "prior_logprobs": prior,
                "chance": 1 / len(options),
                "longest_option": credit([len(option) for option in question["options"]], gold),
                "most_frequent": credit(frequent, gold),
                "prior": credit(prior, gold),
            }
        )
    return rows


def credit(values: Sequence[float], gold: int) -> float:
    """Expected correctness of choosing an option of the greatest value at random."""
    best = [index for index, value in enumerate(values) if value == max(values)]
    return (gold in best) / len(best)


def summarise(rows: Sequence[dict[str, Any]], rng_seed: int) -> dict[str, dict[str, Any]]:
    """accuracy, accuracy_normalised and baseline.<name>, overall and per task; and accuracy minus each baseline.

    Overall weighs every question alike. `accuracy_minus_<baseline>` are paired differences with their verdict. All
    intervals take the questions over one set of options together.
    """
    found: dict[str, dict[str, Any]] = {}
    tasks = sorted({row["task"] for row in rows})
    for suffix, chosen in (
        ("", list(rows)),
        *((f".{task}", [row for row in rows if row["task"] == task]) for task in tasks),
    ):
        if not chosen:
            continue
        clusters = [row["cluster"] for row in chosen]
        columns = {
            name: np.array([row[name] for row in chosen]) for name in ("correct", "correct_normalised", *BASELINES)
        }
        figures = {"accuracy": "correct", "accuracy_normalised": "correct_normalised"}
        figures |= {f"baseline.{name}": name for name in BASELINES}
        for figure, name in figures.items():
            found[f"{figure}{suffix}"] = statistics.mean(columns[name], clusters, rng_seed=rng_seed).row()
        for name in BASELINES:
            difference = statistics.paired_difference(columns[name], columns["correct"], clusters, rng_seed=rng_seed)
            verdict = statistics.verdict(difference)
            found[f"accuracy_minus_{name}{suffix}"] = {**difference.row(), "verdict": verdict}
    return found
