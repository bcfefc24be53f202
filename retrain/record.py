"""What model.json and the report record of a run: its figures, where it comes from, what it was made of."""

import platform
from pathlib import Path
from typing import Any

import numpy as np

from legoclf import __version__
from legoclf.bundle_update import timestamp
from legoclf.convert.packages import installed_versions
from legoclf.retrain.cross_validate import paired_difference
from legoclf.retrain.result import Result
from legoclf.retrain.settings import Settings
from legoclf.split import SPLITS

#: The packages whose versions can change a result.
_RECORDED_PACKAGES = (
    "keras", "numpy", "onnx", "onnxruntime", "onnxslim", "opencv-python-headless", "opencv-python", "pillow",
    "scipy", "simplejpeg", "tensorflow", "tensorflow-cpu", "tensorflow-hub", "tf2onnx",
)  # fmt: skip


def metrics(result: Result) -> dict[str, Any]:
    """The figures, for ``metrics`` of model.json: accuracies as fractions, cross entropies in nats."""
    record: dict[str, Any] = {"images": {split: len(result.dataset.by_split(split)) for split in SPLITS}}
    for name, report in (("validation", result.validation), ("test", result.test)):
        if report is None:
            continue
        record[f"{name}_accuracy"] = report.accuracy
        record[f"{name}_accuracy_interval_95"] = list(report.interval)
        record[f"{name}_cross_entropy"] = _rounded(report.cross_entropy)
    if result.test is not None:
        record["final_test_accuracy_percent"] = round(100 * result.test.accuracy, 1)
        record["per_class"] = [vars(figures) for figures in result.test.per_class]
        record["confusion"] = result.test.confusion.tolist()
        record["misclassified"] = [_rounded_tree(vars(mistake)) for mistake in result.test.mistakes]
    if result.cross_validation:
        record["cross_validation"] = _cross_validation(result)
    if result.calibration is not None:
        record["calibration"] = _rounded_tree(vars(result.calibration))
    if result.novelty is not None:
        record["novelty"] = _rounded_tree(result.novelty.as_json())
    return record


def provenance(settings: Settings, result: Result) -> dict[str, Any]:
    """Where a classifier comes from, for ``provenance`` of model.json; ``created`` is now."""
    dataset, vector = result.dataset, result.vector
    return {
        "created": timestamp(),
        "legoclf": __version__,
        "command": list(settings.command),
        "seed": settings.seed,
        "data_set": {
            "name": Path(settings.image_dir).resolve().name,
            "fingerprint": dataset.fingerprint,
            "split_hash": settings.split_hash,
            "testing_percentage": settings.testing_percentage,
            "validation_percentage": settings.validation_percentage,
            "skipped": len(dataset.rejected),
        },
        "module": {
            "name": vector.name,
            "handle": vector.handle,
            "source": vector.source,
            "identity": vector.identity,
            "feature_size": vector.feature_size,
        },
        "augmentation": {**vars(settings.augmentation), "views": settings.views - 1},
        "head": {name: _rounded(value) for name, value in result.head.how.items()},
        "final_tensor_name": settings.final_tensor_name,
        "python": platform.python_version(),
        "packages": installed_versions(_RECORDED_PACKAGES),
    }


def facts(settings: Settings, result: Result) -> dict[str, object]:
    """What a run was made of, for people who read the report."""
    dataset = result.dataset
    counts = [f"{len(dataset.by_split(split))} {split}" for split in SPLITS]
    record: dict[str, object] = {
        "data set": f"{len(dataset.labels)} classes; images: {', '.join(counts)}",
        "skipped images": len(dataset.rejected),
        "feature vector": result.vector.name,
        "head": ", ".join(f"{name} {_rounded(value)}" for name, value in result.head.how.items()),
        "augmented views an image": settings.views - 1,
        "seed": settings.seed,
    }
    if result.novelty is not None:
        rule = result.novelty.fitted.rule
        rate = f"{rule.false_reject_rate:.0%} of known images"
        told = f"by {rule.kind}, above {rule.threshold:.3g}; {rate} may be"
        if result.novelty.test_refused is not None:
            told += f", {result.novelty.test_refused:.1%} of the test images are"
        record["answered unknown"] = told
    return record


def _cross_validation(result: Result) -> dict[str, Any]:
    pooled = result.cross_validation
    heads = {
        one.head: {"accuracy": one.accuracy, "standard_error": _rounded(one.standard_error)} for one in pooled
    }
    record: dict[str, Any] = {"images": len(pooled[0].right), "heads": heads}
    if len(pooled) == 2:
        difference, error = paired_difference(*pooled)
        record["difference"] = {"accuracy": _rounded(difference), "paired_standard_error": _rounded(error)}
    return record


def _rounded_tree(record: dict[str, object]) -> dict[str, object]:
    """A record, and those within it, with numbers that read well."""
    return {
        name: _rounded_tree(value) if isinstance(value, dict) else _rounded(value)
        for name, value in record.items()
    }


def _rounded(value: object) -> object:
    """Numbers at the six digits that mean something, so that they read well."""
    return float(f"{value:.6g}") if isinstance(value, float | np.floating) else value
