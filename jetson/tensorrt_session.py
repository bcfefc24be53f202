"""Running an engine with TensorRT: the device's counterpart of :mod:`legoclf.session`."""

import threading
from contextlib import ExitStack
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.cuda import Cuda
from legoclf.jetson.cuda_graph import Replay
from legoclf.jetson.tensorrt_api import TensorRTApi
from legoclf.jetson.tensorrt_runtime import Context, Shape, TensorInfo

_WARM_UP_RUNS = 3

#: Queues on a stream what writes images to the device; gets each image's address, and the stream.
Fill = Callable[[List[int], int], None]


class StepTimes(NamedTuple):
    """Milliseconds of one run on the GPU's clock: copy to the device, compute, copy back."""

    h2d_ms: float
    compute_ms: float
    d2h_ms: float


class TensorRTSession(object):
    """One engine, loaded once; a context manager.

    Call order: construct, enter, :meth:`run` as often as wanted, exit; all in the thread that constructs it,
    for a CUDA context belongs to its thread. Arrays that :meth:`run` returns are the caller's own. Buffers
    are allocated once, for the largest batch of the engine's profile. Where CUDA has graphs, a batch size
    that comes again and again is run as one.

    Args:
        api: TensorRT, from :func:`legoclf.jetson.tensorrt_api.find_tensorrt`.
        plan: the engine; native code, so only one whose hash was checked.
        cuda: from :func:`legoclf.jetson.cuda.open_cuda`; the caller's to close, after the session.
        dla_core: the DLA core the engine was built for; None for the GPU.
        host_code: the engine is version-compatible and brings its own runtime.
        use_graphs: let CUDA graphs be used.

    Attributes:
        outputs: names of the engine's outputs.
        batch_sizes: the smallest, the optimal and the largest batch it takes.
        image_shape: (channels, height, width) of one image.
        image_dtype: of one image, float32 or float16.
        image_nbytes: of one image.
        engine: the engine, for its layer table.

    Raises:
        LegoclfError: the plan is not for this TensorRT and GPU, memory does not suffice, or the engine has
            more than one input.
    """

    def __init__(
        self,
        api: TensorRTApi,
        plan: bytes,
        cuda: Cuda,
        dla_core: Optional[int] = None,
        host_code: bool = False,
        use_graphs: bool = True,
    ) -> None:
        self._thread = threading.current_thread()
        self._cuda = cuda
        self._closed = False
        self._replay = Replay(cuda.graphs() if use_graphs else None)
        with ExitStack() as undo:
            self.engine = api.load_engine(plan, dla_core, host_code)
            undo.callback(self._drop_engine)
            self._input = self._only_input()
            smallest, optimal, largest = self.engine.profile(self._input)
            self.batch_sizes = (smallest[0], optimal[0], largest[0])
            self.image_shape: Shape = largest[1:]
            self.image_dtype = self._input.dtype
            self.image_nbytes = int(np.prod(self.image_shape)) * self._input.dtype.itemsize
            self._results = [tensor for tensor in self.engine.tensors if not tensor.is_input]
            self.outputs: List[str] = [tensor.name for tensor in self._results]
            self._new_context()
            self._make_buffers(undo)
            self._context.bind(self._addresses)
            self._undo = undo.pop_all()

    def __enter__(self) -> "TensorRTSession":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._check_thread()
        self._closed = True
        self._undo.close()

    def run(self, batch: np.ndarray, outputs: Optional[Sequence[str]] = None) -> Dict[str, np.ndarray]:
        """Run one batch.

        Args:
            batch: [N, 3, H, W] of the engine's input type, float32; N within :attr:`batch_sizes`.
            outputs: names of the outputs wanted; None for all. The others are not copied.

        Returns:
            each output's name and array, float32 [N, ...]; the caller's own.

        Raises:
            LegoclfError: another shape or type, another thread, a failure of TensorRT or CUDA.
        """
        return self._run(len(batch), self._upload(batch), outputs, lambda place: None)

    def run_timed(
        self, batch: np.ndarray, outputs: Optional[Sequence[str]] = None
    ) -> Tuple[Dict[str, np.ndarray], StepTimes]:
        """Like :meth:`run`, with the time of each step by CUDA events."""
        return self._run_timed(len(batch), self._upload(batch), outputs)

    def run_filled(
        self, count: int, fill: Fill, outputs: Optional[Sequence[str]] = None
    ) -> Dict[str, np.ndarray]:
        """Run images that are made on the device: nothing is copied there.

        Args:
            count: images, within :attr:`batch_sizes`.
            fill: called once, in this thread; queues what writes each image, [3, H, W] of
                :attr:`image_dtype`, at its address.
            outputs: as of :meth:`run`, like the result.
        """
        return self._run(count, self._filler(count, fill), outputs, lambda place: None)

    def run_filled_timed(
        self, count: int, fill: Fill, outputs: Optional[Sequence[str]] = None
    ) -> Tuple[Dict[str, np.ndarray], StepTimes]:
        """Like :meth:`run_filled`, with the time of each step; ``h2d_ms`` is that of what ``fill`` queued."""
        return self._run_timed(count, self._filler(count, fill), outputs)

    def layer_times(self, batch: np.ndarray, runs: int = 20) -> Dict[str, float]:
        """Each layer's median milliseconds over ``runs`` runs of one batch, in the order of execution.

        A profiled context waits for every layer: the sum exceeds what :meth:`run` takes.
        """
        self._check_thread()
        times: Dict[str, List[float]] = {}
        # In another context, for none gives up a profiler; and in place of this one, for before TensorRT 8.6
        # two contexts cannot share the one profile of an engine with a dynamic batch.
        self._new_context()
        self._context.bind(self._addresses)
        replay, self._replay = self._replay, Replay(None)  # within a graph no layer is timed
        try:
            for run in range(_WARM_UP_RUNS + runs):
                if run == _WARM_UP_RUNS:
                    self._context.report_layer_times(lambda name, ms: times.setdefault(name, []).append(ms))
                self.run(batch)
        finally:
            self._replay = replay
            self._new_context()
            self._context.bind(self._addresses)
        return {name: float(np.median(all_ms)) for name, all_ms in times.items()}

    def _run_timed(
        self, count: int, load: Callable[[], None], outputs: Optional[Sequence[str]]
    ) -> Tuple[Dict[str, np.ndarray], StepTimes]:
        def mark(place: int) -> None:
            self._cuda.record(self._events[place], self._stream)

        results = self._run(count, load, outputs, mark)
        steps = zip(self._events, self._events[1:])
        return results, StepTimes(*(self._cuda.elapsed_ms(start, end) for start, end in steps))

    def _run(
        self,
        count: int,
        load: Callable[[], None],
        outputs: Optional[Sequence[str]],
        mark: Callable[[int], None],
    ) -> Dict[str, np.ndarray]:
        """Run ``count`` images that ``load`` queues; ``mark`` is called between the steps."""
        self._check_thread()
        wanted = self._wanted(outputs)
        self._set_batch_size(count)
        found = {name: self._part(name, self._context.shape(name)) for name in wanted}
        try:
            mark(0)
            load()
            mark(1)
            self._replay.queue(self._context.execute, self._stream)
            mark(2)
            for name, array in found.items():
                self._cuda.copy_to_host(array, self._addresses[name], self._stream)
            mark(3)
        finally:
            self._cuda.synchronize(self._stream)
        results = {name: array.astype(np.float32) for name, array in found.items()}
        self._replay.succeeded(self._context.execute, self._stream)
        return results

    def _upload(self, batch: np.ndarray) -> Callable[[], None]:
        """What queues the copy of a batch, which is put into pinned memory now."""
        self._check_thread()
        self._check_batch(batch)
        staged = self._part(self._input.name, batch.shape)
        staged[...] = batch
        return lambda: self._cuda.copy_to_device(self._addresses[self._input.name], staged, self._stream)

    def _filler(self, count: int, fill: Fill) -> Callable[[], None]:
        self._check_thread()
        smallest, _, largest = self.batch_sizes
        if not smallest <= count <= largest:
            raise LegoclfError(
                "the engine takes {}..{} images at once, got {}".format(smallest, largest, count)
            )
        first = self._addresses[self._input.name]
        addresses = [first + index * self.image_nbytes for index in range(count)]
        return lambda: fill(addresses, self._stream)

    def _only_input(self) -> TensorInfo:
        inputs = [tensor for tensor in self.engine.tensors if tensor.is_input]
        shapes = ", ".join("'{}' {}".format(tensor.name, list(tensor.shape)) for tensor in inputs)
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise LegoclfError(
                "the engine's inputs are {}; expected one, [N, 3, H, W]".format(shapes or "none")
            )
        return inputs[0]

    def _new_context(self) -> None:
        """A context for the largest batch, without addresses; the one before it goes first."""
        self._drop_context()
        self._context: Context = self.engine.create_context()
        self._batch_size = 0
        self._set_batch_size(self.batch_sizes[2])

    def _set_batch_size(self, size: int) -> None:
        if size == self._batch_size:
            return
        # A graph has its shapes, and the context's memory for them, built in. One for the size that comes
        # again does, without the memory of a context for each.
        self._replay.forget()
        self._batch_size = 0  # a context that refuses a shape has neither the old one nor the new
        if -1 in self._input.shape:
            self._context.set_shape(self._input.name, (size, *self.image_shape))
        self._batch_size = size

    def _make_buffers(self, undo: ExitStack) -> None:
        """A stream, events, and for each tensor memory on the device and pinned memory beside it."""
        cuda = self._cuda
        self._stream = cuda.create_stream()
        undo.callback(cuda.destroy_stream, self._stream)
        self._events = []
        for _ in range(len(StepTimes._fields) + 1):
            self._events.append(cuda.create_event())
            undo.callback(cuda.destroy_event, self._events[-1])
        self._addresses: Dict[str, int] = {}
        self._staged: Dict[str, np.ndarray] = {}
        undo.callback(self._staged.clear)
        for tensor in self.engine.tensors:
            shape = self._context.shape(tensor.name)
            if -1 in shape:
                raise LegoclfError(
                    "the engine's output '{}' is {}: its size depends on the image; expected [N, ...]".format(
                        tensor.name, list(shape)
                    )
                )
            elements = int(np.prod(shape))
            self._addresses[tensor.name] = cuda.allocate(elements * tensor.dtype.itemsize)
            undo.callback(cuda.free, self._addresses[tensor.name])
            self._staged[tensor.name] = cuda.pinned_empty((elements,), tensor.dtype)
        undo.callback(self._replay.forget)
        # Runs first: nothing may be freed that a queued copy still uses.
        undo.callback(cuda.synchronize, self._stream)

    def _part(self, name: str, shape: Sequence[int]) -> np.ndarray:
        return self._staged[name][: int(np.prod(shape))].reshape(tuple(shape))

    def _wanted(self, outputs: Optional[Sequence[str]]) -> List[str]:
        wanted = list(outputs or self.outputs)
        unknown = [name for name in wanted if name not in self.outputs]
        if unknown:
            raise UsageError(
                "the engine has no output '{}'; it has {}".format(unknown[0], ", ".join(self.outputs))
            )
        return wanted

    def _check_batch(self, batch: np.ndarray) -> None:
        smallest, _, largest = self.batch_sizes
        if (
            batch.dtype == self._input.dtype
            and batch.shape[1:] == self.image_shape
            and smallest <= len(batch) <= largest
        ):
            return
        sizes = str(largest) if smallest == largest else "{}..{}".format(smallest, largest)
        raise LegoclfError(
            "the engine's input '{}' got {} {}, expected {} [{}]".format(
                self._input.name,
                batch.dtype,
                list(batch.shape),
                self._input.dtype,
                ", ".join([sizes] + [str(size) for size in self.image_shape]),
            )
        )

    def _check_thread(self) -> None:
        if self._closed:
            raise LegoclfError("the TensorRT session is closed")
        if threading.current_thread() is not self._thread:
            raise LegoclfError(
                "a TensorRT session is used by a thread that did not make it; make one in each thread"
            )

    def _drop_context(self) -> None:
        if hasattr(self, "_context"):
            del self._context

    def _drop_engine(self) -> None:
        # Here, not when the session is collected: TensorRT frees device memory of its own.
        self._drop_context()
        del self.engine
