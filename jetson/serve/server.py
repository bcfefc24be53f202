"""The HTTP server: waitress with the bounds that a hostile network asks for.

waitress reads requests in one thread and hands whole ones to few others, so that a slow client holds no
thread; nothing of a request goes to the disk. What is bounded besides is told in
:mod:`legoclf.jetson.serve.channel`.
"""

import logging
import math
import threading
import time
from typing import Any, Callable, Dict, NamedTuple, Optional

from legoclf.errors import LegoclfError, missing_package, printable
from legoclf.jetson.serve.binding import Binding
from legoclf.jetson.serve.channel import Uploads, open_channel

_MIB = 1024 * 1024


class ServerLimits(NamedTuple):
    """Bounds of the server.

    threads: requests answered at once. connections: open ones at once. connections_each: of one address of
    the network, as :func:`legoclf.jetson.serve.gate.client_key` has it; 0 for any. request_s: until a request
    must be whole. idle_s: until a connection without a request, or whose reader takes nothing, is let go.
    body_bytes: of one request. uploads_bytes: of all requests together that are not answered yet.
    grace_s: at the end, for requests that are being answered.
    """

    threads: int = 16
    connections: int = 500
    connections_each: int = 50
    request_s: float = 30.0
    idle_s: float = 20.0
    body_bytes: int = 16 * _MIB
    uploads_bytes: int = 64 * _MIB
    grace_s: float = 2.0


class Server(object):
    """Serves a WSGI application from a thread of its own; a context manager.

    Args:
        app: where it has ``admits_body``, as :class:`legoclf.jetson.serve.gate.Gate` has, that is asked
            before a request's body is read.

    Attributes:
        binding: where it listens; with the real port where port 0 was asked for.
    """

    def __init__(
        self, app: Callable[..., Any], binding: Binding, limits: Optional[ServerLimits] = None
    ) -> None:
        try:
            import waitress.server
        except ImportError as error:
            raise missing_package("waitress", "serve") from error
        self._limits = limits = ServerLimits() if limits is None else limits
        _tame_log()
        self._map: Dict[int, Any] = {}
        try:
            self._server = waitress.server.create_server(
                app, self._map, _dispatcher=_make_dispatcher(limits.threads), **_settings(binding, limits)
            )
        except OSError as error:
            raise LegoclfError(
                "{}: cannot listen there: {}; name another port".format(
                    binding.address, error.strerror or error
                )
            ) from error
        self._server.channel_class = open_channel
        self._server.legoclf_limits = limits
        self._server.legoclf_uploads = Uploads()
        self._server.legoclf_admits = getattr(app, "admits_body", _admits_all)
        self._maintain = self._server.maintenance
        self._server.maintenance = self._maintenance
        self.binding = binding._replace(port=int(self._server.effective_port))
        self._ends_at: Optional[float] = None
        self._thread = threading.Thread(target=self._server.run, name="http server", daemon=True)

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._ends_at = time.time() + self._limits.grace_s
        self._server.next_channel_cleanup = 0
        self._server.pull_trigger()
        self._thread.join(self._limits.grace_s + 5.0)
        self._server.task_dispatcher.shutdown(timeout=1)
        self._server.trigger.close()

    def check(self) -> None:
        """Raises LegoclfError if it serves no more."""
        if not self._thread.is_alive():
            raise LegoclfError("{}: the server has stopped; start it again".format(self.binding.address))

    def _maintenance(self, now: float) -> None:
        """Called every second by the server's own thread, which alone may close its sockets."""
        channels = list(self._server.active_channels.values())
        if self._ends_at is not None:
            self._end(channels, now)
            return
        self._maintain(now)
        for channel in channels:
            is_stuck = channel.total_outbufs_len and now - channel.last_activity > self._limits.idle_s
            if is_stuck or channel.is_late(now, self._limits.request_s):
                channel.handle_close()

    def _end(self, channels: Any, now: float) -> None:
        """Take no more connections; close those without a request at once, the others when time is up."""
        assert self._ends_at is not None
        self._server.accepting = False
        for channel in channels:
            if now >= self._ends_at or not (channel.requests or channel.total_outbufs_len):
                channel.handle_close()
        if self._server.active_channels:
            self._server.next_channel_cleanup = 0
            return
        self._server.del_channel()
        self._server.socket.close()
        # Where there is nothing to look at the loop ends. Others may pull the trigger yet: it is closed last.
        self._server.pull_trigger()
        self._map.clear()


def _settings(binding: Binding, limits: ServerLimits) -> Dict[str, Any]:
    """waitress' adjustments."""
    return {
        "host": binding.host,
        "port": binding.port,
        "connection_limit": limits.connections,
        "channel_timeout": math.ceil(limits.idle_s),  # whole numbers: waitress makes 0 of 0.5
        "cleanup_interval": 1,
        "asyncore_loop_timeout": 1,  # and with 0 it never rests
        "max_request_body_size": limits.body_bytes,
        "max_request_header_size": 16384,
        "recv_bytes": 65536,
        # Larger than anything that may come: no temporary file is ever made.
        "inbuf_overflow": 4 * limits.body_bytes,
        "outbuf_overflow": 4 * limits.body_bytes,
        # A reader that is slow gets fewer pictures of a stream, not older ones.
        "outbuf_high_watermark": 256 * 1024,
        "asyncore_use_poll": True,
        "expose_tracebacks": False,
        "clear_untrusted_proxy_headers": True,
        "ident": None,
    }


class _NewestFirst(threading.Condition):
    """Wakes the thread that waits the shortest, whose stack and buffers are still near the core."""

    def notify(self, n: int = 1) -> None:
        self._waiters.rotate(1)  # type: ignore[attr-defined]
        super().notify(n)


def _make_dispatcher(threads: int) -> Any:
    """waitress' own, but with few threads at work where few are needed: in turn, all 16 are cold."""
    from waitress.task import ThreadedTaskDispatcher

    dispatcher = ThreadedTaskDispatcher()
    dispatcher.queue_cv = _NewestFirst(dispatcher.lock)
    dispatcher.set_thread_count(threads)
    return dispatcher


def _admits_all(environ: Dict[str, Any]) -> bool:
    return True


class _Printable(logging.Filter):
    """Makes a record one line: it may hold what a client sent."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = printable(record.getMessage()), ()
        return True


_PRINTABLE = _Printable()


def _tame_log() -> None:
    """waitress' log: no word on a queue, on clients that went away or were too many; each record one line."""
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    logger = logging.getLogger("waitress")
    logger.setLevel(logging.WARNING)
    logger.addFilter(_PRINTABLE)
