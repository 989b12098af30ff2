"""The recipes of the four papers: their arithmetic, and what their tiny variants may change."""

from __future__ import annotations

import pytest

from medray import pipeline
from medray.core.config import flatten, identity_of
from medray.plan.training import state_bytes
from medray.recipes import med42 as med42_page
from medray.recipes.load import load_recipe, recipe_names
from medray.recipes.tiny_papers import CHANGED

PAPERS = {
    "tiny_me_llama": "me_llama_70b", "tiny_alpacare": "alpacare_7b", "tiny_med42": "med42_8b",
    "tiny_ultramedical": "ultramedical_8b",
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
    science = identity_of(load_recipe(tiny).sft)
    assert science["optimization"] | {"global_batch": 0} == identity_of(load_recipe(paper).sft)["optimization"] | {
        "global_batch": 0
    }
