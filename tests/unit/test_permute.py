"""Prompts with shuffled options, and pairs only where the answer follows its text."""

from types import SimpleNamespace

import pytest

from medray.core.config import UserError, changed
from medray.core.schema import COMPLETION, PAIR, PROMPT, REWARD, read_table, write_table
from medray.core.workspace import Root, Workspace
from medray.preference import pairs
from medray.preference.pairs import OUTCOMES, PairsConfig
from medray.preference.permute import permuted
from medray.recipes.recipe import Round
from medray.recipes.tiny import tiny

TEXT = "Which organ makes bile?\nA. Liver\n(b) Heart valve\n- Heart"


def prompt(name="p", text=TEXT, options=("Liver", "Heart valve", "Heart"), gold=0):
    messages = [{"role": "system", "content": "- Liver"}, {"role": "user", "content": text}]
    fields = {"task": "t", "reference": "", "group": "g", "split": "round_1"}
    return {"id": name, "messages": messages, "options": list(options), "gold": gold, **fields}


def test_texts_move_and_letters_stay():
    row = prompt()
    variants = permuted(row, 9, rng_seed=3)
    assert [each["id"] for each in variants] == [f"p#{n}" for n in range(1, 6)], "three options have five other orders"
    assert len({tuple(each["options"]) for each in variants} | {tuple(row["options"])}) == 6
    for each in variants:
        assert each["options"][each["gold"]] == "Liver" and each["messages"][0] == row["messages"][0]
        a, b, c = each["options"]
        assert each["messages"][1]["content"] == f"Which organ makes bile?\nA. {a}\n(b) {b}\n- {c}"
        kept = ("task", "reference", "group", "split")
        assert {key: each[key] for key in kept} == {key: row[key] for key in kept}
    assert variants[:2] == permuted(row, 2, rng_seed=3) != permuted(row, 2, rng_seed=4)


@pytest.mark.parametrize(
    "row",
    [
        prompt(gold=-1),
        prompt(text="Which organ? Liver, Heart valve or Heart"),  # not one on a line
        prompt(text=TEXT + "\n- Liver"),  # one of them twice
        prompt(options=["Liver", "Liver"], text="a\n- Liver\n- Liver"),
        prompt(options=["Liver"], text="a\n- Liver"),
    ],
)
def test_what_cannot_be_permuted_has_no_variant(row):
    assert permuted(row, 2, 0) == []


def completions(name, texts):
    return [
        {"id": f"{name}/{i}", "prompt_id": name, "index": i, "text": text, "token_ids": [1], "prompt_token_ids": [1],
         "finish_reason": "stop", "seed": i}
        for i, text in enumerate(texts)
    ]  # fmt: skip


def made(tmp_path, said):
    """An artifact of (texts, texts of each variant) by prompt; a completion is rewarded with minus its index."""
    prompts = [prompt(name) for name in said] + [prompt("flat", text="Which? Liver, Heart valve or Heart")]
    variants = {name: permuted(prompt(name), 2, 0) for name in said}
    rows = [row for name, (texts, _) in said.items() for row in completions(name, texts)]
    rows += completions("flat", ["Liver", "Heart", "?"])
    again = [row for name, (_, each) in said.items() for v, texts in zip(variants[name], each, strict=True)
             for row in completions(v["id"], texts)]  # fmt: skip
    data = tmp_path / "answer" / "data"
    write_table(data / "prompts.parquet", prompts, PROMPT)
    write_table(data / "permuted.parquet", [row for each in variants.values() for row in each], PROMPT)
    write_table(data / "completions" / "part-00000.parquet", rows, COMPLETION)
    write_table(data / "permuted" / "part-00000.parquet", again, COMPLETION)
    right = {"Liver": 1, "Heart": 0}
    rewards = [{"completion_id": row["id"], "prompt_id": row["prompt_id"], "index": row["index"],
                "reward": -float(row["index"]), "correct": right.get(row["text"], -1), "num_tokens": 1}
               for row in rows]  # fmt: skip
    write_table(data / "rewards.parquet", rewards, REWARD)
    named = {role: SimpleNamespace(id=role) for role in ("policy", "reward_model")}
    artifact = SimpleNamespace(id="a", data=data, manifest=SimpleNamespace(inputs=named))
    return dict.fromkeys(("completions", "rewards", "prompts"), artifact)


SAID = {
    "steady": (["Liver", "Heart", "?"], [["Liver", "The liver.", "Heart"], ["?", "Liver", "?"]]),
    "by place": (["Liver", "Heart", "?"], [["Liver", "Liver", "Liver"], ["Heart", "Heart", "Liver"]]),
    "undecided": (["Liver", "Heart", "?"], [["Liver", "Liver", "Liver"], ["Heart", "Liver", "?"]]),
    "silent": (["Liver", "Heart", "?"], [["Liver", "Liver", "Liver"], ["?", "?", "?"]]),
    "wrong": (["Heart", "Heart", "?"], [["Heart", "Heart", "Heart"], ["Heart", "Heart", "Heart"]]),
}


def paired(tmp_path, **fields):
    config = PairsConfig(min_margin=0.0, unparsed_is_wrong=False, source="round_1", **fields)
    workspace = Workspace(Root(str(tmp_path)), "pairs", str(fields), "pairs")
    counters = pairs.run(config, made(tmp_path, SAID), workspace)
    found = read_table(workspace.data / "pairs.parquet", PAIR).to_pylist()
    ledger = read_table(workspace.data / "ledger.parquet", pairs.LEDGER).to_pylist()
    return counters, [row["prompt_id"] for row in found], {row["prompt_id"]: row["outcome"] for row in ledger}


def test_only_answers_that_follow_their_text_are_chosen(tmp_path):
    counters, found, outcomes = paired(tmp_path, follows_text=True)
    assert found == ["steady"]
    lost = dict.fromkeys(("by place", "undecided", "silent", "flat"), "dropped_inconsistent")
    assert outcomes == {"steady": "pair_gold", **lost, "wrong": "dropped_no_correct"}
    assert counters["dropped_inconsistent"] == 4 and counters["num_prompts"] == 6
    assert sum(counters[name] for name in OUTCOMES) == 6


def test_without_the_rule_nothing_changes(tmp_path):
    counters, found, _ = paired(tmp_path)
    assert found == ["by place", "flat", "silent", "steady", "undecided"] and counters["dropped_inconsistent"] == 0


def test_the_rule_rests_on_permutations():
    [first, *_] = tiny().rounds
    wanted = changed(first.pairs, follows_text=True)
    with pytest.raises((ValueError, UserError), match="set rounds.sample.permutations"):
        Round(**{**dict(first), "pairs": wanted})
    sampled = changed(first.sample, permutations=2)
    assert Round(**{**dict(first), "pairs": wanted, "sample": sampled}).pairs.follows_text
    with pytest.raises((ValueError, UserError), match="set gold to mcq_reject"):
        PairsConfig(min_margin=0.0, unparsed_is_wrong=False, source="x", gold="by_reward", follows_text=True)
