"""Bad input at the command line: one line with place, expectation and remedy; exit code 2; nothing sealed touched."""

import os
import shutil
import socket
import subprocess

import pytest

from medray.core.workspace import Root
from medray.pipeline import stages_of
from medray.recipes.load import load_recipe


@pytest.fixture(scope="module")
def refused(medray):
    """The one line with which a command is refused."""

    def call(*arguments, **environment) -> str:
        done = medray(*arguments, timeout=120, **environment)
        lines = [line for line in done.stderr.splitlines() if line]
        assert done.returncode == 2, done.stdout + done.stderr
        assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
        return lines[0]

    return call


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "dmeo"], ["dmeo", "expected one of", "demo", "tiny"]),
        (["plan", "nowhere.py:make"], ["nowhere.py", "correct the path"]),
        (["plan"], ["no recipe named"]),
        (
            ["plan", "tiny", "--set", "sft.optimization.learning_rat=1"],
            ["sft.optimization.learning_rat", "learning_rate"],
        ),
        (["plan", "tiny", "--set", "sft.optimization.learning_rate=fast"], ["learning_rate", "'fast'", "number"]),
        (["plan", "tiny", "--set", "sft.optimization.learning_rate=-1"], ["learning_rate", "greater than 0"]),
        (["run", "tiny", "--only", "pretrian"], ["pretrian", "pretrain"]),
        (["diff", "/nonexistent-a", "/nonexistent-b"], ["no sealed artifact there"]),
        (["show", "pretrain", "--root", "/nonexistent-a"], ["0 artifacts match"]),
    ],
)
def test_wrong_words(refused, arguments, words):
    line = refused(*arguments)
    assert all(word in line for word in words), line


def test_own_recipe_file_that_is_wrong(refused, tmp_path):
    (tmp_path / "mine.py").write_text("def make():\n    return 3\n")
    assert "no function 'mak'" in refused("plan", f"{tmp_path}/mine.py:mak")
    assert "returned int, expected" in refused("plan", f"{tmp_path}/mine.py:make")


def test_address_without_a_cluster(refused, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    line = refused("run", "tiny", "--root", tmp_path, RAY_ADDRESS=address)
    assert address in line and "ray start --head" in line
    assert "expected host:port" in refused("run", "tiny", "--root", tmp_path, RAY_ADDRESS="nonsense")


def test_root_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot write" in refused("run", "tiny", "--root", tmp_path / "file" / "root")


def test_input_not_sealed(refused, tmp_path):
    line = refused("run", "tiny", "--root", tmp_path, "--only", "pretrain")
    assert "is not sealed" in line and "--from" in line


def test_two_runs_on_one_root(refused, tmp_path):
    stage = stages_of(load_recipe("tiny"))[0]
    with Root(str(tmp_path)).lease(stage.kind, stage.id):
        assert f"process {os.getpid()}" in refused("run", "tiny", "--root", tmp_path)


@pytest.fixture
def small_disk(tmp_path):
    mount = tmp_path / "disk"
    mount.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount]).returncode
    ):
        pytest.skip("needs the right to mount a small disk")
    yield mount
    subprocess.run(["umount", mount], check=True)


def test_full_disk(refused, small_disk):
    """The probe fits, the sources do not."""
    assert "No space left" in refused("run", "tiny", "--root", small_disk / "runs")


def test_changed_artifact_is_found_and_not_repaired_in_silence(medray, tiny_root, tmp_path):
    shutil.copytree(tiny_root, tmp_path / "copy")
    root = Root(str(tmp_path / "copy"))
    stage = next(s for s in stages_of(load_recipe("tiny")) if s.label == "corpus")
    (root.directory(stage.kind, stage.id) / "data" / "card.json").write_text("{}")
    done = medray("verify", "--recipe", "tiny", "--root", root.url)
    assert done.returncode == 1 and "first problem at corpus" in done.stdout and "card.json" in done.stdout


@pytest.fixture(scope="module")
def base_model(tiny_root):
    """The tiny base model's directory, to be spoilt in copies."""
    stage = next(s for s in stages_of(load_recipe("tiny")) if s.label == "base")
    return Root(str(tiny_root)).directory(stage.kind, stage.id) / "data" / "model"


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("tokenizer.json", ["no tokenizer.json", "save_pretrained"]),
        ("chat_template.jinja", ["no chat template", "add chat_template.jinja"]),
        ("model.safetensors", ["no *.safetensors"]),
    ],
)
def test_checkpoint_that_lacks_a_part(refused, base_model, tmp_path, missing, words):
    shutil.copytree(base_model, tmp_path / "model")
    (tmp_path / "model" / missing).unlink()
    fields = {
        "format": "huggingface",
        "placement.package": "",
        "placement.file": "",
        "placement.path": tmp_path / "model",
    }
    changes = [word for name, value in fields.items() for word in ("--set", f"base.{name}={value}")]
    line = refused("run", "demo", *changes, "--only", "base", "--root", tmp_path / "runs")
    assert all(word in line for word in (*words, str(tmp_path / "model"))), line


def test_directory_that_is_not_there(refused, tmp_path):
    fields = {"format": "huggingface", "placement.package": "", "placement.file": "", "placement.path": tmp_path / "no"}
    changes = [word for name, value in fields.items() for word in ("--set", f"base.{name}={value}")]
    assert f"{tmp_path / 'no'}" in refused("plan", "demo", *changes)


def test_corpus_of_which_nothing_is_left(refused, tiny_root, tmp_path):
    for name in ("sources", "base", "synthesize"):
        shutil.copytree(tiny_root / name, tmp_path / name)
    change = ("--set", "clean.rules.min_words=90000", "--only", "clean", "--root", tmp_path)
    line = refused("run", "tiny", *change)
    assert "no document is left" in line and "clean.rules" in line, line
