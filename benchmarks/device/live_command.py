"""Rate of the live loop against the bare session on this machine: frames from memory, no window.

    legoclf benchmark live [BUNDLE] [--backend tensorrt] [--source URI]

The bare session runs on one tensor that lies ready. The loop reads 640x480 frames, prepares each, keeps the
order and smooths the answers. Both run in turns within one process, so that a noisy machine slows them
alike: the ratio holds where the rates drift.
"""

import argparse
import json
import sys

from legoclf.errors import UsageError

DEFAULT_SOURCE = "synthetic://?width=640&height=480&fps=0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf benchmark live`."""
    parser.add_argument("bundle", nargs="?", help="the bundle; may be left out where there is one here")
    parser.add_argument(
        "--backend",
        choices=("auto", "tensorrt", "onnxruntime"),
        default="auto",
        help="TensorRT where an engine fits, else ONNX Runtime (auto)",
    )
    parser.add_argument(
        "--source",
        default=DEFAULT_SOURCE,
        help="one that is faster than the model ({})".format(DEFAULT_SOURCE),
    )
    parser.add_argument("--frames", type=int, default=100, help="in a turn (100)")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each; the median counts (15)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    for name in ("frames", "rounds"):
        if getattr(args, name) < 2:
            raise UsageError("--{}: got {}, expected 2 or more".format(name, getattr(args, name)))
    from legoclf.benchmarks.live import measure
    from legoclf.bundle import Bundle, find_bundle

    bundle = Bundle.open(find_bundle(args.bundle))
    result = measure(bundle, args.backend, args.source, args.frames, args.rounds)
    if args.json:
        sys.stdout.write(json.dumps(result.as_json(), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(result.as_text())
    return 0
