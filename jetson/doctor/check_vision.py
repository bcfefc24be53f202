"""Checks of NumPy, OpenCV, GStreamer and ONNX Runtime."""

import os
from typing import Optional

from legoclf.jetson.doctor.check import Finding, not_here, note, ok, problem
from legoclf.jetson.doctor.facts import Facts
from legoclf.jetson.doctor.packages import find_modules, version_numbers
from legoclf.jetson.doctor.probes import CRASHED, HUNG, MISSING, Probe

#: What JetPack 4.6 has, and the oldest that legoclf works with.
OLDEST_NUMPY = (1, 13, 3)

#: From this one on NumPy has no `np.bool`, which TensorRT 8's `nptype` names.
NUMPY_WITHOUT_BOOL = (1, 24)

#: The variable, and its value, that keeps OpenBLAS from instructions that a Cortex-A57 does not have.
CORE_TYPE = ("OPENBLAS_CORETYPE", "ARMV8")

_ILLEGAL = "SIGILL"
#: The plugins that only a Jetson has.
_NVIDIA_PLUGINS = "nvidia-l4t-gstreamer"


def check_numpy(facts: Facts) -> Finding:
    """It loads and multiplies, on this CPU."""
    found = facts.probe("numpy")
    place = facts.installed("numpy")
    version = place.version if place else "of unknown version"
    if found.state == MISSING:
        return problem("not installed, and legoclf needs it", _get_numpy(facts))
    if found.state == CRASHED and _ILLEGAL in found.reason:
        return _illegal_instruction(facts, version)
    if not found.is_there:
        return problem("{}: {}".format(version, found.reason), _numpy_anew(facts))
    version = str(found.answer["version"])
    if version_numbers(version) < OLDEST_NUMPY:
        return problem("{}: older than 1.13.3".format(version), _get_numpy(facts) + " --upgrade")
    text = "{} ({})".format(version, os.path.dirname(found.answer["path"]))
    tensorrt = facts.probe("tensorrt")
    if (
        tensorrt.is_there
        and version_numbers(tensorrt.answer["version"])[0] == 8
        and not tensorrt.answer["rtx"]
        and version_numbers(version) >= NUMPY_WITHOUT_BOOL
    ):
        return note(text + ": TensorRT 8's own nptype() fails with it; legoclf does not call that")
    if facts.environ.get(CORE_TYPE[0]):
        return ok("{}, with {}={}".format(text, CORE_TYPE[0], facts.environ[CORE_TYPE[0]]))
    return ok(text)


def check_opencv(facts: Facts) -> Finding:
    """Which OpenCV is imported, what it hides, and whether it has GStreamer."""
    found = facts.probe("cv2")
    if found.state == MISSING:
        mend = "sudo apt install python3-opencv" if facts.is_jetson else facts.pip + _HEADLESS
        return note("not installed: --locate, the window and videos need it", mend)
    if not found.is_there:
        return problem("does not load: {}".format(found.reason), _opencv_anew(facts))
    text = "{} ({})".format(found.answer["version"], os.path.dirname(found.answer["path"]))
    built_with = {True: "with GStreamer", False: "without GStreamer", None: "GStreamer not told"}
    text = "{}, {}".format(text, built_with[found.answer["gstreamer"]])
    site = _site(facts, found)
    wheel = _wheel(facts, site)
    hidden = [place for place in find_modules(facts.paths, "cv2") if place != site]
    if facts.is_jetson and wheel and hidden:
        return problem(
            "pip's {} {}, hides JetPack's in {}".format(wheel, text, hidden[0]),
            "{} uninstall -y {}".format(facts.pip, wheel),
        )
    if hidden:
        return note("{}; another in {} is hidden by it".format(text, ", ".join(hidden)))
    return ok(text)


def check_gstreamer(facts: Facts) -> Finding:
    """The library by which cameras and videos are read, and its plugins."""
    found = facts.probe("gstreamer")
    if found.state == MISSING:
        what = "not installed: network cameras and csi:// need it, and OpenCV reads the rest"
        mend = "sudo apt install gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav"
        return problem(what, mend) if facts.is_jetson else note(what, mend)
    if found.state == HUNG:
        return note(
            "{}: the first time it looks all its plugins over".format(found.reason),
            "legoclf doctor --timeout_s 120",
        )
    if not found.is_there:
        if not facts.probe("numpy").is_there:
            return not_here("its plugins cannot be asked before NumPy works")
        return problem(
            "does not load: {}".format(found.reason),
            "sudo apt install --reinstall libgstreamer1.0-0 gstreamer1.0-plugins-base",
        )
    missing = {
        package: names
        for package, names in found.answer["missing"].items()
        if facts.is_jetson or package != _NVIDIA_PLUGINS
    }
    text = str(found.answer["version"])
    if not missing:
        return ok("{}, with all plugins that legoclf uses".format(text))
    lacking = "{}, without {}".format(text, ", ".join(name for names in missing.values() for name in names))
    if _NVIDIA_PLUGINS in missing and facts.is_container:
        return problem(lacking, "start the container with --runtime nvidia")
    mend = "sudo apt install " + " ".join(sorted(missing))
    return problem(lacking, mend) if _NVIDIA_PLUGINS in missing else note(lacking, mend)


def check_onnxruntime(facts: Facts) -> Finding:
    """What runs the network where TensorRT does not."""
    found = facts.probe("onnxruntime")
    if found.is_there:
        return ok("{} ({})".format(found.answer["version"], os.path.dirname(found.answer["path"])))
    if found.state != MISSING:
        if not facts.probe("numpy").is_there:
            return not_here("cannot be asked before NumPy works")
        return problem(
            "does not load: {}".format(found.reason),
            "{} install --force-reinstall --no-deps onnxruntime".format(facts.pip),
        )
    if facts.is_jetson or (facts.probe("tensorrt").is_there and _has_gpu(facts)):
        return not_here("not needed: TensorRT runs the network here")
    return problem("not installed, and nothing else runs a network here", facts.pip + " install onnxruntime")


_HEADLESS = " install opencv-python-headless"


def _has_gpu(facts: Facts) -> bool:
    cuda = facts.probe("cuda")
    return cuda.is_there and cuda.answer["code"] == 0


def _illegal_instruction(facts: Facts, version: str) -> Finding:
    """numpy/numpy issue 18131: OpenBLAS takes the CPU for one that it is not."""
    variable, value = CORE_TYPE
    what = "{} ends every program with an illegal instruction on this CPU (SIGILL)".format(version)
    if facts.machine != "aarch64":
        return problem(what, facts.pip + " install --force-reinstall --no-binary numpy numpy")
    if facts.environ.get(variable) == value:
        return problem("{}, with {}={} too".format(what, variable, value), _numpy_anew(facts))
    return problem(
        what, "export {}={} (a line for ~/.bashrc; in a systemd unit Environment=)".format(variable, value)
    )


def _get_numpy(facts: Facts) -> str:
    if facts.is_jetson and not facts.is_venv:
        return "sudo apt install python3-numpy"
    return facts.pip + " install numpy"


def _numpy_anew(facts: Facts) -> str:
    if facts.is_jetson and facts.sees_system:
        # JetPack's own comes out from behind it.
        return facts.pip + " uninstall -y numpy"
    return facts.pip + " install --force-reinstall numpy"


def _opencv_anew(facts: Facts) -> str:
    places = [names for names in facts.packages if names.startswith("opencv-")]
    if facts.is_jetson:
        if places:
            return "{} uninstall -y {}".format(facts.pip, " ".join(sorted(places)))
        return "sudo apt install --reinstall python3-opencv"
    return facts.pip + " install --force-reinstall opencv-python-headless"


def _wheel(facts: Facts, site: str) -> Optional[str]:
    """The distribution by which pip put OpenCV into a folder; None for the system's."""
    for name, places in facts.packages.items():
        if name.startswith("opencv-") and any(os.path.realpath(place.folder) == site for place in places):
            return name
    return None


def _site(facts: Facts, found: Probe) -> str:
    """The folder of sys.path that a module was imported from; it may lie some folders deeper."""
    path = os.path.realpath(found.answer["path"])
    places = [place for place in find_modules(facts.paths, "cv2") if path.startswith(place + os.sep)]
    return max(places, key=len) if places else os.path.dirname(path)
