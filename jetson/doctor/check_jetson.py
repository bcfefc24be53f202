"""Checks of the Jetson's release, TensorRT and CUDA."""

import os
from typing import List

from legoclf.jetson.doctor.boards import is_too_old, jetpack_brings
from legoclf.jetson.doctor.check import Finding, not_here, note, ok, problem
from legoclf.jetson.doctor.facts import Facts
from legoclf.jetson.doctor.packages import version_numbers
from legoclf.jetson.doctor.probes import HUNG, MISSING, Probe

#: The oldest TensorRT that legoclf works with.
OLDEST_TENSORRT = (8, 2, 1)

ARCHIVE = "https://developer.nvidia.com/embedded/jetpack-archive"


def check_device(facts: Facts) -> Finding:
    """Which Jetson, L4T and JetPack."""
    device = facts.device
    if not facts.is_jetson:
        return not_here("no Jetson: {}, cores: {}".format(facts.machine, os.cpu_count()))
    model = device.model or "a Jetson"
    if device.l4t is None:
        return note(
            "{}, but there is no /etc/nv_tegra_release to tell its L4T".format(model),
            "start the container with --volume /etc/nv_tegra_release:/etc/nv_tegra_release:ro"
            if facts.is_container
            else "sudo apt install nvidia-l4t-core",
        )
    text = "{}, L4T {}, JetPack {}".format(model, device.l4t, device.jetpack or "unknown")
    if device.jetpack is not None and is_too_old(device.jetpack):
        return problem(
            "{}: its TensorRT is older than 8.2.1".format(text),
            "write JetPack 4.6.1 or later to its card or flash: {}".format(ARCHIVE),
        )
    if jetpack_brings(device.jetpack) is None:
        return ok(text + " (not among those that legoclf knows by their TensorRT)")
    return ok(text)


def check_tensorrt(facts: Facts) -> Finding:
    """Which TensorRT, and whether it is JetPack's."""
    found = facts.probe("tensorrt")
    if found.is_there:
        return _tensorrt_there(facts, found)
    if not facts.probe("numpy").is_there:
        return not_here("cannot be asked before NumPy works")
    pip = _pip_tensorrt(facts)
    if pip and found.state != MISSING:
        # PyPI's is a small package that downloads the rest from elsewhere, and none of that is for a Jetson.
        return problem(
            "PyPI's {} does not load: {}".format(", ".join(pip), found.reason),
            "{} uninstall -y {}".format(facts.pip, " ".join(pip)),
        )
    if facts.is_jetson:
        return _tensorrt_of_jetpack(facts, found)
    if found.state == MISSING:
        return not_here("none: ONNX Runtime runs the network here")
    return problem(found.reason, "install TensorRT anew, or remove it: ONNX Runtime runs the network too")


def check_cuda(facts: Facts) -> Finding:
    """CUDA's runtime, and a GPU that it can use."""
    cuda = facts.probe("cuda")
    named = facts.environ.get("LEGOCLF_CUDART")
    if not cuda.is_there:
        if named and cuda.state != MISSING:
            return problem("LEGOCLF_CUDART={}: {}".format(named, cuda.reason), "unset LEGOCLF_CUDART")
        if cuda.state != MISSING:
            return problem(cuda.reason, _driver_mend(facts))
        if facts.is_jetson:
            return problem("no libcudart", _jetpack_mend(facts))
        if facts.exists("/proc/driver/nvidia/version"):
            return note("an NVIDIA driver, but no libcudart", facts.pip + " install nvidia-cuda-runtime-cu12")
        return not_here("no libcudart and no NVIDIA driver")
    answer = cuda.answer
    text = "{} ({})".format(answer["runtime"], answer["path"])
    if answer["code"] == 0:
        if not answer.get("gpu"):
            return ok("{}; the GPU is not asked before NumPy works".format(text))
        return ok("{}, {}, compute capability {}".format(text, answer["gpu"], answer["capability"]))
    why = "{}, and no GPU: {} ({})".format(text, answer["words"], answer["code"])
    if not facts.is_jetson and not facts.exists("/proc/driver/nvidia/version"):
        return not_here(why)
    return problem(why, answer.get("mend") or _driver_mend(facts))


def check_nvrtc(facts: Facts) -> Finding:
    """The compiler of the kernels that prepare frames, and nvcc, which building PyCUDA takes."""
    cuda = facts.probe("cuda")
    if not cuda.is_there or cuda.answer["code"]:
        return not_here("no GPU to compile for")
    if not cuda.answer["nvrtc"]:
        return note("no libnvrtc: the CPU prepares the frames", _jetpack_mend(facts))
    text = "NVRTC {}".format(cuda.answer["nvrtc"])
    if facts.nvcc is None and facts.exists("/usr/local/cuda/bin/nvcc"):
        return note(
            text + "; nvcc is not on the PATH, which building PyCUDA takes",
            "export PATH=/usr/local/cuda/bin:$PATH (a line for ~/.bashrc)",
        )
    return ok(text + (", {}".format(facts.nvcc) if facts.nvcc else ""))


def check_pycuda(facts: Facts) -> Finding:
    """PyCUDA, which is preferred where it is installed, and not needed."""
    found = facts.probe("pycuda")
    if found.is_there:
        return ok("built for CUDA {}".format(found.answer["version"]))
    if found.state == MISSING:
        return not_here("not needed: libcudart is called directly")
    return problem(
        "PyCUDA is installed and does not load: {}".format(found.reason), facts.pip + " uninstall -y pycuda"
    )


def _tensorrt_there(facts: Facts, found: Probe) -> Finding:
    name, version, path = (str(found.answer[key]) for key in ("name", "version", "path"))
    if found.answer["rtx"]:
        if facts.is_jetson:
            return problem(
                "{} builds for no Jetson's GPU".format(name),
                "{} uninstall -y {}".format(facts.pip, " ".join(_pip_tensorrt(facts)) or "tensorrt-rtx"),
            )
        return ok("{} ({}), for compute capability {}".format(name, path, ", ".join(found.answer["gpus"])))
    pip = _pip_tensorrt(facts)
    brings = jetpack_brings(facts.device.jetpack)
    if brings is not None and not _is_release(version, brings[0]):
        text = "{} ({}), and JetPack {} has {}".format(name, path, facts.device.jetpack, brings[0])
        if pip:
            return problem(text + ": pip's hides it", "{} uninstall -y {}".format(facts.pip, " ".join(pip)))
        return note(text)
    if version_numbers(version) < OLDEST_TENSORRT:
        mend = "write JetPack 4.6.1 or later to its card or flash: " + ARCHIVE
        if not facts.is_jetson:
            mend = "install TensorRT 8.2.1 or later"
        return problem("{} ({}): older than 8.2.1".format(name, path), mend)
    if facts.is_jetson and facts.device.jetpack is not None and brings is not None:
        return ok("{}, as JetPack {} has it ({})".format(name, facts.device.jetpack, path))
    return ok("{} ({})".format(name, path))


def _tensorrt_of_jetpack(facts: Facts, found: Probe) -> Finding:
    """Why a Jetson's TensorRT does not serve this Python: one cause, and its mend."""
    brings = jetpack_brings(facts.device.jetpack)
    if brings is not None and facts.python[:2] != brings[1]:
        return problem(
            "JetPack {}'s bindings are for Python {}.{}, and this is {}.{}".format(
                facts.device.jetpack, *(brings[1] + facts.python[:2])
            ),
            "install and run legoclf with the system's Python: /usr/bin/python3 -m pip install legoclf",
        )
    if not facts.sees_system:
        return problem(
            "this virtual environment does not see JetPack's TensorRT",
            "make it anew: /usr/bin/python3 -m venv --system-site-packages DIR",
        )
    if facts.is_container:
        return problem(
            "none in this container",
            "start it from an image with TensorRT, such as l4t-tensorrt, with --runtime nvidia",
        )
    if found.state == HUNG:
        # It may be slow only: from a cold card everything is.
        return problem(found.reason, "legoclf doctor --timeout_s 120 tells whether it is broken or slow")
    if found.state != MISSING:
        return problem(found.reason, "sudo apt install --reinstall python3-libnvinfer")
    return problem("JetPack's bindings are not installed", "sudo apt install python3-libnvinfer")


def _is_release(version: str, release: str) -> bool:
    wanted = version_numbers(release)
    return version_numbers(version)[: len(wanted)] == wanted


def _pip_tensorrt(facts: Facts) -> List[str]:
    """TensorRT's distributions that pip has put there, by name; JetPack's lies with the system's packages."""
    return sorted(
        place.name
        for name, places in facts.packages.items()
        for place in places[:1]
        if name.startswith("tensorrt") and not place.folder.startswith("/usr/lib/")
    )


def _jetpack_mend(facts: Facts) -> str:
    if facts.is_container:
        return "start the container with --runtime nvidia, or --gpus all on a PC"
    return "sudo apt install nvidia-jetpack" if facts.is_jetson else "install NVIDIA's CUDA toolkit"


def _driver_mend(facts: Facts) -> str:
    return _jetpack_mend(facts) if facts.is_jetson or facts.is_container else "install NVIDIA's driver anew"
