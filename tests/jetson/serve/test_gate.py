"""Who gets through to the application, and who is told to log in, to wait, or to go."""

import io
import re
from typing import Any, Dict, Iterable, List, Tuple
from urllib.parse import urlencode

import pytest

from legoclf.jetson.serve.binding import Binding
from legoclf.jetson.serve.gate import OPEN_PATHS, Gate, Rate, client_key
from legoclf.jetson.serve.login import cookie_value

TOKEN = "0123456789abcdef"
NETWORK = Binding("0.0.0.0", 8000, TOKEN)
HERE = Binding("127.0.0.1", 8000, None)


class Clock(object):
    """A clock that goes when it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def app(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"through"]


def ask(
    gate: Gate, method: str = "GET", path: str = "/classify", body: Any = b"", **headers: Any
) -> Tuple[int, Dict[str, str], bytes]:
    """Status, headers and body; ``headers`` as WSGI names them."""
    environ: Dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "REMOTE_ADDR": "192.168.1.9",
        "HTTP_HOST": "192.168.1.5:8000",
        "wsgi.input": io.BytesIO(body),
    }
    environ.update(headers)
    told: List[Any] = []
    found = b"".join(gate(environ, lambda status, headers: told.append((status, headers))))
    return int(told[0][0].split()[0]), dict(told[0][1]), found


def bearer(token: str) -> Dict[str, Any]:
    return {"HTTP_AUTHORIZATION": "Bearer " + token}


def log_in(gate: Gate, token: str, **headers: Any) -> Tuple[int, Dict[str, str], bytes]:
    return ask(gate, "POST", "/login", urlencode({"token": token}).encode("ascii"), **headers)


def test_the_token_opens_by_header() -> None:
    assert ask(Gate(app, NETWORK, 0.0), **bearer(TOKEN))[::2] == (200, b"through")


def test_without_a_token_a_program_is_told_how_to_show_one() -> None:
    status, headers, body = ask(Gate(app, NETWORK, 0.0))
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    assert b"Authorization: Bearer TOKEN" in body


def test_without_a_token_a_browser_is_sent_to_the_login_page() -> None:
    status, headers, _ = ask(Gate(app, NETWORK, 0.0), HTTP_ACCEPT="text/html,*/*")
    assert (status, headers["Location"]) == (303, "/login")


@pytest.mark.parametrize("token", ["x", TOKEN + "x", TOKEN[:-1], TOKEN.upper(), "\xff", "", " "])
def test_a_wrong_token_does_not_open(token: str) -> None:
    assert ask(Gate(app, NETWORK, 0.0), **bearer(token))[0] == 401


@pytest.mark.parametrize(
    "value", ["Basic " + TOKEN, TOKEN, "Bearer", "bearer  ", "Bearer " + cookie_value(TOKEN)]
)
def test_the_token_counts_as_a_bearer_token_alone(value: str) -> None:
    assert ask(Gate(app, NETWORK, 0.0), HTTP_AUTHORIZATION=value)[0] == 401


def test_whether_it_lives_is_told_to_all() -> None:
    assert ask(Gate(app, NETWORK, 0.0), path="/healthz")[0] == 200


@pytest.mark.parametrize("path", ["/healthz/", "/healthz/x", "/healthzz", "//healthz", "/HEALTHZ"])
def test_no_other_path_is_open(path: str) -> None:
    assert ask(Gate(app, NETWORK, 0.0), path=path)[0] == 401


def test_after_ten_wrong_tokens_an_address_must_wait() -> None:
    gate = Gate(app, NETWORK, 0.0)
    statuses = [ask(gate, **bearer("wrong"))[0] for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    # Else the one that is let through would be known to be right.
    assert ask(gate, **bearer(TOKEN))[0] == 429


def test_wrong_tokens_of_one_address_do_not_hold_up_another() -> None:
    gate = Gate(app, NETWORK, 0.0)
    for _ in range(20):
        ask(gate, **bearer("wrong"))
    assert ask(gate, REMOTE_ADDR="192.168.1.10", **bearer(TOKEN))[0] == 200


def test_guesses_at_the_login_page_count_as_those_of_the_header() -> None:
    gate = Gate(app, NETWORK, 0.0)
    assert [log_in(gate, "wrong")[0] for _ in range(11)] == [401] * 10 + [429]
    assert log_in(gate, TOKEN)[0] == 429
    assert ask(gate, **bearer(TOKEN))[0] == 429


def test_the_login_page_needs_nothing_that_needs_a_token() -> None:
    status, headers, body = ask(Gate(app, NETWORK, 0.0), path="/login")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b'<form class="login" method="post" action="/login">' in body
    assert b"width=device-width" in body
    assert not [word for word in (b"src=", b"http:", b"<script", b"<style") if word in body]
    assert set(re.findall(b'href="([^"]*)"', body)) <= {path.encode() for path in OPEN_PATHS}


def test_the_right_token_gives_a_cookie_that_opens() -> None:
    gate = Gate(app, NETWORK, 0.0)
    status, headers, _ = log_in(gate, TOKEN)
    assert (status, headers["Location"]) == (303, "/")
    cookie, *attributes = headers["Set-Cookie"].split("; ")
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Strict"]
    assert TOKEN not in cookie
    assert ask(gate, HTTP_COOKIE="a=b; " + cookie)[0] == 200


def test_a_wrong_token_gives_the_form_again_and_no_cookie() -> None:
    status, headers, body = log_in(Gate(app, NETWORK, 0.0), "<b>wrong")
    assert status == 401
    assert "Set-Cookie" not in headers
    assert b"not the token" in body
    assert b"<b>" not in body


@pytest.mark.parametrize("cookie", [TOKEN, "x", cookie_value("another")])
def test_another_cookie_does_not_open(cookie: str) -> None:
    assert ask(Gate(app, NETWORK, 0.0), HTTP_COOKIE="legoclf_token=" + cookie)[0] == 401


@pytest.mark.parametrize("cookie", ["=", ";;;", 'legoclf_token="\\777', "\xff\x00", "a" * 16000])
def test_cookies_that_cannot_be_read_are_none(cookie: str) -> None:
    assert ask(Gate(app, NETWORK, 0.0), HTTP_COOKIE=cookie)[0] == 401


@pytest.mark.parametrize("body", [b"", b"token", b"token=" + b"x" * 9000, b"\xff=%ff", b"token=%"])
def test_a_form_without_a_token_that_can_be_read_is_a_wrong_one(body: bytes) -> None:
    assert ask(Gate(app, NETWORK, 0.0), "POST", "/login", body)[0] == 401


def test_no_token_asked_for_is_no_login_page() -> None:
    status, _, body = ask(
        Gate(app, HERE, 0.0), path="/login", HTTP_HOST="127.0.0.1:8000", REMOTE_ADDR="127.0.0.1"
    )
    assert (status, body) == (200, b"through")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000", "127.0.0.2"])
def test_a_loopback_server_answers_to_its_own_names(host: str) -> None:
    assert ask(Gate(app, HERE, 0.0), HTTP_HOST=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "[::1]x", "0.0.0.0", "\x00"]
)
def test_a_loopback_server_gives_nothing_to_another_name(host: str) -> None:
    # A page of that name, bound to 127.0.0.1 by its owner, could read the answers (DNS rebinding).
    assert ask(Gate(app, HERE, 0.0), HTTP_HOST=host)[0] == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://[", "http://192.168.1.5:9000", "//", "\xff"]
)
def test_a_page_of_another_site_changes_nothing(origin: str) -> None:
    gate = Gate(app, NETWORK, 0.0)
    assert ask(gate, "POST", HTTP_ORIGIN=origin, **bearer(TOKEN))[0] == 403


def test_a_page_without_an_origin_in_a_request_without_a_host_is_another_site() -> None:
    assert ask(Gate(app, NETWORK, 0.0), "POST", HTTP_ORIGIN="null", HTTP_HOST="", **bearer(TOKEN))[0] == 403


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200)])
def test_a_browser_that_names_no_origin_tells_the_site(site: str, status: int) -> None:
    gate = Gate(app, NETWORK, 0.0)
    assert ask(gate, "POST", HTTP_SEC_FETCH_SITE=site, **bearer(TOKEN))[0] == status


def test_the_servers_own_page_may() -> None:
    gate = Gate(app, NETWORK, 0.0)
    assert ask(gate, "POST", HTTP_ORIGIN="http://192.168.1.5:8000", **bearer(TOKEN))[0] == 200


def test_an_address_that_asks_too_often_must_wait() -> None:
    gate = Gate(app, NETWORK, 5.0)
    statuses = [ask(gate, **bearer(TOKEN)) for _ in range(14)]
    assert [status for status, _, _ in statuses[:10]] == [200] * 10
    assert statuses[-1][0] == 429
    assert statuses[-1][1]["Retry-After"] == "1"


def test_this_machine_may_ask_as_often_as_it_likes() -> None:
    gate = Gate(app, NETWORK, 1.0)
    assert {ask(gate, REMOTE_ADDR="127.0.0.1", **bearer(TOKEN))[0] for _ in range(50)} == {200}


def test_a_machine_cannot_change_its_ipv6_address_to_go_on() -> None:
    gate = Gate(app, NETWORK, 1.0)
    asked = [ask(gate, REMOTE_ADDR="2001:db8::{:x}".format(n), **bearer(TOKEN))[0] for n in range(9)]
    assert 429 in asked


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_an_address_is_counted_by_what_one_machine_can_have(address: str, key: str) -> None:
    assert client_key(address) == key


def test_every_answer_of_the_gate_tells_browsers_to_load_and_guess_nothing() -> None:
    headers = ask(Gate(app, NETWORK, 0.0))[1]
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_head_gets_no_body() -> None:
    status, headers, body = ask(Gate(app, NETWORK, 0.0), "HEAD")
    assert (status, body) == (401, b"")
    assert int(headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    ("headers", "admitted"),
    [
        ({}, False),
        (bearer("wrong"), False),
        (bearer(TOKEN), True),
        (dict(bearer(TOKEN), HTTP_ORIGIN="http://evil.example"), False),
        ({"PATH_INFO": "/login", "CONTENT_LENGTH": 100}, True),
        ({"PATH_INFO": "/login", "CONTENT_LENGTH": 10**6}, False),
        ({"PATH_INFO": "/login"}, False),
        ({"PATH_INFO": "/healthz", "CONTENT_LENGTH": 10**6}, False),
    ],
)
def test_a_body_is_read_only_from_who_may_send_one(headers: Dict[str, Any], admitted: bool) -> None:
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/classify", "REMOTE_ADDR": "10.0.0.1"}
    environ.update(headers)
    assert Gate(app, NETWORK, 0.0).admits_body(environ) is admitted


def test_looking_at_a_header_counts_no_wrong_token() -> None:
    gate = Gate(app, NETWORK, 0.0)
    environ = dict(REQUEST_METHOD="POST", PATH_INFO="/", REMOTE_ADDR="192.168.1.9", **bearer("wrong"))
    for _ in range(50):
        gate.admits_body(environ)
    assert ask(gate, **bearer(TOKEN))[0] == 200


def test_a_bucket_fills_again_with_time() -> None:
    clock = Clock()
    rate = Rate(2.0, 4.0, clock)
    assert [rate.allows("a") for _ in range(5)] == [True] * 4 + [False]
    clock.now = 1.0
    assert [rate.allows("a") for _ in range(3)] == [True, True, False]
    clock.now = 100.0
    assert [rate.allows("a") for _ in range(5)] == [True] * 4 + [False]


def test_a_bucket_that_is_looked_at_loses_nothing() -> None:
    rate = Rate(1.0, 1.0, Clock())
    assert [rate.is_empty("a") for _ in range(3)] == [False] * 3
    assert rate.allows("a")
    assert rate.is_empty("a")


def test_a_million_addresses_take_the_memory_of_four_thousand() -> None:
    rate = Rate(1.0, 1.0, Clock())
    for number in range(10000):
        rate.allows(str(number))
    assert len(rate._clients) == 4096
