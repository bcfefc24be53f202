"""Start-up time of every subcommand on this machine.

    legoclf benchmark startup [--rounds 10]

Each subcommand prints its help, as a process of its own, in turns with a Python that does nothing and one
that imports NumPy, so that a noisy machine slows them alike. What the slowest import is told.
"""

import argparse

from legoclf.benchmarks.device.emit import add_output_flags, check_output_flags, emit
from legoclf.errors import UsageError

_ROUNDS, _ROUNDS_SHORT = 10, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf benchmark startup`."""
    parser.add_argument("--rounds", type=int, help=f"turns of each; an interval needs 6 ({_ROUNDS})")
    parser.add_argument("--short", action="store_true", help=f"a look: {_ROUNDS_SHORT} rounds")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    rounds = args.rounds if args.rounds is not None else _ROUNDS_SHORT if args.short else _ROUNDS
    if rounds < 1:
        raise UsageError(f"--rounds: got {rounds}, expected 1 or more")
    check_output_flags(args)

    from legoclf.benchmarks.device.conditions import Watch
    from legoclf.benchmarks.device.result import Result
    from legoclf.benchmarks.startup import command_names, measure

    with Watch(args.command_line) as watch:
        measured = measure(command_names(), rounds)
    emit(Result("startup", watch.header(), *measured), args)
    return 0
