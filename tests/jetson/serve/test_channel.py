"""What one connection may take of the server, each bound tried on a real one: time, bodies, connections."""

import contextlib
import socket
from typing import List

import fake_attack
import pytest
from fake_wsgi import GET, POST, SHORT, App, asked, await_that, close_after, connected, everything, running

pytest.importorskip("waitress", reason="it is the server")


def test_who_sends_too_many_ahead_is_let_go() -> None:
    app = App()
    app.go_on.clear()
    slow = GET.replace(b" / ", b" /slow ")
    with running(app, SHORT._replace(idle_s=30.0)) as server, connected(
        server, slow + GET * 50
    ) as connection:
        assert everything(connection) == b""
        app.go_on.set()
    assert "/" not in app.calls


def test_who_sends_nothing_more_is_let_go() -> None:
    begun = (b"", b"GET / HT", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n123")
    with running(App()) as server, contextlib.ExitStack() as stack:
        for connection in [stack.enter_context(connected(server, data)) for data in begun]:
            assert everything(connection) == b""


def test_who_keeps_a_request_trickling_is_let_go() -> None:
    patient = SHORT._replace(idle_s=60.0)
    with running(App(), patient) as server, contextlib.ExitStack() as stack:
        begun = (b"GET / HTTP/1.1\r\nX: ", POST % 1000)
        connections = [stack.enter_context(connected(server, data)) for data in begun]
        await_that(lambda: len(server._server.active_channels) == 2)
        await_that(lambda: not trickled(connections) and not server._server.active_channels)


def trickled(connections: List[socket.socket]) -> bool:
    """Send one byte more by each; whether any is still taken."""
    taken = False
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.sendall(b"a")
            taken = True
    return taken


def test_a_reader_that_takes_nothing_is_let_go() -> None:
    app = App()
    with running(app) as server, connected(server, b"GET /stream HTTP/1.1\r\n\r\n") as connection:
        await_that(lambda: bool(app.calls))
        await_that(lambda: not server._server.active_channels)
        # What lay in the system's buffers.
        assert len(everything(connection)) < 16 << 20


def test_slow_requests_hold_up_nobody_else() -> None:
    with running(
        App(), SHORT._replace(request_s=30.0, idle_s=30.0)
    ) as server, contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(connected(server, POST % 9 + b"1"))
        assert [asked(server, close_after(GET))[0] for _ in range(10)] == [200] * 10


@pytest.mark.parametrize(
    "head",
    [POST % 10**9, POST % (1 << 20), b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n"],
)
def test_a_body_that_is_too_large_is_refused_and_the_sender_can_read_why(head: bytes) -> None:
    with running(App()) as server:
        _, answer = fake_attack.upload(server.binding.port, head, 32 << 20)
    assert fake_attack.status_of(answer) == 413


def test_the_line_before_a_chunk_may_not_go_on_for_ever() -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with running(App()) as server:
        _, answer = fake_attack.upload(server.binding.port, head, 512 << 10, b"1" * 8192)
    assert answer == b""


def test_a_body_that_the_gate_does_not_admit_is_not_read() -> None:
    app = App()
    app.admits = lambda environ: False
    with running(app) as server:
        # The client keeps sending and can still read the answer.
        _, answer = fake_attack.upload(server.binding.port, POST % 900000, 800000, b"1" * 20000)
    assert (fake_attack.status_of(answer), answer.partition(b"\r\n\r\n")[2]) == (200, b"0")
    assert b"Connection: close" in answer


def test_the_gate_sees_a_request_as_the_application_will() -> None:
    app, seen = App(), []
    app.admits = lambda environ: seen.append(environ) or True  # type: ignore[func-returns-value]
    head = b"POST /a%20b HTTP/1.1\r\nHost: x\r\nX-Token: t\r\nContent-Length: 3\r\n\r\n"
    with running(app) as server, connected(server, head) as connection:
        await_that(lambda: bool(seen))
        connection.sendall(b"123")
        assert connection.recv(1000).endswith(b"3")
    expected = {
        "HTTP_X_TOKEN": "t",
        "HTTP_HOST": "x",
        "PATH_INFO": "/a b",
        "REQUEST_METHOD": "POST",
        "CONTENT_LENGTH": 3,
        "REMOTE_ADDR": "127.0.0.1",
    }
    assert {name: seen[0][name] for name in expected} == expected
    assert len(seen) == 1


def test_all_uploads_together_are_bounded_and_the_largest_is_given_up() -> None:
    patient = SHORT._replace(request_s=30.0, idle_s=30.0)
    with running(App(), patient) as server, contextlib.ExitStack() as stack:
        large = [stack.enter_context(connected(server, POST % 1000000 + b"x" * 900000)) for _ in range(6)]
        await_that(lambda: len(server._server.active_channels) <= 3)
        assert server._server.legoclf_uploads.bytes <= 3 << 20
        assert asked(server, close_after(POST % 1000) + b"x" * 1000) == (200, b"1000")
        assert large


def test_what_is_answered_or_let_go_is_counted_no_more() -> None:
    with running(App()) as server:
        asked(server, close_after(POST % 500000) + b"x" * 500000)
        with connected(server, POST % 500000 + b"x" * 400000):
            await_that(lambda: server._server.legoclf_uploads.bytes == 400000)
        await_that(lambda: server._server.legoclf_uploads.bytes == 0)


def test_who_goes_while_its_requests_wait_is_counted_no_more() -> None:
    app = App()
    app.go_on.clear()
    slow = (POST % 20000).replace(b" / ", b" /slow ") + b"x" * 20000
    with running(app, SHORT._replace(idle_s=30.0)) as server:
        with connected(server, slow * 2 + (POST % 20000) + b"x" * 100):
            await_that(lambda: bool(app.calls))
        app.go_on.set()
        await_that(lambda: not server._server.active_channels)
        await_that(lambda: server._server.task_dispatcher.active_count == 0)
        assert server._server.legoclf_uploads.bytes == 0


def test_whom_maintenance_lets_go_takes_nobody_along() -> None:
    # A connection that is closed while the loop goes through all of them leaves its number to a new one.
    app = App()
    with running(app, SHORT._replace(idle_s=30.0)) as server, contextlib.ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(connected(server, b"GET / HT"))
            for channel in list(server._server.active_channels.values()):
                channel.begun_at = channel.begun_at and 1.0
            server._server.next_channel_cleanup = 0
            assert asked(server, close_after(POST % 3) + b"123") == (200, b"3")


def test_one_address_of_the_network_has_its_share_of_the_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    from legoclf.jetson.serve import channel

    # All that a test can have is loopback; here it counts as the network.
    monkeypatch.setattr(channel, "is_loopback", lambda name: False)
    with running(App(), SHORT._replace(connections_each=3)) as server, contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(server)) for _ in range(3)]
        await_that(lambda: len(server._server.active_channels) == 3)
        assert asked(server, GET)[0] is None
        held[0].close()
        await_that(lambda: len(server._server.active_channels) < 3)
        assert asked(server, close_after(GET))[0] == 200


def test_more_connections_than_there_may_be_wait_for_one_to_end() -> None:
    with running(App(), SHORT._replace(connections=5, idle_s=1.0)) as server, contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(connected(server))
        assert asked(server, close_after(GET))[0] == 200
