"""A small WSGI application behind the real server, and raw connections to it. Python 3.6."""

import contextlib
import socket
import threading
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple

import fake_attack

from legoclf.jetson.serve.binding import Binding
from legoclf.jetson.serve.server import Server, ServerLimits

#: Bounds short enough to be waited for; maintenance looks once a second.
SHORT = ServerLimits(threads=2, request_s=0.5, idle_s=0.5, body_bytes=1 << 20, uploads_bytes=3 << 20)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


class App(object):
    """Tells how long a body was; waits first where it is told to, and streams where the path says so."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self.calls: List[str] = []
        self.threads: List[str] = []
        self.admits: Callable[[Dict[str, Any]], bool] = lambda environ: True

    def __call__(self, environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.calls.append(environ["PATH_INFO"])
        self.threads.append(threading.current_thread().name)
        if environ["PATH_INFO"] == "/stream":
            start_response("200 OK", [("Content-Type", "x/y")])
            return self._stream()
        if environ["PATH_INFO"] == "/large":
            start_response("200 OK", [("Content-Length", str(8 << 20))])
            return [b"x" * (8 << 20)]
        if environ["PATH_INFO"] == "/slow":
            self.go_on.wait(30.0)
        size = len(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Length", str(len(str(size))))])
        return [str(size).encode("ascii")]

    def admits_body(self, environ: Dict[str, Any]) -> bool:
        return self.admits(environ)

    def _stream(self) -> Iterator[bytes]:
        while True:
            yield b"x" * 65536


@contextlib.contextmanager
def running(app: App, limits: ServerLimits = SHORT) -> Iterator[Server]:
    with Server(app, Binding("127.0.0.1", 0, None), limits) as server:
        yield server


@contextlib.contextmanager
def connected(server: Server, data: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.binding.port), 10.0) as connection:
        connection.sendall(data)
        yield connection


def everything(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    found = b""
    try:
        while True:
            more = connection.recv(65536)
            if not more:
                return found
            found += more
    except ConnectionResetError:
        return found


def asked(server: Server, data: bytes, patience_s: float = 10.0) -> Tuple[Optional[int], bytes]:
    """Status and body of the first answer; the connection is closed by the server or after the time."""
    answer = fake_attack.exchange(server.binding.port, data, patience_s)
    return fake_attack.status_of(answer), answer.partition(b"\r\n\r\n")[2]


def close_after(data: bytes) -> bytes:
    return data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def await_that(holds: Callable[[], bool]) -> None:
    """Wait until it holds; ten seconds at most."""
    for _ in range(200):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it does not come to hold")
