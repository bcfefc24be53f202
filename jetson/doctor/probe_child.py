"""The child of a probe: imports one package or loads one library, and tells what it is.

Runs as a process of its own; what is imported here may end it.
"""

import ctypes
import importlib
import json
import os
import re
import sys
from typing import Any, Callable, Dict, List

from legoclf.jetson.doctor.probes import FAILED, MARK, MISSING, THERE

Answer = Dict[str, Any]


class NotInstalled(Exception):  # noqa: N818
    """What was asked for is not there at all."""


def main(name: str) -> None:
    """Probe ``name``, one of PROBES, and write the state, the reason and the answer on standard output."""
    try:
        result = [THERE, "", PROBES[name]()]
    except NotInstalled as error:
        result = [MISSING, str(error), {}]
    except Exception as error:  # whatever a package raises while it loads is what is wanted here
        words = " ".join(str(error).split())
        result = [FAILED, "{}: {}".format(type(error).__name__, words), {}]
    sys.stdout.write("\n{}{}\n".format(MARK, json.dumps(result)))
    sys.stdout.flush()
    # Not by the way of destructors: a library that crashes when it is unloaded has answered.
    os._exit(0)


def load(name: str) -> Any:
    """Import a package.

    Raises:
        NotInstalled: there is none; an ImportError is for one that is there and lacks something.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if getattr(error, "name", None) == name.split(".")[0]:
            raise NotInstalled(str(error)) from error
        raise


def probe_numpy() -> Answer:
    """NumPy, and whether it multiplies: OpenBLAS may crash there rather than at the import."""
    numpy = load("numpy")
    square = numpy.ones((8, 8), numpy.float32)
    if float(numpy.dot(square, square).sum()) != 8.0**3:
        raise ArithmeticError("the product of two matrices is wrong")
    return {"version": numpy.__version__, "path": numpy.__file__}


def probe_cv2() -> Answer:
    """OpenCV, and whether it was built with GStreamer."""
    cv2 = load("cv2")
    built = re.search(r"GStreamer:\s*(YES|NO)", cv2.getBuildInformation())
    gstreamer = None if built is None else built.group(1) == "YES"
    return {"version": cv2.__version__, "path": cv2.__file__, "gstreamer": gstreamer}


def probe_tensorrt() -> Answer:
    """TensorRT by the adapter of legoclf: the first of its modules that loads."""
    from legoclf.jetson.tensorrt_api import MODULES, TensorRTApi

    broken: List[str] = []
    for name in MODULES:
        try:
            api = TensorRTApi(load(name))
        except NotInstalled:
            continue
        except (ImportError, OSError) as error:
            broken.append("{}: {}".format(name, " ".join(str(error).split())))
            continue
        path = getattr(api.trt, "__file__", "")
        gpus = api.compute_capabilities
        return {"name": api.name, "version": api.version, "rtx": api.is_rtx, "path": path, "gpus": gpus}
    if broken:
        raise ImportError("; ".join(broken))
    raise NotInstalled("none of {}".format(", ".join(MODULES)))


def probe_onnxruntime() -> Answer:
    """ONNX Runtime."""
    runtime = load("onnxruntime")
    return {
        "version": runtime.__version__,
        "path": runtime.__file__,
        "providers": runtime.get_available_providers(),
    }


def probe_pycuda() -> Answer:
    """PyCUDA, which legoclf prefers where it is."""
    load("pycuda")
    driver = importlib.import_module("pycuda.driver")
    return {"version": ".".join(str(part) for part in driver.get_version())}


def probe_cuda() -> Answer:
    """CUDA's runtime and compiler, and the GPU; ``code`` is that of cudaGetDeviceCount."""
    from legoclf.errors import LegoclfError
    from legoclf.jetson.cuda_library import load_cudart

    try:
        library = load_cudart()
    except LegoclfError as error:
        if os.environ.get("LEGOCLF_CUDART"):
            raise
        raise NotInstalled(str(error)) from error
    number = ctypes.c_int()
    library.cudaRuntimeGetVersion(ctypes.byref(number))
    answer: Answer = {"runtime": _cuda_version(number.value), "path": _path_of("libcudart")}
    library.cudaDriverGetVersion(ctypes.byref(number))
    answer["driver"] = _cuda_version(number.value) if number.value else ""
    answer["code"] = library.cudaGetDeviceCount(ctypes.byref(number))
    library.cudaGetErrorString.restype = ctypes.c_char_p
    answer["words"] = library.cudaGetErrorString(answer["code"]).decode()
    answer["nvrtc"] = _nvrtc_version()
    answer.update(_gpu(library, answer["code"]))
    return answer


def probe_gstreamer() -> Answer:
    """GStreamer as legoclf loads it, and which elements of its pipelines are missing, by package."""
    from legoclf.jetson.gstreamer_library import has_element, load_gstreamer

    try:
        load_gstreamer()
    except OSError as error:
        raise NotInstalled(str(error)) from error
    version = [ctypes.c_uint() for _ in range(4)]
    ctypes.CDLL("libgstreamer-1.0.so.0").gst_version(*[ctypes.byref(part) for part in version])
    from legoclf.jetson.gstreamer import PACKAGES

    missing: Dict[str, List[str]] = {}
    for element, package in PACKAGES.items():
        if not has_element(element):
            missing.setdefault(package, []).append(element)
    return {"version": ".".join(str(part.value) for part in version[:3]), "missing": missing}


PROBES: Dict[str, Callable[[], Answer]] = {
    "numpy": probe_numpy,
    "cv2": probe_cv2,
    "tensorrt": probe_tensorrt,
    "onnxruntime": probe_onnxruntime,
    "pycuda": probe_pycuda,
    "cuda": probe_cuda,
    "gstreamer": probe_gstreamer,
}


def _cuda_version(number: int) -> str:
    return "{}.{}".format(number // 1000, number % 1000 // 10)


def _path_of(library: str) -> str:
    """The file that a loaded library came from, as the kernel knows it."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            path = line.rstrip("\n").partition("/")
            if os.path.basename(path[2]).startswith(library):
                return "/" + path[2]
    return ""


def _nvrtc_version() -> str:
    from legoclf.errors import LegoclfError
    from legoclf.jetson.cuda_library import load_nvrtc

    major, minor = ctypes.c_int(), ctypes.c_int()
    try:
        if load_nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)):
            return ""
    except LegoclfError:
        return ""
    return "{}.{}".format(major.value, minor.value)


def _gpu(library: Any, code: int) -> Answer:
    """The GPU's name and compute capability, or the mend for the code; nothing without NumPy."""
    try:
        from legoclf.jetson.cudart import MENDS, CudartCuda
    except ImportError:
        return {}
    if code:
        return {"mend": MENDS.get(code, "")}
    cuda = CudartCuda(library)
    return {"gpu": cuda.device_name(), "capability": "{}.{}".format(*cuda.compute_capability())}
