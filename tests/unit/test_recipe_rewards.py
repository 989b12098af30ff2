"""Recipes with several reward models, and with benchmarks of reward models."""

from __future__ import annotations

import pytest

from medray.core.config import changed
from medray.evaluate.pair_benchmarks import BenchFile
from medray.evaluate.reward_bench import RewardBenchConfig
from medray.evaluate.win_rate import WinRateConfig
from medray.generate.config import Budget, Endpoint, EndpointPlacement
from medray.math.ensemble import EnsembleRule
from medray.preference.adopted import AdoptedPairsConfig
from medray.preference.annotate import AnnotateConfig
from medray.preference.reward_bench import BenchRules, Sides, VotesFile
from medray.recipes.files import pair_file
from medray.recipes.recipe import Annotation, Ensemble, FilesPlacement
from medray.recipes.tiny import tiny
from medray.recipes.unroll import unroll
from medray.tables.adopted import FilePlacement
from tests.unit.reading import CLEAN

NOTHING_JUDGED = {"rounds": (), "evaluation": None}


def test_several_reward_models_judge_together():
    recipe = changed(tiny(), report=None)
    rule = EnsembleRule(rule="mean_minus_std", std_factor=1.0)
    reward = changed(recipe.reward, ensemble=Ensemble(num_models=3, is_disjoint=True))
    judge = changed(recipe.judge, ensemble=rule)
    for fields in ({"reward": reward}, {"judge": judge}, {"reward": reward, "judge": None, **NOTHING_JUDGED}):
        with pytest.raises(ValueError, match=r"reward.ensemble and judge.ensemble, its rule, need each other"):
            changed(recipe, **fields)
    stages = {stage.label: stage for stage in unroll(changed(recipe, reward=reward, judge=judge))}
    trained = [stages[f"reward.train.{n}"] for n in (1, 2, 3)]
    assert [(s.config.part.index, s.config.part.of) for s in trained] == [(1, 3), (2, 3), (3, 3)]
    seed = recipe.reward.train.optimization.rng_seed
    assert [s.config.optimization.rng_seed for s in trained] == [seed, seed + 1, seed + 2]
    for stage in stages.values():
        roles = [role for role in stage.inputs if role.startswith("reward_model")]
        assert roles in ([], ["reward_model_1", "reward_model_2", "reward_model_3"]), stage.label
    assert [stages["evaluate.reward"].inputs[f"reward_model_{n}"] for n in (1, 2, 3)] == trained
    assert stages["evaluate.reward"].config.ensemble == rule
    assert stages["round_1.answer"].config.judge.ensemble == stages["fresh.sft.answer"].config.judge.ensemble == rule
    parts = [trained[0].config.part, trained[1].config.part, trained[2].config.part]
    held = [[part.holds(f"p{n}") for part in parts] for n in range(300)]
    assert all(sum(row) == 1 for row in held) and min(map(sum, zip(*held, strict=True))) > 60


def test_an_auditor_learns_from_other_prompts_and_judges_last():
    recipe = changed(tiny(), report=None)
    reward = changed(recipe.reward, auditor=True)
    with pytest.raises(ValueError, match=r"reward.auditor judges for evaluation.win_rate, which is left out"):
        changed(recipe, reward=reward)
    evaluation = changed(recipe.evaluation, win_rate=WinRateConfig(rng_seed=1))
    stages = unroll(changed(recipe, reward=reward, evaluation=evaluation))
    found = {stage.label: stage for stage in stages}
    ours, auditor = found["reward.train"], found["reward.train.auditor"]
    assert [(stage.config.part.index, stage.config.part.of) for stage in (ours, auditor)] == [(1, 2), (2, 2)]
    assert found["evaluate.auditor"].inputs["reward_model"] is auditor
    asked = [stage.label for stage in stages if auditor in stage.inputs.values()]
    rounds = [f"round_{number}" for number in range(1, len(recipe.rounds) + 1)]
    assert asked == ["evaluate.auditor", *(f"fresh.{name}.auditor" for name in ("sft", *rounds))]
    assert [stage.label for stage in stages[-len(rounds) :]] == [f"win_rate.{name}" for name in rounds]
    last = found[f"win_rate.{rounds[-1]}"].inputs
    assert {role: source.label for role, source in last.items()} == {
        "before": "fresh.sft.answer", "after": f"fresh.{rounds[-1]}.answer", "prompts": "synthesize",
        "before_auditor": "fresh.sft.auditor", "after_auditor": f"fresh.{rounds[-1]}.auditor",
    }  # fmt: skip
    with pytest.raises(ValueError, match="win_rate compares what is sampled as `fresh`, which is left out"):
        changed(evaluation, fresh=None, metrics=None, cool=None, greedy=None)
    alone = {stage.label: stage for stage in unroll(changed(recipe, evaluation=evaluation))}
    assert alone["reward.train"].config.part is None and "before_auditor" not in alone["win_rate.round_1"].inputs
    several = changed(reward, ensemble=Ensemble(num_models=2, is_disjoint=False))
    judge = changed(recipe.judge, ensemble=EnsembleRule(rule="mean_minus_std", std_factor=1.0))
    found = {s.label: s for s in unroll(changed(recipe, reward=several, judge=judge, evaluation=evaluation))}
    parts = [found[f"reward.train.{name}"].config.part for name in ("1", "2", "auditor")]
    assert [part.index for part in parts] == [1, 1, 2] and found["fresh.sft.auditor"].config.ensemble is None


def test_general_pairs_are_learnt_from_beside_the_medical_ones(tmp_path):
    (tmp_path / "preferences" / "general").mkdir(parents=True)
    (tmp_path / "preferences" / "general" / "a.jsonl").write_text("{}\n")
    file = pair_file("general", "MIT", "public")
    general = AdoptedPairsConfig(files=(file,), heldout_fraction=0.1, max_bad_fraction=0.0, rng_seed=1, **CLEAN)
    recipe = changed(tiny(), report=None, files=FilesPlacement(directory=str(tmp_path)))
    train = changed(recipe.reward.train, proportions={"pairs": 3.0, "pairs_general": 1.0})
    reward = changed(recipe.reward, others={"general": general}, train=train)
    stages = {stage.label: stage for stage in unroll(changed(recipe, reward=reward))}
    others = stages["reward.pairs.general"]
    assert others.config.files[0].placement.path == str(tmp_path / "preferences" / "general")
    for label in ("reward.train", "evaluate.reward"):
        inputs = stages[label].inputs
        assert inputs["pairs"] is stages["reward.pairs"] and inputs["pairs_general"] is others


def test_a_benchmark_of_reward_models_is_built_of_the_ratings_and_measured(tmp_path):
    path = tmp_path / "benches" / "rb.jsonl"
    path.parent.mkdir()
    path.write_text("{}\n")
    recipe = changed(tiny(), report=None, rounds=())
    judge = Endpoint(
        model="judge", access="public", temperature=0.0, top_p=1.0, max_tokens=500, rng_seed=None,
        budget=Budget(max_tokens=10**6, max_cost=1.0, price_per_million_in=1.0, price_per_million_out=1.0),
        placement=EndpointPlacement(base_url="https://judge.example/v1"),
    )  # fmt: skip
    rules = AnnotateConfig(
        judge=judge, reference_is_candidate=False, both_orders_fraction=0.1, max_tries=2, max_unreadable_fraction=0.1,
        max_answer_characters=4000, rng_seed=7,
    )  # fmt: skip
    sides = Sides(chosen=("small",), rejected=("own",))
    bench = BenchRules(
        num_prompts=1000, per_column=None, easy=sides, hard=("small", "own"), hard_gap=1, length=sides, length_gap=2,
        max_length_difference=0.1, rng_seed=7,
        votes=VotesFile(licence="own", access="public", placement=FilePlacement(path="benches/rb.jsonl")),
    )  # fmt: skip
    annotation = Annotation(models={"small": recipe.base}, sample=recipe.reward.candidates, annotate=rules, bench=bench)
    file = BenchFile(
        name="rb", layout="reward_bench", licence="odc-by", access="public",
        placement=FilePlacement(path="benches/rb.jsonl"),
    )  # fmt: skip
    measured = RewardBenchConfig(files=(file,), dtype="fp32", max_tokens=512, rng_seed=7)
    built = changed(
        recipe, files=FilesPlacement(directory=str(tmp_path)), reward=changed(recipe.reward, pairs=annotation),
        evaluation=changed(recipe.evaluation, reward_bench=measured),
    )  # fmt: skip
    stages = {stage.label: stage for stage in unroll(built)}
    assert {role: source.label for role, source in stages["reward.bench"].inputs.items()} == {
        "ratings": "reward.pairs", "prompts": "synthesize",
    }  # fmt: skip
    last = stages["evaluate.reward_bench"]
    assert {role: source.label for role, source in last.inputs.items()} == {
        "reward_model": "reward.train", "built": "reward.bench",
    }  # fmt: skip
    assert last.config.files[0].digest == stages["reward.bench"].config.votes.digest != ""
    assert "odc-by" in last.licences
