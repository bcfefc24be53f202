"""What every download of a library on our behalf needs."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

SOCKET_TIMEOUT_S = 20.0


@contextmanager
def socket_timeout(seconds: float = SOCKET_TIMEOUT_S) -> Iterator[None]:
    """Sockets that give up after a while: without one, a silent network hangs a library for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
