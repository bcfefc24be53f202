"""From a camera's frame to the network's input tensor: the interface, the CPU, and the check at start-up."""

from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple, Union

import numpy as np

from legoclf.contract import COLOUR_ORDERS, GEOMETRIES, RESAMPLES, InputContract
from legoclf.errors import UsageError
from legoclf.golden import Golden
from legoclf.jetson.frame import Frame, to_bgr
from legoclf.preprocess import fastest_fit, preprocess

#: x, y, width, height of a part of a frame, in pixels.
Roi = Tuple[int, int, int, int]


class Preprocessor(object):
    """What makes the network's input of a frame, as the bundle's contract says; for one thread."""

    def prepare(self, frame: Frame, roi: Optional[Roi] = None) -> np.ndarray:
        """The network's input for a frame, or for a part of it.

        Returns:
            float32 [3, contract.height, contract.width], the caller's own.

        Raises:
            UsageError: the part is not inside the frame.
        """
        raise NotImplementedError


class CpuPreprocessor(Preprocessor):
    """By OpenCV where it is installed, else by NumPy.

    Args:
        contract: the bundle's.
    """

    def __init__(self, contract: InputContract) -> None:
        # Resampling treats the channels alike: BGR goes in as it is, and they are put in order at the end.
        order = "RGB" if contract.colour_order == "BGR" else "BGR"
        self._contract = contract._replace(colour_order=order)
        self._fit = fastest_fit()
        self._frame: Optional[Frame] = None
        self._bgr = np.empty((0, 0, 3), np.uint8)

    def prepare(self, frame: Frame, roi: Optional[Roi] = None) -> np.ndarray:
        x, y, width, height = check_roi(frame, roi)
        if frame is not self._frame:  # the parts of one frame share its conversion
            self._bgr = to_bgr(frame)
            self._frame = frame
        return preprocess(self._bgr[y : y + height, x : x + width], self._contract, self._fit)


def check_roi(frame: Frame, roi: Optional[Roi]) -> Roi:
    """The part of a frame as x, y, width, height: ``roi``, or the whole.

    Raises:
        UsageError: it has no pixel, or one outside the frame.
    """
    if roi is None:
        return 0, 0, frame.width, frame.height
    x, y, width, height = roi
    if min(x, y) < 0 or min(width, height) < 1 or x + width > frame.width or y + height > frame.height:
        raise UsageError(
            "region of interest: got {},{},{},{} (x, y, width, height), "
            "expected a part of the frame's {}x{} pixels".format(
                x, y, width, height, frame.width, frame.height
            )
        )
    return x, y, width, height


class GoldenResult(NamedTuple):
    """How far prepared golden images are from the golden tensors, in levels of 255.

    levels_max: the largest difference of any value. levels_mean: the mean, of the image where it is largest.
    reason: why it did not pass, in words; empty if it did.
    """

    levels_max: float
    levels_mean: float
    passed: bool
    reason: str


def check_preprocessing(
    preprocessor: Union[Preprocessor, Callable[..., np.ndarray]],
    golden: Golden,
    contract: InputContract,
) -> GoldenResult:
    """Prepare the golden images as frames of a camera, and compare with the golden tensors.

    Args:
        preprocessor: the very one that will run, or its ``prepare``.
        contract: the bundle's; a difference is explained by the field that explains it.
    """
    prepare = preprocessor.prepare if isinstance(preprocessor, Preprocessor) else preprocessor
    expected = (len(golden.images), 3, contract.height, contract.width)
    if golden.tensors.shape != expected:
        reason = "the golden tensors are {}, the contract says {}".format(
            list(golden.tensors.shape), list(expected)
        )
        return GoldenResult(255.0, 255.0, False, reason)
    worst, mean = 0.0, 0.0
    for number, (image, tensor) in enumerate(zip(golden.images, golden.tensors)):
        # A sequence number of its own each: a preprocessor keeps what it has of a frame.
        frame = Frame(np.ascontiguousarray(image[:, :, ::-1]), "BGR", -1 - number, 0.0)
        difference = _levels(prepare(frame), tensor, contract)
        worst, mean = max(worst, float(difference.max())), max(mean, float(difference.mean()))
    passed = worst <= golden.bound_levels_max and mean <= golden.bound_levels_mean
    reason = "" if passed else _reason(worst, mean, golden, contract)
    return GoldenResult(worst, mean, passed, reason)


def _levels(got: np.ndarray, expected: np.ndarray, contract: InputContract) -> np.ndarray:
    """float64 [3, H, W]: differences in levels of 255; what is no finite number differs by 255."""
    difference = np.abs(got.astype(np.float64) - expected) / abs(contract.scale)
    # Dividing by the scale leaves a rounding error of float32, far below a level.
    return np.round(np.where(np.isfinite(difference), difference, 255.0), 3)


def _reason(worst: float, mean: float, golden: Golden, contract: InputContract) -> str:
    differs = (
        "levels differ by {:.3g} of 255 at most and {:.3g} on average (bounds {:.3g} and {:.3g})".format(
            worst, mean, golden.bound_levels_max, golden.bound_levels_mean
        )
    )
    suspect = _suspect(golden, contract)
    return "{}: {}".format(differs, suspect) if suspect else differs


def _suspect(golden: Golden, contract: InputContract) -> str:
    """Which field of the contract the golden tensors contradict, by trying the others; empty if none."""

    def fits(candidate: InputContract) -> bool:
        prepared = (preprocess(image, candidate) for image in golden.images)
        return all(
            _levels(one, tensor, candidate).max() < 0.5 for one, tensor in zip(prepared, golden.tensors)
        )

    if fits(contract):
        return "the contract fits the golden tensors, so this device prepares images otherwise"
    for name, values in (
        ("colour_order", COLOUR_ORDERS),
        ("geometry", GEOMETRIES),
        ("resample", RESAMPLES),
    ):
        for value in values:
            other: Dict[str, Any] = {name: value}
            if fits(contract._replace(**other)):
                return _contradiction(name, getattr(contract, name), value)
    scale, offset = _scale_and_offset(golden, contract)
    if fits(contract._replace(scale=scale, offset=offset)):
        if abs(scale - contract.scale) > 1e-4 * abs(scale):
            return _contradiction("scale", contract.scale, round(scale, 8))
        return _contradiction("offset", contract.offset, round(offset, 5) + 0.0)
    return ""


def _contradiction(name: str, said: Any, fitting: Any) -> str:
    return "model.json says input.{} {}, the golden tensors were made with {}".format(name, said, fitting)


def _scale_and_offset(golden: Golden, contract: InputContract) -> Tuple[float, float]:
    """Those with which the reference's levels come nearest to the golden tensors."""
    plain = contract._replace(scale=1.0, offset=0.0)
    levels = np.stack([preprocess(image, plain) for image in golden.images])
    scale, offset = np.polyfit(levels.ravel().astype(np.float64), golden.tensors.ravel(), 1)
    return float(scale) or 1.0, float(offset)
