"""The kernels compiled for the CPU from the source that ships: for a FakeCuda, or behind a libcuda."""

import ctypes
import os
import shutil
from typing import Any, Tuple

import pytest
from shared_folder import compile_once

from legoclf.jetson.kernel_compiler import SOURCE

_SUPPORT = os.path.dirname(os.path.abspath(__file__))
_FLAGS = ("-std=gnu99", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
_IMAGE = b"compiled by nvrtc_stub for compute_53"


def build_driver(folder: Any) -> str:
    """Compile cudart_stub.c with the kernels in it into a folder: libcudart and libcuda in one; its path."""
    library = os.path.join(str(folder), "libcudart.so")
    sources = [os.path.join(_SUPPORT, name) for name in ("cudart_stub.c", "kernel_on_cpu.c")]
    _compile(library, ['-DKERNELS="{}"'.format(SOURCE), *sources])
    return library


def build_nvrtc(folder: Any, cubin: bool = False) -> str:
    """Compile nvrtc_stub.c into a folder, with what NVRTC has from 11.2 on or without; its path."""
    library = os.path.join(str(folder), "libnvrtc.so")
    _compile(library, (["-DWITH_CUBIN"] if cubin else []) + [os.path.join(_SUPPORT, "nvrtc_stub.c")])
    return library


def _compile(library: str, arguments: Any) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to build the kernels for the CPU with")
    compile_once([str(compiler), *_FLAGS, *arguments], library)


class CpuKernels(object):
    """What GpuPreprocessor launches, on the stream of a FakeCuda: it happens when that is synchronised.

    Args:
        library: path of what :func:`build_driver` made.
        cuda: the device; buffers that a kernel uses must be alive there when it runs.

    Attributes:
        launched: names of the kernels, in order.
        mapped_ms, device_ms: what a launch takes of the device's clock, its image in mapped memory or not.
    """

    def __init__(self, library: str, cuda: Any) -> None:
        self._driver = ctypes.CDLL(library)
        self._cuda = cuda
        self._module = ctypes.c_void_p()
        assert self._driver.cuModuleLoadData(ctypes.byref(self._module), _IMAGE) == 0
        self.launched = []  # type: ignore[var-annotated]
        self.mapped_ms = self.device_ms = 1.0

    def launch(
        self, name: str, blocks: Tuple[int, int], threads: Tuple[int, int], parameters: Any, stream: int
    ) -> None:
        function = ctypes.c_void_p()
        status = self._driver.cuModuleGetFunction(ctypes.byref(function), self._module, name.encode())
        assert status == 0, name
        kept = type(parameters).from_buffer_copy(parameters)  # CUDA copies a kernel's arguments at the launch

        def work() -> None:
            self._check(kept)
            sizes = [ctypes.c_uint(size) for size in (*blocks, 1, *threads, 1, 0)]
            arguments = (ctypes.c_void_p * 1)(ctypes.addressof(kept))
            status = self._driver.cuLaunchKernel(function, *sizes, None, arguments, None)
            assert status == 0, "{}: error {}".format(name, status)

        self.launched.append(name)
        mapped = self._cuda.is_mapped(kept.image.data)
        self._cuda.enqueue(name, work, stream, self.mapped_ms if mapped else self.device_ms)

    def _check(self, parameters: Any) -> None:
        """Every range that the kernel may touch lies in live buffers of the device."""
        image = parameters.image
        rows = image.rows * 3 // 2 if image.format == 2 else image.rows
        row_bytes = (image.left + image.width) * {0: 3, 1: 4, 2: 1, 3: 2, 4: 4}[image.format]
        self._cuda.view(image.data, (rows - 1) * image.stride + row_bytes)
        if hasattr(parameters, "means"):
            blocks = (image.width // parameters.side) * (image.height // parameters.side)
            self._cuda.view(parameters.means, blocks * 4)
        else:
            size = 2 if parameters.half else 4
            self._cuda.view(parameters.values, 256 * size)
            self._cuda.view(parameters.tensor, 3 * parameters.out_width * parameters.out_height * size)

    def close(self) -> None:
        raise AssertionError("kernels that were given are the giver's to close")
