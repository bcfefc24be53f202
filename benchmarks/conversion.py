"""Time and size of every artefact of a bundle, and how far each step of the conversion drifts.

All is done on a copy of the bundle in a temporary folder; the bundle itself is only read.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from legoclf.benchmarks.conversion_artefacts import (
    EngineBuilder,
    Made,
    Make,
    Origin,
    convert_anew,
    head_makers,
    onnx_makers,
    origin_of,
    saved_model_maker,
)
from legoclf.benchmarks.conversion_steps import drift, images_for
from legoclf.benchmarks.device.clock import in_turns
from legoclf.benchmarks.device.result import Measured, Ratio, Series
from legoclf.bundle import INT8_MODEL, ONNX_MODEL, Bundle
from legoclf.bundle_update import add_files
from legoclf.convert import artefacts
from legoclf.convert.training_images import training_tensors
from legoclf.convert.verify_paths import OnnxGraph
from legoclf.errors import LegoclfError
from legoclf.user_cache import default_cache_dir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import ModelProto

#: What the time of a step that runs images is compared with.
ONE_PASS = "one pass of the images of FP16's plan through ONNX"

#: The once-only conversion that no bundle repeats.
ANEW = "feature vector"

#: Of these the time is mostly that of passes of images.
_BY_PASSES = ("FP16 ONNX", "INT8 ONNX")

_MB = 1e6

_T = TypeVar("_T")


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes:
        rounds: turns of each artefact; with 1 it is the first making that counts, imports and all.
        compared: images that the steps are compared on, at most.
        planned: images that FP16 is planned on.
        anew: convert the feature vector anew too.
    """

    rounds: int
    compared: int = 200
    planned: int = artefacts.PLAN_IMAGES
    anew: bool = True


@dataclass
class _Bench:
    """What has been made: sizes in bytes, whether it is as in the bundle, and why something is missing."""

    bundle: Bundle
    origin: Origin | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    same: dict[str, bool] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    turns: dict[str, list[list[float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def measure(bundle: Bundle, image_dir: str | None, extent: Extent, with_int8: bool) -> Measured:
    """Make everything that can be made of a bundle, time it, and compare each step with the one before.

    Args:
        image_dir: the data set: FP16 is planned and INT8 calibrated on its training images, the steps are
            compared on its test images. None: the bundle's golden images serve for all.
        with_int8: make INT8 too, which needs ``image_dir``.

    Raises:
        LegoclfError: the bundle holds no model.onnx, or a graph of it cannot be run.
    """
    import onnx

    with _copy_of(bundle) as copy:
        bench = _Bench(copy)
        model = onnx.load(copy.file(ONNX_MODEL))
        tensors = training_tensors(copy, image_dir, artefacts.CALIBRATION_IMAGES)
        planned = tensors[:: max(1, len(tensors) // extent.planned)][: extent.planned]
        makers = _makers(bench, model, planned, tensors if with_int8 else None)
        if not with_int8:
            bench.missing["INT8 ONNX"] = "not asked for: --int8 makes it of the images of --image_dir"
        _make_and_time(bench, makers, planned, extent.rounds)
        _build_and_time(bench, extent.rounds)
        if extent.anew:
            _convert_anew(bench)
        images = images_for(copy, image_dir, extent.compared)
        steps, skipped = drift(bench.bundle, bench.origin, images)
        facts = {
            "bytes": bench.sizes,
            "same_as_in_bundle": bench.same,
            "not_made": bench.missing,
            "drift": [step.as_json() for step in steps],
            "images": {"set": images.name, "count": len(images.examples)},
            "not_run": skipped,
        }
        notes = [
            *_size_notes(bench),
            *(step.as_text() for step in steps if step.from_before or step.from_fp32),
            f"drift is the largest difference on {len(images.examples)} {images.name} images; "
            f"FP16 with its range and rounding emulated; FP16 planned on {len(planned)} images",
            *(f"not made: {name}: {reason}" for name, reason in bench.missing.items()),
            *(f"not run: {name}: {reason}" for name, reason in skipped.items()),
            *bench.notes,
            *images.notes,
        ]
    series = [Series(_series_name(name), "ms", turns) for name, turns in bench.turns.items()]
    return Measured(series, _ratios(bench), {**facts, "notes": notes})


@contextmanager
def _copy_of(bundle: Bundle) -> "Iterator[Bundle]":
    """The bundle without its engines, in a folder that goes when this ends."""
    with tempfile.TemporaryDirectory(prefix="legoclf-conversion-") as scratch:
        folder = Path(scratch) / "copy.bundle"
        shutil.copytree(bundle.path, folder, ignore=lambda _, names: {"engines"} & set(names))
        yield Bundle.open(str(folder))


def _makers(
    bench: _Bench,
    model: "ModelProto",
    planned: Sequence[np.ndarray],
    calibrated: Sequence[np.ndarray] | None,
) -> dict[str, Make]:
    """How each artefact is made; those that cannot be are entered as missing."""
    makers: dict[str, Make] = {}
    try:
        bench.origin = origin_of(bench.bundle, model, Path(default_cache_dir()))
        makers |= head_makers(bench.bundle, model, bench.origin)
    except LegoclfError as error:
        bench.missing |= dict.fromkeys(("frozen graph", "ONNX"), str(error))
    try:
        makers["SavedModel"] = saved_model_maker(bench.bundle)
    except LegoclfError as error:
        bench.missing["SavedModel"] = str(error)
    return makers | onnx_makers(model, planned, calibrated)


def _make_and_time(
    bench: _Bench, makers: Mapping[str, Make], planned: Sequence[np.ndarray], rounds: int
) -> None:
    """Make each once, put it into the copy, then time them in turns, beside one pass of the images."""
    first: dict[str, list[list[float]]] = {}
    made: dict[str, Made] = {}
    for name, make in makers.items():
        try:
            first |= in_turns({name: partial(_put, made, name, make)}, 1, 0.0)
        except LegoclfError as error:
            bench.missing[name] = str(error)
    own = {name: record.sha256 for name, record in bench.bundle.files.items()}
    _keep(bench, made)
    for name, each in made.items():
        bench.sizes[name] = each.size
        known = [file for file in each.files if file in own]
        if known:
            bench.same[name] = all(bench.bundle.files[file].sha256 == own[file] for file in known)
    work: dict[str, Callable[[], Any]] = {name: makers[name] for name in made}
    graph = OnnxGraph(bench.bundle.file(ONNX_MODEL), ONNX_MODEL)
    work[ONE_PASS] = lambda: [graph.answer(tensor[None]) for tensor in planned]
    one_pass = in_turns({ONE_PASS: work[ONE_PASS]}, 1, 0.0)
    bench.turns = {**first, **one_pass} if rounds == 1 else in_turns(work, rounds, 0.0)


def _put(results: dict[str, _T], name: str, make: Callable[[], _T]) -> None:
    results[name] = make()


def _keep(bench: _Bench, made: Mapping[str, Made]) -> None:
    """Put what was made into the copy, with what the engines' build reads of its making."""
    files = {name: data for each in made.values() for name, data in each.files.items()}
    records = {next(iter(each.files)): each.record for each in made.values() if each.record is not None}
    bench.bundle = add_files(bench.bundle, files, {"conversion": records}, {})


def _build_and_time(bench: _Bench, rounds: int) -> None:
    """Build the engine of each precision once, then time the builds in turns."""
    precisions = ["fp32", "fp16", *(["int8"] if INT8_MODEL in bench.bundle.files else [])]
    try:
        builder = EngineBuilder()
    except LegoclfError as error:
        bench.missing |= {f"engine {precision}": str(error) for precision in precisions}
        return
    work: dict[str, Callable[[], Any]] = {}
    for precision in precisions:
        name = f"engine {precision}"
        build = partial(builder.build, bench.bundle, precision)
        try:
            bench.turns |= in_turns({name: partial(_put, bench.sizes, name, build)}, 1, 0.0)
        except LegoclfError as error:
            bench.missing[name] = str(error)
        else:
            work[name] = build
    if work:
        bench.notes.append(f"engines by {builder.what}, each in a process of its own, without a timing cache")
    if rounds > 1:
        bench.turns |= in_turns(work, rounds, 0.0)


def _convert_anew(bench: _Bench) -> None:
    origin = bench.origin
    if origin is None:
        bench.missing[ANEW] = bench.missing["ONNX"]
    elif origin.vector.source not in ("embedded", "saved_model"):
        bench.missing[ANEW] = f"{origin.vector.handle} would be fetched anew"
    else:
        bench.turns |= in_turns({ANEW: partial(convert_anew, origin)}, 1, 0.0)
        kept = origin.vector.frozen_path, origin.vector.onnx_path
        bench.sizes[ANEW] = sum(path.stat().st_size for path in kept)


def _series_name(name: str) -> str:
    return name if name == ONE_PASS else f"make {name}"


def _ratios(bench: _Bench) -> list[Ratio]:
    return [
        Ratio(f"make {name}, of one pass of the images of its plan", _series_name(name), ONE_PASS, "lower")
        for name in _BY_PASSES
        if name in bench.turns
    ]


def _size_notes(bench: _Bench) -> list[str]:
    """A line for each artefact: its size, of model.onnx's, and whether it is the bundle's own to the byte."""
    whole = bench.bundle.files[ONNX_MODEL].size
    notes = []
    for name, size in bench.sizes.items():
        told = f"size, {name}: {size / _MB:.2f} MB, {size / whole:.0%} of {ONNX_MODEL}"
        if name in bench.same:
            told += ", as it is in the bundle" if bench.same[name] else ", not as it is in the bundle"
        notes.append(told)
    return notes
