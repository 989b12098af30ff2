"""Prompt files to splits: every row is accounted for, no question is in two splits, bad rows say why."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medray.core.config import UserError
from medray.core.schema import PROMPT, read_table
from medray.core.workspace import Root, Workspace
from medray.preference import prompts
from medray.preference.prompt_rows import PromptFile, prompt_row, question_id
from medray.preference.prompts import PromptsConfig
from medray.preference.sample import choose_prompts
from medray.tables.adopted import FilePlacement
from medray.tables.formats import BadRow, LeftOut
from tests.unit.reading import CLEAN, gathered_here, judged_by

PLAIN = {"name": "plain", "licence": "MIT", "access": "public", "format": "fields", "prompt": "{{ prompt }}"}
CHOICE = {
    "name": "exam", "licence": "Apache-2.0", "access": "restricted", "format": "fields", "prompt": "{{ question }}",
    "option_fields": ("options",), "gold_field": "answer_idx", "id_field": "id",
}  # fmt: skip
ROW = {"id": "m1", "question": "Which organ?", "options": {"A": "Liver", "B": "Spleen", "C": "Eye"}, "answer_idx": "B"}


def file_of(path: Path | str = "", **fields) -> PromptFile:
    return PromptFile(placement=FilePlacement(path=str(path)), **fields)


def lines(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row_of(file: PromptFile, fields: dict, max_characters: int = 1000) -> dict:
    return prompt_row(file, 1, max_characters, fields)


def made(directory: Path, *files: PromptFile, **fields) -> tuple[list[dict], list[dict], dict, Workspace]:
    """The prompts, the account and the counters, without Ray."""
    given = (
        {"splits": {"round_1": 1.0}, "max_characters": 1000, "max_bad_fraction": 1.0, "rng_seed": 1} | CLEAN | fields
    )
    config = prompts.resolve(PromptsConfig(files=files, **given))
    root = Root(str(directory))
    root.prepare()
    workspace = Workspace(root, "prompts", "0" * 32, "prompts")
    facts = gathered_here(config, prompts.KIND, workspace)
    counters = prompts.choose(config, facts, workspace)
    account = json.loads((workspace.data / "account.json").read_text())
    return read_table(workspace.data / "prompts.parquet", PROMPT).to_pylist(), account, counters, workspace


def test_multiple_choice_is_rendered_with_its_gold():
    found = row_of(file_of(**CHOICE), ROW)
    assert found["messages"] == [{"role": "user", "content": "Which organ?\n- Liver\n- Spleen\n- Eye"}]
    assert (found["options"], found["gold"], found["reference"]) == (["Liver", "Spleen", "Eye"], 1, "Spleen")
    lettered = row_of(file_of(**CHOICE, option_form="letters", system="Be brief."), ROW)
    assert [m["content"] for m in lettered["messages"]] == ["Be brief.", "Which organ?\nA. Liver\nB. Spleen\nC. Eye"]
    shuffled = [row_of(file_of(**CHOICE, shuffle_options=True), ROW | {"question": f"{n}?"}) for n in range(60)]
    assert all(row["options"][row["gold"]] == row["reference"] == "Spleen" for row in shuffled)
    assert {row["gold"] for row in shuffled} == {0, 1, 2}
    assert shuffled == [row_of(file_of(**CHOICE, shuffle_options=True), ROW | {"question": f"{n}?"}) for n in range(60)]


@pytest.mark.parametrize("gold", ["B", "spleen", 1, " Spleen "])
def test_gold_is_a_letter_an_option_or_a_place(gold):
    assert row_of(file_of(**CHOICE), ROW | {"answer_idx": gold})["gold"] == 1


def test_options_may_be_in_fields_of_their_own_or_the_same_for_all_rows():
    file = file_of(**CHOICE | {"option_fields": ("opa", "opb"), "gold_field": "cop"})
    row = {"id": 1, "question": "Which?", "opa": "Liver", "opb": "Eye", "cop": 1}
    assert row_of(file, row)["reference"] == "Eye"
    yes = file_of(
        **CHOICE | {"option_fields": (), "options": ("yes", "no", "maybe"), "gold_field": "answer",
                    "prompt": "{{ context }}\n\n{{ question }}", "reference": "{{ long_answer }}"}
    )  # fmt: skip
    found = row_of(yes, {"context": "A trial.", "question": "Does it?", "answer": "maybe", "long_answer": "Unsure."})
    assert found["messages"][0]["content"] == "A trial.\n\nDoes it?\n- yes\n- no\n- maybe"
    assert (found["gold"], found["reference"]) == (2, "Unsure.")


def test_turns_with_options_in_the_text():
    """UltraMedical's rows: the letter is the gold, the last answer the reference; without a letter they are open."""
    file = file_of(
        name="ultramedical", licence="MIT", access="restricted", format="conversations", options_in_prompt=True,
        gold_field="answer",
    )  # fmt: skip
    turns = [{"from": "human", "value": "Which?\nA. Liver\nB. Eye"}, {"from": "gpt", "value": "It is B."}]
    found = row_of(file, {"conversations": turns, "answer": "B"})
    assert (found["options"], found["gold"], found["reference"]) == (["Liver", "Eye"], 1, "It is B.")
    assert found["messages"] == [{"role": "user", "content": "Which?\nA. Liver\nB. Eye"}]
    opened = row_of(file, {"conversations": turns, "answer": ""})
    assert (opened["options"], opened["gold"], opened["reference"]) == ([], -1, "It is B.")
    asked = row_of(file_of(**PLAIN | {"format": "messages", "prompt": "", "turns_field": "context_messages"}),
                   {"context_messages": [{"role": "user", "content": "Hello?"}]})  # fmt: skip
    assert (asked["messages"][0]["content"], asked["reference"], asked["gold"]) == ("Hello?", "", -1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer_idx": "F"}, "gold is 'F', expected one of A, B, C"), ({"answer_idx": 3}, "gold is 3"),
        ({"answer_idx": True}, "gold is True"), ({"options": {"A": "Liver"}}, "options are Liver, expected 2 to 26"),
        ({"options": {}}, "options are none"), ({"options": ["Eye", "eye "]}, "options are Eye, eye, expected"),
        ({"options": ["x"] * 27}, "27 options with 26 letters"), ({"options": {"A": " ", "B": "x"}}, "options are , x"),
    ],
)  # fmt: skip
def test_a_bad_row_says_why(change, reason):
    with pytest.raises(BadRow, match=reason):
        row_of(file_of(**CHOICE), ROW | change)


def test_a_missing_field_a_wrong_turn_and_what_is_left_out():
    for name in ("question", "options", "answer_idx"):
        with pytest.raises(BadRow, match=name):
            row_of(file_of(**CHOICE), {key: value for key, value in ROW.items() if key != name})
    turns = file_of(**PLAIN | {"format": "messages", "prompt": ""})
    with pytest.raises(BadRow, match="turns are assistant, expected a question"):
        row_of(turns, {"messages": [{"role": "assistant", "content": "Hello."}]})
    with pytest.raises(BadRow, match="turns are user, user, expected user and assistant by turns, the user last"):
        row_of(turns, {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]})
    for file, fields, word in (
        (file_of(**PLAIN), {"prompt": " \n"}, "empty"), (file_of(**PLAIN), {"prompt": "x" * 1001}, "too_long"),
        (file_of(**CHOICE), ROW | {"question": None}, "empty"),
        (file_of(**CHOICE), ROW | {"answer_idx": None}, "no_gold"),
        (file_of(**CHOICE), ROW | {"answer_idx": ""}, "no_gold"),
    ):  # fmt: skip
        with pytest.raises(LeftOut, match=f"^{word}$"):
            row_of(file, fields)


def test_every_row_is_accounted_for(tmp_path):
    rows = [{"prompt": f"Question {n}?"} for n in range(20)]
    rows += [{"prompt": "QUESTION  3?"}, {"prompt": ""}, {"prompt": "y" * 2000}, {"text": "no prompt"}]
    plain = lines(tmp_path / "plain.jsonl", rows)
    plain.write_text(plain.read_text() + "not json\n")
    exam = tmp_path / "exam.parquet"
    pq.write_table(pa.Table.from_pylist([ROW, ROW | {"id": "m2", "answer_idx": ""}, ROW | {"id": "m3"}]), exam)
    found, account, counters, workspace = made(tmp_path / "runs", file_of(plain, **PLAIN), file_of(exam, **CHOICE))
    assert account[0] == {
        "file": "plain", "licence": "MIT", "in": 25, "bad": 2, "empty": 1, "too_long": 1, "no_gold": 0, "out": 20,
        "contaminated": 0, "repeated": 1, "other_split": 0, "not_drawn": 0,
    }  # fmt: skip
    assert (account[1]["in"], account[1]["out"], account[1]["no_gold"], account[1]["repeated"]) == (3, 1, 1, 1)
    assert counters["num_in"] == 28 and counters["num_out"] == len(found) == counters["prompts_round_1"] == 21
    assert [row["where"] for row in workspace.quarantined()] == ["plain.jsonl:24", "plain.jsonl:25"]
    assert found[-1]["id"] == "exam/m1" and found[-1]["task"] == "exam" and found[0]["id"] == "plain/0/1"


def test_splits_have_their_numbers_and_shares_and_no_question_twice(tmp_path):
    plain = lines(tmp_path / "plain.jsonl", [{"prompt": f"Question {n}?"} for n in range(200)])
    same = [ROW | {"id": f"a{n}", "question": f"Stem {n // 4}?", "options": ["x", "y", f"z{n}"], "answer_idx": "x"}
            for n in range(80)]  # fmt: skip
    exam = lines(tmp_path / "exam.jsonl", same)
    files = (file_of(plain, **PLAIN), file_of(exam, **CHOICE))
    splits = {"fresh": 30, "reward_heldout": 10, "reward_train": 0.5, "round_1": 0.25, "round_2": 0.25}
    found, _, counters, _ = made(tmp_path / "runs", *files, splits=splits)
    sizes = Counter(row["split"] for row in found)
    assert (sizes["fresh"], sizes["reward_heldout"]) == (30, 10)
    assert counters["num_not_drawn"] == 280 - len(found) <= 6  # what a question has beyond the room for it
    left = 280 - 40 - counters["num_not_drawn"]
    assert abs(sizes["reward_train"] - left / 2) <= 4 and abs(sizes["round_1"] - left / 4) <= 4
    where: dict[str, set[str]] = {}
    for row in found:
        where.setdefault(row["group"], set()).add(row["split"])
    assert all(len(names) == 1 for names in where.values()) and len(where) == 220
    table = pa.Table.from_pylist(found, schema=PROMPT)
    assert len(choose_prompts(table, "fresh", None)) == 30
    # neither the order of the splits nor that of the rows matters
    lines(plain, [{"prompt": f"Question {n}?"} for n in reversed(range(200))])
    other, *_ = made(tmp_path / "other", *files, splits=dict(reversed(splits.items())))
    assert {row["group"]: row["split"] for row in other} == {row["group"]: row["split"] for row in found}


def test_a_file_may_be_one_split_and_keeps_its_questions_out_of_the_others(tmp_path):
    first = lines(tmp_path / "1.jsonl", [{"prompt": f"Question {n}?"} for n in range(10)])
    second = lines(tmp_path / "2.jsonl", [{"prompt": f"Question {n}?"} for n in range(5, 15)])
    rest = lines(tmp_path / "3.jsonl", [{"id": n, "question": f"Question {n}?", "options": ["x", "y"],
                                         "answer_idx": "x"} for n in range(14, 30)])  # fmt: skip
    files = (
        file_of(first, **PLAIN | {"name": "iter1"}, split="round_1"),
        file_of(second, **PLAIN | {"name": "iter2"}, split="round_2", max_prompts=4),
        file_of(rest, **CHOICE),
    )
    found, account, counters, _ = made(tmp_path / "runs", *files, splits={"fresh": 1.0})
    assert {k: counters[f"prompts_{k}"] for k in ("round_1", "round_2", "fresh")} == {
        "round_1": 10, "round_2": 4, "fresh": 16 - counters["num_other_split"],
    }  # fmt: skip
    assert (account[1]["repeated"], account[1]["not_drawn"]) == (5, 1)
    in_second = {row["group"] for row in found if row["split"] == "round_2"}
    assert counters["num_other_split"] == (question_id("Question 14?") in in_second)


def test_what_models_are_judged_by_is_asked_of_none(tmp_path):
    stem = "A 45 year old woman with a painless swelling of the neck asks which gland has been enlarged for years"
    plain = lines(tmp_path / "plain.jsonl", [{"prompt": f"In short, {stem.upper()}!"}, {"prompt": "Something else?"}])
    exam = lines(tmp_path / "exam.jsonl", [{"id": "q1", "question": stem}])
    found, account, counters, workspace = made(tmp_path / "runs", file_of(plain, **PLAIN), **judged_by(exam))
    assert [row["messages"][0]["content"] for row in found] == ["Something else?"]
    assert counters["num_contaminated"] == account[0]["contaminated"] == 1
    [certificate] = json.loads((workspace.data / "certificates.json").read_text())
    assert certificate["found_in"] == {"q1": ["plain/0/1"]} and certificate["rows_dropped"] == 1


def test_licences_and_access_flow():
    config = PromptsConfig(
        files=(file_of(**PLAIN), file_of(**CHOICE)), splits={"fresh": 1}, max_characters=10, max_bad_fraction=0,
        rng_seed=1, **CLEAN,
    )  # fmt: skip
    assert prompts.terms(config) == ("restricted", ("Apache-2.0", "MIT"))


def test_refusals(tmp_path):
    path = lines(tmp_path / "a.jsonl", [{"prompt": f"Question {n}?"} for n in range(5)])
    with pytest.raises(UserError, match="prompts.splits.fresh: 9 wanted, 5 left of 5 prompts: want fewer, or"):
        made(tmp_path / "runs", file_of(path, **PLAIN), splits={"fresh": 9})
    with pytest.raises(UserError, match="prompts.splits.round_2: 1 wanted, 0 left of 5"):
        made(tmp_path / "runs2", file_of(path, **PLAIN), splits={"round_1": 5, "round_2": 0.5})
    with pytest.raises(UserError, match=r"prompts.plain: nothing at .*gone, expected one of .jsonl"):
        made(tmp_path / "runs3", file_of(tmp_path / "gone", **PLAIN))
    for splits in ({"a": 0}, {"a": 1.5}, {"a": 0.7, "b": 0.4}, {}):
        with pytest.raises(ValueError, match="splits: "):
            made(tmp_path / "runs4", file_of(path, **PLAIN), splits=splits)
    with pytest.raises(ValueError, match="two files of one name"):
        made(tmp_path / "runs5", file_of(path, **PLAIN), file_of(path, **PLAIN))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "{{ a"}, "no Jinja template"), ({"prompt": ""}, "prompt belongs to the format"),
        ({"format": "messages"}, "prompt belongs to the format"), ({"gold_field": "a"}, "need gold_field"),
        ({"options": ("a", "b")}, "need gold_field"), ({"shuffle_options": True}, "none that could be shuffled"),
        ({"options": ("a", "b"), "option_fields": ("c",), "gold_field": "a"}, "one of them"),
    ],
)  # fmt: skip
def test_a_file_must_be_stated_soundly(change, message):
    with pytest.raises(ValueError, match=message):
        file_of(**PLAIN | change)
