"""Instruction files to examples: every row is accounted for, and no benchmark item is left in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medray.core.config import UserError
from medray.core.schema import EXAMPLE, read_table
from medray.core.workspace import Root, Workspace
from medray.sft import instructions
from medray.sft.instructions import InstructionsConfig
from medray.sft.rows import InstructionFile, conversation
from medray.tables.adopted import FilePlacement
from medray.tables.formats import BadRow
from tests.unit.reading import CLEAN, gathered_here, judged_by

STEM = "A 45 year old woman with a painless swelling of the neck and a history of thyroid disease asks what it is"
TURNS = {"name": "turns", "licence": "MIT", "access": "public", "format": "messages"}
ALPACA = {
    "name": "alpaca", "licence": "CC BY-NC 4.0", "access": "restricted", "format": "fields",
    "prompt": "{{ instruction }}{% if input %}\n\n{{ input }}{% endif %}", "answer": "{{ output }}",
    "empty_values": ("<noinput>", "NA"),
}  # fmt: skip


def file_of(path: Path, **fields) -> InstructionFile:
    return InstructionFile(placement=FilePlacement(path=str(path)), **fields)


def lines(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def talk(question: str, answer: str = "Yes.") -> dict:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def config_of(*files: InstructionFile, benchmark: Path | None = None, **fields) -> InstructionsConfig:
    checks = judged_by(benchmark) if benchmark else CLEAN
    given = {"dev_fraction": 0.0, "max_bad_fraction": 0.5, "rng_seed": 1} | checks | fields
    return instructions.resolve(InstructionsConfig(files=files, **given))


def made(config: InstructionsConfig, directory: Path) -> tuple[list[dict], list[dict], Workspace]:
    """The examples and the account, without Ray."""
    root = Root(str(directory))
    root.prepare()
    workspace = Workspace(root, "instructions", "0" * 32, "instructions")
    account = instructions.choose(config, gathered_here(config, instructions.KIND, workspace), workspace)
    return read_table(workspace.data / "examples.parquet", EXAMPLE).to_pylist(), account, workspace


def test_alpaca_rows_and_the_sentinel_is_a_whole_field(tmp_path):
    file = file_of(tmp_path, **ALPACA)
    row = {"instruction": "Explain DNA.", "input": "<noinput>", "output": "A molecule."}
    assert conversation(file, row)["messages"] == talk("Explain DNA.", "A molecule.")["messages"]
    row |= {"input": "RNA and DNA; NAFLD"}  # holds NA, and stays
    assert conversation(file, row)["messages"][0]["content"] == "Explain DNA.\n\nRNA and DNA; NAFLD"
    with pytest.raises(BadRow, match="'output' is undefined, found instruction, input"):
        conversation(file, {"instruction": "Explain.", "input": "NA"})
    with pytest.raises(BadRow, match=r"turn 1 \(assistant\) is empty"):
        conversation(file, row | {"output": "NA"})


def test_sharegpt_turns_and_the_system_message(tmp_path):
    file = file_of(tmp_path, **TURNS | {"format": "conversations", "system": "Be brief.", "id_field": "id"})
    turns = [{"from": "human", "value": "Why? "}, {"from": "gpt", "value": "Because."}]
    found = conversation(file, {"id": "MedQA,1", "conversations": turns})
    assert [m["role"] for m in found["messages"]] == ["system", "user", "assistant"]
    assert found["text"] == "Be brief.\n\nWhy?\n\nBecause."
    own = [{"from": "system", "value": "Mine."}, *turns]
    assert conversation(file, {"id": 2, "conversations": own})["messages"][0]["content"] == "Mine."
    for bad, reason in (
        ({"id": 1, "conversations": turns[:1]}, "turns are system, user, expected user and assistant by turns"),
        ({"id": 1, "conversations": [{"from": "tool", "value": "x"}]}, "turn 0: from is 'tool'"),
        ({"id": 1, "conversations": [{"from": "human", "value": 3}]}, "value int"),
        ({"id": 1}, "no conversations, expected a list"),
        ({"id": 1, "conversations": "text"}, "no conversations, expected a list"),
    ):
        with pytest.raises(BadRow, match=reason):
            conversation(file, bad)


def test_every_row_has_its_fate(tmp_path):
    first = lines(tmp_path / "a.jsonl", [talk(f"Question {n}?") for n in range(6)] + [talk("Question 0?"), {"a": 1}])
    exam = lines(tmp_path / "exam.jsonl", [{"id": "q1", "question": STEM}])
    second = lines(tmp_path / "b.jsonl", [talk(f"In short: {STEM.upper()}!"), talk("Question 3?"), talk("New?")])
    config = config_of(
        file_of(first, **TURNS, max_examples=4), file_of(second, **TURNS | {"name": "more"}), benchmark=exam
    )
    examples, account, workspace = made(config, tmp_path / "runs")
    fates = [{k: row[k] for k in ("in", "out", "contaminated", "repeated", "not_drawn", "bad")} for row in account]
    assert fates == [
        {"in": 8, "out": 4, "contaminated": 0, "repeated": 1, "not_drawn": 2, "bad": 1},
        {"in": 3, "out": 1, "contaminated": 1, "repeated": 1, "not_drawn": 0, "bad": 0},
    ]
    assert len(examples) == 5 and examples[-1]["messages"] == talk("New?")["messages"]
    (certificate,) = json.loads((workspace.data / "certificates.json").read_text())
    assert certificate["found_in"] == {"q1": ["more/0/1"]} and certificate["items_found"] == 1
    assert STEM[:30].lower() not in json.dumps(certificate).lower()
    assert [row["where"] for row in workspace.quarantined()] == ["a.jsonl:8"]


def test_what_is_drawn_does_not_depend_on_the_order_of_files_or_rows(tmp_path):
    rows = [talk(f"Question {n}?") | {"id": n} for n in range(40)]
    drawn = []
    for name, order in (("a", rows), ("b", rows[::-1])):
        (tmp_path / name).mkdir()
        path = lines(tmp_path / name / "q.jsonl", order)
        config = config_of(file_of(path, **TURNS, max_examples=9, id_field="id"), dev_fraction=0.3)
        examples, _, _ = made(config, tmp_path / f"runs-{name}")
        drawn.append({(row["id"], row["split"]) for row in examples})
    assert drawn[0] == drawn[1] and len(drawn[0]) == 9
    assert {split for _, split in drawn[0]} == {"train", "dev"}


def test_a_row_without_its_id_is_bad(tmp_path):
    path = lines(tmp_path / "q.jsonl", [talk("One?") | {"id": "MedQA,1"}, talk("Two?"), talk("Three?") | {"id": ""}])
    examples, account, workspace = made(config_of(file_of(path, **TURNS, id_field="id"), max_bad_fraction=1), tmp_path)
    assert [row["id"] for row in examples] == ["turns/MedQA,1"] and account[0]["bad"] == 2
    assert {row["reason"] for row in workspace.quarantined()} == {"no field 'id', expected its id"}


def test_json_arrays_directories_and_torn_files(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.json").write_text(json.dumps([talk("One?"), "no object"]))
    lines(tmp_path / "set" / "b.json", [talk("Two?")])  # lines under the wrong name, as some sets have
    examples, account, workspace = made(config_of(file_of(tmp_path / "set", **TURNS)), tmp_path / "runs")
    assert [row["id"] for row in examples] == ["turns/0/1", "turns/1/1"] and account[0]["bad"] == 1
    assert workspace.quarantined()[0]["reason"] == "not an object but str"
    (tmp_path / "set" / "a.json").write_text('[{"messages": ')
    with pytest.raises(UserError, match="starts as a JSON array and is none"):
        made(config_of(file_of(tmp_path / "set", **TURNS)), tmp_path / "runs2")


def test_a_file_that_is_missing_or_another_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"instructions.turns: nothing at .*gone, expected one of .jsonl"):
        config_of(file_of(tmp_path / "gone", **TURNS))
    path = lines(tmp_path / "a.jsonl", [talk("One?")])
    config = config_of(file_of(path, **TURNS))
    lines(path, [talk("Two?")])
    with pytest.raises(UserError, match="instructions.turns: digest is .*, expected .*: get that version"):
        made(config, tmp_path / "runs")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "{{ a"}, "no Jinja template"), ({"answer": ""}, "give both, or none and another format"),
        ({"format": "messages"}, "prompt and answer belong to the format"),
    ],
)  # fmt: skip
def test_a_file_must_be_stated_soundly(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        file_of(tmp_path, **ALPACA | change)
