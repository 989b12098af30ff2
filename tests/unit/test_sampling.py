"""Seeds and shards of sampling."""

import pytest

from medray.core.config import UserError
from medray.core.stage import Stage
from medray.generate.config import EnginePlacement, Sampling
from medray.generate.fleet import _environment
from medray.generate.sampling import SEED_BITS, check_lengths, check_unique, completion_seeds, plan_shards
from medray.preference import sample
from medray.preference.sample import SampleConfig


def test_seeds_are_stable_and_fit_in_31_bits():
    seeds = completion_seeds(7, "round_1", "p1", 8)
    assert seeds == completion_seeds(7, "round_1", "p1", 8)
    assert all(0 <= seed < 2**SEED_BITS for seed in seeds)
    assert seeds[:4] == completion_seeds(7, "round_1", "p1", 4), "more completions must not change the first ones"


def test_seeds_differ_across_prompts_completions_rounds_and_runs():
    uses = [(rng, salt, prompt) for rng in (0, 1) for salt in ("round_1", "round_2") for prompt in map(str, range(50))]
    seeds = [seed for use in uses for seed in completion_seeds(*use, 8)]
    assert len(set(seeds)) == len(seeds) == 1600


def test_seeds_of_one_prompt_are_distinct_even_when_hashes_collide(monkeypatch):
    monkeypatch.setattr("medray.generate.sampling.stable_hash", lambda *parts: parts[-1] + parts[-2] % 2)
    assert len(set(completion_seeds(0, "x", "p", 6))) == 6


@pytest.mark.parametrize(
    ("dtype", "placement", "expected"),
    [
        ("fp32", {}, "exact"), ("bf16", {}, "sampled"), ("fp32", {"use_gpu": True}, "sampled"),
        ("bf16", {"use_gpu": True, "batch_invariant": True}, "exact"),
    ],
)  # fmt: skip
def test_what_can_be_drawn_again_is_known(dtype, placement, expected):
    sampling = Sampling(
        num_completions=2, temperature=1.0, top_p=1.0, max_tokens=8, rng_seed=1, dtype=dtype, max_model_len=64
    )
    config = SampleConfig(
        sampling=sampling, splits=("fresh",), num_prompts=None, salt="fresh", placement=EnginePlacement(**placement)
    )
    assert Stage.of("answers", sample, config).equality == expected
    environment = _environment(config.placement)
    assert environment.get("VLLM_BATCH_INVARIANT") == ("1" if "batch_invariant" in placement else None)


def test_shards_cover_all_prompts_once():
    shards = plan_shards(70, 32)
    assert [(s.start, s.stop) for s in shards] == [(0, 32), (32, 64), (64, 70)]
    assert len({s.mark for s in shards} | {s.file_name for s in shards}) == 6
    assert plan_shards(0, 32) == []
    assert [s.mark for s in plan_shards(2, 1, "permuted")] == ["permuted-00000", "permuted-00001"]


def test_over_long_prompt_is_named():
    check_lengths(["a", "b"], [10, 20], max_tokens=12, max_model_len=32)
    with pytest.raises(UserError, match="'b'"):
        check_lengths(["a", "b"], [10, 21], max_tokens=12, max_model_len=32)


def test_prompt_ids_must_be_unique():
    with pytest.raises(UserError, match="'a'"):
        check_unique(["a", "b", "a"])
