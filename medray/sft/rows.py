"""Rows of instruction files as conversations: messages, ShareGPT's turns, or named fields through a template."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from medray.tables.adopted import AdoptedFile
from medray.tables.conversations import check_turns, checked_template, turns, whole_text, with_system, written


class InstructionFile(AdoptedFile):
    """One source of instructions with their answers, and how its rows become conversations."""

    format: Literal["messages", "conversations", "fields"]
    """messages: `messages` of role and content; conversations: `conversations` of from (human, gpt) and value; fields:
    `prompt` and `answer` written from the row's fields."""
    prompt: str = ""
    """Jinja template over the row's fields; a field that a row lacks is an error, and the row is set aside."""
    answer: str = ""
    system: str = ""
    """A system message for every conversation that has none; "": none."""
    empty_values: tuple[str, ...] = ()
    """Texts that say that a field is empty ("<noinput>"), where they are the whole field: never a part of it, since
    "NA" is a part of DNA."""
    max_examples: int | None = Field(default=None, ge=1)
    """So many are drawn in hash order, after bad, contaminated and repeated ones are out; None: all."""

    _templates = field_validator("prompt", "answer")(checked_template)

    @model_validator(mode="after")
    def _templates_belong_to_fields(self) -> InstructionFile:
        if (self.format == "fields") != bool(self.prompt) or bool(self.prompt) != bool(self.answer):
            raise ValueError('prompt and answer belong to the format "fields": give both, or none and another format')
        return self


def conversation(file: InstructionFile, fields: dict[str, Any]) -> dict[str, Any]:
    """The row as messages that end with the assistant's, with `text`, all of it.

    Raises BadRow for what is no conversation: a field that is missing, a turn that is empty or out of order.
    """
    fields = {name: "" if value in file.empty_values else value for name, value in fields.items()}
    if file.format == "fields":
        sides = (("user", file.prompt), ("assistant", file.answer))
        messages = [{"role": role, "content": written(template, fields)} for role, template in sides]
    else:
        messages = turns(file.format, fields)
    messages = with_system(messages, file.system)
    check_turns(messages, "assistant")
    return {"messages": messages, "text": whole_text(messages)}
