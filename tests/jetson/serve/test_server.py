"""The HTTP server answers, tells nothing to the log that a client wrote, and ends when it is told."""

import contextlib
import logging
import socket
import threading
import time
from typing import Any, Dict, Iterable

import fake_attack
import pytest
from fake_wsgi import GET, POST, SHORT, App, asked, await_that, close_after, connected, everything, running

from legoclf.errors import LegoclfError
from legoclf.jetson.serve.binding import Binding
from legoclf.jetson.serve.server import Server

pytest.importorskip("waitress", reason="it is the server")


def test_a_request_is_answered() -> None:
    with running(App()) as server:
        assert asked(server, close_after(POST % 5) + b"12345") == (200, b"5")


def test_a_connection_serves_one_request_after_another() -> None:
    with running(App()) as server, connected(server) as connection:
        for _ in range(3):
            connection.sendall(GET)
            assert connection.recv(65536).endswith(b"\r\n\r\n0")


def test_few_requests_at_once_keep_few_threads_at_work() -> None:
    app = App()
    with running(app, SHORT._replace(threads=16)) as server, connected(server) as connection:
        for _ in range(40):
            connection.sendall(GET)
            connection.recv(65536)
    # One, or two where the next request comes before the thread is back; in turn it would be all 16.
    assert len(set(app.threads)) < 8


def test_header_and_body_of_an_answer_come_at_once() -> None:
    app = App()
    with running(app) as server, connected(server, GET) as connection:
        assert connection.recv(65536).endswith(b"\r\n\r\n0")


def test_a_large_answer_comes_whole() -> None:
    with running(App()) as server:
        data = fake_attack.exchange(
            server.binding.port, close_after(b"GET /large HTTP/1.1\r\n\r\n"), 5.0, 1 << 30
        )
    assert len(data.partition(b"\r\n\r\n")[2]) == 8 << 20


def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    with running(App()) as server, connected(server) as connection:
        connection.sendall((POST % 2 + b"12") + (POST % 0) + close_after(POST % 3) + b"123")
        answers = everything(connection).split(b"HTTP/1.1 200 OK")
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers[1:]] == [b"2", b"0", b"3"]


def test_an_idle_server_takes_no_time_of_the_processor() -> None:
    with running(App()):
        before = time.process_time()
        time.sleep(0.5)
        # A thread that turns round and round would take all of the half second.
        assert time.process_time() - before < 0.25


def test_its_end_waits_for_a_request_that_is_being_answered() -> None:
    app = App()
    app.go_on.clear()
    with running(app, SHORT._replace(idle_s=30.0)) as server:
        connection = socket.create_connection(("127.0.0.1", server.binding.port), 10.0)
        connection.sendall(b"GET /slow HTTP/1.1\r\n\r\n")
        await_that(lambda: bool(app.calls))
        threading.Timer(0.3, app.go_on.set).start()
    with contextlib.closing(connection):
        assert fake_attack.status_of(everything(connection)) == 200


@pytest.mark.parametrize("path", [b"/stream", b"/slow"])
def test_a_stream_or_a_request_that_hangs_does_not_hold_up_its_end(path: bytes) -> None:
    app = App()
    app.go_on.clear()
    server = Server(app, Binding("127.0.0.1", 0, None), SHORT._replace(grace_s=0.2, idle_s=60.0))
    with server, contextlib.suppress(OSError):
        connection = socket.create_connection(("127.0.0.1", server.binding.port), 10.0)
        connection.sendall(b"GET " + path + b" HTTP/1.1\r\n\r\n")
        await_that(lambda: bool(app.calls))
    app.go_on.set()
    connection.close()
    assert not server._thread.is_alive()


def test_after_its_end_nobody_listens() -> None:
    with running(App()) as server:
        server.check()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.binding.port), 1.0)
    with pytest.raises(LegoclfError, match="the server has stopped"):
        server.check()


def test_a_port_that_is_taken_is_told() -> None:
    told = "cannot listen there: Address already in use; name another"
    with running(App()) as server, pytest.raises(LegoclfError, match=told):
        Server(App(), server.binding)


def test_what_a_client_sends_cannot_steer_a_terminal_through_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Faulty(App):
        def __call__(self, environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
            raise RuntimeError("a fault")

    with caplog.at_level(logging.INFO), running(Faulty()) as server:
        asked(server, b"GET /a%0aFORGED%1b[2J HTTP/1.1\r\nConnection: close\r\n\r\n")
        asked(server, b"GET / HTTP/1.1\r\nContent-Length: \x1b[2J\r\n\r\n", 1.0)
    texts = [record.getMessage() for record in caplog.records]
    assert any("FORGED" in text for text in texts)
    assert all(text.isprintable() for text in texts)


def test_a_bad_request_leaves_no_trace_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), running(App()) as server:
        assert asked(server, b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 1.0)[0] == 400
    assert not caplog.records


@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
def test_it_listens_by_either_protocol(host: str) -> None:
    try:
        socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET).bind((host, 0))
    except OSError:
        pytest.skip("this machine has no {}".format(host))
    with Server(App(), Binding(host, 0, None), SHORT) as server, contextlib.ExitStack() as stack:
        address = (host, server.binding.port)
        connection = stack.enter_context(contextlib.closing(socket.create_connection(address, 10.0)))
        connection.sendall(GET)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
