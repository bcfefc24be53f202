"""From a trained head to a bundle, and to the other places retrain.py writes to."""

import json
import logging
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from legoclf import __version__
from legoclf.bundle import FROZEN_GRAPH, GOLDEN_FILE, ONNX_MODEL, REPORT, SAVED_MODEL, Bundle
from legoclf.bundle_update import timestamp
from legoclf.bundle_writer import BundleWriter, check_replaceable
from legoclf.contract import InputContract
from legoclf.convert.frozen import attach_head, read_frozen
from legoclf.convert.frozen import serialize as serialize_graph
from legoclf.convert.golden import golden_images, write_golden
from legoclf.convert.onnx_graph import attach_onnx_head
from legoclf.convert.onnx_graph import serialize as serialize_onnx
from legoclf.convert.packages import installed_versions
from legoclf.convert.saved_model import write_saved_model
from legoclf.data.folder import DataSet
from legoclf.errors import LegoclfError, UsageError
from legoclf.image import read_image
from legoclf.retrain.calibrate import Calibration
from legoclf.retrain.checkpoint import write_checkpoint
from legoclf.retrain.cross_validate import Pooled, paired_difference
from legoclf.retrain.evaluate import Report
from legoclf.retrain.feature_vector import FeatureVector
from legoclf.retrain.heads import Head
from legoclf.retrain.near_duplicates import near_duplicates
from legoclf.retrain.novelty import MeasuredNovelty
from legoclf.retrain.outputs import not_writable, write_copies
from legoclf.retrain.report import Curve, ReportData, write_report
from legoclf.retrain.settings import Settings
from legoclf.session import OnnxRuntimeSession

LOGGER = logging.getLogger(__name__)

#: The packages whose versions can change a result.
_RECORDED_PACKAGES = (
    "keras", "numpy", "onnx", "onnxruntime", "onnxslim", "opencv-python-headless", "opencv-python", "pillow",
    "scipy", "simplejpeg", "tensorflow", "tensorflow-cpu", "tensorflow-hub", "tf2onnx",
)  # fmt: skip

_GOLDEN_IMAGES = 4


def export(
    settings: Settings,
    dataset: DataSet,
    vector: FeatureVector,
    contract: InputContract,
    head: Head,
    validation: Report | None,
    test: Report | None,
    cross_validation: Sequence[Pooled] = (),
    calibration: Calibration | None = None,
    curves: Sequence[Curve] = (),
    notes: Sequence[str] = (),
    samples: Mapping[str, bytes] = MappingProxyType({}),
    novelty: MeasuredNovelty | None = None,
) -> Bundle:
    """Write the bundle, then the copies outside it; the opened bundle."""
    import onnx

    measure = None if novelty is None else novelty.fitted.novelty
    graph = attach_head(
        read_frozen(vector.frozen_path), head.weights, head.bias, settings.final_tensor_name, novelty=measure
    )
    provenance = _provenance(settings, dataset, vector, head)
    with BundleWriter(str(settings.bundle)) as writer:
        Path(writer.file(FROZEN_GRAPH)).write_bytes(serialize_graph(graph))
        write_saved_model(graph, Path(writer.file(SAVED_MODEL)), dataset.labels, settings.final_tensor_name)
        model = attach_onnx_head(
            onnx.load(vector.onnx_path),
            head.weights,
            head.bias,
            {
                "labels": json.dumps(dataset.labels, ensure_ascii=False),
                "input_contract": json.dumps(contract.to_json()),
            },
            novelty=measure,
        )
        Path(writer.file(ONNX_MODEL)).write_bytes(serialize_onnx(model))
        _write_golden(writer, dataset, contract)
        if test is not None:
            content = ReportData(
                test,
                {item.relative: item.path for item in dataset.images},
                dataset,
                validation,
                curves,
                cross_validation,
                near_duplicates(dataset.images),
                temperature=None if calibration is None else calibration.temperature,
                notes=notes,
                samples=samples,
                facts={**_facts(settings, dataset, vector, head), **_novelty_facts(novelty)},
                command=settings.command,
                versions={"legoclf": __version__, "python": provenance["python"], **provenance["packages"]},
            )
            write_report(Path(writer.directory) / REPORT, settings.bundle.stem, content)
        metrics = {**_metrics(dataset, validation, test), **_cross_validation_metrics(cross_validation)}
        if calibration is not None:
            metrics["calibration"] = {name: _rounded(value) for name, value in vars(calibration).items()}
        if novelty is not None:
            metrics["novelty"] = _rounded_tree(novelty.as_json())
        rule = None if novelty is None else novelty.fitted.rule
        bundle = writer.finish(dataset.labels, contract, metrics, provenance, rule)
    write_copies(settings.outputs, bundle)
    if settings.outputs.checkpoint_path is not None:
        write_checkpoint(settings.outputs.checkpoint_path, head)
    return bundle


def check_bundle_place(path: Path, image_dir: str) -> None:
    """Refuse a bundle that could not be written, before the work is done.

    Raises:
        LegoclfError: it would lie in the data set, something else stands there, or its folder cannot
            be written to.
    """
    if Path(image_dir).resolve() in path.resolve().parents:
        raise UsageError(
            f"--bundle {path}: lies in the data set, where the next run would look for images; "
            "run elsewhere, or name a place outside it"
        )
    check_replaceable(str(path))
    obstacle = not_writable(path.absolute().parent)
    if obstacle is not None:
        raise LegoclfError(f"--bundle {path}: {obstacle}")


def write_intermediate(settings: Settings, vector: FeatureVector, head: Head, step: int) -> None:
    """The frozen graph of one step, as retrain.py names it."""
    folder = settings.outputs.intermediate_output_graphs_dir
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    graph = attach_head(read_frozen(vector.frozen_path), head.weights, head.bias, settings.final_tensor_name)
    (folder / f"intermediate_{step}.pb").write_bytes(serialize_graph(graph))


def _write_golden(writer: BundleWriter, dataset: DataSet, contract: InputContract) -> None:
    """Images of different classes, from the test set if there is one."""
    candidates = dataset.by_split("test") or dataset.images
    by_class = {item.label_index: item for item in reversed(candidates)}
    chosen = [by_class[index] for index in sorted(by_class)][:_GOLDEN_IMAGES]
    images = golden_images([read_image(item.path) for item in chosen], contract)
    with OnnxRuntimeSession(writer.file(ONNX_MODEL), threads=1) as session:
        write_golden(Path(writer.file(GOLDEN_FILE)), images, contract, session)


def _metrics(dataset: DataSet, validation: Report | None, test: Report | None) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        "images": {split: len(dataset.by_split(split)) for split in ("train", "validation", "test")}
    }
    for name, report in (("validation", validation), ("test", test)):
        if report is None:
            continue
        metrics[f"{name}_accuracy"] = report.accuracy
        metrics[f"{name}_accuracy_interval_95"] = list(report.interval)
        metrics[f"{name}_cross_entropy"] = _rounded(report.cross_entropy)
    if test is not None:
        metrics["final_test_accuracy_percent"] = round(100 * test.accuracy, 1)
        metrics["per_class"] = [vars(figures) for figures in test.per_class]
        metrics["confusion"] = test.confusion.tolist()
        metrics["misclassified"] = [
            {name: _rounded(value) for name, value in vars(mistake).items()} for mistake in test.mistakes
        ]
    return metrics


def _cross_validation_metrics(pooled: Sequence[Pooled]) -> dict[str, Any]:
    if not pooled:
        return {}
    heads = {
        one.head: {"accuracy": one.accuracy, "standard_error": _rounded(one.standard_error)} for one in pooled
    }
    record: dict[str, Any] = {"images": len(pooled[0].right), "heads": heads}
    if len(pooled) == 2:
        difference, error = paired_difference(*pooled)
        record["difference"] = {"accuracy": _rounded(difference), "paired_standard_error": _rounded(error)}
    return {"cross_validation": record}


def _provenance(settings: Settings, dataset: DataSet, vector: FeatureVector, head: Head) -> dict[str, Any]:
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
        "head": {name: _rounded(value) for name, value in head.how.items()},
        "final_tensor_name": settings.final_tensor_name,
        "python": platform.python_version(),
        "packages": installed_versions(_RECORDED_PACKAGES),
    }


def _facts(settings: Settings, dataset: DataSet, vector: FeatureVector, head: Head) -> dict[str, object]:
    counts = [f"{len(dataset.by_split(split))} {split}" for split in ("train", "validation", "test")]
    return {
        "data set": f"{len(dataset.labels)} classes; images: {', '.join(counts)}",
        "skipped images": len(dataset.rejected),
        "feature vector": vector.name,
        "head": ", ".join(f"{name} {_rounded(value)}" for name, value in head.how.items()),
        "augmented views an image": settings.views - 1,
        "seed": settings.seed,
    }


def _novelty_facts(novelty: MeasuredNovelty | None) -> dict[str, object]:
    if novelty is None:
        return {}
    rule = novelty.fitted.rule
    told = f"by {rule.kind}, above {rule.threshold:.3g}; {rule.false_reject_rate:.0%} of known images may be"
    if novelty.test_refused is not None:
        told += f", {novelty.test_refused:.1%} of the test images are"
    return {"answered unknown": told}


def _rounded_tree(record: dict[str, object]) -> dict[str, object]:
    """A record, and those within it, with numbers that read well."""
    return {
        name: _rounded_tree(value) if isinstance(value, dict) else _rounded(value)
        for name, value in record.items()
    }


def _rounded(value: object) -> object:
    """Numbers at the six digits that mean something, so that they read well."""
    return float(f"{value:.6g}") if isinstance(value, float | np.floating) else value
