"""A bundle at work on this machine: a camera's frame in, probabilities out, by TensorRT or ONNX Runtime."""

import logging
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from legoclf.bundle import Bundle
from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.frame import Frame
from legoclf.novelty import judge, missing_novelty, wanted_outputs

LOGGER = logging.getLogger(__name__)

BACKENDS = ("auto", "tensorrt", "onnxruntime")
PREPROCESSORS = ("auto", "gpu", "cpu")

#: What ``Answers.steps`` times, in milliseconds. Copies take none where nothing is copied.
STEPS = ("preprocess", "h2d", "compute", "d2h", "postprocess")

Region = Tuple[int, int, int, int]


class Answers(NamedTuple):
    """What the network says of each region of a frame.

    probabilities: float32 [N, C]. steps: milliseconds by the names of STEPS, if asked for; else None.
    novelty: float32 [N], larger for what is less like what was trained on; None where the graph gives none.
    is_novel: bool [N], which are too strange to be named, by the bundle's rule; None where it has none.
    """

    probabilities: np.ndarray
    steps: Optional[Dict[str, float]] = None
    novelty: Optional[np.ndarray] = None
    is_novel: Optional[np.ndarray] = None


class Work(NamedTuple):
    """A frame on its way to the network.

    regions: x, y, width, height in pixels of the frame each, or None for all of it.
    tensors: float32 [N, 3, H, W]; None where the GPU prepares, or nothing is to be looked at.
    preprocess_ms: what has gone into preparing so far.
    """

    frame: Frame
    regions: List[Optional[Region]]
    tensors: Optional[np.ndarray]
    preprocess_ms: float


class Runtime(object):
    """A bundle's network with what prepares frames for it; a context manager, made by :func:`open_runtime`.

    Call order: open, enter, then :meth:`classify`, or :meth:`prepare` and :meth:`answer`, as often as
    wanted, exit. Any thread may call them, several at once. Arrays given back are the caller's own.

    Attributes:
        labels: in the order of the probabilities.
        contract: the bundle's input contract.
        description: such as "TensorRT 8.2.1.8 FP16 on NVIDIA Tegra X1, preprocessing on the GPU".
        parallel: how many calls of :meth:`answer` run at once; more only wait.
        is_exact: the network computes in full FP32.
    """

    def __init__(self, bundle: Bundle, outputs: Sequence[str]) -> None:
        self.labels = bundle.labels
        self.contract = bundle.contract
        self.description = ""
        self.parallel = 1
        self.is_exact = True
        self._novelty_rule = bundle.novelty
        self._wanted = wanted_outputs(outputs)

    def __enter__(self) -> "Runtime":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def close(self) -> None:
        """Give everything back; nothing may be called afterwards, and no call may be under way."""
        raise NotImplementedError

    def classify(self, frame: Frame, rois: Optional[Sequence[Region]] = None, timed: bool = False) -> Answers:
        """What a frame shows, or each of its regions.

        Args:
            rois: x, y, width, height in pixels of the frame each; None for the whole frame.
            timed: measure each step.

        Raises:
            UsageError: a region is not inside the frame.
            LegoclfError: the frame cannot be used, or TensorRT or CUDA fails.
        """
        return self.answer(self.prepare(frame, rois), timed)

    def prepare(self, frame: Frame, rois: Optional[Sequence[Region]] = None) -> Work:
        """The part of :meth:`classify` that the CPU does before the network; nothing of CUDA is in it.

        The frame's image must stay as it is until its answer is there.
        """
        started_at = time.perf_counter()
        regions: List[Optional[Region]] = [None] if rois is None else list(rois)
        tensors = self._prepare(frame, regions) if regions else None
        return Work(frame, regions, tensors, (time.perf_counter() - started_at) * 1000.0)

    def answer(self, work: Work, timed: bool = False) -> Answers:
        """The rest of :meth:`classify`."""
        if not work.regions:
            return Answers(np.zeros((0, len(self.labels)), np.float32), {} if timed else None)
        steps = dict.fromkeys(STEPS, 0.0)
        steps["preprocess"] = work.preprocess_ms
        found = self._answer(work, steps if timed else None)
        return Answers(found["probabilities"], steps if timed else None, *judge(found, self._novelty_rule))

    def missing_novelty(self) -> str:
        """What to tell where the bundle has a rule for novelty, and its graph gives none; else empty."""
        return missing_novelty(self._novelty_rule, self._wanted)

    def preprocess(self, frame: Frame) -> np.ndarray:
        """A frame's tensor, float32 [3, H, W], by the very preprocessing that :meth:`classify` has."""
        raise NotImplementedError

    def run_tensor(self, batch: np.ndarray) -> Dict[str, np.ndarray]:
        """The bare session: all outputs, float32 [N, ...], for a batch of tensors, float32 [N, 3, H, W]."""
        raise NotImplementedError

    def _prepare(self, frame: Frame, regions: List[Optional[Region]]) -> Optional[np.ndarray]:
        """The regions' tensors, float32 [N, 3, H, W]; None if :meth:`_answer` makes them."""
        raise NotImplementedError

    def _answer(self, work: Work, steps: Optional[Dict[str, float]]) -> Dict[str, np.ndarray]:
        """The wanted outputs of at least one region; adds to ``steps`` what each took."""
        raise NotImplementedError


def open_runtime(
    bundle: Bundle,
    backend: str = "auto",
    check_golden: bool = True,
    preprocessor: str = "auto",
    precision: Optional[str] = None,
    threads: Optional[int] = None,
    parallel: Optional[int] = None,
    say: Callable[[str], None] = LOGGER.warning,
) -> Runtime:
    """The bundle's network as this machine runs it fastest, its golden images checked.

    Args:
        backend: one of BACKENDS. ``auto`` is TensorRT where it, a GPU and an engine for both are there,
            else ONNX Runtime on the CPU; that an engine does not fit is said.
        check_golden: put golden.npz through it before anything else.
        preprocessor: one of PREPROCESSORS; where TensorRT runs, ``auto`` is the GPU if it can.
        precision: of the engine; None for the one that `legoclf build-engine` chose. For the backend
            ``onnxruntime`` that of its graph; None for FP32.
        threads, parallel: of ONNX Runtime: threads within one inference, inferences at once; None for what
            suits the number of cores.
        say: told what else was expected than what is done.

    Raises:
        UsageError: an unknown name, or a flag of one backend given to the other.
        GoldenMismatch: see :func:`legoclf.jetson.golden_check.check_at_start`.
        LegoclfError: the backend is not to be had here, or neither is; the message has the mend.
    """
    _check_choice("backend", backend, BACKENDS)
    _check_choice("preprocessor", preprocessor, PREPROCESSORS)
    runtime = _open(bundle, backend, preprocessor, precision, threads, parallel, say)
    lack = runtime.missing_novelty()
    if lack:
        say("{}: {}".format(runtime.description, lack))
    if check_golden:
        from legoclf.jetson.golden_check import check_at_start

        try:
            check_at_start(runtime, bundle)
        except BaseException:
            runtime.close()
            raise
    return runtime


def _open(
    bundle: Bundle,
    backend: str,
    preprocessor: str,
    precision: Optional[str],
    threads: Optional[int],
    parallel: Optional[int],
    say: Callable[[str], None],
) -> Runtime:
    refusal: Optional[LegoclfError] = None
    if backend != "onnxruntime":
        try:
            return _open_tensorrt(bundle, preprocessor, precision, say)
        except LegoclfError as error:
            if backend == "tensorrt" or preprocessor == "gpu" or precision is not None:
                raise
            refusal = error
    if preprocessor == "gpu":
        raise UsageError("the GPU prepares frames for TensorRT alone; leave it to ONNX Runtime's CPU")
    try:
        runtime = _open_onnx(bundle, threads, parallel, precision or "fp32")
    except LegoclfError as error:
        if refusal is None:
            raise
        raise LegoclfError(
            "{}: nothing here can run it. TensorRT: {}. ONNX Runtime: {}".format(bundle.path, refusal, error)
        ) from error
    if refusal is not None and _was_expected(refusal):
        say("{}: meanwhile {}".format(refusal, runtime.description))
    return runtime


def _open_tensorrt(
    bundle: Bundle, preprocessor: str, precision: Optional[str], say: Callable[[str], None]
) -> Runtime:
    from legoclf.jetson.runtime_tensorrt import TensorRTRuntime

    return TensorRTRuntime(bundle, preprocessor, precision, say)


def _open_onnx(bundle: Bundle, threads: Optional[int], parallel: Optional[int], precision: str) -> Runtime:
    from legoclf.jetson.runtime_onnx import OnnxRuntime

    return OnnxRuntime(bundle, threads, parallel, precision)


def _was_expected(refusal: LegoclfError) -> bool:
    """Whether someone with this machine would expect TensorRT: there is a GPU, or it is a Jetson."""
    from legoclf.jetson.device import read_device
    from legoclf.jetson.runtime_tensorrt import NoGpu

    return not isinstance(refusal, NoGpu) or bool(read_device().l4t)


def _check_choice(name: str, got: Any, choices: Sequence[str]) -> None:
    if got not in choices:
        raise UsageError("{}: got {!r}, expected one of {}".format(name, got, ", ".join(choices)))
