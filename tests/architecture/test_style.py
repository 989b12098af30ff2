"""The law of DESIGN: sizes, names, docstrings, annotations, exceptions; read from the syntax tree."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.architecture.tree import Function, listing, modules

FORBIDDEN_MODULES = {"utils", "util", "common", "helpers", "helper", "misc", "tools"}
MAX_FILE, MAX_FUNCTION, MAX_LOOP = 300, 60, 120
SCORE = re.compile(r"(^|_)scores?($|_)")


def test_files_and_functions_fit_their_ceilings():
    problems = []
    for module in modules() + modules("jobs"):
        if (lines := module.text.count("\n")) > MAX_FILE:
            problems.append(f"{module.path}: {lines} lines, ceiling {MAX_FILE}")
        ceiling = MAX_LOOP if module.path == "medray/train/loop.py" else MAX_FUNCTION
        for node in ast.walk(module.tree):
            if isinstance(node, Function) and (lines := node.end_lineno - node.lineno + 1) > ceiling:
                problems.append(f"{module.path}:{node.lineno}: {node.name} has {lines} lines, ceiling {ceiling}")
    assert not problems, listing(problems, "a file is a room, a function a page")


def test_no_junk_drawers():
    problems = [m.path for m in modules() if FORBIDDEN_MODULES & set(Path(m.path).with_suffix("").parts)]
    assert not problems, listing(problems, f"no module is called {', '.join(sorted(FORBIDDEN_MODULES))}")


def test_jobs_are_doors():
    problems = [f"{m.path}: {m.text.count(chr(10))} lines" for m in modules("jobs") if m.text.count("\n") > 35]
    assert not problems, listing(problems, "jobs/ holds doors without logic (about 25 lines)")


def test_modules_and_public_functions_say_what_they_are():
    problems = []
    for module in modules() + modules("jobs"):
        if not ast.get_docstring(module.tree) and module.text.strip():
            problems.append(f"{module.path}: no module docstring")
        for name, node in module.public():
            if not ast.get_docstring(node) and not _is_obvious(node):
                problems.append(f"{module.path}:{node.lineno}: {name}")
    assert not problems, listing(problems, "public functions, methods and classes have a docstring")


def _is_obvious(node: ast.AST) -> bool:
    """Overloads and protocol stubs, whose body is `...`, and validators, whose name and decorator say it."""
    decorators = [ast.unparse(d) for d in node.decorator_list]
    return any(d.split("(")[0].split(".")[-1] in {"overload", "field_validator", "model_validator"} for d in decorators)


def test_public_functions_are_annotated():
    problems = []
    for module in modules() + modules("jobs"):
        for name, node in module.public():
            if not isinstance(node, Function):
                continue
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
            bare = [a.arg for a in every if a and not a.annotation and a.arg not in ("self", "cls")]
            if bare or node.returns is None:
                problems.append(f"{module.path}:{node.lineno}: {name}: {', '.join(bare) or 'return value'}")
    assert not problems, listing(problems, "parameters and return values of public functions have types")


def test_no_broad_except_without_raise():
    problems = []
    for module in modules() + modules("jobs"):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler):
                types = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                broad = any(t is None or ast.unparse(t) in ("Exception", "BaseException") for t in types)
                if broad and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
                    problems.append(f"{module.path}:{node.lineno}")
    assert not problems, listing(problems, "nothing is swallowed: catch what you expect, or raise again")


def test_score_is_not_a_noun():
    problems = []
    for module in modules():
        for node in ast.walk(module.tree):
            names = []
            if isinstance(node, Function | ast.ClassDef):
                names = [node.name]
            elif isinstance(node, ast.arg):
                names = [node.arg]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = [node.target.id]
            elif isinstance(node, ast.Assign):
                names = [t.id for t in node.targets if isinstance(t, ast.Name)]
            problems += [f"{module.path}:{node.lineno}: {name}" for name in names if SCORE.search(name.lower())]
    assert not problems, listing(problems, "say reward, judgement or metric, not score")
