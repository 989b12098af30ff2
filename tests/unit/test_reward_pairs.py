from collections import Counter
from types import SimpleNamespace

import pytest

from medray.core.config import UserError
from medray.core.schema import COMPLETION, PAIR, PROMPT, read_table, write_table
from medray.reward.pairs import DROPS, RewardPairsConfig, build_pairs, grade, run

OPTIONS = ["Heart", "Kidney", "Eye", "Lung"]
CONFIG = RewardPairsConfig(
    max_pairs_per_prompt=3, max_reference_pairs_per_prompt=1, min_grade_margin=0.2, unparsed_is_wrong=True, rng_seed=0
)


def prompt(id="p", split="reward_train", gold=1, reference="Kidney", question=None):
    return {
        "id": id,
        "task": "term_to_system" if gold >= 0 else "definition",
        "messages": [{"role": "user", "content": question or f"Question {id}?"}],
        "options": OPTIONS if gold >= 0 else [],
        "gold": gold,
        "reference": reference,
        "group": "",
        "split": split,
    }


def completions(prompt_id, *texts, finish_reason="stop"):
    return [
        {"id": f"{prompt_id}/{i}", "prompt_id": prompt_id, "index": i, "text": text, "token_ids": [1],
         "prompt_token_ids": [1], "finish_reason": finish_reason, "seed": i}
        for i, text in enumerate(texts)
    ]  # fmt: skip


def pairs_of(*sampled, config=CONFIG):
    drops = Counter()
    rows = build_pairs(sampled, config, drops)
    assert set(drops) <= set(DROPS)
    return rows, {reason: count for reason, count in drops.items() if count}


def test_gold_pairs_put_own_correct_samples_first():
    rows, drops = pairs_of((prompt(), completions("p", "The kidney.", "Heart", "Lung", "- Kidney")))
    assert {(row["chosen"], row["rejected"]) for row in rows} <= {
        (c, r) for c in ("The kidney.", "- Kidney") for r in ("Heart", "Lung")
    }
    assert len(rows) == 3 and {row["source"] for row in rows} == {"own"}
    assert {(row["chosen_reward"], row["rejected_reward"]) for row in rows} == {(1.0, 0.0)}
    assert drops == {"pair_over_cap": 3}  # one own pair and both reference pairs


def test_reference_answers_when_no_sample_is_right_and_is_capped():
    rows, drops = pairs_of((prompt(), completions("p", "Heart", "Eye", "Lung")))
    assert [row["chosen"] for row in rows] == ["Kidney"] and rows[0]["source"] == "reference"
    assert drops == {"pair_over_cap": 2}


def test_rejected_texts_are_always_samples_and_prompts_without_contrast_are_dropped():
    rows, drops = pairs_of(
        (prompt("a"), completions("a", "Kidney", "kidney!")),
        (prompt("b"), completions("b", "Heart", finish_reason="length")),
        (prompt("c"), completions("c", "Heart", "  ", "Heart ")),
    )
    assert [(row["prompt_id"], row["rejected"]) for row in rows] == [("c", "Heart")]
    assert drops == {
        "prompt_all_good": 1, "prompt_all_bad": 1, "completion_cut": 1, "completion_empty": 1, "completion_repeated": 1
    }  # fmt: skip


@pytest.mark.parametrize("unparsed_is_wrong", [True, False])
def test_unparsed_is_never_chosen(unparsed_is_wrong):
    config = CONFIG.model_copy(update={"unparsed_is_wrong": unparsed_is_wrong})
    rows, drops = pairs_of((prompt(), completions("p", "Kidney", "Heart or eye", "I do not know")), config=config)
    assert len(rows) == (2 if unparsed_is_wrong else 0)
    assert all(row["chosen"] == "Kidney" for row in rows)
    assert drops.get("completion_unparsed", 0) == (0 if unparsed_is_wrong else 2)


def test_open_prompts_need_a_margin():
    open_prompt = prompt(gold=-1, reference="a disease of the small vessels of the kidney")
    near, far = "disease of the small vessels of the kidney", "an animal"
    rows, _ = pairs_of((open_prompt, completions("p", near, far)))
    assert {(row["source"], row["chosen"], row["rejected"]) for row in rows} == {
        ("own", near, far), ("reference", open_prompt["reference"], far)
    }  # fmt: skip
    assert all(row["chosen_reward"] - row["rejected_reward"] >= 0.2 for row in rows)
    rows, drops = pairs_of((open_prompt, completions("p", near)))
    assert rows == [] and drops == {"prompt_within_margin": 1}


def test_splits_never_share_a_conversation():
    rows, drops = pairs_of(
        (prompt("a", question="Same?"), completions("a", "Heart")),
        (prompt("b", "reward_heldout", question="Same?"), completions("b", "Lung")),
        (prompt("c", "round_1"), completions("c", "Lung")),
        (prompt("d"), completions("d", "Lung")),
    )
    assert [(row["prompt_id"], row["split"]) for row in rows] == [("b", "heldout"), ("d", "train")]
    assert drops == {"prompt_in_both_splits": 1, "prompt_other_split": 1}


def test_order_of_rows_does_not_matter():
    sampled = (prompt(), completions("p", "The kidney.", "Heart", "Lung", "Kidney", "Eye"))
    assert pairs_of(sampled) == pairs_of((sampled[0], sampled[1][::-1]))


def test_grade():
    assert grade("A b c", "a, B; c.") == 1.0
    assert grade("c b a", "a b c") == pytest.approx((1 + 3) / 6)  # LCS 1 word, 3 words in any order, 3 + 3 words
    assert grade("x", "a") == grade("", "a") == 0.0


def test_stage_writes_pairs_and_counts(tmp_path):
    write_table(tmp_path / "made" / "data" / "prompts.parquet", [prompt("a"), prompt("b", "reward_heldout")], PROMPT)
    rows = [*completions("a", "Kidney", "Heart"), *completions("b", "Lung", "kidney", "Lung")]
    write_table(tmp_path / "sampled" / "data" / "completions" / "part-00000.parquet", rows, COMPLETION)
    made, sampled = (SimpleNamespace(data=tmp_path / where / "data") for where in ("made", "sampled"))
    inputs = {"prompts": made, "completions": sampled}
    out = SimpleNamespace(data=tmp_path / "out")
    counters = run(CONFIG, inputs, out)
    table = read_table(out.data / "pairs.parquet", PAIR)
    assert counters["num_pairs_train"] == 1 and counters["num_pairs_heldout"] == 2 == table.num_rows - 1
    assert counters["dropped_completion_repeated"] == 1 and set(f"dropped_{d}" for d in DROPS) <= set(counters)
    write_table(tmp_path / "sampled" / "data" / "completions" / "part-00001.parquet", completions("z", "x"), COMPLETION)
    with pytest.raises(UserError, match="'z'"):
        run(CONFIG, inputs, out)
