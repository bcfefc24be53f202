"""Pages that are shown until Ctrl-C: their port, their address, the browser."""

import contextlib
import os
import signal
import socket
import threading
import webbrowser
from collections.abc import Iterator

import pytest

from legoclf.errors import LegoclfError, UsageError
from legoclf.retrain.local_page import PORTS, free_port, show_page

HOST = "127.0.0.1"


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.create_server((HOST, 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the browser was asked to open."""
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    for name in ("BROWSER", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("sys.platform", "linux")
    return addresses


@contextlib.contextmanager
def page_that_is_ended(number: int) -> Iterator[str]:
    """A page that gets a signal soon after it is shown."""
    timer = threading.Timer(0.3, os.kill, (os.getpid(), number))
    timer.start()
    yield "http://127.0.0.1:1"
    timer.cancel()


@pytest.fixture(autouse=True)
def _heeds_ctrl_c() -> Iterator[None]:
    """What a shell starts in the background ignores Ctrl-C; here it counts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_port_that_is_free_is_the_one_that_was_asked_for(taken_port: int) -> None:
    port = free_port(HOST, 0, taken_port)
    assert free_port(HOST, port, taken_port) == port


def test_a_port_that_is_taken_is_refused_by_name(taken_port: int) -> None:
    with pytest.raises(LegoclfError, match=f"^--port {taken_port}: in use; name another, or leave --port"):
        free_port(HOST, taken_port, 8080)


def test_where_none_is_named_the_next_free_one_is_taken(taken_port: int) -> None:
    assert taken_port < free_port(HOST, None, taken_port) < taken_port + PORTS


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(UsageError, match=f"^--port: got {port}, expected 0 to 65535$"):
        free_port(HOST, port, 8080)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_this_machines_is_refused_by_name(host: str) -> None:
    with pytest.raises(LegoclfError, match=f"^{host}, port 0: cannot listen there: .+; name another$"):
        free_port(host, 0, 8080)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_the_page(number: int, code: int) -> None:
    assert show_page("page", page_that_is_ended(number), browser=False) == code


def test_it_is_opened_in_a_browser(opened: list[str]) -> None:
    show_page("page", page_that_is_ended(signal.SIGTERM), browser=True)
    assert opened == ["http://127.0.0.1:1"]


def test_without_a_screen_no_browser_takes_the_terminal(
    opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY")
    show_page("page", page_that_is_ended(signal.SIGTERM), browser=True)
    assert opened == []
