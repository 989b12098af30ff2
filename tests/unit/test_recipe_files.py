"""Recipes on prompts and pairs of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from medray.core.config import changed
from medray.preference.adopted import AdoptedPairsConfig
from medray.preference.pair_rows import PairFile
from medray.preference.prompt_rows import PromptFile
from medray.preference.prompts import PromptsConfig
from medray.recipes.recipe import Evaluation, FilesPlacement, Recipe, RewardModel, Round
from medray.recipes.tiny import tiny
from medray.recipes.unroll import unroll
from medray.tables.adopted import FilePlacement


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


@pytest.mark.parametrize("split", ["fresh", "test"])
def test_models_are_measured_on_the_prompts_of_a_split_that_there_is(file, split):
    given = of_files(file)
    models = changed(tiny().evaluation.models, split=split)
    recipe = Recipe(**given | {"evaluation": changed(given["evaluation"], models=models)})
    stages = {stage.label: stage for stage in unroll(recipe)}
    measured = [label for label in ("evaluate.base", "evaluate.round_1") if label in stages]
    assert measured == (["evaluate.base", "evaluate.round_1"] if split == "fresh" else [])
    assert all(stages[label].inputs["questions"] is stages["prompts"] for label in measured)


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
