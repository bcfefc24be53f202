"""The distance in feature space, and what it is for an image left out of the fit."""

import numpy as np
import pytest

from legoclf.retrain.distance import distances_left_out, fit_distance, weighted
from legoclf.retrain.heads import Features
from legoclf.retrain.novelty import auroc


def features(images: int, size: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clouds of unequal directions about class means: float32 [images, size] and their labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    means = 3 * random.normal(size=(classes, size))
    scattered = random.normal(size=(images, size)) * np.linspace(0.2, 2, size)
    return (means[labels] + scattered).astype(np.float32), labels


def fitted_without_each(rows: np.ndarray, labels: np.ndarray, weight: float) -> np.ndarray:
    """What distances_left_out gives in one go: a fit for every image."""
    found = []
    for index in range(len(rows)):
        novelty = weighted(fit_distance(np.delete(rows, index, axis=0), np.delete(labels, index)), weight)
        found.append(novelty.of(rows[index : index + 1], np.zeros((1, 1), np.float32))[0])
    return np.array(found)


# The scale is that of all images and not of the rest, and the shrinkage's level is left as it is: both differ
# by about one part in the number of images.
@pytest.mark.parametrize(
    ("images", "size", "classes"),
    [(200, 40, 10), (240, 120, 3)],
    ids=["more images than features", "two for each feature"],
)
def test_an_image_left_out_is_as_far_as_from_a_fit_without_it(images: int, size: int, classes: int) -> None:
    rows, labels = features(images, size, classes)
    novelty = weighted(fit_distance(rows, labels), 0.0)
    expected = fitted_without_each(rows, labels, 0.0)
    np.testing.assert_allclose(distances_left_out(rows, labels, novelty), expected, rtol=0.1)
    assert np.median(distances_left_out(rows, labels, novelty) / expected) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("weight", [0.0, 3.0], ids=["in Fisher's subspace", "off that of the images too"])
def test_images_left_out_are_as_far_as_new_ones_where_features_outnumber_them(weight: float) -> None:
    rows, labels = features(1200, 300, 8)
    known, new = slice(0, 200), slice(200, None)
    novelty = weighted(fit_distance(rows[known], labels[known]), weight)
    left_out = distances_left_out(rows[known], labels[known], novelty)
    strange = novelty.of(rows[new], np.zeros((1000, 1), np.float32))
    # 200 values tell a median to about 4 %; images in the fit are at half of this distance.
    assert np.median(left_out) == pytest.approx(np.median(strange), rel=0.06)


def test_classes_of_two_images_can_spare_one() -> None:
    rows, labels = features(16, 30, 8)
    found = distances_left_out(rows, labels, fit_distance(rows, labels))
    assert np.isfinite(found).all()


def test_classes_with_the_same_mean_give_finite_distances() -> None:
    rows, labels = features(40, 20, 2)
    twice, names = np.concatenate([rows, rows]), np.concatenate([labels, labels + 2])
    assert np.isfinite(distances_left_out(twice, names, fit_distance(twice, names))).all()


def test_features_that_are_all_alike_give_finite_distances() -> None:
    rows, labels = np.full((12, 6), 0.25, np.float32), np.arange(12) % 3
    assert np.isfinite(distances_left_out(rows, labels, fit_distance(rows, labels))).all()


def test_what_differs_in_a_direction_in_which_classes_do_not_is_far() -> None:
    """Two classes differ in one direction, and a stranger from both in another: the residual sees it."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)

    def rows() -> np.ndarray:
        found = random.normal(0, 0.05, (80, 60))
        found[:, :8] += random.normal(0, 1, (80, 8))
        found[:, 0] += 6 * labels
        return found.astype(np.float32)

    strange = rows()
    strange[:, 50] += 1
    plain = fit_distance(rows(), labels)
    zeros = np.zeros((80, 2), np.float32)
    near, far = (
        auroc(each.of(rows(), zeros), each.of(strange, zeros))
        for each in (weighted(plain, 0.0), weighted(plain, 3.0))
    )
    assert far > near + 0.1


def test_features_that_are_all_alike_give_finite_numbers() -> None:
    """A network that sees nothing: every image has the same features."""
    alike = Features(np.ones((20, 4), np.float32), np.repeat([0, 1], 10))
    novelty = fit_distance(alike.rows, alike.labels)
    assert np.isfinite(novelty.of(np.ones((3, 4), np.float32) * 2, np.zeros((3, 2), np.float32))).all()


def test_rounding_is_not_scaled_up_to_a_distance() -> None:
    """Features that fill two of four dimensions: what lies off them is rounding, and counts for nothing."""
    random = np.random.default_rng(0)
    flat = (random.normal(0, 1, (60, 2)) @ random.normal(0, 1, (2, 4))).astype(np.float32)
    assert fit_distance(flat, np.repeat([0, 1, 2], 20)).residual_scale == 0
