"""Intervals against closed forms and references; coverage by simulation; verdicts that do not flatter."""

import numpy as np
import pytest

from medray.math import statistics


def test_wilson_against_published_values():
    # Newcombe 1998, Table I: 81 of 263, and 0 of 20
    figure = statistics.proportion(np.repeat([1, 0], [81, 182]))
    assert (round(figure.low, 4), round(figure.high, 4)) == (0.2553, 0.3662)
    none = statistics.proportion(np.zeros(20))
    assert none.low == 0.0 and round(none.high, 4) == 0.1611


def test_mean_of_yes_and_no_is_wilson_and_of_anything_else_a_bootstrap():
    assert statistics.mean([1, 0, 1, 1]) == statistics.proportion(np.array([1, 0, 1, 1]))
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
        assert statistics.verdict(statistics.Estimate((low + high) / 2, low, high, 50, 50)) == "none"


def estimates(first, second, clusters=None):
    return [
        statistics.mean(second, clusters),
        statistics.mean(second / 3, clusters),
        statistics.paired_difference(first, second, clusters),
        statistics.paired_difference(first / 3, second, clusters),
    ]


def test_clusters_of_one_item_change_nothing():
    first, second = (np.random.default_rng(seed).integers(0, 2, 60).astype(float) for seed in (6, 7))
    assert estimates(first, second, [f"c{n}" for n in range(60)[::-1]]) == estimates(first, second)


def test_four_copies_of_every_item_count_once():
    first, second = (np.random.default_rng(seed).integers(0, 2, 60).astype(float) for seed in (6, 7))
    clusters = np.arange(60)
    for copies in (np.repeat, np.tile):  # side by side, or far apart
        for found, expected in zip(
            estimates(copies(first, 4), copies(second, 4), copies(clusters, 4)), estimates(first, second), strict=True
        ):
            assert found.row() == {**expected.row(), "count": 240}
    one = statistics.mean(np.ones(40), np.repeat(np.arange(10), 4))
    assert one.row() == {**statistics.mean(np.ones(10)).row(), "count": 40}


def test_answers_that_repel_each_other_are_surer_but_never_certain():
    """Right in exactly one of four, as whoever does not read the stem."""
    values, clusters = np.tile([1.0, 0, 0, 0], 40), np.repeat(np.arange(40), 4)
    figure, alone = statistics.mean(values, clusters), statistics.mean(values)
    assert alone.low < figure.low < 0.245 and 0.255 < figure.high < alone.high
    values[[1, 5, 9, 13]] = 1  # four sets of forty with one more right: a sign test says p = 0.125
    assert statistics.verdict(statistics.paired_difference(np.full(160, 0.25), values, clusters)) == "none"


def quartets_that_agree(rng, num_quartets):
    """Some option sets are easy, some hard; 1 / 3 is right in the mean."""
    return rng.random((num_quartets, 4)) < rng.beta(0.6, 1.2, (num_quartets, 1))


def quartets_that_repel(rng, num_quartets):
    """One stem of nine is read, else one option of the four is said whatever the stem; 1 / 3 is right in the mean."""
    return (rng.random((num_quartets, 4)) < 1 / 9) | (np.arange(4) == rng.integers(0, 4, (num_quartets, 1)))


@pytest.mark.parametrize("num_quartets", [10, 40])
@pytest.mark.parametrize("draw", [quartets_that_agree, quartets_that_repel])
def test_intervals_cover_the_truth_when_answers_go_together(draw, num_quartets):
    rng, covered = np.random.default_rng(8), 0
    for _ in range(300):
        values = draw(rng, num_quartets).astype(float).ravel()
        figure = statistics.mean(values, np.repeat(np.arange(num_quartets), 4))
        covered += figure.low <= 1 / 3 <= figure.high
    assert 0.9 <= covered / 300 <= 0.99


def test_relative_change_of_perplexity():
    tokens = np.full(30, 50)
    first = tokens * 3.0
    change = statistics.perplexity_change(first, first + tokens * np.log(0.75), tokens)
    assert change.value == pytest.approx(-0.25)
    assert statistics.verdict(change, higher_is_better=False) == "better"


def test_nothing_and_one_item_have_no_interval():
    assert statistics.mean(np.array([])).row() == statistics.EMPTY.row()
    assert statistics.EMPTY.row() == {"value": None, "low": None, "high": None, "count": 0, "num_clusters": 0}
    assert statistics.paired_difference([], []).count == 0
    one = statistics.mean([0.3])
    assert one.value == 0.3 and np.isnan(one.low)
    assert statistics.verdict(one) == "none"


def test_equal_seeds_equal_intervals():
    values = np.random.default_rng(4).normal(size=50)
    assert statistics.mean(values, rng_seed=5) == statistics.mean(values, rng_seed=5)
    assert statistics.mean(values, rng_seed=5) != statistics.mean(values, rng_seed=6)
