"""A runtime by ONNX Runtime on the CPU: for laptops, and for a Jetson until its engine is built."""

import threading
import time
from typing import Any, Dict, List, Optional

import numpy as np

from legoclf.bundle import FP16_MODEL, INT8_MODEL, ONNX_MODEL, Bundle
from legoclf.cores import available_cores
from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.frame import Frame
from legoclf.jetson.preprocessor import CpuPreprocessor
from legoclf.jetson.runtime import Region, Runtime, Work
from legoclf.session import OnnxRuntimeSession

#: Frames at once. Preparing a frame takes a tenth of an inference, and an inference on all cores leaves them
#: idle in between: two frames on half of the cores each use both up, where one after the other loses 20 %.
PARALLEL = 2

#: The graph of each precision.
GRAPHS: Dict[str, str] = {"fp32": ONNX_MODEL, "fp16": FP16_MODEL, "int8": INT8_MODEL}


class OnnxRuntime(Runtime):
    """See :class:`Runtime`.

    OpenCV works on one thread while it is open: its pool would take the cores from the other frame.

    Args:
        threads: within one inference; None shares the cores out among ``parallel``.
        parallel: inferences at once; None for PARALLEL where there are so many cores.
        precision: a key of GRAPHS.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: Optional[int] = None,
        parallel: Optional[int] = None,
        precision: str = "fp32",
    ) -> None:
        for name, value in (("threads", threads), ("parallel", parallel)):
            if value is not None and value < 1:
                raise UsageError("{}: got {}, expected 1 or more".format(name, value))
        cores = available_cores()
        many = min(PARALLEL, cores) if parallel is None else parallel
        self._session: Optional[OnnxRuntimeSession] = OnnxRuntimeSession(
            bundle.file(GRAPHS[precision]), max(1, cores // many) if threads is None else threads
        )
        super().__init__(bundle, self._session.outputs)
        self.parallel = many
        self.is_exact = precision == "fp32"
        what = "FP32" if self.is_exact else "{} ({})".format(GRAPHS[precision], precision.upper())
        self.description = "ONNX Runtime {} {} on the CPU".format(_version(), what)
        self._own = threading.local()
        self._opencv_threads = _set_opencv_threads(1)

    def close(self) -> None:
        if self._session is not None:
            _set_opencv_threads(self._opencv_threads)
        self._session = None

    def preprocess(self, frame: Frame) -> np.ndarray:
        return self._preprocessor().prepare(frame)

    def run_tensor(self, batch: np.ndarray) -> Dict[str, np.ndarray]:
        return self._open_session().run(batch)

    def _prepare(self, frame: Frame, regions: List[Optional[Region]]) -> Optional[np.ndarray]:
        preprocessor = self._preprocessor()
        if len(regions) == 1:
            return preprocessor.prepare(frame, regions[0])[None]
        return np.stack([preprocessor.prepare(frame, region) for region in regions])

    def _answer(self, work: Work, steps: Optional[Dict[str, float]]) -> Dict[str, np.ndarray]:
        assert work.tensors is not None
        started_at = time.perf_counter()
        found = self._open_session().run(work.tensors, self._wanted)
        if steps is not None:
            steps["compute"] += (time.perf_counter() - started_at) * 1000.0
        return found

    def _preprocessor(self) -> CpuPreprocessor:
        """This thread's own."""
        if not hasattr(self._own, "preprocessor"):
            self._own.preprocessor = CpuPreprocessor(self.contract)
        own: CpuPreprocessor = self._own.preprocessor
        return own

    def _open_session(self) -> OnnxRuntimeSession:
        if self._session is None:
            raise LegoclfError("the runtime is closed")
        return self._session


def _version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


def _set_opencv_threads(count: Optional[int]) -> Optional[int]:
    """Threads that OpenCV had until now; None where it is not installed."""
    try:
        import cv2
    except ImportError:
        return None
    before: Any = cv2.getNumThreads()
    if count is not None:
        cv2.setNumThreads(count)
    return int(before)
