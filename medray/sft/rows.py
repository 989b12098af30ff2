"""Rows of instruction files as conversations: messages, ShareGPT's turns, or named fields through a template."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment
from pydantic import Field, field_validator, model_validator

from medray.core.access import Access
from medray.core.config import Config, Placement
from medray.tables.formats import BadRow

_ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}


class InstructionPlacement(Placement):
    """Where a file, or a directory of files, lies: jsonl, json, csv (each may be .zst .gz .bz2), parquet; any URL."""

    path: str


class InstructionFile(Config):
    """One source of instructions with their answers, and how its rows become conversations."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    digest: str = ""
    """SHA-256 of the file (of the list of the directory's); empty: whatever lies there."""
    licence: str
    access: Access
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
    id_field: str = ""
    """Empty: rows are numbered, from 1."""
    max_examples: int | None = Field(default=None, ge=1)
    """So many are drawn in hash order, after bad, contaminated and repeated ones are out; None: all."""
    placement: InstructionPlacement

    @field_validator("prompt", "answer")
    @classmethod
    def _can_be_read(cls, template: str) -> str:
        try:
            _template(template)
        except TemplateSyntaxError as error:
            raise ValueError(f"no Jinja template: {error}") from error
        return template

    @model_validator(mode="after")
    def _templates_belong_to_fields(self) -> InstructionFile:
        if (self.format == "fields") != bool(self.prompt) or bool(self.prompt) != bool(self.answer):
            raise ValueError('prompt and answer belong to the format "fields": give both, or none and another format')
        return self


@lru_cache(maxsize=64)
def _template(text: str) -> Any:
    return SandboxedEnvironment(undefined=StrictUndefined, autoescape=False).from_string(text)


def conversation(file: InstructionFile, fields: dict[str, Any]) -> dict[str, Any]:
    """The row as messages that end with the assistant's, with `text`, all of it, and `id` where the file names one.

    Raises BadRow for what is no conversation: a field that is missing, a turn that is empty or out of order.
    """
    fields = {name: "" if value in file.empty_values else value for name, value in fields.items()}
    messages = _from_fields(file, fields) if file.format == "fields" else _from_turns(file.format, fields)
    if file.system and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": file.system})
    _check_turns(messages)
    made = {"messages": messages, "text": "\n\n".join(message["content"] for message in messages)}
    if not file.id_field:
        return made
    if fields.get(file.id_field) in (None, ""):
        raise BadRow(f"no field {file.id_field!r}, expected its id")
    return made | {"id": str(fields[file.id_field])}


def _from_fields(file: InstructionFile, fields: dict[str, Any]) -> list[dict[str, str]]:
    texts = []
    for template in (file.prompt, file.answer):
        try:
            texts.append(_template(template).render(fields).strip())
        except TemplateError as error:
            raise BadRow(f"{error}, found {', '.join(map(str, fields))}") from error
    return [{"role": "user", "content": texts[0]}, {"role": "assistant", "content": texts[1]}]


def _from_turns(format: str, fields: dict[str, Any]) -> list[dict[str, str]]:
    role_field, text_field = ("role", "content") if format == "messages" else ("from", "value")
    turns = fields.get(format)
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise BadRow(f"no {format}, expected a list of {role_field} and {text_field}")
    messages = []
    for number, turn in enumerate(turns):
        role, text = _ROLES.get(turn.get(role_field)), turn.get(text_field)
        if role is None or not isinstance(text, str):
            raise BadRow(f"turn {number}: {role_field} is {turn.get(role_field)!r}, {text_field} {type(text).__name__}")
        messages.append({"role": role, "content": text.strip()})
    return messages


def _check_turns(messages: list[dict[str, str]]) -> None:
    if empty := [number for number, message in enumerate(messages) if not message["content"]]:
        raise BadRow(f"turn {empty[0]} ({messages[empty[0]]['role']}) is empty")
    roles = [message["role"] for message in messages]
    turns = roles[1:] if roles[0] == "system" else roles
    if turns != ["user", "assistant"] * (len(turns) // 2) or not turns:
        raise BadRow(f"turns are {', '.join(roles)}, expected user and assistant by turns, the assistant last")
