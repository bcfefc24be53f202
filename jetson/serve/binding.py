"""Where the server listens, and who may ask: this machine alone, unless a token or --insecure is given."""

import ipaddress
import os
import secrets
from typing import NamedTuple, Optional, Tuple

from legoclf.errors import LegoclfError, UsageError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000

TOKEN_VARIABLE = "LEGOCLF_TOKEN"

#: Characters of a token at least: 96 bits where they are random.
LEAST_TOKEN = 16


class Binding(NamedTuple):
    """host: an address of this machine. token: what a client must show; None for nobody to be asked."""

    host: str
    port: int
    token: Optional[str]

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach it."""
        return _is_loopback(self.host)

    @property
    def address(self) -> str:
        """As it stands in a URL."""
        return "{}:{}".format("[{}]".format(self.host) if ":" in self.host else self.host, self.port)


def make_binding(where: str, token_file: Optional[str], insecure: bool) -> Binding:
    """What ``--serve [HOST:]PORT``, ``--token_file`` and ``--insecure`` say.

    The token is that of the file, made there if the file is not; else that of LEGOCLF_TOKEN.

    Raises:
        UsageError: no such address, a token too short, or the network without a token or --insecure.
        LegoclfError: the token file cannot be read or written.
    """
    host, port = _parse(where)
    token = _token_of_file(token_file) if token_file else os.environ.get(TOKEN_VARIABLE) or None
    if token is not None:
        _check_token(token, token_file or TOKEN_VARIABLE)
    if token is not None and insecure:
        raise UsageError("--insecure asks nobody, and a token is given: leave one of them out")
    binding = Binding(host, port, token)
    if not binding.is_loopback and token is None and not insecure:
        raise UsageError(
            "{} can be reached from the network: give --token_file FILE (made if it is not there) or set {}; "
            "or --insecure, and whoever reaches it may use it".format(binding.address, TOKEN_VARIABLE)
        )
    return binding


def _parse(where: str) -> Tuple[str, int]:
    host, colon, port = where.rpartition(":")
    host = host.strip("[]") if colon else DEFAULT_HOST
    if host == "localhost":
        host = DEFAULT_HOST
    try:
        # By number alone: a name may stand for several addresses, and change.
        ipaddress.ip_address(host)
    except ValueError as error:
        raise UsageError(
            "{!r}: expected PORT or ADDRESS:PORT, such as 8000 or 0.0.0.0:8000".format(where)
        ) from error
    if not port.isdecimal() or len(port) > 5 or not 0 <= int(port) < 65536:
        raise UsageError("{!r}: the port is no number from 1 to 65535, or 0 for any".format(where))
    return host, int(port)


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback


def _check_token(token: str, where: str) -> None:
    if not all(" " < sign < "\x7f" for sign in token):
        raise UsageError("{}: a token is ASCII letters, digits and signs without blanks".format(where))
    if len(token) < LEAST_TOKEN:
        raise UsageError(
            "{}: a token of {} characters is guessed too soon; expected {} or more".format(
                where, len(token), LEAST_TOKEN
            )
        )


def _token_of_file(path: str) -> str:
    """The token in a file; a new file gets a new token, and nobody else may read it."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_token(path)
    except OSError as error:
        raise LegoclfError("--token_file: {}: {}".format(path, error.strerror)) from error
    token = secrets.token_urlsafe(18)
    with os.fdopen(handle, "w") as stream:
        stream.write(token + "\n")
    return token


def _read_token(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise LegoclfError("--token_file: {}: {}".format(path, reason)) from error
