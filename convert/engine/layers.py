"""The layers of an engine as TensorRT made them: kind, precision, and the time each takes."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

import numpy as np

from legoclf.jetson.tensorrt_runtime import Engine
from legoclf.jetson.tensorrt_session import TensorRTSession

#: The inspector's words for a tensor's type: TensorRT 8 "Row major linear FP16 format", TensorRT 10 "Half".
_PRECISIONS = (
    ("bf16", ("bfloat16", "bf16")),
    ("fp16", ("fp16", "half")),
    ("fp32", ("fp32", "float")),
    ("int8", ("int8",)),
    ("int32", ("int32",)),
    ("int64", ("int64",)),
    ("bool", ("bool",)),
)
_UNKNOWN = "?"


class Layer(NamedTuple):
    """One layer of an engine; several nodes of the ONNX may be in it, its name then has them all.

    Attributes:
        kind: TensorRT's type of layer, "?" where the engine was built without details.
        precision: of what it puts out, "fp32", "fp16", "int8"...; "?" where that is not told.
        ms: the median time of one execution; None where it was not measured.
    """

    name: str
    kind: str
    precision: str
    ms: Optional[float]


def layer_table(
    source: Union[TensorRTSession, Engine], batch: Optional[np.ndarray] = None, runs: int = 20
) -> List[Layer]:
    """The layers in the order of execution.

    Args:
        source: a session, or an engine alone, whose layers have no times.
        batch: float32 [N, 3, H, W] to time the layers of a session with; None: no times.

    Raises:
        LegoclfError: the engine's own table cannot be read.
    """
    times: Dict[str, float] = {}
    if isinstance(source, TensorRTSession):
        if batch is not None:
            times = source.layer_times(batch, runs)
        source = source.engine
    return [_layer(told, times) for told in source.layers()]


def format_table(layers: Sequence[Layer]) -> List[str]:
    """The table as lines of text, the total last where there are times."""
    rows = [("layer", "kind", "precision", "ms")]
    rows += [(_short(layer.name), layer.kind, layer.precision, _ms(layer.ms)) for layer in layers]
    timed = [layer.ms for layer in layers if layer.ms is not None]
    if timed:
        rows.append(("total", "", "", _ms(sum(timed))))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        "{}  {}  {}  {}".format(
            name.ljust(widths[0]), kind.ljust(widths[1]), precision.ljust(widths[2]), ms.rjust(widths[3])
        ).rstrip()
        for name, kind, precision, ms in rows
    ]


def _layer(told: Any, times: Dict[str, float]) -> Layer:
    if not isinstance(told, dict):  # built without details: only the name
        return Layer(str(told), _UNKNOWN, _UNKNOWN, times.get(str(told)))
    name = str(told.get("Name", _UNKNOWN))
    outputs = told.get("Outputs") or [{}]
    return Layer(
        name,
        str(told.get("LayerType", _UNKNOWN)),
        _precision(str(outputs[0].get("Format/Datatype", ""))),
        times.get(name),
    )


def _precision(told: str) -> str:
    lowered = told.lower()
    for precision, words in _PRECISIONS:
        if any(word in lowered for word in words):
            return precision
    return _UNKNOWN


def _short(name: str, width: int = 60) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"


def _ms(ms: Optional[float]) -> str:
    return "" if ms is None else "{:.3f}".format(ms)
