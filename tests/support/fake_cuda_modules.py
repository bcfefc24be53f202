"""PyCUDA and cuda-python as modules, on a FakeCuda: the names and arguments that their documentation gives.

Strict: another name is an AttributeError, another argument a TypeError, as with the real ones. What a call
does is what the FakeCuda does, so copies happen when their stream is synchronised, and misuse raises.
"""

# ruff: noqa: N801, N815
# The names are NVIDIA's.

import ctypes
import enum
from typing import Any, Dict, List, Tuple

import fake_cuda
import numpy as np

from legoclf.errors import LegoclfError


def _bytes_at(address: int, nbytes: int) -> np.ndarray:
    return np.frombuffer((ctypes.c_ubyte * nbytes).from_address(address), np.uint8)


# cuda-python: cuda.bindings.runtime (before 12.8 cuda.cudart)


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaDeviceAttr(enum.IntEnum):
    cudaDevAttrComputeCapabilityMajor = 75
    cudaDevAttrComputeCapabilityMinor = 76


class _Handle(object):
    """cudaStream_t and cudaEvent_t: objects that int() takes."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __int__(self) -> int:
        return self._value


class _Properties(object):
    def __init__(self, name: bytes) -> None:
        self.name = name


class FakeRuntime(object):
    """``cuda.bindings.runtime``. ``fail`` has the error that a call is to give; ``calls`` what was called."""

    cudaError_t = cudaError_t
    cudaMemcpyKind = cudaMemcpyKind
    cudaDeviceAttr = cudaDeviceAttr

    def __init__(self) -> None:
        self.device = fake_cuda.FakeCuda("Orin", (8, 7), "12.6")
        self.fail: Dict[str, int] = {}
        self.calls: List[str] = []
        self._pinned: Dict[int, np.ndarray] = {}
        self._kept: List[Any] = []

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if name.startswith("cuda") and callable(found) and not isinstance(found, type):
            self.calls.append(name)
            if name in self.fail:
                return lambda *arguments: (cudaError_t(self.fail[name]), None)
        return found

    def cudaGetDeviceCount(self) -> Tuple[Any, ...]:
        return cudaError_t.cudaSuccess, 1

    def cudaGetDevice(self) -> Tuple[Any, ...]:
        return cudaError_t.cudaSuccess, 0

    def cudaGetDeviceProperties(self, device: int) -> Tuple[Any, ...]:
        return cudaError_t.cudaSuccess, _Properties(self.device.device_name().encode() + b"\0\0")

    def cudaDeviceGetAttribute(self, attr: cudaDeviceAttr, device: int) -> Tuple[Any, ...]:
        return cudaError_t.cudaSuccess, self.device.compute_capability()[_member(cudaDeviceAttr, attr) - 75]

    def cudaRuntimeGetVersion(self) -> Tuple[Any, ...]:
        return cudaError_t.cudaSuccess, 12060

    def cudaMemGetInfo(self) -> Tuple[Any, ...]:
        return (cudaError_t.cudaSuccess, *self.device.memory_info())

    def cudaMalloc(self, size: int) -> Tuple[Any, ...]:
        try:
            return cudaError_t.cudaSuccess, self.device.allocate(size)
        except LegoclfError:
            return cudaError_t.cudaErrorMemoryAllocation, None

    def cudaFree(self, devPtr: int) -> Tuple[Any, ...]:
        try:
            self.device.free(devPtr)
        except fake_cuda.FakeCudaError:
            return (cudaError_t.cudaErrorInvalidValue,)
        return (cudaError_t.cudaSuccess,)

    def cudaStreamCreateWithFlags(self, flags: int) -> Tuple[Any, ...]:
        assert flags == 1, "cudaStreamNonBlocking"
        return cudaError_t.cudaSuccess, _Handle(self.device.create_stream())

    def cudaStreamDestroy(self, stream: int) -> Tuple[Any, ...]:
        self.device.destroy_stream(int(stream))
        return (cudaError_t.cudaSuccess,)

    def cudaStreamSynchronize(self, stream: int) -> Tuple[Any, ...]:
        self.device.synchronize(int(stream))
        return (cudaError_t.cudaSuccess,)

    def cudaMemcpyAsync(
        self, dst: int, src: int, count: int, kind: cudaMemcpyKind, stream: int
    ) -> Tuple[Any, ...]:
        to_device = _member(cudaMemcpyKind, kind) == cudaMemcpyKind.cudaMemcpyHostToDevice
        host = _bytes_at(src if to_device else dst, count)
        self._kept.append(host)
        try:
            if to_device:
                self.device.copy_to_device(dst, host, int(stream))
            else:
                self.device.copy_to_host(host, src, int(stream))
        except fake_cuda.FakeCudaError:
            return (cudaError_t.cudaErrorInvalidValue,)
        return (cudaError_t.cudaSuccess,)

    def cudaEventCreate(self) -> Tuple[Any, ...]:
        return cudaError_t.cudaSuccess, _Handle(self.device.create_event())

    def cudaEventRecord(self, event: int, stream: int) -> Tuple[Any, ...]:
        self.device.record(int(event), int(stream))
        return (cudaError_t.cudaSuccess,)

    def cudaEventSynchronize(self, event: int) -> Tuple[Any, ...]:
        return (cudaError_t.cudaSuccess,)

    def cudaEventElapsedTime(self, start: int, end: int) -> Tuple[Any, ...]:
        return cudaError_t.cudaSuccess, self.device.elapsed_ms(int(start), int(end))

    def cudaEventDestroy(self, event: int) -> Tuple[Any, ...]:
        self.device.destroy_event(int(event))
        return (cudaError_t.cudaSuccess,)

    def cudaHostAlloc(self, size: int, flags: int) -> Tuple[Any, ...]:
        if flags == 2:
            array, address = self.device.mapped_empty((size,), np.uint8)
        else:
            array = self.device.pinned_empty((size,), np.uint8)
            address = array.ctypes.data
        self._pinned[address] = array
        return cudaError_t.cudaSuccess, address

    def cudaHostGetDevicePointer(self, pHost: int, flags: int) -> Tuple[Any, ...]:
        assert self.device.is_mapped(pHost), "was not made with cudaHostAllocMapped"
        return cudaError_t.cudaSuccess, pHost

    def cudaFreeHost(self, ptr: int) -> Tuple[Any, ...]:
        del self._pinned[ptr]
        return (cudaError_t.cudaSuccess,)

    def cudaGetErrorName(self, error: cudaError_t) -> Tuple[Any, ...]:
        return cudaError_t.cudaSuccess, _member(cudaError_t, error).name.encode()

    def cudaGetErrorString(self, error: cudaError_t) -> Tuple[Any, ...]:
        return cudaError_t.cudaSuccess, b"words of " + _member(cudaError_t, error).name.encode()


def _member(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError("got {!r}, expected {}".format(value, kind.__name__))
    return value


# PyCUDA: pycuda.driver


class Error(Exception):
    pass


class MemoryError(Error):  # noqa: A001
    pass


class LogicError(Error):
    pass


class LaunchError(Error):
    pass


class _PagelockedHostAllocation(object):
    """The base of an array of pagelocked_empty."""

    def __init__(self, array: np.ndarray, address: int) -> None:
        self._array = array
        self._address = address
        self.__array_interface__ = array.__array_interface__

    def get_device_pointer(self) -> int:
        if not self._address:
            raise LogicError("cuMemHostGetDevicePointer failed: invalid argument")
        return self._address


class FakeDriver(object):
    """``pycuda.driver``. ``fail`` has the error that a call is to raise; ``device`` is the FakeCuda below."""

    Error = Error
    MemoryError = MemoryError
    LogicError = LogicError
    LaunchError = LaunchError

    class host_alloc_flags(object):
        PORTABLE = 1
        DEVICEMAP = 2
        WRITECOMBINED = 4

    def __init__(self) -> None:
        self.device = device = fake_cuda.FakeCuda()
        self.fail: Dict[str, Exception] = {}
        self.contexts: List[Any] = []
        self.initialised = False
        module = self

        class Context(object):
            def push(self) -> None:
                module.contexts.append(self)

            @staticmethod
            def pop() -> None:
                module.contexts.pop()

        class Device(object):
            def __init__(self, number: int) -> None:
                if not module.initialised:
                    raise LogicError("cuDeviceGet failed: initialization error")
                assert number == 0

            def name(self) -> str:
                return device.device_name()

            def compute_capability(self) -> Tuple[int, int]:
                return device.compute_capability()

            def retain_primary_context(self) -> Context:
                return Context()

        class Stream(object):
            def __init__(self, flags: int = 0) -> None:
                module.use("Stream")
                assert flags == 1, "CU_STREAM_NON_BLOCKING"
                self.handle = device.create_stream()

            def synchronize(self) -> None:
                module.use("Stream.synchronize")
                device.synchronize(self.handle)

            def __del__(self) -> None:
                if hasattr(self, "handle"):
                    assert module.contexts, "a stream is destroyed after its context"
                    device.destroy_stream(self.handle)

        class Event(object):
            def __init__(self, flags: int = 0) -> None:
                module.use("Event")
                self._number = device.create_event()
                self._waited = False

            def record(self, stream: Any = None) -> Any:
                device.record(self._number, _member(Stream, stream).handle)
                return self

            def synchronize(self) -> Any:
                self._waited = True
                return self

            def time_since(self, event: Any) -> float:
                assert self._waited, "fails on a device that has not reached the event"
                return device.elapsed_ms(event._number, self._number)

            def __del__(self) -> None:
                if hasattr(self, "_number"):
                    assert module.contexts, "an event is destroyed after its context"
                    device.destroy_event(self._number)

        self.Context = Context
        self.Device = Device
        self.Stream = Stream
        self.Event = Event

    def use(self, call: str) -> None:
        """What every call needs that works on the device."""
        if call in self.fail:
            raise self.fail[call]
        if not self.contexts:
            raise LogicError("{} failed: invalid device context - no currently active context?".format(call))

    def init(self, flags: int = 0) -> None:
        if "init" in self.fail:
            raise self.fail["init"]
        self.initialised = True

    def get_version(self) -> Tuple[int, int, int]:
        return 10, 2, 0

    def mem_get_info(self) -> Tuple[int, int]:
        self.use("mem_get_info")
        return self.device.memory_info()

    def mem_alloc(self, bytes: int) -> Any:  # noqa: A002
        self.use("mem_alloc")
        return _DeviceAllocation(self.device, bytes)

    def memcpy_htod_async(self, dest: int, src: np.ndarray, stream: Any = None) -> None:
        self.use("memcpy_htod_async")
        try:
            self.device.copy_to_device(dest, src, _member(self.Stream, stream).handle)
        except fake_cuda.FakeCudaError as error:
            raise LogicError("cuMemcpyHtoDAsync failed: {}".format(error)) from error

    def memcpy_dtoh_async(self, dest: np.ndarray, src: int, stream: Any = None) -> None:
        self.use("memcpy_dtoh_async")
        try:
            self.device.copy_to_host(dest, src, _member(self.Stream, stream).handle)
        except fake_cuda.FakeCudaError as error:
            raise LogicError("cuMemcpyDtoHAsync failed: {}".format(error)) from error

    def pagelocked_empty(self, shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> np.ndarray:
        self.use("pagelocked_empty")
        if mem_flags == self.host_alloc_flags.DEVICEMAP:
            array, address = self.device.mapped_empty(shape, dtype)
        else:
            array, address = self.device.pinned_empty(shape, dtype), 0
        return np.asarray(_PagelockedHostAllocation(array, address))


class _DeviceAllocation(object):
    def __init__(self, device: fake_cuda.FakeCuda, nbytes: int) -> None:
        self._device = device
        try:
            self._address = device.allocate(nbytes)
        except LegoclfError as error:
            raise MemoryError("cuMemAlloc failed: out of memory") from error

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        self._device.free(self._address)
