"""The real HTTP server in a test: in this process on a port of its own, or `legoclf serve` as a process.

The one thing that is not real is who asks. For Python 3.6 as for today's.
"""

import contextlib
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np
import pytest
import tiny_bundle

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Reply(NamedTuple):
    """headers: by their names in lower case."""

    status: int
    headers: Dict[str, str]
    body: bytes

    @property
    def record(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body.decode("utf-8"))


class Running(NamedTuple):
    """A server, and what stands behind it."""

    port: int
    classifier: Any
    server: Any


def need_packages() -> None:
    """Skip where the server or the bundle cannot be had."""
    for package in ("bottle", "waitress", "prometheus_client", "onnx", "onnxruntime"):
        pytest.importorskip(package, reason="the server is run on a bundle of ONNX")


def ask(
    port: int, method: str, path: str, body: Any = None, headers: Optional[Dict[str, str]] = None
) -> Reply:
    """One request by a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30.0)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, found, response.read())


def image_file(pixels: np.ndarray, kind: str = "JPEG") -> bytes:
    """uint8 [H, W, 3], RGB, as a file."""
    image = pytest.importorskip("PIL.Image", reason="images are written with Pillow")
    stream = io.BytesIO()
    image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def photo(label: int = 0, kind: str = "JPEG") -> bytes:
    """An image of one label's colour, as a file."""
    return image_file(tiny_bundle.plain(label), kind)


@contextlib.contextmanager
def serving(
    bundle: str,
    token: Optional[str] = None,
    rate_per_s: float = 0.0,
    server_limits: Any = None,
    limits: Any = None,
    is_sagemaker: bool = False,
    host: str = "127.0.0.1",
) -> Iterator[Running]:
    """The server over a bundle, in this process."""
    from legoclf.bundle import Bundle
    from legoclf.jetson.runtime import open_runtime
    from legoclf.jetson.serve.app import make_app, make_sagemaker_app
    from legoclf.jetson.serve.binding import Binding
    from legoclf.jetson.serve.classifier import Classifier
    from legoclf.jetson.serve.gate import Gate
    from legoclf.jetson.serve.images import Limits
    from legoclf.jetson.serve.metrics import Metrics
    from legoclf.jetson.serve.server import Server

    with contextlib.ExitStack() as stack:
        runtime = stack.enter_context(open_runtime(Bundle.open(bundle), "onnxruntime", check_golden=False))
        classifier = stack.enter_context(Classifier(runtime, limits or Limits(), 0.0))
        if is_sagemaker:
            app = make_sagemaker_app(classifier, Metrics())
        else:
            app = make_app(classifier, Metrics(), {"labels": len(runtime.labels)})
        binding = Binding(host, 0, token)
        server = stack.enter_context(Server(Gate(app, binding, rate_per_s), binding, server_limits))
        yield Running(server.binding.port, classifier, server)


class ServerProcess(object):
    """`legoclf serve` as a process of its own; a context manager.

    Args:
        before: what runs it, such as strace and its flags.
        prelude: Python that runs before the command.
    """

    def __init__(
        self, bundle: str, arguments: Sequence[str] = (), before: Sequence[str] = (), prelude: str = ""
    ) -> None:
        program = prelude + "\nimport sys; from legoclf.cli import main; sys.exit(main())"
        command = [*before, sys.executable, "-c", program, "serve", bundle, "--backend", "onnxruntime"]
        self._process = subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            cwd=tempfile.gettempdir(),
            # A shell's background job ignores SIGINT, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.lines: List[str] = []
        self.port = 0
        self._is_up = threading.Event()
        self._reader = threading.Thread(target=self._read)

    def __enter__(self) -> "ServerProcess":
        self._reader.start()
        if not self._is_up.wait(60.0) or not self.port:
            self._process.kill()
            self._reader.join()
            raise AssertionError("the server does not start: {}".format(self.lines))
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.stop()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; its exit code."""
        if self._process.poll() is None:
            os.kill(self.pid, number)
        code = self._process.wait(30.0)
        self._reader.join()
        return code

    @property
    def pid(self) -> int:
        """Of the Python that serves, also where something else runs it."""
        children = "/proc/{0}/task/{0}/children".format(self._process.pid)
        with open(children) as stream:
            found = stream.read().split()
        with open("/proc/{}/comm".format(self._process.pid)) as stream:
            is_wrapped = "python" not in stream.read()
        return int(found[0]) if is_wrapped and found else self._process.pid

    def memory_mb(self, what: str) -> float:
        """VmRSS or VmHWM, the most there was, in MB."""
        with open("/proc/{}/status".format(self.pid)) as stream:
            found = re.search(what + r":\s+(\d+) kB", stream.read())
        assert found is not None
        return int(found.group(1)) / 1024.0

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                self.lines.append(line)
                found = re.search(r"http://\S*:(\d+)$", line.rstrip())
                if found:
                    self.port = int(found.group(1))
                    self._is_up.set()
        self._is_up.set()
