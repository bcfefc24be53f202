"""Prove that a bundle's graphs say the same.

    legoclf verify [BUNDLE] [--image_dir DIR]

Golden images go through the preprocessing of this machine and through every graph of the bundle: the frozen
graph and the SavedModel in TensorFlow, the ONNX graphs in ONNX Runtime (FP16 with its range and rounding
emulated), the engines in TensorRT where it and their GPU are. With --image_dir they also run on the test
images of that data set, split as it was for the training, and their accuracy is told. All are compared with
model.onnx; where the bundle has a rule for what is unknown to it, an image that is so to one graph alone
counts as another top-1.

A figure beyond its bound makes the exit code 1; then the layer is named at which the graph parts from
model.onnx. A share is judged in whole images: one may always change, unless the bound allows none. The
result is kept in model.json, under metrics.verification.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from legoclf.bundle import Bundle, find_bundle

if TYPE_CHECKING:
    from legoclf.convert.explain import Explanation
    from legoclf.convert.verify import Verification
    from legoclf.convert.verify_gates import Limits
    from legoclf.convert.verify_images import HeldOutImages

_LIMITS = {
    "max_probability_difference": "largest difference of one probability",
    "max_novelty_difference": "largest difference of the novelty; of one beyond 1, as a share of it",
    "min_same_top1": "share of the images with the same top-1",
    "max_accuracy_drop": "loss of accuracy on held-out images, 0.01 is a point",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf verify`."""
    from legoclf.convert.verify_gates import Limits

    parser.add_argument("bundle", nargs="?", help="the bundle; may be left out where there is one here")
    parser.add_argument("--image_dir", help="the data set that the bundle was trained on")
    parser.add_argument("--split", choices=("test", "all"), default="test", help="which images of it (test)")
    for name, meaning in _LIMITS.items():
        defaults = getattr(Limits(), name).items()
        shown = ", ".join(f"{precision}={value:g}" for precision, value in defaults if value <= 1)
        parser.add_argument(
            f"--{name}",
            metavar="NUMBER",
            help=f"{meaning}, of all precisions or of some, as fp16=0.01,int8=0.02 ({shown})",
        )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="show the error of each layer: of the graphs that fail, or of all where none does",
    )
    parser.add_argument("--no_store", action="store_true", help="leave model.json as it is")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Compare, print and store; 1 if a figure is beyond its bound."""
    from legoclf.bundle_update import update_metrics
    from legoclf.convert.verify import verify
    from legoclf.convert.verify_images import held_out_images
    from legoclf.convert.verify_report import as_json, as_text, stored_record
    from legoclf.errors import LegoclfError

    limits = _limits(args)
    bundle = Bundle.open(find_bundle(args.bundle))
    held_out = None if args.image_dir is None else held_out_images(bundle, args.image_dir, args.split)
    result = verify(bundle, held_out, limits)
    explanations = _explanations(bundle, result, args.explain)
    notes = _notes(held_out)
    if args.json:
        record = as_json(bundle, result, explanations, notes)
        sys.stdout.write(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        sys.stdout.write(as_text(result, explanations, notes, with_layers=args.explain))
    if not args.no_store:
        try:
            update_metrics(bundle, {"verification": stored_record(bundle, result)})
        except LegoclfError as error:
            raise LegoclfError(f"the result is not stored: {error}; --no_store does without") from error
    return 0 if result.passed else 1


def _limits(args: argparse.Namespace) -> Limits:
    from legoclf.convert.verify_gates import Limits, parse_limit

    defaults = Limits()
    given = {name: getattr(args, name) for name in _LIMITS if getattr(args, name) is not None}
    return Limits(**{name: parse_limit(name, text, getattr(defaults, name)) for name, text in given.items()})


def _explanations(bundle: Bundle, result: Verification, asked: bool) -> list[Explanation]:
    """Of the graphs that failed; of all, where that was asked for and none failed."""
    from legoclf.convert.explain import explain

    # On the last set of images: the held-out ones, where there are any.
    comparisons = list(result.sets.values())[-1]
    failed = result.failed_files()
    if not failed and not asked:
        return []
    chosen = [
        comparison
        for comparison in comparisons
        if not comparison.path.is_reference and (comparison.path.file in failed or not failed)
    ]
    return [found for comparison in chosen if (found := explain(bundle, comparison)) is not None]


def _notes(held_out: HeldOutImages | None) -> list[str]:
    if held_out is None:
        return []
    return [*held_out.notes, *(f"skipped: {error}" for error in held_out.skipped)]
