"""Running a bundle's ONNX graph with ONNX Runtime."""

from typing import Dict, List, Optional, Sequence

import numpy as np

from legoclf.errors import LegoclfError, missing_package


class OnnxRuntimeSession:
    """One ONNX graph, loaded once; a context manager.

    Call order: enter, :meth:`run` as often as wanted, exit. Arrays that :meth:`run` returns are the
    caller's own. One session may be run from several threads.

    Args:
        path: the .onnx file; its one input is float32 [N, 3, H, W].
        threads: threads within one operator; None leaves it to ONNX Runtime (all cores). With 1 the
            result does not depend on the machine's number of cores.
    """

    def __init__(self, path: str, threads: Optional[int] = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise missing_package("onnxruntime", "train") from error

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
            # Waiting threads that spin would take the core that the caller decodes on.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own errors share no base class
            raise LegoclfError("{}: ONNX Runtime does not load it: {}".format(path, error)) from error
        self._input = self._session.get_inputs()[0].name
        size = self._session.get_inputs()[0].shape[0]
        self._fixed_batch: Optional[int] = size if isinstance(size, int) else None
        self.outputs: List[str] = [output.name for output in self._session.get_outputs()]

    def __enter__(self) -> "OnnxRuntimeSession":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        del self._session

    def run(self, batch: np.ndarray, outputs: Optional[Sequence[str]] = None) -> Dict[str, np.ndarray]:
        """Run one batch; a graph of a fixed batch size runs as often as that takes.

        Args:
            batch: float32 [N, 3, H, W]; N a multiple of the graph's, where that is fixed.
            outputs: names of the graph outputs wanted; None for all.

        Returns:
            each output's name and array, float32 [N, ...].
        """
        names = list(outputs or self.outputs)
        step = self._fixed_batch or max(1, len(batch))
        parts = [
            self._session.run(names, {self._input: batch[start : start + step]})
            for start in range(0, max(1, len(batch)), step)
        ]
        arrays = parts[0] if len(parts) == 1 else [np.concatenate(each) for each in zip(*parts)]
        return dict(zip(names, arrays))
