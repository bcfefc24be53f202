"""CUDA by NVIDIA's cuda-python (CUDA 11.4 and later; none for the original Nano)."""

from typing import Any, Set, Tuple

import numpy as np

from legoclf.errors import LegoclfError
from legoclf.jetson.cuda import OneThreadCuda, array_at, contiguous
from legoclf.jetson.cuda_library import installed_runtime_version
from legoclf.jetson.cudart import MENDS

_MAPPED = 2  # cudaHostAllocMapped
_NON_BLOCKING = 1  # cudaStreamNonBlocking: does not wait for the legacy default stream


def import_runtime() -> Any:
    """The module with the runtime's functions: ``cuda.bindings.runtime``, before 12.8 ``cuda.cudart``.

    Raises:
        ImportError: cuda-python is not installed.
    """
    try:
        from cuda.bindings import runtime
    except ImportError:
        from cuda import cudart as runtime
    return runtime


class CudaPython(OneThreadCuda):
    """CUDA's runtime by cuda-python.

    Args:
        runtime: the module that :func:`import_runtime` gives.

    Raises:
        LegoclfError: there is no GPU, or no driver for it.
    """

    def __init__(self, runtime: Any) -> None:
        super().__init__()
        self._runtime = runtime
        self._memory: Set[int] = set()
        self._streams: Set[int] = set()
        self._events: Set[int] = set()
        self._call("cudaGetDeviceCount")

    def allocate(self, nbytes: int) -> int:
        if nbytes < 1:
            raise ValueError("allocate: got {} bytes, expected 1 or more".format(nbytes))
        address = int(self._call("cudaMalloc", nbytes))
        self._memory.add(address)
        return address

    def free(self, address: int) -> None:
        self._call("cudaFree", address)
        self._memory.discard(address)

    def create_stream(self) -> int:
        stream = int(self._call("cudaStreamCreateWithFlags", _NON_BLOCKING))
        self._streams.add(stream)
        return stream

    def destroy_stream(self, stream: int) -> None:
        self._call("cudaStreamDestroy", stream)
        self._streams.discard(stream)

    def copy_to_device(self, address: int, array: np.ndarray, stream: int) -> None:
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, contiguous(array).ctypes.data, array.nbytes, kind, stream)

    def copy_to_host(self, array: np.ndarray, address: int, stream: int) -> None:
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", contiguous(array).ctypes.data, address, array.nbytes, kind, stream)

    def synchronize(self, stream: int) -> None:
        self._call("cudaStreamSynchronize", stream)

    def create_event(self) -> int:
        event = int(self._call("cudaEventCreate"))
        self._events.add(event)
        return event

    def record(self, event: int, stream: int) -> None:
        self._call("cudaEventRecord", event, stream)

    def elapsed_ms(self, start: int, end: int) -> float:
        self._call("cudaEventSynchronize", end)
        return float(self._call("cudaEventElapsedTime", start, end))

    def destroy_event(self, event: int) -> None:
        self._call("cudaEventDestroy", event)
        self._events.discard(event)

    def pinned_empty(self, shape: Tuple[int, ...], dtype: Any) -> np.ndarray:
        return self._host_array(shape, dtype, 0)

    def mapped_empty(self, shape: Tuple[int, ...], dtype: Any) -> Tuple[np.ndarray, int]:
        array = self._host_array(shape, dtype, _MAPPED)
        return array, int(self._call("cudaHostGetDevicePointer", array.ctypes.data, 0))

    def _host_array(self, shape: Tuple[int, ...], dtype: Any, flags: int) -> np.ndarray:
        nbytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if nbytes < 1:
            return np.empty(shape, dtype)
        address = int(self._call("cudaHostAlloc", nbytes, flags))
        return array_at(address, shape, dtype, self._runtime.cudaFreeHost)

    def memory_info(self) -> Tuple[int, int]:
        free, total = self._call("cudaMemGetInfo")
        return free, total

    def runtime_version(self) -> str:
        # Its own runtime is linked in: what TensorRT uses beside it is the libcudart that is installed.
        return installed_runtime_version() or _dotted(self._call("cudaRuntimeGetVersion"))

    def device_name(self) -> str:
        name = self._call("cudaGetDeviceProperties", self._call("cudaGetDevice")).name
        return str(name.split(b"\0")[0].decode("utf-8", "replace"))

    def compute_capability(self) -> Tuple[int, int]:
        device = self._call("cudaGetDevice")
        attributes = self._runtime.cudaDeviceAttr
        major, minor = (
            int(self._call("cudaDeviceGetAttribute", attribute, device))
            for attribute in (
                attributes.cudaDevAttrComputeCapabilityMajor,
                attributes.cudaDevAttrComputeCapabilityMinor,
            )
        )
        return major, minor

    def close(self) -> None:
        if self._closed:
            return
        for handles, give_back in (
            (self._events, self.destroy_event),
            (self._streams, self.destroy_stream),
            (self._memory, self.free),
        ):
            for handle in list(handles):
                give_back(handle)
        self._closed = True

    def _call(self, function: str, *arguments: Any) -> Any:
        """What a call gives beside its status: nothing, one value, or a tuple.

        Raises:
            LegoclfError: CUDA reports an error, this is another thread, or the object is closed.
        """
        self._check(function)
        try:
            status, *values = getattr(self._runtime, function)(*arguments)
        except RuntimeError as error:  # the driver, or a function of it, is not there
            raise LegoclfError("CUDA: {} failed: {}; {}".format(function, error, MENDS[100])) from error
        if int(status):
            raise LegoclfError(self._message(function, status))
        return values[0] if len(values) == 1 else tuple(values)

    def _message(self, function: str, status: Any) -> str:
        name, text = (
            getattr(self._runtime, of)(status)[1] for of in ("cudaGetErrorName", "cudaGetErrorString")
        )
        mend = MENDS.get(int(status))
        return "CUDA: {} failed: {} ({}: {}){}".format(
            function, name.decode(), int(status), text.decode(), "; " + mend if mend else ""
        )


def _dotted(number: int) -> str:
    return "{}.{}".format(number // 1000, number % 1000 // 10)
