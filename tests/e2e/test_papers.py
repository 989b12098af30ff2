"""The papers' training in small, on files that a user brings: instructions, prompts, preferences."""

import json
import random

import pytest

from medray.core.schema import COMPLETION, PAIR, PROMPT, read_table
from medray.core.workspace import Root
from medray.pipeline import stages_of
from medray.recipes.load import load_recipe
from medray.recipes.open_corpus import BENCHMARKS
from medray.recipes.tiny_preferences import MODELS

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
    write("eval/medmcqa.jsonl", [
        {"id": f"m{i}", "question": f"{text(12)} {i}?", "options": {"A": f"a{i} {text(2)}", "B": f"b{i} {text(2)}"},
         "answer_idx": "AB"[i % 2]}
        for i in range(40)
    ])  # fmt: skip
    write("preference/icliniq_model_outputs.jsonl.zst", [
        {"prompt": f"{text(20)} {i}?", "responses": {model: f"{text(12)} {model}" for model in MODELS}}
        for i in range(60)
    ])  # fmt: skip
    rows = [{"id": f"q{i}", "question": f"{text(8)} {i}?", "answer": text(90)} for i in range(NUM_ROWS["medquad"])]
    rows[3]["answer"] += f" {ITEM}"
    write("instruct/medquad_qa.jsonl.zst", rows)
    write("instruct/pubmedqa_train.jsonl", [
        {"id": f"p{i}", "context": text(60), "question": f"{text(9)} {i}?", "long_answer": text(30), "answer": "yes"}
        for i in range(NUM_ROWS["pubmedqa"])
    ])  # fmt: skip
    return directory


FULL = {"marks": [pytest.mark.full, pytest.mark.timeout(1500)]}


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("tiny_med42", ["rounds=[]"]),
        pytest.param("tiny_med42", [], **FULL),
        pytest.param("tiny_alpacare", [], **FULL),
        pytest.param("tiny_ultramedical", [], **FULL),
    ],
)
def test_a_papers_fine_tuning_reads_its_instructions_and_learns(medray, directory, tmp_path, name, overrides):
    setting = [f"files.directory={directory}", *overrides]
    done = medray("run", name, "--root", tmp_path / "runs", *set_(setting), timeout=1400)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    root = Root(str(tmp_path / "runs"))
    made = {stage.label: root.open(stage.kind, stage.id) for stage in stages_of(load_recipe(name, setting))}
    assert {label: artifact.verify() for label, artifact in made.items()} == dict.fromkeys(made, [])
    counters = made["instructions"].manifest.counters
    assert counters["num_in"] == sum(NUM_ROWS.values())
    assert counters["num_out"] == counters["num_in"] - 1, counters
    [found] = [row for row in json.loads((made["instructions"].data / "certificates.json").read_text())
               if row["items_found"]]  # fmt: skip
    assert (found["benchmark"], found["found_in"]) == ("kqa", {"1": ["medquad/q3"]})
    losses = [record["loss"] for record in made["sft"].journal_history()]
    assert sum(losses[-3:]) < sum(losses[:3])  # a little: 5e-6 is for a trained model
    if "round_3.dpo" in made:
        rounds = [made[f"round_{number}.pairs"].manifest.counters for number in (1, 2, 3)]
        assert [counters["num_pairs_train"] for counters in rounds] == [96, 48, 48]
        starts = [made[f"round_{number}.dpo"].journal_history()[0]["loss"] for number in (1, 2, 3)]
        assert starts == pytest.approx([0.6931] * 3, abs=1e-3), "the reference is the round's own start"


def set_(overrides):
    """Arguments of the command line."""
    return [part for override in overrides for part in ("--set", override)]


@pytest.mark.full
def test_prompts_and_preferences_of_files_give_a_reward_model_and_a_round(medray, directory, tmp_path):
    """No corpus, nothing synthesized, no fine-tuning: the base answers the user's prompts."""
    setting = [f"files.directory={directory}", "sft=none", "instructions=none"]
    done = medray("run", "tiny_ultramedical", "--root", tmp_path / "runs", *set_(setting))
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    root = Root(str(tmp_path / "runs"))
    stages = stages_of(load_recipe("tiny_ultramedical", setting))
    made = {stage.label: root.open(stage.kind, stage.id) for stage in stages}
    assert {label: artifact.verify() for label, artifact in made.items()} == dict.fromkeys(made, [])
    counters = {label: artifact.manifest.counters for label, artifact in made.items()}
    asked = read_table(made["prompts"].data / "prompts.parquet", PROMPT).to_pylist()
    assert {row["task"] for row in asked} == {"patients", "medmcqa"} and len(asked) == 28
    assert counters["prompts"]["num_in"] == 100 and counters["prompts"]["num_not_drawn"] == 72
    fresh = {row["group"] for row in asked if row["split"] == "fresh"}
    pairs = read_table(made["reward.pairs"].data / "pairs.parquet", PAIR).to_pylist()
    assert pairs and not fresh & {row["prompt_id"] for row in pairs}
    assert counters["reward.train"]["num_pairs"] == counters["reward.pairs"]["num_pairs_train"]
    judged = counters["round_1.answer"]
    assert (judged["num_prompts"], judged["num_completions"]) == (16, 80)
    drops = sum(value for name, value in counters["round_1.pairs"].items() if not name.startswith("num_"))
    assert drops == 16 and counters["round_1.pairs"]["num_pairs"] > 0
    assert made["round_1.dpo"].journal_history()[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    figures = json.loads((made["fresh.round_1"].data / "metrics.json").read_text())
    assert figures["reward_mean"]["count"] == 12
    assert {"CC BY-NC 4.0", "Apache-2.0"} <= set(made["round_1.dpo"].manifest.licences)
    assert made["round_1.dpo"].manifest.access == "restricted"


@pytest.mark.full
@pytest.mark.timeout(2000)
def test_three_online_rounds_from_the_base_have_prompts_of_their_own(medray, directory, tmp_path):
    setting = [f"files.directory={directory}"]
    done = medray("run", "tiny_online_rlhf", "--root", tmp_path / "runs", *set_(setting), timeout=1900)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    root = Root(str(tmp_path / "runs"))
    stages = stages_of(load_recipe("tiny_online_rlhf", setting))
    made = {stage.label: root.open(stage.kind, stage.id) for stage in stages}
    asked = [
        {row["prompt_id"] for row in read_table(made[f"round_{n}.answer"].data / "completions", COMPLETION).to_pylist()}
        for n in (1, 2, 3)
    ]
    assert [len(ids) for ids in asked] == [16, 16, 16] and len(set.union(*asked)) == 48
    counters = [made[f"round_{n}.answer"].manifest.counters for n in (1, 2, 3)]
    assert [found["num_completions"] for found in counters] == [128] * 3
