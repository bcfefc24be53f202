"""CUDA kernels compiled on the device that runs them, by NVRTC, and launched by the driver.

PTX from elsewhere may be newer than a Jetson's driver takes, so nothing is shipped but the source. What NVRTC
made is kept in the user's cache.
"""

import ctypes
import hashlib
import os
import pkgutil
import tempfile
import threading
from typing import Any, Dict, List, Sequence, Tuple

from legoclf.errors import LegoclfError
from legoclf.jetson.cuda import Cuda
from legoclf.jetson.cuda_library import load_nvrtc
from legoclf.jetson.cudart import MENDS
from legoclf.user_cache import default_cache_dir

#: The kernels' source, beside this module.
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kernels", "preprocess.cu")


class Nvrtc(object):
    """NVIDIA's runtime compiler.

    Args:
        library: libnvrtc as :func:`legoclf.jetson.cuda_library.load_nvrtc` gives it.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        # From CUDA 11.2 on NVRTC makes machine code, which no older driver can refuse as it does newer PTX.
        self._real = hasattr(library, "nvrtcGetCUBIN")

    def version(self) -> str:
        """Such as ``10.2``."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return "{}.{}".format(major.value, minor.value)

    def options(self, capability: Tuple[int, int]) -> List[str]:
        """What :meth:`compile` tells NVRTC for a GPU of this compute capability."""
        return ["--gpu-architecture={}_{}{}".format("sm" if self._real else "compute", *capability)]

    def compile(self, source: bytes, name: str, capability: Tuple[int, int]) -> bytes:
        """Machine code, or PTX before CUDA 11.2, for a GPU of this compute capability.

        Args:
            source: CUDA C++.
            name: of the source, for NVRTC's messages.

        Raises:
            LegoclfError: NVRTC does not know the GPU, or the source is wrong; with NVRTC's own words.
        """
        options = [option.encode() for option in self.options(capability)]
        program = ctypes.c_void_p()
        self._call("nvrtcCreateProgram", ctypes.byref(program), source, name.encode(), 0, None, None)
        try:
            array = (ctypes.c_char_p * len(options))(*options)
            status = self._library.nvrtcCompileProgram(program, len(options), array)
            if status:
                log = self._text(program, "nvrtcGetProgramLog").rstrip(b"\0").decode("utf-8", "replace")
                raise LegoclfError(
                    "NVRTC {}: {} does not compile for compute capability {}.{}: {}; name the libnvrtc of "
                    "this GPU's CUDA in LEGOCLF_NVRTC".format(
                        self.version(), name, capability[0], capability[1], self._error(status, log)
                    )
                )
            return self._text(program, "nvrtcGetCUBIN" if self._real else "nvrtcGetPTX")
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _text(self, program: Any, function: str) -> bytes:
        """What the two functions ``function`` and ``function + "Size"`` give."""
        size = ctypes.c_size_t()
        self._call(function + "Size", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self._call(function, program, text)
        return text.raw

    def _error(self, status: int, log: str = "") -> str:
        words = (self._library.nvrtcGetErrorString(status) or b"unknown error").decode()
        return ": ".join([words, *[line for line in log.splitlines() if "error" in line][:1]])

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, function)(*arguments)
        if status:
            raise LegoclfError("NVRTC: {} failed: {}".format(function, self._error(status)))


class Kernels(object):
    """A compiled module on the GPU, in the context that is current in this thread.

    Args:
        driver: libcuda, from :meth:`legoclf.jetson.cuda.Cuda.driver`.
        image: what :meth:`Nvrtc.compile` gives.

    Raises:
        LegoclfError: the driver refuses the image.
    """

    def __init__(self, driver: Any, image: bytes) -> None:
        self._driver = driver
        self._thread = threading.current_thread()
        self._functions: Dict[str, ctypes.c_void_p] = {}
        self._module = ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(self._module), image)

    def launch(
        self,
        name: str,
        blocks: Tuple[int, int],
        threads: Tuple[int, int],
        parameters: ctypes.Structure,
        stream: int,
    ) -> None:
        """Queue a kernel on a stream.

        Args:
            name: of the kernel.
            blocks, threads: columns and rows of the grid, and of a block.
            parameters: the kernel's one argument, copied before this returns.

        Raises:
            LegoclfError: there is no such kernel, or the driver refuses; errors of the kernel itself are
                told when the stream is synchronised.
        """
        if threading.current_thread() is not self._thread:
            raise LegoclfError("CUDA: a kernel is launched by a thread that did not load it; load it in each")
        # cuLaunchKernel takes an array with the address of each argument.
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(parameters))
        sizes = [ctypes.c_uint(size) for size in (*blocks, 1, *threads, 1, 0)]
        self._call("cuLaunchKernel", self._function(name), *sizes, ctypes.c_void_p(stream), arguments, None)

    def close(self) -> None:
        """Take the module off the GPU; nothing may be launched afterwards."""
        if self._module:
            self._call("cuModuleUnload", self._module)
        self._module = ctypes.c_void_p()
        self._functions.clear()

    def _function(self, name: str) -> ctypes.c_void_p:
        if name not in self._functions:
            function = ctypes.c_void_p()
            self._call("cuModuleGetFunction", ctypes.byref(function), self._module, name.encode())
            self._functions[name] = function
        return self._functions[name]

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._driver, function)(*arguments)
        if status:
            name = ctypes.c_char_p()
            known = self._driver.cuGetErrorName(status, ctypes.byref(name)) == 0 and name.value
            mend = MENDS.get(status)
            raise LegoclfError(
                "CUDA: {} failed: {} ({}){}".format(
                    function, known.decode() if known else "error", status, "; " + mend if mend else ""
                )
            )


def load_kernels(cuda: Cuda, cache_dir: str = "") -> Kernels:
    """Compile :data:`SOURCE` for the GPU, or take what was compiled before, and load it.

    Args:
        cuda: of this thread.
        cache_dir: instead of ``kernels`` in the user's cache.

    Raises:
        LegoclfError: there is no NVRTC, or it or the driver refuses.
    """
    capability = cuda.compute_capability()
    nvrtc = Nvrtc(load_nvrtc())
    source = kernel_source()
    cached = os.path.join(
        cache_dir or os.path.join(default_cache_dir(), "kernels"),
        _key(source, [nvrtc.version(), *nvrtc.options(capability)]),
    )
    cuda.memory_info()  # makes the primary context, if need be, and makes it this thread's
    driver = cuda.driver()
    if os.path.exists(cached):
        with open(cached, "rb") as file:
            image = file.read()
        try:
            return Kernels(driver, image)
        except LegoclfError:
            os.remove(cached)  # damaged, or of a driver that is no longer there
    image = nvrtc.compile(source, os.path.basename(SOURCE), capability)
    kernels = Kernels(driver, image)
    _keep(cached, image)
    return kernels


def kernel_source() -> bytes:
    """What stands in :data:`SOURCE`, where legoclf is a zip file too."""
    source = pkgutil.get_data("legoclf.jetson", "kernels/" + os.path.basename(SOURCE))
    assert source is not None
    return source


def _key(source: bytes, facts: Sequence[str]) -> str:
    digest = hashlib.sha256(source)
    digest.update("\n".join(facts).encode())
    return digest.hexdigest()[:32]


def _keep(path: str, image: bytes) -> None:
    """Write a file whole or not at all; a cache that cannot be written is no error."""
    try:
        folder = os.path.dirname(path)
        os.makedirs(folder, exist_ok=True)
        number, temporary = tempfile.mkstemp(dir=folder)
        with os.fdopen(number, "wb") as file:
            file.write(image)
        os.replace(temporary, path)
    except OSError:
        return
