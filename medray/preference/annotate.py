"""Stage: several models' completions rated by a judge -> data/ratings.parquet, pairs.parquet, binarised.parquet.

As UltraMedical's feedback: up to 8 completions of a prompt, rated 1 to 5 and ranked in one question; or compared two by
two. All pairs of different ratings are for a reward model, one binarised pair per prompt is for DPO. data/replies: all
the judge said.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
from pydantic import Field

from medray.core.access import strictest
from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.identity import stable_hash
from medray.core.schema import COMPLETION, PAIR, PROMPT, read_table, write_table
from medray.core.workspace import Workspace
from medray.generate.config import Endpoint, LocalTeacher
from medray.generate.replies import Question, Replies
from medray.generate.teacher import Teacher
from medray.preference import ratings
from medray.preference.ratings import Answer, Rating, Unreadable

NAME = "annotate"
VERSION = 1
OWN, REFERENCE = "own", "reference"
"""The model names of the policy's completion, and of the prompt's own gold answer where it is a candidate."""
OUTCOMES = ("rated", "dropped_few_answers", "dropped_unreadable", "dropped_oversize")
"""What can become of a prompt; the counters of these sum to the number of prompts."""

RATING = pa.schema(
    [
        pa.field(name, kind, nullable=False)
        for name, kind in {
            "prompt_id": pa.string(), "completion_id": pa.string(), "model": pa.string(), "rating": pa.int8(),
            "rank": pa.int8(), "place": pa.int8(), "reply": pa.string(),
        }.items()
    ]
)  # fmt: skip
"""place: where the answer stood in the question, from 0 (pairwise: among the models); reply: key of the judge's reply
in data/replies, of several with commas between."""

_CHUNK = 256


class AnnotateConfig(Config):
    """Who judges, and what becomes of the ratings."""

    method: Literal["rated", "pairwise"] = "rated"
    """rated: all answers of a prompt in one question, each with a rating and a rank. pairwise: any two of them in a
    question of their own, as PairRM ranks; the rating is then the points, 2 for each answer that it beats, 1 for each
    tie. n answers make n (n - 1) / 2 questions."""
    judge: Endpoint | LocalTeacher
    """An endpoint, or a model of one's own: the input `judge`."""
    reference_is_candidate: bool
    """Whether the prompt's gold answer is judged among the others (it is shown as the reference otherwise)."""
    both_orders_fraction: float = Field(ge=0, le=1)
    """Of the prompts, drawn by hash: judged once more in the reverse order, which tells how much the place counts."""
    max_tries: int = Field(ge=1)
    """Times a judge is told what was wrong with its reply, the first question included."""
    max_unreadable_fraction: float = Field(ge=0, le=1)
    max_answer_characters: int = Field(ge=1)
    """Prompts with a longer answer are left out, and counted: a judge must see all of every answer."""
    rng_seed: int


class _Asked(NamedTuple):
    """One question under way: about the answers in this order."""

    prompt_id: str
    answers: list[Answer]
    messages: list[dict[str, str]]


class _Read(NamedTuple):
    """What came of a question: ratings, or the points of two answers; reply: its key."""

    found: Any
    reply: str


class _Method(NamedTuple):
    """How a prompt's answers are put to the judge, and what becomes of the replies."""

    prompt_version: str
    groups: Callable[[Sequence[Answer]], list[list[Answer]]]
    """Which answers stand in a question together."""
    question: Callable[..., list[dict[str, str]]]
    parse: Callable[[str, Sequence[Answer]], Any]
    combined: Callable[[Sequence[Answer], list[Any]], list[Rating]]


_METHODS = {
    "rated": _Method(
        ratings.PROMPT_VERSION, lambda answers: [list(answers)], ratings.question, ratings.parse,
        lambda answers, replies: replies[0],
    ),
    "pairwise": _Method(
        ratings.COMPARISON_VERSION, lambda answers: [list(pair) for pair in combinations(answers, 2)],
        ratings.comparison, ratings.parse_comparison, ratings.ranked,
    ),
}  # fmt: skip


def run(config: AnnotateConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """inputs: prompts, `completions_<model>` (data/completions, one per prompt) of 2 to 8 models, and judge
    (data/model) where it is a model of one's own.

    Counters: num_prompts, OUTCOMES, num_pairs, num_binarised, order_agreement (of the pairs judged in both orders),
    tokens and cost of the judge. Raises UserError when too many replies cannot be read.
    """
    roles = sorted(role for role in inputs if role.startswith("completions_"))
    models = [role.removeprefix("completions_") for role in roles]
    most = ratings.MAX_ANSWERS - config.reference_is_candidate
    if not 1 <= len(models) <= most or len(models) + config.reference_is_candidate < 2:
        raise UserError(f"annotate: {len(models)} models, expected at least 2 candidates and at most {most} models")
    prompts = {row["id"]: row for row in read_table(inputs["prompts"].data / "prompts.parquet", PROMPT).to_pylist()}
    answers = _answers([inputs[role] for role in roles], prompts, reference_is_candidate=config.reference_is_candidate)
    counts, first = Counter({name: 0 for name in OUTCOMES}), []
    for prompt_id in sorted(answers):
        if len(answers[prompt_id]) < 2:
            counts["dropped_few_answers"] += 1
        elif max(len(answer.text) for answer in answers[prompt_id]) > config.max_answer_characters:
            counts["dropped_oversize"] += 1
        else:
            first.append(prompts[prompt_id])
    again = [row for row in first if _is_drawn(config, row["id"])]
    with _opened(config.judge, inputs, workspace.scratch / "replies") as teacher:
        judged = _judge(config, teacher, [(row, answers[row["id"]], False) for row in first], workspace)
        reversed_ = _judge(config, teacher, [(row, answers[row["id"]], True) for row in again], workspace)
        spent = {"judge_tokens": teacher.tokens, "judge_cost": round(teacher.cost, 6)}
    counts["rated"], counts["dropped_unreadable"] = len(judged), len(first) - len(judged)
    if counts["dropped_unreadable"] > config.max_unreadable_fraction * len(first):
        raise UserError(
            f"annotate: {counts['dropped_unreadable']} of {len(first)} prompts got no reply that can be read, at most "
            f"{config.max_unreadable_fraction:.1%} expected: read {workspace.scratch / 'replies'}, take another judge"
        )
    assert sum(counts.values()) == len(answers), "a prompt is not accounted for"
    _write(config, judged, prompts, [*models, *([REFERENCE] if config.reference_is_candidate else [])], workspace)
    kept = [
        ratings.order_agreement(judged[key].ratings, found.ratings) for key, found in reversed_.items() if key in judged
    ]
    agreed, total = (sum(column) for column in zip(*kept, strict=True)) if kept else (0, 0)
    pairs = {name: len(read_table(workspace.data / f"{name}.parquet", PAIR)) for name in ("pairs", "binarised")}
    return {
        "num_prompts": len(answers), **counts, "num_pairs": pairs["pairs"], "num_binarised": pairs["binarised"],
        "num_both_orders": len(kept), "order_agreement": agreed / total if total else 1.0, **spent,
    }  # fmt: skip


def _opened(judge: Endpoint | LocalTeacher, inputs: dict[str, Artifact], replies: Path) -> Replies:
    """Whoever judges. Raises UserError for an endpoint that may not see the rows, and where a model is missing."""
    if isinstance(judge, Endpoint):
        return Teacher(judge, replies, strictest(artifact.manifest.access for artifact in inputs.values()))
    if "judge" not in inputs:
        raise UserError("annotate.judge: a local model is to judge, expected it as the input `judge`: give its base")
    from medray.generate.local import LocalModel

    return LocalModel(judge, replies, inputs["judge"].data / "model", inputs["judge"].id)


class _Judged(NamedTuple):
    ratings: list[Rating]
    reply: str


def _answers(
    completions: Sequence[Artifact], prompts: dict[str, dict[str, Any]], *, reference_is_candidate: bool
) -> dict[str, list[Answer]]:
    """Answers by prompt, one of each model; blank ones, and all but the first of equal ones, are left out."""
    found: dict[str, list[Answer]] = defaultdict(list)
    for order, artifact in enumerate(completions):
        for row in read_table(artifact.data / "completions", COMPLETION).to_pylist():
            if row["prompt_id"] not in prompts:
                raise UserError(
                    f"annotate: completion {row['id']!r} of {artifact.id}: its prompt is not among the prompts"
                )
            if row["index"] == 0:
                found[row["prompt_id"]].append(Answer(f"{order}/{row['id']}", row["text"], order))
    for prompt_id, answers in found.items() if reference_is_candidate else ():
        if reference := prompts[prompt_id]["reference"]:
            answers.append(Answer(f"{REFERENCE}/{prompt_id}", reference, len(completions)))
    return {key: list(_distinct(answers)) for key, answers in found.items()}


def _distinct(answers: Sequence[Answer]) -> Iterator[Answer]:
    seen = {""}
    for answer in answers:
        if (text := answer.text.strip()) not in seen:
            seen.add(text)
            yield answer


def _is_drawn(config: AnnotateConfig, prompt_id: str) -> bool:
    return stable_hash("both orders", config.rng_seed, prompt_id) < config.both_orders_fraction * 2**64


def _judge(
    config: AnnotateConfig, teacher: Replies, wanted: Sequence[tuple[dict[str, Any], list[Answer], bool]],
    workspace: Workspace,
) -> dict[str, _Judged]:  # fmt: skip
    """Ratings by prompt, of the answers shuffled or the other way round; without those that could not be read."""
    method = _METHODS[config.method]
    judged: dict[str, _Judged] = {}
    for start in range(0, len(wanted), _CHUNK):
        asked = [_questions(config, method, *each) for each in wanted[start : start + _CHUNK]]
        replies = iter(_read(config, method, teacher, [each for questions in asked for each in questions]))
        for (prompt, answers, _), questions in zip(wanted[start : start + _CHUNK], asked, strict=True):
            read = [next(replies) for _ in questions]
            if all(read):
                found = method.combined(answers, [each.found for each in read])
                judged[prompt["id"]] = _Judged(found, ",".join(each.reply for each in read))
        workspace.journal.progress(min(start + _CHUNK, len(wanted)), len(wanted), "prompts")
    return judged


def _questions(
    config: AnnotateConfig, method: _Method, prompt: dict[str, Any], answers: Sequence[Answer], is_reversed: bool
) -> list[_Asked]:  # fmt: skip
    """All questions about a prompt's answers, whose order is drawn for each question."""
    reference = "" if config.reference_is_candidate else prompt["reference"]
    groups, found = method.groups(answers), []
    for group in groups:
        drawn_for = prompt["id"] if len(groups) == 1 else "/".join([prompt["id"], *(answer.id for answer in group)])
        shown = ratings.shuffled(group, config.rng_seed, drawn_for, is_reversed=is_reversed)
        found.append(_Asked(prompt["id"], shown, method.question(prompt["messages"], shown, reference)))
    return found


def _read(config: AnnotateConfig, method: _Method, teacher: Replies, asked: Sequence[_Asked]) -> list[_Read | None]:
    """What came of each question; who cannot be read is told why and asked again, max_tries times in all."""
    found: list[_Read | None] = [None] * len(asked)
    left = dict(enumerate(asked))
    for _ in range(config.max_tries):
        questions = [Question(each.prompt_id, each.messages, method.prompt_version) for each in left.values()]
        failed = {}
        for (number, each), reply in zip(left.items(), teacher.ask(questions), strict=True):
            try:
                found[number] = _Read(method.parse(reply.text, each.answers), reply.key)
            except Unreadable as error:
                wrong = f"That reply cannot be used: {error}. Reply with the JSON object alone."
                told = [{"role": "assistant", "content": reply.text}, {"role": "user", "content": wrong}]
                failed[number] = each._replace(messages=[*each.messages, *told])
        left = failed
    return found


def _write(
    config: AnnotateConfig, judged: dict[str, _Judged], prompts: dict[str, dict[str, Any]], models: Sequence[str],
    workspace: Workspace,
) -> None:  # fmt: skip
    rows, pairs, binarised = [], [], []
    for prompt_id in sorted(judged):
        found = judged[prompt_id]
        rows += [
            {"prompt_id": prompt_id, "completion_id": rating.answer.id, "model": models[rating.answer.order],
             "rating": rating.rating, "rank": rating.rank, "place": place, "reply": found.reply}
            for place, rating in enumerate(found.ratings)
        ]  # fmt: skip
        prompt = prompts[prompt_id]
        pairs += [_pair(prompt, models, *pair, single=False) for pair in ratings.all_pairs(found.ratings)]
        if pair := ratings.binarised(found.ratings, config.rng_seed, prompt_id):
            binarised.append(_pair(prompt, models, *pair, single=True))
    write_table(workspace.data / "ratings.parquet", rows, RATING)
    write_table(workspace.data / "pairs.parquet", pairs, PAIR)
    write_table(workspace.data / "binarised.parquet", binarised, PAIR)
    shutil.copytree(workspace.scratch / "replies", workspace.data / "replies", dirs_exist_ok=True)


def _pair(
    prompt: dict[str, Any], models: Sequence[str], chosen: Rating, rejected: Rating, *, single: bool
) -> dict[str, Any]:  # fmt: skip
    sides = f"{models[chosen.answer.order]}>{models[rejected.answer.order]}"
    return {
        "id": prompt["id"] if single else f"{prompt['id']}/{sides}",
        "prompt_id": prompt["id"], "source": sides, "messages": prompt["messages"],
        "chosen": chosen.answer.text, "rejected": rejected.answer.text,
        "chosen_reward": float(chosen.rating), "rejected_reward": float(rejected.rating),
        "split": "heldout" if prompt["split"] == "reward_heldout" else "train", "task": prompt["task"],
    }  # fmt: skip
