"""The source tree as the architecture tests see it: modules parsed once, definitions with their nesting."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_NOT_OURS = {
    ".git",
    ".venv",
    "runs",
    "build",
    "dist",
    "__pycache__",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    ".device",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One Python file: its path in the repository, its text, its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """`train` for medray/train/loop.py, `pipeline` for medray/pipeline.py."""
        return Path(self.path).parts[1].removesuffix(".py")

    def imports(self) -> Iterator[tuple[str, int]]:
        """Dotted names imported anywhere in the file (`from a import b` gives a and a.b), with the line."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                assert node.level == 0, f"{self.path}:{node.lineno}: relative import; write the whole name"
                yield node.module, node.lineno
                yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)

    def public(self) -> Iterator[tuple[str, Function | ast.ClassDef]]:
        """Public classes, functions and methods (no nested functions), as (dotted name, node)."""
        for node in self.tree.body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, node
                for inner in node.body if isinstance(node, ast.ClassDef) else ():
                    if isinstance(inner, Function) and not inner.name.startswith("_"):
                        yield f"{node.name}.{inner.name}", inner


@cache
def modules(directory: str = "medray") -> tuple[Module, ...]:
    """Every Python file below a directory of the repository, in order of path."""
    found = []
    for path in sorted((REPOSITORY / directory).rglob("*.py")):
        text = path.read_text()
        found.append(Module(str(path.relative_to(REPOSITORY)), text, ast.parse(text, str(path))))
    return tuple(found)


@cache
def text_files() -> tuple[Path, ...]:
    """Every text file that belongs to the repository, whatever its kind (binary ones are left out)."""
    found = []
    for path in sorted(REPOSITORY.rglob("*")):
        parts = path.relative_to(REPOSITORY).parts
        if path.is_file() and not any(
            p in _NOT_OURS or p.startswith(".venv-") or p.endswith(".egg-info") for p in parts
        ):
            if b"\0" not in path.read_bytes()[:4096]:
                found.append(path)
    return tuple(found)


def listing(problems: list[str], rule: str) -> str:
    """The message of a failed rule: what is asked, then every place that breaks it."""
    return f"{rule}\n  " + "\n  ".join(problems)
