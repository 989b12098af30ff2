"""The recipes of the papers: their arithmetic, and what their tiny variants may change."""

from __future__ import annotations

from itertools import product

import pytest

from medray import pipeline
from medray.core.config import changed, flatten, identity_of
from medray.plan.training import state_bytes
from medray.recipes import med42 as med42_page
from medray.recipes.demo import demo
from medray.recipes.load import load_recipe, recipe_names
from medray.recipes.tiny_papers import CHANGED
from medray.recipes.ultramedical import GRID
from medray.recipes.unroll import unroll

PAPERS = {
    "tiny_me_llama": "me_llama_70b", "tiny_alpacare": "alpacare_7b", "tiny_med42": "med42_8b",
    "tiny_ultramedical": "ultramedical_8b", "tiny_online_rlhf": "online_rlhf",
}  # fmt: skip


def trained(name: str):
    return pipeline.estimate(load_recipe(name))[1]


def test_every_recipe_is_found_by_name():
    names = {"me_llama", "me_llama_13b", "med42_70b", "alpacare_13b", "ultramedical_70b", "demo", "tiny", *PAPERS}
    assert names < set(recipe_names())
    assert all(load_recipe(name).name == name for name in names - {"me_llama"})


def test_med42_steps():
    """Table 2: 5,321 and 3,549 steps, which no single number of blocks gives."""
    eight, seventy = trained("med42_8b")["sft"], trained("med42_70b")["sft"]
    assert (eight.num_steps, eight.tokens_per_step, eight.num_rows) == (5_321, 262_144, 170_272)
    assert (seventy.num_steps, seventy.tokens_per_step) == (3_548, 393_216)  # 3,549 within 0.1 %
    both = [b for b in range(85_000, 85_300) if (-(-2 * b // 32), -(-2 * b // 48)) == (5_321, 3_549)]
    assert both == []
    assert "blocks, the 70B model's steps against the 8B model's: stated 170,352, computed 170,272" in " | ".join(
        load_recipe("med42_70b").expected.notes
    )


def test_a_wrong_number_of_med42_is_refused(monkeypatch):
    monkeypatch.setitem(med42_page.STEPS, "8b", (5_322, 262_144))
    with pytest.raises(ValueError, match="med42: steps of the 8B model over two epochs: stated 5,322, computed 5,321"):
        med42_page.med42_8b()


def test_the_other_papers_steps():
    assert trained("alpacare_7b")["sft"].num_steps == 1_219  # 3 x 52,000 / 128 = 1,218.75
    assert trained("alpacare_13b")["sft"].num_steps == 2_032  # 5 x 52,000 / 128 = 2,031.25
    assert trained("ultramedical_8b")["sft"].num_rows == 2 * (409_593 + 191_000)
    run = trained("me_llama_70b")
    assert (run["pretrain"].num_steps, run["sft"].num_steps) == (12_303, 5_030)  # 3 x 214,595 / 128 = 5,029.6
    assert run["sft"].flops == pytest.approx(4 * 69e9 * 3 * 214_595 * 4096)  # frozen weights have no gradient


def test_the_preference_parts_of_the_papers():
    """Med42 Table 3, UltraMedical appendix B, Online-RLHF's authors (SEEDS A0.2, A0.3, A8)."""
    for size, beta, batch in (("8b", 0.1, 256), ("70b", 0.01, 128)):
        rounds = load_recipe(f"med42_{size}").rounds
        assert [[file.name for file in r.pairs.files] for r in rounds] == [
            ["ultrafeedback", "snorkel_1"], ["snorkel_2"], ["snorkel_3"],
        ]  # fmt: skip
        for round_ in rounds:
            how = round_.dpo.optimization
            assert (how.optimizer, how.learning_rate, how.weight_decay, how.epochs) == ("rmsprop", 1e-6, 0.0, 1.0)
            assert (round_.dpo.loss.beta, how.global_batch, round_.reference.max_tokens) == (beta, batch, 4096)
            assert round_.reference_policy == "previous" and round_.sample is None
    ultra, kto = load_recipe("ultramedical_8b"), load_recipe("ultramedical_8b_kto")
    [online], [vanilla] = ultra.rounds, load_recipe("ultramedical_8b_vanilla").rounds
    assert (online.sample.sampling.num_completions, online.sample.sampling.temperature) == (5, 0.8)
    assert (online.pairs.gold, online.pairs.rule, ultra.prompts.splits["round_1"]) == ("mcq_reject", "max_min", 100_000)
    assert kto.rounds[0].dpo.loss.name == "kto_pair" and vanilla.sample is None
    how = ultra.reward.train.optimization
    assert (how.learning_rate, how.warmup_fraction, how.epochs, ultra.reward.train.max_tokens) == (2e-6, 0.1, 1.0, 2048)
    online = load_recipe("online_rlhf")
    for number, round_ in enumerate(online.rounds, 1):
        how, sampling = round_.dpo.optimization, round_.sample.sampling
        assert (sampling.num_completions, sampling.temperature, sampling.max_tokens) == (8, 1.0, 2048)
        assert (how.learning_rate, how.epochs, how.global_batch, round_.dpo.loss.beta) == (5e-7, 2.0, 128, 0.1)
        assert (round_.pairs.rule, round_.reference_policy, round_.sample.splits) == (
            "max_min", "initial", (f"round_{number}",),
        )  # fmt: skip
        assert online.prompts.files[number - 1].split == f"round_{number}"


def test_ultramedicals_annotation_builds_its_benchmark(tmp_path):
    """2.2 and C.3: seven candidates of a prompt, GPT-4 as judge, 1,000 prompts set aside for Medical RewardBench."""
    recipe = load_recipe("ultramedical_8b_annotated", [f"files.directory={tmp_path}"])
    small = demo().base
    annotation = changed(recipe.reward.pairs, models=dict.fromkeys(recipe.reward.pairs.models, small))
    recipe = changed(recipe, base=small, reward=changed(recipe.reward, base=None, pairs=annotation))
    benches = recipe.evaluation.reward_bench.files
    for path in {file.placement.path for file in (*files_of(recipe), *benches)}:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"{}")
    stages = {stage.label: stage for stage in unroll(recipe)}
    pairs, bench = stages["reward.pairs"], stages["reward.bench"]
    candidates = ["llama3_70b", "llama3_8b", "mixtral_8x22b", "mixtral_8x7b", "own", "qwen_72b"]
    assert sorted(pairs.inputs) == [*(f"completions_{name}" for name in candidates), "prompts"]
    assert pairs.config.reference_is_candidate and pairs.config.judge.access == "restricted"
    assert stages["annotate.mixtral_8x22b.sample"].config.placement.tensor_parallel == 8
    assert bench.config.hard == ("reference", "llama3_70b", "own")
    typo = changed(bench.config, hard=("reference", "llama3_70"))
    with pytest.raises(ValueError, match="bench: llama3_70 answers nothing that is rated, expected of llama3_70b, "):
        changed(recipe.reward.pairs, bench=typo)
    assert bench.inputs["ratings"] is pairs and recipe.prompts.splits["reward_heldout"] == bench.config.num_prompts
    last = stages["evaluate.reward_bench"]
    assert last.inputs["built"] is bench and [file.layout for file in last.config.files] == ["medical", "reward_bench"]


def test_the_grid_shares_all_that_comes_before_the_rounds_training(tmp_path):
    """Learning rate and beta by --set: twelve trainings, one of everything else."""
    for path in {file.placement.path for file in files_of(load_recipe("tiny_ultramedical"))}:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"{}")
    seen: dict[str, set[str]] = {}
    for values in product(*GRID.values()):
        overrides = [f"{field}={value}" for field, value in zip(GRID, values, strict=True)]
        for stage in unroll(load_recipe("tiny_ultramedical", [f"files.directory={tmp_path}", *overrides])):
            seen.setdefault(stage.label, set()).add(stage.id)
    num_ids = {label: len(ids) for label, ids in seen.items()}
    own = {label for label, number in num_ids.items() if number > 1}
    assert own == {"round_1.dpo", *(label for label in seen if label.startswith("fresh.round_1"))}
    assert {num_ids[label] for label in own} == {12}
    assert {
        "round_1.answer",
        "round_1.pairs",
        "round_1.reference",
        "reward.train",
    } <= seen.keys() - own


def files_of(recipe) -> list:
    return [
        *recipe.instructions.files,
        *recipe.instructions.benchmarks,
        *recipe.prompts.files,
        *getattr(recipe.reward.pairs, "files", ()),
    ]


def test_state_of_a_worker_by_hand():
    sizes = [state_bytes(10, 10, zero_stage=stage, num_workers=4) for stage in (0, 1, 2, 3)]
    assert sizes == [180, 90, 60, 45]  # 2 + 4 + 12 bytes: all whole, then optimizer, gradients, weights in four parts
    assert state_bytes(10, 10, zero_stage=0, num_workers=1, is_adamw=False) == 140
    assert state_bytes(100, 1, zero_stage=0, num_workers=1) == 216  # adapters


@pytest.mark.parametrize(("tiny", "paper"), PAPERS.items())
def test_a_tiny_recipe_changes_only_what_it_says(tiny, paper):
    small, whole = (flatten(load_recipe(name).model_dump(mode="json")) for name in (tiny, paper))
    differing = {name for name in small.keys() | whole.keys() if small.get(name) != whole.get(name)}
    strays = {name for name in differing if not name.startswith(tuple(f"{field}." for field in CHANGED))} - set(CHANGED)
    assert strays == set()
    for trained in ("sft", "rounds", "reward"):
        both = [optimizations(load_recipe(name), trained) for name in (tiny, paper)]
        assert both[0] == both[1]


def optimizations(recipe, trained: str) -> list[dict]:
    """How each model of a part is trained, without the batch."""
    rewards = [recipe.reward.train] if recipe.reward else []
    parts = {"sft": [recipe.sft], "rounds": [round_.dpo for round_ in recipe.rounds], "reward": rewards}
    return [identity_of(part)["optimization"] | {"global_batch": 0} for part in parts[trained] if part]
