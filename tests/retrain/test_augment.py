"""Augmented views: retrain.py's distortions, the same for the same image whatever else is done."""

import numpy as np
import pytest

from legoclf.contract import unit_range_contract
from legoclf.errors import UsageError
from legoclf.preprocess import fit_reference, preprocess
from legoclf.retrain.augment import Augmentation, augmented_view, view_random

CONTRACT = unit_range_contract(32, 24)
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
RAMP = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None] * 4, 48, axis=0).repeat(3, axis=2)


def views(image: np.ndarray, count: int, **distortion: int) -> list[np.ndarray]:
    augmentation = Augmentation(**distortion)  # type: ignore[arg-type]
    return [
        augmented_view(image, CONTRACT, augmentation, view_random(0, "content", view), fit_reference)
        for view in range(1, count + 1)
    ]


def test_without_distortion_a_view_is_the_plain_tensor() -> None:
    assert np.array_equal(views(IMAGE, 1)[0], preprocess(IMAGE, CONTRACT))


def test_about_half_of_the_views_are_mirrored() -> None:
    mirrored = [view[0, 0, 0] > view[0, 0, -1] for view in views(RAMP, 200, flip_left_right=True)]
    # Five standard deviations of a fair coin thrown 200 times are 35.
    assert 65 < sum(mirrored) < 135


def test_a_mirrored_view_is_the_plain_one_turned_round() -> None:
    plain = preprocess(IMAGE, CONTRACT)
    for view in views(IMAGE, 10, flip_left_right=True):
        assert np.array_equal(view, plain) or np.array_equal(view, plain[:, :, ::-1])


def test_brightness_stays_within_its_percentage_and_is_not_clipped() -> None:
    white = np.full((48, 64, 3), 255, np.uint8)
    factors = [float(view.max()) for view in views(white, 200, random_brightness=20)]
    assert 0.8 <= min(factors) < 0.82
    assert 1.18 < max(factors) <= 1.2


def test_a_crop_shows_a_part_of_the_enlarged_image() -> None:
    """A crop of 50 % enlarges by half, so a view spans two thirds of the ramp."""
    spans = [float(view[0, 0, -1] - view[0, 0, 0]) for view in views(RAMP, 20, random_crop=50)]
    assert spans == pytest.approx([2 / 3 * 252 / 255] * 20, abs=0.03)


def test_crops_reach_both_edges() -> None:
    starts = [float(view[0, 0, 0]) for view in views(RAMP, 200, random_crop=50)]
    assert min(starts) < 0.02
    assert max(starts) > 0.30


def test_scale_enlarges_by_up_to_its_percentage() -> None:
    spans = [float(view[0, 0, -1] - view[0, 0, 0]) for view in views(RAMP, 200, random_scale=100)]
    assert 0.45 < min(spans) < 0.55
    assert max(spans) > 0.93


@pytest.mark.parametrize("distortion", ["random_crop", "random_scale", "random_brightness"])
def test_every_view_has_the_size_of_the_input(distortion: str) -> None:
    assert {view.shape for view in views(IMAGE, 20, **{distortion: 37})} == {(3, 24, 32)}


def test_a_view_depends_on_seed_content_and_number_alone() -> None:
    def numbers(*key: object) -> list[float]:
        return view_random(*key).random(3).tolist()  # type: ignore[arg-type]

    assert numbers(0, "abc", 1) == numbers(0, "abc", 1)
    assert (
        len({tuple(numbers(*key)) for key in ((0, "abc", 1), (1, "abc", 1), (0, "abd", 1), (0, "abc", 2))})
        == 4
    )


@pytest.mark.parametrize("name", ["random_crop", "random_scale", "random_brightness"])
@pytest.mark.parametrize("value", [-1, 101])
def test_a_percentage_outside_0_to_100_is_refused_by_its_flag(name: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"--{name}: got {value}"):
        Augmentation(**{name: value})  # type: ignore[arg-type]


def test_turned_by_up_to_180_degrees_a_ramp_comes_out_both_ways() -> None:
    rises = [float(view[0, 12, 28] - view[0, 12, 4]) for view in views(RAMP, 50, random_rotation=180)]
    assert min(rises) < -0.3
    assert max(rises) > 0.3


def test_upside_down_is_every_second_view() -> None:
    plain = preprocess(IMAGE, CONTRACT)
    turned = [np.array_equal(view, plain[:, ::-1]) for view in views(IMAGE, 40, flip_up_down=True)]
    assert 5 < sum(turned) < 35


def test_a_zoom_of_half_shows_up_to_twice_and_down_to_two_thirds() -> None:
    spans = [float(view[0, 12, 20] - view[0, 12, 11]) for view in views(RAMP, 100, random_zoom=50)]
    plain = float(preprocess(RAMP, CONTRACT)[0, 12, 20] - preprocess(RAMP, CONTRACT)[0, 12, 11])
    # Levels are whole: one of 255 either way.
    assert min(spans) >= plain / 1.5 - 2 / 255
    assert max(spans) <= plain / 0.5 + 2 / 255
    assert max(spans) - min(spans) > plain / 2


def test_grey_with_other_colours_is_no_longer_grey() -> None:
    grey = np.full((48, 64, 3), 128, np.uint8)
    assert all(np.ptp(view[:, 0, 0]) > 0 for view in views(grey, 20, random_colour=20))


def test_erasing_takes_a_rectangle_of_every_view_at_100_percent_and_of_none_at_0() -> None:
    plain = preprocess(IMAGE, CONTRACT)
    for view in views(IMAGE, 20, random_erasing=100):
        changed = (view != plain).any(axis=0)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert all(np.array_equal(view, plain) for view in views(IMAGE, 5, random_erasing=0))


def test_an_angle_beyond_its_range_is_refused() -> None:
    with pytest.raises(UsageError, match="random_shear: got 61, expected degrees, 0 to 60"):
        Augmentation(random_shear=61)
