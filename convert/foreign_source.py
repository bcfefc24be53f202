"""What an opened classifier of other people's making is, whatever format it came in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from legoclf.errors import LegoclfError


@dataclass(frozen=True)
class Source:
    """A model found.

    Attributes:
        function: takes a float32 tensor [N, H, W, 3] in the model's own range, gives its outputs by name.
            It keeps the model alive. Inference only.
        kind: ``SavedModel``, ``Keras`` or ``frozen graph``.
        height, width: what the model is fixed to, in pixels; None: free.
    """

    function: Callable[[Any], dict[str, Any]]
    kind: str
    height: int | None
    width: int | None


def check_image(name: str, shape: tuple[int | None, ...] | None, dtype: str) -> tuple[int | None, int | None]:
    """The height and width of an input [N, H, W, 3] float32; None where free.

    Args:
        name: the input's.
        shape: None where even the rank is free.

    Raises:
        LegoclfError: it is no such input.
    """
    if dtype != "float32":
        raise LegoclfError(
            f"the model's input '{name}' is {dtype}; expected images as float32 [N, H, W, 3] (of a frozen "
            "graph, --input_tensor can name the tensor behind its decoding or cast)"
        )
    if shape is None:
        return None, None
    if len(shape) != 4 or shape[3] not in (3, None):
        sizes = ", ".join("N" if size is None else str(size) for size in shape)
        first = " (channels first)" if len(shape) == 4 and shape[1] == 3 else ""
        raise LegoclfError(f"the model's input '{name}' is [{sizes}]{first}; expected images [N, H, W, 3]")
    return shape[1], shape[2]
