"""The papers' fine-tuning in small, on files that a user brings: instructions, then SFT on the table they make."""

import json
import random

import pytest

from medray.core.workspace import Root
from medray.pipeline import stages_of
from medray.recipes.load import load_recipe
from medray.recipes.open_corpus import BENCHMARKS

pytestmark = pytest.mark.timeout(600)

WORDS = "renal failure leads to anaemia because the kidney makes less erythropoietin and bile comes from liver".split()
NUM_ROWS = {"medquad": 150, "pubmedqa": 30}
ITEM = "Which hormone of the kidney is lacking in patients whose marrow makes too few red cells for their needs"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Files of the recipes' names and fields; one instruction holds the one item of a benchmark."""
    import zstandard

    directory, draw = tmp_path_factory.mktemp("files"), random.Random(7)

    def write(path, rows):
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        target = directory / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(zstandard.compress(content) if target.suffix == ".zst" else content)

    def text(length):
        return " ".join(draw.choices(WORDS, k=length))

    for file in BENCHMARKS:
        item = {file.id_field or "number": "1", file.text_field: text(20) + f" {file.name}"}
        write(file.placement.path, [item | dict.fromkeys(file.option_fields, [text(4), text(4)])])
    write("eval/kqa.jsonl", [{"Question": ITEM}])
    rows = [{"id": f"q{i}", "question": f"{text(8)} {i}?", "answer": text(90)} for i in range(NUM_ROWS["medquad"])]
    rows[3]["answer"] += f" {ITEM}"
    write("instruct/medquad_qa.jsonl.zst", rows)
    write("instruct/pubmedqa_train.jsonl", [
        {"id": f"p{i}", "context": text(60), "question": f"{text(9)} {i}?", "long_answer": text(30), "answer": "yes"}
        for i in range(NUM_ROWS["pubmedqa"])
    ])  # fmt: skip
    return directory


@pytest.mark.parametrize(
    "name",
    [
        "tiny_med42",
        pytest.param("tiny_alpacare", marks=pytest.mark.full),
        pytest.param("tiny_ultramedical", marks=pytest.mark.full),
    ],
)
def test_a_papers_fine_tuning_reads_its_instructions_and_learns(medray, directory, tmp_path, name):
    setting = ("--set", f"files.directory={directory}")
    done = medray("run", name, "--root", tmp_path / "runs", *setting)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    root = Root(str(tmp_path / "runs"))
    made = {stage.label: root.open(stage.kind, stage.id) for stage in stages_of(load_recipe(name, list(setting[1:])))}
    assert {label: artifact.verify() for label, artifact in made.items()} == dict.fromkeys(made, [])
    counters = made["instructions"].manifest.counters
    assert counters["num_in"] == sum(NUM_ROWS.values())
    assert counters["num_out"] == counters["num_in"] - 1, counters
    [found] = [row for row in json.loads((made["instructions"].data / "certificates.json").read_text())
               if row["items_found"]]  # fmt: skip
    assert (found["benchmark"], found["found_in"]) == ("kqa", {"1": ["medquad/q3"]})
    losses = [record["loss"] for record in made["sft"].journal_history()]
    assert sum(losses[-3:]) < sum(losses[:3])  # a little: 5e-6 is for a trained model
