"""What stands around the package: no trace of one machine, documents that name real things, pins that agree."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.tree import REPOSITORY, Function, listing, text_files

TOP = ("medray", "jobs", "cluster", "tests", "benchmarks", "constraints", ".ci")
# Written in parts, so that this file does not break its own rule.
MACHINE_PATHS = re.compile("|".join(f"(?<![\\w.~}}])/{name}/" for name in ("root", "work", "opt", "Users")))
HOSTS = re.compile("|".join(("pypi" + r"\.org", "python" + r"hosted\.org", "npm" + r"js\.", "download\\.py" + "torch")))
DOCUMENTS = [d for d in ("README.md", "PAPERS.md", "LOG.md", "cluster/README.md") if (REPOSITORY / d).exists()]


def test_no_machine_paths_and_no_registry_hosts():
    problems = []
    for path in text_files():
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if MACHINE_PATHS.search(line) or HOSTS.search(line):
                problems.append(f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()[:100]}")
    assert not problems, listing(problems, "the tree is for every machine")


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (REPOSITORY / "Makefile").read_text(), re.M))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_name_make_targets_that_exist(document):
    named = set(re.findall(r"(?:`|^ {4}|^)make ([a-z][a-z-]*)", (REPOSITORY / document).read_text(), re.M))
    assert named <= make_targets(), f"{document} names make {sorted(named - make_targets())}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_name_files_that_exist(document):
    problems = []
    text = (REPOSITORY / document).read_text()
    for name, symbol in re.findall(r"(?<![\w/.])((?:[\w.-]+/)*[\w.-]+/?)(?::([A-Za-z_]\w*))?(?![\w/])", text):
        if name.split("/")[0] not in TOP and name not in ("LOG.md", "PAPERS.md", "LICENSE") or name in TOP:
            continue
        path = REPOSITORY / name.rstrip(".")
        if not path.exists():
            problems.append(name)
        elif symbol and path.suffix == ".py" and symbol not in definitions(path.read_text()):
            problems.append(f"{name}:{symbol}")
    assert not problems, listing(sorted(set(problems)), f"{document} names what is not there")


def definitions(text: str) -> set[str]:
    """Names that a Python file defines at its top level, and the methods of its classes."""
    found = set()
    for node in ast.parse(text).body:
        if isinstance(node, Function | ast.ClassDef):
            found.add(node.name)
            found |= {inner.name for inner in getattr(node, "body", ()) if isinstance(inner, Function)}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {t.id for t in targets if isinstance(t, ast.Name)}
    return found


def project() -> dict:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def pins(extra: str) -> dict[str, str]:
    lines = (REPOSITORY / "constraints" / f"{extra}.txt").read_text().splitlines()
    found = {}
    for line in lines:
        if not line.startswith("#"):
            assert re.fullmatch(r"[a-z0-9-]+==[\w.]+", line), f"constraints/{extra}.txt: {line!r}: no name==version"
            name, version = line.split("==")
            found[name] = version
    return found


@pytest.mark.parametrize("extra", sorted(project()["optional-dependencies"]))
def test_constraints_pin_what_each_extra_asks_for(extra):
    found = pins(extra)
    for text in project()["dependencies"] + project()["optional-dependencies"][extra]:
        requirement = Requirement(text)
        version = found.get(canonicalize_name(requirement.name))
        assert version, f"constraints/{extra}.txt: no pin for {text}: run make lock"
        assert requirement.specifier.contains(version), f"constraints/{extra}.txt: {version} does not satisfy {text}"


@pytest.mark.parametrize("extra", sorted(set(project()["optional-dependencies"]) - {"cpu", "gpu"}))
def test_constraints_agree_with_the_cpu_stack(extra):
    cpu, found = pins("cpu"), pins(extra)
    differing = {name: (cpu[name], found[name]) for name in cpu.keys() & found.keys() if cpu[name] != found[name]}
    assert not differing, f"constraints/{extra}.txt against constraints/cpu.txt: {differing}"


def test_cpu_constraints_leave_out_what_breaks_transformers():
    assert not {"torchvision", "torchaudio", "torchcodec"} & pins("cpu").keys()
    assert "+" not in pins("cpu")["torch"], "the pin has to fit the CPU build and an index's build alike"
