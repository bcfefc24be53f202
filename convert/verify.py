"""Proof that a bundle's graphs say the same, and that this machine prepares images as the training did."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

import numpy as np

from legoclf.bundle import GOLDEN_FILE, ONNX_MODEL, Bundle
from legoclf.convert.verify_compare import Comparison, Examples, compare
from legoclf.convert.verify_engines import engine_paths
from legoclf.convert.verify_gates import GOLDEN, HELD_OUT, Check, Limits, comparison_checks
from legoclf.convert.verify_images import HeldOutImages
from legoclf.convert.verify_paths import FP16, FP32, Answer, OnnxGraph, bundle_paths
from legoclf.errors import BundleError, LegoclfError
from legoclf.golden import Golden, novelty_difference, read_golden
from legoclf.preprocess import fastest_fit, fit_reference, preprocess


@dataclass
class Verification:
    """What came of it: the graphs compared by set of images, the checks, and what could not run."""

    checks: list[Check]
    sets: dict[str, list[Comparison]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every figure is within its bound."""
        return all(check.passed for check in self.checks)

    def failed_files(self) -> list[str]:
        """The graphs that failed a gate, each once."""
        return list(dict.fromkeys(check.file for check in self.checks if check.file and not check.passed))


def verify(
    bundle: Bundle, held_out: HeldOutImages | None = None, limits: Limits | None = None
) -> Verification:
    """Run every graph of a bundle on its golden tensors and on held-out images, and judge them.

    Args:
        bundle: opened, so that its files are those that were written.
        held_out: images to compare the graphs on and to take their accuracy from.
        limits: the gates; None for the defaults.

    Raises:
        LegoclfError: a file cannot be loaded, or there is nothing to run the graphs on.
    """
    limits = limits or Limits()
    engines, refusals = engine_paths(bundle)
    paths = [*bundle_paths(bundle), *engines]
    if not paths or not paths[0].is_reference:
        raise BundleError(f"{bundle.path}: holds no {ONNX_MODEL}, which the others are compared with")
    result = Verification([_refused(refusals)] if refusals else [])

    sets: dict[str, Examples] = {}
    golden_bounds: dict[str, float] = {}
    if GOLDEN_FILE in bundle.files:
        golden = read_golden(bundle)
        result.checks += _golden_checks(bundle, golden, limits)
        sets[GOLDEN] = Examples([(tensor, None) for tensor in golden.tensors], len(golden.tensors))
        golden_bounds[FP16] = golden.bound_probabilities_fp16
    elif held_out is None:
        raise BundleError(f"{bundle.path}: holds no {GOLDEN_FILE} to run the graphs on; give --image_dir")
    if held_out is not None:
        sets[HELD_OUT] = Examples(held_out.examples(), len(held_out.items))
    result.sets, result.skipped = compare(bundle, paths, sets)
    for name, comparisons in result.sets.items():
        if not comparisons[0].images:
            raise LegoclfError(f"none of the {sets[name].total} {name} images can be read")
        result.checks += comparison_checks(comparisons, name, limits, golden_bounds if name == GOLDEN else {})
    return result


def _golden_checks(bundle: Bundle, golden: Golden, limits: Limits) -> list[Check]:
    """Golden images through both preprocessing paths, golden tensors through the ONNX graph."""
    level = 1.0 / abs(bundle.contract.scale)
    fits = {"reference": fit_reference, "OpenCV": fastest_fit()}
    mends = {
        "reference": "this legoclf prepares images otherwise than the one that made the bundle: retrain",
        "OpenCV": "this OpenCV resizes otherwise: pip install --upgrade opencv-python-headless",
    }
    checks = []
    for name, fit in fits.items():
        tensors = np.stack([preprocess(image, bundle.contract, fit) for image in golden.images])
        difference = np.abs(tensors - golden.tensors) * level
        # The division by the scale leaves a rounding error of float32, far below a level.
        worst, mean = round(float(difference.max()), 4), round(float(difference.mean()), 4)
        bounds = (0.0, 0.0) if name == "reference" else (golden.bound_levels_max, golden.bound_levels_mean)
        unit = "levels of 255"
        checks.append(Check(f"preprocessing, {name}: worst", worst, bounds[0], unit, mends[name]))
        checks.append(Check(f"preprocessing, {name}: mean", mean, bounds[1], unit, mends[name]))
    answer = OnnxGraph(bundle.file(ONNX_MODEL), ONNX_MODEL).answer(golden.tensors)
    if answer.logits is None or answer.logits.shape != golden.logits.shape:
        return checks  # compare says what is wrong
    return [*checks, *_golden_answers(answer, golden, limits)]


def _golden_answers(answer: Answer, golden: Golden, limits: Limits) -> list[Check]:
    """What the ONNX graph says of the golden tensors here, against what it said where it was made."""
    mend = (
        f"{ONNX_MODEL} and {GOLDEN_FILE} are not of one training: retrain, or take both from the same bundle"
    )
    worst = float(np.abs(answer.logits - golden.logits).max())
    checks = [Check("golden logits, ONNX", worst, golden.bound_logits_fp32, "", mend, ONNX_MODEL)]
    if golden.novelty is not None:
        novelty, bound = answer.novelty, limits.max_novelty_difference[FP32]
        worst = inf
        if novelty is not None and novelty.size == golden.novelty.size:
            worst = novelty_difference(novelty.ravel(), golden.novelty)
        checks.append(Check("golden novelty, ONNX", worst, bound, "", mend, ONNX_MODEL))
    return checks


def _refused(refusals: list[str]) -> Check:
    return Check("engines that must not be loaded", len(refusals), 0, "files", "; ".join(refusals))
