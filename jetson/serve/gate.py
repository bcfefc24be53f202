"""Who gets through: tokens, hosts, origins and the rate of one client. WSGI, in front of the application."""

import collections
import functools
import hmac
import ipaddress
import threading
import time
from http.cookies import CookieError, SimpleCookie
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple
from urllib.parse import urlsplit

from legoclf.jetson.serve.binding import Binding
from legoclf.jetson.serve.login import (
    COOKIE,
    MOST_FORM_BYTES,
    cookie_header,
    cookie_value,
    page,
    token_of_form,
)

#: Answered without a token: whether the server lives.
OPEN_PATHS = ("/healthz", "/static/page.css", "/static/icon.svg")

LOGIN_PATH = "/login"

#: Wrong tokens that one address may show within a minute.
MOST_WRONG_TOKENS = 10

#: Addresses whose rate is remembered at most; the one that was quiet longest is forgotten.
_MOST_CLIENTS = 4096

#: Characters of the longest name of an address, with a zone.
_MOST_ADDRESS = 64

#: Headers of every answer: nothing is loaded from elsewhere, nothing framed, nothing guessed or kept.
HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)

_TEXT = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"

Environ = Dict[str, Any]
StartResponse = Callable[..., Any]


class Rate(object):
    """A token bucket for each client: ``per_s`` calls a second, ``burst`` at once. Memory is bounded."""

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._clients: "collections.OrderedDict[str, Tuple[float, float]]" = collections.OrderedDict()

    def allows(self, client: str) -> bool:
        """Take one call off the client's bucket; False, and nothing taken, if there is none in it."""
        with self._lock:
            left, now = self._left(client)
            enough = left >= 1.0
            self._clients.pop(client, None)
            self._clients[client] = (left - 1.0 if enough else left, now)
            if len(self._clients) > _MOST_CLIENTS:
                self._clients.popitem(last=False)
            return enough

    def is_empty(self, client: str) -> bool:
        """Whether the client's next call would not be allowed; takes nothing."""
        with self._lock:
            return self._left(client)[0] < 1.0

    def _left(self, client: str) -> Tuple[float, float]:
        now = self._clock()
        left, at = self._clients.get(client, (self._burst, now))
        return min(self._burst, left + (now - at) * self._per_s), now


class Gate(object):
    """Lets through what may pass, answers the rest itself; /login too, where a token is asked for.

    * The Host of a request to a loopback address must be one: a page elsewhere whose name was bound to
      127.0.0.1 (DNS rebinding) gets nothing.
    * A request that changes something and names an Origin must come from this server's own page.
    * With a token: ``Authorization: Bearer TOKEN``, or the cookie that /login gives. Addresses that show
      wrong ones are slowed down.
    * An address of the network may ask ``rate_per_s`` times a second; this machine itself as it likes. Of
      IPv6 a /64 network is one address, as a machine has all of it.

    Args:
        app: WSGI, what stands behind.
        rate_per_s: 0 for any rate.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], binding: Binding, rate_per_s: float) -> None:
        self._app = app
        self._binding = binding
        self._rate = Rate(rate_per_s, 2 * rate_per_s) if rate_per_s else None
        self._wrong = Rate(MOST_WRONG_TOKENS / 60.0, MOST_WRONG_TOKENS)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        answer = self._pass(environ, start_response)
        # waitress would send the body of an answer to HEAD, and the client take it for the next answer.
        return [] if environ.get("REQUEST_METHOD") == "HEAD" and isinstance(answer, list) else answer

    def _pass(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        client = client_key(str(environ.get("REMOTE_ADDR", "")))
        if self._rate is not None and not is_loopback(client) and not self._rate.allows(client):
            return _answer(start_response, "429 Too Many Requests", "too many requests from your address")
        refusal = self._misdirection(environ)
        if refusal is not None:
            return _answer(start_response, *refusal)
        if self._binding.token is None or environ.get("PATH_INFO") in OPEN_PATHS:
            return self._app(environ, start_response)
        if environ.get("PATH_INFO") == LOGIN_PATH:
            return self._login(environ, start_response, client)
        return self._behind_token(environ, start_response, client)

    def admits_body(self, environ: Environ) -> bool:
        """Whether a request's body is worth reading; asked when its header is there. Nothing is counted.

        Args:
            environ: REMOTE_ADDR, REQUEST_METHOD, PATH_INFO, CONTENT_LENGTH where it is known, HTTP_...
        """
        client = client_key(str(environ.get("REMOTE_ADDR", "")))
        if self._rate is not None and not is_loopback(client) and self._rate.is_empty(client):
            return False
        if self._misdirection(environ) is not None:
            return False
        if self._binding.token is None:
            return True
        if environ.get("PATH_INFO") in (*OPEN_PATHS, LOGIN_PATH):
            return 0 <= int(environ.get("CONTENT_LENGTH", -1)) <= MOST_FORM_BYTES
        return not self._wrong.is_empty(client) and self._shows_token(environ)

    def is_token(self, shown: str) -> bool:
        """Whether it is the token, in a time that does not tell how much of it is right."""
        return _is_same(shown, self._binding.token or "")

    def _misdirection(self, environ: Environ) -> Optional[Tuple[str, str]]:
        host = str(environ.get("HTTP_HOST", ""))
        if self._binding.is_loopback and not is_loopback(_host_name(host)):
            return "421 Misdirected Request", "this server is for its own machine: ask for 127.0.0.1"
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD") and not _is_own_origin(environ, host):
            return "403 Forbidden", "a page of another site may not do that"
        return None

    def _behind_token(self, environ: Environ, start_response: StartResponse, client: str) -> Iterable[bytes]:
        if not _shown(environ):
            if _wants_page(environ):
                return _answer(start_response, "303 See Other", "log in", ("Location", LOGIN_PATH))
            text = "show the token: Authorization: Bearer TOKEN, or log in at /login"
        elif self._wrong.is_empty(client):
            return _answer(start_response, "429 Too Many Requests", "too many wrong tokens; wait a minute")
        elif self._shows_token(environ):
            return self._app(environ, start_response)
        else:
            self._wrong.allows(client)
            text = "a wrong token"
        return _answer(start_response, "401 Unauthorized", text, ("WWW-Authenticate", "Bearer"))

    def _login(self, environ: Environ, start_response: StartResponse, client: str) -> Iterable[bytes]:
        method = environ.get("REQUEST_METHOD")
        if method in ("GET", "HEAD"):
            return _answer(start_response, "200 OK", page(), kind=_HTML)
        if method != "POST":
            return _answer(start_response, "405 Method Not Allowed", "GET or POST", ("Allow", "GET, POST"))
        if self._wrong.is_empty(client):
            text = page("Too many wrong tokens; wait a minute.")
            return _answer(start_response, "429 Too Many Requests", text, kind=_HTML)
        if not self.is_token(token_of_form(environ)):
            self._wrong.allows(client)
            return _answer(start_response, "401 Unauthorized", page("That is not the token."), kind=_HTML)
        cookie = cookie_header(self._binding.token or "")
        return _answer(start_response, "303 See Other", "logged in", ("Location", "/"), cookie)

    def _shows_token(self, environ: Environ) -> bool:
        token = self._binding.token or ""
        rights = {"header": token, "cookie": cookie_value(token)}
        return any(_is_same(shown, rights[where]) for where, shown in _shown(environ))


@functools.lru_cache(maxsize=1024)
def client_key(address: str) -> str:
    """Who asks, for counting: an IPv4 address, ::ffff:1.2.3.4 too, or the /64 network of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4 or parsed.is_loopback:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))


def is_loopback(name: str) -> bool:
    """Whether an address, or the name in a Host header, is this machine's own."""
    return len(name) <= _MOST_ADDRESS and _is_loopback(name)


@functools.lru_cache(maxsize=1024)
def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        # Such as 127.example.org, which may resolve to any address.
        return False


def _shown(environ: Environ) -> List[Tuple[str, str]]:
    """What a request shows: "header" or "cookie", and its text."""
    shown = []
    scheme, _, value = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    if scheme.lower() == "bearer" and value:
        shown.append(("header", value.strip()))
    try:
        morsel = SimpleCookie(str(environ.get("HTTP_COOKIE", ""))).get(COOKIE)
    except CookieError:
        morsel = None
    if morsel is not None and morsel.value:
        shown.append(("cookie", morsel.value))
    return shown


def _is_same(shown: str, right: str) -> bool:
    return hmac.compare_digest(shown.encode("utf-8", "replace"), right.encode("utf-8"))


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        return name if host.endswith("]") or port.startswith(":") else ""
    return host.partition(":")[0]


def _is_own_origin(environ: Environ, host: str) -> bool:
    """Whether the page that asks is this server's; a program that is no browser names none."""
    origin = str(environ.get("HTTP_ORIGIN", ""))
    if not origin:
        return environ.get("HTTP_SEC_FETCH_SITE", "none") in ("none", "same-origin")
    try:
        named = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(named) and named.lower() == host.lower()


def _wants_page(environ: Environ) -> bool:
    return environ.get("REQUEST_METHOD") == "GET" and "text/html" in str(environ.get("HTTP_ACCEPT", ""))


def _answer(
    start_response: StartResponse, status: str, body: Any, *headers: Tuple[str, str], kind: str = _TEXT
) -> List[bytes]:
    data = body if isinstance(body, bytes) else (body + "\n").encode("utf-8")
    every = [("Content-Type", kind), ("Content-Length", str(len(data))), *HEADERS, *headers]
    if status.startswith("429"):
        every.append(("Retry-After", "1"))
    start_response(status, every)
    return [data]
