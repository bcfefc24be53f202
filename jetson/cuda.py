"""CUDA memory, streams and events behind one small interface, :class:`Cuda`."""

import ctypes
import os
import threading
import weakref
from typing import Any, Callable, Optional, Tuple

import numpy as np

from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.cuda_graph import Graphs, driver_graphs
from legoclf.jetson.cuda_library import load_cudart, load_driver

#: What ``$LEGOCLF_CUDA_BACKEND`` may name, in the order in which they are looked for.
BACKENDS = ("pycuda", "cuda-python", "ctypes")


class Cuda:
    """What legoclf needs of CUDA. Addresses, streams and events are whole numbers.

    A CUDA context belongs to the thread that made it: an object of this class MUST be used by the
    thread that made it, and says so otherwise. A context manager; :meth:`close` gives back what was
    not given back before. Copies are asynchronous on their stream: neither array may be touched until
    :meth:`synchronize` has returned.
    """

    def allocate(self, nbytes: int) -> int:
        """Device address of ``nbytes`` bytes of device memory."""
        raise NotImplementedError

    def free(self, address: int) -> None:
        """Give back what :meth:`allocate` gave."""
        raise NotImplementedError

    def create_stream(self) -> int:
        """A new stream that does not wait for the default one."""
        raise NotImplementedError

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""
        raise NotImplementedError

    def copy_to_device(self, address: int, array: np.ndarray, stream: int) -> None:
        """Queue the copy of a C-contiguous array to a device address."""
        raise NotImplementedError

    def copy_to_host(self, array: np.ndarray, address: int, stream: int) -> None:
        """Queue the copy of ``array.nbytes`` bytes at a device address into a C-contiguous array."""
        raise NotImplementedError

    def synchronize(self, stream: int) -> None:
        """Wait until all that was queued on the stream is done; errors of that work are told here."""
        raise NotImplementedError

    def create_event(self) -> int:
        """A new event, to measure time with."""
        raise NotImplementedError

    def record(self, event: int, stream: int) -> None:
        """Queue the event on the stream."""
        raise NotImplementedError

    def elapsed_ms(self, start: int, end: int) -> float:
        """Milliseconds between two recorded events; waits for the second."""
        raise NotImplementedError

    def destroy_event(self, event: int) -> None:
        """Give an event back."""
        raise NotImplementedError

    def pinned_empty(self, shape: Tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array in page-locked host memory, uninitialised; it lives as long as a reference to it."""
        raise NotImplementedError

    def mapped_empty(self, shape: Tuple[int, ...], dtype: Any) -> Tuple[np.ndarray, int]:
        """An array like :meth:`pinned_empty`'s, and the device address at which kernels see its memory.

        A kernel that reads it reads the host's memory: nothing is copied.
        """
        raise NotImplementedError

    def memory_info(self) -> Tuple[int, int]:
        """Free and total device memory in bytes."""
        raise NotImplementedError

    def runtime_version(self) -> str:
        """The CUDA runtime's version, such as ``10.2``."""
        raise NotImplementedError

    def device_name(self) -> str:
        """The GPU's name as the driver gives it."""
        raise NotImplementedError

    def compute_capability(self) -> Tuple[int, int]:
        """The GPU's compute capability, such as (5, 3)."""
        raise NotImplementedError

    def driver(self) -> Any:
        """libcuda by ctypes: what loads and launches kernels, in this thread's context."""
        return load_driver(None)

    def graphs(self) -> Optional[Graphs]:
        """What captures the work of a stream, to be queued again by one call; None where CUDA cannot."""
        return driver_graphs(self.driver())

    def close(self) -> None:
        """Give back what is left; nothing may be called afterwards."""
        raise NotImplementedError

    def __enter__(self) -> "Cuda":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()


class OneThreadCuda(Cuda):
    """A :class:`Cuda` that refuses other threads, and any call after its end."""

    def __init__(self) -> None:
        self._thread = threading.current_thread()
        self._closed = False

    def _check(self, function: str) -> None:
        """LegoclfError if ``function`` may not be called here or any more."""
        if threading.current_thread() is not self._thread:
            raise LegoclfError(
                "CUDA: {}: called by thread {!r}, but this object belongs to thread {!r}; "
                "open another with open_cuda() there".format(
                    function, threading.current_thread().name, self._thread.name
                )
            )
        if self._closed:
            raise LegoclfError("CUDA: {}: called after close()".format(function))


def contiguous(array: np.ndarray) -> np.ndarray:
    """The array; ValueError if it is not C-contiguous."""
    if not array.flags.c_contiguous:
        raise ValueError("CUDA copies C-contiguous arrays; got strides {}".format(array.strides))
    return array


def array_at(address: int, shape: Tuple[int, ...], dtype: Any, give_back: Callable[[Any], Any]) -> np.ndarray:
    """Host memory as an array; ``give_back`` gets its address when the last reference to it goes."""
    nbytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    buffer = (ctypes.c_ubyte * nbytes).from_address(address)
    # The array keeps the buffer, and the buffer's end gives the memory back. Not at the
    # interpreter's end: the driver may have gone by then.
    weakref.finalize(buffer, give_back, address).atexit = False
    return np.frombuffer(buffer, dtype).reshape(shape)


def open_cuda() -> Cuda:
    """CUDA by the library that is installed: PyCUDA, cuda-python, or libcudart by ctypes.

    ``$LEGOCLF_CUDA_BACKEND`` names one of :data:`BACKENDS`; a libcudart named by ``$LEGOCLF_CUDART`` is used
    by ctypes.

    Raises:
        UsageError: another name.
        LegoclfError: the named one is not installed; there is none; no GPU that it can use.
    """
    named = os.environ.get("LEGOCLF_CUDA_BACKEND", "")
    if named and named not in BACKENDS:
        raise UsageError(
            "LEGOCLF_CUDA_BACKEND: got {!r}, expected one of {}".format(named, ", ".join(BACKENDS))
        )
    if not named and os.environ.get("LEGOCLF_CUDART"):
        named = "ctypes"
    for name in [named] if named else BACKENDS:
        try:
            return _open(name)
        except ImportError as error:
            missing = error
    raise LegoclfError(
        "LEGOCLF_CUDA_BACKEND={}: cannot be imported: {}; install it, or unset the variable".format(
            named, missing
        )
    ) from missing


def _open(backend: str) -> Cuda:
    """ImportError if the backend is not installed."""
    if backend == "pycuda":
        from legoclf.jetson.cuda_pycuda import PyCuda, import_driver

        return PyCuda(import_driver())
    if backend == "cuda-python":
        from legoclf.jetson.cuda_python import CudaPython, import_runtime

        return CudaPython(import_runtime())
    from legoclf.jetson.cudart import CudartCuda

    return CudartCuda(load_cudart())
