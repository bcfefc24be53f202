"""CUDA's runtime by ctypes: nothing to compile, and there on a bare JetPack.

Every call is checked; a failure is one LegoclfError with the call, CUDA's own words, and the mend.
"""

import ctypes
from typing import Any, Dict, Set, Tuple

import numpy as np

from legoclf.errors import LegoclfError
from legoclf.jetson.cuda import OneThreadCuda, array_at, contiguous
from legoclf.jetson.cuda_library import load_driver

_HOST_TO_DEVICE, _DEVICE_TO_HOST = 1, 2  # cudaMemcpyKind
_MAPPED = 2  # cudaHostAllocMapped
_NON_BLOCKING = 1  # cudaStreamNonBlocking: does not wait for the legacy default stream
_MAJOR, _MINOR = 75, 76  # cudaDevAttrComputeCapabilityMajor, -Minor

#: What mends an error, by its cudaError_t. The numbers are the same from CUDA 10.1 to 13.
MENDS: Dict[int, str] = {
    2: "close other programs that use the GPU; on a Jetson, whose GPU uses the RAM, close others too",
    3: "use CUDA in one process only: it does not survive a fork",
    35: "the driver is older than this libcudart; upgrade it, or name an older library in LEGOCLF_CUDART",
    46: "another program holds the GPU for itself: end it",
    100: "no NVIDIA GPU is visible: run on the device; in a container add --runtime nvidia or --gpus all; "
    "and see that CUDA_VISIBLE_DEVICES is not empty",
    101: "see which GPUs CUDA_VISIBLE_DEVICES names",
    209: "the engine or library was built for another GPU: build it here with `legoclf build-engine`",
    700: "the GPU's work was spoilt and this process cannot use CUDA any more: start it again",
    719: "the GPU's work was spoilt and this process cannot use CUDA any more: start it again",
    999: "on a Jetson add yourself to the group video (sudo usermod -aG video $USER, then log in anew); "
    "elsewhere reboot after a driver upgrade",
}


class CudartCuda(OneThreadCuda):
    """CUDA's runtime by ctypes.

    Making one asks for the number of GPUs and creates no context yet: what asks only for names and
    versions leaves the device's memory alone.

    Args:
        library: libcudart as ctypes loaded it.
    """

    def __init__(self, library: Any) -> None:
        super().__init__()
        self._library = library
        self._memory: Set[int] = set()
        self._streams: Set[int] = set()
        self._events: Set[int] = set()
        for name in ("cudaGetErrorName", "cudaGetErrorString"):
            getattr(library, name).restype = ctypes.c_char_p
        self._number("cudaGetDeviceCount")

    def allocate(self, nbytes: int) -> int:
        if nbytes < 1:
            raise ValueError("allocate: got {} bytes, expected 1 or more".format(nbytes))
        address = self._handle("cudaMalloc", ctypes.c_size_t(nbytes))
        self._memory.add(address)
        return address

    def free(self, address: int) -> None:
        self._call("cudaFree", ctypes.c_void_p(address))
        self._memory.discard(address)

    def create_stream(self) -> int:
        stream = self._handle("cudaStreamCreateWithFlags", ctypes.c_uint(_NON_BLOCKING))
        self._streams.add(stream)
        return stream

    def destroy_stream(self, stream: int) -> None:
        self._call("cudaStreamDestroy", ctypes.c_void_p(stream))
        self._streams.discard(stream)

    def copy_to_device(self, address: int, array: np.ndarray, stream: int) -> None:
        self._copy(address, _data(array), array.nbytes, _HOST_TO_DEVICE, stream)

    def copy_to_host(self, array: np.ndarray, address: int, stream: int) -> None:
        self._copy(_data(array), address, array.nbytes, _DEVICE_TO_HOST, stream)

    def _copy(self, target: int, source: int, nbytes: int, kind: int, stream: int) -> None:
        self._call(
            "cudaMemcpyAsync",
            ctypes.c_void_p(target),
            ctypes.c_void_p(source),
            ctypes.c_size_t(nbytes),
            ctypes.c_int(kind),
            ctypes.c_void_p(stream),
        )

    def synchronize(self, stream: int) -> None:
        self._call("cudaStreamSynchronize", ctypes.c_void_p(stream))

    def create_event(self) -> int:
        event = self._handle("cudaEventCreate")
        self._events.add(event)
        return event

    def record(self, event: int, stream: int) -> None:
        self._call("cudaEventRecord", ctypes.c_void_p(event), ctypes.c_void_p(stream))

    def elapsed_ms(self, start: int, end: int) -> float:
        elapsed = ctypes.c_float()
        self._call("cudaEventSynchronize", ctypes.c_void_p(end))
        self._call(
            "cudaEventElapsedTime", ctypes.byref(elapsed), ctypes.c_void_p(start), ctypes.c_void_p(end)
        )
        return elapsed.value

    def destroy_event(self, event: int) -> None:
        self._call("cudaEventDestroy", ctypes.c_void_p(event))
        self._events.discard(event)

    def pinned_empty(self, shape: Tuple[int, ...], dtype: Any) -> np.ndarray:
        return self._host_array(shape, dtype, 0)

    def mapped_empty(self, shape: Tuple[int, ...], dtype: Any) -> Tuple[np.ndarray, int]:
        array = self._host_array(shape, dtype, _MAPPED)
        host = ctypes.c_void_p(array.ctypes.data)
        return array, self._handle("cudaHostGetDevicePointer", host, ctypes.c_uint(0))

    def _host_array(self, shape: Tuple[int, ...], dtype: Any, flags: int) -> np.ndarray:
        nbytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if nbytes < 1:
            return np.empty(shape, dtype)
        address = self._handle("cudaHostAlloc", ctypes.c_size_t(nbytes), ctypes.c_uint(flags))
        free = self._library.cudaFreeHost
        return array_at(address, shape, dtype, lambda at: free(ctypes.c_void_p(at)))

    def memory_info(self) -> Tuple[int, int]:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cudaMemGetInfo", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def runtime_version(self) -> str:
        number = self._number("cudaRuntimeGetVersion")
        return "{}.{}".format(number // 1000, number % 1000 // 10)

    def device_name(self) -> str:
        """The GPU's name by libcuda: libcudart gives it only in a struct that differs by version."""
        device = self._number("cudaGetDevice")
        driver = load_driver(self._library)
        name = ctypes.create_string_buffer(256)
        handle = ctypes.c_int()
        for function, arguments in (
            ("cuInit", (ctypes.c_uint(0),)),
            ("cuDeviceGet", (ctypes.byref(handle), ctypes.c_int(device))),
            ("cuDeviceGetName", (name, ctypes.c_int(len(name)), handle)),
        ):
            status = getattr(driver, function)(*arguments)
            if status:
                raise LegoclfError(_message(function, "error {}".format(status), status))
        return name.value.decode("utf-8", "replace")

    def compute_capability(self) -> Tuple[int, int]:
        device = self._number("cudaGetDevice")
        major, minor = (
            self._number("cudaDeviceGetAttribute", ctypes.c_int(attribute), ctypes.c_int(device))
            for attribute in (_MAJOR, _MINOR)
        )
        return major, minor

    def driver(self) -> Any:
        return load_driver(self._library)

    def close(self) -> None:
        if self._closed:
            return
        for events, give_back in (
            (self._events, self.destroy_event),
            (self._streams, self.destroy_stream),
            (self._memory, self.free),
        ):
            for handle in list(events):
                give_back(handle)
        self._closed = True

    def _handle(self, function: str, *arguments: Any) -> int:
        """What a call writes to the pointer that is its first argument."""
        handle = ctypes.c_void_p()
        self._call(function, ctypes.byref(handle), *arguments)
        return handle.value or 0

    def _number(self, function: str, *arguments: Any) -> int:
        """What a call writes to the int that is its first argument."""
        number = ctypes.c_int()
        self._call(function, ctypes.byref(number), *arguments)
        return number.value

    def _call(self, function: str, *arguments: Any) -> None:
        """Call and check.

        Raises:
            LegoclfError: CUDA reports an error, this is another thread, or the object is closed.
        """
        self._check(function)
        status = getattr(self._library, function)(*arguments)
        if status:
            raise self._error(function, status)

    def _error(self, function: str, status: int) -> LegoclfError:
        name = (self._library.cudaGetErrorName(status) or b"unknown error").decode()
        text = (self._library.cudaGetErrorString(status) or b"").decode()
        return LegoclfError(_message(function, "{} ({}: {})".format(name, status, text), status))


def _message(function: str, error: str, status: int) -> str:
    """What to say of a failed call: libcuda's and libcudart's errors have the same numbers."""
    mend = MENDS.get(status)
    return "CUDA: {} failed: {}{}".format(function, error, "; " + mend if mend else "")


def _data(array: np.ndarray) -> int:
    """Address of an array's first byte; ValueError if it is not C-contiguous."""
    address: int = contiguous(array).ctypes.data
    return address
