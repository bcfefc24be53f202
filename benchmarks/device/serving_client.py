"""Clients of an HTTP server, as a process of their own: each asks again as soon as it has its answer.

They share the machine with the server, so they are made to take little of it: one thread, raw sockets that
are kept open, requests that lie ready. Python 3.6, and nothing but its standard library.

    python serving_client.py PORT CLIENTS

reads orders, a JSON object a line: {"request": BASE64, "seconds": 1.0}; and answers each with a line:
{"rate": answers a second, "milliseconds": [of each answer, ...], "cpu_s": what this process took of the
processor} or {"error": TEXT}.
"""

import base64
import json
import selectors
import socket
import sys
import time
from typing import Any, Dict, List

#: Until an answer must have come, in seconds.
_PATIENCE_S = 30.0


class _Client(object):
    """One connection; asks until ``stop_at``, by time.perf_counter()."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), _PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.milliseconds: List[float] = []
        self.ended_at = 0.0
        self._request = b""
        self._stop_at = 0.0
        self._asked_at = 0.0
        self._answer = b""

    def begin(self, request: bytes, stop_at: float) -> None:
        """Ask for the first time."""
        self.milliseconds = []
        self._request, self._stop_at = request, stop_at
        self._ask()

    def read(self) -> bool:
        """Take what has come; False if it was the last answer."""
        data = self.socket.recv(65536)
        if not data:
            raise OSError("the server closed the connection")
        self._answer += data
        head, blank, body = self._answer.partition(b"\r\n\r\n")
        if not blank or len(body) < _content_length(head):
            return True
        if not head.startswith(b"HTTP/1.1 200 "):
            raise OSError("the server answered: {!r}".format(self._answer[:200]))
        now = time.perf_counter()
        self.milliseconds.append((now - self._asked_at) * 1000.0)
        if now >= self._stop_at:
            self.ended_at = now
            return False
        self._ask()
        return True

    def _ask(self) -> None:
        self._answer = b""
        self._asked_at = time.perf_counter()
        self.socket.sendall(self._request)


def _content_length(head: bytes) -> int:
    lowered = head.lower()
    at = lowered.index(b"content-length:") + len(b"content-length:")
    return int(lowered[at : lowered.find(b"\r\n", at) if b"\r\n" in lowered[at:] else None])


def run(clients: List[_Client], request: bytes, seconds: float) -> Dict[str, Any]:
    """All clients ask for so long, and each until its last answer has come."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
        started_at, cpu_s = time.perf_counter(), time.process_time()
        for client in clients:
            client.begin(request, started_at + seconds)
        left = len(clients)
        while left:
            ready = selector.select(_PATIENCE_S)
            if not ready:
                raise OSError("no answer within {:g} s".format(_PATIENCE_S))
            for key, _ in ready:
                if not key.data.read():
                    selector.unregister(key.data.socket)
                    left -= 1
    return {
        "rate": sum(len(client.milliseconds) / (client.ended_at - started_at) for client in clients),
        "cpu_s": time.process_time() - cpu_s,
        "milliseconds": [round(one, 4) for client in clients for one in client.milliseconds],
    }


def main() -> int:
    """Work off the orders of standard input, until its end."""
    port, count = int(sys.argv[1]), int(sys.argv[2])
    clients = [_Client(port) for _ in range(count)]
    for line in sys.stdin:
        order = json.loads(line)
        answer: Dict[str, Any]
        try:
            answer = run(clients, base64.b64decode(order["request"]), order["seconds"])
        except OSError as error:
            answer = {"error": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
