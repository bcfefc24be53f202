"""All checks, in the order in which they are told, and how they are run."""

from typing import Callable, Iterator, Tuple

from legoclf.jetson.doctor import (
    check_bundle,
    check_camera,
    check_jetson,
    check_machine,
    check_python,
    check_vision,
)
from legoclf.jetson.doctor.check import Check, Finding, problem
from legoclf.jetson.doctor.facts import Facts

CheckFunction = Callable[[Facts], Finding]

CHECKS: Tuple[Tuple[str, CheckFunction], ...] = (
    ("legoclf", check_python.check_legoclf),
    ("Python", check_python.check_python),
    ("locale", check_python.check_locale),
    ("device", check_jetson.check_device),
    ("NumPy", check_vision.check_numpy),
    ("TensorRT", check_jetson.check_tensorrt),
    ("CUDA", check_jetson.check_cuda),
    ("CUDA compiler", check_jetson.check_nvrtc),
    ("PyCUDA", check_jetson.check_pycuda),
    ("ONNX Runtime", check_vision.check_onnxruntime),
    ("OpenCV", check_vision.check_opencv),
    ("GStreamer", check_vision.check_gstreamer),
    ("USB cameras", check_camera.check_cameras),
    ("CSI cameras", check_camera.check_csi),
    ("encoder", check_camera.check_encoder),
    ("DLA", check_camera.check_dla),
    ("memory", check_machine.check_memory),
    ("disk", check_machine.check_disk),
    ("power mode", check_machine.check_power_mode),
    ("clocks", check_machine.check_clocks),
    ("heat", check_machine.check_heat),
    ("time", check_machine.check_time),
    ("serving", check_python.check_serve),
    ("MQTT", check_python.check_mqtt),
    ("bundle", check_bundle.check_bundle),
    ("engine", check_bundle.check_engine),
)


def run_checks(facts: Facts, checks: Tuple[Tuple[str, CheckFunction], ...] = CHECKS) -> Iterator[Check]:
    """Run them one by one, each result as soon as it is there."""
    for name, check in checks:
        try:
            finding = check(facts)
        except Exception as error:  # one machine's oddity must not keep the other checks from being told
            finding = problem(
                "the check itself failed: {}: {}".format(type(error).__name__, error),
                "report it with this line; the other checks hold",
            )
        yield Check(name, *finding)
