"""A round that pleases the reward model is told from one that is better."""

import json

import numpy as np
import pytest

from medray.evaluate import observe as module
from medray.evaluate.observe import ALARMS, ObserveConfig, ObserveRules, observe

RULES = ObserveRules(gold_lost="roll_back", only_longer="roll_back", length_growth=0.1, far_away="note", max_kl=20.0)
CONFIG = ObserveConfig(rules=RULES, dtype="fp32", rng_seed=1)
NUM_PROMPTS, K = 64, 8


def sampled(*, reward, length=100.0, gold=0.5, seed=0):
    """PER_PROMPT and SAMPLES rows of a policy: completions of about `length` tokens."""
    rng = np.random.default_rng(seed)
    prompts, samples = {}, []
    for i in range(NUM_PROMPTS):
        name, tokens_K = f"p{i}", np.maximum(rng.normal(length, 15, K), 1)
        reward_K = reward(tokens_K, rng.normal(0, 1, K) + np.sin(i))
        right_K = rng.random(K) < gold
        figures = {"reward_mean": reward_K.mean(), "tokens_mean": tokens_K.mean(), "correct_mean": right_K.mean(),
                   "unparsed": 0.0, "truncated": 0.0, "distinct_1": 0.5, "distinct_2": None}  # fmt: skip
        prompts[name] = {"id": name, "cluster": name} | figures
        samples += [{"prompt_id": name, "num_tokens": t, "reward": r, "completion": "The liver."}
                    for t, r in zip(tokens_K, reward_K, strict=True)]  # fmt: skip
    return prompts, samples


def observed(before, after, kl=0.5):
    ratios = dict.fromkeys(before[0], kl)
    return observe(before[0], after[0], {"before": before[1], "after": after[1]}, ratios, CONFIG)


def raised(observation):
    return [name for name in ALARMS if observation["alarms"][name]]


def judge(tokens, noise):
    return noise


def length_lover(tokens, noise):
    return 0.05 * tokens + noise


def test_a_better_round_raises_no_alarm():
    before = sampled(reward=judge)
    after = sampled(reward=lambda tokens, noise: noise + 1, gold=0.6, seed=1)
    observation = observed(before, after)
    assert raised(observation) == []
    assert observation["changes"]["reward_mean"]["verdict"] == "better"
    assert observation["reward_at_equal_length"]["verdict"] == "better"


def test_a_planted_lover_of_length_is_caught_in_one_round():
    observation = observed(sampled(reward=length_lover), sampled(reward=length_lover, length=140, seed=1))
    assert observation["changes"]["reward_mean"]["verdict"] == "better"
    assert raised(observation) == ["only_longer"]
    slope = observation["reward_per_token"]
    assert slope["low"] < 0.05 < slope["high"]
    assert observation["tokens_before"] == pytest.approx(100, abs=3)


def test_longer_and_better_at_equal_length_is_no_alarm():
    after = sampled(reward=lambda tokens, noise: length_lover(tokens, noise) + 1, length=140, seed=1)
    assert raised(observed(sampled(reward=length_lover), after)) == []


def test_reward_up_and_gold_down_is_caught():
    after = sampled(reward=lambda tokens, noise: noise + 1, gold=0.2, seed=1)
    assert raised(observed(sampled(reward=judge), after)) == ["gold_lost"]
    down = sampled(reward=lambda tokens, noise: noise - 1, gold=0.2, seed=1)
    assert raised(observed(sampled(reward=judge), down)) == [], "not by the reward: the evaluation says so anyway"


def test_a_policy_far_from_the_initial_one_is_named():
    same = sampled(reward=judge)
    assert raised(observed(same, same, kl=20.5)) == ["far_away"]
    assert observed(same, same, kl=3.0)["kl"]["value"] == pytest.approx(3.0)


def test_without_spread_in_length_there_is_no_slope():
    prompts, samples = sampled(reward=judge)
    flat = [row | {"num_tokens": 5} for row in samples]
    observation = observe(prompts, prompts, {"before": flat, "after": flat}, dict.fromkeys(prompts, 0.0), CONFIG)
    assert observation["reward_per_token"]["value"] == 0.0
    json.dumps(observation)


@pytest.mark.parametrize(
    ("text", "is_refusal"),
    [
        ("I'm sorry, but I can't help with that.", True), ("As an AI language model", True), ("I cannot advise", True),
        ("**Sorry,** no", False), ("The patient said: I am sorry", False), ("I canvassed", False), ("", False),
    ],
)  # fmt: skip
def test_refusals(text, is_refusal):
    assert bool(module._REFUSAL.match(text)) == is_refusal
