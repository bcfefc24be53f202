"""Time and size of every artefact of a bundle, and how far each step of the conversion drifts.

    legoclf benchmark conversion [BUNDLE] [--image_dir DIR] [--int8] [--rounds 6]

Frozen graph, SavedModel, ONNX, its FP16, INT8 and jetson-inference forms and the TensorRT engines are made
again and again, in turns. Then the steps are compared, each with the one before it and with FP32 ONNX, on the
test images of --image_dir, or on the bundle's golden images: training head, frozen graph, ONNX, FP16, INT8,
engine. What cannot be made or run here is told with its reason. The work is done on a copy; the bundle stays
as it is.
"""

import argparse

from legoclf.benchmarks.device.emit import add_output_flags, check_output_flags, emit
from legoclf.errors import UsageError

_ROUNDS = 6
_PLANNED_SHORT, _COMPARED_SHORT = 12, 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf benchmark conversion`."""
    parser.add_argument("bundle", nargs="?", help="the bundle; may be left out where there is one here")
    parser.add_argument("--image_dir", help="the data set that the bundle was trained on (golden images)")
    parser.add_argument(
        "--int8", action="store_true", help="make INT8 too, calibrated on --image_dir; some 20 s a turn"
    )
    parser.add_argument("--rounds", type=int, help=f"turns of each; an interval needs 6 ({_ROUNDS})")
    parser.add_argument(
        "--short",
        action="store_true",
        help=f"a look: the first making alone, FP16 planned on {_PLANNED_SHORT} images",
    )
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    rounds = args.rounds if args.rounds is not None else 1 if args.short else _ROUNDS
    if rounds < 1:
        raise UsageError(f"--rounds: got {rounds}, expected 1 or more")
    if args.int8 and not args.image_dir:
        raise UsageError("--int8 is calibrated on training images: name the data set by --image_dir")
    check_output_flags(args)

    from legoclf.benchmarks.conversion import Extent, measure
    from legoclf.benchmarks.device.conditions import Watch
    from legoclf.benchmarks.device.result import Result
    from legoclf.bundle import Bundle, find_bundle

    bundle = Bundle.open(find_bundle(args.bundle))
    extent = Extent(rounds)
    if args.short:
        extent = Extent(rounds, _COMPARED_SHORT, _PLANNED_SHORT, anew=False)
    with Watch(args.command_line) as watch:
        measured = measure(bundle, args.image_dir, extent, args.int8)
    emit(Result("conversion", watch.header(), *measured), args)
    return 0
