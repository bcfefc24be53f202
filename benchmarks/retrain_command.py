"""`legoclf retrain` against what TF-Hub's retrain.py does with distortions on.

    legoclf benchmark retrain --image_dir ~/lego_bricks

With a distortion on, retrain.py passes every image of every batch through the network anew: 400 000 passes
at its 4000 steps of 100. Here that is done in TensorFlow for a minute, image by image as in the original and
once more in batches, and extrapolated; the same steps are then run by `legoclf retrain`, start to finish with
nothing cached. Accuracies are compared by cross-validation, paired over the same images.
"""

import argparse
import json
import sys
from pathlib import Path

from legoclf.errors import UsageError
from legoclf.retrain.heads import SgdSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf benchmark retrain`."""
    add = parser.add_argument
    add("--image_dir", type=Path, required=True, help="folder with a folder of images for each class")
    add("--seconds", type=float, default=60.0, help="that each reading of retrain.py is measured (60)")
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
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    for name, least in (("seconds", 1), ("steps", 1), ("accuracy_views", 0)):
        if getattr(args, name) < least:
            raise UsageError(f"--{name}: got {getattr(args, name)}, expected {least} or more")

    from legoclf.benchmarks.retraining import measure

    result = measure(args.image_dir, args.seconds, args.steps, args.accuracy_views, args.tfhub_module)
    if args.json:
        sys.stdout.write(json.dumps(result.as_json(), indent=2) + "\n")
    else:
        sys.stdout.write(result.as_text())
    return 0
