"""Rows of the usual formats as conversations: messages, ShareGPT's turns, and text that a template writes of fields."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment

from medray.tables.formats import BadRow, Fields

Messages = list[dict[str, str]]

_ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}


def checked_template(template: str) -> str:
    """The Jinja template itself. Raises ValueError when it cannot be read."""
    try:
        _template(template)
    except TemplateSyntaxError as error:
        raise ValueError(f"no Jinja template: {error}") from error
    return template


@lru_cache(maxsize=64)
def _template(text: str) -> Any:
    made = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, finalize=_nothing_for_null)
    return made.from_string(text)


def _nothing_for_null(value: Any) -> Any:
    return "" if value is None else value


def written(template: str, fields: Fields) -> str:
    """The text that a template makes of a row; a null is nothing. Raises BadRow for a field that the row lacks."""
    try:
        return _template(template).render(fields).strip()
    except TemplateError as error:
        raise BadRow(f"{error}, found {', '.join(map(str, fields))}") from error


def turns(format: str, fields: Fields, field: str = "") -> Messages:
    """Messages of a field that holds turns: of role and content ("messages"), of from and value ("conversations").

    field: its name, where that is not the format's. Raises BadRow for what is no list of turns.
    """
    field = field or format
    role_field, text_field = ("role", "content") if format == "messages" else ("from", "value")
    found = fields.get(field)
    if not isinstance(found, list) or not found or not all(isinstance(turn, dict) for turn in found):
        raise BadRow(f"no {field}, expected a list of {role_field} and {text_field}")
    messages = []
    for number, turn in enumerate(found):
        role, text = _ROLES.get(turn.get(role_field)), turn.get(text_field)
        if role is None or not isinstance(text, str):
            raise BadRow(f"turn {number}: {role_field} is {turn.get(role_field)!r}, {text_field} {type(text).__name__}")
        messages.append({"role": role, "content": text.strip()})
    return messages


def with_system(messages: Messages, system: str) -> Messages:
    """The messages with a system message before them, unless there is none to give or they have one."""
    if not system or (messages and messages[0]["role"] == "system"):
        return messages
    return [{"role": "system", "content": system}, *messages]


def check_turns(messages: Messages, last: str) -> None:
    """Raise BadRow unless user and assistant speak by turns, behind at most one system message, to the last role."""
    if empty := [number for number, message in enumerate(messages) if not message["content"]]:
        raise BadRow(f"turn {empty[0]} ({messages[empty[0]]['role']}) is empty")
    roles = [message["role"] for message in messages]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    expected = ["user", "assistant"] * (len(spoken) // 2) + ["user"] * (len(spoken) % 2)
    if spoken != expected or spoken[-1:] != [last]:
        raise BadRow(f"turns are {', '.join(roles)}, expected user and assistant by turns, the {last} last")


def whole_text(messages: Messages) -> str:
    """All that is said, message after message."""
    return "\n\n".join(message["content"] for message in messages)
