"""Show the graph of a network in Netron, layer by layer.

    legoclf view [BUNDLE] [--graph onnx|frozen]
    legoclf view FILE

BUNDLE may be left out where LEGOCLF_BUNDLE is set or one *.bundle stands in the working folder. FILE is a
graph of any format that Netron knows: ONNX, TensorFlow, Keras, TensorFlow Lite and others. Files are only
read, so a training may go on. It listens for this machine alone. Ctrl-C ends it.

Netron's page tells its makers that it is used, where it reaches them, and half a year after its release it
asks to be updated: pip install --upgrade netron.
"""

import argparse
import contextlib
import logging
import os
from collections.abc import Iterator

from legoclf.bundle import FROZEN_GRAPH, ONNX_MODEL, Bundle, find_bundle
from legoclf.errors import UsageError, missing_package
from legoclf.retrain.local_page import add_page_flags, free_port, show_page

#: The graphs of a bundle by what --graph calls them, the default first.
GRAPHS = {"onnx": ONNX_MODEL, "frozen": FROZEN_GRAPH}

HOST = "127.0.0.1"

#: Netron's own.
DEFAULT_PORT = 8080


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf view`."""
    parser.add_argument("graph_of", nargs="?", metavar="BUNDLE|FILE", help="what to show")
    parser.add_argument("--graph", choices=tuple(GRAPHS), help=f"of a bundle ({next(iter(GRAPHS))})")
    add_page_flags(parser, DEFAULT_PORT)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        LegoclfError: the graph, the port or Netron is not to be had.
    """
    port = free_port(HOST, args.port, DEFAULT_PORT)
    path = find_graph(args.graph_of, args.graph)
    return show_page(f"Netron on {path}", netron_page(path, port), not args.no_browser)


def find_graph(named: str | None, graph: str | None) -> str:
    """The file that the command line means.

    Args:
        named: a bundle or a file; None for the bundle that there is.
        graph: of a bundle, a key of :data:`GRAPHS`; None for the default.

    Raises:
        LegoclfError: there is no such file, no such bundle, or --graph stands beside a file.
    """
    if named is not None and os.path.isfile(named):
        if graph is not None:
            raise UsageError(
                f"--graph {graph} chooses a graph of a bundle, and {named} is a file: leave it out"
            )
        return named
    if named is not None and not os.path.exists(named):
        raise UsageError(f"{named}: no such file or bundle")
    return Bundle.open(find_bundle(named)).file(GRAPHS[graph or next(iter(GRAPHS))])


@contextlib.contextmanager
def netron_page(path: str, port: int) -> Iterator[str]:
    """Netron on a file, served by threads of this process; gives the address.

    Raises:
        LegoclfError: Netron is not installed.
        OSError: the file cannot be read, or the port is taken.
    """
    try:
        import netron
    except ImportError as error:
        raise missing_package("netron", "seen") from error
    # It would tell the address a second time.
    logging.getLogger("netron").setLevel(logging.WARNING)
    with open(path, "rb"):
        pass  # what cannot be read is an error now, and not a page without a graph
    address = netron.start(path, address=(HOST, port), browse=False)
    try:
        yield "http://{}:{}".format(*address)
    finally:
        netron.stop(address)
