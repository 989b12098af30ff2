"""Recipes that stop early, and where the user's files lie."""

from __future__ import annotations

import pytest

from medray.core.config import UserError, changed, with_overrides
from medray.corpus.base import BaseLocation
from medray.generate.config import Budget, Endpoint, EndpointPlacement, LocalTeacher
from medray.preference.annotate import AnnotateConfig
from medray.preference.labels import LabelsConfig
from medray.recipes.demo import demo
from medray.recipes.open_corpus import BENCHMARKS, PLACES, open_corpus
from medray.recipes.recipe import Annotation, FilesPlacement
from medray.recipes.tiny import tiny
from medray.recipes.unroll import located, unroll
from medray.train.config import KTOLoss
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


def test_the_reference_may_be_another_model():
    recipe = without(tiny(), "report")
    other = changed(recipe.base, placement=BaseLocation(path="models/other"))
    first, second = recipe.rounds
    chosen = (changed(first, reference_policy=other), changed(second, reference_policy="previous"))
    stages = {stage.label: stage for stage in unroll(changed(recipe, rounds=chosen))}
    assert stages["round_1.reference"].inputs["reference"].label == "round_1.reference_policy"
    assert stages["round_2.reference"].inputs["reference"].label == "round_1.observe"
    moved = located(changed(recipe, rounds=chosen, files=FilesPlacement(directory="/there")))
    assert moved.rounds[0].reference_policy.placement.path == "/there/models/other"


def test_a_round_of_kto_takes_pairs_apart_or_labels_completions():
    recipe = without(tiny(), "report")
    loss = KTOLoss(name="kto", beta=0.1, desirable_weight=1.0, undesirable_weight=1.0)
    first, second = (round_.model_copy(update={"dpo": changed(round_.dpo, loss=loss)}) for round_ in recipe.rounds)
    second = changed(second, pairs=LabelsConfig(unparsed_is_wrong=False, source="round_2"))
    stages = {stage.label: stage for stage in unroll(changed(recipe, rounds=(first, second)))}
    sources = [{role: s.label for role, s in stages[f"round_{i}.reference"].inputs.items()} for i in (1, 2)]
    assert [{k: v for k, v in found.items() if k != "reference"} for found in sources] == [
        {"unpaired": "round_1.pairs"}, {"labelled": "round_2.labels"},
    ]  # fmt: skip
    assert stages["round_2.labels"].inputs.keys() == {"completions", "rewards", "prompts"}
    plain = {stage.label: stage.id for stage in unroll(recipe)}
    assert plain["round_1.pairs"] == stages["round_1.pairs"].id
    assert plain["round_1.reference"] != stages["round_1.reference"].id
    with pytest.raises(ValueError, match="labels are for KTO alone: give a rule for pairs, or let dpo.loss be KTO's"):
        changed(second, dpo=recipe.rounds[1].dpo)


def test_a_judge_of_ones_own_is_adopted_as_a_base_is():
    recipe = without(tiny(), "report")
    sampling = changed(recipe.reward.candidates.sampling, num_completions=1)
    rules = AnnotateConfig(
        judge=LocalTeacher(sampling=sampling), reference_is_candidate=False, both_orders_fraction=0.1, max_tries=2,
        max_unreadable_fraction=0.05, max_answer_characters=4000, rng_seed=1,
    )  # fmt: skip
    fields = {"models": {"other": demo().base}, "sample": recipe.reward.candidates, "annotate": rules}
    judged = changed(recipe, reward=changed(recipe.reward, pairs=Annotation(**fields, judge=demo().base)))
    stages = {stage.label: stage for stage in unroll(judged)}
    assert stages["reward.pairs"].inputs["judge"] is stages["annotate.judge"]
    assert stages["annotate.judge"].id == stages["annotate.other"].id, "one model in two roles is adopted once"
    with pytest.raises(ValueError, match="judge: a model is for annotate.judge that is local, which needs one"):
        Annotation(**fields)
    place = BaseLocation(path="models/other")
    other = changed(demo().base, placement=place)
    apart = changed(recipe.reward, pairs=Annotation(**fields | {"models": {"other": other}}, judge=other))
    moved = located(changed(recipe, reward=apart, files=FilesPlacement(directory="/there"))).reward.pairs
    assert {moved.models["other"].placement.path, moved.judge.placement.path} == {"/there/models/other"}
    with pytest.raises(ValueError, match="num_completions 2: a question has one reply: set it to 1"):
        LocalTeacher(sampling=changed(sampling, num_completions=2))


def test_stages_that_stay_keep_their_ids():
    whole = {stage.label: stage.id for stage in unroll(tiny())}
    early = {stage.label: stage.id for stage in unroll(without(tiny(), "report", "evaluation", "rounds"))}
    assert early.items() < whole.items() and "reward.train" in early


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        (["corpus"], "pretrain rests on corpus"), (["dedup"], "decontaminate rests on dedup"),
        (["synthesize"], "sft rests on instructions or synthesize, which is left out: give instructions or synthesize"),
        (["judge"], "rounds rests on judge"), (["rounds", "judge"], "evaluation.fresh rests on judge"),
        (["reward"], "rounds rests on reward"), (["evaluation"], "report rests on evaluation"),
        (["sft", "synthesize"], "reward rests on prompts or synthesize"),
        (["report", "rounds", "reward", "judge", "sft", "pretrain", "corpus", "synthesize"],
         "evaluation rests on synthesize or prompts or corpus or reward"),
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
        "completions": "fresh.round_1.answer", "pairs": "round_1.pairs",
    }  # fmt: skip
    assert stages["round_2.answer"].inputs["policy"] is seen is stages["round_2.dpo"].inputs["model"]
    second = {role: source.label for role, source in stages["round_2.observe"].inputs.items()}
    assert (second["previous"], second["initial"], second["before"]) == ("round_1.observe", "sft", "round_1.observe")
    with pytest.raises(ValueError, match="rounds.observe rests on evaluation, which is left out"):
        without(tiny(), "report", "evaluation")
