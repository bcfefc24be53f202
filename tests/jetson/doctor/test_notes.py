"""What is worth knowing and stops nothing, and what a machine need not have."""

import errno
import os

import pytest

from legoclf.errors import LegoclfError
from legoclf.jetson.doctor import check_python
from legoclf.jetson.doctor.check import NOT_HERE, NOTE, OK
from legoclf.jetson.doctor.checks import CHECKS
from legoclf.jetson.doctor.packages import Installed
from legoclf.jetson.doctor.probes import HUNG, MISSING, THERE, Probe

SITE = "/home/me/.local/lib/python3.6/site-packages"


def there(**answer):
    return Probe(THERE, "", answer)


def serving(waitress):
    names = {"bottle": "0.13.4", "waitress": waitress, "prometheus-client": "0.17.1"}
    return {name: [Installed(version, SITE, name)] for name, version in names.items()}


def refusal(code):
    error = LegoclfError("cannot be opened")
    error.__cause__ = OSError(code, os.strerror(code))
    return error


METADATA_DEVICE = LegoclfError("/dev/video1 captures no video")
NO_NUMPY = Probe(MISSING, "No module named 'numpy'")
CUDA_WITHOUT_GPU = there(
    runtime="13.0", path="/usr/local/cuda/lib64/libcudart.so.13", code=35, words="old", nvrtc=""
)
MOVING = {"sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "102000\n"}

FINDINGS = [
    ("legoclf", "nano", {"program": None}, NOTE, "the shell finds no `legoclf`", ".local/bin:$PATH"),
    ("legoclf", "nano", {"packages": {"legoclf": []}}, OK, "0.1.0, run from", ""),
    ("device", "nano", {"files": {"etc/nv_tegra_release": None}}, NOTE, "no /etc/nv_tegra_release",
     "nvidia-l4t-core"),
    ("device", "nano", {"files": {"etc/nv_tegra_release": None, ".dockerenv": ""}}, NOTE,
     "no /etc/nv_tegra_release", "--volume /etc/nv_tegra_release"),
    ("device", "nano", {"files": {"etc/nv_tegra_release": "# R36 (release), REVISION: 9.9, GCID: 1"}}, OK,
     "JetPack 6.x (not among those", ""),
    ("NumPy", "nano", {"probes": {"numpy": there(version="1.24.4", path="/x/numpy/__init__.py")}}, NOTE,
     "TensorRT 8's own nptype() fails", ""),
    ("NumPy", "orin_nano", {"probes": {"numpy": there(version="1.24.4", path="/x/numpy/__init__.py")}}, OK,
     "1.24.4", ""),
    ("NumPy", "nano", {"environ": {"OPENBLAS_CORETYPE": "ARMV8"}}, OK, "with OPENBLAS_CORETYPE=ARMV8", ""),
    ("TensorRT", "laptop", {"probes": {"numpy": NO_NUMPY, "tensorrt": Probe(MISSING, "numpy")}}, NOT_HERE,
     "cannot be asked before NumPy works", ""),
    ("TensorRT", "laptop", {"probes": {"tensorrt": there(name="TensorRT for RTX 1.7.1", version="1.7.1",
     rtx=True,
                                                         path="/x", gpus=["8.9"])}}, OK,
     "TensorRT for RTX 1.7.1 (/x), for compute capability 8.9", ""),
    ("TensorRT", "orin_nano", {"probes": {"tensorrt": there(name="TensorRT 10.7.0", version="10.7.0",
     rtx=False,
                                                            path="/usr/lib/x", gpus=[])}}, NOTE,
     "and JetPack 6.2 has 10.3", ""),
    ("CUDA", "laptop", {"probes": {"cuda": CUDA_WITHOUT_GPU}}, NOT_HERE,
     "13.0 (/usr/local/cuda/lib64/libcudart.so.13)"
     ", and no GPU: old (35)", ""),
    ("CUDA", "laptop", {"files": {"proc/driver/nvidia/version": "NVRM\n"}}, NOTE, "but no libcudart",
     "nvidia-cuda-runtime"),
    ("CUDA compiler", "nano", {"files": {"usr/local/cuda/bin/nvcc": ""}}, NOTE, "nvcc is not on the PATH",
     "export PATH=/usr/local/cuda/bin:$PATH"),
    ("CUDA compiler", "nano", {"nvcc": "/usr/local/cuda/bin/nvcc"}, OK,
     "NVRTC 10.2, /usr/local/cuda/bin/nvcc", ""),
    ("PyCUDA", "nano", {"probes": {"pycuda": there(version="10.2.0")}}, OK, "built for CUDA 10.2.0", ""),
    ("OpenCV", "laptop", {"probes": {"cv2": Probe(MISSING, "cv2")}}, NOTE, "not installed: --locate",
     "pip install opencv-python-headless"),
    ("OpenCV", "nano", {"probes": {"cv2": Probe(MISSING, "cv2")}}, NOTE, "not installed",
     "sudo apt install python3-opencv"),
    ("OpenCV", "laptop", {"files": {"site/cv2/__init__.py": "", "other/cv2.abi3.so": ""},
                          "paths": ["{root}/site", "{root}/other"]}, NOTE, "/other is hidden by it", ""),
    ("GStreamer", "laptop", {"probes": {"gstreamer": Probe(MISSING, "libgstreamer")}}, NOTE, "not installed",
     "sudo apt install gstreamer1.0"),
    ("GStreamer", "nano", {"probes": {"gstreamer": Probe(HUNG, "no answer within 20 s")}}, NOTE,
     "the first time it looks all its plugins over", "legoclf doctor --timeout_s 120"),
    ("GStreamer", "laptop", {"probes": {"gstreamer": there(version="1.22.0", missing={
        "gstreamer1.0-libav": ["avdec_h264"]})}}, NOTE, "without avdec_h264",
     "sudo apt install gstreamer1.0-libav"),
    ("USB cameras", "laptop", {"files": {"dev/video0": ""}, "camera": refusal(errno.EBUSY)}, NOTE, "in use",
     "fuser -v /dev/video0"),
    ("USB cameras", "laptop", {"files": {"dev/video1": ""}, "camera": METADATA_DEVICE}, NOT_HERE,
     "no USB camera", ""),
    ("CSI cameras", "nano", {"files": {"dev/video0": None}}, NOT_HERE, "no sensor", "press its ribbon cable"),
    ("encoder", "nano", {"files": {"dev/nvhost-msenc": None}}, NOTE, "its device is not here", "sudo reboot"),
    ("encoder", "nano", {"files": {"proc/device-tree/model": "NVIDIA Jetson AGX Orin",
     "dev/nvhost-msenc": None,
                                   "dev/v4l2-nvenc": ""}}, OK, "NVENC (/dev/v4l2-nvenc)", ""),
    ("DLA", "nano", {"files": {"proc/device-tree/model": "NVIDIA Jetson AGX Orin",
     "dev/nvhost-ctrl-nvdla0": "",
                               "dev/nvhost-ctrl-nvdla1": ""}}, OK, "2 (/dev/nvhost-ctrl-nvdla0", ""),
    ("DLA", "nano", {"files": {"proc/device-tree/model": "NVIDIA Jetson Xavier NX Developer Kit"}}, OK,
     "2 by NVIDIA's data sheet", ""),
    ("memory", "nano", {"files": {"proc/meminfo": "MemTotal: 4059712 kB\nMemAvailable: 1048576 kB\n"}}, NOTE,
     "1024 of 3964 MiB of RAM free", "sudo fallocate"),
    ("memory", "laptop", {"files": {"proc/meminfo": "MemTotal: 4059712 kB\nMemAvailable: 409600 kB\n"}}, NOTE,
     "400 of 3964 MiB", "sudo fallocate"),
    ("power mode", "nano", {"files": {"var/lib/nvpmodel/status": "pmode:0001\n"}}, NOTE,
     "5W, which caps the clocks; MAXN does not", "sudo nvpmodel -m 0"),
    ("power mode", "orin_nano", {"files": {"var/lib/nvpmodel/status": "pmode:0001\n"}}, NOTE,
     "25W, which caps the clocks; MAXN_SUPER does not", "sudo nvpmodel -m 2"),
    ("clocks", "nano", {"files": MOVING}, NOTE, "they move with the load", "sudo jetson_clocks"),
    ("time", "nano", {"now": 30.0}, NOTE, "1970-01-01 00:00 UTC: the clock was never set",
     "timedatectl set-ntp true"),
    ("serving", "nano", {"packages": serving("2.0.0")}, NOTE, "waitress 2.0.0 has known vulnerabilities",
     "serve on localhost"),
    ("serving", "laptop", {"packages": serving("2.1.2")}, NOTE, "waitress 2.1.2",
     "pip install --upgrade waitress"),
    ("serving", "laptop", {"packages": serving("3.0.2")}, OK, "bottle 0.13.4, waitress 3.0.2", ""),
    ("serving", "nano", {}, NOT_HERE, "bottle, waitress, prometheus-client", "pip install 'legoclf[serve]'"),
    ("MQTT", "nano", {"packages": {"paho-mqtt": [Installed("1.6.1", SITE, "paho-mqtt")]}}, OK,
     "paho-mqtt 1.6.1", ""),
]  # fmt: skip


@pytest.mark.parametrize("scenario", FINDINGS, ids=["{}: {}".format(each[0], each[4]) for each in FINDINGS])
def test_a_finding_that_is_no_problem(machines, scenario):
    name, machine, changes, status, what, mend = scenario
    finding = dict(CHECKS)[name](machines(machine, **changes))
    assert finding.status == status
    assert what in finding.what
    assert mend in finding.mend
    assert bool(mend) == bool(finding.mend)


def test_a_webcam_is_told_with_the_largest_of_each_format(machines, webcam_modes):
    files = {"dev/video2": "", "sys/class/video4linux/video2/name": "C270\n"}
    finding = dict(CHECKS)["USB cameras"](machines("laptop", files=files, camera=webcam_modes))
    assert finding.status == OK
    assert finding.what == ("/dev/video2 (C270): YUYV up to 640x480 at 30/s, MJPG up to 1280x720 at 30/s")


def test_a_program_on_the_path_that_runs_another_python_is_named(machines, tmp_path):
    program = tmp_path / "bin" / "legoclf"
    program.parent.mkdir()
    program.write_text("#!/opt/other/bin/python3\nimport legoclf\n")
    finding = dict(CHECKS)["legoclf"](machines("nano", program=str(program)))
    assert (finding.status, finding.mend) == (NOTE, "/opt/other/bin/python3 -m pip uninstall -y legoclf")


def test_one_file_with_the_runtime_in_it_is_told_even_where_another_is_installed(
    machines, tmp_path, monkeypatch
):
    archive = tmp_path / "brick.pyz"
    archive.write_bytes(b"")
    monkeypatch.setattr(check_python, "_home", lambda: str(archive))
    finding = dict(CHECKS)["legoclf"](machines("nano", program=None))
    assert finding == (OK, "0.1.0, run from {}".format(archive), "")
