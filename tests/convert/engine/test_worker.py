"""The build's own process: how it ends, and what is said of each end."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from legoclf.convert.engine.build import BuildConfig
from legoclf.convert.engine.elapsed import Elapsed
from legoclf.convert.engine.memory import explain_exit, memory_warning
from legoclf.convert.engine.worker import build_in_child
from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.device import BUILD_MIB, Device

#: As much of TensorRT as a build needs to begin; it then refuses the empty graph.
BEGINS = "class ILogger(object):\n    pass\n__version__ = '8.2.1.8'\n"
REFUSED = "the ONNX model has no nodes"

NANO = Device("32.7.1", "4.6.1", "Jetson Nano", 3964, 512, 1982, 800, 1982)


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Runs a build whose `import tensorrt` is a program of the test's."""

    def run(program, **config):
        site = tmp_path / "site"
        site.mkdir()
        (site / "tensorrt.py").write_text(program)
        monkeypatch.syspath_prepend(str(site))
        (tmp_path / "model.onnx").write_bytes(b"")
        (tmp_path / "plan").write_bytes(b"")
        return build_in_child(str(tmp_path / "model.onnx"), BuildConfig(**config), str(tmp_path / "plan"))

    return run


def test_a_killed_build_tells_how_to_add_swap(build):
    """SIGKILL is what Linux ends a process with when memory runs out."""
    with pytest.raises(LegoclfError, match="the build was killed, most likely for want of memory") as caught:
        build("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    for command in (
        "fallocate -l 4G /swapfile",
        "chmod 600 /swapfile",
        "mkswap /swapfile",
        "swapon /swapfile",
    ):
        assert command in str(caught.value)


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS"])
def test_a_crash_is_named_with_the_last_line_it_said(build, name):
    program = "import os, signal, sys; sys.stderr.write('the last word\\n'); sys.stderr.flush(); "
    with pytest.raises(LegoclfError, match=r"crashed while it built \({}\).*the last word".format(name)):
        build(program + "os.kill(os.getpid(), signal.{})".format(name))


def test_a_crash_for_want_of_memory_tells_how_to_add_swap(build):
    program = "import os, sys; sys.stderr.write('what():  std::bad_alloc\\n'); sys.stderr.flush(); os.abort()"
    with pytest.raises(LegoclfError, match="ran out of memory.*fallocate"):
        build(program)


def test_a_fault_of_the_program_is_told_by_its_last_line(build):
    with pytest.raises(LegoclfError, match=r"failed \(exit code 1\): ZeroDivisionError"):
        build("1 / 0")


def test_an_error_that_a_user_can_mend_comes_through_as_it_was(build):
    with pytest.raises(LegoclfError, match=REFUSED):
        build(BEGINS)


def test_a_wrong_wish_stays_a_wrong_call(build):
    with pytest.raises(UsageError, match="--workspace 0"):
        build(BEGINS, workspace_mib=0)


def test_what_libraries_print_is_no_answer(build):
    with pytest.raises(LegoclfError, match=REFUSED):
        build("import os; os.write(1, b'{}\\n[TRT] hello')\n" + BEGINS)


SPEAKS = "import sys; sys.stderr.write('[V] layer 1\\n')\n" + BEGINS


def test_what_tensorrt_says_is_shown_when_asked_for(build, capsys):
    with pytest.raises(LegoclfError):
        build(SPEAKS, verbose=True)
    assert "[V] layer 1\n" in capsys.readouterr().err


def test_what_tensorrt_says_is_not_shown_otherwise(build, capsys):
    with pytest.raises(LegoclfError):
        build(SPEAKS)
    assert "layer" not in capsys.readouterr().err


def test_a_module_in_the_working_folder_is_not_taken_for_ours(build, tmp_path, monkeypatch):
    """With -m or a plain -c the working folder would come first: a checkout has a folder `legoclf`."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])  # `python -m pytest` adds it
    monkeypatch.chdir(tmp_path)
    (tmp_path / "legoclf.py").write_text("raise SystemExit('the wrong legoclf')")
    with pytest.raises(LegoclfError, match=REFUSED):
        build(BEGINS)


SLEEPING = """
import os, sys, time
open({pid!r}, "w").write(str(os.getpid()))
time.sleep(60)
"""

INTERRUPTED = """
import sys
sys.path.insert(0, sys.argv[1])
from legoclf.convert.engine.build import BuildConfig
from legoclf.convert.engine.worker import build_in_child
build_in_child(sys.argv[2], BuildConfig(), sys.argv[3])
"""


@pytest.fixture
def sleeper(tmp_path):
    """A parent whose build sleeps: (parent, the child's process id)."""
    pid = tmp_path / "pid"
    (tmp_path / "tensorrt.py").write_text(SLEEPING.format(pid=str(pid)))
    (tmp_path / "model.onnx").write_bytes(b"")
    arguments = [str(tmp_path), str(tmp_path / "model.onnx"), str(tmp_path / "plan")]
    parent = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, *arguments],
        stderr=subprocess.PIPE,
        cwd=str(tmp_path),
        # A shell starts what runs in its background with SIGINT ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: pid.exists() and pid.read_text())
    yield parent, int(pid.read_text())
    parent.kill()
    parent.communicate()


def wait_for(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "not within 20 s"
        time.sleep(0.02)


def is_gone(process_id):
    try:
        with open("/proc/{}/stat".format(process_id)) as stream:
            return stream.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")


@linux
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_no_build_goes_on_when_its_parent_has_ended(sleeper, name):
    parent, child = sleeper
    parent.send_signal(getattr(signal, name))
    parent.wait(timeout=20)
    wait_for(lambda: is_gone(child))


@linux
def test_ctrl_c_of_the_terminal_does_not_make_the_child_speak(sleeper):
    """The terminal sends it to both: the child's own traceback would only stand beside the message."""
    child = sleeper[1]
    os.kill(child, signal.SIGINT)
    time.sleep(0.2)
    assert not is_gone(child)


@linux
def test_the_build_goes_first_where_memory_runs_out(sleeper):
    with open("/proc/{}/oom_score_adj".format(sleeper[1])) as stream:
        assert stream.read().strip() == "1000"


# Memory


def test_too_little_memory_is_told_before_the_build_with_the_mend():
    warning = memory_warning(NANO)
    assert "512 MiB of RAM and 800 MiB of swap were free (all of the swap is zram" in warning
    assert "fallocate" in warning


@pytest.mark.parametrize("device", [NANO._replace(swap_free_mib=4096), NANO._replace(ram_available_mib=None)])
def test_enough_memory_and_unknown_memory_are_no_warning(device):
    assert memory_warning(device) is None


def test_the_figure_of_a_build_counts_ram_and_swap_together():
    enough = BUILD_MIB - 800
    assert memory_warning(NANO._replace(ram_available_mib=enough)) is None
    assert memory_warning(NANO._replace(ram_available_mib=enough - 1)) is not None


def test_a_killed_build_tells_the_memory_there_was():
    message = str(explain_exit(-signal.SIGKILL, NANO, []))
    assert "512 MiB of RAM and 800 MiB of swap were free (all of the swap is zram" in message


# Progress


def test_lines_with_the_time_come_every_15_seconds(caplog, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with caplog.at_level(logging.INFO), Elapsed("building") as elapsed:
        elapsed.note = "tactics: 3 of 9"
        for now[0] in (105.0, 115.0, 120.0, 131.0):
            elapsed.tick()
    assert [record.getMessage() for record in caplog.records] == [
        "building: 15 s (tactics: 3 of 9)",
        "building: 31 s (tactics: 3 of 9)",
        "building took 31.0 s",
    ]


class Terminal:
    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_on_a_terminal_the_time_counts_in_one_line(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Elapsed("building") as elapsed:
        elapsed.tick()
        elapsed.show("[V] layer")
    assert terminal.text == "\rbuilding: 0 s\r             \r[V] layer\n"


def test_progress_of_the_builder_is_seen_while_it_builds(tmp_path, monkeypatch):
    """The phase that TensorRT tells goes from the child to the line that counts the time."""
    from legoclf.convert.engine import worker

    notes = []
    monkeypatch.setattr(Elapsed, "tick", lambda self: notes.append(self.note))
    monkeypatch.setattr(Elapsed, "interval_s", 0.05)
    site = tmp_path / "site"
    site.mkdir()
    line = json.dumps({"phase": "tactics", "done": 3, "steps": 9}) + "\n"
    program = "import sys, time; sys.stdout.write({!r}); sys.stdout.flush(); time.sleep(0.5)".format(line)
    monkeypatch.setattr(worker, "_PROGRAM", program)
    with pytest.raises(LegoclfError, match="exit code 0"):
        build_in_child("x", BuildConfig(), "y")
    assert "tactics: 3 of 9" in notes


def test_no_thread_is_left(build):
    before = threading.active_count()
    with pytest.raises(LegoclfError):
        build(BEGINS)
    assert threading.active_count() == before
