"""Weights in FP16: what they lose, told rather than clipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import NodeProto

#: The largest finite FP16 number (IEEE 754 binary16).
FP16_LARGEST = 65504.0

#: Largest relative error of a weight tensor rounded to FP16. Rounding alone gives 2^-11, about 5e-4, at most.
WEIGHT_ERROR = 0.01


@dataclass(frozen=True)
class WeightLoss:
    """What a node's weight tensor loses in FP16.

    Attributes:
        node: the node that uses it.
        weights: the name of the initializer.
        overflowed: values beyond 65504.
        flushed: values other than 0 that become 0.
        error: L2 norm of the rounding error over that of the tensor; infinite where values overflow.
    """

    node: str
    weights: str
    overflowed: int
    flushed: int
    error: float

    @property
    def fits(self) -> bool:
        """Whether the tensor is still itself in FP16."""
        return self.error <= WEIGHT_ERROR

    def __str__(self) -> str:
        if self.overflowed:
            return f"{self.overflowed} values of {self.weights} are beyond FP16's {FP16_LARGEST:.0f}"
        return f"{self.flushed} values of {self.weights} become 0 in FP16; its error is {self.error:.2g}"


def halved(node: NodeProto, values: np.ndarray) -> np.ndarray:
    """float32 weights as float16; what overflows becomes infinite, except a Clip's bounds ("no bound")."""
    if node.op_type == "Clip":
        values = np.clip(values, -FP16_LARGEST, FP16_LARGEST)
    with np.errstate(over="ignore"):
        return values.astype(np.float16)


def weight_loss(node: NodeProto, name: str, values: np.ndarray) -> WeightLoss:
    """What a node's float32 weights, of such a name, lose in FP16."""
    rounded = halved(node, values)
    overflowed = int(np.count_nonzero(~np.isfinite(rounded)))
    flushed = int(np.count_nonzero((rounded == 0) & (values != 0)))
    error: float = np.inf
    if not overflowed:
        wide = values.astype(np.float64)
        norm = np.linalg.norm(wide)
        error = float(np.linalg.norm(rounded.astype(np.float64) - wide) / norm) if norm else 0.0
    return WeightLoss(node.name, name, overflowed, flushed, error)
