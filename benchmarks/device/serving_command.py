"""Rate of POST /classify against the bare session on this machine, one image a request.

    legoclf benchmark serving [BUNDLE] [--clients 4] [--short]

The bare session runs on a tensor that lies ready. The server that `legoclf serve` starts takes requests of
one JPEG each, decodes and prepares it, and answers; its clients are a process of their own on the same cores,
and each asks again as soon as it has its answer. All run in turns, so that a noisy machine slows them alike:
the ratio holds where the rates drift.
"""

import argparse

from legoclf.benchmarks.device.emit import add_bundle_flags, add_output_flags, check_output_flags, emit
from legoclf.errors import check_range

_TURNS, _SECONDS, _CLIENTS = 10, 1.0, 4
_SHORT_TURNS, _SHORT_SECONDS = 6, 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf benchmark serving`."""
    add_bundle_flags(parser)
    parser.add_argument(
        "--clients", type=int, default=_CLIENTS, help="that ask at the same time ({})".format(_CLIENTS)
    )
    parser.add_argument("--turns", type=int, help="of each way; an interval needs 6 ({})".format(_TURNS))
    parser.add_argument("--seconds", type=float, help="of each turn ({:g})".format(_SECONDS))
    parser.add_argument(
        "--short", action="store_true", help="{} turns of {:g} s".format(_SHORT_TURNS, _SHORT_SECONDS)
    )
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        UsageError: a number is outside its range.
        LegoclfError: the server, or a package that it needs, is not to be had.
    """
    turns = (_SHORT_TURNS if args.short else _TURNS) if args.turns is None else args.turns
    seconds = (_SHORT_SECONDS if args.short else _SECONDS) if args.seconds is None else args.seconds
    check_range("--turns", turns, 1, 1000)
    check_range("--seconds", seconds, 0.01, 60)
    check_range("--clients", args.clients, 1, 64)
    check_output_flags(args)
    from legoclf.benchmarks.device.conditions import Watch
    from legoclf.benchmarks.device.result import Result
    from legoclf.benchmarks.device.serving import measure
    from legoclf.bundle import Bundle, find_bundle

    bundle = Bundle.open(find_bundle(args.bundle))
    with Watch(args.command_line) as watch:
        found = measure(bundle, args.backend, args.clients, seconds, turns)
    emit(Result("serving", watch.header(), found.series, found.ratios, found.facts), args)
    return 0
