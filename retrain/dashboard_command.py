"""Show the logs of training in TensorBoard, also while it goes on.

    legoclf dashboard [SUMMARIES_DIR] [--port PORT]

SUMMARIES_DIR is the --summaries_dir of `legoclf retrain`. The page fills while a training writes there; it
listens for this machine alone unless --host says otherwise. Ctrl-C ends it.
"""

import argparse
import contextlib
import ipaddress
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from legoclf.errors import LegoclfError, UsageError, missing_package
from legoclf.retrain.local_page import add_page_flags, free_port, show_page

LOGGER = logging.getLogger(__name__)

#: Where `legoclf retrain` puts its logs if it is not told.
DEFAULT_FOLDER = Path("/tmp/retrain_logs")

#: TensorBoard's own.
DEFAULT_PORT = 6006


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf dashboard`."""
    parser.add_argument(
        "summaries_dir",
        nargs="?",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="SUMMARIES_DIR",
        help=f"folder of TensorBoard logs ({DEFAULT_FOLDER})",
    )
    add_page_flags(parser, DEFAULT_PORT)
    parser.add_argument("--host", default="localhost", help="address to listen on (localhost)")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        LegoclfError: the folder, the port, the address or TensorBoard is not to be had.
    """
    folder: Path = args.summaries_dir
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        raise UsageError(f"{folder}: {what}; name the --summaries_dir that `legoclf retrain` writes to")
    port = free_port(args.host, args.port, DEFAULT_PORT)
    page = tensorboard_page(folder, args.host, port)
    return show_page(f"TensorBoard on {folder}", page, not args.no_browser)


@contextlib.contextmanager
def tensorboard_page(folder: Path, host: str, port: int) -> Iterator[str]:
    """TensorBoard on a folder, served by a thread of this process that ends with it; gives the address.

    Raises:
        LegoclfError: TensorBoard is not installed, or cannot listen there.
    """
    program = _import_program()
    server = program.TensorBoard()
    # Its data server in Rust is a process of its own; this reader ends with ours.
    server.configure(logdir=str(folder), host=host, port=port, load_fast="false")
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    try:
        address: str = server.launch()
    except program.TensorBoardServerException as error:
        raise LegoclfError(f"{error.msg}; name another --port, or another --host") from error
    # Its server tells each request. Launching has set the level of that anew.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    if not _is_loopback(host):
        LOGGER.warning("INSECURE: whoever reaches %s sees the logs; nobody is asked for a token", address)
    if not _has_events(folder):
        LOGGER.info("%s: no logs yet: the page fills once a training writes there", folder)
    yield address


def _import_program() -> Any:
    """tensorboard.program, without TensorFlow.

    TensorBoard needs it for none of our logs, and it would take seconds, and memory beside a training. Where
    a module of this name is found, TensorBoard leaves it alone (tensorboard/compat/__init__.py).
    """
    notf = "tensorboard.compat.notf"
    sys.modules.setdefault(notf, ModuleType(notf))
    try:
        from tensorboard import program
    except ImportError as error:
        raise missing_package("tensorboard", "seen") from error
    return program


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _has_events(folder: Path) -> bool:
    """Whether there is a log below a folder, known by its name as TensorBoard knows it."""
    return any("tfevents" in name for _, _, names in os.walk(folder, followlinks=True) for name in names)
