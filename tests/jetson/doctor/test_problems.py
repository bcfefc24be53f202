"""Every problem that a check can tell: what makes it, and its one mend."""

import ast
import errno
import inspect
import os
import sys

import pytest

from legoclf.errors import LegoclfError
from legoclf.jetson.doctor import (
    check_bundle,
    check_camera,
    check_jetson,
    check_machine,
    check_python,
    check_vision,
)
from legoclf.jetson.doctor.check import PROBLEM, problem
from legoclf.jetson.doctor.checks import CHECKS
from legoclf.jetson.doctor.facts import Folder
from legoclf.jetson.doctor.packages import Installed
from legoclf.jetson.doctor.probes import CRASHED, FAILED, HUNG, MISSING, THERE, Probe

MODULES = (check_bundle, check_camera, check_jetson, check_machine, check_python, check_vision)
USER = "/home/me/.local/lib/python3.6/site-packages"

SIGILL = Probe(CRASHED, "ended by SIGILL")
MISSING_PACKAGE = Probe(MISSING, "No module named it")
NO_TENSORRT = {"tensorrt": MISSING_PACKAGE}
CONTAINER = {".dockerenv": ""}


def there(**answer):
    return Probe(THERE, "", answer)


def refusal(code):
    error = LegoclfError("cannot be opened")
    error.__cause__ = OSError(code, os.strerror(code))
    return error


RTX = there(name="TensorRT for RTX 1.7.1.116", version="1.7.1.116", rtx=True, path="/x", gpus=["8.9"])
OLD_TENSORRT = there(name="TensorRT 7.1.3.0", version="7.1.3.0", rtx=False, path="/x", gpus=[])
NEW_TENSORRT = there(name="TensorRT 10.3.0", version="10.3.0", rtx=False, path=USER + "/tensorrt", gpus=[])
NO_GPU = there(runtime="10.2", path="/c", code=100, words="no CUDA-capable device is detected", nvrtc="",
               mend="run on the device")  # fmt: skip
NO_GPU_NO_MEND = there(runtime="10.2", path="/c", code=999, words="unknown error", nvrtc="")
PIP_TENSORRT = {"tensorrt": [Installed("10.3.0", USER, "tensorrt")]}

#: Check, machine, what is otherwise there, a part of what is said, a part of the mend.
PROBLEMS = [
    ("legoclf", "nano", {"packages": {"legoclf": [Installed("0.1.0", USER, "legoclf"),
                                                  Installed("0.0.9", "/usr/local/x", "legoclf")]}},
     "installed 2 times: 0.1.0 in " + USER, "/usr/bin/python3 -m pip uninstall -y legoclf"),
    ("Python", "nano", {"python": (3, 5, 2)}, "3.5.2: older", "install Python 3.6 or later"),
    ("locale", "nano", {"encoding": "ANSI_X3.4-1968"}, "ANSI_X3.4-1968", "export LC_ALL=C.UTF-8"),
    ("locale", "nano", {"encoding": "ascii", "environ": {"PYTHONIOENCODING": "ascii"}}, "ascii",
     "unset PYTHONIOENCODING"),
    # JetPack 4.5.1: TensorRT 7.1.3; 4.6: 8.0.1 (NVIDIA's JetPack archive).
    ("device", "nano", {"files": {"etc/nv_tegra_release": "# R32 (release), REVISION: 5.1, GCID: 1"}},
     "JetPack 4.5.1: its TensorRT is older than 8.2.1", "write JetPack 4.6.1 or later"),
    ("device", "nano", {"files": {"etc/nv_tegra_release": "# R32 (release), REVISION: 6.1, GCID: 1"}},
     "JetPack 4.6: its TensorRT is older", "write JetPack 4.6.1 or later"),
    ("NumPy", "nano", {"probes": {"numpy": MISSING_PACKAGE}}, "not installed",
     "sudo apt install python3-numpy"),
    ("NumPy", "laptop", {"probes": {"numpy": MISSING_PACKAGE}}, "not installed",
     "/usr/bin/python3 -m pip install numpy"),
    # numpy/numpy issue 18131, and facts of the Cortex-A57.
    ("NumPy", "nano", {"probes": {"numpy": SIGILL}}, "1.19.5 ends every program with an illegal instruction",
     "export OPENBLAS_CORETYPE=ARMV8"),
    ("NumPy", "nano", {"probes": {"numpy": SIGILL}, "environ": {"OPENBLAS_CORETYPE": "ARMV8"}},
     "with OPENBLAS_CORETYPE=ARMV8 too", "pip uninstall -y numpy"),
    ("NumPy", "laptop", {"probes": {"numpy": SIGILL}}, "illegal instruction", "--no-binary numpy numpy"),
    ("NumPy", "laptop", {"probes": {"numpy": Probe(FAILED, "ImportError: libopenblas.so.0")}},
     "ImportError: libopenblas.so.0", "install --force-reinstall numpy"),
    ("NumPy", "laptop", {"probes": {"numpy": there(version="1.11.0", path="/x/numpy/__init__.py")}},
     "1.11.0: older than 1.13.3", "pip install numpy --upgrade"),
    ("TensorRT", "laptop", {"probes": {"tensorrt": Probe(FAILED, "ImportError: libnvinfer.so.10")},
                            "packages": PIP_TENSORRT},
     "PyPI's tensorrt does not load", "pip uninstall -y tensorrt"),
    ("TensorRT", "laptop", {"probes": {"tensorrt": Probe(CRASHED, "ended by SIGSEGV")}}, "ended by SIGSEGV",
     "install TensorRT anew"),
    ("TensorRT", "nano", {"probes": {"tensorrt": RTX}, "packages": {
        "tensorrt-rtx-cu12-bindings": [Installed("1.7.1.116", USER, "tensorrt-rtx-cu12-bindings")]}},
     "builds for no Jetson's GPU", "pip uninstall -y tensorrt-rtx-cu12-bindings"),
    ("TensorRT", "nano", {"probes": {"tensorrt": NEW_TENSORRT}, "packages": PIP_TENSORRT},
     "JetPack 4.6.1 has 8.2.1: pip's hides it", "pip uninstall -y tensorrt"),
    ("TensorRT", "laptop", {"probes": {"tensorrt": OLD_TENSORRT}}, "older than 8.2.1",
     "install TensorRT 8.2.1 or later"),
    ("TensorRT", "nano", {"probes": NO_TENSORRT, "python": (3, 8, 0)},
     "JetPack 4.6.1's bindings are for Python 3.6, and this is 3.8",
     "/usr/bin/python3 -m pip install legoclf"),
    ("TensorRT", "nano", {"probes": NO_TENSORRT, "is_venv": True, "sees_system": False},
     "this virtual environment does not see", "venv --system-site-packages"),
    ("TensorRT", "nano", {"probes": NO_TENSORRT, "files": CONTAINER}, "none in this container",
     "l4t-tensorrt"),
    ("TensorRT", "nano", {"probes": {"tensorrt": Probe(HUNG, "no answer within 20 s")}},
     "no answer within 20 s",
     "legoclf doctor --timeout_s 120"),
    ("TensorRT", "nano", {"probes": {"tensorrt": Probe(FAILED, "ImportError: libnvinfer.so.8")}},
     "libnvinfer.so.8", "sudo apt install --reinstall python3-libnvinfer"),
    ("TensorRT", "nano", {"probes": NO_TENSORRT}, "bindings are not installed",
     "sudo apt install python3-libnvinfer"),
    ("CUDA", "nano", {"probes": {"cuda": Probe(FAILED, "LegoclfError: does not load")},
                      "environ": {"LEGOCLF_CUDART": "/x.so"}},
     "LEGOCLF_CUDART=/x.so: LegoclfError: does not load", "unset LEGOCLF_CUDART"),
    ("CUDA", "nano", {"probes": {"cuda": Probe(CRASHED, "ended by SIGSEGV")}}, "ended by SIGSEGV",
     "sudo apt install nvidia-jetpack"),
    ("CUDA", "nano", {"probes": {"cuda": MISSING_PACKAGE}}, "no libcudart",
     "sudo apt install nvidia-jetpack"),
    ("CUDA", "nano", {"probes": {"cuda": MISSING_PACKAGE}, "files": CONTAINER}, "no libcudart",
     "--runtime nvidia"),
    ("CUDA", "nano", {"probes": {"cuda": NO_GPU}}, "no CUDA-capable device is detected (100)",
     "run on the device"),
    ("CUDA", "laptop", {"probes": {"cuda": NO_GPU_NO_MEND},
     "files": {"proc/driver/nvidia/version": "NVRM\n"}},
     "unknown error (999)", "install NVIDIA's driver anew"),
    ("PyCUDA", "nano", {"probes": {"pycuda": Probe(FAILED, "ImportError: libcurand.so.10")}},
     "libcurand.so.10", "pip uninstall -y pycuda"),
    ("ONNX Runtime", "laptop", {"probes": {"onnxruntime": SIGILL}}, "ended by SIGILL",
     "install --force-reinstall --no-deps onnxruntime"),
    ("ONNX Runtime", "laptop", {"probes": {"onnxruntime": MISSING_PACKAGE}}, "nothing else runs a network",
     "pip install onnxruntime"),
    ("OpenCV", "laptop", {"probes": {"cv2": Probe(FAILED, "ImportError: libGL.so.1")}}, "libGL.so.1",
     "install --force-reinstall opencv-python-headless"),
    ("OpenCV", "nano", {"probes": {"cv2": Probe(FAILED, "ImportError: libtbb.so")}}, "libtbb.so",
     "sudo apt install --reinstall python3-opencv"),
    ("OpenCV", "nano", {"probes": {"cv2": SIGILL},
                        "packages": {"opencv-python": [Installed("4.8.0.74", USER, "opencv-python")]}},
     "ended by SIGILL", "pip uninstall -y opencv-python"),
    ("OpenCV", "nano", {"files": {"user/cv2/__init__.py": "", "system/cv2/__init__.py": ""},
                        "paths": ["{root}/user", "{root}/system"],
                        "probes": {"cv2": there(version="4.5.5", path="{root}/user/cv2/__init__.py",
                                                gstreamer=False)},
                        "packages": {"opencv-python": [Installed("4.5.5.64", "{root}/user",
     "opencv-python")]}},
     "pip's opencv-python 4.5.5", "/usr/bin/python3 -m pip uninstall -y opencv-python"),
    ("GStreamer", "nano", {"probes": {"gstreamer": MISSING_PACKAGE}}, "not installed",
     "sudo apt install gstreamer1.0-plugins-good"),
    ("GStreamer", "nano", {"probes": {"gstreamer": Probe(CRASHED, "ended by SIGSEGV")}}, "ended by SIGSEGV",
     "sudo apt install --reinstall libgstreamer1.0-0"),
    ("GStreamer", "nano", {"probes": {"gstreamer": there(version="1.14.5", missing={
        "nvidia-l4t-gstreamer": ["nvarguscamerasrc"], "gstreamer1.0-libav": ["avdec_h264"]})}},
     "without nvarguscamerasrc, avdec_h264", "sudo apt install gstreamer1.0-libav nvidia-l4t-gstreamer"),
    ("GStreamer", "nano", {"probes": {"gstreamer": there(version="1.14.5", missing={
        "nvidia-l4t-gstreamer": ["nvarguscamerasrc"]})}, "files": CONTAINER},
     "without nvarguscamerasrc", "--runtime nvidia"),
    ("USB cameras", "laptop", {"files": {"dev/video0": ""}, "camera": refusal(errno.EACCES)},
     "/dev/video0: may not be opened", "sudo usermod -aG video $USER"),
    ("USB cameras", "laptop", {"files": {"dev/video0": ""}, "camera": []}, "/dev/video0: no formats",
     "use a camera with one of MJPG"),
    ("CSI cameras", "nano", {"files": {"proc/812/comm": "systemd\n"}}, "nvargus-daemon does not run",
     "sudo systemctl restart nvargus-daemon"),
    ("CSI cameras", "nano", {"files": {"tmp/argus_socket": None}}, "no /tmp/argus_socket",
     "sudo systemctl restart nvargus-daemon"),
    ("CSI cameras", "nano", {"files": dict(CONTAINER, **{"tmp/argus_socket": None})},
     "this container has no /tmp/argus_socket", "--volume /tmp/argus_socket:/tmp/argus_socket"),
    ("memory", "nano", {"files": {"proc/meminfo": "MemTotal: 4059712 kB\nMemAvailable: 409600 kB\n",
                                  "proc/swaps": None}},
     "400 of 3964 MiB of RAM free", "sudo fallocate -l 4G /swapfile"),
    ("disk", "nano", {"folder": lambda path: Folder("/home/me", 120, True)}, "120 MiB free in /home/me",
     "free 380 MiB there"),
    ("disk", "nano", {"folder": lambda path: Folder("/home/me/.cache", 9000, False)}, "may not be written to",
     "sudo chown -R $USER /home/me/.cache"),
    ("heat", "nano", {"files": {"sys/class/thermal/cooling_device0/cur_state": "2\n"}},
     "40 °C: slowed down by thermal-cpufreq-0", "give its heat sink air"),
    ("heat", "orin_nano", {"files": {"sys/class/hwmon/hwmon0/oc1_event_cnt": "3\n",
                                     "sys/class/hwmon/hwmon0/oc1_throt_en": "1\n"}},
     "slowed down 3 times since its start for want of current", "use a stronger power supply"),
    ("bundle", "nano", {"bundle": "/no/such.bundle"}, "/no/such.bundle: no such folder",
     "name a bundle, as `legoclf retrain` makes it"),
    ("bundle", "nano", {"bundle": "/"}, "/: holds no model.json", "copy the bundle again"),
]  # fmt: skip


def find(machines, scenario):
    name, machine, changes = scenario[:3]
    return dict(CHECKS)[name](machines(machine, **changes))


@pytest.mark.parametrize("scenario", PROBLEMS, ids=["{}: {}".format(each[0], each[3]) for each in PROBLEMS])
def test_a_problem_is_told_with_its_one_mend(machines, scenario):
    finding = find(machines, scenario)
    assert finding.status == PROBLEM
    assert scenario[3] in finding.what
    assert scenario[4] in finding.mend
    assert "\n" not in finding.what + finding.mend


def lines_of_problems(module):
    """First and last line of each call of problem() in a module."""
    tree = ast.parse(inspect.getsource(module))
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "problem"
    ]
    return {call.lineno: max(getattr(node, "lineno", 0) for node in ast.walk(call)) for call in calls}


def test_there_is_no_problem_that_these_do_not_make(machines, monkeypatch):
    reached = set()

    def spy(what, mend):
        frame = sys._getframe(1)
        reached.add((frame.f_globals["__name__"], frame.f_lineno))
        return problem(what, mend)

    for module in MODULES:
        monkeypatch.setattr(module, "problem", spy)
    for scenario in PROBLEMS:
        find(machines, scenario)
    unmade = [
        "{}:{}".format(module.__name__, first)
        for module in MODULES
        for first, last in lines_of_problems(module).items()
        # Python before 3.8 gives a call of several lines the number of its last argument's.
        if not any(name == module.__name__ and first <= line <= last for name, line in reached)
    ]
    assert unmade == []


@pytest.mark.parametrize("mend", ["", "  "])
def test_a_problem_without_a_mend_cannot_be_made(mend):
    with pytest.raises(ValueError, match="a problem without a mend: it burns"):
        problem("it burns", mend)


def test_what_cannot_be_shown_is_escaped():
    assert problem("a\nb", "c\x1b[2J").mend == "c\\x1b[2J"
