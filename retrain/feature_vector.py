"""The feature vector: the pretrained network, as the two graphs that a classifier's head is put on.

A module (the embedded MobileNetV2, a SavedModel, a TF-Hub handle) is converted once to a frozen TensorFlow
graph and an ONNX graph. Both are kept; while what made them is the same, TensorFlow is not even imported.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legoclf.bundle import sha256_file
from legoclf.convert import frozen, onnx_graph
from legoclf.convert.foreign_keras import import_keras
from legoclf.convert.foreign_saved_model import content_sha256
from legoclf.data.whole import whole_folder
from legoclf.errors import LegoclfError, UsageError
from legoclf.retrain import hub
from legoclf.retrain.keras_applications import application_name, default_size, load_application

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef

LOGGER = logging.getLogger(__name__)

EMBEDDED = "mobilenet_v2_100_224"
EMBEDDED_SIZE = 224
EMBEDDED_SHA256 = "9647920759fd8cc84fc3ba2ba83738e653c273c0a2f17c3dd301a5f3b534e580"

FROZEN_FILE = "features.pb"
ONNX_FILE = "features.onnx"
META_FILE = "meta.json"

# To be raised when the conversion itself changes: cached graphs of another number are not used.
_CONVERSION = 1
_CHAIN = (("tensorflow", "tensorflow-cpu"), ("keras",), ("tf2onnx",), ("onnx",), ("onnxslim",))
EMBEDDED_WEIGHTS = Path(__file__).parent / "weights" / "mobilenet_v2_1.0_224_imagenet_no_top.h5"


@dataclass(frozen=True)
class FeatureVector:
    """A feature vector, converted: images, RGB in [0, 1], to features [N, D] float32.

    Attributes:
        name: what to call it, such as ``mobilenet_v2_100_224``.
        handle: what was asked for.
        source: ``embedded``, ``keras``, ``hub`` or ``saved_model``; ``fine_tuned`` or ``scratch`` for a
            network that this run trained.
        identity: sha256 over all that made the graphs; features of equal identity and images are equal.
        height, width: of the images, in pixels.
        feature_size: D.
        onnx_path: ``input`` [N, 3, height, width] to ``features`` [N, D], float32, opset 13.
        frozen_path: ``input`` [N, height, width, 3] to ``features`` [N, D], float32.
    """

    name: str
    handle: str
    source: str
    identity: str
    height: int
    width: int
    feature_size: int
    onnx_path: Path
    frozen_path: Path


@dataclass(frozen=True)
class _Module:
    """A module found, not yet converted; ``content`` is what its graphs depend on, beside the converters."""

    name: str
    source: str
    content: dict[str, Any]
    freeze: Callable[[], GraphDef]


def load_feature_vector(
    handle: str | None, *, input_size: int | None = None, cache_dir: Path
) -> FeatureVector:
    """Find a module, convert it or take its kept conversion, and say where the graphs are.

    Args:
        handle: None or ``mobilenet_v2_100_224``, the embedded one; the folder of a SavedModel or of a TF1
            module; a name of Keras Applications; or an http(s) address, fetched through TensorFlow Hub.
        input_size: height and width, in pixels, for a module that leaves them free.
        cache_dir: keeps conversions under ``modules/`` and downloads under ``tfhub/``.

    Raises:
        UsageError: input_size does not fit the module, or the address is of no known kind.
        LegoclfError: the module cannot be had, read or converted, or gives no [N, D].
    """
    module = _find(handle, input_size, cache_dir)
    made_of = {"content": module.content, "converters": _versions(), "conversion": _CONVERSION}
    identity = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    entry = cache_dir / "modules" / identity
    meta = _read_entry(entry)
    if meta is None:
        LOGGER.info("Converting the feature vector %s; this happens once.", module.name)
        meta = _make_entry(entry, module, made_of)
    return FeatureVector(
        name=module.name,
        handle=handle or EMBEDDED,
        source=module.source,
        identity=identity,
        height=meta["height"],
        width=meta["width"],
        feature_size=meta["feature_size"],
        onnx_path=entry / ONNX_FILE,
        frozen_path=entry / FROZEN_FILE,
    )


def _find(handle: str | None, input_size: int | None, cache_dir: Path) -> _Module:
    if handle is None or handle == EMBEDDED:
        return _embedded(input_size)
    if not hub.is_url(handle):
        if not os.path.isdir(handle) and (name := application_name(handle)) is not None:
            return _embedded(input_size) if name == "MobileNetV2" else _application(name, input_size)
        folder = hub.local_module(handle)
        return _saved_model(folder, str(folder.resolve()), "saved_model", input_size)
    try:
        return _saved_model(hub.fetch(handle, cache_dir), handle, "hub", input_size)
    except LegoclfError as error:
        if not hub.is_embedded_family(handle):
            raise
        LOGGER.warning("%s; using the embedded copy of this checkpoint", str(error).partition(";")[0])
        return _embedded(input_size)


def _embedded(input_size: int | None) -> _Module:
    size = input_size or EMBEDDED_SIZE
    if size % 32 or not 96 <= size <= 512:
        raise UsageError(f"--input_size {size}: MobileNetV2 takes multiples of 32 from 96 to 512")
    content = {"weights": EMBEDDED_SHA256, "height": size, "width": size}
    _check_weights()
    return _Module(f"mobilenet_v2_100_{size}", "embedded", content, lambda: _freeze_embedded(size))


def _check_weights() -> None:
    try:
        found = sha256_file(str(EMBEDDED_WEIGHTS))
    except OSError as error:
        raise LegoclfError(f"the embedded weights cannot be read: {error}; reinstall legoclf") from error
    if found != EMBEDDED_SHA256:
        raise LegoclfError(
            f"{EMBEDDED_WEIGHTS} is damaged (sha256 {found}, expected {EMBEDDED_SHA256}): reinstall legoclf, "
            "or check the file out anew"
        )


def embedded_network(size: int) -> Any:
    """The embedded MobileNetV2 as a Keras model: float32 [N, size, size, 3], RGB in [-1, 1], to [N, 1280]."""
    _check_weights()
    return import_keras().applications.MobileNetV2(
        weights=str(EMBEDDED_WEIGHTS), include_top=False, pooling="avg", input_shape=(size, size, 3)
    )


def _freeze_embedded(size: int) -> GraphDef:
    network = embedded_network(size)
    # The network takes [-1, 1]. The scaling stays a step of its own: folded into the first convolution,
    # it would change what that convolution's zero padding stands for.
    return frozen.freeze(lambda image: network(image * 2 - 1, training=False), size, size)


def _application(name: str, input_size: int | None) -> _Module:
    size = input_size or default_size(name)
    function, weights = load_application(name, size)
    content = {"keras_application": name, "weights": weights, "height": size, "width": size}
    return _Module(name, "keras", content, lambda: frozen.freeze(function, size, size))


def _saved_model(folder: Path, handle: str, source: str, input_size: int | None) -> _Module:
    name = hub.short_name(handle)
    told = hub.size_from_name(name)
    content = {"saved_model": content_sha256(folder), "input_size": input_size, "told": told}

    def freeze() -> GraphDef:
        function, fixed = hub.load_function(folder)
        return frozen.freeze(function, *_choose_size(name, fixed, input_size, told))

    return _Module(name, source, content, freeze)


def _choose_size(
    name: str,
    fixed: tuple[int | None, int | None],
    input_size: int | None,
    told: tuple[int, int] | None,
) -> tuple[int, int]:
    """Height and width: what the module is fixed to, else what the caller asks, else what the name tells."""
    height, width = fixed
    if height is not None and width is not None:
        if input_size is not None and (height, width) != (input_size, input_size):
            raise UsageError(f"--input_size {input_size}: {name} takes {height}x{width} only")
        return height, width
    if input_size is not None:
        return input_size, input_size
    if told is None:
        raise LegoclfError(f"{name} does not tell its image size: pass --input_size (224 is the commonest)")
    LOGGER.info("%s takes images of any size; its name tells %dx%d.", name, *told)
    return told


def _versions() -> dict[str, str]:
    """The versions of the converters by package, without importing any."""
    found = {}
    for names in _CHAIN:
        for name in names:
            try:
                found[names[0]] = importlib.metadata.version(name)
                break
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


def _read_entry(entry: Path) -> dict[str, Any] | None:
    """The record of a kept conversion, or None where there is none, or a damaged one."""
    if not entry.exists():
        return None
    try:
        meta: dict[str, Any] = json.loads((entry / META_FILE).read_text(encoding="utf-8"))
        damaged = [
            name for name, sha256 in meta["sha256"].items() if sha256_file(str(entry / name)) != sha256
        ]
        reason = f"{', '.join(damaged)} changed" if damaged else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{META_FILE} or a file it names cannot be read ({error})"
    if reason:
        LOGGER.warning("The kept feature vector in %s is damaged: %s; making it anew.", entry, reason)
        shutil.rmtree(entry, ignore_errors=True)
        return None
    return meta


def _make_entry(entry: Path, module: _Module, made_of: dict[str, Any]) -> dict[str, Any]:
    """Convert a module into a new entry, which appears whole or not at all."""
    graph_def = module.freeze()
    height, width = frozen.image_size(graph_def)
    model = onnx_graph.feature_graph_to_onnx(graph_def)
    files = {FROZEN_FILE: frozen.serialize(graph_def), ONNX_FILE: onnx_graph.serialize(model)}
    meta = {
        "name": module.name,
        "height": height,
        "width": width,
        "feature_size": onnx_graph.feature_size(model),
        "made_of": made_of,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    files[META_FILE] = (json.dumps(meta, indent=2, sort_keys=True) + "\n").encode()
    try:
        with whole_folder(entry, META_FILE) as new:
            for name, data in files.items():
                (new / name).write_bytes(data)
    except OSError as error:
        raise LegoclfError(f"the converted feature vector cannot be kept in {entry}: {error}") from error
    return meta
