"""Signals end the run and give the camera back: while it runs, and while the network is still loading."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import fake_live
import pytest

from legoclf.jetson.signals import StopSignals

PATH = os.pathsep.join([os.path.dirname(fake_live.__file__), os.environ.get("PYTHONPATH", "")])

#: The command's way with its source and runtime, with a camera that says when it is let go of. ``{}`` is
#: what the runtime does when it is opened.
PROGRAM = """
import sys, threading, time
import fake_live
import legoclf.jetson.runtime, legoclf.jetson.source
from legoclf import cli

class Camera(fake_live.FakeCamera):
    def close(self):
        super().close()
        print("camera closed", flush=True)

class Runtime(fake_live.FakeRuntime):
    description = "double"
    def __enter__(self): return self
    def __exit__(self, *how): print("runtime closed", flush=True)

def open_runtime(*arguments, **named):
    {}
    return Runtime(2)

camera = Camera()

def film():
    while True:
        camera.capture()
        time.sleep(0.01)

threading.Thread(target=film, daemon=True).start()
legoclf.jetson.source.open_source = lambda uri, options: camera
legoclf.jetson.runtime.open_runtime = open_runtime
sys.exit(cli.main(["camera", sys.argv[1], "--source", "synthetic://", "--output", "jsonl:" + sys.argv[2]]))
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    pytest.importorskip("onnx", reason="the bundle is made with onnx")
    pytest.importorskip("onnxruntime", reason="its golden answers are made with ONNX Runtime")
    import tiny_bundle

    return tiny_bundle.write_bundle(tmp_path_factory.mktemp("signals") / "x.bundle")


def start(bundle, answers, on_open):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(on_open), bundle, str(answers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        env=dict(os.environ, PYTHONPATH=PATH),
        cwd=tempfile.gettempdir(),
        # A shell starts what runs in its background with SIGINT ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def signalled(process, path, number):
    """Send a signal once a record is being written; exit code, what was said on either stream."""
    while not (os.path.exists(path) and os.path.getsize(path)):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(number)
    out, said = process.communicate(timeout=60)
    return process.returncode, out, said


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 0), ("SIGHUP", 0)])
def test_a_signal_ends_the_run_with_its_summary_and_everything_closed(name, code, bundle, tmp_path):
    path = str(tmp_path / "x.jsonl")
    process = start(bundle, path, "pass")
    got, out, said = signalled(process, path, getattr(signal, name))
    assert got == code
    assert out == "runtime closed\ncamera closed\n"
    assert " frames in " in said
    assert "Traceback" not in said
    with open(path) as stream:
        assert stream.read().endswith("}\n")


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 0)])
def test_a_signal_while_the_network_loads_gives_the_camera_back_too(name, code, bundle, tmp_path):
    process = start(bundle, tmp_path / "x.jsonl", "print('loading', flush=True); time.sleep(60)")
    assert process.stdout.readline() == "loading\n"
    process.send_signal(getattr(signal, name))
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "camera closed\n")
    assert "Traceback" not in said


def interrupt_and_wait():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)


@pytest.fixture
def heeds_ctrl_c():
    """What a shell starts in the background ignores Ctrl-C; here it counts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_second_signal_does_not_wait(heeds_ctrl_c):
    stop = threading.Event()
    with StopSignals(stop) as signals:
        signals.is_heeded = True
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(10)
        with pytest.raises(KeyboardInterrupt):
            interrupt_and_wait()


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = threading.Event()
    try:
        with StopSignals(stop):
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.wait(0.05)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_handlers_that_were_there_come_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with StopSignals(threading.Event()):
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
