"""Find a recipe by name or file.py:function, and apply overrides."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError

import medray.recipes
from medray.core.config import UserError, explain, with_overrides
from medray.recipes.recipe import Recipe

_NOT_RECIPES = {"load", "recipe", "unroll"}


def recipe_names() -> list[str]:
    """Names of the recipes that medray carries."""
    return sorted(_recipes())


def _recipes() -> dict[str, Callable[[], Recipe]]:
    """Every function of ours that takes nothing and returns a Recipe, by name."""
    names = {module.name for module in pkgutil.iter_modules(medray.recipes.__path__)} - _NOT_RECIPES
    modules = [importlib.import_module(f"medray.recipes.{name}") for name in sorted(names)]
    functions = [(m, f) for m in modules for _, f in inspect.getmembers(m, inspect.isfunction)]
    return {
        function.__name__: function
        for module, function in functions
        if function.__module__ == module.__name__ and not function.__name__.startswith("_")
        and inspect.signature(function) == _RECIPE
    }  # fmt: skip


_RECIPE = inspect.Signature(return_annotation="Recipe")


def load_recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe called `name` (one of ours, or `file.py:function`) with `a.b=value` overrides applied.

    Raises UserError for an unknown name, a missing file or function, or one that returns no Recipe.
    """
    path, colon, function = name.rpartition(":")
    if colon:
        module = _module_from(Path(path), name)
        make = getattr(module, function, None)
    else:
        if name not in recipe_names():
            known = ", ".join(recipe_names())
            raise UserError(f"recipe {name!r}: unknown; expected one of {known}, or file.py:function: correct the name")
        make = _recipes()[name]
    if make is None:
        functions = ", ".join(
            n for n, f in inspect.getmembers(module, inspect.isfunction) if f.__module__ == module.__name__
        )
        raise UserError(
            f"recipe {name!r}: no function {function!r} there; it has {functions or 'none'}: correct the name"
        )
    try:
        recipe = make()
    except ValidationError as error:
        raise UserError(explain(error, f"recipe {name}")) from error
    if not isinstance(recipe, Recipe):
        raise UserError(f"recipe {name!r}: returned {type(recipe).__name__}, expected medray.recipes.recipe.Recipe")
    return with_overrides(recipe, overrides)


def _module_from(path: Path, name: str) -> ModuleType:
    if not path.is_file():
        raise UserError(f"recipe {name!r}: no file {path}: expected file.py:function, correct the path")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
