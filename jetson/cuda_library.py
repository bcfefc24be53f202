"""Where CUDA's libraries are: libcudart, the runtime, and libcuda, the driver."""

import ctypes
import ctypes.util
import glob
import os
import sys
from typing import Any, Iterator

from legoclf.errors import LegoclfError

#: Names the runtime has had, the newest first; JetPack installs one of them alone.
SONAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so.10.2")

#: Where NVIDIA's installers put it, which the dynamic linker may not know.
FOLDERS = ("/usr/local/cuda/lib64", "/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib")

#: Where NVIDIA's Python packages have it, below a folder of sys.path.
PACKAGE_FOLDERS = ("nvidia/cuda_runtime/lib", "nvidia/cu13/lib")


def load_cudart() -> Any:
    """libcudart: the one that ``$LEGOCLF_CUDART`` names, else the first that loads.

    Raises:
        LegoclfError: there is none, or the named one does not load.
    """
    named = os.environ.get("LEGOCLF_CUDART")
    if named:
        try:
            return ctypes.CDLL(named)
        except OSError as error:
            raise LegoclfError("LEGOCLF_CUDART={}: does not load: {}".format(named, error)) from error
    for name in _candidates():
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise LegoclfError(
        "no CUDA runtime (libcudart.so) found; on a Jetson: sudo apt install nvidia-jetpack; "
        "elsewhere install CUDA's runtime, or name the library in LEGOCLF_CUDART"
    )


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


def _candidates() -> Iterator[str]:
    for soname in SONAMES:
        yield soname
    for folder in FOLDERS:
        for path in _newest_first(os.path.join(folder, "libcudart.so*")):
            yield path
    for root in sys.path:
        for below in PACKAGE_FOLDERS:
            for path in _newest_first(os.path.join(root, below, "libcudart.so*")):
                yield path
    found = ctypes.util.find_library("cudart")
    if found:
        yield found


def _newest_first(pattern: str) -> Iterator[str]:
    return iter(sorted(glob.glob(pattern), reverse=True))
