"""Labels of judged completions and of pairs, and the completion of another prompt behind each prompt."""

from collections import Counter
from types import SimpleNamespace

import pytest

from medray.core.config import UserError
from medray.core.schema import COMPLETION, LABELLED, PROMPT, REWARD, read_table, write_table
from medray.core.workspace import Root, Workspace
from medray.model.render import Rendered
from medray.preference import labels
from medray.preference.labels import LabelsConfig, outcomes_of, unpaired, with_mismatched
from medray.preference.pairs import Candidate

CONFIG = LabelsConfig(unparsed_is_wrong=False, source="round_1")


def outcomes(*rows, has_gold=True, **changes):
    """Of rows (text, correct[, is_cut])."""
    found = [Candidate(i, row[0], 0.0, row[1], row[2] if len(row) > 2 else False) for i, row in enumerate(rows)]
    return [o for _, o in outcomes_of(found[::-1], CONFIG.model_copy(update=changes), has_gold=has_gold)]


def test_every_correct_one_is_desirable_and_every_wrong_one_undesirable():
    assert outcomes(("a", 1), ("b", 0), ("c", 1), ("d", 0)) == ["desirable", "undesirable"] * 2


def test_what_cannot_be_labelled_is_counted_by_its_reason():
    rows = [("a", 1, True), ("b", 0, True), ("c", -1), (" ", 1), ("b ", 0), ("d", 1)]
    assert outcomes(*rows) == [
        "dropped_cut", "undesirable", "dropped_unparsed", "dropped_blank", "dropped_repeated", "desirable",
    ]  # fmt: skip
    assert outcomes(*rows, unparsed_is_wrong=True)[2] == "undesirable"
    assert outcomes(("a", -1), has_gold=False, unparsed_is_wrong=True) == ["dropped_open"]


def stage(tmp_path, correct):
    """Run it on two prompts, one of them open, with these values of `correct` for the other."""
    made = {name: SimpleNamespace(data=tmp_path / name) for name in ("completions", "rewards", "prompts")}
    for name, role in (("completions", "policy"), ("rewards", "reward_model")):
        made[name].manifest = SimpleNamespace(inputs={role: SimpleNamespace(id=f"the {role}")})
    prompts = [
        {"id": f"p{i}", "task": "t", "messages": [{"role": "user", "content": f"{i}?"}], "options": ["x", "y"][: 2 * i],
         "gold": i - 1, "reference": "", "group": "", "split": "round_1"}
        for i in range(2)
    ]  # fmt: skip
    places = [(prompt, index) for prompt in range(2) for index in range(len(correct))]
    completions = [
        {"id": f"p{i}/{k}", "prompt_id": f"p{i}", "index": k, "text": f"text {k}", "token_ids": [1],
         "prompt_token_ids": [1], "finish_reason": "stop", "seed": 10 * i + k}
        for i, k in places
    ]  # fmt: skip
    rewards = [
        {"completion_id": f"p{i}/{k}", "prompt_id": f"p{i}", "index": k, "reward": k / 2,
         "correct": correct[k] if i else -1, "num_tokens": 1}
        for i, k in places
    ]  # fmt: skip
    write_table(tmp_path / "prompts" / "prompts.parquet", prompts, PROMPT)
    write_table(tmp_path / "completions" / "completions" / "part-00000.parquet", completions, COMPLETION)
    write_table(tmp_path / "rewards" / "rewards.parquet", rewards, REWARD)
    root = Root(str(tmp_path / "root"))
    root.prepare()
    workspace = Workspace(root, "labels", "0" * 32, "labels")
    return labels.run(CONFIG, made, workspace), workspace.data


def test_the_ledger_holds_every_completion(tmp_path):
    counters, data = stage(tmp_path, [1, 0, -1])
    assert {name: value for name, value in counters.items() if value} == {
        "num_prompts": 2, "num_completions": 6, "desirable": 1, "undesirable": 1, "dropped_unparsed": 1,
        "dropped_open": 3,
    }  # fmt: skip
    ledger = read_table(data / "ledger.parquet", labels.LEDGER).to_pylist()
    assert Counter(row["outcome"] for row in ledger) == {k: v for k, v in counters.items() if v and k[:4] != "num_"}
    assert ledger[3] == {
        "prompt_id": "p1", "completion_id": "p1/0", "outcome": "desirable", "seed": 10, "reward": 0.0,
        "round": "round_1", "policy": "the policy", "reward_model": "the reward_model",
    }  # fmt: skip
    assert read_table(data / "labelled.parquet", LABELLED).to_pylist() == [
        {"id": f"round_1/p1/{k}", "prompt_id": "p1", "source": "round_1", "completion": f"text {k}",
         "messages": [{"role": "user", "content": "1?"}], "desirable": k == 0, "split": "train", "task": "t"}
        for k in range(2)
    ]  # fmt: skip


def test_one_kind_alone_teaches_nothing(tmp_path):
    with pytest.raises(UserError, match="2 of 4 completions are desirable and 0 undesirable, expected some of each"):
        stage(tmp_path, [1, 1])


def test_a_pair_is_a_desirable_completion_and_an_undesirable_one():
    messages = [{"role": "user", "content": "?"}]
    pair = {
        "id": "r/p", "prompt_id": "p", "source": "r", "messages": messages, "task": "t", "chosen": "yes",
        "rejected": "no", "chosen_reward": 1.0, "rejected_reward": 0.0, "split": "train",
    }  # fmt: skip
    rows = unpaired([pair])
    assert [(row["id"], row["completion"], row["desirable"]) for row in rows] == [
        ("r/p/chosen", "yes", True), ("r/p/rejected", "no", False),
    ]  # fmt: skip
    assert all(set(row) == set(LABELLED.names) and row["prompt_id"] == "p" for row in rows)


def rendered(*sizes):
    """A row (prompt id, tokens of the completion) each, whose tokens tell prompt and row; prompts are two tokens."""
    return [
        ({"prompt_id": prompt, "id": str(i)}, Rendered([-ord(prompt)] * 2 + [i] * size, [0, 0] + [1] * size, 2))
        for i, (prompt, size) in enumerate(sizes)
    ]


def test_every_completion_stands_once_behind_another_prompt():
    rows = rendered(("a", 1), ("a", 2), ("b", 3), ("c", 1), ("c", 1), ("c", 4), ("d", 1))
    found = with_mismatched(rows, 100)
    others = [other.completion[0] for _, (_, other) in found]
    assert others == [3, 4, 5, 6, 0, 1, 2] and [row for row, _ in found] == [row for row, _ in rows]
    for (row, own), (_, (same, other)) in zip(rows, found, strict=True):
        assert same is own and other.prompt == own.prompt and other.loss_mask[:2] == [0, 0] and all(other.loss_mask[2:])
        assert rows[other.completion[0]][0]["prompt_id"] != row["prompt_id"]


def test_one_that_does_not_fit_leaves_its_place_to_the_next():
    rows = rendered(("a", 3), ("b", 1), ("c", 8), ("d", 2))
    found = with_mismatched(rows, 6)
    assert [other.completion[0] for _, (_, other) in found] == [1, 3, 3, 0]
    assert [row["id"] for row, _ in with_mismatched(rendered(("a", 1), ("b", 9), ("c", 9)), 4)] == ["1", "2"]


def test_half_of_one_prompt_is_the_most():
    assert len(with_mismatched(rendered(("a", 1), ("a", 1), ("b", 1), ("b", 1)), 9)) == 4
    with pytest.raises(UserError, match="2 of 3 labelled completions are of one prompt, expected at most half"):
        with_mismatched(rendered(("a", 1), ("a", 1), ("b", 1)), 9)
    with pytest.raises(UserError, match="0 of 0 labelled"):
        with_mismatched([], 9)
