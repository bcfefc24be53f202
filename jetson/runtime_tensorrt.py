"""A runtime by TensorRT: a thread of its own owns the CUDA context, and every call to it is made there."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple, TypeVar

import numpy as np

from legoclf.bundle import Bundle
from legoclf.errors import LegoclfError
from legoclf.jetson.cuda import Cuda, open_cuda
from legoclf.jetson.engine_identity import this_machine
from legoclf.jetson.engine_store import StoredEngine, choose_engine, read_plan
from legoclf.jetson.frame import Frame
from legoclf.jetson.golden_check import TF32_FROM
from legoclf.jetson.memory_choice import choose_input_memory
from legoclf.jetson.preprocessor import CpuPreprocessor
from legoclf.jetson.runtime import Region, Runtime, Work
from legoclf.jetson.tensorrt_api import TensorRTApi, find_tensorrt
from legoclf.jetson.tensorrt_session import StepTimes, TensorRTSession

Result = TypeVar("Result")


class NoGpu(LegoclfError):  # noqa: N818
    """CUDA, or a GPU for it, is not here."""


class _Opened(NamedTuple):
    """What the thread has open, and the stack that closes it."""

    cuda: Cuda
    engine: StoredEngine
    session: TensorRTSession
    gpu: Any
    outputs: List[str]
    description: str
    is_exact: bool
    stack: ExitStack


class TensorRTRuntime(Runtime):
    """See :class:`Runtime`.

    Args:
        preprocessor: ``auto``, ``gpu`` or ``cpu``.
        precision: of the engine; None for the one that was chosen.
        say: told why the GPU does not prepare frames, where it was to.

    Attributes:
        engine: the one that runs. uses_graph: its work is queued as a CUDA graph.

    Raises:
        NoGpu: there is no CUDA here.
        EngineRefused: no engine fits this machine and TensorRT; the message says which field differs.
        LegoclfError: TensorRT is not installed or refuses, or memory does not suffice.
    """

    def __init__(
        self,
        bundle: Bundle,
        preprocessor: str = "auto",
        precision: Optional[str] = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._thread: Optional[ThreadPoolExecutor] = ThreadPoolExecutor(1, "cuda")
        try:
            self._opened: _Opened = self._call(lambda: _open(bundle, preprocessor, precision, say))
        except BaseException:
            self._thread.shutdown()
            raise
        super().__init__(bundle, self._opened.outputs)
        self.engine = self._opened.engine
        self.uses_graph = self._call(lambda: self._opened.cuda.graphs() is not None)
        self.is_exact = self._opened.is_exact
        self.description = self._opened.description
        self._suited: Tuple[Any, ...] = ()

    def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            try:
                thread.submit(self._opened.stack.close).result()
            finally:
                thread.shutdown()

    def preprocess(self, frame: Frame) -> np.ndarray:
        gpu = self._opened.gpu
        if gpu is None:
            return CpuPreprocessor(self.contract).prepare(frame)
        return self._call(lambda: gpu.prepare(frame))

    def run_tensor(self, batch: np.ndarray) -> Dict[str, np.ndarray]:
        return self._call(lambda: self._run(len(batch), _tensors(batch), None, None))

    def _prepare(self, frame: Frame, regions: List[Optional[Region]]) -> Optional[np.ndarray]:
        if self._opened.gpu is not None:
            return None
        preprocessor = CpuPreprocessor(self.contract)  # one thread's, so another for each call
        return np.stack([preprocessor.prepare(frame, region) for region in regions])

    def _answer(self, work: Work, steps: Optional[Dict[str, float]]) -> Dict[str, np.ndarray]:
        count = len(work.regions)
        if work.tensors is not None:
            tensors = _tensors(work.tensors)
            return self._call(lambda: self._run(count, tensors, self._wanted, steps))
        return self._call(lambda: self._run(count, self._regions(work), self._wanted, steps))

    def _regions(self, work: Work) -> "Source":
        """The regions of a frame; of a camera's first, the fastest way up to the GPU is found out."""
        gpu, frame = self._opened.gpu, work.frame
        kind = (frame.pixel_format, frame.height, frame.width)
        if kind != self._suited and frame.sequence >= 0:
            choose_input_memory(gpu, self._opened.cuda, frame, self._opened.session.image_nbytes)
            self._suited = kind
        return _regions(gpu, work)

    def _run(
        self,
        count: int,
        source: "Source",
        outputs: Optional[List[str]],
        steps: Optional[Dict[str, float]],
    ) -> Dict[str, np.ndarray]:
        """All images, in batches that the engine takes; adds to ``steps`` what each took."""
        session = self._opened.session
        parts = []
        for indices, wanted in _batches(count, session.batch_sizes):
            runs = source(session, indices)
            results = runs.plain(outputs) if steps is None else _timed(runs, outputs, steps)
            parts.append({name: array[:wanted] for name, array in results.items()})
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _call(self, work: Callable[[], Result]) -> Result:
        """Do something in the thread that owns the CUDA context, and wait for it."""
        if self._thread is None:
            raise LegoclfError("the runtime is closed")
        return self._thread.submit(work).result()


class _Runs(NamedTuple):
    """One batch: how it is run, how it is run with its steps timed, and which step loading it counts as."""

    plain: Callable[[Any], Dict[str, np.ndarray]]
    timed: Callable[[Any], Tuple[Dict[str, np.ndarray], StepTimes]]
    loading: str


#: Gives the runs of the images with the given indices.
Source = Callable[[TensorRTSession, List[int]], _Runs]


def _tensors(batch: np.ndarray) -> Source:
    """Runs of tensors that lie in the host's memory."""

    def runs(session: TensorRTSession, indices: List[int]) -> _Runs:
        whole = len(indices) == len(batch)
        part = np.asarray(batch if whole else batch[indices], session.image_dtype)
        return _Runs(
            lambda outputs: session.run(part, outputs),
            lambda outputs: session.run_timed(part, outputs),
            "h2d",
        )

    return runs


def _regions(gpu: Any, work: Work) -> Source:
    """Runs of a frame's regions, prepared on the GPU where the engine reads them."""

    def runs(session: TensorRTSession, indices: List[int]) -> _Runs:
        def fill(addresses: List[int], stream: int) -> None:
            for index, address in zip(indices, addresses):
                gpu.prepare_on_device(work.frame, work.regions[index], address, stream)

        return _Runs(
            lambda outputs: session.run_filled(len(indices), fill, outputs),
            lambda outputs: session.run_filled_timed(len(indices), fill, outputs),
            "preprocess",
        )

    return runs


def _timed(runs: _Runs, outputs: Optional[List[str]], steps: Dict[str, float]) -> Dict[str, np.ndarray]:
    """Run a batch and add what each step took; what the GPU's clock has not seen is post-processing."""
    started_at = time.perf_counter()
    results, times = runs.timed(outputs)
    whole_ms = (time.perf_counter() - started_at) * 1000.0
    steps[runs.loading] += times.h2d_ms
    steps["compute"] += times.compute_ms
    steps["d2h"] += times.d2h_ms
    steps["postprocess"] += max(0.0, whole_ms - sum(times))
    return results


def _batches(count: int, sizes: Tuple[int, int, int]) -> Iterator[Tuple[List[int], int]]:
    """Indices of each batch, the last image repeated where the engine takes no fewer; and how many count."""
    smallest, _, largest = sizes
    for start in range(0, count, largest):
        indices = list(range(start, min(count, start + largest)))
        yield indices + [count - 1] * (smallest - len(indices)), len(indices)


def _open(bundle: Bundle, preprocessor: str, precision: Optional[str], say: Callable[[str], None]) -> _Opened:
    """Everything that belongs to the thread of the CUDA context."""
    with ExitStack() as stack:
        try:
            cuda = stack.enter_context(open_cuda())
        except LegoclfError as error:
            raise NoGpu(str(error)) from error
        api = find_tensorrt()
        engine = choose_engine(bundle.path, this_machine(api, cuda), precision)
        session = stack.enter_context(_open_session(api, engine, cuda))
        gpu = None
        if preprocessor != "cpu":
            gpu = _open_gpu_preprocessor(bundle, session, cuda, preprocessor == "gpu", say)
        if gpu is not None:
            stack.enter_context(gpu)
        description = "{} {} on {}, preprocessing on the {}".format(
            api.name, engine.identity.precision.upper(), cuda.device_name(), "CPU" if gpu is None else "GPU"
        )
        is_exact = engine.identity.precision == "fp32" and cuda.compute_capability() < TF32_FROM
        return _Opened(cuda, engine, session, gpu, session.outputs, description, is_exact, stack.pop_all())
    raise AssertionError("unreachable: the stack lets every exception through")


def _open_session(api: TensorRTApi, engine: StoredEngine, cuda: Cuda) -> TensorRTSession:
    identity = engine.identity
    return TensorRTSession(
        api, read_plan(engine), cuda, dla_core=identity.dla_core, host_code=identity.version_compatible
    )


def _open_gpu_preprocessor(
    bundle: Bundle, session: TensorRTSession, cuda: Cuda, is_wanted: bool, say: Callable[[str], None]
) -> Any:
    """The GPU's preprocessor; None, once that is said, where it cannot be had and need not be."""
    from legoclf.jetson.gpu_preprocess import GpuPreprocessor

    try:
        return GpuPreprocessor(bundle.contract, cuda, half=session.image_dtype == np.float16)
    except LegoclfError as error:
        if is_wanted:
            raise
        say("the CPU prepares frames, for the GPU cannot: {}".format(error))
        return None
