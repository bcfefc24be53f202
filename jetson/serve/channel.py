"""One connection of the server: waitress' channel, with what it may take of time and memory bounded.

waitress bounds one request, and closes a connection that is silent. Added here:

* a request must be whole within a time, not only keep trickling (the server's maintenance looks at
  ``begun_at``)
* a body is read only where the gate lets its header pass
* the bodies of all requests together are bounded: beyond that the largest is given up
* few requests are taken ahead of their answers
* a refusal reaches a client that is still sending: the rest of what it sends is dropped for a while, because
  closing at once would make its system drop the answer too (RFC 7230, 6.6)
* a connection that was gone before it was looked at is not polled for ever (CVE-2024-49769, waitress < 3.0.1)

And for speed: an answer's header and body go out at once, and the thread that reads does not turn round and
round while another writes. Both together are a third of what a small request takes of the processor.
"""

import functools
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Dict, Optional, Type

from legoclf.jetson.serve.gate import client_key, is_loopback

#: Requests of one connection that wait for their answers. Browsers and proxies send one.
MOST_AHEAD = 8

#: Bytes of the length line of a chunk, and of what stands behind the last one. waitress bounds neither.
MOST_CHUNK_LINE = 4096

#: Seconds in which a client that was refused may go on sending, and how many bytes: some read no answer
#: before they have sent all.
LINGER_S = 2.0
LINGER_BYTES = 64 * 1024 * 1024


class Uploads(object):
    """Bytes of bodies that the server holds; any thread may tell of a channel's."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def set(self, channel: Any, count: int, is_last: bool = False) -> None:
        """A channel holds so many now; what it tells after its last is not heard."""
        with self._lock:
            if channel.is_gone:
                return
            channel.is_gone = is_last
            self.bytes += count - channel.held_bytes
            channel.held_bytes = count


if TYPE_CHECKING:
    _WaitressBase = Any  # stands before one of waitress' classes, which have no types
else:
    _WaitressBase = object


def open_channel(
    server: Any,
    sock: socket.socket,
    address: Any,
    adjustments: Any,
    map: Dict[int, Any],  # noqa: A002
) -> None:
    """Take a new connection in, or close it where its address has enough of them."""
    client = client_key(str(address[0]))
    most = server.legoclf_limits.connections_each
    if most and not is_loopback(client):
        channels = server.active_channels.values()
        if sum(channel.client == client for channel in channels) >= most:
            sock.close()
            return
    try:
        channel_class()(server, sock, address, adjustments, map)
    except OSError:
        # Gone already; raised further it would close the socket that listens.
        sock.close()


@functools.lru_cache(maxsize=None)
def channel_class() -> Type[Any]:
    """The class; waitress, its base, is imported here."""
    from waitress.channel import HTTPChannel
    from waitress.task import WSGITask

    task = type("JoinedTask", (Joined, WSGITask), {})
    return type("BoundedChannel", (Bounds, HTTPChannel), {"task_class": task})


class Bounds(_WaitressBase):
    """What a channel of waitress, the class behind it, gains.

    begun_at: since when the unfinished request comes in, as time.time() tells it.
    """

    # waitress', which has no types.
    request: Any
    requests: Any
    connected: bool
    will_close: bool
    close_when_flushed: bool

    def __init__(self, server: Any, sock: Any, address: Any, adjustments: Any, map: Any) -> None:  # noqa: A002
        self.client = client_key(str(address[0]))
        self.begun_at: Optional[float] = None
        self.held_bytes = 0
        self.is_gone = False
        self._is_refused = False
        self._linger_until: Optional[float] = None
        self._dropped_bytes = 0
        self._is_writing = False
        super().__init__(server, sock, address, adjustments, map)
        self.connected = True

    def is_late(self, now: float, request_s: float) -> bool:
        """Whether its request takes too long to come, or its time to read a refusal is over."""
        if self._linger_until is not None:
            return now > self._linger_until
        return self.begun_at is not None and now - self.begun_at > request_s

    def readable(self) -> Any:
        is_deaf = self._is_refused and self._linger_until is None
        # Closed while the loop goes through what there is: its number may be another's by now.
        return self.connected and not is_deaf and super().readable()

    def writable(self) -> Any:
        return self.connected and not self._is_writing and super().writable()

    def write_soon(self, data: Any) -> Any:
        # Beyond the mark it waits for the reading thread to write.
        self._is_writing = self.total_outbufs_len <= self.adj.outbuf_high_watermark
        try:
            return super().write_soon(data)
        finally:
            if self._is_writing and self.total_outbufs_len and self.connected:
                self.server.pull_trigger()
            self._is_writing = False

    def received(self, data: bytes) -> Any:
        if self._is_refused:
            self._dropped_bytes += len(data)
            self.will_close = self.will_close or self._dropped_bytes > LINGER_BYTES
            return False
        before = self.request
        try:
            done = super().received(data)
        except ValueError:
            # A length of more digits than int() takes, which waitress does not expect.
            self.will_close = True
            return False
        request = self.request
        if request is None:
            self.begun_at = None
        elif request is not before:
            self.begun_at = time.time()
        if request is not None and request.body_rcv is not None:
            self._look_at(request)
        if len(self.requests) > MOST_AHEAD:
            self.will_close = True
        self._is_refused = self._is_refused or any(each.error for each in self.requests)
        self._count()
        if self.server.legoclf_uploads.bytes > self.server.legoclf_limits.uploads_bytes:
            self._give_up_largest()
        return done

    def handle_write(self) -> None:
        if not self._is_refused or not self.close_when_flushed or self._linger_until is not None:
            super().handle_write()
            return
        self.close_when_flushed = False  # else waitress closes as soon as it has sent the rest
        super().handle_write()
        if self.connected and self.total_outbufs_len:
            self.close_when_flushed = True
        elif self.connected:
            self._linger_until = time.time() + LINGER_S
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                self.will_close = True

    def handle_close(self) -> None:
        super().handle_close()
        self.server.legoclf_uploads.set(self, 0, is_last=True)

    def service(self) -> None:
        super().service()
        self._count()

    def _look_at(self, request: Any) -> None:
        """Refuse an unfinished request whose body is not worth reading."""
        if not hasattr(request, "legoclf_is_admitted"):
            request.legoclf_is_admitted = self.server.legoclf_admits(self._environ(request))
        receiver = request.body_rcv
        lines = len(getattr(receiver, "control_line", b"")) + len(getattr(receiver, "trailer", b""))
        if lines > MOST_CHUNK_LINE:
            self.will_close = True
        if not request.legoclf_is_admitted:
            self._refuse(request)

    def _environ(self, request: Any) -> Dict[str, Any]:
        environ = {"HTTP_" + name: value for name, value in request.headers.items()}
        environ.update(REMOTE_ADDR=self.addr[0], REQUEST_METHOD=request.command, PATH_INFO=request.path)
        if not request.chunked:
            environ["CONTENT_LENGTH"] = request.content_length
        return environ

    def _refuse(self, request: Any) -> None:
        """Go on as if there were no body: the application refuses it, and the connection is closed."""
        with self.requests_lock:
            request.close()
            request.body_rcv = None
            request.headers.update(CONTENT_LENGTH="0", CONNECTION="close")
            request.expect_continue = False
            request.completed = True
            self._is_refused = True
            self.request = self.begun_at = None
            self.requests.append(request)
            if len(self.requests) == 1:
                self.server.add_task(self)

    def _count(self) -> None:
        count = sum(_body_bytes(each) for each in [self.request, *self.requests])
        if count != self.held_bytes:
            self.server.legoclf_uploads.set(self, count)

    def _give_up_largest(self) -> None:
        """Of the uploads still under way, if there is one: whoever sends little is not to suffer."""
        channels = self.server.active_channels.values()
        max(channels, key=lambda each: (each.request is not None, each.held_bytes)).handle_close()


class Joined(_WaitressBase):
    """What a task of waitress gains: it sends the header together with the first of the body."""

    wrote_header: bool

    def write(self, data: bytes) -> None:
        if self.wrote_header or not self.complete or not data:
            super().write(data)
            return
        header = self.build_response_header()
        self.wrote_header = True
        if self.chunked_response or not self.has_body or len(data) > (self.content_length or 0):
            self.channel.write_soon(header)
            super().write(data)
        else:
            self.content_bytes_written += len(data)
            self.channel.write_soon(header + data)


def _body_bytes(request: Any) -> int:
    """Bytes of a request's body that have come so far."""
    return 0 if request is None or request.body_rcv is None else int(request.body_bytes_received)
