"""What runs the feature vector over images: ONNX Runtime, OpenVINO or TensorFlow."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from legoclf.convert.frozen import FEATURES_NAME, INPUT_NAME, import_tensorflow, read_frozen
from legoclf.cores import available_cores
from legoclf.errors import LegoclfError, UsageError, missing_package
from legoclf.retrain.feature_vector import FeatureVector
from legoclf.session import OnnxRuntimeSession

ENGINES = ("onnxruntime", "openvino", "tensorflow")
PRECISIONS = ("fp32", "bf16")


class Engine(ABC):
    """Runs one feature vector on one image at a time; a context manager.

    Attributes:
        description: name, version and precision: what its features depend on.
        workers: how many threads it is best called from at once.
    """

    description: str
    workers: int

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Let go of the network."""

    @abstractmethod
    def features(self, tensor: np.ndarray) -> np.ndarray:
        """The features float32 [D] of a tensor float32 [3, H, W]; the caller's own. From any thread."""


def check_engine(name: str, precision: str) -> None:
    """Refuse a name or a precision that is none, and a precision that the engine does not have.

    Raises:
        UsageError: which, and what is expected.
    """
    if name not in ENGINES:
        raise UsageError(f"--extractor: got {name}, expected one of {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise UsageError(f"--extractor_precision: got {precision}, expected one of {', '.join(PRECISIONS)}")
    if precision == "bf16" and name != "openvino":
        raise UsageError(f"--extractor_precision bf16: {name} computes in fp32; use --extractor openvino")


def open_engine(name: str, vector: FeatureVector, precision: str = "fp32") -> Engine:
    """The engine of that name, with the network loaded.

    Raises:
        UsageError: see :func:`check_engine`.
        LegoclfError: its package is not installed, or the CPU does not compute in that precision.
    """
    check_engine(name, precision)
    if name == "openvino":
        return OpenVinoEngine(vector, precision)
    return TensorFlowEngine(vector) if name == "tensorflow" else OnnxRuntimeEngine(vector)


class OnnxRuntimeEngine(Engine):
    """ONNX Runtime on the caller's thread alone, on the graph that the bundle ships."""

    def __init__(self, vector: FeatureVector) -> None:
        self._session = OnnxRuntimeSession(str(vector.onnx_path), threads=1)
        import onnxruntime

        self.description = f"onnxruntime {onnxruntime.__version__}"
        self.workers = available_cores()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._session.__exit__(kind, error, trace)

    def features(self, tensor: np.ndarray) -> np.ndarray:
        """See :class:`Engine`."""
        return self._session.run(tensor[None], ["features"])["features"][0]


class OpenVinoEngine(Engine):
    """OpenVINO on the same graph, one stream a core.

    Its precision is told: left alone, OpenVINO computes in BF16 wherever the CPU can.
    """

    def __init__(self, vector: FeatureVector, precision: str) -> None:
        try:
            import openvino
        except ImportError as error:
            raise missing_package("openvino", "openvino") from error
        core = openvino.Core()
        has = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and "BF16" not in has:
            raise LegoclfError(
                f"--extractor_precision bf16: this CPU computes no BF16, and emulated it is slower than fp32 "
                f"(OpenVINO finds {', '.join(has)}); leave the flag out"
            )
        model = core.read_model(str(vector.onnx_path))
        model.reshape([1, 3, vector.height, vector.width])
        cores = available_cores()
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "NUM_STREAMS": cores,
            "INFERENCE_NUM_THREADS": cores,
        }
        self._network = core.compile_model(model, "CPU", settings)
        self._own = threading.local()
        # OpenVINO's Python layer deadlocks where two threads hand it their first arrays at once
        # (2026.4.1: a C++ once-guard that waits for the lock of Python): one goes first, here.
        self.features(np.zeros((3, vector.height, vector.width), np.float32))
        self.description = f"openvino {openvino.__version__.partition('-')[0]} {precision}"
        # The streams have threads of their own: one caller more decodes while they compute.
        self.workers = cores + 1

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        del self._network

    def features(self, tensor: np.ndarray) -> np.ndarray:
        """See :class:`Engine`."""
        request = getattr(self._own, "request", None)
        if request is None:
            request = self._own.request = self._network.create_infer_request()
        request.infer([tensor[None]], share_inputs=True)
        row: np.ndarray = request.get_output_tensor(0).data[0].copy()
        return row


class TensorFlowEngine(Engine):
    """TensorFlow on the frozen graph: the slowest, and what retrain.py ran."""

    def __init__(self, vector: FeatureVector) -> None:
        tf = import_tensorflow()
        graph = tf.Graph()
        with graph.as_default():
            tf.graph_util.import_graph_def(read_frozen(vector.frozen_path), name="")
        threads = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=1, inter_op_parallelism_threads=available_cores()
        )
        self._session = tf.compat.v1.Session(graph=graph, config=threads)
        self._run: Any = self._session.make_callable(f"{FEATURES_NAME}:0", [f"{INPUT_NAME}:0"])
        self.description = f"tensorflow {tf.__version__}"
        self.workers = available_cores()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._session.close()

    def features(self, tensor: np.ndarray) -> np.ndarray:
        """See :class:`Engine`."""
        row: np.ndarray = self._run(np.ascontiguousarray(tensor.transpose(1, 2, 0))[None])[0]
        return row


@dataclass(frozen=True)
class Drift:
    """How far an engine's features are from ONNX Runtime's.

    largest: max |a - b| over an image's features, of their largest, as a fraction; the worst image's.
    """

    engine: str
    largest: float
    images: int

    def as_text(self) -> str:
        """In one line."""
        return (
            f"{self.engine}: features differ from ONNX Runtime's by {self.largest:.2g} of the largest "
            f"at most ({self.images} images)"
        )


def measure_drift(engine: Engine, vector: FeatureVector, tensors: Sequence[np.ndarray]) -> Drift:
    """Compare an engine with ONNX Runtime on tensors float32 [3, H, W]."""
    worst = 0.0
    with OnnxRuntimeEngine(vector) as reference:
        for tensor in tensors:
            expected = reference.features(tensor)
            off = np.abs(engine.features(tensor) - expected).max() / np.abs(expected).max()
            worst = max(worst, float(off))
    return Drift(engine.description, worst, len(tensors))
