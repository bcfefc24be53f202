"""From a decoded image to the network's input tensor, as an input contract says.

Two implementations of one definition:

* :func:`fit_reference` in NumPy *is* the definition, to the bit: weights and sums are whole numbers,
  so no rounding error of any platform can show.
* :func:`fit_opencv` is the fast path. It may differ by one level of 255, and by 0.1 on average.

The result of each resampling step is rounded to whole levels (half up) before it is scaled. So a
device may hand the tensor over as 8-bit, and the two paths agree exactly on most pixels.
"""

from typing import Callable, NamedTuple, Tuple

import numpy as np

from legoclf.contract import InputContract
from legoclf.errors import missing_package

#: To be raised when any pixel comes out otherwise: features kept of another revision are not used.
REVISION = 1

Fit = Callable[[np.ndarray, InputContract], np.ndarray]


class Placement(NamedTuple):
    """Where the image's part goes: ``crop`` of the image, resized to ``size``, put at ``origin``.

    crop: top, left, height, width in image pixels. size: height, width; origin: top, left, both in
    pixels of the network's input.
    """

    crop: Tuple[int, int, int, int]
    size: Tuple[int, int]
    origin: Tuple[int, int]


def place(height: int, width: int, contract: InputContract) -> Placement:
    """Where an image of ``height`` x ``width`` pixels goes under the contract's geometry.

    Sides are rounded half up, and the odd pixel of a centred crop or border goes to the far side.
    """
    out_h, out_w = contract.height, contract.width
    if contract.geometry == "centre-crop":
        crop_h = min(height, max(1, _divide(width * out_h, out_w)))
        crop_w = min(width, max(1, _divide(height * out_w, out_h)))
        top, left = (height - crop_h) // 2, (width - crop_w) // 2
        return Placement((top, left, crop_h, crop_w), (out_h, out_w), (0, 0))
    if contract.geometry == "pad":
        fit_h = min(out_h, max(1, _divide(height * out_w, width)))
        fit_w = min(out_w, max(1, _divide(width * out_h, height)))
        origin = ((out_h - fit_h) // 2, (out_w - fit_w) // 2)
        return Placement((0, 0, height, width), (fit_h, fit_w), origin)
    return Placement((0, 0, height, width), (out_h, out_w), (0, 0))


def fit_reference(image: np.ndarray, contract: InputContract) -> np.ndarray:
    """Resize an image to the network's input by exact arithmetic: the definition of the contract.

    Args:
        image: uint8 [H, W, 3], RGB.
        contract: the input contract.

    Returns:
        uint8 [contract.height, contract.width, 3] in the contract's colour order.
    """
    return _fit(image, contract, _resample_exact)


def fit_opencv(image: np.ndarray, contract: InputContract) -> np.ndarray:
    """:func:`fit_reference` by OpenCV: the same arguments and result, within one level of 255."""
    return _fit(image, contract, _resample_opencv)


def to_tensor(levels: np.ndarray, contract: InputContract) -> np.ndarray:
    """Scale fitted levels to the network's values.

    Args:
        levels: uint8 [H, W, 3] as :func:`fit_reference` returns it.

    Returns:
        float32 [3, H, W], ``level * scale + offset``; each operation rounds once, in float32.
    """
    planes = levels.transpose(2, 0, 1)
    tensor: np.ndarray = np.multiply(planes, np.float32(contract.scale), dtype=np.float32, order="C")
    if contract.offset:
        tensor += np.float32(contract.offset)
    return tensor


def preprocess(image: np.ndarray, contract: InputContract, fit: Fit = fit_reference) -> np.ndarray:
    """An image as the network's input.

    Args:
        image: uint8 [H, W, 3], RGB, upright.
        fit: :func:`fit_reference` or :func:`fit_opencv`.

    Returns:
        float32 [3, contract.height, contract.width].
    """
    return to_tensor(fit(image, contract), contract)


def fastest_fit() -> Fit:
    """:func:`fit_opencv` where OpenCV is installed, else :func:`fit_reference`."""
    try:
        import cv2  # noqa: F401
    except ImportError:
        return fit_reference
    return fit_opencv


def _fit(
    image: np.ndarray,
    contract: InputContract,
    resample: Callable[[np.ndarray, Tuple[int, int], str], np.ndarray],
) -> np.ndarray:
    _check_image(image)
    (top, left, height, width), size, origin = place(image.shape[0], image.shape[1], contract)
    part = image[top : top + height, left : left + width]
    resized = resample(part, size, contract.resample)
    if size != (contract.height, contract.width):
        canvas = np.zeros((contract.height, contract.width, 3), np.uint8)
        canvas[origin[0] : origin[0] + size[0], origin[1] : origin[1] + size[1]] = resized
        resized = canvas
    return resized[:, :, ::-1] if contract.colour_order == "BGR" else resized


def _check_image(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            "image: got {} {}, expected uint8 [H, W, 3] with at least one pixel".format(
                image.dtype, list(image.shape)
            )
        )


def _divide(numerator: int, denominator: int) -> int:
    """The quotient rounded half up."""
    return (2 * numerator + denominator) // (2 * denominator)


def _block_side(image: np.ndarray, size: Tuple[int, int]) -> int:
    """The largest whole factor by which both sides of an image can shrink without getting too small."""
    height, width = image.shape[:2]
    return int(max(1, min(height // size[0], width // size[1])))


def _trimmed(image: np.ndarray, side: int) -> np.ndarray:
    """The centred part of an image that is a whole number of ``side`` x ``side`` blocks."""
    height, width = (length // side * side for length in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def _resample_exact(image: np.ndarray, size: Tuple[int, int], resample: str) -> np.ndarray:
    if resample == "bilinear":
        return _weighted(image, size, _bilinear_weights)
    image = _block_means(image, _block_side(image, size))
    shrunk = (min(size[0], image.shape[0]), min(size[1], image.shape[1]))
    return _weighted(_weighted(image, shrunk, _area_weights), size, _bilinear_weights)


def _block_means(image: np.ndarray, side: int) -> np.ndarray:
    """The mean of each block of ``side`` x ``side`` pixels, rounded half up."""
    if side == 1:
        return image
    image = _trimmed(image, side)
    rows, columns = image.shape[0] // side, image.shape[1] // side
    total = image.reshape(rows, side, columns, side, 3).sum(axis=(1, 3), dtype=np.int64)
    means: np.ndarray = (2 * total + side * side) // (2 * side * side)
    return means.astype(np.uint8)


def _weighted(
    image: np.ndarray, size: Tuple[int, int], weights: Callable[[int, int], Tuple[np.ndarray, int]]
) -> np.ndarray:
    """Apply whole-number weights along both axes, then divide once, rounding half up.

    float64 holds whole numbers up to 2**53 exactly; the largest sum here is 255 times the pixels of
    the image, or 255 * 4 times those of the input, far below that.
    """
    if size == image.shape[:2]:
        return image
    rows, row_sum = weights(image.shape[0], size[0])
    columns, column_sum = weights(image.shape[1], size[1])
    total = np.tensordot(rows, image.astype(np.float64), axes=(1, 0))
    total = np.tensordot(columns, total, axes=(1, 1)).transpose(1, 0, 2)
    divisor = row_sum * column_sum
    return ((2 * total.astype(np.int64) + divisor) // (2 * divisor)).astype(np.uint8)


def _area_weights(length: int, out: int) -> Tuple[np.ndarray, int]:
    """How much of each source pixel lies in each output pixel, in units of 1/out of a source pixel."""
    edges = np.arange(out + 1, dtype=np.int64)[:, None] * length
    pixels = np.arange(length, dtype=np.int64)[None, :] * out
    overlap = np.minimum(edges[1:], pixels + out) - np.maximum(edges[:-1], pixels)
    return np.maximum(overlap, 0).astype(np.float64), length


def _bilinear_weights(length: int, out: int) -> Tuple[np.ndarray, int]:
    """Weights of the two nearest source pixels; centres at half-integers, edges repeated."""
    # The centre of output pixel i is at (i + 1/2) * length / out - 1/2; in units of 1 / (2 * out):
    centre = (2 * np.arange(out, dtype=np.int64) + 1) * length - out
    lower, fraction = centre // (2 * out), centre % (2 * out)
    weights = np.zeros((out, length))
    rows = np.arange(out)
    np.add.at(weights, (rows, np.clip(lower, 0, length - 1)), 2 * out - fraction)
    np.add.at(weights, (rows, np.clip(lower + 1, 0, length - 1)), fraction)
    return weights, 2 * out


def _resample_opencv(image: np.ndarray, size: Tuple[int, int], resample: str) -> np.ndarray:
    try:
        import cv2
    except ImportError as error:
        raise missing_package("opencv-python-headless", "train") from error

    height, width = image.shape[:2]
    if resample == "area":
        side = _block_side(image, size)
        if side > 1:
            image = _trimmed(image, side)
            height, width = image.shape[0] // side, image.shape[1] // side
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        # INTER_AREA averages only where both sides shrink (or stay); else it is another bilinear.
        shrunk = (min(size[0], height), min(size[1], width))
        if shrunk != (height, width):
            image = cv2.resize(image, shrunk[::-1], interpolation=cv2.INTER_AREA)
    if image.shape[:2] != size:
        # In float32: OpenCV's 8-bit INTER_LINEAR is off by 0.13 of a level on average, and no faster.
        image = cv2.resize(np.float32(image), size[::-1], interpolation=cv2.INTER_LINEAR)
        # convertScaleAbs rounds halves to even; the small offset makes them round up, as defined.
        image = cv2.convertScaleAbs(image, alpha=1.0, beta=2.0**-10)
    return image
