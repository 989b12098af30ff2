"""Preference sets of others to pairs: formats, what is left out and why, and no question on both sides of the split."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from medray.core.config import UserError
from medray.core.schema import PAIR, PROMPT, read_table, write_table
from medray.core.workspace import Root, Workspace
from medray.preference import adopted as stage
from medray.preference.adopted import UNFIT, AdoptedPairsConfig
from medray.preference.pair_rows import PairFile, pairs_row
from medray.tables.adopted import FilePlacement
from medray.tables.formats import BadRow
from tests.unit.reading import CLEAN, gathered_here, judged_by

SET = {"name": "set", "licence": "MIT", "access": "public", "format": "pairs"}
RATED = SET | {"chosen_reward_field": "score_chosen", "rejected_reward_field": "score_rejected"}
ICLINIQ = SET | {"name": "icliniq", "licence": "CC BY-NC 4.0", "access": "restricted", "format": "models"}


def file_of(path: Path | str = "", **fields) -> PairFile:
    return PairFile(placement=FilePlacement(path=str(path)), **fields)


def lines(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def turns(*contents: str) -> list[dict]:
    return [{"role": role, "content": c} for role, c in zip(["user", "assistant"] * 3, contents, strict=False)]


def plain(question: str, chosen: str = "A good answer.", rejected: str = "A bad answer.", **fields) -> dict:
    return {"prompt": question, "chosen": chosen, "rejected": rejected} | fields


def made(
    directory: Path, *files: PairFile, prompts: Path | None = None, **fields
) -> tuple[list[dict], list[dict], dict, Workspace]:
    """The pairs, the account and the counters, without Ray."""
    given = {"heldout_fraction": 0.0, "max_bad_fraction": 1.0, "rng_seed": 1} | CLEAN | fields
    config = stage.resolve(AdoptedPairsConfig(files=files, **given))
    root = Root(str(directory))
    root.prepare()
    workspace = Workspace(root, "adopted_pairs", "0" * 32, "pairs")
    facts = gathered_here(config, stage.KIND, workspace)
    counters = stage.choose(config, facts, prompts, workspace)
    account = json.loads((workspace.data / "account.json").read_text())
    return read_table(workspace.data / "pairs.parquet", PAIR).to_pylist(), account, counters, workspace


def test_ultrafeedback_binarized():
    row = {
        "prompt": "Why?", "prompt_id": "p", "messages": turns("Why?", "Because."), "chosen": turns("Why?", "Because."),
        "rejected": turns("Why?", "No."), "score_chosen": 8.5, "score_rejected": 3,
    }  # fmt: skip
    found = pairs_row(file_of(**RATED), row)
    assert found == {
        "messages": turns("Why?"), "text": "Why?",
        "pairs": [{"chosen": "Because.", "rejected": "No.", "source": "set", "chosen_reward": 8.5,
                   "rejected_reward": 3.0}],
    }  # fmt: skip


def test_ratings_inside_objects_and_as_text():
    file = file_of(**SET, chosen_reward_field="metadata.chosen.score", rejected_reward_field="metadata.rejected.score")
    row = {"chosen": turns("Why?", "So.", "And?", "Thus."), "rejected": turns("Why?", "So.", "And?", "No."),
           "metadata": {"chosen": {"score": "5"}, "rejected": {"score": "2.5"}}}  # fmt: skip
    found = pairs_row(file, row)
    assert found["messages"] == turns("Why?", "So.", "And?") and found["pairs"][0]["rejected_reward"] == 2.5
    with pytest.raises(BadRow, match="are '5', None, expected numbers"):
        pairs_row(file, row | {"metadata": {"chosen": {"score": "5"}, "rejected": None}})
    with pytest.raises(BadRow, match="are 'high', '1', expected numbers"):
        pairs_row(file, row | {"metadata": {"chosen": {"score": "high"}, "rejected": {"score": "1"}}})
    with pytest.raises(BadRow, match="expected numbers"):
        pairs_row(file, row | {"metadata": {"chosen": {"score": "nan"}, "rejected": {"score": "1"}}})


def test_answers_alone_behind_a_prompt_of_text_or_messages():
    file = file_of(**SET, system="Be brief.")
    assert pairs_row(file, plain(" Why? "))["messages"][1:] == turns("Why?")
    talked = file_of(**SET, prompt_field="messages")
    row = {"messages": turns("Why?", "So.", "And?"), "chosen": "Thus.", "rejected": "No."}
    assert pairs_row(talked, row)["messages"] == turns("Why?", "So.", "And?")
    alone = {"prompt": "Why?", "chosen": [turns("", "So.")[1]], "rejected": [turns("", "No.")[1]]}
    assert pairs_row(file_of(**SET), alone)["pairs"][0]["chosen"] == "So."


def test_hh_transcripts():
    file = file_of(**SET | {"format": "transcripts"})
    start = "\n\nHuman: Hi.\n\nAssistant: Hello.\n\nHuman: Why?\n\nAssistant:"
    found = pairs_row(file, {"chosen": f"{start} Because.", "rejected": f"{start} No."})
    assert found["messages"] == turns("Hi.", "Hello.", "Why?")
    assert (found["pairs"][0]["chosen"], found["pairs"][0]["rejected"]) == ("Because.", "No.")
    with pytest.raises(BadRow, match="chosen is no transcript"):
        pairs_row(file, {"chosen": "Because.", "rejected": "No."})
    with pytest.raises(BadRow, match="rejected ends with user"):
        pairs_row(file, {"chosen": f"{start} Yes.", "rejected": "\n\nHuman: Hi."})


def test_models_ranked_by_strength():
    file = file_of(**ICLINIQ, stronger=(("gpt-4", "small"), ("gpt-4", "smaller"), ("small", "smaller")))
    row = {"prompt": "It hurts.", "responses": {"gpt-4": "Rest.", "small": " Run. ", "smaller": ""}}
    found = pairs_row(file, row)["pairs"]
    assert [(p["source"], p["chosen"], p["rejected"]) for p in found] == [
        ("gpt-4>small", "Rest.", "Run."), ("gpt-4>smaller", "Rest.", ""), ("small>smaller", "Run.", ""),
    ]  # fmt: skip
    for change, reason in (
        ({"responses": {"gpt-4": "Rest."}}, "no answer of small, smaller, found gpt-4"),
        ({"responses": ["Rest."]}, "no responses, expected an object"),
        ({"prompt": None}, "no prompt, expected a list"),
        ({"prompt": "  "}, r"turn 0 \(user\) is empty"),
    ):  # fmt: skip
        with pytest.raises(BadRow, match=reason):
            pairs_row(file, row | change)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"chosen": turns("Why?", "So."), "rejected": turns("How?", "No.")}, "answer two questions"),
        ({"chosen": turns("Why?", "So."), "rejected": None}, "no rejected, expected a list"),
        ({"prompt": 3, "chosen": "So.", "rejected": "No."}, "no prompt, expected a list"),
        ({"chosen": turns("Why?"), "rejected": turns("Why?")}, "chosen ends with user"),
        ({"chosen": [], "rejected": turns("Why?", "No.")}, "no chosen, expected a list"),
        ({"prompt": "", "chosen": "So.", "rejected": "No."}, "is empty"),
    ],
)
def test_a_bad_row_says_why(row, reason):
    with pytest.raises(BadRow, match=reason):
        pairs_row(file_of(**SET), row)


def test_every_pair_is_accounted_for(tmp_path):
    rated = {"score_chosen": 4, "score_rejected": 2}
    rows = [
        plain("Kept?", **rated), plain("kept? ", **rated), plain("Kept?", "A bad answer.", "A good answer.", **rated),
        plain("Blank?", " ", **rated), plain("Same?", "x", "x", **rated),
        plain("Tie?", score_chosen=2, score_rejected=2),
        plain("Wrong way?", score_chosen=1, score_rejected=2), plain("Close?", score_chosen=2.5, score_rejected=2),
        plain("Long?", "word " * 50, **rated), plain("Unrated?", score_chosen=2), plain("Kept too?", **rated),
        plain("Too long? " * 90, **rated),
    ]  # fmt: skip
    path = lines(tmp_path / "set.jsonl", rows)
    again = lines(tmp_path / "again.jsonl", [plain("Kept too?"), plain("Third?")])
    files = (file_of(path, **RATED), file_of(again, **SET | {"name": "again"}))
    pairs, account, counters, workspace = made(
        tmp_path / "runs", *files, min_margin=1.0, max_length_ratio=3.0, max_characters=900
    )
    assert account[0] == {
        "file": "set", "licence": "MIT", "in": 12, "bad": 1, "proposed": 11, **dict.fromkeys(UNFIT, 1),
        "contaminated": 0, "repeated": 1, "reversed": 1, "fresh_prompt": 0, "over_cap": 0,
        "unbalanced": 0, "not_drawn": 0, "pairs": 2,
    }  # fmt: skip
    assert (account[1]["repeated"], account[1]["pairs"]) == (1, 1)
    assert [row["messages"][0]["content"] for row in pairs] == ["Kept?", "Kept too?", "Third?"]
    assert [(row["chosen_reward"], row["rejected_reward"]) for row in pairs] == [(4, 2), (4, 2), (1, 0)]
    assert counters["num_pairs"] == counters["num_pairs_train"] == 3
    assert [row["where"] for row in workspace.quarantined()] == ["set.jsonl:10"]


def test_a_question_is_on_one_side_and_has_so_many_pairs(tmp_path):
    models = ("a", "b", "c")
    rows = [{"prompt": f"Question {n}?", "responses": {m: f"{m} says {n}." for m in models}} for n in range(100)]
    path = lines(tmp_path / "icliniq.jsonl", rows)
    file = file_of(path, **ICLINIQ, stronger=(("a", "b"), ("a", "c"), ("b", "c")))
    pairs, _, counters, _ = made(tmp_path / "all", file, heldout_fraction=0.2)
    assert (len(pairs), counters["num_over_cap"]) == (300, 0)
    sides: dict[str, set[str]] = {}
    for row in pairs:
        sides.setdefault(row["prompt_id"], set()).add(row["split"])
    assert all(len(split) == 1 for split in sides.values()) and len(sides) == 100
    assert counters["num_pairs_heldout"] % 3 == 0 and 30 <= counters["num_pairs_heldout"] <= 90
    one, _, counters, _ = made(tmp_path / "one", file, heldout_fraction=0.2, max_pairs_per_question=1)
    assert (len(one), counters["num_over_cap"]) == (100, 200)
    assert set(Counter(row["source"] for row in one)) == {"a>b", "a>c", "b>c"}
    assert {row["prompt_id"]: row["split"] for row in one} == {id: next(iter(split)) for id, split in sides.items()}
    drawn, account, _, _ = made(tmp_path / "few", file.model_copy(update={"max_pairs": 7}), max_pairs_per_question=1)
    assert len(drawn) == 7 and account[0]["not_drawn"] + account[0]["over_cap"] == 293


def test_longer_answers_are_chosen_as_often_as_shorter_ones(tmp_path):
    rows = [plain(f"Question {n}?", "Longer answer." if n % 4 else "No.", "Answer.") for n in range(400)]
    rows.append(plain("A tie?", "Answer 1", "Answer 2"))
    file = file_of(lines(tmp_path / "a.jsonl", rows), **SET)
    found, _, counters, _ = made(tmp_path, file, heldout_fraction=0.3, balance_length=True)
    for split in ("train", "heldout"):
        longer = Counter(len(row["chosen"]) > len(row["rejected"]) for row in found if row["split"] == split)
        assert longer[True] == longer[False] >= 20
    assert len(found) == 200 and counters["num_unbalanced"] == 201
    capped = file.model_copy(update={"max_pairs": 50})
    few, _, counters, _ = made(tmp_path / "few", capped, heldout_fraction=0.3, balance_length=True)
    assert {row["id"] for row in few} < {row["id"] for row in found}
    assert Counter(len(row["chosen"]) > len(row["rejected"]) for row in few) == {True: 25, False: 25}
    assert counters["num_unbalanced"] == 201 and counters["num_not_drawn"] == 150


def test_fresh_prompts_are_not_learnt_from(tmp_path):
    def prompt(text: str, split: str, options: tuple[str, ...] = ()) -> dict:
        return {"id": text, "task": "x", "messages": turns(text), "options": list(options), "gold": -1, "reference": "",
                "group": text, "split": split}  # fmt: skip

    table = tmp_path / "prompts.parquet"
    choice = prompt("Which?\n- Liver\n- Eye", "fresh", ("Liver", "Eye"))
    write_table(table, [prompt("Fresh?", "fresh"), prompt("Held?", "reward_heldout"), choice,
                        prompt("Asked?", "round_1")], PROMPT)  # fmt: skip
    rows = [plain("FRESH?"), plain("Held?"), plain("Asked?"), plain("Other?"), plain("Which?\nA. Liver\nB. Eye")]
    path = lines(tmp_path / "set.jsonl", rows)
    pairs, _, counters, _ = made(tmp_path / "runs", file_of(path, **SET), prompts=table)
    assert {row["messages"][0]["content"]: row["split"] for row in pairs} == {
        "Held?": "heldout", "Asked?": "train", "Other?": "train",
    }  # fmt: skip
    assert counters["num_fresh_prompt"] == 2


def test_an_answer_that_holds_a_benchmark_item_is_out(tmp_path):
    item = "A 45 year old woman with a painless swelling of the neck asks which gland has been enlarged for years"
    exam = lines(tmp_path / "exam.jsonl", [{"id": "q1", "question": item}])
    path = lines(tmp_path / "set.jsonl", [plain("Write a question.", rejected=f"Here: {item}?"), plain("Other?")])
    pairs, _, counters, _ = made(tmp_path / "runs", file_of(path, **SET), **judged_by(exam))
    assert [row["messages"][0]["content"] for row in pairs] == ["Other?"] and counters["num_contaminated"] == 1


def test_licences_flow_and_refusals(tmp_path):
    path = lines(tmp_path / "set.jsonl", [plain("Same?", "x", "x")])
    stronger = (("a", "b"),)
    config = AdoptedPairsConfig(
        files=(file_of(**SET), file_of(**ICLINIQ, stronger=stronger)),
        heldout_fraction=0,
        max_bad_fraction=0,
        rng_seed=1,
        **CLEAN,
    )
    assert stage.terms(config) == ("restricted", ("CC BY-NC 4.0", "MIT"))
    with pytest.raises(UserError, match=r"no pair to train on of 1 in the files \(1 identical\): bring others"):
        made(tmp_path / "runs", file_of(path, **SET))
    with pytest.raises(UserError, match="adopted_pairs.set: nothing at .*gone"):
        made(tmp_path / "runs", file_of(tmp_path / "gone", **SET))
    with pytest.raises(ValueError, match="two files of one name"):
        made(tmp_path / "runs", file_of(path, **SET), file_of(path, **SET))
    with pytest.raises(ValueError, match="belong together"):
        file_of(**SET, chosen_reward_field="a")
    for fields in (SET | {"stronger": stronger}, ICLINIQ):
        with pytest.raises(ValueError, match="stronger belongs to the format"):
            file_of(**fields)
