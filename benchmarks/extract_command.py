"""Rate of feature extraction against the bare ONNX Runtime on this machine.

    legoclf benchmark extract [--image_dir DIR] [--views 4] [--extractor openvino]

Extraction is all of it: reading, decoding, augmentation, the network and the writing of the cache.

Both run in turns within one process, so that a noisy machine slows them alike: the ratio holds where the
rates drift. The bare rate is the best of the ways to call ONNX Runtime on tensors that lie ready. Without
--image_dir the images are 640x480 JPEGs made for the run.
"""

import argparse
from pathlib import Path

from legoclf.benchmarks.device.emit import add_output_flags, check_output_flags, emit
from legoclf.errors import UsageError
from legoclf.retrain.engines import ENGINES, PRECISIONS
from legoclf.retrain.settings import DEFAULT_CACHE_VIEWS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf benchmark extract`."""
    parser.add_argument("--image_dir", type=Path, help="images to read (640x480 JPEGs made for the run)")
    parser.add_argument("--images", type=int, default=80, help="in a round, at most (80)")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each; 6 or more for intervals (15)")
    parser.add_argument(
        "--views", type=int, default=DEFAULT_CACHE_VIEWS, help=f"augmented, of each ({DEFAULT_CACHE_VIEWS})"
    )
    parser.add_argument(
        "--extractor", choices=ENGINES, default=ENGINES[0], help="measured beside onnxruntime (onnxruntime)"
    )
    parser.add_argument("--extractor_precision", choices=PRECISIONS, default=PRECISIONS[0], help="(fp32)")
    parser.add_argument("--tfhub_module", metavar="HANDLE", help="the feature vector (the embedded one)")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    for name in ("images", "rounds"):
        if getattr(args, name) < 2:
            raise UsageError(f"--{name}: got {getattr(args, name)}, expected 2 or more")

    if args.views < 0:
        raise UsageError(f"--views: got {args.views}, expected 0 or more")

    check_output_flags(args)

    from legoclf.benchmarks.device.conditions import Watch
    from legoclf.benchmarks.device.result import Result
    from legoclf.benchmarks.extraction import measure
    from legoclf.retrain.feature_vector import load_feature_vector
    from legoclf.user_cache import default_cache_dir

    vector = load_feature_vector(args.tfhub_module, cache_dir=Path(default_cache_dir()))
    precision = args.extractor_precision
    with Watch(args.command_line) as watch:
        measured = measure(
            vector, args.image_dir, args.images, args.rounds, args.views, args.extractor, precision
        )
    emit(Result("extraction", watch.header(), *measured), args)
    return 0
