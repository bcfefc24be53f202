"""Gates: how far a graph's answers may lie from the reference's, by precision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import floor, inf
from typing import TYPE_CHECKING

from legoclf.convert.verify_paths import FAMILIES, FP16, INT8
from legoclf.errors import UsageError
from legoclf.golden import NOVELTY_BOUND_FP32

if TYPE_CHECKING:
    from legoclf.convert.verify_compare import Comparison

#: The image sets that graphs are compared on.
GOLDEN, HELD_OUT = "golden", "held-out"


@dataclass(frozen=True)
class Check:
    """One comparison: what was compared, the figure, the most it may be, in which unit, and what mends it.

    file: the artefact that was judged, or "" where the machine or the bundle as a whole was.
    """

    name: str
    measured: float
    bound: float
    unit: str
    mend: str = ""
    file: str = ""

    @property
    def passed(self) -> bool:
        """Whether the figure is within its bound; NaN is not."""
        return self.measured <= self.bound


def _per_family(**values: float) -> Mapping[str, float]:
    return values


@dataclass(frozen=True)
class Limits:
    """Bounds by precision (``fp32``, ``fp16``, ``int8``).

    max_probability_difference: largest difference of one probability. FP32: TensorFlow and ONNX Runtime sum
        in another order. The others have none of their own: a share of images is what counts.
    max_novelty_difference: the same of the novelty, where the graphs give it; of one beyond 1 it is a share.
    min_same_top1: share of the images whose likeliest class is the reference's, and that are unknown, by the
        bundle's rule for novelty, to both or to neither.
    max_accuracy_drop: share of the images with a known class, 0.005 is half a point.
    """

    max_probability_difference: Mapping[str, float] = field(
        default_factory=lambda: _per_family(fp32=1e-4, fp16=inf, int8=inf)
    )
    max_novelty_difference: Mapping[str, float] = field(
        default_factory=lambda: _per_family(fp32=NOVELTY_BOUND_FP32, fp16=inf, int8=inf)
    )
    min_same_top1: Mapping[str, float] = field(
        default_factory=lambda: _per_family(fp32=1.0, fp16=0.995, int8=0.98)
    )
    max_accuracy_drop: Mapping[str, float] = field(
        default_factory=lambda: _per_family(fp32=0.0, fp16=0.005, int8=0.01)
    )


def parse_limit(flag: str, text: str, defaults: Mapping[str, float]) -> Mapping[str, float]:
    """A limit as a flag gives it: ``0.01`` for all precisions, or ``fp16=0.01,int8=0.02`` for some.

    Raises:
        UsageError: not a number from 0 to 1, or an unknown precision.
    """
    result = dict(defaults)
    for part in text.split(","):
        name, equals, value = part.rpartition("=")
        names = FAMILIES if not equals else (name.strip(),)
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not set(names) <= set(FAMILIES) or not 0 <= number <= 1:
            raise UsageError(
                f"--{flag}: got {text!r}, expected a number from 0 to 1, "
                f"or PRECISION=NUMBER with one of {', '.join(FAMILIES)}, such as fp16=0.01"
            )
        result.update(dict.fromkeys(names, number))
    return result


def allowed_images(share: float, images: int) -> int:
    """How many of ``images`` a share stands for: whole images, rounded down, but one at least.

    One image of fewer than 200 is more than 0.5 %, and a single image is no evidence against a graph. A share
    of 0 allows none.
    """
    if share <= 0:
        return 0
    return max(1, floor(share * images + 1e-9))


def comparison_checks(
    comparisons: Iterable[Comparison], image_set: str, limits: Limits, golden_bounds: Mapping[str, float]
) -> list[Check]:
    """The gates of every graph on one set of images.

    Args:
        comparisons: as :func:`compare` gave them; the reference is passed over.
        image_set: GOLDEN or HELD_OUT.
        limits: the bounds.
        golden_bounds: by precision, the bound of a probability on the golden tensors, where golden.npz has
            one: it holds with the same top-1 on all of them.
    """
    checks: list[Check] = []
    for comparison in comparisons:
        if not comparison.path.is_reference:
            checks += _checks_of(comparison, image_set, limits, golden_bounds)
    return checks


def _checks_of(
    comparison: Comparison, image_set: str, limits: Limits, golden_bounds: Mapping[str, float]
) -> list[Check]:
    path, family = comparison.path, comparison.path.family
    on = f"{path.name} against ONNX" + (", held-out" if image_set == HELD_OUT else "")
    mend = _mend(path.name, family)
    bound = limits.max_probability_difference[family]
    may_change = allowed_images(1 - limits.min_same_top1[family], comparison.images)
    if image_set == GOLDEN and family in golden_bounds:
        bound, may_change = min(bound, golden_bounds[family]), 0
    checks = [
        Check(f"{on}: top-1 changed", comparison.changed, may_change, "images", mend, path.file),
        Check(f"{on}: probability", comparison.probability, bound, "", mend, path.file),
    ]
    if comparison.novelty is not None:
        most = limits.max_novelty_difference[family]
        checks.append(Check(f"{on}: novelty", comparison.novelty, most, "", mend, path.file))
    if comparison.known:
        lost = comparison.reference_right - comparison.right
        may_lose = allowed_images(limits.max_accuracy_drop[family], comparison.known)
        checks.append(Check(f"{on}: accuracy lost", lost, may_lose, "images", mend, path.file))
    return [check for check in checks if check.bound < inf]


def _mend(name: str, family: str) -> str:
    if name.startswith("engine"):
        return "build it again on this device: `legoclf build-engine`; if it fails again, --precision fp32"
    if family == FP16:
        return "make it anew with `legoclf convert --image_dir DIR`, which finds the layers to keep in FP32"
    if family == INT8:
        return "calibrate it otherwise (`legoclf convert --int8 entropy` or percentile), or use FP16"
    return "make the graphs again from one training: `legoclf convert`, else `legoclf retrain`"
