"""Imports go downward, stages meet only through artifacts, each library has its room, and the top is light."""

from __future__ import annotations

import subprocess
import sys
import tomllib

from tests.architecture.tree import REPOSITORY, listing, modules

STAGES = ("corpus", "pretrain", "synthesize", "sft", "reward", "preference", "evaluate", "report")
LAYERS = (
    ("core",),
    ("math", "text", "plan"),
    ("model", "tables", "train", "serve", "generate", "page"),
    STAGES,
    ("session",),
    ("recipes",),
    ("display", "pipeline", "cli"),
)
# Within a layer a room knows the rooms before it, unless it is named here.
STRANGERS = {("math", "text"), ("train", "generate"), ("train", "serve")}
# library -> the only files that may name it
HOMES = {
    "transformers": ("medray/model/",),
    "vllm": ("medray/generate/engine.py",),
    "deepspeed": ("medray/train/zero.py",),
    "trl": ("medray/train/trl_methods.py",),
    "peft": ("medray/model/adapter.py",),
    "ray.data": ("medray/tables/", "medray/generate/engine.py"),
    "ray.train": ("medray/train/launch.py", "medray/train/worker.py", "medray/train/elastic.py"),
    "ray.serve": ("medray/serve/",),
    "typer": ("medray/cli.py",),
    "matplotlib": ("medray/page/", "medray/report/plots.py", "medray/report/observatory.py", "medray/corpus/plots.py"),
    "jinja2": ("medray/page/", "medray/model/render.py", "medray/tables/conversations.py"),
    "pycld2": ("medray/text/language.py",),
}
HEAVY = ("torch", "ray", "transformers", "vllm", "deepspeed", "trl", "datasets", "matplotlib", "pandas")
LIGHT_CEILING = ("core", "text", "recipes", "pipeline", "cli", "display", "plan")


def layer(room: str) -> int:
    return next(number for number, rooms in enumerate(LAYERS) if room in rooms)


def may_import(room: str, other: str) -> bool:
    if room == other or layer(other) < layer(room):
        return True
    if layer(other) > layer(room) or room in STAGES or {(room, other), (other, room)} & STRANGERS:
        return False
    rooms = LAYERS[layer(room)]
    return rooms.index(other) < rooms.index(room) or layer(room) == len(LAYERS) - 1


def test_every_room_has_a_layer():
    known = {room for rooms in LAYERS for room in rooms}
    rooms = {module.room for module in modules() if module.path != "medray/__init__.py"}
    assert rooms <= known, f"rooms without a layer: {sorted(rooms - known)}"


def test_imports_go_downward():
    problems = []
    for module in modules():
        if module.path == "medray/__init__.py":
            continue
        for name, line in module.imports():
            other = name.split(".")[1] if name.startswith("medray.") else module.room
            if not may_import(module.room, other):
                problems.append(f"{module.path}:{line}: {module.room} imports {name}")
    assert not problems, listing(sorted(set(problems)), "imports go down the list only; stages meet through artifacts")


def test_each_library_has_its_room():
    problems = []
    for module in modules():
        for name, line in module.imports():
            for library, homes in HOMES.items():
                if (name == library or name.startswith(library + ".")) and not module.path.startswith(homes):
                    problems.append(f"{module.path}:{line}: {name} belongs in {' or '.join(homes)}")
    assert not problems, listing(sorted(set(problems)), "each library has one room")


def test_pure_rooms_name_no_engine():
    problems = []
    for module in modules():
        if module.room in LIGHT_CEILING:
            for name, line in module.imports():
                if name.split(".")[0] in HEAVY:
                    problems.append(f"{module.path}:{line}: {name}")
        if module.room == "math":
            problems += [f"{module.path}:{n}: {x}" for x, n in module.imports() if x.split(".")[0] in HEAVY[1:]]
    problems = [p for p in problems if not p.startswith("medray/core/journal.py")]  # trackers, when configured
    assert not problems, listing(sorted(set(problems)), "these rooms run without Ray or an engine")


def test_the_top_level_is_light():
    configs = [m.path.removesuffix(".py").replace("/", ".") for m in modules() if m.path.endswith("/config.py")]
    stages = [
        m.path.removesuffix(".py").replace("/", ".") for m in modules() if m.room in STAGES and "\nNAME = " in m.text
    ]
    for names in (["medray.pipeline", "medray.cli", "medray.recipes.demo", "medray.recipes.tiny"], configs + stages):
        code = f"import sys, {', '.join(names)}\nprint(*[n for n in {HEAVY!r} if n in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, timeout=120)
        assert done.returncode == 0, done.stderr
        assert not done.stdout.split(), f"importing {names} loads {done.stdout.split()}"


def test_third_party_imports_are_declared():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [r for extra in project["optional-dependencies"].values() for r in extra]
    names = "".join(f" {r} " for r in wanted).lower().replace("-", "_")
    ours = {"medray", "tests", "jobs", "benchmarks"}
    elsewhere = {"fastapi", "jsonschema"}  # with ray
    elsewhere |= {"flash_attn", "liger_kernel"}  # kernels of a GPU, where installed
    elsewhere |= {"pydantic_core", "markupsafe", "yaml", "packaging"}  # with pydantic, jinja2, pyyaml, pytest
    elsewhere |= {"wandb", "mlflow"}  # trackers, when configured
    elsewhere |= {"mistral_common"}  # with vllm
    problems = set()
    for module in modules("medray") + modules("tests") + modules("jobs"):
        for name, line in module.imports():
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names | ours | elsewhere and f" {top.lower()}" not in names:
                problems.add(f"{module.path}:{line}: {top}")
    assert not problems, listing(sorted(problems), "imported, but pyproject.toml does not name it")
