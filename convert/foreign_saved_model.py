"""SavedModels of other people's making, of TensorFlow 2 and 1."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from legoclf.bundle import sha256_file
from legoclf.convert.foreign_frozen import use_defaults
from legoclf.convert.foreign_output import named_outputs
from legoclf.convert.foreign_source import Source, check_image
from legoclf.convert.frozen import import_tensorflow
from legoclf.errors import LegoclfError

# In the order of preference; others are taken where there is one alone.
_KEYS = ("serving_default", "predict", "default")


def open_saved_model(folder: Path) -> Source:
    """A classifier in a SavedModel: its signature, or else the function that it is called as.

    Raises:
        LegoclfError: the SavedModel cannot be read, or nothing in it takes one image.
    """
    tf = import_tensorflow()
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    saved = SavedModel()
    try:
        saved.ParseFromString((folder / "saved_model.pb").read_bytes())
        if not saved.meta_graphs:
            raise LegoclfError("saved_model.pb holds no graph; is the file whole?")
        if all(meta_graph.HasField("object_graph_def") for meta_graph in saved.meta_graphs):
            return _open_tf2(folder)
        return _open_tf1(folder, [list(meta_graph.meta_info_def.tags) for meta_graph in saved.meta_graphs])
    except (OSError, ValueError, RuntimeError, KeyError, DecodeError, tf.errors.OpError) as error:
        cause = str(error).strip().partition("\n")[0]
        raise LegoclfError(f"cannot be read as a SavedModel: {cause}") from error


def content_sha256(folder: Path) -> str:
    """One hash over a SavedModel: the relative path and the bytes of every file that makes it what it is."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        # fingerprint.pb differs at each save of the same model.
        if path.name != "fingerprint.pb":
            digest = sha256_file(str(path))
            whole.update(f"{path.relative_to(folder).as_posix()}\0{digest}\n".encode())
    return whole.hexdigest()


def _open_tf2(folder: Path) -> Source:
    module = import_tensorflow().saved_model.load(str(folder))
    inputs = {
        key: {
            name: (spec.shape, spec.dtype) for name, spec in signature.structured_input_signature[1].items()
        }
        for key, signature in module.signatures.items()
    }
    if inputs or not callable(module):
        key = _signature_key(inputs)
        [(name, (shape, dtype))] = inputs[key].items()
        height, width = check_image(name, _sizes(shape), dtype.name)
        return Source(partial(_call_signature, module, key, name), "SavedModel", height, width)
    for trace in getattr(module.__call__, "concrete_functions", []):
        images = [spec for spec in trace.structured_input_signature[0] if hasattr(spec, "shape")]
        if len(images) != 1:
            raise LegoclfError(f"the model takes {len(images)} tensors; a classifier takes one image")
        height, width = check_image(images[0].name or "image", _sizes(images[0].shape), images[0].dtype.name)
        return Source(partial(_call, module), "SavedModel", height, width)
    raise LegoclfError("the SavedModel has neither a signature nor a traced function; save it with one")


def _open_tf1(folder: Path, known_tags: list[list[str]]) -> Source:
    """Frozen in a session: TensorFlow 2 does not lift the reference variables of TensorFlow 1."""
    tf = import_tensorflow()
    tags = next((tags for tags in (["serve"], []) if tags in known_tags), known_tags[0])
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        signatures = tf.compat.v1.saved_model.load(session, tags, str(folder)).signature_def
        inputs = {
            key: {name: (graph.get_tensor_by_name(info.name).shape, tf.as_dtype(info.dtype))
                  for name, info in signature.inputs.items()}
            for key, signature in signatures.items()
        }  # fmt: skip
        signature = signatures[_signature_key(inputs)]
        [info] = signature.inputs.values()
        image = graph.get_tensor_by_name(info.name)
        height, width = check_image(info.name, _sizes(image.shape), image.dtype.name)
        outputs = {name: output.name for name, output in signature.outputs.items()}
        constants = tf.compat.v1.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), [name.partition(":")[0] for name in outputs.values()]
        )
    use_defaults(constants)

    def function(image: Any) -> dict[str, Any]:
        tensors = tf.graph_util.import_graph_def(
            constants, {info.name: image}, list(outputs.values()), name=""
        )
        return dict(zip(outputs, tensors, strict=True))

    return Source(function, "SavedModel", height, width)


def _signature_key(inputs: Mapping[str, Mapping[str, Any]]) -> str:
    """The signature to use, of those there are, each with its inputs."""
    keys = [key for key in inputs if not key.startswith("__")]
    chosen = next((key for key in _KEYS if key in keys), keys[0] if len(keys) == 1 else None)
    if chosen is None:
        raise LegoclfError(
            f"the SavedModel has no signature 'serving_default' or 'predict' "
            f"(its signatures: {', '.join(sorted(keys)) or 'none'}); save it with one"
        )
    if len(inputs[chosen]) != 1:
        names = ", ".join(sorted(inputs[chosen]))
        raise LegoclfError(
            f"the signature '{chosen}' takes {len(inputs[chosen])} inputs ({names}); "
            "a classifier takes one image"
        )
    return chosen


def _sizes(shape: Any) -> tuple[int | None, ...] | None:
    return None if shape.rank is None else tuple(shape)


def _call(module: Any, image: Any) -> dict[str, Any]:
    try:
        return named_outputs(module(image))
    except (TypeError, ValueError):
        # A module for fine-tuning may want to be told that this is inference.
        return named_outputs(module(image, training=False))


def _call_signature(module: Any, key: str, input_name: str, image: Any) -> dict[str, Any]:
    # By way of the module: a signature alone does not keep its variables alive.
    return named_outputs(module.signatures[key](**{input_name: image}))
