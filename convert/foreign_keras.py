"""Keras files (.keras, .h5) of other people's making, and Keras itself."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

from legoclf.convert.foreign_output import named_outputs
from legoclf.convert.foreign_source import Source, check_image
from legoclf.convert.frozen import import_tensorflow
from legoclf.errors import LegoclfError, missing_package

_UNKNOWN = re.compile(r"(?:Could not locate \w+|Unknown [\w ]+:) '([^']+)'")


def import_keras() -> Any:
    """The keras module on TensorFlow, imported quietly.

    Raises:
        LegoclfError: it is not installed, or set to another backend.
    """
    import_tensorflow()
    try:
        import keras
    except ImportError as error:
        raise missing_package("keras", "train") from error
    if keras.config.backend() != "tensorflow":
        raise LegoclfError(f"Keras is set to {keras.config.backend()}: unset KERAS_BACKEND")
    return keras


def open_keras(path: Path) -> Source:
    """A classifier in a Keras file.

    Raises:
        LegoclfError: the file cannot be loaded (damaged, weights alone, layers of one's own), or its model
            does not take one image.
    """
    keras = import_keras()
    if path.suffix.lower() == ".keras" and not zipfile.is_zipfile(path):
        raise LegoclfError("cannot be loaded as a Keras model (it is no zip archive); is the file whole?")
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:
        # Whatever h5py, zipfile and the layers' own constructors raise.
        raise LegoclfError(_reason(error)) from error
    inputs = getattr(model, "inputs", None)
    if not inputs:
        raise LegoclfError("the model was never built: call it once with an image, then save it")
    if len(inputs) != 1:
        names = ", ".join(f"{each.name} {list(each.shape)}" for each in inputs)
        raise LegoclfError(f"the model takes {len(inputs)} inputs ({names}); a classifier takes one image")
    height, width = check_image(inputs[0].name, tuple(inputs[0].shape), inputs[0].dtype)
    for layer in model._flatten_layers():
        # Of mixed precision, training keeps the weights in float32: so does the graph.
        if layer.dtype_policy.name.startswith("mixed_"):
            layer.dtype_policy = "float32"

    def function(image: Any) -> dict[str, Any]:
        with warnings.catch_warnings():
            # A model saved with a list of one input wants a list, and takes the image all the same.
            warnings.simplefilter("ignore")
            outputs = model(image, training=False)
        return named_outputs(outputs, getattr(model, "output_names", None))

    return Source(function, "Keras", height, width)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    unknown = _UNKNOWN.search(text)
    if unknown:
        return (
            f"the model has {unknown[1]}, which Keras does not know; where its code is, call "
            "model.export('folder'), and convert the folder"
        )
    if "No model config found" in text:
        return "the file holds weights without a model; save the model, model.save('model.keras')"
    return f"cannot be loaded as a Keras model ({text[:200] or type(error).__name__}); is the file whole?"
