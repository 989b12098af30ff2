"""Evaluation: what is measured on a document, a question, a pair and a prompt, on a tiny model and by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from medray.core.schema import DOCUMENT, PROMPT, write_table
from medray.core.schema import QUESTION as QUESTION_ROW
from medray.core.workspace import Root, Workspace
from medray.evaluate import choice, fresh, model, perplexity, reward

QUESTION = {"id": "q", "task": "t", "prompt": "Which?", "options": ["eye", "inner ear", "skin", "bone"], "gold": 1}


def test_a_token_is_of_a_definition_when_its_last_character_is():
    text = "Name: eye. Definition: part of a face. End"
    start = text.index("part")
    parts = [{"kind": "definition", "start": start, "stop": start + len("part of a face.")}]
    offsets = [(0, 5), (5, 22), (22, 27), (27, 37), (37, 38), (38, 42)]  # " part" begins with the blank before
    assert perplexity.definition_mask(offsets, parts).tolist() == [False, False, True, True, True, False]
    assert not perplexity.definition_mask(offsets, [{**parts[0], "kind": "name"}]).any()


def test_choice_of_items_is_by_hash_and_balanced():
    rows = [{"id": f"{n:03d}", "task": "ab"[n % 2], "category": "ab"[n % 2]} for n in range(40)]
    chosen = choice.choose_questions(rows, 5, 1)
    assert [sum(row["task"] == task for row in chosen) for task in "ab"] == [5, 5]
    assert chosen == choice.choose_questions(rows[::-1], 5, 1) != choice.choose_questions(rows, 5, 2)
    assert len(perplexity.choose_documents(rows, 0, 1)) == 40


def test_baselines_share_the_credit_of_ties():
    assert choice.credit([1, 3, 3, 0], 1) == 0.5
    assert choice.credit([1, 3, 3, 0], 0) == 0.0
    measured = [[(-9.0, 3), (-8.0, 8), (-20.0, 2), (-30.0, 2)]]
    priors = {"eye": -1.0, "inner ear": -2.0, "skin": -3.0, "bone": -4.0}
    train = [{"task": "t", "options": ["inner ear", "x"], "gold": 0}, {"task": "u", "options": ["eye"], "gold": 0}]
    row = choice.judge_choices([QUESTION], measured, priors, train)[0]
    assert (row["predicted"], row["correct"], row["correct_normalised"]) == (1, 1.0, 1.0)
    assert (row["chance"], row["longest_option"], row["most_frequent"], row["prior"]) == (0.25, 1.0, 1.0, 0.0)
    unseen = choice.judge_choices([QUESTION], measured, priors, [])[0]
    assert unseen["most_frequent"] == 0.25  # all options equally (never) seen: chance


def test_questions_over_the_same_options_are_one_cluster():
    def asked(number, **other):
        return {**QUESTION, "id": f"q{number}", "prompt": f"Which {number}?", **other}

    twice = [asked(0), asked(1, options=QUESTION["options"][::-1], gold=2)]
    others = [asked(2, task="u"), asked(3, options=["a", "b", "c", "d"]), asked(4, options=[]), asked(5, options=[])]
    assert choice.cluster_of(twice[0]) == choice.cluster_of(twice[1])
    assert len({choice.cluster_of(question) for question in [*twice, *others]}) == 5
    questions = [asked(n, options=[f"{o}{n // 4}" for o in "abcd"], gold=n % 4) for n in range(48)]
    measured = [[(-1.0 - (i != n // 4 % 4), 1) for i in range(4)] for n in range(48)]
    priors = {option: 0.0 for question in questions for option in question["options"]}
    found = choice.summarise(choice.judge_choices(questions, measured, priors, []), 0)
    for figure in ("accuracy", "accuracy.t", "baseline.chance", "accuracy_minus_prior"):
        assert (found[figure]["count"], found[figure]["num_clusters"]) == (48, 12)
    assert found["accuracy"]["value"] == 0.25  # the same option for every stem: right in one of four


def test_the_options_stand_in_the_question():
    assert choice.question_text(QUESTION) == "Which?\n- eye\n- inner ear\n- skin\n- bone"


def pair(chosen, rejected):
    return {"chosen": chosen, "rejected": rejected}


def test_a_bag_of_words_learns_a_word_and_length_counts_words():
    train = [pair("it is good", "it is bad"), pair("good eye", "bad ear")] * 20
    heldout = [pair("good", "bad"), pair("bad", "good"), pair("unseen", "words")]
    margins = reward.bag_of_words_margins(train, heldout, l2=0.01)
    assert margins[0] > 1 and margins[1] < -1 and margins[2] == 0
    assert reward.wins(margins).tolist() == [1.0, 0.0, 0.5]
    found = reward.length_wins([pair("a b c", "a b"), pair("a", "b")])
    assert found["longer"].tolist() == [1.0, 0.5] and found["shorter"].tolist() == [0.0, 0.5]
    assert reward.bag_of_words_margins([], heldout, l2=0.01) == [0.0] * 3


def test_pairs_are_told_apart_by_length_and_their_prompts_stay_together():
    words = " ".join(f"w{n}" for n in range(20))
    assert reward.length_group(f"{words} {words}", words) == "chosen longer"
    assert reward.length_group("a", "a b") == "chosen shorter"
    assert reward.length_group(words, f"{words} x y") == "about equal" == reward.length_group("", "")
    assert reward.length_group(words, f"{words} x y z") == "chosen shorter"
    rows = [pair("a b c", "a") | {"task": "t", "source": "own"}, pair("a", "b") | {"task": "u", "source": "m>own"}]
    assert reward.groupings(rows) == {
        "kind": ["t", "u"], "source": ["own", "m>own"], "length": ["chosen longer", "about equal"],
    }  # fmt: skip
    won = {"reward_model": np.tile([1.0, 0.0], 20)}
    apart, together = (
        reward.summarise(won, {"kind": ["t"] * 40}, prompts, 0)["by_kind"]["t"]["reward_model"]
        for prompts in (range(40), [n % 2 for n in range(40)])
    )
    assert (apart["num_clusters"], together["num_clusters"]) == (40, 2)
    assert together["high"] - together["low"] > 2 * (apart["high"] - apart["low"])


def test_bag_of_words_reaches_the_optimum():
    rng, words = np.random.default_rng(0), np.array([f"w{n}" for n in range(30)])
    train = [pair(" ".join(rng.choice(words, 8)), " ".join(rng.choice(words, 8))) for _ in range(60)]
    near, far = (reward.bag_of_words_margins(train, train, 0.05, num_steps=n) for n in (1000, 10_000))
    assert np.allclose(near, far, atol=1e-3)


def test_a_reward_model_must_beat_every_baseline():
    rng = np.random.default_rng(1)
    won = {name: (rng.random(300) < p).astype(float) for name, p in
           {"reward_model": 0.8, "longer": 0.5, "policy_sum": 0.0}.items()}  # fmt: skip
    won["policy_sum"] = np.where(np.arange(300) < 4, 0.0, won["reward_model"])  # at most four pairs behind
    groups = {"kind": ["open"] * 150 + ["gold"] * 150, "length": ["chosen longer", "about equal"] * 150}
    found = reward.summarise(won, groups, range(300), 0)
    assert found["verdict"] == "not above" and found["not_above"] == ["policy_sum"]
    assert set(found["by_kind"]) == {"gold", "open"}
    longer = found["by_length"]["chosen longer"]["reward_model"]
    assert longer["count"] == 150 and longer["value"] == pytest.approx(won["reward_model"][::2].mean(), abs=1e-5)
    won["policy_sum"] = won["longer"]
    assert reward.summarise(won, {}, range(300), 0)["verdict"] == "above"


def judged(rewards, correct, texts=None):
    texts = texts or ["the eye"] * len(rewards)
    return [
        {"reward": r, "correct": c, "text": t, "num_tokens": 4, "finish_reason": "stop", "index": i}
        for i, (r, c, t) in enumerate(zip(rewards, correct, texts, strict=True))
    ]


def test_best_of_n_takes_the_highest_reward_and_unparsed_is_wrong_but_never_a_vote():
    prompt = {"id": "p", "task": "t", "gold": 1, "options": ["a", "b"]}
    row = fresh.measure_prompt(prompt, judged([0.1, 0.9, 0.9, 0.2], [0, 1, 0, -1]), 0.0)
    assert (row["correct_best"], row["correct_first"], row["correct_greedy"]) == (1.0, 0.0, 0.0)
    assert (row["correct_mean"], row["correct_parsed"], row["unparsed"]) == (0.25, pytest.approx(1 / 3), 0.25)
    open_prompt = fresh.measure_prompt({**prompt, "gold": -1}, judged([0.1, 0.9], [-1, -1]), None)
    assert open_prompt["correct_mean"] is None and open_prompt["unparsed"] is None
    assert open_prompt["reward_best"] == 0.9


def test_distinct_falls_when_samples_agree():
    assert fresh.distinct([["a", "b"], ["a", "b"]], 2) == 0.5
    assert fresh.distinct([["a", "b"], ["b", "a"]], 2) == 1.0
    assert fresh.distinct([["a"], []], 2) is None


def test_fresh_figures_have_intervals_and_a_paired_best_of_n():
    prompt = {"task": "t", "gold": 1}
    rows = [
        fresh.measure_prompt(
            {**prompt, "id": str(n), "options": ["a", f"b{n // 2}"]}, judged([0.1, 0.9], [0, 1]), float(n % 4 == 0)
        )
        for n in range(40)
    ]
    found = fresh.summarise(rows, 0)
    assert found["correct_mean"]["num_clusters"] == found["reward_mean"]["num_clusters"] == 20
    assert found["correct_best"]["value"] == 1.0 and found["correct_mean"]["count"] == 40
    assert found["best_minus_greedy"]["value"] == 0.75 and found["best_minus_greedy"]["verdict"] == "better"
    json.dumps(found, allow_nan=False)
    without = fresh.summarise([{**row, "correct_greedy": None} for row in rows], 0)
    assert without["best_minus_greedy"]["count"] == 0 and without["best_minus_greedy"]["verdict"] == "none"


def test_documents_and_choices_on_a_tiny_model(tiny_model):
    import torch

    from medray.model.load import load_policy, load_tokenizer
    from medray.model.render import render
    from medray.train.forward import Forward

    tokenizer, forward = load_tokenizer(tiny_model), Forward(tiny_model, dtype="fp32")
    policy = load_policy(tiny_model, "fp32")
    text = "Name: eye. Definition: The eye is an organ of sight."
    start = text.index("The")
    document = {
        "id": "d", "category": "medical", "source": "s", "text": text,
        "parts": [{"kind": "definition", "start": start, "stop": len(text)}],
    }  # fmt: skip
    row = perplexity.measure_documents(forward, tokenizer, [document], 200)[0]
    ids = torch.tensor([tokenizer(text, add_special_tokens=False).input_ids])
    logits = policy(ids).logits[0].double()
    nll = -logits.log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[:, 0]
    assert row["nll"] == pytest.approx(nll.sum().item(), rel=1e-4) and row["num_tokens"] == len(ids[0]) - 1
    inside = len(tokenizer(text[start - 1 :], add_special_tokens=False).input_ids)
    assert row["num_definition_tokens"] == inside
    assert row["definition_nll"] == pytest.approx(nll[-inside:].sum().item(), rel=1e-4)
    cut = perplexity.measure_documents(forward, tokenizer, [document], 5)[0]
    assert cut["num_tokens"] == 4 and cut["num_definition_tokens"] == 0

    measured = choice.measure_choices(forward, tokenizer, [QUESTION], "Answer briefly.")[0]
    contents = (("system", "Answer briefly."), ("user", choice.question_text(QUESTION)), ("assistant", "inner ear"))
    whole = render(tokenizer, [{"role": role, "content": content} for role, content in contents])
    ids = torch.tensor([whole.ids])
    logits = policy(ids).logits[0].double()
    logprobs = logits.log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[:, 0]
    expected = logprobs[whole.prompt_length - 1 :].sum().item()
    assert measured[1][0] == pytest.approx(expected, rel=1e-4) and measured[1][1] == len(whole.completion)
    priors = choice.measure_priors(forward, tokenizer, QUESTION["options"], "Answer briefly.")
    assert set(priors) == set(QUESTION["options"]) and priors["eye"] != pytest.approx(measured[0][0], rel=1e-3)


def test_a_prompt_is_asked_as_it_stands(tiny_model):
    """A user's multiple choice: its own turns, the recipe's system prompt where it has none."""
    from medray.model.load import load_tokenizer
    from medray.train.forward import Forward

    forward, tokenizer = Forward(tiny_model, dtype="fp32"), load_tokenizer(tiny_model)
    turns = [{"role": "user", "content": choice.question_text(QUESTION)}]
    own = [{"role": "system", "content": "Answer briefly."}, *turns]
    prompts = [{**QUESTION, "prompt": "", "messages": messages} for messages in (turns, own)]
    expected = choice.measure_choices(forward, tokenizer, [QUESTION], "Answer briefly.")[0]
    plain, with_own = choice.measure_choices(forward, tokenizer, prompts, "")
    assert with_own == expected != plain
    assert choice.measure_choices(forward, tokenizer, prompts, "Answer briefly.") == [expected, expected]
    assert choice.asked(prompts[0], "") == turns and choice.asked(prompts[1], "Other.") == own


@pytest.mark.parametrize("there", ["questions", "prompts", "corpus"])
def test_a_model_is_measured_on_what_there_is(tiny_model, tmp_path, monkeypatch, there):
    """Questions without held-out text, and the other way round: the table of what is not there is empty."""
    from medray.tables import shards

    monkeypatch.setattr(shards, "run_remote", lambda fn, *given, num_gpus: fn(*given))
    written = SimpleNamespace(data=tmp_path / there)
    if there == "questions":
        questions = [{**QUESTION, "id": f"q{n}", "group": "", "split": "test"} for n in range(2)]
        write_table(written.data / "questions.parquet", questions, QUESTION_ROW)
    elif there == "prompts":
        asked = {"id": "p", "task": "t", "messages": [{"role": "user", "content": "Which?\n- eye\n- skin"}],
                 "options": ["eye", "skin"], "gold": 1, "reference": "", "group": "", "split": "test"}  # fmt: skip
        others = [{**asked, "id": "open", "options": [], "gold": -1}, {**asked, "id": "round", "split": "round_1"}]
        write_table(written.data / "prompts.parquet", [asked, {**asked, "id": "q"}, *others], PROMPT)
    else:
        document = {"id": "d", "source": "s", "text": "Renal failure leads to anaemia.", "category": "medical",
                    "group": "", "licence": "", "access": "public", "synthetic": False, "split": "heldout",
                    "parts": []}  # fmt: skip
        write_table(written.data / "heldout.parquet", [document], DOCUMENT)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model").symlink_to(tiny_model)
    root = Root(str(tmp_path / "runs"))
    config = model.EvaluateConfig(
        system_prompt="Answer.", split="test", questions_per_task=0, documents_per_category=0, max_document_tokens=64,
        dtype="fp32", rng_seed=1,
    )  # fmt: skip
    workspace = Workspace(root, "evaluate", "0" * 32, "evaluate")
    role = "corpus" if there == "corpus" else "questions"
    counters = model.run(config, {"model": SimpleNamespace(data=tmp_path / "model"), role: written}, workspace)
    measured = json.loads((workspace.data / "metrics.json").read_text())
    assert (counters["num_questions"], counters["num_documents"]) == ((2, 0) if role == "questions" else (0, 1))
    assert ("accuracy" in counters, "accuracy" in measured) == (role == "questions",) * 2
    assert ("perplexity_medical" in counters) == (there == "corpus")
