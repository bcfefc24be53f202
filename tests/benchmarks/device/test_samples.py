"""What samples say: intervals that hold what they promise, and ratios that a drift leaves alone."""

import itertools

import numpy as np
import pytest

from legoclf.benchmarks.device.samples import (
    CONFIDENCE,
    LEAST_TURNS,
    Estimate,
    medians,
    middle,
    paired_ratio,
    share,
    summarise,
)


def comb(count: int, chosen: int) -> int:
    """Ways to choose: math.comb, which Python 3.6 has not."""
    ways = 1
    for place in range(chosen):
        ways = ways * (count - place) // (place + 1)
    return ways


def coverage(turns: int, left_out: int) -> float:
    """How often the values left when so many are left out at each end hold the median: by counting."""
    return 1 - 2 * sum(comb(turns, rank) for rank in range(left_out + 1)) / 2.0**turns


@pytest.mark.parametrize("turns", range(LEAST_TURNS, 60))
def test_an_interval_is_the_narrowest_of_order_statistics_that_covers_enough(turns: int) -> None:
    estimate = middle([float(value) for value in range(turns)])
    assert estimate.low is not None
    left_out = int(estimate.low)
    assert estimate.high == turns - 1 - left_out
    assert coverage(turns, left_out) >= CONFIDENCE
    assert coverage(turns, left_out + 1) < CONFIDENCE


@pytest.mark.parametrize("turns", range(1, LEAST_TURNS))
def test_too_few_turns_have_a_middle_and_no_interval(turns: int) -> None:
    assert middle([3.0] * turns) == Estimate(3.0, None, None)


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    # Of a lopsided distribution, 2000 times; 5 standard errors of a share of 0.95 to 1 are below 0.025.
    random = np.random.RandomState(1)
    truth = np.log(2)
    held = 0
    for _ in range(2000):
        estimate = middle(random.exponential(1.0, 10).tolist())
        assert estimate.low is not None
        assert estimate.high is not None
        held += estimate.low <= truth <= estimate.high
    assert held / 2000.0 >= CONFIDENCE - 0.025


def test_order_does_not_matter() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0, 6.0]
    assert {middle(list(each)) for each in itertools.permutations(values)} == {Estimate(3.5, 1.0, 6.0)}


def test_one_turn_gone_astray_moves_an_interval_of_ten_by_one_rank_at_most() -> None:
    steady = [1.0 + place / 1000 for place in range(10)]
    astray = middle([*steady[:9], 100.0])
    assert astray.high is not None
    assert astray.high < 1.01


def test_percentiles_are_of_all_samples_and_the_interval_of_the_turns_medians() -> None:
    turns = [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0, 50.0]]
    summary = summarise(turns)
    assert (summary.turns, summary.samples) == (2, 7)
    assert summary.median.value == np.median([2.0, 3.5])
    assert summary.p50 == 3.0
    assert summary.largest == 50.0
    assert medians(turns) == [2.0, 3.5]


def test_a_ratio_is_taken_turn_by_turn_so_that_drift_cancels() -> None:
    drift = [1.0, 2.0, 5.0, 1.5, 3.0, 4.0]
    above = [[3 * pace, 3 * pace] for pace in drift]
    below = [[2 * pace] for pace in drift]
    assert paired_ratio(above, below) == Estimate(1.5, 1.5, 1.5)


def test_a_ratio_of_unequal_turns_is_refused() -> None:
    with pytest.raises(ValueError, match="2 turns against 1"):
        paired_ratio([[1.0], [1.0]], [[1.0]])


@pytest.mark.parametrize(
    # Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3.
    ("right", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_a_share_has_wilsons_interval_as_published(right: int, total: int, low: float, high: float) -> None:
    estimate = share(right, total)
    assert estimate.value == right / float(total)
    assert estimate.low == pytest.approx(low, abs=5e-5)
    assert estimate.high == pytest.approx(high, abs=5e-5)


def test_a_share_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="a share of none"):
        share(0, 0)


def test_half_the_interval_is_told_as_a_share_of_the_value() -> None:
    assert Estimate(10.0, 9.0, 12.0).half_width_share == 0.15
    assert Estimate(10.0, None, None).half_width_share is None
