"""Estimates with 95% intervals, and paired differences of two models over the same items. Pure numpy.

An item is what was drawn independently: a question, a document, a prompt, a pair. Every interval resamples items.
It lies in `math`, not in `evaluate`: the report compares models too, and stage packages never import each other.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

Verdict = Literal["better", "worse", "none"]

NUM_RESAMPLES = 2000
RESAMPLES_AT_ONCE = 250  # memory: this many rows of one weight per item
Z_95 = 1.959963984540054  # 97.5% quantile of the normal distribution
MIN_ITEMS = 10  # below this no difference is called better or worse: a bootstrap of few items is far too narrow


class Estimate(NamedTuple):
    """A figure, its 95% interval and the number of items behind it; nan when there was no item."""

    value: float
    low: float
    high: float
    count: int

    def row(self) -> dict[str, float | int | None]:
        """The figure as JSON values, to 6 significant digits (summation order must not show); nan becomes None."""
        figures = {name: significant(getattr(self, name)) for name in ("value", "low", "high")}
        return {**figures, "count": self.count}


def significant(value: float) -> float | None:
    """The value to 6 significant digits, None where it is not finite."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


EMPTY = Estimate(float("nan"), float("nan"), float("nan"), 0)


def proportion(num_true: float, count: int) -> Estimate:
    """The share of `count` independent yes/no items that are true, with Wilson's interval.

    Source: Wilson 1927; it keeps its coverage near 0 and 1, where the normal interval has none.
    """
    if count == 0:
        return EMPTY
    share, z2 = num_true / count, Z_95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z_95 * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return Estimate(share, max(0.0, float(centre - half)), min(1.0, float(centre + half)), count)


def mean(values_N: np.ndarray, *, rng_seed: int = 0) -> Estimate:
    """The mean of N items: Wilson's interval where every value is 0 or 1, a bootstrap over items elsewhere."""
    values_N = np.asarray(values_N, dtype=np.float64)
    if _is_binary(values_N):
        return proportion(float(values_N.sum()), len(values_N))
    return ratio(values_N, np.ones_like(values_N), rng_seed=rng_seed)


def ratio(numerators_N: np.ndarray, denominators_N: np.ndarray, *, rng_seed: int = 0) -> Estimate:
    """sum(numerators) / sum(denominators), with a bootstrap over the N items (clusters) that both belong to."""
    numerators_N = np.asarray(numerators_N, dtype=np.float64)
    denominators_N = np.asarray(denominators_N, dtype=np.float64)
    assert len(numerators_N) == len(denominators_N), "one numerator and one denominator for each item"
    if denominators_N.sum() == 0:
        return EMPTY
    resampled = _resampled_sums(np.stack([numerators_N, denominators_N]), rng_seed)
    ratios = resampled[0] / np.maximum(resampled[1], 1e-300)
    low, high = _percentile_interval(ratios, len(numerators_N))
    return Estimate(float(numerators_N.sum() / denominators_N.sum()), low, high, len(numerators_N))


def perplexity(nll_sums_N: np.ndarray, num_tokens_N: np.ndarray, *, rng_seed: int = 0) -> Estimate:
    """Perplexity of N documents, exp(nats per token), with a cluster bootstrap by document.

    Tokens of one document are far from independent; an interval over tokens would be several times too narrow.
    """
    nats = ratio(nll_sums_N, num_tokens_N, rng_seed=rng_seed)
    return Estimate(float(np.exp(nats.value)), float(np.exp(nats.low)), float(np.exp(nats.high)), nats.count)


def paired_difference(first_N: np.ndarray, second_N: np.ndarray, *, rng_seed: int = 0) -> Estimate:
    """mean(second - first) over the same N items.

    0/1 items: Agresti and Min's interval, which adds half an observation to each cell of the 2 x 2 table (the bootstrap
    calls four discordant items of a hundred a difference; McNemar's exact test says p = 0.125). Elsewhere a paired
    bootstrap over items.

    Source: Agresti and Min 2005, Simple improved confidence intervals for comparing matched proportions.
    """
    first_N, second_N = np.asarray(first_N, dtype=np.float64), np.asarray(second_N, dtype=np.float64)
    assert len(first_N) == len(second_N), "a paired difference needs the same items on both sides"
    if not len(first_N):
        return EMPTY
    if not (_is_binary(first_N) and _is_binary(second_N)):
        return mean_of_differences(second_N - first_N, rng_seed=rng_seed)
    count = len(first_N)
    num_gained = float(((first_N == 0) & (second_N == 1)).sum())
    num_lost = float(((first_N == 1) & (second_N == 0)).sum())
    centre = (num_gained - num_lost) / (count + 2)
    half = Z_95 * np.sqrt(num_gained + num_lost + 1 - (num_gained - num_lost) ** 2 / (count + 2)) / (count + 2)
    low, high = max(-1.0, float(centre - half)), min(1.0, float(centre + half))
    return Estimate((num_gained - num_lost) / count, low, high, count)


def mean_of_differences(differences_N: np.ndarray, *, rng_seed: int = 0) -> Estimate:
    """The mean of N paired differences with a bootstrap over items (never Wilson: a difference is no proportion)."""
    differences_N = np.asarray(differences_N, dtype=np.float64)
    return ratio(differences_N, np.ones_like(differences_N), rng_seed=rng_seed)


def perplexity_change(
    first_nll_N: np.ndarray, second_nll_N: np.ndarray, num_tokens_N: np.ndarray, *, rng_seed: int = 0
) -> Estimate:
    """Relative change of perplexity, second / first - 1 (-0.25: a quarter less), over the same N documents."""
    difference = ratio(np.asarray(second_nll_N) - np.asarray(first_nll_N), num_tokens_N, rng_seed=rng_seed)
    return Estimate(*(float(np.expm1(nats)) for nats in difference[:3]), difference.count)


def verdict(difference: Estimate, *, higher_is_better: bool = True) -> Verdict:
    """What a paired difference shows: "none" where its interval includes 0 or it has fewer than MIN_ITEMS items."""
    if difference.count < MIN_ITEMS or not difference.low * difference.high > 0:
        return "none"
    return "better" if (difference.low > 0) == higher_is_better else "worse"


def _is_binary(values_N: np.ndarray) -> bool:
    return bool(np.isin(values_N, (0.0, 1.0)).all())


def _resampled_sums(columns_CN: np.ndarray, rng_seed: int) -> np.ndarray:
    """Sums of C columns over NUM_RESAMPLES bootstrap draws of the N items -> [C, NUM_RESAMPLES].

    Plain reductions, no matrix product: the order of sums in BLAS depends on its threads, and a sealed figure must not.
    """
    rng, num_items = np.random.default_rng(rng_seed), columns_CN.shape[1]
    sums = np.empty((len(columns_CN), NUM_RESAMPLES))
    for start in range(0, NUM_RESAMPLES, RESAMPLES_AT_ONCE):
        times_drawn = rng.multinomial(num_items, np.full(num_items, 1 / num_items), size=RESAMPLES_AT_ONCE)
        for index, column_N in enumerate(columns_CN):
            sums[index, start : start + RESAMPLES_AT_ONCE] = (times_drawn * column_N).sum(axis=1)
    return sums


def _percentile_interval(resampled: np.ndarray, num_items: int) -> tuple[float, float]:
    """95% percentile interval, widened by sqrt(N / (N - 1)): the bootstrap of N items is that much too narrow."""
    if num_items < 2:
        return float("nan"), float("nan")
    low, middle, high = np.quantile(resampled, [0.025, 0.5, 0.975])
    widen = np.sqrt(num_items / (num_items - 1))
    return float(middle - (middle - low) * widen), float(middle + (high - middle) * widen)
