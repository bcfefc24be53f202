"""The real command on this very machine: what it says is what is found by other ways."""

import io
import json
import os
import platform
import subprocess
import sys

import pytest

from legoclf.jetson.doctor.checks import CHECKS

#: Runs the command as legoclf.cli does. Says at the end whether NumPy came into the process.
PROGRAM = """
import sys
from legoclf import cli
from legoclf.jetson import doctor_command
code = doctor_command.run(cli.parse("doctor", doctor_command, sys.argv[1:]))
assert "numpy" not in sys.modules, "NumPy may crash this process"
sys.exit(code)
"""

#: A numpy.py that is found first, and says what Python says where there is none.
NO_NUMPY = "raise ModuleNotFoundError(\"No module named 'numpy'\", name='numpy')\n"


def doctor(*arguments, **environ):
    """The exit code and the text of `legoclf doctor` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=dict(os.environ, **environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=os.sep,  # not in the checkout, whose ./legoclf hides the installed package
    )
    assert done.stderr == b""
    return done.returncode, done.stdout.decode("utf-8")


def checks(*arguments, **environ):
    code, text = doctor("--json", *arguments, **environ)
    record = json.loads(text)
    assert code == int(record["problems"] > 0)
    return {check["name"]: check for check in record["checks"]}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Every check of this machine, by name; the cache is a folder of the test's own."""
    folder = str(tmp_path_factory.mktemp("cache"))
    return dict(checks(LEGOCLF_CACHE_DIR=folder), folder=folder)


def before_others(folder):
    """The PYTHONPATH on which a folder is first."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def find(name):
    """Whether a module can be found, without importing it."""
    import importlib.util

    return importlib.util.find_spec(name) is not None


def test_python_is_the_one_that_runs(here):
    assert here["Python"]["what"].startswith(platform.python_version() + " ({})".format(sys.executable))


def test_numpy_is_the_one_that_is_imported(here):
    import numpy

    assert here["NumPy"]["status"] == "ok"
    assert here["NumPy"]["what"] == "{} ({})".format(numpy.__version__, os.path.dirname(numpy.__file__))


def test_free_disk_is_what_the_file_system_says(here):
    status = os.statvfs(here["folder"])
    free_gib = status.f_bavail * status.f_frsize / 2**30
    told = float(here["disk"]["what"].split()[0])
    # What others write meanwhile, and rounding to a tenth.
    assert told == pytest.approx(free_gib, abs=1.0)


def test_memory_is_the_kernels(here):
    total_mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    told = int(here["memory"]["what"].split(" of ")[1].split()[0])
    # The kernel counts in KiB, and what hotplug and reservation make of a page or two is less than that.
    assert told == pytest.approx(total_mib, abs=2)


def test_a_machine_without_a_release_file_is_no_jetson(here):
    if os.path.exists("/etc/nv_tegra_release") or os.path.exists("/proc/device-tree/model"):
        pytest.skip("this may be a Jetson")
    assert here["device"]["status"] == "not here"
    assert here["device"]["what"] == "no Jetson: {}, cores: {}".format(platform.machine(), os.cpu_count())


def test_tensorrt_is_here_if_and_only_if_one_of_its_modules_is(here):
    is_here = any(find(name) for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"))
    assert (here["TensorRT"]["status"] != "not here") == is_here


@pytest.mark.parametrize(("name", "module"), [("PyCUDA", "pycuda"), ("MQTT", "paho"), ("serving", "bottle")])
def test_what_is_not_installed_is_not_here(here, name, module):
    assert (here[name]["status"] != "not here") == find(module)


def test_opencv_is_told_with_its_gstreamer(here):
    if not find("cv2"):
        assert here["OpenCV"]["what"].startswith("not installed")
        return
    import cv2

    has_gstreamer = "GStreamer:                   YES" in cv2.getBuildInformation()
    assert ("with GStreamer" in here["OpenCV"]["what"]) == has_gstreamer
    assert here["OpenCV"]["what"].startswith(cv2.__version__)


def test_cameras_are_those_that_dev_has(here):
    has_nodes = any(name.startswith("video") for name in os.listdir("/dev"))
    assert has_nodes or here["USB cameras"]["status"] == "not here"


def test_where_numpy_is_missing_that_is_the_problem_and_no_traceback(tmp_path):
    (tmp_path / "numpy.py").write_text(NO_NUMPY)
    found = checks(PYTHONPATH=before_others(tmp_path))
    assert (found["NumPy"]["status"], found["NumPy"]["what"]) == (
        "problem",
        "not installed, and legoclf needs it",
    )
    assert "install numpy" in found["NumPy"]["mend"]


def test_where_numpy_crashes_the_doctor_lives_and_names_the_signal(tmp_path):
    (tmp_path / "numpy.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    found = checks(PYTHONPATH=before_others(tmp_path))
    assert found["NumPy"]["status"] == "problem"
    assert "SIGILL" in found["NumPy"]["what"]


def test_the_text_has_a_line_for_each_check_in_ascii_where_that_is_all_there_is(tmp_path):
    code, text = doctor(str(tmp_path / "no.bundle"), PYTHONIOENCODING="ascii")
    firsts = [line for line in text.splitlines() if line[:1].strip()]
    assert code == 1
    assert text.encode("ascii")
    assert "\x1b" not in text
    assert any(line.startswith("problem   locale") for line in firsts)
    assert "                         mend: unset PYTHONIOENCODING" in text.splitlines()
    assert any(line.startswith("problem   bundle") for line in firsts)
    assert [name for name, _ in CHECKS] == [line[10:25].strip() for line in firsts[:-1]]


def test_colour_is_for_terminals_and_for_those_who_want_it(monkeypatch):
    from legoclf.jetson.doctor_command import has_colour

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert not has_colour()
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert has_colour()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not has_colour()


def test_a_time_out_of_range_is_refused():
    from legoclf import cli
    from legoclf.errors import UsageError
    from legoclf.jetson import doctor_command

    with pytest.raises(UsageError, match="--timeout_s: got 0.0, expected 1 to 3600"):
        doctor_command.run(cli.parse("doctor", doctor_command, ["--timeout_s", "0"]))
