"""The NumPy reference against figures worked out by hand, and the OpenCV path against the reference."""

from fractions import Fraction

import numpy as np
import pytest

from legoclf.contract import GEOMETRIES, RESAMPLES, unit_range_contract
from legoclf.preprocess import fit_opencv, fit_reference, place, preprocess, to_tensor

SIZES = [(480, 640), (63, 71), (448, 448), (300, 100), (1, 1), (1000, 37), (225, 223), (224, 224)]


def grey(rows):
    """An image whose three channels are alike, from rows of levels."""
    return np.repeat(np.array(rows, np.uint8)[:, :, None], 3, axis=2)


def fitted(rows, **fields):
    """The first channel of a grey image fitted to a contract, as nested lists."""
    contract = unit_range_contract(fields.pop("width"), fields.pop("height"))._replace(**fields)
    return fit_reference(grey(rows), contract)[:, :, 0].tolist()


def noise(height, width):
    return np.random.RandomState(height + width).randint(0, 256, (height, width, 3)).astype(np.uint8)


def test_area_averages_the_pixels_that_an_output_pixel_covers():
    assert fitted([[10, 20, 30, 40]], width=2, height=1) == [[15, 35]]


def test_area_counts_a_pixel_that_is_cut_by_its_covered_share():
    # Three pixels on two: each output covers one and a half. (2 * 0 + 1 * 90) / 3 and (90 + 2 * 30) / 3.
    assert fitted([[0, 90, 30]], width=2, height=1) == [[30, 50]]


def test_area_shrinks_by_the_largest_whole_factor_first():
    """6 x 6 on 2 x 2: blocks of 3 x 3. The level 255 of one pixel in nine is 28.33."""
    rows = np.zeros((6, 6), int)
    rows[0, 5] = 255
    assert fitted(rows, width=2, height=2) == [[0, 28], [0, 0]]


def test_whole_blocks_are_taken_from_the_middle():
    """5 pixels on 2: two blocks of 2, the odd pixel is the last one."""
    rows = [[10, 20, 30, 40, 99]] * 2
    assert fitted(rows, width=2, height=1) == [[15, 35]]


def test_enlarging_puts_pixel_centres_at_half_integers_and_repeats_the_edge():
    assert fitted([[0, 100]], width=4, height=1) == [[0, 25, 75, 100]]


def test_bilinear_samples_where_area_averages():
    rows = [[0, 0, 0, 255, 0, 0]]
    assert fitted(rows, width=2, height=1, resample="bilinear") == [[0, 0]]
    assert fitted(rows, width=2, height=1, resample="area") == [[0, 85]]


def test_halves_round_up():
    assert fitted([[10, 11]], width=1, height=1) == [[11]]


def test_an_image_of_the_input_size_passes_unchanged():
    image = noise(224, 224)
    assert np.array_equal(fit_reference(image, unit_range_contract(224, 224)), image)


def test_centre_crop_keeps_the_middle_of_the_longer_side():
    rows = [[1, 2, 3, 4, 5, 6]] * 2
    assert fitted(rows, width=2, height=2, geometry="centre-crop") == [[3, 4], [3, 4]]


def test_pad_puts_black_around_the_whole_image():
    assert fitted([[9, 9, 9, 9]] * 2, width=4, height=4, geometry="pad") == [
        [0, 0, 0, 0],
        [9, 9, 9, 9],
        [9, 9, 9, 9],
        [0, 0, 0, 0],
    ]


def test_bgr_turns_the_channels_round():
    image = np.array([[[1, 2, 3]]], np.uint8)
    contract = unit_range_contract(1, 1)._replace(colour_order="BGR")
    assert fit_reference(image, contract).tolist() == [[[3, 2, 1]]]


def test_scale_and_offset_make_the_value_of_a_level():
    contract = unit_range_contract(2, 1)._replace(scale=2.0 / 255.0, offset=-1.0)
    tensor = to_tensor(grey([[0, 255]]), contract)
    assert tensor.tolist() == [[[-1.0, 1.0]]] * 3


def test_the_tensor_is_float32_with_channels_first_and_contiguous():
    tensor = preprocess(noise(5, 7), unit_range_contract(4, 3))
    assert (tensor.dtype, tensor.shape) == (np.float32, (3, 3, 4))
    assert tensor.flags.c_contiguous


@pytest.mark.parametrize(("height", "width"), [(7, 5), (3, 11), (10, 4)])
def test_the_reference_is_exact_area_arithmetic(height, width):
    """Against the definition in fractions: mean over the covered rectangle, rounded half up."""
    image, out = noise(height, width), 3

    def share(source, target, length):
        low = max(Fraction(source), Fraction(target * length, out))
        high = min(Fraction(source + 1), Fraction((target + 1) * length, out))
        return max(Fraction(0), high - low) * Fraction(out, length)

    expected = np.zeros((out, out), np.uint8)
    for row in range(out):
        for column in range(out):
            total = sum(
                int(image[y, x, 0]) * share(y, row, height) * share(x, column, width)
                for y in range(height)
                for x in range(width)
            )
            expected[row, column] = int(total + Fraction(1, 2))
    assert np.array_equal(fit_reference(image, unit_range_contract(out, out))[:, :, 0], expected)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("resample", RESAMPLES)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_opencv_is_within_one_level_and_a_tenth_on_average(height, width, resample, geometry):
    """DESIGN's bound. Noise is the hardest image: neighbours differ by as much as they can."""
    pytest.importorskip("cv2", reason="the fast path needs OpenCV")
    contract = unit_range_contract(224, 224)._replace(resample=resample, geometry=geometry)
    image = noise(height, width)
    difference = np.abs(fit_opencv(image, contract).astype(int) - fit_reference(image, contract))
    assert difference.max() <= 1
    assert difference.mean() <= 0.1


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize(("height", "width"), [(1, 5000), (5000, 1)])
def test_a_sliver_still_has_a_place(height, width, geometry):
    placement = place(height, width, unit_range_contract(224, 224)._replace(geometry=geometry))
    assert min(placement.crop[2:] + placement.size) >= 1


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_an_array_that_is_no_rgb_image_is_refused_with_its_shape(image):
    with pytest.raises(ValueError, match="expected uint8"):
        fit_reference(image, unit_range_contract(2, 2))
