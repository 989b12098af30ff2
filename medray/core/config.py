"""Typed configuration: identity fields change the result, placement fields must not.

The two kinds are separated by construction: whatever stands inside a `Placement` model is left out of the content id.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError


class UserError(ValueError):
    """A mistake that the user can mend: one line with place, what was found, what was expected, what to do."""


class Config(BaseModel):
    """A frozen, closed set of fields that decide a result."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, protected_namespaces=())


class Placement(Config):
    """Fields that must not change a result beyond floating-point order: workers, threads, paths, replicas."""


C = TypeVar("C", bound=Config)


def changed(config: C, **fields: Any) -> C:
    """A checked copy of a config with other fields."""
    return type(config).model_validate({**dict(config), **fields})


def identity_of(config: Config) -> dict[str, Any]:
    """The JSON-ready identity of a config: every field that is not inside a `Placement`, nested configs included."""
    return _split(config, keep_placement=False)


def placement_of(config: Config) -> dict[str, Any]:
    """The JSON-ready placement of a config: only what stands inside `Placement` models, by dotted field name."""
    found: dict[str, Any] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, Placement):
            found[path] = value.model_dump(mode="json")
        elif isinstance(value, Config):
            for name in type(value).model_fields:
                walk(getattr(value, name), f"{path}.{name}" if path else name)
        elif isinstance(value, (tuple, list)):
            for index, item in enumerate(value):
                walk(item, f"{path}.{index}")

    walk(config, "")
    return found


def _split(value: Any, keep_placement: bool) -> Any:
    if isinstance(value, Config):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return {
            name: _split(item, keep_placement)
            for name, item in fields.items()
            if keep_placement or not isinstance(item, Placement)
        }
    if isinstance(value, (tuple, list)):
        return [_split(item, keep_placement) for item in value]
    if isinstance(value, dict):
        return {key: _split(item, keep_placement) for key, item in value.items()}
    return value


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested mappings and lists by dotted name: {"a": {"b": 1}} -> {"a.b": 1}."""
    if isinstance(value, dict) and value:
        return {k: v for key, item in value.items() for k, v in flatten(item, f"{prefix}{key}.").items()}
    if isinstance(value, list) and value:
        return {k: v for i, item in enumerate(value) for k, v in flatten(item, f"{prefix}{i}.").items()}
    return {prefix.removesuffix("."): value}


def differences(first: Any, second: Any) -> list[tuple[str, Any, Any]]:
    """The dotted fields in which two JSON-ready values differ, with both values (None where a side lacks the field)."""
    a, b = flatten(first), flatten(second)
    return [(key, a.get(key), b.get(key)) for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)]


def with_overrides(config: C, overrides: Iterable[str]) -> C:
    """A copy of a config with `a.b=value` assignments applied, each checked against the field's type.

    Values are read as the field's type (numbers, booleans, lists as JSON, else text); tuple items are addressed by
    index (`preference.rounds.0.beta=0.1`). Raises UserError for an unknown field or a wrong type.
    """
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path:
            raise UserError(f"--set {override!r}: expected field=value, e.g. --set sft.optimization.learning_rate=2e-5")
        config = _assign(config, path.split("."), text, path, type(config))
    return config


def _assign(value: Any, names: list[str], text: str, path: str, annotation: Any) -> Any:
    if not names:
        return _parse(text, path, annotation)
    name, rest = names[0], names[1:]
    if isinstance(value, Config):
        fields = type(value).model_fields
        if name not in fields:
            raise UserError(
                f"{path}: {type(value).__name__} has no field {name!r}; it has {', '.join(fields)}: correct the name"
            )
        item = _assign(getattr(value, name), rest, text, path, fields[name].annotation)
        try:
            return type(value).model_validate({**{f: getattr(value, f) for f in fields}, name: item})
        except ValidationError as error:
            raise UserError(explain(error, path)) from error
    if isinstance(value, tuple):
        if not name.isdigit() or int(name) >= len(value):
            raise UserError(f"{path}: got index {name!r}, expected 0 to {len(value) - 1}: correct the index")
        arguments = [a for a in get_args(annotation) if a is not Ellipsis] or [Any]
        index = int(name)
        item = _assign(value[index], rest, text, path, arguments[min(index, len(arguments) - 1)])
        return (*value[:index], item, *value[index + 1 :])
    if value is None:
        raise UserError(f"{path}: {name!r} is inside what the recipe leaves out: write a recipe that has it")
    raise UserError(f"{path}: {name!r} is inside a plain value, which has no fields: shorten the name")


def _parse(text: str, path: str, annotation: Any) -> Any:
    adapter = TypeAdapter(annotation)
    optional = get_origin(annotation) in (typing.Union, types.UnionType) and type(None) in get_args(annotation)
    if optional and text.lower() in ("none", "null"):
        return None
    readers = (adapter.validate_json, adapter.validate_strings)
    failures = []
    for read in readers if text[:1] in ("[", "{") else reversed(readers):
        try:
            return read(text)
        except ValidationError as error:
            failures.append(error.errors()[0]["msg"])
    raise UserError(f"{path}: got {text!r}, {failures[0].lower()}: give a value of that type")


def explain(error: ValidationError, where: str = "") -> str:
    """One line for the first problem of a pydantic error: field, what was given, what was expected."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    place = ".".join(part for part in (where, field) if part) if where != field else field
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "value_error" and isinstance(first["input"], (dict, Config)):  # several fields at odds
        return f"{place or error.title}: {first['ctx']['error']}{more}"
    return f"{place or error.title}: got {first['input']!r}, {first['msg'].lower()}: correct the field{more}"
