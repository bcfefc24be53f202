"""The heads: retrain.py's SGD step by step, and L-BFGS at the minimum it claims."""

import numpy as np
import pytest

from legoclf.retrain import heads
from legoclf.retrain.heads import BalancedSampler, Evaluation, Features, SgdSettings, train_lbfgs, train_sgd


def clusters(per_class: list[int], size: int = 16, spread: float = 0.5, seed: int = 0) -> Features:
    """Rows around one random centre a class, all positive as features after ReLU6 are."""
    centres = np.random.default_rng(9).random((len(per_class), size))
    labels = np.repeat(np.arange(len(per_class)), per_class)
    rows = centres[labels] + spread * np.random.default_rng(seed).random((len(labels), size))
    return Features(rows.astype(np.float32), labels)


def ignore(_: Evaluation) -> None:
    """An evaluation nobody looks at."""


def accuracy(head: heads.Head, features: Features) -> float:
    return heads.accuracy_and_cross_entropy(head.logits(features.rows), features.labels)[0]


NOTHING = Features(np.zeros((0, 16), np.float32), np.zeros(0, np.int64))


def test_softmax_of_large_logits_is_finite() -> None:
    probabilities = heads.softmax(np.array([[1e4, 0.0, -1e4]], np.float32))
    assert probabilities.tolist() == [[1.0, 0.0, 0.0]]


def test_cross_entropy_of_even_logits_is_the_logarithm_of_the_class_count() -> None:
    _, loss = heads.accuracy_and_cross_entropy(np.zeros((3, 4)), np.array([0, 1, 2]))
    assert loss == pytest.approx(np.log(4))


def test_batches_count_classes_alike_however_many_images_they_have() -> None:
    labels = np.array([0] * 990 + [1] * 10)
    drawn = labels[BalancedSampler(labels).sample(np.random.default_rng(0), 10_000)]
    # Five standard deviations of a fair coin thrown 10 000 times are 250.
    assert abs(int(drawn.sum()) - 5000) < 250


def test_batches_reach_every_row() -> None:
    labels = np.array([0, 1, 1, 0, 2])
    drawn = BalancedSampler(labels).sample(np.random.default_rng(0), 500)
    assert sorted(set(drawn.tolist())) == [0, 1, 2, 3, 4]


def test_one_sgd_step_is_the_gradient_of_the_mean_cross_entropy() -> None:
    """From weights of about 0.001 the gradient is that at zero: row x (1/C - target), averaged."""
    one_row = Features(np.ones((1, 16), np.float32), np.array([0]))
    settings = SgdSettings(how_many_training_steps=1, learning_rate=1.0, train_batch_size=7)
    head = train_sgd(one_row, NOTHING, 2, settings, 0, ignore)
    # The start has deviation 0.001, at most 0.002 in each weight.
    assert head.weights[:, 0] == pytest.approx(0.5, abs=0.02)
    assert head.bias == pytest.approx([0.5, -0.5], abs=0.02)


def test_sgd_learns_what_can_be_told_apart() -> None:
    train, test = clusters([40, 40, 40]), clusters([20, 20, 20], seed=1)
    settings = SgdSettings(how_many_training_steps=500, learning_rate=0.5)
    assert accuracy(train_sgd(train, test, 3, settings, 0, ignore), test) == 1.0


def test_sgd_evaluates_at_the_interval_and_at_the_last_step() -> None:
    seen: list[int] = []
    settings = SgdSettings(how_many_training_steps=25, eval_step_interval=10)
    train_sgd(clusters([5, 5]), NOTHING, 2, settings, 0, lambda evaluation: seen.append(evaluation.step))
    assert seen == [0, 10, 20, 24]


def test_sgd_without_validation_images_reports_none() -> None:
    seen: list[Evaluation] = []
    train_sgd(clusters([5, 5]), NOTHING, 2, SgdSettings(how_many_training_steps=1), 0, seen.append)
    assert (seen[0].validation_accuracy, seen[0].validation_cross_entropy) == (None, None)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    train, settings = clusters([8, 8]), SgdSettings(how_many_training_steps=20)
    first, again, other = (train_sgd(train, NOTHING, 2, settings, seed, ignore).weights for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_starting_weights_are_cut_at_two_deviations() -> None:
    values = heads._truncated_normal(np.random.default_rng(0), (200, 100), 0.001)
    assert float(np.abs(values).max()) <= 0.002
    # A normal cut at two deviations keeps 0.88 of its deviation.
    assert float(values.std()) == pytest.approx(0.00088, rel=0.02)


def test_lbfgs_ends_where_the_gradient_is_zero() -> None:
    """At the minimum the data gradient equals minus strength times the weights."""
    train, strength = clusters([30, 30]), 0.01
    found = heads._minimise(train, 2, strength, np.zeros((17, 2)))
    probabilities = heads.softmax(train.rows @ found[:-1] + found[-1])
    probabilities[np.arange(60), train.labels] -= 1
    gradient = train.rows.T @ probabilities / 60 + strength * found[:-1]
    # Stopped by ftol 1e-6 on a loss near 0.1; float32 rows.
    assert np.abs(gradient).max() < 1e-3


def test_lbfgs_counts_classes_alike_however_many_images_they_have() -> None:
    few = clusters([200, 4], spread=2.0)
    recall = [
        (train_lbfgs(few, NOTHING, 2).logits(few.rows).argmax(1) == few.labels)[few.labels == label].mean()
        for label in (0, 1)
    ]
    assert recall[1] >= 0.75


def test_lbfgs_learns_from_five_images_a_class() -> None:
    train, test = clusters([5, 5, 5]), clusters([30, 30, 30], seed=1)
    assert accuracy(train_lbfgs(train, clusters([2, 2, 2], seed=2), 3), test) > 0.95


def test_lbfgs_takes_the_strength_that_serves_the_validation_set() -> None:
    train, validation = clusters([10, 10], spread=3.0), clusters([50, 50], spread=3.0, seed=5)
    chosen, _ = heads._search(train, validation, 2, np.zeros((17, 2)))
    loss = {}
    for strength in heads.L2_GRID:
        found = heads._minimise(train, 2, strength, np.zeros((17, 2)))
        logits = validation.rows @ found[:-1] + found[-1]
        loss[strength] = heads.accuracy_and_cross_entropy(logits, validation.labels)[1]
    # Two weaker ones that each gain less than the least end the search.
    assert loss[chosen] <= min(loss.values()) + 2 * heads.L2_LEAST_GAIN


def test_lbfgs_does_not_grow_ever_surer_on_a_few_easy_images() -> None:
    train, validation = clusters([10, 10], spread=0.1), clusters([2, 2], spread=0.1, seed=1)
    strength = train_lbfgs(train, validation, 2).how["l2"]
    # All are named right from the first strength on; the weakest of the grid is 1e-6.
    assert isinstance(strength, float)
    assert strength >= 1e-3


def test_features_of_any_magnitude_give_the_same_answers() -> None:
    train, test = clusters([20, 20]), clusters([20, 20], seed=1)
    large = Features(train.rows * 1000, train.labels)
    small_head, large_head = train_lbfgs(train, NOTHING, 2), train_lbfgs(large, NOTHING, 2)
    # The scaled problem is the same to rounding; logits differ by float32's share of their size.
    assert large_head.logits(test.rows * 1000) == pytest.approx(small_head.logits(test.rows), abs=0.05)
