"""Instructions for SFT and prompts for the reward model and the preference rounds, from quartets and open forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medray.core.config import UserError
from medray.core.identity import content_id, stable_hash
from medray.synthesize.annotations import Disease
from medray.synthesize.config import NUM_OPTIONS, TASKS, TaskCounts
from medray.synthesize.documents import Writer, told_phenotypes
from medray.synthesize.families import FocusTerm
from medray.synthesize.questions import FORMS, Quartet, questions_of
from medray.text.options import with_options
from medray.text.phrases import joined, sentence_start

OPEN_FORMS: dict[str, tuple[str, ...]] = {
    "define_term": ("Define {name}.", "What is meant by {name}?", "Explain the finding {name} in one sentence."),
    "name_system": (
        "Name the body system affected by {name}.",
        "Which part of the body is affected by {name}?",
        "Say which body system is abnormal in {name}.",
    ),
    "other_name": (
        "Give another name for {name}.",
        "Which other term is used for {name}?",
        "Name a synonym of {name}.",
    ),
    "list_features": (
        "Name two features of {name}.",
        "List two findings in patients with {name}.",
        "What are two features of {name}?",
    ),
}


@dataclass(frozen=True)
class OpenItem:
    """A question without options: what it is about, and a gold answer."""

    task: str
    group: str
    name: str
    answer: str


def open_items(writer: Writer, families: Sequence[Sequence[FocusTerm | Disease]], limit: int) -> list[OpenItem]:
    """Every open question of the given families, ordered so that any run of them is mixed over the kinds."""
    by_task: dict[str, list[OpenItem]] = {task: [] for task in OPEN_FORMS}
    for member in (member for family in families for member in family):
        items = _disease_items(writer, member, limit) if isinstance(member, Disease) else _term_items(writer, member)
        for item in items:
            by_task[item.task].append(item)
    for task, items in by_task.items():
        items.sort(key=lambda item: stable_hash("open", writer.rng_seed, task, item.group))
    longest = max(map(len, by_task.values()), default=0)
    return [items[row] for row in range(longest) for items in by_task.values() if row < len(items)]


def _term_items(writer: Writer, focus: FocusTerm) -> list[OpenItem]:
    name, group = writer.inside(focus.term.name), focus.term.id
    system = sentence_start(writer.ontology.system_phrase(focus.system))
    items = [
        OpenItem("define_term", group, name, focus.term.definition.rstrip(".") + "."),
        OpenItem("name_system", group, name, f"{system}."),
    ]
    if focus.synonyms:
        items.append(OpenItem("other_name", group, name, f"{sentence_start(focus.synonyms[0])}."))
    return items


def _disease_items(writer: Writer, disease: Disease, limit: int) -> list[OpenItem]:
    told = [writer.phenotype(term_id) for term_id, _ in told_phenotypes(writer.ontology, disease, limit)]
    name = writer.inside(disease.name)
    return [OpenItem("list_features", disease.id, name, f"{sentence_start(joined(told[:2]))}.")]


def choice_rows(
    quartets: Sequence[Quartet], counts: TaskCounts, split: str, rng_seed: int, field: str, max_wordings: int = 5
) -> list[dict]:
    """QUESTION rows, counts.of(task) of each task; when the quartets run out they come again in other wordings.

    max_wordings: 1 asks everything once (test questions must be independent). Raises UserError naming the field when
    the wordings do not suffice.
    """
    rows: list[dict] = []
    for task in TASKS:
        own = [quartet for quartet in quartets if quartet.task == task]
        available = NUM_OPTIONS * len(own) * min(max_wordings, len(FORMS[task]))
        if counts.of(task) > available:
            raise UserError(
                f"synthesize.{field}.{task}: {counts.of(task)} wanted, {available} available from {len(own)} families: "
                "lower it or give the split more focus_terms or focus_diseases"
            )
        for turn in range(counts.of(task) // NUM_OPTIONS):
            variant, index = divmod(turn, len(own))
            rows += questions_of(own[index], variant, split, rng_seed)
    return rows


def apportion(total: int, mix: TaskCounts) -> TaskCounts:
    """`total` questions (a multiple of 4) over the tasks in proportion to the mix, in fours, by largest remainder."""
    fours, shares = total // NUM_OPTIONS, {task: mix.of(task) / max(1, mix.total) for task in TASKS}
    counts = {task: int(fours * shares[task]) for task in TASKS}
    by_remainder = sorted(TASKS, key=lambda task: (counts[task] - fours * shares[task], task))
    for task in by_remainder[: fours - sum(counts.values()) if mix.total else 0]:
        counts[task] += 1
    return TaskCounts(**{task: NUM_OPTIONS * count for task, count in counts.items()})


def choice_messages(question: dict, system_prompt: str) -> list[dict]:
    """System and user message of a multiple-choice question: the prompt, then one option a line."""
    return _messages(system_prompt, with_options(question["prompt"], question["options"]))


def examples(
    choices: Sequence[dict], opens: Sequence[OpenItem], num_open: int, system_prompt: str, licences: dict[str, str]
) -> list[dict]:
    """EXAMPLE rows: the answer is the option's text itself, or the gold answer of an open question.

    licences: licence by prefix of the group ("HP", "ORPHA"). Open questions come again in other wordings.
    """
    num_available = len(opens) * 3
    if num_open > num_available:
        raise UserError(
            f"synthesize.num_open_examples: {num_open} wanted, {num_available} available: lower it or give the train "
            "split more focus_terms"
        )
    turns = [(row["group"], choice_messages(row, system_prompt), row["options"][row["gold"]]) for row in choices]
    for turn in range(num_open):
        variant, index = divmod(turn, len(opens))
        turns.append((opens[index].group, open_messages(opens[index], variant, system_prompt), opens[index].answer))
    rows = []
    for group, messages, answer in turns:
        messages = [*messages, {"role": "assistant", "content": answer}]
        rows.append(
            {"id": content_id("example", messages), "source": "ontology_instructions", "messages": messages,
             "group": group, "licence": licences[group.split(":")[0]], "split": "train"}
        )  # fmt: skip
    return rows


def prompts(
    split: str, choices: Sequence[dict], opens: Sequence[OpenItem], num_open: int, system_prompt: str
) -> list[dict]:
    """PROMPT rows of a split: the multiple-choice questions, then `num_open` open ones with a reference answer."""
    num_available = len(opens) * 3
    if num_open > num_available:
        raise UserError(
            f"synthesize.prompts.{split}: {num_open} open prompts wanted, {num_available} available: lower it or "
            "give the split more focus_terms"
        )
    rows = [
        {"task": row["task"], "messages": choice_messages(row, system_prompt), "options": row["options"],
         "gold": row["gold"], "reference": row["options"][row["gold"]], "group": row["group"], "split": split}
        for row in choices
    ]  # fmt: skip
    for turn in range(num_open):
        variant, index = divmod(turn, len(opens))
        item = opens[index]
        rows.append(
            {"task": item.task, "messages": open_messages(item, variant, system_prompt), "options": [], "gold": -1,
             "reference": item.answer, "group": item.group, "split": split}
        )  # fmt: skip
    return [{"id": content_id("prompt", split, row["messages"]), **row} for row in rows]


def open_messages(item: OpenItem, variant: int, system_prompt: str) -> list[dict]:
    """System and user message of an open question in one of its three wordings."""
    forms = OPEN_FORMS[item.task]
    form = forms[(stable_hash("open wording", item.task, item.group) + variant) % len(forms)]
    return _messages(system_prompt, form.format(name=item.name))


def _messages(system_prompt: str, user: str) -> list[dict]:
    return [{"role": "system", "content": system_prompt}, {"role": "user", "content": user}]
