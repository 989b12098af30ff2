"""The commands of README.md, run as they stand there, with the tiny recipe in place of the demo."""

import json
import re
import shlex
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def readme(repository):
    return (repository / "README.md").read_text()


def commands(readme, tiny_root):
    """The `.venv/bin/medray` lines; what would train for minutes is planned instead of run."""
    for line in re.findall(r"^    \.venv/bin/medray (.+)$", readme, flags=re.MULTILINE):
        words = shlex.split(line, comments=True)
        words = ["tiny" if word == "demo" else word for word in words]
        if words[0] == "diff":
            words[1:] = [str(tiny_root), str(tiny_root)]
        elif "--root" in words:
            words[words.index("--root") + 1] = str(tiny_root)
        else:
            words += ["--root", str(tiny_root)]
        if words[0] == "run" and words[1:] != ["tiny", "--root", str(tiny_root)]:
            words[0] = "plan"
        yield words


def test_every_command_works(readme, tiny_root, tmp_path, repository):
    function = re.search(r"```python\n(.*?)```", readme, flags=re.DOTALL).group(1)
    (tmp_path / "my_recipe.py").write_text(function)
    chat = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]
    (tmp_path / "chats.jsonl").write_text(json.dumps({"messages": chat}) + "\n")
    write_named_files(tmp_path / "DIRECTORY")
    ran = []
    for words in commands(readme, tiny_root):
        done = subprocess.run(
            [sys.executable, "-m", "medray.cli", *words], capture_output=True, text=True, timeout=300, cwd=tmp_path
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        ran.append(words[0])
    assert {"plan", "run", "show", "verify", "diff"} <= set(ran)


def write_named_files(directory):
    """Something under each name that `open_preferences` reads: its plan takes digests and no more."""
    from medray.recipes.load import load_recipe

    recipe = load_recipe("open_preferences")
    for config in (recipe.prompts, recipe.reward.pairs):
        for file in (*config.files, *config.benchmarks):
            path = directory / file.placement.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}\n")


def test_its_own_recipe_changes_what_it_says(readme, tmp_path):
    from medray.recipes.load import load_recipe

    (tmp_path / "my_recipe.py").write_text(re.search(r"```python\n(.*?)```", readme, flags=re.DOTALL).group(1))
    recipe = load_recipe(f"{tmp_path}/my_recipe.py:gentle")
    assert (recipe.sft.optimization.learning_rate, recipe.sft.optimization.epochs) == (2e-5, 2)
    assert recipe.pretrain == load_recipe("demo").pretrain
