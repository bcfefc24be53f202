"""A bundle as an endpoint on the network: images in, answers out.

    legoclf serve [BUNDLE] [--listen [ADDRESS:]PORT] [--token_file FILE | --insecure]
    legoclf serve [BUNDLE] --sagemaker

    curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/classify

POST /classify takes an image, a form of several, or JSON of base64 texts. /healthz tells whether it lives,
/metrics is for Prometheus, /ping and /invocations are Amazon SageMaker's. It listens for this machine
alone; for the network name an address and a token file (made if it is not there), or --insecure. --sagemaker
is for a container there: 0.0.0.0:8080, those two paths alone, nobody asked for a token.
"""

import argparse
import logging
import os
import threading
from contextlib import ExitStack
from typing import Any

from legoclf.errors import UsageError, check_range
from legoclf.jetson.serve.binding import DEFAULT_HOST, DEFAULT_PORT, Binding, make_binding
from legoclf.novelty import add_novelty_flag

LOGGER = logging.getLogger(__name__)

_SAGEMAKER = Binding("0.0.0.0", 8080, None)

#: Requests a second that one address of the network may make.
DEFAULT_RATE_PER_S = 50.0


def add_serve_flags(parser: argparse.ArgumentParser) -> None:
    """Define the flags of whatever listens."""
    parser.add_argument(
        "--token_file", metavar="FILE", help="holds the token a client must show; made if new"
    )
    parser.add_argument("--insecure", action="store_true", help="listen on the network and ask for no token")
    parser.add_argument(
        "--rate_per_s",
        type=float,
        metavar="N",
        help="requests a second of one network address; 0: any ({:g})".format(DEFAULT_RATE_PER_S),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf serve`."""
    default = "{}:{}".format(DEFAULT_HOST, DEFAULT_PORT)
    parser.add_argument("bundle", nargs="?", help="the bundle; may be left out where there is one here")
    parser.add_argument("--listen", metavar="[ADDRESS:]PORT", help="where ({})".format(default))
    add_serve_flags(parser)
    parser.add_argument("--sagemaker", action="store_true", help="as a SageMaker container: 0.0.0.0:8080")
    parser.add_argument(
        "--backend", choices=("auto", "tensorrt", "onnxruntime"), default="auto", help="what runs it (auto)"
    )
    parser.add_argument(
        "--unknown_below", type=float, default=0.0, metavar="P", help="less probable is `unknown` (0)"
    )
    add_novelty_flag(parser)
    parser.add_argument("--no_golden", action="store_true", help="start without the check by golden images")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        LegoclfError: a flag is wrong, or something does not open.
    """
    check_range("--unknown_below", args.unknown_below, 0, 1)
    if args.rate_per_s is not None:
        check_range("--rate_per_s", args.rate_per_s, 0, 1e6)
    if args.sagemaker and (args.listen or args.token_file):
        raise UsageError("--sagemaker listens where SageMaker asks: leave --listen and --token_file out")
    binding = (
        _SAGEMAKER
        if args.sagemaker
        else make_binding(args.listen or str(DEFAULT_PORT), args.token_file, args.insecure)
    )
    from legoclf.jetson.signals import StopSignals

    stop = threading.Event()
    with StopSignals(stop) as signals, ExitStack() as stack:
        server = _start(args, binding, stack)
        announce(server.binding, args.token_file, "legoclf serve")
        signals.is_heeded = True
        while not stop.wait(1.0):
            server.check()
    return 130 if signals.was_interrupted else 0


def announce(binding: Binding, token_file: Any, what: str) -> None:
    """Tell where it listens and who may ask."""
    LOGGER.info("%s: http://%s", what, binding.address)
    if binding.token is not None:
        LOGGER.info("a client shows the token of %s", token_file or "LEGOCLF_TOKEN")
    elif not binding.is_loopback:
        LOGGER.warning(
            "INSECURE: whoever reaches %s may use it; nobody is asked for a token", binding.address
        )


def _start(args: argparse.Namespace, binding: Binding, stack: ExitStack) -> Any:
    from legoclf.bundle import Bundle, find_bundle
    from legoclf.jetson.runtime import open_runtime
    from legoclf.jetson.serve.app import make_app, make_sagemaker_app
    from legoclf.jetson.serve.classifier import Classifier
    from legoclf.jetson.serve.gate import Gate
    from legoclf.jetson.serve.images import Limits
    from legoclf.jetson.serve.live_metrics import Machine
    from legoclf.jetson.serve.metrics import Metrics
    from legoclf.jetson.serve.page import add_page
    from legoclf.jetson.serve.page_pictures import PageParts
    from legoclf.jetson.serve.server import Server, ServerLimits

    bundle = Bundle.open(find_bundle(args.bundle))
    if args.no_novelty:
        bundle = bundle._replace(novelty=None)
    machine = Machine()
    metrics = Metrics([machine.readings])
    runtime = stack.enter_context(open_runtime(bundle, args.backend, check_golden=not args.no_golden))
    LOGGER.info("%s: %s", bundle.path, runtime.description)
    classifier = stack.enter_context(Classifier(runtime, Limits(), args.unknown_below))
    rate, limits = args.rate_per_s, ServerLimits()
    if args.sagemaker:
        app = make_sagemaker_app(classifier, metrics)
        # All that comes there comes from one address: SageMaker's own.
        rate, limits = rate or 0.0, limits._replace(connections_each=0)
    else:
        app = make_app(classifier, metrics, {"runtime": runtime.description, "labels": len(bundle.labels)})
        title = os.path.basename(os.path.abspath(bundle.path))
        parts = PageParts(title, runtime.description, bundle.labels, machine, (classifier,))
        add_page(app, metrics, parts)
        rate = DEFAULT_RATE_PER_S if rate is None else rate
    return stack.enter_context(Server(Gate(app, binding, rate), binding, limits))
