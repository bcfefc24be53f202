"""A CUDA device made of NumPy arrays, for tests: the interface of ``legoclf.jetson.cuda``, and strict.

Addresses are real host addresses. What is put on a stream happens when that stream is synchronised and not
before, so a missing synchronize leaves stale bytes. What a real device answers with a crash or with silent
corruption raises :class:`FakeCudaError`: an overrun, a freed or foreign address, a host array that is not
contiguous or was let go before its copy ran, a call from a thread other than the maker's, a wait for a stream
whose work is being captured.
"""

import itertools
import threading
import weakref
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from legoclf.errors import LegoclfError

# What fresh device memory holds: as float32 and float16 these bytes are NaN.
GARBAGE = 0xFF

_HANDLES: Iterator[int] = itertools.count(0x7001, 0x10)
_OWNERS: "weakref.WeakValueDictionary[int, FakeCuda]" = weakref.WeakValueDictionary()
_DEVICES: "weakref.WeakSet[FakeCuda]" = weakref.WeakSet()


class FakeCudaError(RuntimeError):
    """A misuse that a real device would punish later, or not at all."""


class Live(NamedTuple):
    """What was made and not yet given back."""

    buffers: int
    streams: int
    events: int


class _Operation(NamedTuple):
    name: str
    work: Callable[[], None]
    cost_ms: float
    event: int = 0


def owner_of_stream(stream: int) -> "Optional[FakeCuda]":
    """The device whose stream this is; None where no fake device made it."""
    return _OWNERS.get(stream)


def owner_of_address(address: int) -> "Optional[FakeCuda]":
    """The device that has, or had, a buffer at this address; None where none did."""
    return next((device for device in list(_DEVICES) if device.knows(address)), None)


class FakeCuda:
    """One device and its context, of the thread that makes it.

    Args:
        device_name, compute_capability, runtime_version: what the device says of itself.
        total_bytes: its memory; more is refused as a real device does, with a LegoclfError.

    Tests may set ``clock_ms`` (the time events record), ``copy_ms`` and ``execute_ms`` (what each copy and
    each inference adds to it), ``has_graphs`` and ``capture_fails`` (with a LegoclfError at its end), and
    read ``live``, ``calls`` (interface names, in order), ``bytes_copied`` and ``graphs_made`` (live ones).
    """

    def __init__(
        self,
        device_name: str = "NVIDIA Tegra X1",
        compute_capability: Tuple[int, int] = (5, 3),
        runtime_version: str = "10.2",
        total_bytes: int = 4 << 30,
    ) -> None:
        self.clock_ms = 0.0
        self.copy_ms = 0.25
        self.execute_ms = 1.0
        self.has_graphs = True
        self.capture_fails = False
        self.graphs_made: Dict[int, List[_Operation]] = {}
        self.calls: List[str] = []
        self.bytes_copied = 0
        self._thread = threading.get_ident()
        self._identity = (device_name, tuple(compute_capability), runtime_version)
        self._total = total_bytes
        self._buffers: Dict[int, np.ndarray] = {}
        self._freed: Dict[int, np.ndarray] = {}
        self._mapped: "Dict[int, weakref.ReferenceType[np.ndarray]]" = {}
        self._streams: Dict[int, List[_Operation]] = {}
        self._captured: Dict[int, List[_Operation]] = {}
        self._events: Dict[int, Optional[float]] = {}
        self._closed = False
        _DEVICES.add(self)

    # The interface of legoclf.jetson.cuda.Cuda

    def allocate(self, nbytes: int) -> int:
        self._enter("allocate")
        if nbytes <= 0:
            raise FakeCudaError("allocate: {} bytes".format(nbytes))
        if nbytes > self._free_bytes():
            message = "cudaMalloc: out of memory (error 2): {} bytes asked, {} free"
            raise LegoclfError(message.format(nbytes, self._free_bytes()))
        buffer = np.full(nbytes, GARBAGE, np.uint8)
        self._buffers[buffer.ctypes.data] = buffer
        return int(buffer.ctypes.data)

    def free(self, address: int) -> None:
        self._enter("free")
        if address in self._freed:
            raise FakeCudaError("free: {:#x} was freed before".format(address))
        if address not in self._buffers:
            raise FakeCudaError("free: {:#x} is not the start of a buffer".format(address))
        buffer = self._buffers.pop(address)
        buffer[:] = GARBAGE
        # Kept, so that NumPy does not hand the same address out again and a late use is seen.
        self._freed[address] = buffer

    def create_stream(self) -> int:
        self._enter("create_stream")
        stream = next(_HANDLES)
        self._streams[stream] = []
        _OWNERS[stream] = self
        return stream

    def destroy_stream(self, stream: int) -> None:
        self._enter("destroy_stream")
        if self._queue(stream):
            names = ", ".join(operation.name for operation in self._streams[stream])
            raise FakeCudaError("destroy_stream: still queued, never synchronised: {}".format(names))
        del self._streams[stream]
        _OWNERS.pop(stream, None)

    def copy_to_device(self, address: int, array: np.ndarray, stream: int) -> None:
        self._enter("copy_to_device")
        _check_host_array("copy_to_device", array)
        self.view(address, array.nbytes)
        self._enqueue_copy("copy_to_device", address, array, stream)

    def copy_to_host(self, array: np.ndarray, address: int, stream: int) -> None:
        self._enter("copy_to_host")
        _check_host_array("copy_to_host", array)
        if not array.flags["WRITEABLE"]:
            raise FakeCudaError("copy_to_host: the array is read-only")
        self.view(address, array.nbytes)
        self._enqueue_copy("copy_to_host", address, array, stream)

    def synchronize(self, stream: int) -> None:
        self._enter("synchronize")
        if stream in self._captured:
            raise FakeCudaError("synchronize: the stream is being captured")
        self._drain(self._queue(stream))

    def create_event(self) -> int:
        self._enter("create_event")
        event = next(_HANDLES)
        self._events[event] = None
        return event

    def record(self, event: int, stream: int) -> None:
        self._enter("record")
        self._check_event(event)
        self._events[event] = None
        self._queue(stream).append(_Operation("record", lambda: self._stamp(event), 0.0, event))

    def elapsed_ms(self, start: int, end: int) -> float:
        self._enter("elapsed_ms")
        self._check_event(start)
        self._check_event(end)
        for queue in self._streams.values():
            if any(operation.event == end for operation in queue):
                self._drain(queue, until=end)
        begun, done = self._events[start], self._events[end]
        if begun is None or done is None:
            raise FakeCudaError("elapsed_ms: an event was never recorded, or lies behind the other's stream")
        return done - begun

    def destroy_event(self, event: int) -> None:
        self._enter("destroy_event")
        self._check_event(event)
        del self._events[event]

    def pinned_empty(self, shape: Union[int, Sequence[int]], dtype: Any) -> np.ndarray:
        self._enter("pinned_empty")
        array = np.empty(shape, dtype)
        array.reshape(-1).view(np.uint8)[:] = GARBAGE
        return array

    def mapped_empty(self, shape: Union[int, Sequence[int]], dtype: Any) -> Tuple[np.ndarray, int]:
        self._enter("mapped_empty")
        array = np.empty(shape, dtype)
        array.reshape(-1).view(np.uint8)[:] = GARBAGE
        self._mapped[array.ctypes.data] = weakref.ref(array)
        return array, int(array.ctypes.data)

    def memory_info(self) -> Tuple[int, int]:
        self._enter("memory_info")
        return self._free_bytes(), self._total

    def runtime_version(self) -> str:
        self._enter("runtime_version")
        return self._identity[2]

    def device_name(self) -> str:
        self._enter("device_name")
        return self._identity[0]

    def compute_capability(self) -> Tuple[int, int]:
        self._enter("compute_capability")
        return self._identity[1][0], self._identity[1][1]

    def graphs(self) -> "Optional[FakeGraphs]":
        self._enter("graphs")
        return FakeGraphs(self) if self.has_graphs else None

    def close(self) -> None:
        if not self._closed:
            self._enter("close")
        self._closed = True

    def __enter__(self) -> "FakeCuda":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    # What tests and the fake TensorRT ask

    @property
    def live(self) -> Live:
        return Live(len(self._buffers), len(self._streams), len(self._events))

    def assert_nothing_leaked(self) -> None:
        assert self.live == Live(0, 0, 0), "not given back: {}".format(self.live)
        assert not self.graphs_made, "not given back: {} graphs".format(len(self.graphs_made))

    def knows(self, address: int) -> bool:
        """Whether the address lies in a buffer of this device, live or freed."""
        return any(self._inside(buffers, address) is not None for buffers in (self._buffers, self._freed))

    def is_mapped(self, address: int) -> bool:
        """Whether the address lies in a mapped array that is still referred to."""
        return self._inside(self._buffers, address) is None and (
            self._inside(self._visible(), address) is not None
        )

    def view(self, address: int, nbytes: int) -> np.ndarray:
        """The bytes [nbytes] at an address, uint8; raises where they are not all in one live buffer."""
        visible = self._visible()
        base = self._inside(visible, address)
        if base is None:
            state = "was freed" if self._inside(self._freed, address) is not None else "is no device address"
            raise FakeCudaError("{:#x} {}".format(address, state))
        buffer, start = visible[base], address - base
        if start + nbytes > buffer.nbytes:
            message = "overrun: {} bytes at offset {} of a buffer of {}"
            raise FakeCudaError(message.format(nbytes, start, buffer.nbytes))
        return buffer[start : start + nbytes]

    def enqueue(
        self, name: str, work: Callable[[], None], stream: int, cost_ms: Optional[float] = None
    ) -> None:
        """Put an inference on a stream; it takes ``cost_ms`` of the fake clock, or ``execute_ms``."""
        self._enter(name)
        cost = self.execute_ms if cost_ms is None else cost_ms
        self._queue(stream).append(_Operation(name, work, cost))

    def begin_capture(self, stream: int) -> None:
        """Of :class:`FakeGraphs`, like the four below."""
        self._enter("begin_capture")
        if self._queue(stream):
            raise FakeCudaError("begin_capture: work is queued that would be captured with the rest")
        self._captured[stream] = []

    def end_capture(self, stream: int) -> int:
        self._enter("end_capture")
        if stream not in self._captured:
            raise FakeCudaError("end_capture: the stream is not being captured")
        operations = self._captured.pop(stream)
        if self.capture_fails:
            raise LegoclfError("CUDA: end of capture: error 900")
        graph = next(_HANDLES)
        self.graphs_made[graph] = operations
        return graph

    def launch_graph(self, graph: int, stream: int) -> None:
        self._enter("launch_graph")
        if graph not in self.graphs_made:
            raise FakeCudaError("launch_graph: {!r} is no live graph".format(graph))
        self._queue(stream).extend(self.graphs_made[graph])

    def destroy_graph(self, graph: int) -> None:
        self._enter("destroy_graph")
        if self.graphs_made.pop(graph, None) is None:
            raise FakeCudaError("destroy_graph: {!r} is no live graph".format(graph))

    def _enqueue_copy(self, name: str, address: int, array: np.ndarray, stream: int) -> None:
        nbytes, host = array.nbytes, weakref.ref(array)

        def work() -> None:
            target = host()
            if target is None:
                raise FakeCudaError("{}: the host array was let go before the stream got there".format(name))
            flat, device = target.reshape(-1).view(np.uint8), self.view(address, nbytes)
            if name == "copy_to_device":
                device[:] = flat
            else:
                flat[:] = device
            self.bytes_copied += nbytes

        self._queue(stream).append(_Operation(name, work, self.copy_ms))

    def _drain(self, queue: List[_Operation], until: int = 0) -> None:
        """Do what is queued; with ``until``, up to that event."""
        while queue:
            operation = queue.pop(0)
            operation.work()
            self.clock_ms += operation.cost_ms
            if until and operation.event == until:
                return

    def _enter(self, name: str) -> None:
        if threading.get_ident() != self._thread:
            raise FakeCudaError("{}: called from a thread that did not make this device".format(name))
        if self._closed:
            raise FakeCudaError("{}: called after close".format(name))
        self.calls.append(name)

    def _queue(self, stream: int) -> List[_Operation]:
        if stream not in self._streams:
            raise FakeCudaError("{!r} is no live stream of this device".format(stream))
        return self._captured.get(stream, self._streams[stream])

    def _stamp(self, event: int) -> None:
        if event in self._events:
            self._events[event] = self.clock_ms

    def _check_event(self, event: int) -> None:
        if event not in self._events:
            raise FakeCudaError("{!r} is no live event of this device".format(event))

    def _visible(self) -> Dict[int, np.ndarray]:
        """The buffers, and the bytes of mapped arrays that are still referred to."""
        visible = dict(self._buffers)
        for base, reference in self._mapped.items():
            array = reference()
            if array is not None:
                visible[base] = array.reshape(-1).view(np.uint8)
        return visible

    def _free_bytes(self) -> int:
        return self._total - sum(buffer.nbytes for buffer in self._buffers.values())

    @staticmethod
    def _inside(buffers: Dict[int, np.ndarray], address: int) -> Optional[int]:
        return next((base for base, one in buffers.items() if base <= address < base + one.nbytes), None)


class FakeGraphs:
    """The interface of ``legoclf.jetson.cuda_graph.Graphs``: each launch does again what was captured."""

    def __init__(self, device: FakeCuda) -> None:
        self.begin = device.begin_capture
        self.end = device.end_capture
        self.launch = device.launch_graph
        self.destroy = device.destroy_graph


def _check_host_array(name: str, array: np.ndarray) -> None:
    if not isinstance(array, np.ndarray):
        raise FakeCudaError("{}: got {}, expected an array".format(name, type(array).__name__))
    if not array.flags["C_CONTIGUOUS"]:
        raise FakeCudaError("{}: the array is not C-contiguous".format(name))
