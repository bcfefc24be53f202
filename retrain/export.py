"""From what a run found to a bundle, and to the other places retrain.py writes to."""

import json
from pathlib import Path
from typing import Any

from legoclf import __version__
from legoclf.bundle import FROZEN_GRAPH, GOLDEN_FILE, ONNX_MODEL, REPORT, SAVED_MODEL, Bundle
from legoclf.bundle_writer import BundleWriter, check_replaceable
from legoclf.contract import InputContract
from legoclf.convert.frozen import attach_head, read_frozen
from legoclf.convert.frozen import serialize as serialize_graph
from legoclf.convert.golden import golden_images, write_golden
from legoclf.convert.onnx_graph import attach_onnx_head
from legoclf.convert.onnx_graph import serialize as serialize_onnx
from legoclf.convert.saved_model import write_saved_model
from legoclf.data.dataset import DataSet
from legoclf.errors import LegoclfError, UsageError
from legoclf.image import read_image
from legoclf.retrain import record
from legoclf.retrain.checkpoint import write_checkpoint
from legoclf.retrain.feature_vector import FeatureVector
from legoclf.retrain.heads import Head
from legoclf.retrain.near_duplicates import near_duplicates
from legoclf.retrain.outputs import not_writable, write_copies
from legoclf.retrain.report import ReportData, write_report
from legoclf.retrain.result import Result
from legoclf.retrain.settings import Settings
from legoclf.session import OnnxRuntimeSession

_GOLDEN_IMAGES = 4


def export(settings: Settings, result: Result) -> Bundle:
    """Write the bundle, then the copies outside it; the opened bundle."""
    provenance = record.provenance(settings, result)
    with BundleWriter(str(settings.bundle)) as writer:
        _write_graphs(writer, settings, result)
        _write_golden(writer, result.dataset, result.contract)
        content = _report_data(settings, result, provenance)
        if content is not None:
            write_report(Path(writer.directory) / REPORT, settings.bundle.stem, content)
        rule = None if result.novelty is None else result.novelty.fitted.rule
        bundle = writer.finish(
            result.dataset.labels, result.contract, record.metrics(result), provenance, rule
        )
    write_copies(settings.outputs, bundle)
    if settings.outputs.checkpoint_path is not None:
        write_checkpoint(settings.outputs.checkpoint_path, result.head)
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


def _write_graphs(writer: BundleWriter, settings: Settings, result: Result) -> None:
    """The classifier as a frozen graph, as a SavedModel and as ONNX."""
    import onnx

    vector, head, labels = result.vector, result.head, result.dataset.labels
    novelty = None if result.novelty is None else result.novelty.fitted.novelty
    graph = attach_head(
        read_frozen(vector.frozen_path), head.weights, head.bias, settings.final_tensor_name, novelty=novelty
    )
    Path(writer.file(FROZEN_GRAPH)).write_bytes(serialize_graph(graph))
    write_saved_model(graph, Path(writer.file(SAVED_MODEL)), labels, settings.final_tensor_name)
    carried = {
        "labels": json.dumps(labels, ensure_ascii=False),
        "input_contract": json.dumps(result.contract.to_json()),
    }
    model = attach_onnx_head(onnx.load(vector.onnx_path), head.weights, head.bias, carried, novelty=novelty)
    Path(writer.file(ONNX_MODEL)).write_bytes(serialize_onnx(model))


def _report_data(settings: Settings, result: Result, provenance: dict[str, Any]) -> ReportData | None:
    """What the report shows; None without test images, which it is about."""
    if result.test is None:
        return None
    return ReportData(
        result.test,
        {item.relative: item.path for item in result.dataset.images},
        result.dataset,
        result.validation,
        result.curves,
        result.cross_validation,
        near_duplicates(result.dataset.images),
        temperature=None if result.calibration is None else result.calibration.temperature,
        notes=[result.advice],
        samples=result.samples,
        facts=record.facts(settings, result),
        command=settings.command,
        versions={"legoclf": __version__, "python": provenance["python"], **provenance["packages"]},
    )


def _write_golden(writer: BundleWriter, dataset: DataSet, contract: InputContract) -> None:
    """Images of different classes, from the test set if there is one."""
    candidates = dataset.by_split("test") or dataset.images
    by_class = {item.label_index: item for item in reversed(candidates)}
    chosen = [by_class[index] for index in sorted(by_class)][:_GOLDEN_IMAGES]
    images = golden_images([read_image(item.path) for item in chosen], contract)
    with OnnxRuntimeSession(writer.file(ONNX_MODEL), threads=1) as session:
        write_golden(Path(writer.file(GOLDEN_FILE)), images, contract, session)
