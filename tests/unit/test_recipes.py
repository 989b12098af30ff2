"""Recipes that stop early, and where the user's files lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from medray.core.config import UserError, changed, with_overrides
from medray.generate.config import Budget, Endpoint, EndpointPlacement, LocalTeacher
from medray.preference.adopted import AdoptedPairsConfig
from medray.preference.annotate import AnnotateConfig
from medray.preference.labels import LabelsConfig
from medray.preference.pair_rows import PairFile
from medray.preference.prompt_rows import PromptFile
from medray.preference.prompts import PromptsConfig
from medray.recipes.demo import demo
from medray.recipes.open_corpus import BENCHMARKS, PLACES, open_corpus
from medray.recipes.recipe import Annotation, Evaluation, FilesPlacement, Recipe, RewardModel, Round
from medray.recipes.tiny import tiny
from medray.recipes.unroll import located, unroll
from medray.tables.adopted import FilePlacement
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
        "completions": "fresh.round_1.answer",
    }  # fmt: skip
    assert stages["round_2.answer"].inputs["policy"] is seen is stages["round_2.dpo"].inputs["model"]
    second = {role: source.label for role, source in stages["round_2.observe"].inputs.items()}
    assert (second["previous"], second["initial"], second["before"]) == ("round_1.observe", "sft", "fresh.round_1")
    with pytest.raises(ValueError, match="rounds.observe rests on evaluation, which is left out"):
        without(tiny(), "report", "evaluation")


def of_files(path: Path, **fields) -> dict:
    """The tiny recipe without corpus and synthesis, on prompts and pairs of one file."""
    place = FilePlacement(path=str(path))
    clean = {"benchmarks": (), "rules": None, "max_bad_fraction": 0.0, "rng_seed": 1}
    asked = PromptFile(
        name="asked", licence="MIT", access="public", format="fields", prompt="{{ prompt }}", placement=place
    )  # fmt: skip
    pairs = PairFile(name="pairs", licence="CC BY 4.0", access="restricted", format="pairs", placement=place)
    recipe = tiny()
    adopted = AdoptedPairsConfig(files=(pairs,), heldout_fraction=0.1, **clean)
    given = {
        "name": "files", "base": recipe.base, "judge": recipe.judge, "rounds": recipe.rounds[:1],
        "evaluation": recipe.evaluation,
        "prompts": PromptsConfig(files=(asked,), splits={"round_1": 0.5, "fresh": 0.5}, max_characters=100, **clean),
        "reward": RewardModel(pairs=adopted, train=recipe.reward.train),
    }  # fmt: skip
    return given | fields


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "Why?", "chosen": "So.", "rejected": "No."}\n')
    return path


def test_prompts_and_pairs_of_files_need_no_corpus(file):
    stages = {stage.label: stage for stage in unroll(Recipe(**of_files(file)))}
    assert list(stages) == [
        "prompts", "base", "reward.pairs", "reward.train", "evaluate.reward", "fresh.base.answer", "fresh.base.greedy",
        "fresh.base", "fresh.base_cool.answer", "fresh.base_cool",
        "round_1.answer", "round_1.pairs", "round_1.reference", "round_1.dpo",
        "fresh.round_1.answer", "fresh.round_1.greedy", "fresh.round_1", "round_1.observe",
    ]  # fmt: skip
    assert {role: source.label for role, source in stages["reward.pairs"].inputs.items()} == {"prompts": "prompts"}
    assert stages["round_1.answer"].inputs["prompts"] is stages["prompts"] is stages["base"].inputs["prompts"]
    assert (stages["reward.pairs"].access, stages["reward.pairs"].licences) == ("restricted", ("CC BY 4.0",))


def test_the_digest_of_a_file_is_identity_and_its_place_is_not(file):
    first = {stage.label: stage.id for stage in unroll(Recipe(**of_files(file)))}
    moved = file.rename(file.with_name("moved.jsonl"))
    assert {stage.label: stage.id for stage in unroll(Recipe(**of_files(moved)))} == first
    moved.write_text(moved.read_text() * 2)
    other = {stage.label: stage.id for stage in unroll(Recipe(**of_files(moved)))}
    assert not {label for label in first if first[label] == other[label]}
    relative = Recipe(**of_files(Path(moved.name)), files=FilesPlacement(directory=str(moved.parent)))
    assert {stage.label: stage.id for stage in unroll(relative)} == other


def test_rounds_on_pairs_of_others_need_neither_samples_nor_a_reward_model(file):
    given = of_files(file)
    first = given["rounds"][0].model_copy(update={"sample": None, "pairs": given["reward"].pairs, "observe": None})
    stages = {
        stage.label: stage for stage in unroll(Recipe(name="x", base=tiny().base, sources=tiny().sources,
                                                      rounds=(first, first)))
    }  # fmt: skip
    rounds = [f"round_{n}.{step}" for n in (1, 2) for step in ("pairs", "reference", "dpo")]
    assert list(stages) == ["sources", "base", *rounds] and not stages["round_1.pairs"].inputs
    assert stages["round_1.pairs"].id == stages["round_2.pairs"].id
    assert stages["round_2.dpo"].inputs["model"] is stages["round_1.dpo"]


def test_a_reward_model_may_be_made_of_another_model(file):
    given = of_files(file)
    other = tiny().base.model_copy(update={"tiny": tiny().base.tiny.model_copy(update={"rng_seed": 8})})
    stages = {
        stage.label: stage
        for stage in unroll(Recipe(**given | {"reward": given["reward"].model_copy(update={"base": other})}))
    }
    assert stages["reward.train"].inputs["model"] is stages["reward.base"]
    assert stages["evaluate.reward"].inputs["policy"] is stages["reward.base"]
    assert stages["round_1.dpo"].inputs["model"] is stages["base"]


def test_what_pairs_are_made_of_must_fit_them(file):
    given, recipe = of_files(file), tiny()
    with pytest.raises(ValueError, match="candidates are what pairs are made of"):
        RewardModel(pairs=given["reward"].pairs, train=recipe.reward.train, candidates=recipe.reward.candidates)
    with pytest.raises(ValueError, match="candidates are what pairs are made of"):
        RewardModel(pairs=recipe.reward.pairs, train=recipe.reward.train)
    for fields in ({"pairs": given["reward"].pairs}, {"sample": None}):
        with pytest.raises(ValueError, match="sample is what pairs are made of"):
            Round.model_validate({**dict(recipe.rounds[0]), **fields})
    for left_out, message in (
        ("prompts", "rounds rests on prompts or synthesize"), ("reward", "rounds.observe rests on reward"),
        ("judge", "rounds rests on judge"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            Recipe(**given | {left_out: None})
    with pytest.raises(ValueError, match="fresh and metrics need each other"):
        Evaluation(fresh=recipe.evaluation.fresh)
