"""CUDA by PyCUDA, which is built against the CUDA that is installed (2022.1 is the last for Python 3.6)."""

import contextlib
import itertools
from typing import Any, Dict, Iterator, Tuple

import numpy as np

from legoclf.errors import LegoclfError
from legoclf.jetson.cuda import OneThreadCuda, contiguous
from legoclf.jetson.cuda_library import installed_runtime_version
from legoclf.jetson.cudart import MENDS

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING, for which PyCUDA has no name


def import_driver() -> Any:
    """``pycuda.driver``.

    Raises:
        ImportError: PyCUDA is not installed or too old, or the libraries it was built against are not there.
    """
    import pycuda.driver

    if not hasattr(pycuda.driver.Device, "retain_primary_context"):
        raise ImportError("PyCUDA {}: expected 2020.1 or later".format(pycuda.VERSION_TEXT))
    return pycuda.driver


class PyCuda(OneThreadCuda):
    """CUDA's driver by PyCUDA, in the device's primary context: the one that TensorRT and libcudart use.

    The context is made by the first call that needs one, becomes this thread's, and is taken off at
    :meth:`close`.

    Args:
        driver: the module that :func:`import_driver` gives.

    Raises:
        LegoclfError: there is no GPU, or no driver for it.
    """

    def __init__(self, driver: Any) -> None:
        super().__init__()
        self._driver = driver
        self._context: Any = None
        self._memory: Dict[int, Any] = {}
        self._streams: Dict[int, Any] = {}
        self._events: Dict[int, Any] = {}
        self._numbers = itertools.count(1)
        with self._told("init"):
            driver.init()
            self._device = driver.Device(0)

    def allocate(self, nbytes: int) -> int:
        if nbytes < 1:
            raise ValueError("allocate: got {} bytes, expected 1 or more".format(nbytes))
        with self._in_context("mem_alloc"):
            allocation = self._driver.mem_alloc(nbytes)
        self._memory[int(allocation)] = allocation
        return int(allocation)

    def free(self, address: int) -> None:
        allocation = self._known(self._memory, address, "device address")
        with self._in_context("DeviceAllocation.free"):
            allocation.free()
        del self._memory[address]

    def create_stream(self) -> int:
        with self._in_context("Stream"):
            stream = self._driver.Stream(_NON_BLOCKING)
        self._streams[stream.handle] = stream
        return int(stream.handle)

    def destroy_stream(self, stream: int) -> None:
        self._known(self._streams, stream, "stream")
        with self._in_context("Stream"):
            del self._streams[stream]  # the last reference: PyCUDA destroys it

    def copy_to_device(self, address: int, array: np.ndarray, stream: int) -> None:
        on = self._known(self._streams, stream, "stream")
        with self._in_context("memcpy_htod_async"):
            self._driver.memcpy_htod_async(address, contiguous(array), on)

    def copy_to_host(self, array: np.ndarray, address: int, stream: int) -> None:
        on = self._known(self._streams, stream, "stream")
        with self._in_context("memcpy_dtoh_async"):
            self._driver.memcpy_dtoh_async(contiguous(array), address, on)

    def synchronize(self, stream: int) -> None:
        on = self._known(self._streams, stream, "stream")
        with self._in_context("Stream.synchronize"):
            on.synchronize()

    def create_event(self) -> int:
        with self._in_context("Event"):
            event = self._driver.Event()
        number = next(self._numbers)
        self._events[number] = event
        return number

    def record(self, event: int, stream: int) -> None:
        on = self._known(self._streams, stream, "stream")
        with self._in_context("Event.record"):
            self._known(self._events, event, "event").record(on)

    def elapsed_ms(self, start: int, end: int) -> float:
        first, last = (self._known(self._events, event, "event") for event in (start, end))
        with self._in_context("Event.time_since"):
            last.synchronize()
            return float(last.time_since(first))

    def destroy_event(self, event: int) -> None:
        self._known(self._events, event, "event")
        with self._in_context("Event"):
            del self._events[event]

    def pinned_empty(self, shape: Tuple[int, ...], dtype: Any) -> np.ndarray:
        if 0 in shape:
            return np.empty(shape, dtype)
        with self._in_context("pagelocked_empty"):
            array: np.ndarray = self._driver.pagelocked_empty(shape, np.dtype(dtype))
        return array

    def mapped_empty(self, shape: Tuple[int, ...], dtype: Any) -> Tuple[np.ndarray, int]:
        flags = self._driver.host_alloc_flags.DEVICEMAP
        with self._in_context("pagelocked_empty"):
            array = self._driver.pagelocked_empty(shape, np.dtype(dtype), mem_flags=flags)
            return array, int(array.base.get_device_pointer())

    def memory_info(self) -> Tuple[int, int]:
        with self._in_context("mem_get_info"):
            free, total = self._driver.mem_get_info()
        return free, total

    def runtime_version(self) -> str:
        # Its own version is that of the CUDA it was built against.
        return installed_runtime_version() or "{}.{}".format(*self._driver.get_version()[:2])

    def device_name(self) -> str:
        with self._told("Device.name"):
            return str(self._device.name())

    def compute_capability(self) -> Tuple[int, int]:
        with self._told("Device.compute_capability"):
            major, minor = self._device.compute_capability()
        return major, minor

    def close(self) -> None:
        if self._closed:
            return
        if self._context is not None:
            # Before the context goes: PyCUDA's objects give back their memory in it.
            self._events.clear()
            self._streams.clear()
            for address in list(self._memory):
                self.free(address)
            with self._told("Context.pop"):
                self._context.pop()
                self._context = None
        self._closed = True

    @contextlib.contextmanager
    def _in_context(self, function: str) -> Iterator[None]:
        """Make the context if there is none yet, then as :meth:`_told`."""
        with self._told(function):
            if self._context is None:
                context = self._device.retain_primary_context()
                context.push()
                self._context = context
            yield

    @contextlib.contextmanager
    def _told(self, function: str) -> Iterator[None]:
        """Turn PyCUDA's errors into one that names the function and what mends it."""
        self._check(function)
        try:
            yield
        except self._driver.Error as error:
            mend = self._mend(error)
            raise LegoclfError(
                "CUDA: {} failed: {}{}".format(function, error, "; " + mend if mend else "")
            ) from error

    def _mend(self, error: Exception) -> str:
        if isinstance(error, self._driver.MemoryError):
            return MENDS[2]
        if isinstance(error, self._driver.LaunchError):
            return MENDS[719]
        return MENDS[100] if "no CUDA-capable device" in str(error) else ""

    def _known(self, known: Dict[int, Any], handle: int, kind: str) -> Any:
        self._check(kind)
        if handle not in known:
            raise LegoclfError("CUDA: {:#x} is no {} of this object".format(handle, kind))
        return known[handle]
