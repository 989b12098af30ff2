"""Several reward models as one: the rules, what each gave, and pairs that all of them agree on."""

import numpy as np
import pytest
from pydantic import ValidationError

from medray.math.ensemble import EnsembleRule, combined, members
from medray.preference import judge
from medray.preference.pairs import OUTCOMES, Candidate, PairsConfig, choose_pairs
from medray.serve.schema import RewardEndpoint

MEAN, LEAST = EnsembleRule(rule="mean"), EnsembleRule(rule="min")
CAREFUL = EnsembleRule(rule="mean_minus_std", std_factor=2.0)


def test_the_rules_by_hand():
    rewards_MN = [[1.0, 3.0], [5.0, 5.0]]  # means 2 and 5, level 3.5
    assert combined(rewards_MN, MEAN)[0].tolist() == [3.0, 4.0] == np.mean(rewards_MN, axis=0).tolist()
    assert combined(rewards_MN, LEAST)[0].tolist() == [2.5, 3.5]
    assert combined(rewards_MN, CAREFUL)[0].tolist() == [3.5 - 0.5 - 1.0, 3.5 + 0.5 - 1.0]
    assert combined(rewards_MN, MEAN)[1].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("rule", [MEAN, LEAST, CAREFUL], ids=lambda rule: rule.rule)
def test_a_member_s_own_constant_changes_no_preference(rule):
    rewards_MN = np.random.default_rng(0).normal(size=(3, 8))
    before, std_N = combined(rewards_MN, rule)
    after, again_N = combined(rewards_MN + [[100.0], [-7.0], [0.0]], rule)
    assert np.allclose(np.diff(before), np.diff(after)) and np.allclose(std_N, again_N)
    assert np.allclose(after - before, 31.0)
    assert np.allclose(combined(rewards_MN[:1], rule)[0], rewards_MN[0]), "one alone is itself"


def test_a_factor_belongs_to_one_rule():
    for fields in ({"rule": "mean_minus_std"}, {"rule": "mean", "std_factor": 1.0}):
        with pytest.raises(ValidationError, match="std_factor goes with mean_minus_std and no other rule"):
            EnsembleRule(**fields)


def test_members_are_found_by_role():
    assert list(members({"reward_model": 1, "prompts": 2})) == ["reward_model"]
    assert list(members({"reward_model_2": 1, "prompts": 2, "reward_model_1": 3})) == [
        "reward_model_1", "reward_model_2",
    ]  # fmt: skip


def test_what_each_model_gave_stands_beside_the_reward():
    completions = [{"id": f"p{i // 2}/{i % 2}", "prompt_id": f"p{i // 2}"} for i in range(4)]
    judged = dict(
        zip((row["id"] for row in completions), [(1.0, 5.0), (3.0, 5.0), (0.0, 0.0), (0.0, 0.0)], strict=True)
    )
    endpoints = [RewardEndpoint("http://x", "secret", name) for name in ("a", "b")]
    one, rows = judge._together(completions, judged, endpoints, LEAST)
    assert one == {"p0/0": 2.5, "p0/1": 3.5, "p1/0": 0.0, "p1/1": 0.0}
    assert rows[1] == {
        "completion_id": "p0/1", "disagreement": 0.5,
        "rewards": [{"model": "a", "reward": 3.0}, {"model": "b", "reward": 5.0}],
    }  # fmt: skip


def chosen(*rows, has_gold=False, **fields):
    """choose_pairs of rows (reward, correct, members)."""
    candidates = [
        Candidate(i, f"text {i}", reward, correct, False, members=given)
        for i, (reward, correct, given) in enumerate(rows)
    ]
    config = PairsConfig(min_margin=0, unparsed_is_wrong=False, source="round_1", **fields)
    return choose_pairs(candidates, config, "p", has_gold=has_gold)


def test_pairs_that_members_do_not_agree_on_are_dropped():
    rows = (3.0, -1, (1.0, 5.0)), (2.0, -1, (0.0, 4.0)), (0.0, -1, (2.0, -2.0))
    widest = chosen(*rows)
    assert [(c.index, r.index) for c, r in widest.pairs] == [(0, 2)]
    agreed = chosen(*rows, members_agree=True)
    assert [(c.index, r.index) for c, r in agreed.pairs] == [(0, 1)], "the widest of those that all prefer"
    assert (
        chosen(rows[0], rows[2], members_agree=True).outcome == "dropped_disagreement"
        and "dropped_disagreement" in OUTCOMES
    )
    equal = (1.0, -1, (1.0, 1.0)), (0.5, -1, (0.0, 1.0))
    assert chosen(*equal, members_agree=True).outcome == "dropped_disagreement", "an equal reward is no agreement"


def test_gold_decides_where_there_is_one():
    rows = (0.0, 1, (-1.0, 1.0)), (3.0, 0, (5.0, 1.0))
    [(better, worse)] = chosen(*rows, has_gold=True, members_agree=True).pairs
    assert (better.index, worse.index) == (0, 1)
