"""Classes of unequal size: what each way of balancing does to the small class, and what is said of it."""

from collections.abc import Callable

import numpy as np
import pytest
from clusters import NOTHING, clusters

from legoclf.data.dataset import DataSet, ImageItem
from legoclf.errors import UsageError
from legoclf.retrain.balance import class_weights, imbalance
from legoclf.retrain.heads import Features, Head, SgdSettings, train_sgd
from legoclf.retrain.lbfgs import train_lbfgs

UNEVEN = clusters([400, 8], spread=3.0)
FRESH = clusters([200, 200], spread=3.0, seed=1)
STEPS = SgdSettings(how_many_training_steps=600, learning_rate=0.1, eval_step_interval=600)


def minority_recall(head: Head) -> float:
    """Share of fresh rows of the small class that are found."""
    rows = FRESH.rows[FRESH.labels == 1]
    return float((head.logits(rows).argmax(axis=1) == 1).mean())


def by_sgd(balance: str, train: Features = UNEVEN) -> Head:
    return train_sgd(train, NOTHING, 2, STEPS, 0, lambda _: None, balance=balance)


def by_lbfgs(balance: str, train: Features = UNEVEN) -> Head:
    return train_lbfgs(train, NOTHING, 2, balance=balance)


@pytest.mark.parametrize("balance", ["sample", "weight"])
def test_balanced_sgd_finds_the_small_class_more_often(balance: str) -> None:
    assert minority_recall(by_sgd(balance)) > minority_recall(by_sgd("none")) + 0.2


def test_balanced_lbfgs_finds_the_small_class_more_often() -> None:
    assert minority_recall(by_lbfgs("weight")) > minority_recall(by_lbfgs("none")) + 0.2


def test_sampling_and_weighting_are_one_and_the_same_to_lbfgs() -> None:
    assert np.array_equal(by_lbfgs("sample").weights, by_lbfgs("weight").weights)


def test_sampling_is_the_default_of_both_heads() -> None:
    assert np.array_equal(
        by_sgd("sample").weights, train_sgd(UNEVEN, NOTHING, 2, STEPS, 0, lambda _: None).weights
    )
    assert np.array_equal(by_lbfgs("sample").weights, train_lbfgs(UNEVEN, NOTHING, 2).weights)


def test_a_head_tells_of_another_balance_than_the_default() -> None:
    assert by_lbfgs("none").how["balance"] == by_sgd("none").how["balance"] == "none"


def test_where_classes_are_of_a_size_weighting_changes_nothing() -> None:
    even = clusters([40, 40])
    assert np.array_equal(by_sgd("weight", even).weights, by_sgd("none", even).weights)


@pytest.mark.parametrize("train", [by_sgd, by_lbfgs])
def test_an_unknown_balance_is_refused(train: Callable[[str], Head]) -> None:
    with pytest.raises(UsageError, match="--balance even: expected sample, weight, none"):
        train("even")


def test_weights_of_images_sum_to_the_same_for_each_class_and_are_one_in_the_mean() -> None:
    labels = np.array([0] * 9 + [2] * 3)
    weights = class_weights(labels)
    assert weights[labels == 0].sum() == pytest.approx(weights[labels == 2].sum())
    assert weights.mean() == pytest.approx(1.0)


def data_set(**images: int) -> DataSet:
    """So many training images of each class, and one test image."""
    items = [
        ImageItem(f"/{label}/{number}", f"{label}/{number}", index, "train" if number else "test")
        for index, (label, count) in enumerate(images.items())
        for number in range(count + 1)
    ]
    return DataSet("/", list(images), items)


def test_uneven_classes_are_told_of_by_name_and_number() -> None:
    line = imbalance(data_set(plate=40, brick=400, tile=25))
    assert line is not None
    assert "'brick' has 400 training images, 'tile' 25, 16 to 1" in line


def test_the_line_on_uneven_classes_says_how_to_have_them_count_alike() -> None:
    line = imbalance(data_set(plate=40, brick=400), "none")
    assert line is not None
    assert "--balance sample or weight" in line


def test_classes_of_about_a_size_are_not_told_of() -> None:
    assert imbalance(data_set(plate=40, brick=100)) is None
