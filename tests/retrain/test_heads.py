"""retrain.py's SGD, step by step."""

import numpy as np
import pytest
from clusters import NOTHING, accuracy, clusters

from legoclf.retrain import heads
from legoclf.retrain.heads import (
    BalancedSampler,
    Evaluation,
    Features,
    SgdSettings,
    StepCallback,
    train_sgd,
)


def ignore(_: Evaluation) -> None:
    """An evaluation nobody looks at."""


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


def interrupt_at(step: int) -> StepCallback:
    """Ctrl-C in the midst of a step."""

    def on_step(now: int, _: heads.Head) -> None:
        if now == step:
            raise KeyboardInterrupt

    return on_step


def test_ctrl_c_ends_with_the_head_of_the_steps_made() -> None:
    train = clusters([20, 20])
    kept = train_sgd(train, NOTHING, 2, SgdSettings(), 0, ignore, interrupt_at(7), keep_on_interrupt=True)
    eight = train_sgd(train, NOTHING, 2, SgdSettings(how_many_training_steps=8), 0, ignore)
    assert np.array_equal(kept.weights, eight.weights)
    assert kept.how["interrupted"]


@pytest.mark.parametrize(("step", "keep"), [(0, True), (7, False)])
def test_ctrl_c_is_passed_on_at_the_first_step_and_where_nothing_is_to_be_kept(step: int, keep: bool) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_sgd(clusters([5, 5]), NOTHING, 2, SgdSettings(), 0, ignore, interrupt_at(step), keep)
