"""`legoclf camera --serve` and `legoclf capture --serve` as programs: slow viewers, lost cameras, Ctrl-C."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import fake_camera
import fake_page
import pytest
import tiny_bundle
from fake_page import ask, request, send

from legoclf import cli

fake_page.require_packages()

SYNTHETIC = "synthetic://?width=640&height=480&fps=30"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle.write_bundle(tmp_path_factory.mktemp("served") / "tiny.bundle")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def served(bundle, source, *arguments):
    """`legoclf camera`, serving: its process and port."""
    return program("camera", bundle, "--backend", "onnxruntime", "--source", source, *arguments)


@contextlib.contextmanager
def program(*arguments):
    """A command of legoclf's that serves: its process and port."""
    port = free_port()
    text = "import sys; from legoclf.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", text, *arguments, "--json", "--serve", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        cwd=tempfile.gettempdir(),
        # A shell's background job ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        fake_camera.wait_until(lambda: answers(port) or process.poll() is not None, 60.0, "the page is there")
        yield process, port
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def answers(port):
    try:
        return request(port, "GET", "/healthz")[0] == 200
    except OSError:
        return False


class Viewer(object):
    """Reads a stream in a thread: the different pictures it got."""

    def __init__(self, port):
        self.pictures = set()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._connection.request("GET", "/stream.mjpg")
        self._thread = threading.Thread(target=self._read, args=(self._connection.getresponse(),))
        self._thread.start()

    def _read(self, response):
        lines = []
        for line in response:
            lines.append(line)
            if line.startswith(b"--legoclf-frame"):
                self.pictures.add(b"".join(lines))
                lines = []

    def join(self):
        self._thread.join(60.0)
        assert not self._thread.is_alive()
        self._connection.close()


def state_of(port):
    return ask(port, "/state")["source"]["state"]


def test_ctrl_c_ends_it_cleanly_while_a_stream_is_open(bundle):
    with served(bundle, SYNTHETIC) as (process, port):
        fake_camera.wait_until(lambda: state_of(port) == "running", 30.0, "the camera runs")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/stream.mjpg")
        assert connection.getresponse().read(15) == b"--legoclf-frame"
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
        connection.close()
    assert process.returncode == 130
    assert "Traceback" not in said
    record = json.loads(out)
    assert record["ended_by"] == "stop"
    assert record["outputs"]["page"]["failed"] == 0


def test_viewers_who_take_nothing_hold_nothing_up(bundle):
    with served(bundle, SYNTHETIC) as (_, port):
        fake_camera.wait_until(lambda: state_of(port) == "running", 30.0, "the camera runs")
        with contextlib.ExitStack() as stack:
            for viewer in range(1, 5):
                deaf = stack.enter_context(contextlib.closing(socket.socket()))
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.connect(("127.0.0.1", port))
                path = "/stream.mjpg?viewer={}".format(viewer)
                deaf.sendall("GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".format(path).encode("ascii"))
            fake_camera.wait_until(lambda: ask(port, "/state?viewer=4")["watching"], 20.0, "all four watch")
            before = ask(port, "/state")["frames"]
            fake_camera.wait_until(lambda: ask(port, "/state")["frames"] > before + 60, 60.0, "it goes on")
            assert state_of(port) == "running"


def test_a_camera_that_is_not_there_yet_is_waited_for_on_the_page(bundle):
    uri = "rtsp://127.0.0.1:{}/none".format(free_port())
    fake_camera.require_gstreamer("rtspsrc")
    with served(bundle, uri, "--retry_first") as (process, port):
        assert state_of(port) == "opening"
        assert request(port, "GET", "/")[0] == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def test_a_network_camera_that_is_cut_off_is_lost_and_comes_back_and_the_stream_goes_on(bundle):
    flags = ("--stall_timeout_s", "2", "--retry_first")
    with fake_camera.FakeCamera() as camera, served(bundle, camera.uri, *flags) as (process, port):
        fake_camera.wait_until(lambda: state_of(port) == "running", 60.0, "the camera runs")
        viewer = Viewer(port)
        camera.kill()
        fake_camera.wait_until(lambda: state_of(port) == "lost", 60.0, "the camera is lost")
        assert ask(port, "/state")["source"]["error"]
        seen = len(viewer.pictures)
        camera.start()
        fake_camera.wait_until(lambda: state_of(port) == "running", 60.0, "the camera is back")
        fake_camera.wait_until(lambda: len(viewer.pictures) > seen + 5, 60.0, "the same stream goes on")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        viewer.join()


def test_capture_shows_the_camera_and_takes_pictures_at_the_press_of_a_button(tmp_path):
    flags = ("--labels", "brick,plate", "--source", SYNTHETIC, "--burst", "3", "--interval_s", "0.05")
    with program("capture", str(tmp_path), *flags) as (process, port):
        fake_camera.wait_until(lambda: state_of(port) == "running", 30.0, "the camera runs")
        assert ask(port, "/about")["labels"] == ["brick", "plate"]
        assert request(port, "GET", "/snapshot.jpg")[0] == 200
        status, answer = send(port, "/capture", {"label": "plate", "burst": 1})
        assert (status, answer["saved"]) == (200, 1)
        assert send(port, "/capture", {"label": "plate", "burst": 4})[0] == 400
        assert request(port, "POST", "/classify", b"x", {"Content-Type": "image/jpeg"})[0] == 409
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "plate: 1 saved" in said
    record = json.loads(out)
    assert record["saved"] == 1
    assert sum(record["classes"]["plate"].values()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--capture", "x"], "--capture: is for the page: give --serve too"),
        (["--insecure"], "--insecure: is for the page: give --serve too"),
        (["--serve", "0.0.0.0:8000"], "can be reached from the network: give --token_file"),
        (["--serve", "somewhere"], "'somewhere'"),
        (["--serve", "--rate_per_s", "-1"], "--rate_per_s: got -1.0, expected 0 to 1000000"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(bundle, capsys, arguments, message):
    code = cli.main(["camera", bundle, "--backend", "onnxruntime", "--source", SYNTHETIC, *arguments])
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_a_port_that_is_taken_is_one_line(bundle, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = str(taken.getsockname()[1])
        code = cli.main(["camera", bundle, "--source", SYNTHETIC, "--serve", port])
    assert code == 1
    assert "127.0.0.1:{}: cannot listen there".format(port) in capsys.readouterr().err
