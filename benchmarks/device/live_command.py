"""Rate of the live loop against the bare session on this machine, and the age of its answers.

    legoclf benchmark live [BUNDLE] [--backend tensorrt] [--source URI] [--source_fps 30]

The bare session runs on one tensor that lies ready. The loop reads 640x480 frames, prepares each, keeps the
order and smooths the answers. Both run in turns within one process, so that a noisy machine slows them
alike: the ratio holds where the rates drift. In the same turns the loop runs on a source of a camera's rate,
which tells how old its answers are, and counts the frames that were dropped or answered twice.
"""

import argparse

from legoclf.benchmarks.device.emit import add_bundle_flags, add_output_flags, check_output_flags, emit
from legoclf.errors import UsageError, check_range

DEFAULT_SOURCE = "synthetic://?width=640&height=480&fps=0"
_SOURCE_FPS = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf benchmark live`."""
    add_bundle_flags(parser)
    parser.add_argument(
        "--source",
        default=DEFAULT_SOURCE,
        help="one that is faster than the model ({})".format(DEFAULT_SOURCE),
    )
    parser.add_argument(
        "--source_fps",
        type=float,
        default=_SOURCE_FPS,
        help="of a source made in memory that the loop runs on too; 0 leaves it out ({:g})".format(
            _SOURCE_FPS
        ),
    )
    parser.add_argument("--frames", type=int, default=100, help="in a turn (100)")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each; the median counts (15)")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    for name in ("frames", "rounds"):
        if getattr(args, name) < 2:
            raise UsageError("--{}: got {}, expected 2 or more".format(name, getattr(args, name)))
    if args.source_fps:
        check_range("--source_fps", args.source_fps, 1, 1000)
    check_output_flags(args)
    from legoclf.benchmarks.device.conditions import Watch
    from legoclf.benchmarks.device.live import measure
    from legoclf.benchmarks.device.result import Result
    from legoclf.bundle import Bundle, find_bundle

    bundle = Bundle.open(find_bundle(args.bundle))
    with Watch(args.command_line) as watch:
        found = measure(bundle, args.backend, args.source, args.frames, args.rounds, args.source_fps)
    emit(Result("live", watch.header(), found.series, found.ratios, found.facts), args)
    return 0
