"""A package asked in a process of its own: whatever it does there, this process goes on and knows it."""

import ctypes
import os
import sys
import time

import cudart_stub
import pytest

from legoclf.jetson.doctor.probes import CRASHED, FAILED, HUNG, MISSING, THERE, Probes, run_probe

PYCUDA_DRIVER = "def get_version():\n    return (10, 2, 0)\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that puts a module of that name first on sys.path."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def write(name, text):
        path = tmp_path.joinpath(*name.split("."))
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".py").write_text(text)

    return write


def test_a_package_that_loads_tells_what_it_is(package):
    package("pycuda.__init__", "")
    package("pycuda.driver", PYCUDA_DRIVER)
    assert run_probe("pycuda") == (THERE, "", {"version": "10.2.0"})


def test_what_a_package_prints_does_no_harm(package):
    package("pycuda.__init__", "print('hello', end='')\n")
    package("pycuda.driver", PYCUDA_DRIVER + "print('no line end', end='')\n")
    assert run_probe("pycuda").state == THERE


@pytest.mark.parametrize("number", ["SIGILL", "SIGSEGV", "SIGKILL"])
def test_one_that_crashes_is_told_by_the_name_of_its_signal(package, number):
    package("cv2", "import os, signal\nos.kill(os.getpid(), signal.{})\n".format(number))
    assert run_probe("cv2") == (CRASHED, "ended by " + number, {})


def test_one_that_hangs_is_ended(package):
    package("cv2", "import time\ntime.sleep(60)\n")
    started_at = time.monotonic()
    assert run_probe("cv2", timeout_s=0.5) == (HUNG, "no answer within 0.5 s", {})
    assert time.monotonic() - started_at < 30  # of 60 that it would sleep


def test_one_that_lacks_another_is_broken_and_not_missing(package):
    package("onnxruntime", "import no_such_library\n")
    probe = run_probe("onnxruntime")
    assert (probe.state, probe.reason) == (FAILED, "ModuleNotFoundError: No module named 'no_such_library'")


def test_one_that_ends_its_process_is_broken(package):
    package("cv2", "import sys\nsys.exit('no display')\n")
    assert run_probe("cv2") == (FAILED, "no display", {})


def test_one_that_is_not_there_is_missing(monkeypatch):
    # Nothing but the standard library and this checkout's package is found.
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "pycuda" not in path])
    assert run_probe("pycuda").state == MISSING


def test_a_reason_is_one_line(package):
    package("cv2", "raise RuntimeError('first\\n  second')\n")
    assert run_probe("cv2").reason == "RuntimeError: first second"


def test_a_file_in_the_current_folder_is_not_taken_for_a_module(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise RuntimeError('not Python's own')\n")
    monkeypatch.chdir(tmp_path)
    assert run_probe("numpy").state == THERE


def test_numpy_is_found_as_this_process_would_find_it():
    import numpy

    probe = run_probe("numpy")
    assert probe.answer == {"version": numpy.__version__, "path": numpy.__file__}


def test_several_are_asked_at_once_and_each_by_its_name(package):
    package("cv2", "import os\nos.abort()\n")
    with Probes(["numpy", "cv2"]) as probes:
        assert (probes("cv2").reason, probes("numpy").state) == ("ended by SIGABRT", THERE)


def test_no_descriptor_is_kept(package):
    package("cv2", "import time\ntime.sleep(60)\n")
    before = len(os.listdir("/proc/self/fd"))
    run_probe("cv2", timeout_s=0.3)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.fixture(scope="module")
def cudart(tmp_path_factory):
    """A libcudart on host memory, with a driver and a GPU."""
    return cudart_stub.build_stub(tmp_path_factory.mktemp("cudart"))


def test_cuda_tells_its_version_its_file_and_the_gpu(cudart, monkeypatch):
    from legoclf.jetson.cudart import CudartCuda

    monkeypatch.setenv("LEGOCLF_CUDART", cudart)
    probe = run_probe("cuda")
    assert probe.state == THERE
    assert (probe.answer["code"], probe.answer["path"]) == (0, os.path.realpath(cudart))
    cuda = CudartCuda(ctypes.CDLL(cudart))
    assert probe.answer["gpu"] == cuda.device_name()
    assert probe.answer["capability"] == "{}.{}".format(*cuda.compute_capability())
    assert probe.answer["runtime"] == cuda.runtime_version()


def test_a_libcudart_that_is_named_and_does_not_load_is_broken_and_not_missing(tmp_path, monkeypatch):
    path = tmp_path / "libcudart.so"
    path.write_text("no library")
    monkeypatch.setenv("LEGOCLF_CUDART", str(path))
    probe = run_probe("cuda")
    assert probe.state == FAILED
    assert "LEGOCLF_CUDART={}: does not load".format(path) in probe.reason


def test_a_runtime_without_a_gpu_tells_the_error_and_its_mend(cudart, monkeypatch):
    from legoclf.jetson.cudart import MENDS

    monkeypatch.setenv("LEGOCLF_CUDART", cudart)
    monkeypatch.setenv("CUDART_STUB_FAIL", "cudaGetDeviceCount=35")
    answer = run_probe("cuda").answer
    assert (answer["code"], answer["mend"]) == (35, MENDS[35])
