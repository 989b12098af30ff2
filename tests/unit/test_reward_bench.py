"""Benchmarks of reward models: built of ratings by the paper's rules, read in their layouts, counted by their rules."""

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from medray.core.config import UserError
from medray.core.schema import PAIR, PROMPT, read_table, write_table
from medray.core.workspace import Root, Workspace
from medray.evaluate import pair_benchmarks, reward, reward_bench
from medray.evaluate.pair_benchmarks import SECTIONS, BenchFile, BenchPair
from medray.math.ensemble import EnsembleRule
from medray.preference import ratings
from medray.preference import reward_bench as build
from medray.preference.annotate import RATING, _pair
from medray.preference.reward_bench import OUTCOMES, BenchRules, Sides, VotesFile
from medray.tables.adopted import FilePlacement

MODELS = ("gpt4", "gpt35", "mixtral", "llama70", "llama8", "own")
RULES = {
    "num_prompts": 100, "per_column": None, "easy": Sides(chosen=("gpt4",), rejected=("gpt35", "mixtral")),
    "hard": ("gpt4", "llama70", "own"), "hard_gap": 1, "length": Sides(chosen=("llama70",), rejected=("llama8",)),
    "length_gap": 2, "max_length_difference": 0.1, "votes": None, "rng_seed": 1,
}  # fmt: skip


def rated(directory, table, split="reward_heldout"):
    """Artifacts of `annotate` and of the prompts; table: {prompt: {model: (rating, number of words)}}."""
    prompts, rows, pairs = [], [], []
    for prompt_id, answers in table.items():
        prompt = {"id": prompt_id, "task": "t", "messages": [{"role": "user", "content": f"Which, {prompt_id}?"}],
                  "options": [], "gold": -1, "reference": "", "group": "", "split": split}  # fmt: skip
        prompts.append(prompt)
        found = [
            ratings.Rating(
                ratings.Answer(f"{MODELS.index(name)}/x", f"{name} " + "word " * (words - 1), MODELS.index(name)),
                rating, 1 + sum(other > rating for other, _ in answers.values()),
            )
            for name, (rating, words) in answers.items()
        ]  # fmt: skip
        rows += [
            {"prompt_id": prompt_id, "completion_id": r.answer.id, "model": MODELS[r.answer.order],
             "rating": r.rating, "rank": r.rank, "place": place, "reply": "k"} for place, r in enumerate(found)
        ]  # fmt: skip
        pairs += [_pair(prompt, MODELS, *pair, single=False) for pair in ratings.all_pairs(found)]
    made = {name: SimpleNamespace(data=directory / name) for name in ("ratings", "prompts")}
    write_table(made["prompts"].data / "prompts.parquet", prompts, PROMPT)
    write_table(made["ratings"].data / "ratings.parquet", rows, RATING)
    write_table(made["ratings"].data / "pairs.parquet", pairs, PAIR)
    return made


def built(directory, made, **changes):
    root = Root(str(directory / f"root{len(list(directory.iterdir()))}"))
    root.prepare()
    workspace = Workspace(root, build.NAME, "0" * 32, "reward.bench")
    counters = build.run(build.resolve(BenchRules(**RULES | changes)), made, workspace)
    rows = [json.loads(line) for line in (workspace.data / "bench.jsonl").read_text().splitlines()]
    return counters, {row["prompt_id"]: row for row in rows}, workspace.data


TABLE = {
    "easy": {"gpt4": (5, 30), "gpt35": (3, 10), "mixtral": (2, 10)},
    "hard": {"gpt4": (4, 30), "own": (5, 20), "llama70": (3, 20)},
    "both": {"gpt4": (5, 30), "gpt35": (1, 10), "llama70": (4, 30), "llama8": (3, 30)},
    "length": {"gpt4": (5, 30), "llama70": (5, 20), "llama8": (3, 19)},
    "biased": {"llama70": (5, 30), "llama8": (2, 20)},
    "far": {"gpt4": (5, 30), "own": (3, 20)},
    "equal": {"gpt4": (4, 30), "gpt35": (4, 10)},
}


def test_pairs_go_to_the_columns_of_the_paper(tmp_path):
    counters, rows, data = built(tmp_path, rated(tmp_path, TABLE))
    sides = {id: (row["label_type"], row["metadata"]["chosen"]["model"], row["metadata"]["rejected"]["model"])
             for id, row in rows.items()}  # fmt: skip
    assert sides == {
        "easy": ("easy", "gpt4", "mixtral"),  # the widest
        "hard": ("hard", "own", "gpt4"),  # the highest over the next below it
        "both": ("hard", "gpt4", "llama70"),  # in one column, the rarer
        "length": ("length", "llama70", "llama8"),  # two points apart, 20 words against 19
    }
    assert sum(counters[name] for name in OUTCOMES) == counters["num_prompts"] == 7
    account = json.loads((data / "account.json").read_text())
    assert {id: account[id] for id in ("biased", "far", "equal")} == dict.fromkeys(
        ("biased", "far", "equal"), "left_fits_none"
    )
    row = rows["easy"]
    assert row["chosen"][-1]["content"].startswith("gpt4 word") and row["chosen"][0]["content"] == row["prompt"]


def test_what_is_trained_on_is_no_benchmark(tmp_path):
    made = rated(tmp_path, TABLE, split="reward_train")
    with pytest.raises(UserError, match=r"no pair of 0 held-out prompts"):
        built(tmp_path, made)


def test_prompts_are_drawn_by_hash_and_columns_have_their_size(tmp_path):
    made = rated(tmp_path, {f"p{n}": TABLE["easy"] for n in range(20)})
    counters, rows, _ = built(tmp_path, made, num_prompts=12, per_column=5)
    assert (counters["easy"], counters["left_over_quota"], counters["left_not_drawn"]) == (5, 7, 8)
    assert built(tmp_path, made, num_prompts=12, per_column=5)[1] == rows
    assert built(tmp_path, made, num_prompts=12, per_column=5, rng_seed=2)[1].keys() != rows.keys()


def voted(directory, data, cast):
    """A file of votes on annotation.jsonl; cast: {prompt: votes as "judge", "other" or "neither"}."""
    lines = []
    for line in (data / "annotation.jsonl").read_text().splitlines():
        shown = json.loads(line)
        assert shown.keys() == {"pair_id", "messages", "a", "b"}, "what the judge prefers does not show"
        is_a = build.shows_chosen_first(shown["pair_id"])
        letters = {"judge": "ab"[not is_a], "other": "ab"[is_a], "neither": "neither"}
        for number, vote in enumerate(cast[shown["pair_id"].split("/")[0]]):
            lines.append(json.dumps({"pair_id": shown["pair_id"], "annotator": f"n{number}", "vote": letters[vote]}))
    path = directory / "votes.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return VotesFile(licence="own", access="public", placement=FilePlacement(path=str(path)))


def test_people_correct_the_judge_or_leave_a_pair_out(tmp_path):
    made = rated(tmp_path, {f"p{n}": TABLE["easy"] for n in range(6)})
    _, before, data = built(tmp_path, made)
    cast = {
        "p0": ["judge", "judge", "other"], "p1": ["other", "other"], "p2": ["judge", "other", "neither"],
        "p3": ["neither", "neither", "judge"], "p4": ["judge"], "p5": ["judge", "judge", "other", "other"],
    }  # fmt: skip
    votes = voted(tmp_path, data, cast)
    counters, rows, _ = built(tmp_path, made, votes=votes)
    assert {name: counters[name] for name in OUTCOMES if counters[name]} == {
        "easy": 1, "human": 1, "left_disagreed": 2, "left_neither": 1, "left_few_votes": 1,
    }  # fmt: skip
    assert rows["p0"] == before["p0"]
    assert (rows["p1"]["chosen"], rows["p1"]["label_type"]) == (before["p1"]["rejected"], "human")
    assert rows["p1"]["metadata"]["chosen"] == {"model": "mixtral", "rating": 2}
    shown = [json.loads(line) for line in (data / "annotation.jsonl").read_text().splitlines()]
    assert {row["a"].split()[0] for row in shown} == {"gpt4", "mixtral"}, "the judge's choice is not always first"


def test_a_vote_that_cannot_be_used_is_an_error(tmp_path):
    made = rated(tmp_path, {"p0": TABLE["easy"]})
    path = tmp_path / "votes.jsonl"
    votes = VotesFile(licence="own", access="public", placement=FilePlacement(path=str(path)))
    for rows in (
        [{"pair_id": "p9/a>b", "annotator": "n", "vote": "a"}],
        [{"pair_id": "p0/gpt4>mixtral", "annotator": "n", "vote": "c"}],
        [{"pair_id": "p0/gpt4>mixtral", "annotator": "n", "vote": "a"}] * 2,
    ):
        path.write_text("\n".join(json.dumps(row) for row in rows))
        with pytest.raises(UserError, match=rf"votes, row {len(rows)}: .* expected a pair"):
            built(tmp_path, made, votes=votes)


def test_what_is_built_is_read_as_the_published_files_are(tmp_path):
    made = rated(tmp_path, TABLE)
    _, rows, data = built(tmp_path, made)
    pairs = pair_benchmarks.read_pairs(data / "bench.jsonl", "built", "medical")
    assert Counter(pair.column for pair in pairs) == {"hard": 2, "easy": 1, "length": 1}
    row = rows[pairs[0].id.split("/")[0]]
    assert (pairs[0].chosen, pairs[0].rejected) == (row["chosen"][-1]["content"], row["rejected"][-1]["content"])
    assert pairs[0].messages == [{"role": "user", "content": row["prompt"]}]


def bench_file(path, layout="reward_bench"):
    path = FilePlacement(path=str(path))
    file = BenchFile(name="rb", layout=layout, licence="odc-by", access="public", placement=path)
    return pair_benchmarks.resolve(file)


ROW = {"prompt": "Why?", "chosen": "A.", "chosen_model": "m", "rejected": "B.", "subset": "math-prm", "id": 7}


def test_files_are_read_whole_or_not_at_all(tmp_path):
    path = tmp_path / "rb.jsonl"
    path.write_text("\n".join(json.dumps(ROW | {"id": n}) for n in range(3)))
    file = bench_file(path)
    pairs = pair_benchmarks.read_file(file)
    assert pairs[1] == BenchPair("1/2", pairs[0].prompt, "math-prm", [{"role": "user", "content": "Why?"}], "A.", "B.")
    path.write_text(json.dumps(ROW))
    with pytest.raises(UserError, match="digest is"):
        pair_benchmarks.read_file(file)
    for row, message in (
        (ROW | {"subset": "math"}, r"row 1: subset is 'math', expected one of alpacaeval-easy"),
        ({"prompt": "Why?", "chosen": "A."}, r"row 1: no subset, rejected, found prompt, chosen"),
        (ROW | {"chosen": None}, r"row 1: prompt, chosen or rejected is no text"),
        (ROW | {"prompt": ""}, r"row 1: prompt, chosen or rejected is no text"),
    ):
        path.write_text(json.dumps(row))
        with pytest.raises(UserError, match=message):
            pair_benchmarks.read_pairs(path, "rb", "reward_bench")


def test_the_weights_are_those_of_the_set():
    columns = {column: n for weights in SECTIONS["reward_bench"].values() for column, n in weights.items()}
    assert len(columns) == 23
    assert sum(columns.values()) - 984 + 447 == 2985, "the filtered split's rows"
    assert columns["math-prm"] == sum(n for column, n in columns.items() if column.startswith("hep-"))


def measured(won, sizes, layout):
    """Figures of columns with so many pairs won of so many."""
    pairs, outcomes = [], []
    for column, size in sizes.items():
        pairs += [BenchPair(f"{column}{n}", f"{column}{n}", column, [], "", "") for n in range(size)]
        outcomes += [1.0] * won[column] + [0.0] * (size - won[column])
    return pair_benchmarks.figures(np.array(outcomes), pairs, layout, 0)


@pytest.mark.parametrize(
    ("won", "average"),
    [((224, 144, 139, 126), 80.53), ((215, 145, 120, 113), 75.08)],
)  # UltraMedRM-8B, UltraRM-13b
def test_medical_columns_give_the_paper_s_table_4(won, average):
    sizes = {"easy": 238, "hard": 196, "length": 180, "human": 163}
    found = measured(dict(zip(sizes, won, strict=True)), sizes, "medical")
    assert found["overall"]["value"] * 100 == pytest.approx(average, abs=0.006)
    assert found["columns"]["easy"]["value"] == pytest.approx(won[0] / 238, abs=1e-5)
    assert found["overall"]["low"] < found["overall"]["value"] < found["overall"]["high"]


def test_sections_are_weighted_and_the_whole_is_their_mean():
    sizes = {"alpacaeval-easy": 100, "mt-bench-hard": 37, "donotanswer": 136, "math-prm": 447, "hep-go": 164}
    won = {"alpacaeval-easy": 90, "mt-bench-hard": 20, "donotanswer": 68, "math-prm": 400, "hep-go": 82}
    found = measured(won, sizes, "reward_bench")
    reasoning = (984 * 400 / 447 + 164 * 0.5) / (984 + 164)
    assert found["sections"]["Reasoning"]["value"] == pytest.approx(reasoning, abs=1e-5)
    overall = np.mean([0.9, 20 / 37, 0.5, reasoning])
    assert found["overall"]["value"] == pytest.approx(overall, abs=1e-5)
    without = measured(won, {k: n for k, n in sizes.items() if k != "donotanswer"}, "reward_bench")
    assert without["overall"] is None and set(without["sections"]) == {"Chat", "Chat Hard", "Reasoning"}


def test_a_tie_is_not_won_and_what_cannot_be_read_is_in_no_figure():
    assert reward_bench.judge([(1.0, 0.5)], None)["outcome"] == "won"
    assert reward_bench.judge([(0.5, 0.5)], None)["outcome"] == "tied"
    left = reward_bench.judge([(1.0, 0.5), "too long"], EnsembleRule(rule="mean"))
    assert left == {"outcome": "left_out", "reason": "too long", "margin": None, "disagreement": None}
    both = reward_bench.judge([(1.0, 0.0), (10.0, 14.0)], EnsembleRule(rule="mean"))
    assert (both["outcome"], both["margin"], both["disagreement"]) == ("lost", -1.5, 2.5)


@pytest.fixture(scope="module")
def reward_models(tmp_path_factory):
    import torch

    from medray.model.base import make_tiny
    from medray.model.export import save_model
    from medray.model.load import load_reward_model, load_tokenizer

    root = tmp_path_factory.mktemp("reward")
    make_tiny(root / "policy", ["Why? Because of the heart and the kidney."])
    for name, seed in (("one", 0), ("two", 1)):
        model = load_reward_model(root / "policy", "fp32", from_policy=True)
        torch.nn.init.normal_(model.score.weight, generator=torch.Generator().manual_seed(seed))
        save_model(model, load_tokenizer(root / "policy"), root / name, {"title": name})
    return [root / "one", root / "two"]


def test_models_read_what_fits_and_say_why_not(reward_models, tmp_path):
    from medray.core.journal import Journal
    from medray.model.load import load_reward_model, load_tokenizer, pooled_rewards
    from medray.model.render import render_pair

    asked = [{"role": "user", "content": "Why?"}]
    sides = [("the heart", "the kidney " * 3), ("heart " * 400, "kidney"), ("the kidney", "the kidney")]
    pairs = [BenchPair(str(n), "p", "easy", asked, *texts) for n, texts in enumerate(sides)]
    config = reward_bench.RewardBenchConfig(files=(), dtype="fp32", max_tokens=256, rng_seed=0)
    found, num_cut = reward_bench.measure(reward_models, pairs, config, Journal(tmp_path / "journal", "bench"))
    assert num_cut == 0 and [len(each) for each in found] == [2, 2, 2]
    assert all("leave no room for the prompt" in reason for reason in found[1])
    assert all(chosen == rejected for chosen, rejected in found[2])
    rendered = render_pair(
        load_tokenizer(reward_models[1]), {"messages": asked, "chosen": sides[0][0], "rejected": sides[0][1]}
    )
    own = pooled_rewards(load_reward_model(reward_models[1], "fp32"), [[side.ids for side in rendered]])
    assert found[0][1] == pytest.approx(own.tolist(), abs=1e-5)
    assert found[0][0] != found[0][1]


@pytest.fixture
def here(monkeypatch):
    """Work that goes to a Ray task runs in this process."""
    from medray.tables import shards

    monkeypatch.setattr(shards, "run_remote", lambda fn, *a, num_gpus=0: fn(*a))


def workspace_of(directory, kind):
    root = Root(str(directory / "root"))
    root.prepare()
    return Workspace(root, kind, "0" * 32, kind)


def both_models(reward_models, directory):
    """Artifacts of two reward models."""
    for name, model in zip("ab", reward_models, strict=True):
        (directory / name).mkdir()
        (directory / name / "model").symlink_to(model)
    return {f"reward_model_{name}": SimpleNamespace(data=directory / name) for name in "ab"}


def test_a_built_benchmark_is_measured_with_every_pair_accounted_for(reward_models, tmp_path, here):
    made = rated(tmp_path, {f"p{n}": TABLE["easy"] for n in range(4)} | {"q": {"gpt4": (5, 400), "gpt35": (1, 5)}})
    _, _, data = built(tmp_path, made)
    inputs = both_models(reward_models, tmp_path) | {"built": SimpleNamespace(data=data)}
    config = reward_bench.RewardBenchConfig(
        files=(), dtype="fp32", max_tokens=256, ensemble=EnsembleRule(rule="mean"), rng_seed=0
    )
    workspace = workspace_of(tmp_path, reward_bench.NAME)
    counters = reward_bench.run(config, inputs, workspace)
    assert counters["num_pairs"] == 5 == sum(counters[f"num_{outcome}"] for outcome in reward_bench.OUTCOMES)
    assert counters["num_left_out"] == 1 and "overall_built" not in counters
    rows = read_table(workspace.data / "pairs.parquet", reward_bench.OUTCOME).to_pylist()
    assert {row["outcome"] for row in rows if row["id"].startswith("q/")} == {"left_out"}
    found = json.loads((workspace.data / "metrics.json").read_text())["built"]
    assert found["columns"]["easy"]["count"] == 4 and found["overall"] is None
    with pytest.raises(UserError, match="no benchmark, expected files or one that is built"):
        reward_bench.run(config, both_models(reward_models, tmp_path / "ratings"), workspace)


def test_an_ensemble_is_measured_on_heldout_pairs_and_so_is_each_member(reward_models, tmp_path, here):
    texts = [("the heart " * (1 + n % 3), "the kidney " * (1 + n % 2)) for n in range(12)]
    pairs = [
        {"id": f"p{n}", "prompt_id": f"p{n // 2}", "source": "own", "messages": [{"role": "user", "content": "Why?"}],
         "chosen": chosen, "rejected": rejected, "chosen_reward": 1.0, "rejected_reward": 0.0,
         "split": "train" if n < 4 else "heldout", "task": "t"} for n, (chosen, rejected) in enumerate(texts)
    ]  # fmt: skip
    write_table(tmp_path / "pairs" / "pairs.parquet", pairs, PAIR)
    inputs = both_models(reward_models, tmp_path) | {"pairs": SimpleNamespace(data=tmp_path / "pairs")}
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "model").symlink_to(reward_models[0].with_name("policy"))
    inputs["policy"] = SimpleNamespace(data=tmp_path / "policy")
    fields = {"dtype": "fp32", "bag_of_words_l2": 0.01, "rng_seed": 0}
    margins = {}
    for name, given, rule in (
        ("both", inputs, EnsembleRule(rule="mean")),
        *((m, {"reward_model": inputs[f"reward_model_{m}"], **inputs}, None) for m in "ab"),
    ):
        if rule is None:
            given = {role: artifact for role, artifact in given.items() if not role.startswith("reward_model_")}
        (tmp_path / f"run_{name}").mkdir()
        workspace = workspace_of(tmp_path / f"run_{name}", reward.NAME)
        counters = reward.run(reward.RewardEvaluationConfig(**fields, ensemble=rule), given, workspace)
        rows = read_table(workspace.data / "pairs.parquet", reward.WON).to_pylist()
        assert counters["num_pairs"] == len(rows) == 8
        margins[name] = np.array([row["margin"] for row in rows])
        found = json.loads((workspace.data / "metrics.json").read_text())
        assert sum(cells["reward_model"]["count"] for cells in found["by_length"].values()) == 8
        if rule:
            assert list(found["members"]) == ["reward_model_a", "reward_model_b"]
            members = {m: found["members"][f"reward_model_{m}"]["value"] for m in "ab"}
        else:
            assert found["metrics"]["reward_model"]["value"] == members[name]
    assert np.allclose(margins["both"], (margins["a"] + margins["b"]) / 2, atol=1e-5)
