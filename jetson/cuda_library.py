"""Where CUDA's libraries are: libcudart, the runtime, libcuda, the driver, and libnvrtc, the compiler."""

import ctypes
import ctypes.util
import glob
import os
import sys
from typing import Any, Iterator, Sequence

from legoclf.errors import LegoclfError

#: Names the runtime has had, the newest first; JetPack installs one of them alone.
SONAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so.10.2")

#: Names the compiler has had: CUDA 11 kept one from 11.2 on.
NVRTC_SONAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so.10.2")

#: Where NVIDIA's installers put it, which the dynamic linker may not know.
FOLDERS = ("/usr/local/cuda/lib64", "/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib")

#: Where NVIDIA's Python packages have it, below a folder of sys.path.
PACKAGE_FOLDERS = ("nvidia/cuda_runtime/lib", "nvidia/cuda_nvrtc/lib", "nvidia/cu13/lib")


def load_cudart() -> Any:
    """libcudart: the one that ``$LEGOCLF_CUDART`` names, else the first that loads.

    Raises:
        LegoclfError: there is none, or the named one does not load.
    """
    return _load("LEGOCLF_CUDART", "libcudart", SONAMES, "runtime", "runtime")


def load_nvrtc() -> Any:
    """libnvrtc: the one that ``$LEGOCLF_NVRTC`` names, else the first that loads.

    Raises:
        LegoclfError: there is none, or the named one does not load.
    """
    return _load("LEGOCLF_NVRTC", "libnvrtc", NVRTC_SONAMES, "compiler", "NVRTC")


def load_driver(runtime: Any) -> Any:
    """libcuda; a runtime that has the driver's functions itself serves as well.

    Raises:
        LegoclfError: it is not there.
    """
    if hasattr(runtime, "cuDeviceGetName"):
        return runtime
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise LegoclfError(
            "no NVIDIA driver (libcuda.so.1) found; on a Jetson: sudo apt install nvidia-jetpack; "
            "in a container add --runtime nvidia or --gpus all"
        ) from error


def installed_runtime_version() -> str:
    """The version of the libcudart that :func:`load_cudart` finds, such as ``10.2``; empty without one."""
    number = ctypes.c_int()
    try:
        if load_cudart().cudaRuntimeGetVersion(ctypes.byref(number)):
            return ""
    except LegoclfError:
        return ""
    return "{}.{}".format(number.value // 1000, number.value % 1000 // 10)


def _load(variable: str, name: str, sonames: Sequence[str], what: str, part: str) -> Any:
    """The library that an environment variable names, else the first that loads.

    Args:
        what: CUDA's what it is, for the error.
        part: the part of CUDA to install where there is none.
    """
    named = os.environ.get(variable)
    if named:
        try:
            return ctypes.CDLL(named)
        except OSError as error:
            raise LegoclfError("{}={}: does not load: {}".format(variable, named, error)) from error
    for path in _candidates(name, sonames):
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    raise LegoclfError(
        "no CUDA {} ({}.so) found; on a Jetson: sudo apt install nvidia-jetpack; "
        "elsewhere install CUDA's {}, or name the library in {}".format(what, name, part, variable)
    )


def _candidates(name: str, sonames: Sequence[str]) -> Iterator[str]:
    for soname in sonames:
        yield soname
    for folder in FOLDERS:
        for path in _newest_first(os.path.join(folder, name + ".so*")):
            yield path
    for root in sys.path:
        for below in PACKAGE_FOLDERS:
            for path in _newest_first(os.path.join(root, below, name + ".so*")):
                yield path
    found = ctypes.util.find_library(name[len("lib") :])
    if found:
        yield found


def _newest_first(pattern: str) -> Iterator[str]:
    return iter(sorted(glob.glob(pattern), reverse=True))
