"""What `legoclf verify` found, as tables for people and as JSON for machines and for model.json."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from legoclf import __version__
from legoclf.bundle import Bundle, sha256_file
from legoclf.bundle_update import timestamp
from legoclf.convert.explain import Explanation
from legoclf.convert.fp16_weights import FP16_LARGEST
from legoclf.convert.packages import installed_versions
from legoclf.convert.verify import Verification
from legoclf.convert.verify_compare import Comparison

#: The packages that run a graph or prepare its input.
_RECORDED_PACKAGES = (
    "numpy", "onnx", "onnxruntime", "opencv-python-headless", "opencv-python", "pillow", "simplejpeg",
    "tensorflow", "tensorflow-cpu", "tensorrt",
)  # fmt: skip


def as_text(
    result: Verification, explanations: Sequence[Explanation], notes: Sequence[str], with_layers: bool
) -> str:
    """The graphs, the checks, what mends those that failed, and where the graphs part."""
    lines = [*_graph_table(result), "", *_check_table(result), *notes]
    for check in result.checks:
        if not check.passed:
            lines.append(
                f"FAILED {check.name}: {_figure(check.measured)}, at most {check.bound:.2g}: {check.mend}"
            )
    for explanation in explanations:
        if with_layers:
            lines += ["", *_layer_table(explanation)]
        lines.append(f"{explanation.name}: {explanation.verdict()}")
    lines.append(f"graphs compared on {_images(result)} images")
    return "\n".join(lines) + "\n"


def as_json(
    bundle: Bundle, result: Verification, explanations: Sequence[Explanation], notes: Sequence[str]
) -> dict[str, Any]:
    """The same as one object, with the layers of each graph that was explained."""
    return {
        "bundle": bundle.path,
        **_record(bundle, result),
        "notes": list(notes),
        "explained": [_explained(explanation) for explanation in explanations],
    }


def stored_record(bundle: Bundle, result: Verification) -> dict[str, Any]:
    """What model.json keeps under ``metrics.verification``."""
    return {
        "date": timestamp(),
        "legoclf": __version__,
        "python": platform.python_version(),
        "packages": installed_versions(_RECORDED_PACKAGES),
        **_record(bundle, result),
    }


def _record(bundle: Bundle, result: Verification) -> dict[str, Any]:
    checks = [
        {
            "name": check.name,
            "measured": _number(check.measured),
            "bound": check.bound,
            "unit": check.unit,
            "passed": check.passed,
        }
        for check in result.checks
    ]
    return {
        "passed": result.passed,
        "images": _images(result),
        "graphs": [
            _graph(bundle, name, comparison)
            for name, comparisons in result.sets.items()
            for comparison in comparisons
        ],
        "skipped": result.skipped,
        "checks": checks,
    }


def _images(result: Verification) -> int:
    """How many the graphs were compared on: of the last set, the held-out one where there is one."""
    return list(result.sets.values())[-1][0].images


def _graph(bundle: Bundle, image_set: str, comparison: Comparison) -> dict[str, Any]:
    path = comparison.path
    recorded = bundle.files.get(path.file)
    return {
        "name": path.name,
        "file": path.file,
        # Whoever reads the record can see whether it is of the file that is there now.
        "sha256": recorded.sha256 if recorded else sha256_file(str(Path(bundle.path) / path.file)),
        "precision": path.family,
        "image_set": image_set,
        "images": comparison.images,
        "top1_changed": comparison.changed,
        "max_probability_difference": _number(comparison.probability),
        "max_logit_difference": _number(comparison.logit),
        "max_novelty_difference": _number(comparison.novelty),
        "accuracy": _number(comparison.accuracy),
    }


def _explained(explanation: Explanation) -> dict[str, Any]:
    first = explanation.first
    return {
        "name": explanation.name,
        "images": explanation.images,
        "first": None if first is None else first.name,
        "verdict": explanation.verdict(),
        "layers": [
            {
                "name": layer.name,
                "operator": layer.operator,
                "own_error": _number(layer.own),
                "total_error": _number(layer.total),
                "largest_activation": layer.largest,
                "not_finite": layer.overflows,
            }
            for layer in explanation.layers
        ],
    }


def _graph_table(result: Verification) -> Iterator[str]:
    width = max(len(name) for name in [*_names(result), *result.skipped])
    is_told = any(one.novelty is not None for comparisons in result.sets.values() for one in comparisons)
    novelty = f" {'novelty':>8}" if is_told else ""
    head = f"{'top-1 changed':>14} {'probability':>11} {'logit':>8}{novelty} {'accuracy':>9}"
    yield f"{'graph':<{width}}  {'images':<15} {head}"
    for image_set, comparisons in result.sets.items():
        for one in comparisons:
            images = f"{one.images} {image_set}"
            if one.path.is_reference:
                differences = f"{'the reference':>{35 + len(novelty)}}"
            else:
                changed = f"{one.changed} ({one.changed / one.images:.1%})"
                differences = f"{changed:>14} {_figure(one.probability):>11} {_figure(one.logit):>8}"
                differences += f" {_figure(one.novelty):>8}" if is_told else ""
            accuracy = "" if one.accuracy is None else f"{one.accuracy:.1%}"
            yield f"{one.path.name:<{width}}  {images:<15} {differences} {accuracy:>9}".rstrip()
    for name, reason in result.skipped.items():
        yield f"{name:<{width}}  skipped: {reason}"


def _names(result: Verification) -> Iterator[str]:
    for comparisons in result.sets.values():
        yield from (comparison.path.name for comparison in comparisons)


def _check_table(result: Verification) -> Iterator[str]:
    width = max(len(check.name) for check in result.checks)
    yield f"{'check':<{width}} {'measured':>10} {'bound':>8}"
    for check in result.checks:
        verdict = "ok" if check.passed else "FAILED"
        figures = f"{_figure(check.measured):>10} {check.bound:>8.2g}"
        yield f"{check.name:<{width}} {figures} {check.unit:<14} {verdict}"


def _layer_table(explanation: Explanation) -> Iterator[str]:
    first = explanation.first
    width = max(len(layer.name) for layer in explanation.layers)
    yield f"{explanation.name}, layer by layer, on the {explanation.images} images that differ most:"
    head = f"{'own error':>9} {'in total':>9} {'largest':>9} {'of 65504':>9}"
    yield f"{'layer':<{width}}  {'operator':<18} {head}"
    for layer in explanation.layers:
        mark = "  not finite" if layer.overflows else ""
        mark += "  <- first" if layer is first else ""
        yield (
            f"{layer.name:<{width}}  {layer.operator:<18} {_figure(layer.own):>9} {_figure(layer.total):>9} "
            f"{layer.largest:>9.3g} {layer.largest / FP16_LARGEST:>9.2%}{mark}"
        )


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2g}" if isfinite(value) else "not finite"


def _number(value: float | None) -> float | None:
    """A number as JSON can hold it, at six digits; None where it is not finite."""
    return None if value is None or not isfinite(value) else float(f"{value:.6g}")
