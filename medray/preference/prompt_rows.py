"""Rows of a user's files as prompts: conversations to complete, open ones and multiple choice with its gold option."""

from __future__ import annotations

import string
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from medray.core.identity import content_id, stable_hash
from medray.tables.adopted import AdoptedFile
from medray.tables.conversations import check_turns, checked_template, turns, whole_text, with_system, written
from medray.tables.formats import BadRow, Fields, LeftOut
from medray.text.answers import fold
from medray.text.options import Form, parted, with_options

LEFT_OUT = ("empty", "too_long", "no_gold")
"""Words under which sound rows are counted that cannot be prompts."""

_MAX_OPTIONS = len(string.ascii_uppercase)


class PromptFile(AdoptedFile):
    """One file of prompts, and how its rows become them."""

    format: Literal["messages", "conversations", "fields"]
    """messages: turns of role and content; conversations: of from (human, gpt) and value; a last answer is taken for
    the reference. fields: `prompt` written from the row's fields."""
    turns_field: str = ""
    """The field of the turns; "": the format's own name."""
    prompt: str = ""
    """Jinja template over the row's fields, of multiple choice without the options."""
    reference: str = ""
    """Jinja template of a gold answer; "": that of the file's turns, or the gold option, or none."""
    system: str = ""
    """A system message for every prompt that has none; "": none."""
    option_fields: tuple[str, ...] = ()
    """Each holds one option (text), several (list) or several by letter (object)."""
    options: tuple[str, ...] = ()
    """The options of every row ("yes", "no", "maybe"), where no field has them."""
    options_in_prompt: bool = False
    """Whether they stand in the prompt's text, a line each, by letter; a prompt without them is an open one."""
    gold_field: str = ""
    """The right option: its letter or key, its text, or its place from 0. A row without it is counted as no_gold, but
    an open one where options stand in the prompt."""
    option_form: Form = "dashes"
    shuffle_options: bool = False
    """The order of the options is drawn by hash for each row, so that their place tells nothing."""
    task: str = ""
    """Empty: the file's name."""
    group_field: str = ""
    """What belongs on one side of any split (an article, a patient); "": prompts of one question."""
    split: str = ""
    """The split of all prompts of the file; "": by hash, as the stage's `splits` say."""
    max_prompts: int | None = Field(default=None, ge=1)
    """So many are drawn in hash order, after bad and repeated ones are out; None: all."""

    _templates = field_validator("prompt", "reference")(checked_template)

    @model_validator(mode="after")
    def _is_sound(self) -> PromptFile:
        if (self.format == "fields") != bool(self.prompt):
            raise ValueError('prompt belongs to the format "fields": give it, or take another format')
        ways = [bool(self.option_fields), bool(self.options), self.options_in_prompt]
        if sum(ways) > 1 or any(ways) != bool(self.gold_field):
            raise ValueError(
                "options come from option_fields, options or options_in_prompt, one of them, and need gold_field: give "
                "both or none"
            )
        if self.shuffle_options and not any(ways[:2]):
            raise ValueError("shuffle_options: there are none that could be shuffled: give option_fields or options")
        return self


def question_id(question: str) -> str:
    """The name of a question whatever its case and spacing, options by letter left out."""
    return content_id("question", spelt(parted(question)[0]))


def spelt(text: str) -> str:
    """The text for comparison: case and spacing do not count."""
    return " ".join(fold(text).split())


def prompt_row(file: PromptFile, rng_seed: int, max_characters: int, fields: Fields) -> Fields:
    """The row as messages that end with the user's, `options`, `gold`, `reference`, `group`; `text` is all of it.

    `key` names what is asked, options in any order. Raises BadRow for what is no prompt, and LeftOut with a word of
    LEFT_OUT.
    """
    messages, reference = _messages(file, fields)
    question = messages[-1]["content"]
    if not question:
        raise LeftOut("empty")
    options, gold = _options(file, fields, question)
    if options and not file.options_in_prompt:
        if file.shuffle_options:
            order = sorted(range(len(options)), key=lambda i: stable_hash("option", rng_seed, question, options[i]))
            options, gold = tuple(options[i] for i in order), order.index(gold)
        messages = [*messages[:-1], {"role": "user", "content": with_options(question, options, file.option_form)}]
    messages = with_system(messages, file.system)
    check_turns(messages, "user")
    text = whole_text(messages)
    if len(text) > max_characters:
        raise LeftOut("too_long")
    if file.reference:
        reference = written(file.reference, fields)
    return {
        "messages": messages, "options": list(options), "gold": gold, "text": text,
        "reference": reference or (options[gold] if options else ""), "group": _group(file, fields, question),
        "key": _key(messages[:-1], question, options),
    }  # fmt: skip


def _messages(file: PromptFile, fields: Fields) -> tuple[list[dict[str, str]], str]:
    """The conversation up to a user's turn, and the answer behind it, "" where there is none."""
    if file.format == "fields":
        return [{"role": "user", "content": written(file.prompt, fields)}], ""
    messages = turns(file.format, fields, file.turns_field)
    if messages[-1]["role"] != "assistant":
        return messages, ""
    if len(messages) == 1:
        raise BadRow("turns are assistant, expected a question")
    return messages[:-1], messages[-1]["content"]


def _options(file: PromptFile, fields: Fields, question: str) -> tuple[tuple[str, ...], int]:
    """The options and the place of the right one; none and -1 of an open prompt."""
    if not file.gold_field:
        return (), -1
    if file.options_in_prompt:
        found = dict(zip(string.ascii_uppercase, parted(question)[1], strict=False))
    else:
        found = _stated(file, fields)
    if file.gold_field not in fields:
        raise BadRow(f"no field {file.gold_field!r}, found {', '.join(map(str, fields))}")
    gold = fields[file.gold_field]
    if gold is None or not str(gold).strip():
        if file.options_in_prompt:
            return (), -1
        raise LeftOut("no_gold")
    if not found and file.options_in_prompt:
        return (), -1
    options = {key: " ".join(option.split()) for key, option in found.items()}
    distinct = set(map(spelt, options.values()))
    if not 2 <= len(distinct) <= _MAX_OPTIONS or "" in distinct or len(distinct) < len(options):
        raise BadRow(
            f"options are {', '.join(options.values()) or 'none'}, expected 2 to {_MAX_OPTIONS} different ones"
        )
    return tuple(options.values()), _place(gold, options)


def _stated(file: PromptFile, fields: Fields) -> dict[str, str]:
    """Options by key: that of an object, else letters."""
    values: list[tuple[str, Any]] = [("", option) for option in file.options]
    for name in file.option_fields:
        if name not in fields:
            raise BadRow(f"no field {name!r}, found {', '.join(map(str, fields))}")
        value = fields[name]
        several = value if isinstance(value, list) else [value]
        many = value.items() if isinstance(value, dict) else (("", option) for option in several)
        values += [(str(key), option) for key, option in many if option not in (None, "")]
    found = {key or string.ascii_uppercase[i % _MAX_OPTIONS]: str(option) for i, (key, option) in enumerate(values)}
    if len(found) < len(values):
        raise BadRow(f"{len(values)} options with {len(found)} letters, expected one each, at most {_MAX_OPTIONS}")
    return found


def _place(gold: Any, options: dict[str, str]) -> int:
    keys, texts = list(options), [spelt(option) for option in options.values()]
    if (wanted := str(gold).strip()) in keys:
        return keys.index(wanted)
    if spelt(wanted) in texts:
        return texts.index(spelt(wanted))
    if isinstance(gold, int) and not isinstance(gold, bool) and 0 <= gold < len(keys):
        return gold
    raise BadRow(f"gold is {gold!r}, expected one of {', '.join(keys)}, an option, or its place from 0")


def _group(file: PromptFile, fields: Fields, question: str) -> str:
    if not file.group_field:
        return question_id(question)
    if fields.get(file.group_field) in (None, ""):
        raise BadRow(f"no field {file.group_field!r}, expected what the prompt belongs to")
    return f"{file.name}/{fields[file.group_field]}"


def _key(before: list[dict[str, str]], question: str, options: tuple[str, ...]) -> str:
    said = [spelt(message["content"]) for message in before if message["role"] != "system"]
    return content_id(said, spelt(question), sorted(map(spelt, options)))
