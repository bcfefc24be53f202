"""A user's own classifier, brought into the form of a bundle's graphs.

The model may be a SavedModel, a Keras file or a frozen graph. It keeps its own idea of what an image is (a
range of values, an order of colours): that becomes the first nodes of both graphs, so that the bundle takes
RGB in [0, 1] as every other does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legoclf.bundle import sha256_file
from legoclf.contract import InputContract, unit_range_contract
from legoclf.convert.foreign_frozen import open_frozen
from legoclf.convert.foreign_graph import (
    INPUT_RANGES,
    attach_softmax,
    output_kind,
    to_logits,
)
from legoclf.convert.foreign_keras import open_keras
from legoclf.convert.foreign_output import class_values
from legoclf.convert.foreign_saved_model import content_sha256, open_saved_model
from legoclf.convert.foreign_source import Source
from legoclf.convert.frozen import (
    FEATURES_NAME,
    FINAL_TENSOR_NAME,
    check_final_tensor_name,
    class_count,
    freeze,
)
from legoclf.convert.onnx_graph import attach_onnx_softmax, feature_graph_to_onnx
from legoclf.errors import LegoclfError, UsageError

if TYPE_CHECKING:
    from onnx import ModelProto
    from tensorflow.core.framework.graph_pb2 import GraphDef

OUTPUTS = ("logits", "probabilities")
_KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
_KNOWN = "a SavedModel's folder, a Keras file (.keras, .h5) or a frozen graph (.pb)"


@dataclass(frozen=True)
class Foreign:
    """A foreign classifier, converted.

    Attributes:
        frozen: ``input`` (alias ``Placeholder``) [N, H, W, 3] float32, RGB in [0, 1], to ``logits`` and the
            softmax, [N, C] float32. TensorFlow 1.15 loads it if it knows the operators.
        onnx: ``input`` [N, 3, H, W] to ``logits`` and ``probabilities``; opset 13, IR 7, N free; labels and
            contract in its metadata.
        labels: the C class names.
        contract: how an image becomes the input.
        provenance: what it was made of, for model.json.
    """

    frozen: GraphDef
    onnx: ModelProto
    labels: list[str]
    contract: InputContract
    provenance: dict[str, Any]


def load_foreign(
    path: str | Path,
    labels: Sequence[str],
    *,
    input_range: str,
    output: str | None = None,
    input_size: tuple[int, int] | None = None,
    geometry: str = "squash",
    resample: str = "area",
    input_tensor: str | None = None,
    output_tensor: str | None = None,
    final_tensor_name: str = FINAL_TENSOR_NAME,
) -> Foreign:
    """Read a classifier and convert it.

    Where the model ends in a softmax, ``logits`` are what goes into it. Where it gives probabilities that are
    made otherwise, ``logits`` are their logarithms, and the softmax of these are the probabilities again
    (divided by their sum where that is not 1). A single value is the second of two classes: of a sigmoid of
    z, or of a z told to be a logit, the logits are (0, z); of a probability p, (log(1 - p), log(p)).

    Args:
        path: a SavedModel's folder, a Keras file (.keras, .h5) or a frozen graph (.pb).
        labels: the class names in the order of the model's outputs.
        input_range: what the model was trained on, a key of
            :data:`legoclf.convert.foreign_graph.INPUT_RANGES`.
        output: ``logits`` or ``probabilities``, where the model does not show which it gives.
        input_size: height and width in pixels, for a model that leaves them free.
        geometry: how an image is brought to that size, as the model's training did it; see InputContract.
        resample: likewise.
        input_tensor: of a frozen graph, where the image goes in; found where it is plain to see.
        output_tensor: the output to take; found where it is plain to see.
        final_tensor_name: what the frozen graph calls its softmax.

    Raises:
        UsageError: a value that cannot be, or one left out that the model does not tell; it names the flag.
        LegoclfError: the model cannot be read or converted, or the labels do not fit it.
    """
    _check(input_range, output, final_tensor_name)
    path = Path(path)
    try:
        source = _open(path, input_tensor, output_tensor)
        height, width = _size(source, input_size)
        contract = InputContract.from_json(
            unit_range_contract(width, height)._replace(geometry=geometry, resample=resample).to_json()
        )
        wanted = None if source.kind == "frozen graph" else output_tensor
        scale = INPUT_RANGES[input_range]
        graph = freeze(lambda image: class_values(source.function(scale(image)), wanted), height, width)
        _check_labels(labels, class_count(graph, FEATURES_NAME))
        kind = output_kind(graph, output)
        graph = to_logits(graph, kind)
        model = attach_onnx_softmax(feature_graph_to_onnx(graph), _metadata(labels, contract))
    except LegoclfError as error:
        named = str(error).startswith(str(path))
        raise type(error)(str(error) if named else f"{path}: {error}") from error
    return Foreign(
        attach_softmax(graph, final_tensor_name),
        model,
        list(labels),
        contract,
        {
            "source": source.kind,
            "name": path.name,
            "sha256": content_sha256(path) if path.is_dir() else sha256_file(str(path)),
            "input_range": input_range,
            "output": kind,
        },
    )


def read_label_file(path: str | Path) -> list[str]:
    """The class names of a text file, one a line, UTF-8; spaces around them and empty lines at its end go.

    Raises:
        LegoclfError: the file cannot be read, a line before the last is empty, or a name stands there twice.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LegoclfError(f"--labels {path}: cannot be read as UTF-8 text: {error}") from error
    labels = [line.strip() for line in text.rstrip().split("\n")]
    places: dict[str, int] = {}
    for number, label in enumerate(labels, 1):
        if len(label.splitlines()) != 1:
            raise LegoclfError(f"--labels {path}: line {number} is no name; expected one class a line")
        if label in places:
            raise LegoclfError(
                f"--labels {path}: lines {places[label]} and {number} are both '{label}'; names must differ"
            )
        places[label] = number
    return labels


def parse_size(text: str) -> tuple[int, int]:
    """Height and width in pixels of ``224`` or ``192x160`` (height first).

    Raises:
        UsageError: it is neither.
    """
    sides = text.lower().split("x")
    if len(sides) not in (1, 2) or not all(side.isdecimal() and int(side) for side in sides):
        raise UsageError(f"--input_size {text}: expected pixels, as 224 or 192x160 (height x width)")
    return int(sides[0]), int(sides[-1])


def _check(input_range: str, output: str | None, final_tensor_name: str) -> None:
    if input_range not in INPUT_RANGES:
        raise UsageError(f"--input_range {input_range}: expected one of {', '.join(INPUT_RANGES)}")
    if output not in (None, *OUTPUTS):
        raise UsageError(f"--output {output}: expected {' or '.join(OUTPUTS)}")
    check_final_tensor_name(final_tensor_name)


def _open(path: Path, input_tensor: str | None, output_tensor: str | None) -> Source:
    """Find out what a path is and open it; the tensors' names are for frozen graphs."""
    if not path.exists():
        raise UsageError(f"no such file or folder; expected {_KNOWN}")
    folder = path.parent if path.name == "saved_model.pb" else path
    if folder.is_dir():
        if not (folder / "saved_model.pb").is_file():
            raise LegoclfError(f"the folder has no saved_model.pb; expected {_KNOWN}")
        return open_saved_model(folder)
    suffix = path.suffix.lower()
    if suffix in _KERAS_SUFFIXES:
        return open_keras(path)
    if suffix == ".pb":
        return open_frozen(path, input_tensor, output_tensor)
    raise UsageError(f"'{suffix}' is none of the formats that can be read; expected {_KNOWN}")


def _size(source: Source, asked: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width: what the model is fixed to, else what is asked for."""
    fixed = source.height, source.width
    if asked is not None and any(side not in (None, wish) for side, wish in zip(fixed, asked, strict=True)):
        takes = "x".join(str(side or "any") for side in fixed)
        raise UsageError(f"--input_size {asked[0]}x{asked[1]}: the model takes {takes} only")
    height, width = asked or fixed
    if height is None or width is None:
        raise UsageError("the model takes images of any size: pass --input_size (224 is the commonest)")
    return height, width


def _check_labels(labels: Sequence[str], values: int) -> None:
    classes = max(values, 2)
    if len(labels) != classes:
        what = "one value, which makes 2 classes" if values == 1 else f"{values} classes"
        raise LegoclfError(
            f"the model gives {what} and --labels names {len(labels)}: expected one line for each class, in "
            "the order of the outputs (some ImageNet models count a 'background' first)"
        )


def _metadata(labels: Sequence[str], contract: InputContract) -> dict[str, str]:
    return {
        "labels": json.dumps(list(labels), ensure_ascii=False),
        "input_contract": json.dumps(contract.to_json()),
    }
