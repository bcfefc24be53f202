"""Two runs against each other: rank tests, shifts with intervals, a correction for many tests at once.

The units are the turns' medians, as in :mod:`legoclf.benchmarks.device.samples`: samples within a turn
resemble each other, and a test over them would call every drift of the machine a difference. For right and
wrong answers the units are the images.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from legoclf.benchmarks.device.samples import CONFIDENCE, Estimate, share
from legoclf.errors import missing_package

#: A corrected p-value below it counts as a difference.
SIGNIFICANCE = 1 - CONFIDENCE

#: Arrangements up to which tied values are tried out in full.
_MOST_ARRANGEMENTS = 20_000


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p-value of the Mann-Whitney test.

    Exact without ties, and with ties where all arrangements can be tried (up to 8 against 8); beyond that the
    normal approximation with its correction for ties.
    """
    stats = _stats()
    if len(set(a) | set(b)) == len(a) + len(b):
        return float(stats.mannwhitneyu(a, b, method="exact").pvalue)
    if len(set(a) | set(b)) == 1:
        return 1.0
    if math.comb(len(a) + len(b), len(a)) <= _MOST_ARRANGEMENTS:
        return float(
            stats.mannwhitneyu(a, b, method=stats.PermutationMethod(n_resamples=_MOST_ARRANGEMENTS)).pvalue
        )
    return float(stats.mannwhitneyu(a, b, method="asymptotic").pvalue)


def least_p(a: int, b: int) -> float:
    """The smallest p-value that :func:`mann_whitney` can give so many values: all of one below all others."""
    return min(1.0, 2 / math.comb(a + b, a))


def ratio_of_shift(a: Sequence[float], b: Sequence[float]) -> Estimate | None:
    """The Hodges-Lehmann estimate of how many times ``a`` the values of ``b`` are, with its interval.

    The median of all b over all a, in logarithms; the interval is of the ranks that the Mann-Whitney test
    does not reject (M. Hollander and D. A. Wolfe, Nonparametric Statistical Methods, sections 4.2 and 4.3).

    Returns:
        low and high None where the values are too few; None if one is 0, which has no ratio.
    """
    if min(*a, *b) <= 0:
        return None
    shifts = np.sort(np.subtract.outer(np.log(b), np.log(a)).ravel())
    value = math.exp(float(np.median(shifts)))
    rank = _outer_rank(*sorted((len(a), len(b))))
    if rank is None:
        return Estimate(value, None, None)
    return Estimate(value, math.exp(float(shifts[rank])), math.exp(float(shifts[-1 - rank])))


def mcnemar(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p-value of the exact McNemar test: answers on the same images, 1 right and 0 wrong."""
    only_a, only_b = _disagreements(a, b)
    if only_a + only_b == 0:
        return 1.0
    return float(_stats().binomtest(only_b, only_a + only_b).pvalue)


def paired_difference(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """How much greater the share of ones is in ``b`` than in ``a``, of the same images.

    The interval is the adjusted Wald of D. G. Bonett and R. M. Price 2012, Journal of Educational and
    Behavioral Statistics 37, 479-488.
    """
    only_a, only_b = _disagreements(a, b)
    total = len(a) + 2
    more, less = (only_b + 1) / total, (only_a + 1) / total
    half = _z() * math.sqrt((more + less - (more - less) ** 2) / total)
    middle = more - less
    return Estimate((only_b - only_a) / len(a), max(-1.0, middle - half), min(1.0, middle + half))


def fisher(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p-value of Fisher's exact test: answers on images that need not be the same."""
    table = [[int(sum(each)), len(each) - int(sum(each))] for each in (a, b)]
    return float(_stats().fisher_exact(table)[1])


def unpaired_difference(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """As :func:`paired_difference` of images that need not be the same.

    The interval is made of Wilson's two (R. G. Newcombe 1998, Statistics in Medicine 17, 873-890, method 10).
    """
    old, new = share(int(sum(a)), len(a)), share(int(sum(b)), len(b))
    (old_below, old_above), (new_below, new_above) = _reach(old), _reach(new)
    difference = new.value - old.value
    return Estimate(
        difference,
        difference - math.hypot(new_below, old_above),
        difference + math.hypot(new_above, old_below),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for there being so many (S. Holm 1979, Scand. J. Statist. 6, 65-70)."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = largest
    return corrected


def _disagreements(a: Sequence[float], b: Sequence[float]) -> tuple[int, int]:
    """Images that only ``a`` has right, and that only ``b`` has."""
    pairs = list(zip(a, b, strict=True))
    return sum(x > y for x, y in pairs), sum(y > x for x, y in pairs)


def _reach(estimate: Estimate) -> tuple[float, float]:
    """How far an interval reaches below its value, and how far above."""
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.value - estimate.low, estimate.high - estimate.value


def _stats() -> Any:
    try:
        from scipy import stats
    except ImportError as error:
        raise missing_package("scipy", "bench") from error
    return stats


def _z() -> float:
    return float(_stats().norm.ppf(0.5 + CONFIDENCE / 2))


@cache
def _outer_rank(fewer: int, more: int) -> int | None:
    """How many of the sorted differences lie outside the interval at each end; None if they are too few.

    Counts the arrangements of each value of the Mann-Whitney statistic: the coefficients of the Gaussian
    binomial, which is the product of (1 - q^(more + i)) / (1 - q^i) for i from 1 to ``fewer``.
    """
    counts = [1] + [0] * (fewer * more)
    for factor in range(1, fewer + 1):
        for place in range(len(counts) - 1, more + factor - 1, -1):
            counts[place] -= counts[place - more - factor]
        for place in range(factor, len(counts)):
            counts[place] += counts[place - factor]
    # Whole numbers throughout: the tail is compared as `below / all > (1 - CONFIDENCE) / 2`.
    allowed = math.comb(fewer + more, fewer) * (1 - CONFIDENCE) / 2
    below = 0
    for statistic, count in enumerate(counts):
        below += count
        if below > allowed:
            return statistic - 1 if statistic else None
    raise AssertionError("half of all arrangements are more than the tail")
