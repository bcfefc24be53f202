"""CUDA memory, streams and events behind one small interface, :class:`Cuda`."""

from typing import Any, Tuple

import numpy as np

from legoclf.jetson.cuda_library import load_cudart


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

    def close(self) -> None:
        """Give back what is left; nothing may be called afterwards."""
        raise NotImplementedError

    def __enter__(self) -> "Cuda":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()


def open_cuda() -> Cuda:
    """CUDA by the library that is installed.

    Raises:
        LegoclfError: there is none, or no GPU that it can use.
    """
    from legoclf.jetson.cudart import CudartCuda

    return CudartCuda(load_cudart())
