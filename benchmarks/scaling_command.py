"""Time an image and peak memory of `legoclf retrain` at 1 000, 10 000 and 100 000 images.

    legoclf benchmark scaling [--images 1000,10000,100000] [--rounds 1] [--tfhub_module embedded]

The images are made for the run, small JPEGs in class folders; each number of them is trained on by `legoclf
retrain` as a process of its own, cold and then with its features kept. The network is one of next to no cost,
so that legoclf's own shows; --tfhub_module embedded takes the real one, at some minutes for 100 000 images on
two cores. An interval needs --rounds 6. All that is written is removed at the end.
"""

import argparse

from legoclf.benchmarks.device.emit import add_output_flags, check_output_flags, emit
from legoclf.errors import UsageError

_COUNTS, _COUNTS_SHORT = (1_000, 10_000, 100_000), (100, 400)
_LEAST_IMAGES = 20
_SIZE, _LEAST_SIZE, _MOST_SIZE = 96, 32, 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf benchmark scaling`."""
    parser.add_argument(
        "--images",
        type=_counts,
        metavar="N,N,…",
        help=f"numbers of images ({','.join(map(str, _COUNTS))})",
    )
    parser.add_argument("--size", type=int, default=_SIZE, help=f"side of an image in pixels ({_SIZE})")
    parser.add_argument("--once", action="store_true", help="run the smaller numbers once a round as well")
    parser.add_argument("--rounds", type=int, default=1, help="over all numbers; an interval needs 6 (1)")
    parser.add_argument(
        "--tfhub_module",
        default="made",
        metavar="HANDLE",
        help="the network: made, embedded, or as of `legoclf retrain` (made)",
    )
    parser.add_argument(
        "--short", action="store_true", help=f"a look: {' and '.join(map(str, _COUNTS_SHORT))} images"
    )
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if args.rounds < 1:
        raise UsageError(f"--rounds: got {args.rounds}, expected 1 or more")
    if not _LEAST_SIZE <= args.size <= _MOST_SIZE:
        raise UsageError(f"--size: got {args.size}, expected {_LEAST_SIZE} to {_MOST_SIZE} pixels")
    check_output_flags(args)
    counts = args.images or (_COUNTS_SHORT if args.short else _COUNTS)

    from legoclf.benchmarks.device.conditions import Watch
    from legoclf.benchmarks.device.result import Result
    from legoclf.benchmarks.scaling import measure

    repeat = not (args.short or args.once)
    with Watch(args.command_line) as watch:
        measured = measure(counts, args.size, args.rounds, args.tfhub_module, repeat=repeat)
    emit(Result("scaling", watch.header(), *measured), args)
    return 0


def _counts(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    counts = tuple(int(part) for part in parts if part.isdecimal())
    if len(counts) == len(parts) and counts == tuple(sorted(set(counts))) and counts[0] >= _LEAST_IMAGES:
        return counts
    raise argparse.ArgumentTypeError(
        f"got {text!r}, expected rising numbers of {_LEAST_IMAGES} or more, such as 1000,10000"
    )
