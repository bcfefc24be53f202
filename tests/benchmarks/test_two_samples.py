"""The tests that decide what is noise: against published tables and examples, and against chance itself."""

import numpy as np
import pytest

from legoclf.benchmarks import two_samples


@pytest.mark.parametrize(
    ("fewer", "more", "critical"), [(4, 4, 0), (5, 7, 5), (6, 6, 5), (8, 8, 13), (10, 10, 23), (15, 15, 64)]
)
def test_ranks_of_the_interval_are_those_of_the_published_table(fewer: int, more: int, critical: int) -> None:
    # Critical values of the Mann-Whitney U, two-sided 0.05: U at most that is rejected.
    assert two_samples._outer_rank(fewer, more) == critical


def test_three_against_three_have_no_interval() -> None:
    estimate = two_samples.ratio_of_shift([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert estimate is not None
    assert (estimate.low, estimate.high) == (None, None)


def test_the_interval_leaves_out_1_exactly_where_the_test_rejects() -> None:
    random = np.random.RandomState(0)
    for _ in range(200):
        a, b = np.exp(random.normal(0, 1, 6)).tolist(), np.exp(random.normal(0.8, 1, 9)).tolist()
        estimate = two_samples.ratio_of_shift(a, b)
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        is_outside = not estimate.low <= 1 <= estimate.high
        assert is_outside == (two_samples.mann_whitney(a, b) < two_samples.SIGNIFICANCE)


def test_the_interval_covers_the_true_ratio_as_often_as_it_says() -> None:
    random = np.random.RandomState(1)
    covered = 0
    for _ in range(1000):
        a, b = np.exp(random.normal(0, 1, (2, 8))).tolist()
        estimate = two_samples.ratio_of_shift(a, [1.5 * value for value in b])
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= 1.5 <= estimate.high
    # 95.0 % at least in truth (95.05 for 8 against 8); 1000 draws of that stay at 93.5 % but once in 70.
    assert covered >= 935


def test_the_shift_is_the_ratio_whatever_the_scale() -> None:
    a = [1.0, 1.1, 1.3, 1.6, 2.0, 2.5]
    estimate = two_samples.ratio_of_shift(a, [3 * value for value in a])
    assert estimate is not None
    assert estimate.value == pytest.approx(3)


def test_a_zero_has_no_ratio() -> None:
    assert two_samples.ratio_of_shift([0.0, 1.0], [1.0, 2.0]) is None


def test_without_ties_the_test_is_exact() -> None:
    low, high = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [7.0, 8.0, 9.0, 10.0, 11.0, 12.0]
    # 2 of the 924 ways to deal 12 values to two sixes are as far apart.
    assert two_samples.mann_whitney(low, high) == pytest.approx(2 / 924)
    assert two_samples.least_p(6, 6) == pytest.approx(2 / 924)


def test_with_ties_few_values_are_tested_exactly_too() -> None:
    assert two_samples.mann_whitney([1.0] * 6, [2.0] * 6) == pytest.approx(2 / 924)


def test_values_that_are_all_the_same_are_no_difference() -> None:
    assert two_samples.mann_whitney([8.9] * 12, [8.9] * 12) == 1


def test_many_tied_values_are_told_apart() -> None:
    assert two_samples.mann_whitney([1.0] * 12, [2.0] * 12) < 0.001


def test_holm_corrects_step_by_step() -> None:
    corrected = two_samples.holm([0.01, 0.04, 0.03, 0.005])
    assert corrected == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_keeps_false_alarms_of_a_whole_table_below_its_level() -> None:
    random = np.random.RandomState(2)
    alarms = 0
    for _ in range(150):
        p = [two_samples.mann_whitney(random.rand(8).tolist(), random.rand(8).tolist()) for _ in range(10)]
        alarms += min(two_samples.holm(p)) < 0.05
    # At most 5 % in truth; 150 draws of that stay below 16 but once in 250.
    assert alarms < 16


def answers(*counts: tuple[int, int, int]) -> tuple[list[float], list[float]]:
    """Answers of A and of B: so many images, whether A has them right, and B."""
    a = [float(right) for count, right, _ in counts for _ in range(count)]
    b = [float(right) for count, _, right in counts for _ in range(count)]
    return a, b


def test_mcnemar_counts_the_images_on_which_they_disagree_alone() -> None:
    a, b = answers((80, 1, 1), (1, 1, 0), (9, 0, 1), (10, 0, 0))
    assert two_samples.mcnemar(a, b) == pytest.approx(2 * 11 / 1024)


def test_answers_that_agree_are_no_difference() -> None:
    assert two_samples.mcnemar([1.0, 0.0], [1.0, 0.0]) == 1


def test_fisher_gives_the_lady_who_tasted_tea_her_p_value() -> None:
    assert two_samples.fisher([1, 1, 1, 0], [1, 0, 0, 0]) == pytest.approx(0.4857, abs=1e-4)


def test_the_unpaired_interval_is_that_of_newcombes_first_example() -> None:
    # Newcombe 1998, table II, example (a), method 10: 56/70 less 48/80 is 0.0524 to 0.3339.
    estimate = two_samples.unpaired_difference([1.0] * 48 + [0.0] * 32, [1.0] * 56 + [0.0] * 14)
    assert estimate == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_the_paired_interval_follows_its_formula() -> None:
    # By hand: 16/102 - 6/102 = 0.0980; variance (22/102 - 0.0980^2)/102 = 0.00202, 1.96 roots of it 0.0881.
    a, b = answers((70, 1, 1), (5, 1, 0), (15, 0, 1), (10, 0, 0))
    assert two_samples.paired_difference(a, b) == pytest.approx((0.10, 0.0099, 0.1861), abs=1e-4)
