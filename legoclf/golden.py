"""golden.npz, read and checked: images, the tensors they must become, the answers they must give."""

import zipfile
from typing import Any, Dict, List, NamedTuple

import numpy as np

from legoclf.bundle import GOLDEN_FILE, Bundle
from legoclf.errors import BundleError


class Golden(NamedTuple):
    """The arrays of docs/bundle.md section 4.

    images: uint8 [H, W, 3] each, RGB. tensors: float32 [N, 3, H, W]. logits, probabilities: float32 [N, C].
    The bounds are in levels of 255, in logits, and in probabilities.
    """

    images: List[np.ndarray]
    tensors: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray
    bound_levels_max: float
    bound_levels_mean: float
    bound_logits_fp32: float
    bound_probabilities_fp16: float


def read_golden(bundle: Bundle) -> Golden:
    """The golden images of a bundle.

    Raises:
        BundleError: there is no golden.npz, it cannot be read, or an array is missing or does not fit the
            bundle's contract and labels.
    """
    path = bundle.file(GOLDEN_FILE)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found: Dict[str, Any] = {name: _array(arrays, name) for name in Golden._fields[1:]}
            count = len(found["tensors"])
            images = [_array(arrays, "image_{}".format(index)) for index in range(count)]
        found.update((name, float(found[name])) for name in found if name.startswith("bound_"))
        golden = Golden(images, **found)
        _check(golden, bundle)
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(
            "{}: cannot be used: {}; copy the bundle again, or make it again with `legoclf retrain`".format(
                path, error
            )
        ) from error
    return golden


def _array(arrays: Any, name: str) -> np.ndarray:
    if name not in arrays.files:
        raise ValueError("has no array {!r}".format(name))
    array: np.ndarray = arrays[name]
    return array


def _check(golden: Golden, bundle: Bundle) -> None:
    count, classes = len(golden.images), len(bundle.labels)
    if not count:
        raise ValueError("holds no image")
    expected = {
        "tensors": (count, 3, bundle.contract.height, bundle.contract.width),
        "logits": (count, classes),
        "probabilities": (count, classes),
    }
    for name, shape in expected.items():
        got = getattr(golden, name).shape
        if got != shape:
            raise ValueError(
                "{}: got {}, expected {} by the labels and the contract".format(name, list(got), list(shape))
            )
