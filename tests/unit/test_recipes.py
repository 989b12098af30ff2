"""Recipes that stop early, and where the user's files lie."""

from __future__ import annotations

import pytest

from medray.core.config import UserError, with_overrides
from medray.evaluate.pair_benchmarks import BenchFile, BenchPlacement
from medray.evaluate.reward_bench import RewardBenchConfig
from medray.generate.config import Budget, Endpoint, EndpointPlacement
from medray.math.ensemble import EnsembleRule
from medray.preference.annotate import AnnotateConfig
from medray.preference.reward_bench import BenchRules, Sides, VotesFile, VotesPlacement
from medray.recipes.demo import demo
from medray.recipes.open_corpus import BENCHMARKS, PLACES, open_corpus
from medray.recipes.recipe import Annotation, Ensemble, FilesPlacement
from medray.recipes.tiny import tiny
from medray.recipes.unroll import located, unroll
from medray.train.trl_methods import TRLConfig

CORPUS = ["sources", "base", "clean", "decontaminate", "deidentify", "dedup", "corpus"]


def without(recipe, *names: str):
    changes = {name: () if name == "rounds" else None for name in names}
    return type(recipe).model_validate({**dict(recipe), **changes})


def labels(recipe) -> list[str]:
    return [stage.label for stage in unroll(recipe)]


LATER = ("report", "evaluation", "rounds", "reward", "judge", "sft", "pretrain", "synthesize")


def test_each_group_may_be_the_last():
    recipe = tiny()
    whole = labels(recipe)
    assert labels(without(recipe, *LATER)) == CORPUS
    assert labels(without(recipe, *LATER[:-1])) == [*CORPUS[:2], "synthesize", *CORPUS[2:]]
    assert labels(without(recipe, *LATER[:-2])) == [*CORPUS[:2], "synthesize", *CORPUS[2:], "pretrain"]
    assert labels(without(recipe, *LATER[:3]))[-4:] == ["sft", "reward.sample", "reward.pairs", "reward.train"]
    early = labels(without(recipe, "report", "rounds"))
    assert early == [name for name in whole if "round" not in name and name != "report"]
    measured = labels(without(recipe, "report", "rounds", "reward", "judge"))
    assert [name for name in measured if name.startswith(("evaluate", "fresh"))] == [
        "evaluate.base", "evaluate.pretrained", "evaluate.sft",
    ]  # fmt: skip


def test_a_round_may_be_trained_by_a_method_of_trl():
    recipe = without(tiny(), "report")
    kto = TRLConfig(
        trainer="KTOTrainer", arguments={"beta": 0.1}, num_workers=2, max_tokens=256, oversize="drop", num_rows=None,
        rng_seed=7, dtype="fp32",
    )  # fmt: skip
    first = recipe.rounds[0].model_copy(update={"dpo": kto})
    changed = type(recipe).model_validate({**dict(recipe), "rounds": (first, *recipe.rounds[1:])})
    stages = {stage.label: stage for stage in unroll(changed)}
    assert "round_1.reference" not in stages and "round_2.reference" in stages
    trained = stages["round_1.dpo"]
    assert trained.kind == "trl" and {role: s.label for role, s in trained.inputs.items()} == {
        "model": "sft", "pairs": "round_1.pairs",
    }  # fmt: skip
    assert stages["round_1.observe"].inputs["policy"] is trained


def test_stages_that_stay_keep_their_ids():
    whole = {stage.label: stage.id for stage in unroll(tiny())}
    early = {stage.label: stage.id for stage in unroll(without(tiny(), "report", "evaluation", "rounds"))}
    assert early.items() < whole.items() and "reward.train" in early


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        (["corpus"], "pretrain rests on corpus"), (["dedup"], "decontaminate rests on dedup"),
        (["synthesize"], "sft rests on instructions or synthesize, which is left out: give instructions or synthesize"),
        (["sft"], "reward rests on sft"), (["judge"], "reward rests on judge"), (["reward"], "rounds rests on reward"),
        (["evaluation"], "report rests on evaluation"),
        (["report", "rounds", "reward", "judge", "sft", "synthesize"], "evaluation rests on synthesize"),
    ],
)  # fmt: skip
def test_what_a_group_rests_on_must_be_there(left_out, message):
    with pytest.raises(ValueError, match=message):
        without(demo(), *left_out)


def test_an_override_that_breaks_a_recipe_is_one_line():
    with pytest.raises(UserError, match="^corpus: pretrain rests on corpus, which is left out: give corpus, or leave"):
        with_overrides(demo(), ["corpus=none"])
    with pytest.raises(UserError, match="sft.block_tokens: 'block_tokens' is inside what the recipe leaves out"):
        with_overrides(open_corpus(), ["sft.block_tokens=128"])
    assert with_overrides(demo(), ["report=none"]).report is None


def test_relative_paths_start_at_the_users_directory():
    recipe = located(with_overrides(open_corpus(), ["files.directory=s3://bucket/files"]))
    places = {place.name: place.path for place in recipe.sources.placement.locations}
    assert places == {name: f"s3://bucket/files/{path}" for name, path in PLACES.items()}
    assert recipe.decontaminate.benchmarks[2].placement.path == "s3://bucket/files/eval/hoc.jsonl.zst"
    assert recipe.base == open_corpus().base  # in a package
    assert located(open_corpus()) == open_corpus()
    moved = with_overrides(open_corpus(), ["files.directory=here", "sources.placement.locations.0.path=/there/a"])
    assert located(moved).sources.placement.locations[0].path == "/there/a"


def test_where_files_lie_is_no_identity(tmp_path):
    """Two directories with equal files: equal ids."""
    ids = []
    for name in ("a", "b"):
        for path in (*PLACES.values(), *(file.placement.path for file in BENCHMARKS)):
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(b"{}")
        ids.append(
            [stage.id for stage in unroll(with_overrides(open_corpus(), [f"files.directory={tmp_path / name}"]))]
        )
    assert ids[0] == ids[1]
    with pytest.raises(UserError, match="nothing at .*gone.*, or files.directory, where relative paths start"):
        unroll(with_overrides(open_corpus(), [f"files.directory={tmp_path / 'gone'}"]))


def test_the_reward_models_pairs_may_come_from_a_judge_of_several_models():
    recipe = without(tiny(), "report", "rounds", "evaluation")
    judge = Endpoint(
        model="judge", access="public", temperature=0.0, top_p=1.0, max_tokens=500, rng_seed=None,
        budget=Budget(max_tokens=10**6, max_cost=1.0, price_per_million_in=1.0, price_per_million_out=1.0),
        placement=EndpointPlacement(base_url="https://judge.example/v1"),
    )  # fmt: skip
    rules = AnnotateConfig(
        judge=judge, reference_is_candidate=False, both_orders_fraction=0.1, max_tries=2, max_unreadable_fraction=0.1,
        max_answer_characters=4000, rng_seed=7,
    )  # fmt: skip
    others = {"small": recipe.base, "other": recipe.base}
    annotation = Annotation(models=others, sample=recipe.reward.candidates, annotate=rules)
    reward = recipe.reward.model_copy(update={"pairs": annotation})
    changed = type(recipe).model_validate({**dict(recipe), "reward": reward})
    stages = {stage.label: stage for stage in unroll(changed)}
    assert {role: source.label for role, source in stages["reward.pairs"].inputs.items()} == {
        "prompts": "synthesize", "completions_own": "reward.sample", "completions_small": "annotate.small.sample",
        "completions_other": "annotate.other.sample",
    }  # fmt: skip
    assert stages["reward.train"].inputs["pairs"] is stages["reward.pairs"]
    elsewhere = judge.placement.model_copy(update={"base_url": "https://other.example/v1"})
    moved = rules.model_copy(update={"judge": judge.model_copy(update={"placement": elsewhere})})
    again = reward.model_copy(update={"pairs": annotation.model_copy(update={"annotate": moved})})
    same = type(recipe).model_validate({**dict(recipe), "reward": again})
    assert unroll(same)[-1].id == stages["reward.train"].id, "where the endpoint lies is placement"


def test_a_round_goes_on_from_the_policy_that_was_accepted():
    stages = {stage.label: stage for stage in unroll(without(tiny(), "report"))}
    seen = stages["round_1.observe"]
    assert {role: source.label for role, source in seen.inputs.items()} == {
        "policy": "round_1.dpo", "previous": "sft", "initial": "sft", "before": "fresh.sft", "after": "fresh.round_1",
        "completions": "fresh.round_1.sample", "pairs": "round_1.pairs",
    }  # fmt: skip
    assert stages["round_2.sample"].inputs["policy"] is seen is stages["round_2.dpo"].inputs["model"]
    second = {role: source.label for role, source in stages["round_2.observe"].inputs.items()}
    assert (second["previous"], second["initial"], second["before"]) == ("round_1.observe", "sft", "round_1.observe")
    with pytest.raises(ValueError, match="rounds.observe rests on evaluation, which is left out"):
        without(tiny(), "report", "evaluation")


def test_several_reward_models_judge_together():
    recipe = without(tiny(), "report")
    rule = EnsembleRule(rule="mean_minus_std", std_factor=1.0)
    reward = recipe.reward.model_copy(update={"ensemble": Ensemble(num_models=3, is_disjoint=True)})
    with pytest.raises(ValueError, match=r"reward.ensemble and judge.ensemble, its rule, need each other"):
        type(recipe).model_validate({**dict(recipe), "reward": reward})
    judge = recipe.judge.model_copy(update={"ensemble": rule})
    changed = type(recipe).model_validate({**dict(recipe), "reward": reward, "judge": judge})
    stages = {stage.label: stage for stage in unroll(changed)}
    trained = [stages[f"reward.train.{n}"] for n in (1, 2, 3)]
    assert [(s.config.part.index, s.config.part.of) for s in trained] == [(1, 3), (2, 3), (3, 3)]
    seed = recipe.reward.train.optimization.rng_seed
    assert [s.config.optimization.rng_seed for s in trained] == [seed, seed + 1, seed + 2]
    for stage in stages.values():
        roles = [role for role in stage.inputs if role.startswith("reward_model")]
        assert roles in ([], ["reward_model_1", "reward_model_2", "reward_model_3"]), stage.label
    assert [stages["evaluate.reward"].inputs[f"reward_model_{n}"] for n in (1, 2, 3)] == trained
    assert stages["evaluate.reward"].config.ensemble == rule
    parts = [trained[0].config.part, trained[1].config.part, trained[2].config.part]
    held = [[part.holds(f"p{n}") for part in parts] for n in range(300)]
    assert all(sum(row) == 1 for row in held) and min(map(sum, zip(*held, strict=True))) > 60


def test_a_benchmark_of_reward_models_is_built_of_the_ratings_and_measured(tmp_path):
    path = tmp_path / "benches" / "rb.jsonl"
    path.parent.mkdir()
    path.write_text("{}\n")
    recipe = without(tiny(), "report", "rounds")
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
        votes=VotesFile(licence="own", access="public", placement=VotesPlacement(path="benches/rb.jsonl")),
    )  # fmt: skip
    annotation = Annotation(models={"small": recipe.base}, sample=recipe.reward.candidates, annotate=rules, bench=bench)
    file = BenchFile(
        name="rb", layout="reward_bench", licence="odc-by", access="public",
        placement=BenchPlacement(path="benches/rb.jsonl"),
    )  # fmt: skip
    measured = RewardBenchConfig(files=(file,), dtype="fp32", max_tokens=512, rng_seed=7)
    changed = type(recipe).model_validate({
        **dict(recipe), "files": FilesPlacement(directory=str(tmp_path)),
        "reward": recipe.reward.model_copy(update={"pairs": annotation}),
        "evaluation": recipe.evaluation.model_copy(update={"reward_bench": measured}),
    })  # fmt: skip
    stages = {stage.label: stage for stage in unroll(changed)}
    assert {role: source.label for role, source in stages["reward.bench"].inputs.items()} == {
        "ratings": "reward.pairs", "prompts": "synthesize",
    }  # fmt: skip
    last = stages["evaluate.reward_bench"]
    assert {role: source.label for role, source in last.inputs.items()} == {
        "reward_model": "reward.train", "built": "reward.bench",
    }  # fmt: skip
    assert last.config.files[0].digest == stages["reward.bench"].config.votes.digest != ""
    assert "odc-by" in last.licences
