"""Intervals against closed forms and references; coverage by simulation; verdicts that do not flatter."""

import numpy as np
import pytest

from medray.math import statistics


def test_wilson_against_published_values():
    # Newcombe 1998, Table I: 81 of 263, and 0 of 20
    figure = statistics.proportion(81, 263)
    assert (round(figure.low, 4), round(figure.high, 4)) == (0.2553, 0.3662)
    none = statistics.proportion(0, 20)
    assert none.low == 0.0 and round(none.high, 4) == 0.1611


def test_mean_of_yes_and_no_is_wilson_and_of_anything_else_a_bootstrap():
    assert statistics.mean([1, 0, 1, 1]) == statistics.proportion(3, 4)
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    figure = statistics.mean(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert figure.value == pytest.approx(values.mean())
    assert figure.low == pytest.approx(values.mean() - half, abs=0.04)
    assert figure.high == pytest.approx(values.mean() + half, abs=0.04)


def test_bootstrap_covers_the_truth_about_95_times_in_100():
    rng, covered = np.random.default_rng(1), 0
    for trial in range(300):
        figure = statistics.mean(rng.exponential(1.0, 40), rng_seed=trial)
        covered += figure.low <= 1.0 <= figure.high
    assert 0.89 <= covered / 300 <= 0.98


def test_perplexity_is_over_tokens_and_resampled_by_document():
    tokens = np.array([10, 1000])
    nll = np.array([3.0, 1.0]) * tokens
    assert statistics.perplexity(nll, tokens).value == pytest.approx(np.exp((30 + 1000) / 1010))
    rng = np.random.default_rng(2)
    lengths = rng.integers(20, 200, 60)
    sums = lengths * rng.normal(2.0, 0.3, 60)
    figure = statistics.perplexity(sums, lengths)
    assert figure.low < figure.value < figure.high and figure.count == 60
    # a document's tokens share its difficulty: the interval is that of 60 documents, not of 6000 tokens
    assert np.log(figure.high / figure.low) == pytest.approx(2 * 1.96 * 0.3 / np.sqrt(60), rel=0.35)


def test_pairing_removes_what_the_items_have_in_common():
    rng = np.random.default_rng(3)
    hard = rng.normal(0, 5.0, 100)
    first, second = hard + rng.normal(0, 0.1, 100), hard + 0.2 + rng.normal(0, 0.1, 100)
    paired = statistics.paired_difference(first, second)
    assert statistics.verdict(paired) == "better"
    assert paired.high - paired.low < 0.1
    assert statistics.verdict(paired, higher_is_better=False) == "worse"


@pytest.mark.parametrize(("gained", "expected"), [(3, "none"), (4, "none"), (6, "better")])
def test_few_discordant_answers_are_no_difference(gained, expected):
    # McNemar's exact test: p = 0.25, 0.125 and 0.031 for 3, 4 and 6 of 100 all one way
    second = np.zeros(100)
    second[:gained] = 1
    difference = statistics.paired_difference(np.zeros(100), second)
    assert difference.value == gained / 100
    assert statistics.verdict(difference) == expected


def test_an_interval_that_touches_zero_is_none():
    for low, high in ((-0.1, 0.2), (0.0, 0.2), (-0.2, 0.0)):
        assert statistics.verdict(statistics.Estimate((low + high) / 2, low, high, 50)) == "none"


def test_relative_change_of_perplexity():
    tokens = np.full(30, 50)
    first = tokens * 3.0
    change = statistics.perplexity_change(first, first + tokens * np.log(0.75), tokens)
    assert change.value == pytest.approx(-0.25)
    assert statistics.verdict(change, higher_is_better=False) == "better"


def test_nothing_and_one_item_have_no_interval():
    assert statistics.mean(np.array([])).row() == {"value": None, "low": None, "high": None, "count": 0}
    assert statistics.paired_difference([], []).count == 0
    one = statistics.mean([0.3])
    assert one.value == 0.3 and np.isnan(one.low)
    assert statistics.verdict(one) == "none"


def test_equal_seeds_equal_intervals():
    values = np.random.default_rng(4).normal(size=50)
    assert statistics.mean(values, rng_seed=5) == statistics.mean(values, rng_seed=5)
    assert statistics.mean(values, rng_seed=5) != statistics.mean(values, rng_seed=6)
