"""TF-Hub handles: a module's folder, fetched where it is not here, and the function inside it.

TensorFlow reads them; TensorFlow Hub serves only to download. Three formats are known: TF2 modules that can
be called, TF2 SavedModels with a signature, and modules of TensorFlow 1.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from legoclf.convert.frozen import import_tensorflow
from legoclf.data.fetching import SOCKET_TIMEOUT_S, socket_timeout
from legoclf.errors import LegoclfError, UsageError

CACHE_VARIABLE = "TFHUB_CACHE_DIR"

_EMBEDDED_FAMILY = re.compile(r"(.*/)?imagenet/mobilenet_v2_100_224/feature_vector(/\d+)?/?")
_SIZE_IN_NAME = re.compile(r"[_-](\d{2,3})(?:x(\d{2,3}))?(?![\dx])")
_GENERIC_PARTS = {"feature_vector", "feature-vector", "classification", ""}
# Modules whose names tell no size; the sizes they were trained at.
_SIZES_BY_FAMILY = {"inception": 299, "nasnet_large": 331, "nasnet_mobile": 224, "resnet_v": 224}


def is_embedded_family(handle: str) -> bool:
    """Whether a handle names the checkpoint that is embedded, on any host and in any version."""
    return _EMBEDDED_FAMILY.fullmatch(handle) is not None


def is_url(handle: str) -> bool:
    """Whether a handle is an address, not a folder."""
    return "://" in handle


def short_name(handle: str) -> str:
    """The part of a handle that people call the module by: …/imagenet/NAME/feature_vector/4 is NAME."""
    parts = [part for part in re.split(r"[/\\]", handle) if part not in _GENERIC_PARTS and not part.isdigit()]
    return parts[-1] if parts else handle


def size_from_name(name: str) -> tuple[int, int] | None:
    """Height and width, in pixels, as a module's name tells them (``_224``, ``_192x160``), or None."""
    for height, width in reversed(_SIZE_IN_NAME.findall(name)):
        size = int(height), int(width or height)
        # `resnet_v2_50` and `_101` are depths: sizes are multiples of 16, or Inception's and NASNet's.
        if all(side >= 64 and (side % 16 == 0 or side in (299, 331)) for side in size):
            return size
    for family, side in _SIZES_BY_FAMILY.items():
        if family in name:
            return side, side
    return None


def local_module(handle: str) -> Path:
    """The folder a handle names.

    Raises:
        LegoclfError: there is no such folder, or it holds no SavedModel.
    """
    folder = Path(handle).expanduser()
    if not folder.is_dir():
        raise LegoclfError(
            f"--tfhub_module {handle}: no such folder, no address and no name of Keras Applications; give a "
            "module's folder, its address (https://…), such a name (EfficientNetV2B0), or nothing for the "
            "embedded MobileNetV2"
        )
    if not (folder / "saved_model.pb").is_file():
        raise LegoclfError(
            f"--tfhub_module {handle}: the folder has no saved_model.pb; give the folder that the module's "
            ".tar.gz unpacks to"
        )
    return folder


def fetch(handle: str, cache_dir: Path) -> Path:
    """The folder of the module at an address, downloaded where the cache does not have it.

    Modules are kept as TensorFlow Hub keeps them, under ``$TFHUB_CACHE_DIR`` or else ``cache_dir/tfhub``.

    Raises:
        UsageError: the address is of a kind that cannot be fetched.
        LegoclfError: the module cannot be had; the message says how to bring it.
    """
    if not handle.startswith(("http://", "https://")):
        raise UsageError(f"--tfhub_module {handle}: give an http(s) address or a folder")
    root = Path(os.environ.get(CACHE_VARIABLE) or cache_dir / "tfhub")
    # TensorFlow Hub's own name for it: found there, neither it nor TensorFlow need be imported.
    kept = root / hashlib.sha1(handle.encode()).hexdigest()
    if not (kept / "saved_model.pb").is_file():
        kept = _download(handle, root)
    if not (kept / "saved_model.pb").is_file():
        raise LegoclfError(f"--tfhub_module {handle}: what came ({kept}) has no saved_model.pb; delete it")
    return kept


def load_function(folder: Path) -> tuple[Callable[[Any], Any], tuple[int | None, int | None]]:
    """The function of a module and the height and width it is fixed to (None: free).

    The function takes [N, H, W, 3] float32, RGB in [0, 1], and keeps the module alive. Inference only.

    Raises:
        LegoclfError: the SavedModel cannot be read, or has no function that takes an image.
    """
    tf = import_tensorflow()
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    saved = SavedModel()
    try:
        saved.ParseFromString((folder / "saved_model.pb").read_bytes())
        if all(meta_graph.HasField("object_graph_def") for meta_graph in saved.meta_graphs):
            return _load_tf2(folder)
        return _load_tf1(folder, [list(meta_graph.meta_info_def.tags) for meta_graph in saved.meta_graphs])
    except (OSError, ValueError, RuntimeError, KeyError, DecodeError, tf.errors.OpError) as error:
        raise LegoclfError(f"{folder} cannot be read as a SavedModel: {error}") from error


def _load_tf2(folder: Path) -> tuple[Callable[[Any], Any], tuple[int | None, int | None]]:
    module = import_tensorflow().saved_model.load(str(folder))
    specs = {
        key: dict(signature.structured_input_signature[1]) for key, signature in module.signatures.items()
    }
    if callable(module):
        traces = getattr(module.__call__, "concrete_functions", [])
        arguments = [trace.structured_input_signature[0] for trace in traces]
        shapes = [getattr(positional[0], "shape", None) for positional in arguments if positional]
        return partial(_call, module), _fixed_size(shapes)
    key = _signature_key(folder, specs)
    [(input_name, spec)] = specs[key].items()
    return partial(_call_signature, module, key, input_name), _fixed_size([spec.shape])


def _load_tf1(
    folder: Path, known_tags: list[list[str]]
) -> tuple[Callable[[Any], Any], tuple[int | None, int | None]]:
    """A module of TensorFlow 1, frozen in a session: TensorFlow 2 does not lift its reference variables."""
    tf = import_tensorflow()
    # TensorFlow Hub tags the variant for inference with nothing, others with 'serve'.
    tags = next((tags for tags in ([], ["serve"]) if tags in known_tags), known_tags[0])
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        signatures = tf.compat.v1.saved_model.load(session, tags, str(folder)).signature_def
        signature = signatures[_signature_key(folder, {key: each.inputs for key, each in signatures.items()})]
        [input_info] = signature.inputs.values()
        output_info = _plain_output(signature.outputs)
        if isinstance(output_info, dict):
            raise LegoclfError(f"{folder}: the module gives {sorted(output_info)}, not one tensor [N, D]")
        constants = tf.compat.v1.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), [output_info.name.partition(":")[0]]
        )
        shape = graph.get_tensor_by_name(input_info.name).shape

    def function(image: Any) -> Any:
        ends = {input_info.name: image}
        return tf.graph_util.import_graph_def(constants, ends, [output_info.name], name="")[0]

    return function, _fixed_size([shape])


def _signature_key(folder: Path, inputs: Mapping[str, Mapping[str, Any]]) -> str:
    """The signature to use, of those there are (each with its inputs)."""
    for key in ("serving_default", "default"):
        if key in inputs:
            if len(inputs[key]) != 1:
                raise LegoclfError(
                    f"{folder}: the signature '{key}' takes {sorted(inputs[key])}, not one image"
                )
            return key
    raise LegoclfError(
        f"{folder}: the SavedModel cannot be called and has no signature 'serving_default' or 'default' "
        f"(its signatures: {', '.join(sorted(inputs)) or 'none'})"
    )


def _plain_output(outputs: Mapping[str, Any]) -> Any:
    """The output of a signature: the one there is, or 'default' among the layers that a TF1 module gives."""
    if "default" in outputs:
        return outputs["default"]
    return next(iter(outputs.values())) if len(outputs) == 1 else dict(outputs)


def _download(handle: str, root: Path) -> Path:
    tf = import_tensorflow()
    try:
        import tensorflow_hub
    except ImportError as error:
        raise LegoclfError(
            f"--tfhub_module {handle}: to download it, "
            "pip install --no-deps tensorflow-hub tf-keras 'setuptools<82'"
        ) from error
    try:
        with _hub_settings(root):
            return Path(tensorflow_hub.resolve(handle))
    except (OSError, ValueError, EOFError, tf.errors.OpError) as error:
        raise LegoclfError(
            f"--tfhub_module {handle}: cannot be fetched ({error}); on a connected machine download "
            f"{handle}?tf-hub-format=compressed (a .tar.gz), unpack it, and pass the folder as "
            f"--tfhub_module; or set {CACHE_VARIABLE} to TensorFlow Hub's cache of a machine that has it"
        ) from error


@contextmanager
def _hub_settings(root: Path) -> Iterator[None]:
    """Where TensorFlow Hub keeps modules, and a socket timeout."""
    variable = os.environ.get(CACHE_VARIABLE)
    os.environ[CACHE_VARIABLE] = str(root)
    try:
        with socket_timeout(SOCKET_TIMEOUT_S):
            yield
    finally:
        if variable is None:
            del os.environ[CACHE_VARIABLE]
        else:
            os.environ[CACHE_VARIABLE] = variable


def _call(module: Any, image: Any) -> Any:
    try:
        return module(image)
    except (TypeError, ValueError):
        # Modules for fine-tuning may want to be told that this is inference.
        return module(image, training=False)


def _call_signature(module: Any, key: str, input_name: str, image: Any) -> Any:
    # By way of the module: a signature alone does not keep its variables alive.
    return _plain_output(module.signatures[key](**{input_name: image}))


def _fixed_size(shapes: list[Any]) -> tuple[int | None, int | None]:
    for shape in shapes:
        if shape is not None and shape.rank == 4:
            return shape[1], shape[2]
    return None, None
