"""Estimates with 95% intervals, and paired differences of two models.   Shapes: N items, K clusters.

An item is a question, a document, a prompt, a pair. Items that were drawn together (questions over one set of options)
are a cluster, named for each item by `clusters_N`; without it each item is its own. What is independent are clusters:
a bootstrap resamples clusters, a closed form counts items divided by their design effect. Pure numpy.
It lies in `math`, not in `evaluate`: the report compares models too, and stage packages never import each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

Verdict = Literal["better", "worse", "none"]

NUM_RESAMPLES = 2000
RESAMPLES_AT_ONCE = 250  # memory: this many rows of one weight per cluster
Z_95 = 1.959963984540054  # 97.5% quantile of the normal distribution
MIN_CLUSTERS = 10  # below this no difference is called better or worse: an interval of few clusters is far too narrow


class Estimate(NamedTuple):
    """A figure, its 95% interval, and how many items in how many clusters are behind it; nan when there was no item."""

    value: float
    low: float
    high: float
    count: int
    num_clusters: int

    def row(self) -> dict[str, float | int | None]:
        """The figure as JSON values, to 6 significant digits (summation order must not show); nan becomes None."""
        figures = {name: significant(getattr(self, name)) for name in ("value", "low", "high")}
        return {**figures, "count": self.count, "num_clusters": self.num_clusters}


def significant(value: float) -> float | None:
    """The value to 6 significant digits, None where it is not finite."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


Clusters = Sequence[Any] | np.ndarray | None

EMPTY = Estimate(float("nan"), float("nan"), float("nan"), 0, 0)


def mean(values_N: np.ndarray, clusters_N: Clusters = None, *, rng_seed: int = 0) -> Estimate:
    """The mean of N items: Wilson's interval where every value is 0 or 1, a bootstrap over clusters elsewhere."""
    values_N = np.asarray(values_N, dtype=np.float64)
    if len(values_N) and _is_binary(values_N):
        return proportion(values_N, clusters_N)
    return ratio(values_N, np.ones_like(values_N), clusters_N, rng_seed=rng_seed)


def proportion(values_N: np.ndarray, clusters_N: Clusters = None) -> Estimate:
    """The share of ones among N zeros and ones, with Wilson's interval at N / design effect items.

    Source: Wilson 1927; it keeps its coverage near 0 and 1, where the normal interval has none. With an effective
    number of items: Franco, Little, Louis and Slud 2019, Comparative study of confidence intervals for proportions.
    """
    effect, num_clusters = _design_effect(values_N, clusters_N)
    share, count, z2 = float(np.mean(values_N)), len(values_N) / effect, Z_95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z_95 * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    low, high = max(0.0, float(centre - half)), min(1.0, float(centre + half))
    return Estimate(share, low, high, len(values_N), num_clusters)


def ratio(
    numerators_N: np.ndarray, denominators_N: np.ndarray, clusters_N: Clusters = None, *, rng_seed: int = 0
) -> Estimate:
    """sum(numerators) / sum(denominators), with a bootstrap over the clusters of the N items that both belong to."""
    numerators_N = np.asarray(numerators_N, dtype=np.float64)
    denominators_N = np.asarray(denominators_N, dtype=np.float64)
    assert len(numerators_N) == len(denominators_N), "one numerator and one denominator for each item"
    if denominators_N.sum() == 0:
        return EMPTY
    columns_CK = _by_cluster(np.stack([numerators_N, denominators_N]), clusters_N)
    resampled, num_clusters = _resampled_sums(columns_CK, rng_seed), columns_CK.shape[1]
    low, high = _percentile_interval(resampled[0] / np.maximum(resampled[1], 1e-300), num_clusters)
    value = float(numerators_N.sum() / denominators_N.sum())
    return Estimate(value, low, high, len(numerators_N), num_clusters)


def perplexity(nll_sums_N: np.ndarray, num_tokens_N: np.ndarray, *, rng_seed: int = 0) -> Estimate:
    """Perplexity of N documents, exp(nats per token), with a cluster bootstrap by document.

    Tokens of one document are far from independent; an interval over tokens would be several times too narrow.
    """
    nats = ratio(nll_sums_N, num_tokens_N, rng_seed=rng_seed)
    return Estimate(*(float(np.exp(figure)) for figure in nats[:3]), nats.count, nats.num_clusters)


def paired_difference(
    first_N: np.ndarray, second_N: np.ndarray, clusters_N: Clusters = None, *, rng_seed: int = 0
) -> Estimate:
    """mean(second - first) over the same N items.

    0/1 items against shares: Agresti and Min's interval, which adds half an observation to each cell of the 2 x 2 table
    (the bootstrap calls four discordant items of a hundred a difference; McNemar's exact test says p = 0.125), at
    N / design effect items. Elsewhere a paired bootstrap over clusters.

    Source: Agresti and Min 2005, Simple improved confidence intervals for comparing matched proportions.
    """
    first_N, second_N = np.asarray(first_N, dtype=np.float64), np.asarray(second_N, dtype=np.float64)
    assert len(first_N) == len(second_N), "a paired difference needs the same items on both sides"
    if not len(first_N):
        return EMPTY
    differences_N = second_N - first_N
    if not (_is_binary(first_N) or _is_binary(second_N)) or np.abs(differences_N).max() > 1:
        return ratio(differences_N, np.ones_like(differences_N), clusters_N, rng_seed=rng_seed)
    effect, num_clusters = _design_effect(differences_N, clusters_N)
    count = len(differences_N) / effect
    num_discordant, num_gained = (differences_N**2).sum() / effect, differences_N.sum() / effect
    centre = num_gained / (count + 2)
    half = Z_95 * np.sqrt(num_discordant + 1 - num_gained**2 / (count + 2)) / (count + 2)
    low, high = max(-1.0, float(centre - half)), min(1.0, float(centre + half))
    return Estimate(float(differences_N.mean()), low, high, len(differences_N), num_clusters)


def perplexity_change(
    first_nll_N: np.ndarray, second_nll_N: np.ndarray, num_tokens_N: np.ndarray, *, rng_seed: int = 0
) -> Estimate:
    """Relative change of perplexity, second / first - 1 (-0.25: a quarter less), over the same N documents."""
    difference = ratio(np.asarray(second_nll_N) - np.asarray(first_nll_N), num_tokens_N, rng_seed=rng_seed)
    return Estimate(*(float(np.expm1(nats)) for nats in difference[:3]), difference.count, difference.num_clusters)


def verdict(difference: Estimate, *, higher_is_better: bool = True) -> Verdict:
    """What a paired difference shows: "none" where its interval includes 0 or it comes from fewer than MIN_CLUSTERS."""
    if difference.num_clusters < MIN_CLUSTERS or not difference.low * difference.high > 0:
        return "none"
    return "better" if (difference.low > 0) == higher_is_better else "worse"


def _is_binary(values_N: np.ndarray) -> bool:
    return bool(np.isin(values_N, (0.0, 1.0)).all())


def _by_cluster(columns_CN: np.ndarray, clusters_N: Clusters) -> np.ndarray:
    """Sums of C columns over each cluster, clusters in the order of their first items -> [C, K]."""
    if clusters_N is None:
        return columns_CN
    number = {cluster: index for index, cluster in enumerate(dict.fromkeys(clusters_N))}
    cluster_N = [number[cluster] for cluster in clusters_N]
    return np.stack([np.bincount(cluster_N, column_N) for column_N in columns_CN])


def _design_effect(values_N: np.ndarray, clusters_N: Clusters) -> tuple[float, int]:
    """The variance of the mean against that of N independent items, as a factor, and the number of clusters.

    Source: Kish 1965, with the variance between clusters; N / K where there is none to see.
    Choices: below 1 (answers over one set of options repel each other: who does not read the stem is right in one of
    four) it is drawn to 1 as by two more clusters. Without that, 10 simulated quartets were covered 42% of the time.
    """
    sums_K, sizes_K = _by_cluster(np.stack([values_N, np.ones(len(values_N))]), clusters_N)
    middle = np.mean(values_N)
    alone, together = ((values_N - middle) ** 2).sum(), ((sums_K - middle * sizes_K) ** 2).sum()
    if alone == 0 or len(sums_K) == 1:
        return len(values_N) / len(sums_K), len(sums_K)
    effect = float(together / alone)
    return effect if effect >= 1 else (len(sums_K) * effect + 2) / (len(sums_K) + 2), len(sums_K)


def _resampled_sums(columns_CK: np.ndarray, rng_seed: int) -> np.ndarray:
    """Sums of C columns over NUM_RESAMPLES bootstrap draws of the K clusters -> [C, NUM_RESAMPLES].

    Plain reductions, no matrix product: the order of sums in BLAS depends on its threads, and a sealed figure must not.
    """
    rng, num_clusters = np.random.default_rng(rng_seed), columns_CK.shape[1]
    sums = np.empty((len(columns_CK), NUM_RESAMPLES))
    for start in range(0, NUM_RESAMPLES, RESAMPLES_AT_ONCE):
        times_drawn = rng.multinomial(num_clusters, np.full(num_clusters, 1 / num_clusters), size=RESAMPLES_AT_ONCE)
        for index, column_K in enumerate(columns_CK):
            sums[index, start : start + RESAMPLES_AT_ONCE] = (times_drawn * column_K).sum(axis=1)
    return sums


def _percentile_interval(resampled: np.ndarray, num_clusters: int) -> tuple[float, float]:
    """95% percentile interval, widened by sqrt(K / (K - 1)): the bootstrap of K clusters is that much too narrow."""
    if num_clusters < 2:
        return float("nan"), float("nan")
    low, middle, high = np.quantile(resampled, [0.025, 0.5, 0.975])
    widen = np.sqrt(num_clusters / (num_clusters - 1))
    return float(middle - (middle - low) * widen), float(middle + (high - middle) * widen)
