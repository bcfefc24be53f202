"""The ways to run a bundle: each of its graphs as a function from tensors to answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from legoclf.bundle import (
    FP16_MODEL,
    FROZEN_GRAPH,
    INT8_MODEL,
    JETSON_INFERENCE_MODEL,
    ONNX_MODEL,
    SAVED_MODEL,
    Bundle,
)
from legoclf.convert.flavours import IMAGENET_MEAN, IMAGENET_STD, JETSON_INFERENCE_OUTPUT
from legoclf.convert.frozen import FINAL_TENSOR_NAME, INPUT_NAME, LOGITS_NAME, import_tensorflow, read_frozen
from legoclf.convert.graph_def import duplicate
from legoclf.convert.novelty import NOVELTY_NAME
from legoclf.convert.onnx_graph import PROBABILITIES_NAME
from legoclf.convert.ranges import QUANTISED_AS_WRITTEN, emulate
from legoclf.convert.saved_model import SIGNATURE_INPUT, SIGNATURE_OUTPUT
from legoclf.errors import LegoclfError, missing_package

if TYPE_CHECKING:
    from onnx import ModelProto
    from tensorflow.core.framework.graph_pb2 import GraphDef

FP32, FP16, INT8 = FAMILIES = ("fp32", "fp16", "int8")


class Answer(NamedTuple):
    """What a graph says of a batch: float32 [N, C], but the novelty [N]; None is what it does not give."""

    logits: np.ndarray | None
    probabilities: np.ndarray
    novelty: np.ndarray | None = None


#: Takes float32 [N, 3, H, W], as the contract makes it.
Runner = Callable[[np.ndarray], Answer]


class NotHereError(Exception):
    """A graph that cannot run on this machine, for a reason that is no fault of the bundle."""


@dataclass(frozen=True)
class GraphPath:
    """One way to run a bundle: its name in tables, its file, the precision it is judged by, how to start it.

    ``open`` raises NotHereError where the machine lacks what it takes, LegoclfError where the file is bad.
    """

    name: str
    file: str
    family: str
    open: Callable[[], AbstractContextManager[Runner]]

    @property
    def is_reference(self) -> bool:
        """Whether the others are compared with this one."""
        return self.file == ONNX_MODEL


def bundle_paths(bundle: Bundle) -> list[GraphPath]:
    """All ways to run a bundle, model.onnx first, engines last."""
    final = bundle.provenance.get("final_tensor_name", FINAL_TENSOR_NAME)
    saved_model = f"{SAVED_MODEL}/saved_model.pb"

    def file(name: str) -> str:
        return bundle.file(name)

    candidates = [
        GraphPath("ONNX", ONNX_MODEL, FP32, lambda: _onnx(file(ONNX_MODEL))),
        GraphPath("frozen graph", FROZEN_GRAPH, FP32, lambda: _frozen(file(FROZEN_GRAPH), final)),
        GraphPath("SavedModel", saved_model, FP32, lambda: _saved_model(file(saved_model))),
        GraphPath(
            "jetson-inference ONNX",
            JETSON_INFERENCE_MODEL,
            FP32,
            lambda: _jetson_inference(file(JETSON_INFERENCE_MODEL)),
        ),
        GraphPath("FP16 ONNX", FP16_MODEL, FP16, lambda: _fp16(file(FP16_MODEL))),
        GraphPath("INT8 ONNX", INT8_MODEL, INT8, lambda: _onnx(file(INT8_MODEL))),
    ]
    return [path for path in candidates if path.file in bundle.files]


class OnnxGraph:
    """An ONNX graph in ONNX Runtime, run in pieces where its batch is fixed.

    Args:
        model: the path of a file, or a model.
        name: what errors call it.
        optimized: False runs every node as it stands, so that each one's output is its own.
    """

    def __init__(self, model: str | ModelProto, name: str, optimized: bool = True) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise missing_package("onnxruntime", "train") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.add_session_config_entry(*QUANTISED_AS_WRITTEN)
        if not optimized:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        content = model if isinstance(model, str) else model.SerializeToString()
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own errors share no base class
            raise LegoclfError(f"{name}: ONNX Runtime does not load it: {error}") from error
        self.name = name
        first = self._session.get_inputs()[0]
        self.input: str = first.name
        #: The batch it takes, None where it takes any.
        self.batch: int | None = first.shape[0] if isinstance(first.shape[0], int) else None
        self.outputs: list[str] = [output.name for output in self._session.get_outputs()]

    def run(self, names: Sequence[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs of these names; every feed has the same N.

        Raises:
            LegoclfError: the graph has no such output, or does not take the feeds.
        """
        missing = sorted(set(names) - set(self.outputs))
        if missing:
            raise LegoclfError(
                f"{self.name}: has no output {', '.join(missing)}; it has {', '.join(self.outputs)}"
            )
        try:
            result: list[np.ndarray] = self._session.run(list(names), feeds)
        except Exception as error:  # as above
            raise LegoclfError(f"{self.name}: ONNX Runtime does not run it: {error}") from error
        return result

    def answer(self, tensors: np.ndarray) -> Answer:
        """Logits, probabilities and, where the graph has it, the novelty of float32 [N, 3, H, W]."""
        names = [LOGITS_NAME, PROBABILITIES_NAME, *([NOVELTY_NAME] if NOVELTY_NAME in self.outputs else [])]
        return Answer(
            *in_pieces(lambda piece: self.run(names, {self.input: piece}), tensors, self.batch, self.batch)
        )


def in_pieces(
    run: Callable[[np.ndarray], list[np.ndarray]],
    tensors: np.ndarray,
    smallest: int | None,
    largest: int | None,
) -> list[np.ndarray]:
    """Run a batch of any size on what takes from ``smallest`` to ``largest`` images; None is any number.

    A piece that is too small is filled up with its last image, and the answers to that are dropped.
    """
    size = largest or len(tensors)
    pieces = []
    for start in range(0, len(tensors), size):
        piece = tensors[start : start + size]
        missing = max(0, (smallest or 1) - len(piece))
        filled = np.concatenate([piece, np.repeat(piece[-1:], missing, axis=0)]) if missing else piece
        pieces.append([output[: len(piece)] for output in run(filled)])
    return [np.concatenate(outputs) for outputs in zip(*pieces, strict=True)]


class TensorFlowGraph:
    """A frozen graph in a TensorFlow session; a context manager."""

    def __init__(self, graph_def: GraphDef, name: str) -> None:
        tf = import_tensorflow()
        self.nodes = list(graph_def.node)
        try:
            with tf.Graph().as_default() as imported:
                tf.import_graph_def(duplicate(graph_def), name="")
        except ValueError as error:
            cause = str(error).strip().partition("\n")[0]
            raise LegoclfError(f"{name}: TensorFlow does not load it: {cause}") from error
        self.name = name
        self._session = tf.compat.v1.Session(graph=imported)

    def __enter__(self) -> TensorFlowGraph:
        return self

    def __exit__(self, *error: object) -> None:
        self._session.close()

    def run(self, names: Sequence[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The first output of each node named, with the first outputs of the nodes in ``feeds`` given."""
        tensors = {f"{name}:0": value for name, value in feeds.items()}
        try:
            result: list[np.ndarray] = self._session.run([f"{name}:0" for name in names], tensors)
        except (ValueError, KeyError, import_tensorflow().errors.OpError) as error:
            cause = str(error).strip().partition("\n")[0]
            raise LegoclfError(f"{self.name}: TensorFlow does not run it: {cause}") from error
        return result


def to_nhwc(tensors: np.ndarray) -> np.ndarray:
    """[N, C, H, W] as TensorFlow's graphs take it, [N, H, W, C]."""
    return np.ascontiguousarray(tensors.transpose(0, 2, 3, 1))


def for_jetson_inference(tensors: np.ndarray) -> np.ndarray:
    """RGB in [0, 1], [N, 3, H, W], as jetson-inference gives it: less ImageNet's mean, by its deviation."""
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    result: np.ndarray = (tensors - mean) / std
    return result


def read_onnx(path: str) -> ModelProto:
    """Read a model and check it.

    Raises:
        LegoclfError: the file is no ONNX model, or not a valid one.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
    except (OSError, DecodeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        cause = str(error).strip().partition("\n")[0]
        raise LegoclfError(f"{path}: is no valid ONNX model: {cause}") from error
    return model


@contextmanager
def _onnx(path: str) -> Iterator[Runner]:
    yield OnnxGraph(path, path).answer


@contextmanager
def _fp16(path: str) -> Iterator[Runner]:
    model = read_onnx(path)
    OnnxGraph(path, path)  # that it loads as it stands, too
    yield OnnxGraph(emulate(model), path).answer


@contextmanager
def _jetson_inference(path: str) -> Iterator[Runner]:
    graph = OnnxGraph(path, path)

    def run(tensors: np.ndarray) -> Answer:
        given = for_jetson_inference(tensors)
        name = JETSON_INFERENCE_OUTPUT
        (answer,) = in_pieces(
            lambda piece: graph.run([name], {graph.input: piece}), given, graph.batch, graph.batch
        )
        return Answer(None, answer)

    yield run


def _tensorflow() -> Any:
    try:
        return import_tensorflow()
    except LegoclfError as error:
        raise NotHereError(str(error)) from error


@contextmanager
def _frozen(path: str, final_tensor_name: str) -> Iterator[Runner]:
    _tensorflow()
    with TensorFlowGraph(read_frozen(path), path) as graph:
        names = [node.name for node in graph.nodes]
        if final_tensor_name not in names:
            raise LegoclfError(
                f"{path}: has no tensor '{final_tensor_name}', which provenance.final_tensor_name promises"
            )
        wanted = [final_tensor_name, *(name for name in (LOGITS_NAME, NOVELTY_NAME) if name in names)]

        def run(tensors: np.ndarray) -> Answer:
            found = dict(zip(wanted, graph.run(wanted, {INPUT_NAME: to_nhwc(tensors)}), strict=True))
            return Answer(found.get(LOGITS_NAME), found[final_tensor_name], found.get(NOVELTY_NAME))

        yield run


@contextmanager
def _saved_model(path: str) -> Iterator[Runner]:
    tf = _tensorflow()
    try:
        loaded = tf.saved_model.load(str(Path(path).parent))
        signature = loaded.signatures["serving_default"]
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        cause = str(error).strip().partition("\n")[0]
        raise LegoclfError(f"{path}: TensorFlow does not load it: {cause}") from error

    def run(tensors: np.ndarray) -> Answer:
        # `loaded` is named here to keep it alive: a signature alone does not.
        assert loaded is not None
        answer = signature(**{SIGNATURE_INPUT: tf.constant(to_nhwc(tensors))})
        novelty = answer.get(NOVELTY_NAME)
        return Answer(None, answer[SIGNATURE_OUTPUT].numpy(), None if novelty is None else novelty.numpy())

    yield run
