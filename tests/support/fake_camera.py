"""A camera on the network for tests: a real RTSP server in a process that can be killed and frozen."""

import functools
import os
import signal
import socket
import subprocess
import time
from typing import Any, List, Optional

import pytest

_SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rtsp_server.py")
_SYSTEM_PYTHON = "/usr/bin/python3"


def require_gstreamer(*elements: str) -> None:
    """Skip the test, with the reason, where GStreamer or one of its elements is not installed."""
    missing = _missing_elements(elements)
    if missing:
        pytest.skip("not installed: {} (tests/system.py installs it)".format(missing))


@functools.lru_cache(maxsize=None)
def _missing_elements(elements: Any) -> str:
    from legoclf.jetson.gstreamer_library import has_element, load_gstreamer

    try:
        load_gstreamer()
    except OSError as error:
        return "GStreamer ({})".format(error)
    return ", ".join(element for element in elements if not has_element(element))


@functools.lru_cache(maxsize=None)
def _missing_server() -> str:
    """What the server lacks, empty if nothing."""
    program = "import gi; gi.require_version('GstRtspServer', '1.0')"
    try:
        subprocess.run([_SYSTEM_PYTHON, "-c", program], check=True, stderr=subprocess.PIPE)
    except (OSError, subprocess.CalledProcessError):
        return "gir1.2-gst-rtsp-server-1.0 and python3-gi for {}".format(_SYSTEM_PYTHON)
    return ""


class FakeCamera:
    """An RTSP server at a fixed port; a context manager that starts it and ends it."""

    def __init__(self) -> None:
        require_gstreamer("rtspsrc", "x264enc", "rtph264pay", "rtph264depay", "h264parse", "avdec_h264")
        if _missing_server():
            pytest.skip("not installed: {} (tests/system.py installs it)".format(_missing_server()))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = "rtsp://127.0.0.1:{}/ball".format(self.port)
        self._process: Optional[Any] = None

    def start(self) -> None:
        """Start the server; returns when it serves."""
        self._process = subprocess.Popen([_SYSTEM_PYTHON, _SERVER, str(self.port)], stdout=subprocess.PIPE)
        assert self._process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        """End it as a power cut does."""
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def freeze(self) -> None:
        """Stop it with its connections open: nothing comes, and nothing says so."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> "FakeCamera":
        self.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.kill()


def held() -> "tuple":
    """How many descriptors and threads this process has, and how many children."""
    own = str(os.getpid())
    children = 0
    for pid in _processes():
        try:
            with open("/proc/{}/stat".format(pid)) as stat:
                children += stat.read().rsplit(")", 1)[1].split()[1] == own
        except OSError:  # it has ended meanwhile
            continue
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), children


def assert_held(before: "tuple") -> None:
    """This process has no more than it had; a thread that was joined takes the system a moment to end.

    It may have less: what an earlier test left to end by itself has ended since.
    """
    deadline = time.monotonic() + 5.0
    while any(now > was for now, was in zip(held(), before)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [now for now, was in zip(held(), before) if now > was] == []


def is_running(pid: int) -> bool:
    """Whether there is such a process, other than one that has ended and is not reaped."""
    try:
        with open("/proc/{}/stat".format(pid)) as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(holds: Any, timeout_s: float, what: str) -> float:
    """Wait until ``holds()`` is true; the seconds it took. A failure of the test after the time."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < timeout_s, "not within {} s: {}".format(timeout_s, what)
        time.sleep(0.01)
    return time.monotonic() - started


def _processes() -> List[str]:
    return [name for name in os.listdir("/proc") if name.isdigit()]
