"""The rate of POST /classify against the bare session's, one image a request. Python 3.6.

The bare session runs on a tensor that lies ready, again and again. The server does all the rest beside it: it
takes requests, decodes the JPEG in each, prepares it and answers. Its clients are a process of their own on
the same machine, as there is no other, and take their share of its cores. All take turns.

Where other work takes part of the cores, the one with more threads gets more of the rest, and rates do not
tell which costs less. The processor's time for an image does, so that is measured too.
"""

import base64
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any, Dict, List, NamedTuple, Sequence

import numpy as np

from legoclf.benchmarks.device import serving_client
from legoclf.benchmarks.device.callers import Bare, bare_ways
from legoclf.benchmarks.device.result import Measured, Ratio, Series
from legoclf.benchmarks.device.samples import paired_ratio, summarise
from legoclf.bundle import Bundle
from legoclf.cores import available_cores
from legoclf.errors import LegoclfError
from legoclf.golden import read_golden
from legoclf.jetson.frame import Frame
from legoclf.jetson.jpeg import encode_jpeg
from legoclf.jetson.runtime import Runtime, open_runtime
from legoclf.jetson.serve.app import make_app
from legoclf.jetson.serve.binding import Binding
from legoclf.jetson.serve.classifier import Classifier
from legoclf.jetson.serve.gate import Gate
from legoclf.jetson.serve.images import Limits
from legoclf.jetson.serve.metrics import Metrics
from legoclf.jetson.serve.server import Server

CLASSIFY = "POST /classify, a JPEG of {}x{}"
ANSWER = "from request to answer, {}"
CPU = "the processor's time for one, {}"
HEALTH = "GET /healthz"

#: Width and height of the JPEGs, in pixels.
SIZES = ((100, 100), (640, 480))

_WARM_UP_SECONDS = 0.5


class Asked(NamedTuple):
    """rate: answers a second. milliseconds: of each answer. cpu_s: of the clients' process."""

    rate: float
    milliseconds: List[float]
    cpu_s: float


class Clients(object):
    """So many clients of a server on this machine, in a process of their own; a context manager."""

    def __init__(self, port: int, count: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, os.path.abspath(serving_client.__file__), str(port), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )

    def __enter__(self) -> "Clients":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def ask(self, request: bytes, seconds: float) -> Asked:
        """All send this request for so long.

        Raises:
            LegoclfError: an answer was not 200, or did not come.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"request": base64.b64encode(request).decode("ascii"), "seconds": seconds}
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise LegoclfError("the clients have stopped: {}".format(error)) from error
        answer = json.loads(self._process.stdout.readline() or '{"error": "the clients have stopped"}')
        if "error" in answer:
            raise LegoclfError("the server under load: {}".format(answer["error"]))
        return Asked(**answer)


def measure(bundle: Bundle, backend: str, clients: int, seconds: float, turns: int) -> Measured:
    """Run the ways in turns.

    Args:
        backend: as of :func:`legoclf.jetson.runtime.open_runtime`.
        clients: that ask at the same time.
        seconds: of each way in each turn.
    """
    image = _image(bundle)
    jpegs = {size: encode_jpeg(_resized(image, *size)) for size in SIZES}
    requests = {CLASSIFY.format(*size): _post(jpeg) for size, jpeg in jpegs.items()}
    requests[HEALTH] = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    found, warm_up = _Turns(), min(_WARM_UP_SECONDS, seconds)
    with ExitStack() as stack:
        runtime = stack.enter_context(open_runtime(bundle, backend))
        tensor = runtime.preprocess(Frame(image, "BGR", 0, 0.0))[None]
        ways = bare_ways(bundle, runtime, tensor, stack)
        server = stack.enter_context(_server(runtime, stack))
        asking = stack.enter_context(Clients(server.binding.port, clients))
        for way in ways.values():
            way.images_a_second(warm_up)
        for request in requests.values():
            asking.ask(request, warm_up)
        for _ in range(turns):
            for name, way in ways.items():
                found.add_bare(name, way, seconds)
            for name, request in requests.items():
                found.add_asked(name, asking, request, seconds)
        description = runtime.description
    facts = {
        "runtime": description,
        "cores": available_cores(),
        "clients": clients,
        "jpeg_bytes": {"{}x{}".format(*size): len(jpeg) for size, jpeg in jpegs.items()},
    }
    series = found.series()
    facts["notes"] = _notes(facts, series, list(ways))
    return Measured(series, _ratios(list(ways)), facts)


class _Turns(object):
    """Samples by the names of their series, a list of each turn."""

    def __init__(self) -> None:
        self._rates: Dict[str, List[List[float]]] = {}
        self._times: Dict[str, List[List[float]]] = {}

    def add_bare(self, name: str, way: Bare, seconds: float) -> None:
        """One turn of a bare way."""
        cpu_s, started_at = time.process_time(), time.perf_counter()
        rate = way.images_a_second(seconds)
        images = rate * (time.perf_counter() - started_at)
        self._rates.setdefault(name, []).append([rate])
        self._times.setdefault(CPU.format(name), []).append([(time.process_time() - cpu_s) * 1000.0 / images])

    def add_asked(self, name: str, asking: Clients, request: bytes, seconds: float) -> None:
        """One turn of the clients; the processor's time is theirs and the server's."""
        cpu_s = time.process_time()
        asked = asking.ask(request, seconds)
        cpu_s = time.process_time() - cpu_s + asked.cpu_s
        self._rates.setdefault(name, []).append([asked.rate])
        self._times.setdefault(ANSWER.format(name), []).append(asked.milliseconds)
        self._times.setdefault(CPU.format(name), []).append([cpu_s * 1000.0 / len(asked.milliseconds)])

    def series(self) -> List[Series]:
        """All of them."""
        rates = [Series(name, "1/s", turns) for name, turns in self._rates.items()]
        return rates + [Series(name, "ms", turns) for name, turns in self._times.items()]


def _ratios(ways: Sequence[str]) -> List[Ratio]:
    found = []
    for served in [CLASSIFY.format(*size) for size in SIZES]:
        for way in ways:
            found.append(Ratio("{}, of {}".format(served, way), served, way))
            names = (CPU.format(way), CPU.format(served))
            found.append(Ratio("{}, of {}, by the processor's time".format(served, way), *names))
    return found


def _server(runtime: Runtime, stack: ExitStack) -> Server:
    """The very server of `legoclf serve`, on a port of the system's choice."""
    classifier = stack.enter_context(Classifier(runtime, Limits(), 0.0))
    app = make_app(classifier, Metrics(), {"runtime": runtime.description})
    binding = Binding("127.0.0.1", 0, None)
    return Server(Gate(app, binding, 0.0), binding)


def _notes(facts: Dict[str, Any], series: Sequence[Series], ways: Sequence[str]) -> List[str]:
    found = {one.name: one for one in series}
    fastest = max(ways, key=lambda name: summarise(found[name].turns).median.value)
    notes = [
        "{runtime} on {cores} cores; {clients} clients on the same cores, one image a request".format(**facts)
    ]
    for size in SIZES:
        share = paired_ratio(found[CLASSIFY.format(*size)].turns, found[fastest].turns)
        notes.append(
            "a JPEG of {}x{} ({} bytes): {:.1f} % of the fastest bare way, {}".format(
                size[0], size[1], facts["jpeg_bytes"]["{}x{}".format(*size)], 100 * share.value, fastest
            )
        )
    return notes


def _image(bundle: Bundle) -> np.ndarray:
    """uint8 [H, W, 3], BGR: the first of the bundle's golden images, a photo of what it was trained on."""
    golden = read_golden(bundle)
    return np.ascontiguousarray(golden.images[0][:, :, ::-1])


def _resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 3]: by the nearest pixel, which keeps the detail that makes a JPEG large."""
    rows = np.arange(height) * image.shape[0] // height
    columns = np.arange(width) * image.shape[1] // width
    return np.ascontiguousarray(image[rows][:, columns])


def _post(jpeg: bytes) -> bytes:
    head = (
        "POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n"
    )
    return head.format(len(jpeg)).encode("ascii") + jpeg
