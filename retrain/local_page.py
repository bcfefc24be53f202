"""A page that another package serves from this process: its address is told, and it ends with Ctrl-C."""

import argparse
import errno
import logging
import os
import socket
import sys
import threading
import webbrowser
from contextlib import AbstractContextManager

from legoclf.errors import LegoclfError, check_range
from legoclf.jetson.signals import StopSignals

LOGGER = logging.getLogger(__name__)

#: Ports that are tried, from the default one on, where none is named.
PORTS = 100


def add_page_flags(parser: argparse.ArgumentParser, default_port: int) -> None:
    """Define the flags of whatever shows a page."""
    parser.add_argument("--port", type=int, help=f"where ({default_port}, or the next that is free)")
    parser.add_argument("--no_browser", action="store_true", help="tell the address alone; open no browser")


def free_port(host: str, port: int | None, default: int) -> int:
    """A port on which this machine can listen.

    Args:
        host: the address to listen on.
        port: the one that is wanted; 0 for any, None for the default or the next that is free.

    Raises:
        LegoclfError: there is none such; the message names the flag.
    """
    if port is not None:
        check_range("--port", port, 0, 65535)
    for candidate in range(default, default + PORTS) if port is None else (port,):
        try:
            return _listen(host, candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise LegoclfError(
                    f"{host}, port {candidate}: cannot listen there: {error.strerror}; name another"
                ) from error
    if port is None:
        raise LegoclfError(f"ports {default} to {default + PORTS - 1} are in use; name a free one by --port")
    raise LegoclfError(f"--port {port}: in use; name another, or leave --port out for a free one")


def show_page(what: str, page: AbstractContextManager[str], browser: bool) -> int:
    """Serve a page until Ctrl-C or SIGTERM; the exit code.

    Args:
        what: it is, for the line that tells its address.
        page: serves while it is entered, and gives the address.
        browser: open it in one, where there is a screen.
    """
    stop = threading.Event()
    with StopSignals(stop) as signals, page as address:
        signals.is_heeded = True
        LOGGER.info("%s: %s (Ctrl-C ends it)", what, address)
        if browser and _has_screen():
            webbrowser.open(address)
        stop.wait()
    return 130 if signals.was_interrupted else 0


def _listen(host: str, port: int) -> int:
    """Listen for a moment: servers differ in what they make of a port that is taken."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        if os.name == "posix":  # on Windows it would let two programs listen on one port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen()
        found: int = probe.getsockname()[1]
        return found


def _has_screen() -> bool:
    """Whether a browser would have a window: one for text would take the terminal that we write to."""
    named = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in named)
