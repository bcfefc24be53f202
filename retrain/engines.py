"""What runs the feature vector over images: ONNX Runtime, OpenVINO or TensorFlow."""

from types import TracebackType
from typing import Protocol, Self

import numpy as np

from legoclf.cores import available_cores
from legoclf.errors import UsageError
from legoclf.retrain.feature_vector import FeatureVector
from legoclf.session import OnnxRuntimeSession


class Engine(Protocol):
    """Runs one feature vector on one image at a time; a context manager.

    Attributes:
        description: name, version and precision: what its features depend on.
        workers: how many threads it is best called from at once.
    """

    description: str
    workers: int

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def features(self, tensor: np.ndarray) -> np.ndarray:
        """The features float32 [D] of a tensor float32 [3, H, W]; the caller's own. From any thread."""
        ...


class OnnxRuntimeEngine:
    """ONNX Runtime on the caller's thread alone: the graph that the bundle ships."""

    def __init__(self, vector: FeatureVector) -> None:
        import onnxruntime

        self.description = f"onnxruntime {onnxruntime.__version__}"
        self.workers = available_cores()
        self._session = OnnxRuntimeSession(str(vector.onnx_path), threads=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.__exit__(kind, error, trace)

    def features(self, tensor: np.ndarray) -> np.ndarray:
        """See :class:`Engine`."""
        return self._session.run(tensor[None], ["features"])["features"][0]


ENGINES = ("onnxruntime", "openvino", "tensorflow")
PRECISIONS = ("fp32", "bf16")


def check_engine(name: str, precision: str) -> None:
    """Refuse what is none, and a precision that an engine does not have, as UsageError."""
    if name not in ENGINES:
        raise UsageError(f"--extractor: got {name}, expected one of {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise UsageError(f"--extractor_precision: got {precision}, expected one of {', '.join(PRECISIONS)}")
    if precision == "bf16" and name != "openvino":
        raise UsageError(f"--extractor_precision bf16: {name} computes in fp32; use --extractor openvino")


def open_engine(name: str, vector: FeatureVector, precision: str = "fp32") -> Engine:
    """The engine of that name."""
    check_engine(name, precision)
    return OnnxRuntimeEngine(vector)
