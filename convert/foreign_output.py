"""A foreign model's outputs: by name, and the one of them that holds a value for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from legoclf.convert.frozen import import_tensorflow
from legoclf.errors import LegoclfError, UsageError


def named_outputs(outputs: Any, names: Sequence[str] | None = None) -> dict[str, Any]:
    """The tensors that a model gives, by name: a dict's keys, or ``names``, or ``output_0`` and so on."""
    if isinstance(outputs, Mapping):
        return dict(outputs)
    listed = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    if names is None or len(names) != len(listed):
        names = [f"output_{index}" for index in range(len(listed))]
    return dict(zip(names, listed, strict=True))


def class_values(outputs: Mapping[str, Any], wanted: str | None) -> Any:
    """The output with a value for each class, as float32 [N, C], N free.

    Args:
        outputs: tensors by name.
        wanted: the name of one; needed where several could be it.

    Raises:
        UsageError: there is none of that name, or several could be it and none is named.
        LegoclfError: it is not [N, C], or N is fixed.
    """
    if wanted is not None:
        name = wanted.removesuffix(":0")
        if name not in outputs:
            raise UsageError(f"--output_tensor {wanted}: no such output; there are {_listed(outputs)}")
    else:
        candidates = [name for name, tensor in outputs.items() if _classes(tensor)]
        if len(outputs) > 1 and len(candidates) != 1:
            raise UsageError(f"the model has several outputs, {_listed(outputs)}: pass --output_tensor NAME")
        name = candidates[0] if candidates else next(iter(outputs))
    return _plain(name, outputs[name])


def _plain(name: str, tensor: Any) -> Any:
    tf = import_tensorflow()
    if not _classes(tensor):
        raise LegoclfError(
            f"the model gives '{name}' {shape_text(tensor)} {tensor.dtype.name}; expected a value for each "
            "class, [N, C] float32"
        )
    if tensor.shape[0] is not None:
        raise LegoclfError(
            f"the model gives '{name}' {shape_text(tensor)} for any number of images: it was saved for one "
            "batch size; save it for any (batch size None)"
        )
    between = list(range(1, tensor.shape.rank - 1))
    return tf.cast(tf.squeeze(tensor, between) if between else tensor, tf.float32)


def _classes(tensor: Any) -> int | None:
    """The C of a floating-point tensor [N, C] or [N, 1, ..., 1, C]; None for any other."""
    if not tensor.dtype.is_floating or tensor.shape.rank is None or tensor.shape.rank < 2:
        return None
    if any(size != 1 for size in tensor.shape[1:-1]):
        return None
    classes: int | None = tensor.shape[-1]
    return classes


def _listed(outputs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {shape_text(tensor)}" for name, tensor in sorted(outputs.items()))


def shape_text(tensor: Any) -> str:
    """A tensor's shape to be read by people, ``[N, 5]``."""
    if tensor.shape.rank is None:
        return "[unknown]"
    return f"[{', '.join('N' if size is None else str(size) for size in tensor.shape)}]"
