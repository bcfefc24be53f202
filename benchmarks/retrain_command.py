"""`legoclf retrain` against what TF-Hub's retrain.py does with distortions on.

    legoclf benchmark retrain --image_dir ~/lego_bricks

With a distortion on, retrain.py passes every image of every batch through the network anew: 400 000 passes
at its 4000 steps of 100. Here that is done in TensorFlow for a minute, image by image as in the original and
once more in batches, and extrapolated; in turns with it `legoclf retrain` runs the same steps, start to
finish with nothing cached. Accuracies are compared by cross-validation, paired over the same images.
"""

import argparse
from pathlib import Path

from legoclf.benchmarks.device.emit import add_output_flags, check_output_flags, emit
from legoclf.errors import UsageError
from legoclf.retrain.heads import SgdSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf benchmark retrain`."""
    add = parser.add_argument
    add("--image_dir", type=Path, required=True, help="folder with a folder of images for each class")
    add(
        "--seconds",
        type=float,
        default=60.0,
        help="that each reading of retrain.py is measured, all turns together (60)",
    )
    steps = SgdSettings.how_many_training_steps
    add("--steps", type=int, default=steps, help=f"of training ({steps})")
    add(
        "--accuracy_views",
        type=int,
        default=16,
        metavar="N",
        help="fresh views an image that stand for retrain.py's in the accuracy; 0: no accuracies (16)",
    )
    add("--tfhub_module", metavar="HANDLE", help="the module of both (the embedded one)")
    add("--rounds", type=int, default=6, help="turns of each; 6 or more for intervals (6)")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    for name, least in (("seconds", 1), ("steps", 1), ("accuracy_views", 0), ("rounds", 1)):
        if getattr(args, name) < least:
            raise UsageError(f"--{name}: got {getattr(args, name)}, expected {least} or more")
    check_output_flags(args)

    from legoclf.benchmarks.device.conditions import Watch
    from legoclf.benchmarks.device.result import Result
    from legoclf.benchmarks.retraining import measure

    with Watch(args.command_line) as watch:
        measured = measure(
            args.image_dir, args.seconds, args.steps, args.accuracy_views, args.tfhub_module, args.rounds
        )
    emit(Result("retraining", watch.header(), *measured), args)
    return 0
