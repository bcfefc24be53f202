"""The default head: at the minimum it claims, with the L2 that serves validation, refit on all it may see."""

import numpy as np
import pytest
from clusters import NOTHING, accuracy, clusters

from legoclf.retrain import heads, lbfgs
from legoclf.retrain.heads import Features
from legoclf.retrain.lbfgs import IterationCallback, train_lbfgs


def minimum(train: Features, strength: float) -> np.ndarray:
    """Parameters [D + 1, 2] where the minimiser ends, from zero."""
    return lbfgs._minimise(train, 2, strength, np.zeros((17, 2)), lbfgs._Progress(), None)


def test_lbfgs_ends_where_the_gradient_is_zero() -> None:
    """At the minimum the data gradient equals minus strength times the weights."""
    train, strength = clusters([30, 30]), 0.01
    found = minimum(train, strength)
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
    chosen = train_lbfgs(train, validation, 2).how["l2"]
    assert isinstance(chosen, float)
    loss = {}
    centre = train.rows.mean(axis=0)
    scale = 1 / np.sqrt(np.square(train.rows - centre).mean())
    scaled = Features((train.rows - centre) * scale, train.labels)
    for strength in lbfgs.L2_GRID:
        found = minimum(scaled, strength)
        logits = (validation.rows - centre) * scale @ found[:-1] + found[-1]
        loss[strength] = heads.accuracy_and_cross_entropy(logits, validation.labels)[1]
    # Two weaker ones that each gain less than the least end the search.
    assert loss[chosen] <= min(loss.values()) + 2 * lbfgs.L2_LEAST_GAIN


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


def test_the_head_learns_from_validation_images_too_and_tells_what_it_said_before() -> None:
    """A class that only validation has is learnt by the refit, and was not known before."""
    train, validation = clusters([10, 10]), clusters([10, 10, 10], seed=3)
    head = train_lbfgs(train, validation, 3)
    assert accuracy(head, validation) == 1.0
    assert head.validation_logits is not None
    before = head.validation_logits.argmax(axis=1)
    assert np.array_equal(before[:20], validation.labels[:20])
    assert not np.any(before[20:] == 2)


def test_without_validation_images_nothing_is_said_of_them() -> None:
    assert train_lbfgs(clusters([10, 10]), NOTHING, 2).validation_logits is None


def test_each_iteration_tells_its_loss_and_accuracy() -> None:
    told: list[tuple[float, float]] = []
    train_lbfgs(clusters([10, 10]), NOTHING, 2, lambda *figures: told.append(figures))
    assert told[-1][0] < told[0][0]
    assert told[-1][1] == 1.0


def interrupt_at(iteration: int) -> IterationCallback:
    """Ctrl-C after some iterations."""
    left = iter(range(iteration))

    def on_iteration(_: float, __: float) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return on_iteration


@pytest.mark.parametrize("iteration", [0, 3, 12])
def test_ctrl_c_ends_with_the_best_head_so_far(iteration: int) -> None:
    train, validation = clusters([20, 20], spread=2.0), clusters([10, 10], spread=2.0, seed=1)
    head = train_lbfgs(train, validation, 2, interrupt_at(iteration), keep_on_interrupt=True)
    assert head.how["interrupted"]
    assert accuracy(head, train) > 0.5


def test_ctrl_c_is_passed_on_where_nothing_is_to_be_kept() -> None:
    with pytest.raises(KeyboardInterrupt):
        train_lbfgs(clusters([20, 20]), NOTHING, 2, interrupt_at(2))


def told_of_validation(validation: Features) -> tuple[heads.Head, list[tuple[int, float, float]]]:
    """A head, and what was told of the validation images: the iteration, accuracy and cross entropy."""
    iterations: list[tuple[float, float]] = []
    told: list[tuple[int, float, float]] = []
    head = train_lbfgs(
        clusters([20, 20], spread=3.0),
        validation,
        2,
        lambda *figures: iterations.append(figures),
        on_validation=lambda *figures: told.append((len(iterations), *figures)),
    )
    return head, told


def test_validation_is_told_along_the_iterations_and_gets_better() -> None:
    _, told = told_of_validation(clusters([20, 20], spread=3.0, seed=1))
    assert len(told) >= 3  # at the end of each strength at least
    assert [at for at, _, _ in told] == sorted(at for at, _, _ in told)
    assert min(loss for _, _, loss in told) < np.log(2)


def test_what_is_told_of_validation_is_what_the_head_said_of_it() -> None:
    validation = clusters([20, 20], spread=3.0, seed=1)
    head, told = told_of_validation(validation)
    assert head.validation_logits is not None
    said = heads.accuracy_and_cross_entropy(head.validation_logits, validation.labels)
    assert said in [(accuracy_then, loss) for _, accuracy_then, loss in told]


def test_without_validation_images_there_is_nothing_to_tell() -> None:
    assert told_of_validation(NOTHING)[1] == []


def test_who_listens_changes_no_bit_of_the_weights() -> None:
    train, validation = clusters([20, 20], spread=3.0), clusters([20, 20], spread=3.0, seed=1)
    alone, heard = train_lbfgs(train, validation, 2), told_of_validation(validation)[0]
    assert np.array_equal(alone.weights, heard.weights)
    assert np.array_equal(alone.bias, heard.bias)
