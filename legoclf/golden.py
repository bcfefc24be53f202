"""golden.npz, read and checked: images, the tensors they must become, the answers they must give."""

import zipfile
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from legoclf.bundle import GOLDEN_FILE, Bundle
from legoclf.errors import BundleError
from legoclf.novelty import OUTPUT, NoveltyRule, judge

#: Most that a novelty may differ by on an FP32 path; of one beyond 1 it is a share. Where images differ by a
#: hundredth of their features' length, a distance has a hundred times the rounding of those, which is 1e-6.
NOVELTY_BOUND_FP32 = 1e-3

#: On other paths rounding moves a novelty: one that is nearer to the threshold than this, as a share of it,
#: may come to lie on its other side.
NOVELTY_MARGIN = 0.1


class Golden(NamedTuple):
    """The arrays of docs/bundle.md section 4.

    images: uint8 [H, W, 3] each, RGB. tensors: float32 [N, 3, H, W]. logits, probabilities: float32 [N, C].
    The bounds are in levels of 255, in logits, and in probabilities.
    novelty: float32 [N]; None where the graph gives none, and in bundles from before it was stored.
    """

    images: List[np.ndarray]
    tensors: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray
    bound_levels_max: float
    bound_levels_mean: float
    bound_logits_fp32: float
    bound_probabilities_fp16: float
    novelty: Optional[np.ndarray] = None


#: Arrays that a file may lack.
_OPTIONAL = ("novelty",)


def read_golden(bundle: Bundle) -> Golden:
    """The golden images of a bundle.

    Raises:
        BundleError: there is no golden.npz, it cannot be read, or an array is missing or does not fit the
            bundle's contract and labels.
    """
    path = bundle.file(GOLDEN_FILE)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = [name for name in Golden._fields[1:] if name in arrays.files or name not in _OPTIONAL]
            found: Dict[str, Any] = {name: _array(arrays, name) for name in names}
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


def novelty_difference(novelty: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of [N] from [N], of an expected one beyond 1 as a share of it.

    Infinite where one is no finite number.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        differences = np.abs(novelty.astype(np.float64) - expected) / np.maximum(1, np.abs(expected))
    largest = float(differences.max())
    return largest if np.isfinite(largest) else np.inf


def novelty_fault(
    answers: Dict[str, np.ndarray], golden: Golden, rule: Optional[NoveltyRule], is_exact: bool
) -> str:
    """What is wrong with a graph's novelty of the golden tensors, in words; empty if nothing is.

    One that is exact is held to NOVELTY_BOUND_FP32. Of another, what is clearly unknown must be unknown, and
    what is clearly known must be known.

    Args:
        answers: name to array; has ``probabilities``, [N, C], and may have ``novelty``.
        rule: the bundle's.
        is_exact: the graph is computed in full FP32.

    Raises:
        LegoclfError: the novelty is not one number an image.
    """
    novelty, is_novel = judge(answers, rule)
    if novelty is None:
        return ""
    if not np.isfinite(novelty).all():
        return "its {} is not a finite number".format(OUTPUT)
    if golden.novelty is None:
        return ""
    worst = novelty_difference(novelty, golden.novelty)
    if is_exact and worst > NOVELTY_BOUND_FP32:
        return "its {} differs by {:.2g} at most (bound {:.2g})".format(OUTPUT, worst, NOVELTY_BOUND_FP32)
    if rule is None or is_novel is None:
        return ""
    is_clear = np.abs(golden.novelty - rule.threshold) > NOVELTY_MARGIN * abs(rule.threshold)
    changed = int((is_clear & (is_novel != rule.is_novel(golden.novelty))).sum())
    if not changed:
        return ""
    told = "{} of {} golden images are unknown that should not be, or the other way; its {} differs by {:.2g}"
    return told.format(changed, len(novelty), OUTPUT, worst)


def _array(arrays: Any, name: str) -> np.ndarray:
    if name not in arrays.files:
        raise ValueError("has no array {!r}".format(name))
    array: np.ndarray = arrays[name]
    return array


def _check(golden: Golden, bundle: Bundle) -> None:
    count, classes = len(golden.images), len(bundle.labels)
    if not count:
        raise ValueError("holds no image")
    expected: Dict[str, Tuple[int, ...]] = {
        "tensors": (count, 3, bundle.contract.height, bundle.contract.width),
        "logits": (count, classes),
        "probabilities": (count, classes),
    }
    if golden.novelty is not None:
        expected["novelty"] = (count,)
    for name, shape in expected.items():
        got = getattr(golden, name).shape
        if got != shape:
            raise ValueError(
                "{}: got {}, expected {} by the labels and the contract".format(name, list(got), list(shape))
            )
