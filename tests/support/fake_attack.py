"""A hostile client of an HTTP server: seeded requests of every bad kind, by raw sockets. Python 3.6."""

import random
import socket
import threading
from typing import Callable, Dict, Iterator, List, Optional, Tuple

from fake_bombs import bodies, post

PATHS = (
    "/classify", "/healthz", "/metrics", "/ping", "/invocations", "/login", "/", "/nothing", "/state",
    "/about", "/static/page.js", "/stream.mjpg", "/snapshot.jpg", "/threshold", "/label", "/capture",
    "/classes", "/harvest", "/harvest/1", "/harvest/1.jpg",
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PATCH", "BREW", "get", "")
FILES = ("/etc/passwd", "/etc/shadow", "/proc/self/environ", "/model.json", "/root/.ssh/id_rsa", "/dev/zero")
DOTS = (
    "..", "%2e%2e", "%2E.", ".%2e", "..%2f", "%252e%252e", "..%5c", "..\\", "%c0%ae%c0%ae", "%uff0e%uff0e",
    "..;", "....//", "%00..", "..%00", "．．",
)  # fmt: skip

Attack = Callable[[random.Random], bytes]


def requests(seed: int, count: int, image: bytes, port: int) -> Iterator[Tuple[str, bytes]]:
    """So many hostile requests, the kind of each and its bytes; of one seed they are the same.

    Args:
        image: a JPEG that is in order, to be damaged.
    """
    rng = random.Random(seed)
    heavy = bodies(image)
    kinds: List[Tuple[str, Attack]] = [
        (name[1:], attack) for name, attack in sorted(globals().items()) if name.startswith("_bad_")
    ]
    kinds.append(("bad_image", lambda rng: post(_damaged(rng, image), "image/jpeg")))
    for number in range(count):
        if number % 20 == 0:
            name = rng.choice(sorted(heavy))
            kind, body = heavy[name]
            yield name, post(body, kind, rng.choice(("/classify", "/invocations")))
            continue
        name, attack = rng.choice(kinds)
        data = attack(rng)
        # Only a few with the right Host: without it the gate refuses before anything else is looked at.
        yield name, data.replace(b"HOST", "127.0.0.1:{}".format(port).encode("ascii"))


def _damaged(rng: random.Random, image: bytes) -> bytes:
    data = bytearray(image[: rng.randrange(1, len(image) + 1)])
    for _ in range(rng.randrange(20)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _noise(rng: random.Random, most: int) -> bytes:
    return bytes(bytearray(rng.randrange(256) for _ in range(rng.randrange(1, most))))


def _head(rng: random.Random, path: str = "", more: str = "") -> bytes:
    method, version = rng.choice(METHODS), rng.choice(("1.1", "1.1", "1.1", "1.0", "0.9", "2.0", "9.9", "x"))
    text = "{} {} HTTP/{}\r\nHost: HOST\r\n{}\r\n".format(method, path or rng.choice(PATHS), version, more)
    return text.encode("utf-8")


def _bad_noise(rng: random.Random) -> bytes:
    return _noise(rng, 3000)


def _bad_half(rng: random.Random) -> bytes:
    whole = _head(rng, more="Content-Length: 9\r\n") + b"123456789"
    return whole[: rng.randrange(1, len(whole))]


def _bad_headers(rng: random.Random) -> bytes:
    names = (
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Cookie",
        "Authorization",
        "Connection",
        "Origin",
        "X",
    )
    lines = [
        rng.choice(names).encode("ascii")
        + rng.choice((b": ", b" : ", b":", b"", b":\t", b"\0: ", b"\r: ", b"_: "))
        + rng.choice(
            (
                _noise(rng, 60),
                b"chunked",
                b"close",
                b"-1",
                b"http://[",
                b"\r\n folded",
                b'legoclf_token="\\777',
            )
        )
        for _ in range(rng.randrange(1, 90))
    ]
    return b"POST /classify HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + _noise(rng, 50)


def _bad_huge_header(rng: random.Random) -> bytes:
    return _head(rng, more="X: {}\r\n".format("a" * rng.randrange(10000, 60000)))


def _bad_chunks(rng: random.Random) -> bytes:
    sizes = (
        b"5",
        b"0x5",
        b"-5",
        b"+5",
        b"5;a=b",
        b"5;" + b"x" * 3000,
        b"FFFFFFFFFFFFFFFFF",
        b"",
        b"z",
        b"9" * 50,
    )
    chunks = [
        rng.choice(sizes) + rng.choice((b"\r\n", b"\n", b"")) + b"12345\r\n" for _ in range(rng.randrange(9))
    ]
    end = rng.choice((b"0\r\n\r\n", b"", b"0\r\nTrailer: x\r\n\r\n", b"0\r\n" + b"a" * 9000))
    return (
        _head(rng, "/classify", "Transfer-Encoding: chunked\r\n").replace(b"2.0", b"1.1")
        + b"".join(chunks)
        + end
    )


def _bad_chunk_line(rng: random.Random) -> bytes:
    return b"POST /classify HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 200000


def _bad_pipeline(rng: random.Random) -> bytes:
    one = "GET {} HTTP/1.1\r\nHost: HOST\r\n\r\n".format(rng.choice(PATHS)).encode("ascii")
    return one * rng.randrange(2, 200)


def _bad_escape(rng: random.Random) -> bytes:
    signs = (
        "%",
        "%zz",
        "%00",
        "%ff%fe",
        "%c0%af",
        "%0d%0aX: y",
        "%1b[2J",
        "%e2%80%ae",
        "?a=%",
        "?top_k=%C2%B2",
        "#",
    )
    return _head(rng, rng.choice(PATHS) + "".join(rng.choice(signs) for _ in range(5)))


def _bad_path(rng: random.Random) -> bytes:
    dots = "/".join(rng.choice(DOTS) for _ in range(rng.randrange(1, 12)))
    start = rng.choice(("/", "/static/", "//", "/classify/", "http://x/", "file://", ""))
    return _head(rng, start + dots + rng.choice(FILES))


def _bad_nul(rng: random.Random) -> bytes:
    return rng.choice(
        (b"GET /\0 HTTP/1.1\r\nHost: HOST\r\n\r\n", b"\0" * 5000, b"GET / HTTP/1.1\r\nHost: \0\r\n\r\n")
    )


def _bad_version(rng: random.Random) -> bytes:
    return rng.choice(
        (
            b"GET /\r\n",
            b"GET /healthz\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\0\x01",
        )
    )


def _bad_expect(rng: random.Random) -> bytes:
    length = rng.choice((5, 10**6, 10**9, 10**30))
    more = "Expect: {}\r\nContent-Length: {}\r\n".format(rng.choice(("100-continue", "x")), length)
    return _head(rng, more=more) + b"12345"


def _bad_length(rng: random.Random) -> bytes:
    length = rng.choice(
        ("3", "-1", "1e3", "0x10", " 5 ", "5, 5", "9" * 5000, "16777217", "99999999999", "٣", "")
    )
    return _head(rng, "/classify", "Content-Length: {}\r\n".format(length)) + b"12345" + _noise(rng, 300)


def _bad_token(rng: random.Random) -> bytes:
    token = rng.choice(("", "x", "a" * 5000, "'; --", "\xff\xfe", "Bearer Bearer"))
    more = rng.choice(
        ("Authorization: Bearer {}\r\n", "Cookie: legoclf_token={}\r\n", "Authorization: {}\r\n")
    )
    return _head(rng, more=more.format(token))


class Attacker(object):
    """Sends hostile requests from several threads; ``statuses`` counts what was answered to each kind."""

    def __init__(self, port: int, patience_s: float = 0.1) -> None:
        self.port = port
        self.statuses: Dict[str, Dict[int, int]] = {}
        self.malformed: List[bytes] = []
        self._patience_s = patience_s
        self._lock = threading.Lock()

    def run(self, payloads: Iterator[Tuple[str, bytes]], threads: int = 16) -> None:
        """Send all; each thread takes the next as soon as it is done with one."""
        workers = [threading.Thread(target=self._work, args=(payloads,)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _work(self, payloads: Iterator[Tuple[str, bytes]]) -> None:
        while True:
            with self._lock:
                item = next(payloads, None)
            if item is None:
                return
            self._note(item[0], exchange(self.port, item[1], self._patience_s))

    def _note(self, kind: str, answer: bytes) -> None:
        with self._lock:
            status = status_of(answer)
            if answer and status is None and not b"HTTP/1.".startswith(answer[:7]):
                self.malformed.append(answer[:200])
            counts = self.statuses.setdefault(kind, {})
            counts[status or 0] = counts.get(status or 0, 0) + 1


def status_of(answer: bytes) -> Optional[int]:
    """The final status of an answer; None if there is none in it."""
    while answer.startswith(b"HTTP/1.1 100 "):
        answer = answer.partition(b"\r\n\r\n")[2]
    if not answer.startswith((b"HTTP/1.0 ", b"HTTP/1.1 ")) or not answer[9:12].isdigit():
        return None
    return int(answer[9:12])


def exchange(port: int, data: bytes, patience_s: float, most: int = 65536) -> bytes:
    """What is answered to raw bytes, until the connection is closed or silent for so long."""
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), 30.0) as connection:
            connection.sendall(data)
            connection.settimeout(patience_s)
            while len(answer) < most:
                more = connection.recv(65536)
                if not more:
                    break
                answer += more
    except OSError:
        pass  # closed or reset by the server: what it may do
    return answer


def upload(port: int, head: bytes, total: int, chunk: bytes = b"\0" * 65536) -> Tuple[int, bytes]:
    """Send a head and then ``chunk`` until ``total`` bytes or the server gives up: bytes sent, the answer."""
    sent, answer = 0, b""
    try:
        with socket.create_connection(("127.0.0.1", port), 30.0) as connection:
            connection.sendall(head)
            connection.settimeout(30.0)
            try:
                while sent < total:
                    connection.sendall(chunk)
                    sent += len(chunk)
            except OSError:
                pass  # it has closed; its answer may have come before
            answer = connection.recv(65536)
    except OSError:
        pass
    return sent, answer
