"""How strange an image is to a classifier: the graphs' output ``novelty``, and what it must be in NumPy.

Larger is stranger. From where on an image is too strange to be named is the bundle's rule, and no part of a
graph (:mod:`legoclf.novelty`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from legoclf.errors import LegoclfError
from legoclf.novelty import OUTPUT

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

#: Of the ONNX graphs an output, of the frozen graph a node, of the SavedModel a key.
NOVELTY_NAME = OUTPUT

KINDS = ("distance", "energy")

_ARRAYS = {"centre": 1, "projection": 2, "prototypes": 2, "basis": 2}


@dataclass(frozen=True, eq=False)
class Novelty:
    """What a graph computes its novelty by.

    ``distance``: of x = features - centre, the length of two parts that stand at right angles: from
    x @ projection to the nearest prototype, and what of x lies off the subspace of ``basis``, times
    residual_scale. Whoever fits it scales the arrays so that both are about 1 long on the images trained on.

    ``energy``: -logsumexp(logits) (Liu et al., Energy-based Out-of-distribution Detection, 2020).

    Attributes:
        kind: one of :data:`KINDS`.
        centre: float32 [D]; None for energy, as are the other arrays.
        projection: float32 [D, k].
        prototypes: float32 [K, k].
        basis: float32 [D, m], columns at right angles and 1 long.
        residual_scale: 0 leaves the second part out, and its nodes.

    Raises:
        LegoclfError: an array is missing, or there for energy; it does not fit the others, or is not finite.
    """

    kind: Literal["distance", "energy"]
    centre: np.ndarray | None = None
    projection: np.ndarray | None = None
    prototypes: np.ndarray | None = None
    basis: np.ndarray | None = None
    residual_scale: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise LegoclfError(f"novelty '{self.kind}': expected one of {', '.join(KINDS)}")
        for name, rank in _ARRAYS.items():
            values = getattr(self, name)
            if (values is None) != (self.kind == "energy"):
                needs = "takes no" if self.kind == "energy" else "lacks its"
                raise LegoclfError(f"novelty by {self.kind} {needs} {name}")
            if values is not None:
                object.__setattr__(self, name, _checked(name, values, rank))
        if not 0 <= self.residual_scale < float("inf"):
            raise LegoclfError(f"novelty's residual_scale is {self.residual_scale}: expected 0 or more")
        if self.kind == "distance":
            _check_fit(*self.arrays())

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Centre, projection, prototypes and basis of a distance."""
        found = (self.centre, self.projection, self.prototypes, self.basis)
        assert all(values is not None for values in found)
        return cast("tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]", found)

    def check_features(self, size: int) -> None:
        """Refuse a feature vector of another D than the centre's.

        Raises:
            LegoclfError: with both numbers.
        """
        if self.centre is not None and len(self.centre) != size:
            raise LegoclfError(
                f"the novelty takes {len(self.centre)} features; this feature vector gives {size}: "
                "fit it to this one's"
            )

    def of(self, features: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """What a graph must give: features [N, D] and logits [N, C], both float32, to float32 [N].

        Raises:
            LegoclfError: the features are of another D.
        """
        if self.kind == "energy":
            largest = logits.max(axis=1, keepdims=True)
            energy: np.ndarray = -(np.log(np.exp(logits - largest).sum(axis=1)) + largest[:, 0])
            return energy
        self.check_features(features.shape[1])
        centre, projection, prototypes, basis = self.arrays()
        centred = features - centre
        differences = (centred @ projection)[:, None] - prototypes
        squares: np.ndarray = np.square(differences).sum(axis=2).min(axis=1)
        if self.residual_scale:
            residual = centred - (centred @ basis) @ basis.T
            squares = squares + np.square(residual * np.float32(self.residual_scale)).sum(axis=1)
        distance: np.ndarray = np.sqrt(squares)
        return distance


def novelty_of(model: ModelProto) -> Novelty | None:
    """What :func:`onnx_novelty` made the output of an FP32 model by; None if it has none.

    A distance whose residual was left out has lost its basis, which counted for nothing.
    """
    from onnx import numpy_helper

    if NOVELTY_NAME not in {value.name for value in model.graph.output}:
        return None
    found = {
        tensor.name.partition(".")[2]: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.name.startswith(f"{NOVELTY_NAME}.")
    }
    if "centre" not in found:
        return Novelty("energy")
    basis = found.get("basis", np.zeros((len(found["centre"]), 1), np.float32))
    scale = float(found.get("residual_scale", np.zeros(1))[0])
    return Novelty("distance", found["centre"], found["projection"], found["prototypes"], basis, scale)


def tensorflow_novelty(tf: Any, novelty: Novelty, features: Any, logits: Any) -> None:
    """Add the node ``novelty``, [N] float32, and under ``head/`` those before it to TensorFlow's graph.

    Args:
        tf: the module; its graph is the one that is built.
        features: tensor [N, D].
        logits: tensor [N, C].
    """
    if novelty.kind == "energy":
        largest = tf.reduce_max(logits, 1, keepdims=True, name="head/largest_logit")
        below = tf.subtract(logits, largest, name="head/below_largest")
        exponentials = tf.exp(below, name="head/exponentials")
        total = tf.reduce_sum(exponentials, 1, keepdims=True, name="head/exponentials_sum")
        log = tf.math.log(total, name="head/exponentials_log")
        energy = tf.add(log, largest, name="head/log_sum_exp")
        tf.negative(tf.squeeze(energy, [1], name="head/log_sum_exp_row"), name=NOVELTY_NAME)
        return
    *arrays, basis = novelty.arrays()
    centre, projection, prototypes = (
        tf.constant(values, tf.float32, name=f"head/{name}")
        for name, values in zip(_ARRAYS, arrays, strict=False)
    )
    centred = tf.subtract(features, centre, name="head/centred")
    projected = tf.matmul(centred, projection, name="head/projected")
    differences = tf.subtract(
        tf.expand_dims(projected, 1, name="head/projected_row"), prototypes, name="head/differences"
    )
    squares = tf.reduce_sum(tf.square(differences, name="head/squares"), 2, name="head/squares_sum")
    total = tf.reduce_min(squares, 1, name="head/nearest")
    if novelty.residual_scale:
        subspace = tf.constant(basis, tf.float32, name="head/basis")
        filled = tf.matmul(centred, subspace, name="head/filled")
        within = tf.matmul(filled, subspace, transpose_b=True, name="head/within")
        scale = tf.constant(novelty.residual_scale, tf.float32, name="head/residual_scale")
        residual = tf.multiply(tf.subtract(centred, within, name="head/off"), scale, name="head/residual")
        off = tf.reduce_sum(tf.square(residual, name="head/off_squares"), 1, name="head/off_squares_sum")
        total = tf.add(total, off, name="head/total")
    tf.sqrt(total, name=NOVELTY_NAME)


def onnx_novelty(
    novelty: Novelty, features: str, logits: str
) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    """The nodes that make ``novelty``, [N] float32, of opset 13, and their constants by name.

    Only operators that the parsers of all targets take, and no Clip: those of an ONNX graph are counted as
    activations (:mod:`legoclf.convert.explain`), and TensorRT 8.2 reads their FP16 bounds as FP32. Each is
    one layer of TensorRT, of the node's name, so that a node to keep in FP32 can be found by it: of Gemm or
    ReduceL2 the parser makes several.

    Args:
        features: name of the tensor [N, D].
        logits: name of the tensor [N, C].
    """
    axes = np.array([1], np.int64)
    if novelty.kind == "energy":
        return _energy_nodes(logits), {"novelty.axes": axes}
    centre, projection, prototypes, basis = novelty.arrays()
    constants = {
        "novelty.axes": axes,
        "novelty.last_axes": np.array([2], np.int64),
        "novelty.centre": centre,
        "novelty.projection": projection,
        "novelty.prototypes": prototypes,
    }
    nodes = [
        _node("Sub", [features, "novelty.centre"], "novelty.centred"),
        _node("MatMul", ["novelty.centred", "novelty.projection"], "novelty.projected"),
        _node("Unsqueeze", ["novelty.projected", "novelty.axes"], "novelty.row"),
        _node("Sub", ["novelty.row", "novelty.prototypes"], "novelty.differences"),
        _node("Mul", ["novelty.differences", "novelty.differences"], "novelty.squares"),
        _node("ReduceSum", ["novelty.squares", "novelty.last_axes"], "novelty.squares_sum", keepdims=0),
        _node("ReduceMin", ["novelty.squares_sum"], "novelty.nearest", axes=[1], keepdims=0),
    ]
    if not novelty.residual_scale:
        return [*nodes, _node("Sqrt", ["novelty.nearest"], NOVELTY_NAME)], constants
    constants["novelty.basis"] = basis
    constants["novelty.basis_transposed"] = np.ascontiguousarray(basis.T)
    constants["novelty.residual_scale"] = np.array([novelty.residual_scale], np.float32)
    return [*nodes, *_residual_nodes(), _node("Sqrt", ["novelty.total"], NOVELTY_NAME)], constants


def _energy_nodes(logits: str) -> list[NodeProto]:
    return [
        _node("ReduceMax", [logits], "novelty.largest", axes=[1], keepdims=1),
        _node("Sub", [logits, "novelty.largest"], "novelty.below"),
        _node("Exp", ["novelty.below"], "novelty.exponentials"),
        _node("ReduceSum", ["novelty.exponentials", "novelty.axes"], "novelty.total", keepdims=1),
        _node("Log", ["novelty.total"], "novelty.log"),
        _node("Add", ["novelty.log", "novelty.largest"], "novelty.log_sum_exp"),
        _node("Squeeze", ["novelty.log_sum_exp", "novelty.axes"], "novelty.row"),
        _node("Neg", ["novelty.row"], NOVELTY_NAME),
    ]


def _residual_nodes() -> list[NodeProto]:
    return [
        _node("MatMul", ["novelty.centred", "novelty.basis"], "novelty.filled"),
        _node("MatMul", ["novelty.filled", "novelty.basis_transposed"], "novelty.within"),
        _node("Sub", ["novelty.centred", "novelty.within"], "novelty.off"),
        _node("Mul", ["novelty.off", "novelty.residual_scale"], "novelty.residual"),
        _node("Mul", ["novelty.residual", "novelty.residual"], "novelty.off_squares"),
        _node("ReduceSum", ["novelty.off_squares", "novelty.axes"], "novelty.off_squares_sum", keepdims=0),
        _node("Add", ["novelty.nearest", "novelty.off_squares_sum"], "novelty.total"),
    ]


def _node(operator: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    from onnx import helper

    # Named after what it gives, as all nodes of a converted graph are.
    node: NodeProto = helper.make_node(operator, inputs, [output], name=output, **attributes)
    return node


def _checked(name: str, values: np.ndarray, rank: int) -> np.ndarray:
    values = np.ascontiguousarray(values, np.float32)
    if values.ndim != rank or not values.size or not np.isfinite(values).all():
        raise LegoclfError(
            f"novelty's {name} is {list(values.shape)}: expected finite numbers in {rank} "
            f"dimension{'s' * (rank > 1)}; fit it anew"
        )
    return values


def _check_fit(centre: np.ndarray, projection: np.ndarray, prototypes: np.ndarray, basis: np.ndarray) -> None:
    if (
        not len(centre) == len(projection) == len(basis)
        or projection.shape[1] != prototypes.shape[1]
        or basis.shape[1] > len(basis)
    ):
        shapes = ", ".join(str(list(values.shape)) for values in (centre, projection, prototypes))
        raise LegoclfError(
            "novelty needs centre [D], projection [D, k], prototypes [K, k] and basis [D, m]; got "
            f"{shapes} and {list(basis.shape)}"
        )
