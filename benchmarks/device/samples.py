"""What samples say: percentiles, an interval for the middle, the ratio of two series of one run.

Samples are taken in turns, spread over the run and shared with what they are compared to. A shared or warm
machine drifts: samples of one turn resemble each other more than those of another, so an interval that took
each sample for an independent one would be far too narrow. The intervals here are of the turns' medians.
They are order statistics (the sign test turned round; W. J. Conover, Practical Nonparametric Statistics,
section 3.2): no shape of the distribution is assumed, and one turn gone astray moves them by one rank.
"""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

#: What an interval covers, at least.
CONFIDENCE = 0.95

#: One side of what it does not cover is one part of so many.
_ONE_SIDE = 40

#: Turns that an interval of that confidence needs: the smallest to the largest of 6 cover 96.9 %.
LEAST_TURNS = 6

#: Two-sided 95 % quantile of the normal distribution.
_Z = 1.959964

Turns = Sequence[Sequence[float]]


class Estimate(NamedTuple):
    """A value and its interval of CONFIDENCE; low and high are None where the turns are too few."""

    value: float
    low: Optional[float]
    high: Optional[float]

    @property
    def half_width_share(self) -> Optional[float]:
        """Half the interval, as a share of the value."""
        if self.low is None or self.high is None or not self.value:
            return None
        return (self.high - self.low) / 2.0 / abs(self.value)


class Summary(NamedTuple):
    """Of one series, in its unit.

    median: of the turns' medians. p50, p90, p99, largest: of all samples together.
    """

    turns: int
    samples: int
    median: Estimate
    p50: float
    p90: float
    p99: float
    largest: float


def summarise(turns: Turns) -> Summary:
    """What a series of at least one turn, each of at least one sample, comes to."""
    every = np.concatenate([np.asarray(turn, np.float64) for turn in turns])
    p50, p90, p99 = (float(value) for value in np.percentile(every, [50, 90, 99]))
    return Summary(len(turns), len(every), middle(medians(turns)), p50, p90, p99, float(every.max()))


def medians(turns: Turns) -> List[float]:
    """The median of each turn."""
    return [float(np.median(np.asarray(turn, np.float64))) for turn in turns]


def middle(values: Sequence[float]) -> Estimate:
    """The median of independent values and its interval."""
    ranked = sorted(values)
    rank = _outer_rank(len(ranked))
    if rank is None:
        return Estimate(float(np.median(ranked)), None, None)
    return Estimate(float(np.median(ranked)), ranked[rank], ranked[-1 - rank])


def paired_ratio(numerator: Turns, denominator: Turns) -> Estimate:
    """The ratio of two series of one run, taken turn by turn, so that what slows both cancels.

    Raises:
        ValueError: the two have not the same number of turns.
    """
    if len(numerator) != len(denominator):
        raise ValueError("{} turns against {}".format(len(numerator), len(denominator)))
    pairs = zip(medians(numerator), medians(denominator))
    return middle([above / below for above, below in pairs])


def share(right: int, total: int) -> Estimate:
    """A share of independent yes and no, with Wilson's interval (E. B. Wilson 1927, JASA 22, 209-212).

    Raises:
        ValueError: there is none.
    """
    if total < 1:
        raise ValueError("a share of none")
    low, high = _wilson(right, total)
    return Estimate(right / float(total), low, high)


def _wilson(right: int, total: int) -> Tuple[float, float]:
    observed = right / float(total)
    centre = (observed + _Z**2 / (2 * total)) / (1 + _Z**2 / total)
    spread = observed * (1 - observed) / total + _Z**2 / (4 * total**2)
    half = _Z * spread**0.5 / (1 + _Z**2 / total)
    return max(0.0, centre - half), min(1.0, centre + half)


def _outer_rank(count: int) -> Optional[int]:
    """How many values may be left out at each end; None if even leaving out none is too narrow.

    The median lies outside the values ranked r to n-1-r with probability 2 P(B <= r), B binomial (n, 1/2).
    """
    below, chosen = 0, None
    combinations = 1  # in whole numbers, which do not overflow
    for left_out in range(count):
        below += combinations
        if below * _ONE_SIDE > 2**count:
            break
        chosen = left_out
        combinations = combinations * (count - left_out) // (left_out + 1)
    return chosen
