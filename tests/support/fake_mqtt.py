"""A small MQTT 3.1.1 broker for tests: takes messages, strictly by the standard (OASIS, 29 October 2014)."""

import contextlib
import socket
import struct
import threading
from typing import List, NamedTuple, Optional, Tuple

_CONNECT, _PUBLISH, _PINGREQ, _DISCONNECT = 1, 3, 12, 14


class Message(NamedTuple):
    """One that was published."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class Broker(object):
    """Listens on a port of this machine; a context manager.

    Args:
        port: 0 for any.
        code: what CONNACK answers: 0 accepts, 5 is "not authorised" (section 3.2.2.3).

    Attributes:
        messages: all there were. credentials: user and password of the last CONNECT. errors: what broke the
        standard. said_goodbye: DISCONNECT came.
    """

    def __init__(self, port: int = 0, code: int = 0) -> None:
        self.messages: List[Message] = []
        self.credentials: Tuple[Optional[str], Optional[str]] = (None, None)
        self.errors: List[str] = []
        self.said_goodbye = False
        self._code = code
        self._changed = threading.Condition()
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.bind(("127.0.0.1", port))
        self._listening.listen(5)
        self.port: int = self._listening.getsockname()[1]
        self._open: List[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Broker":
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.vanish()

    def vanish(self) -> None:
        """Break every connection, and take no more."""
        # shutdown() as well: close() alone does not wake a thread that waits in accept().
        for each in [self._listening, *self._open]:
            with contextlib.suppress(OSError):  # not connected
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._thread.join(10)

    def wait_for(self, count: int, seconds: float = 20.0) -> bool:
        """Whether so many messages came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.messages) >= count, seconds)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(connection)
            try:
                self._talk(connection)
            except (EOFError, OSError):
                pass  # the client, or the broker, has gone
            except ValueError as error:
                self.errors.append(str(error))
            connection.close()

    def _talk(self, connection: socket.socket) -> None:
        kind, flags, body = _packet(connection)
        if kind != _CONNECT or flags:
            raise ValueError("the first packet is of type {}, not CONNECT".format(kind))
        self._check_connect(body)
        connection.sendall(bytes([0x20, 2, 0, self._code]))
        while not self._code:
            kind, flags, body = _packet(connection)
            if kind == _PUBLISH:
                self._publish(connection, flags, body)
            elif kind == _PINGREQ:
                connection.sendall(b"\xd0\x00")
            elif kind == _DISCONNECT:
                self.said_goodbye = True
                return
            else:
                raise ValueError("unexpected packet of type {}".format(kind))

    def _check_connect(self, body: bytes) -> None:
        name, body = _text(body)
        level, flags = body[0], body[1]
        if (name, level) != ("MQTT", 4) or flags & 1:
            raise ValueError("CONNECT: {} level {} flags {:#x}".format(name, level, flags))
        client, body = _text(body[4:])
        if not client and not flags & 2:
            raise ValueError("CONNECT: no client id, and no clean session")
        user: Optional[str] = None
        password: Optional[str] = None
        if flags & 0x80:
            user, body = _text(body)
        if flags & 0x40:
            password, body = _text(body)
        if body:
            raise ValueError("CONNECT: {} bytes too many".format(len(body)))
        self.credentials = user, password

    def _publish(self, connection: socket.socket, flags: int, body: bytes) -> None:
        qos = flags >> 1 & 3
        topic, body = _text(body)
        if not topic or "#" in topic or "+" in topic:
            raise ValueError("PUBLISH: topic {!r}".format(topic))
        if qos:
            connection.sendall(b"\x40\x02" + body[:2])
            body = body[2:]
        with self._changed:
            self.messages.append(Message(topic, body, qos, bool(flags & 1)))
            self._changed.notify_all()


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _packet(connection: socket.socket) -> Tuple[int, int, bytes]:
    """Type, flags and body of the next control packet (section 2.2)."""
    first = _exactly(connection, 1)[0]
    length = shift = 0
    while True:
        part = _exactly(connection, 1)[0]
        length |= (part & 0x7F) << shift
        shift += 7
        if not part & 0x80:
            return first >> 4, first & 15, _exactly(connection, length)
        if shift > 21:
            raise ValueError("remaining length of more than four bytes")


def _text(body: bytes) -> Tuple[str, bytes]:
    """A length-prefixed UTF-8 string (section 1.5.3) and what follows it."""
    (length,) = struct.unpack(">H", body[:2])
    if len(body) < 2 + length:
        raise ValueError("a string of {} bytes is cut off".format(length))
    return body[2 : 2 + length].decode("utf-8"), body[2 + length :]
