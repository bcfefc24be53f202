"""Training stage by stage, and against retrain.py, Keras, scikit-learn and timm, on your images.

    legoclf benchmark training --image_dir ~/lego_bricks [--epochs 10] [--rounds 6] [--short]

Each stage of `legoclf retrain` before the head (decode, preprocess, augment, extract) alone, on one thread
and on all cores; extraction against the bare network; then photos to head with all four distortions and
nothing cached, in turns with the others, so that a noisy machine slows them alike. All learn from the same
images and are tested on the same ones. What takes longer than --seconds is extrapolated from its rate, and
says so. Others that are not installed are left out, and told.
"""

import argparse
from pathlib import Path

from legoclf.benchmarks.device.emit import add_output_flags, check_output_flags, emit
from legoclf.errors import UsageError
from legoclf.retrain.heads import SgdSettings
from legoclf.retrain.settings import DEFAULT_CACHE_VIEWS

#: What a flag is where it is left out, and with --short.
_LONG = {
    "images": 800,
    "stage_images": 24,
    "seconds": 24.0,
    "epochs": 10,
    "steps": SgdSettings.how_many_training_steps,
    "views": DEFAULT_CACHE_VIEWS,
}
_SHORT = {"images": 40, "stage_images": 4, "seconds": 1.0, "epochs": 2, "steps": 300, "views": 1}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf benchmark training`."""
    add = parser.add_argument
    add("--image_dir", type=Path, required=True, help="folder with a folder of images for each class")
    helps = {
        "images": "of it, at most, the same share of each class",
        "stage_images": "that each stage and the bare extractor are measured on, at most",
        "seconds": "that retrain.py, Keras and timm are measured, each, all turns together",
        "epochs": "of Keras' fit",
        "steps": "of retrain.py's SGD, for its accuracy",
        "views": "augmented, of each training image",
    }
    for name, told in helps.items():
        add(f"--{name}", type=type(_LONG[name]), help=f"{told} ({_LONG[name]:g}; short: {_SHORT[name]:g})")
    add("--rounds", type=int, default=6, help="turns of each; 6 or more for intervals (6)")
    add("--tfhub_module", metavar="HANDLE", help="the feature vector of all (the embedded one)")
    add("--timm_checkpoint", type=Path, metavar="FILE", help="weights of timm's mobilenetv2_100")
    add("--short", action="store_true", help="few images, few steps: wide intervals, no accuracy to speak of")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    for name, value in (_SHORT if args.short else _LONG).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    least = {"images": 2, "stage_images": 1, "epochs": 1, "rounds": 1, "seconds": 1, "steps": 1, "views": 0}
    for name, value in least.items():
        if getattr(args, name) < value:
            raise UsageError(f"--{name}: got {getattr(args, name)}, expected {value} or more")
    if args.timm_checkpoint is not None and not args.timm_checkpoint.is_file():
        raise UsageError(f"--timm_checkpoint: {args.timm_checkpoint}: no such file")
    check_output_flags(args)

    from legoclf.benchmarks.device.conditions import Watch
    from legoclf.benchmarks.device.result import Result
    from legoclf.benchmarks.training import Extent, measure
    from legoclf.retrain.feature_vector import load_feature_vector
    from legoclf.user_cache import default_cache_dir

    vector = load_feature_vector(args.tfhub_module, cache_dir=Path(default_cache_dir()))
    extent = Extent(**{name: getattr(args, name) for name in least})
    with Watch(args.command_line) as watch:
        measured = measure(vector, args.image_dir, extent, args.timm_checkpoint)
    emit(Result("training", watch.header(), *measured), args)
    return 0
