"""Prove that a bundle's graphs say the same.

    legoclf verify [BUNDLE] [--image_dir DIR]

Golden images go through the preprocessing of this machine and through the ONNX graph; the frozen graph and
the SavedModel run in TensorFlow beside the ONNX graph in ONNX Runtime. With --image_dir they run on the test
images of that data set, split as it was for the training; without, on the golden images. A figure beyond its
bound makes the exit code 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from legoclf.bundle import Bundle, find_bundle

if TYPE_CHECKING:
    from legoclf.convert.verify import Check


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf verify`."""
    parser.add_argument("bundle", nargs="?", help="the bundle; may be left out where there is one here")
    parser.add_argument("--image_dir", help="the data set that the bundle was trained on")
    parser.add_argument("--split", choices=("test", "all"), default="test", help="which images of it (test)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Compare and print; 1 if a figure is beyond its bound."""
    from legoclf.convert.verify import golden_checks, golden_tensors, graph_checks

    bundle = Bundle.open(find_bundle(args.bundle))
    if args.image_dir is None:
        golden = golden_tensors(bundle)
        images, tensors = len(golden), iter(golden)
    else:
        paths = _paths(bundle, args.image_dir, args.split)
        images, tensors = len(paths), _tensors(bundle, paths)
    checks = [*golden_checks(bundle), *graph_checks(bundle, tensors)]
    if args.json:
        record = [{**vars(check), "passed": check.passed} for check in checks]
        sys.stdout.write(json.dumps({"images": images, "checks": record}, indent=2) + "\n")
    else:
        sys.stdout.write(_table(checks) + f"graphs compared on {images} images\n")
    return 0 if all(check.passed for check in checks) else 1


def _paths(bundle: Bundle, image_dir: str, split: str) -> list[str]:
    """The data set's images, split with the settings of the training: those of the test, or all."""
    from legoclf.data.folder import scan_folder
    from legoclf.errors import LegoclfError

    how = bundle.provenance["data_set"]
    dataset = scan_folder(
        image_dir,
        split_hash=how["split_hash"],
        testing_percentage=how["testing_percentage"],
        validation_percentage=how["validation_percentage"],
    )
    items = dataset.by_split("test") if split == "test" else dataset.images
    if not items:
        raise LegoclfError(f"{image_dir}: has no test image; use --split all")
    return [item.path for item in items]


def _tensors(bundle: Bundle, paths: list[str]) -> Iterator[Any]:
    """float32 [3, H, W] of each image, one at a time, as the contract makes it."""
    from legoclf.image import read_image
    from legoclf.preprocess import fastest_fit, preprocess

    fit = fastest_fit()
    for path in paths:
        yield preprocess(read_image(path), bundle.contract, fit)


def _table(checks: list[Check]) -> str:
    lines = [f"{'check':<44} {'measured':>10} {'bound':>8}"]
    for check in checks:
        verdict = "ok" if check.passed else "FAILED"
        lines.append(
            f"{check.name:<44} {check.measured:>10.2g} {check.bound:>8.2g} {check.unit:<14} {verdict}"
        )
    return "\n".join(lines) + "\n"
