"""Make every graph that a device may want, on the training machine.

    legoclf convert [BUNDLE] [--image_dir DIR] [--int8] [--jetson_inference] [--target jetpack4]
    legoclf convert --from MODEL --labels FILE --input_range 0..1 [--bundle OUT.bundle]

Adds model.fp16.onnx to a bundle, FP16 in weights and compute, FP32 where measurement on images asks for it;
with --int8 model.int8.onnx, calibrated on the training images of --image_dir; with --jetson_inference a
flavour for NVIDIA's jetson-inference. --target tells whether a device's TensorRT takes the graphs, before
anything is carried there. --from makes a bundle of a classifier that legoclf did not train: a SavedModel, a
Keras file or a frozen graph.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legoclf.bundle import FP16_MODEL, ONNX_MODEL, Bundle, find_bundle
from legoclf.contract import GEOMETRIES, RESAMPLES
from legoclf.errors import UsageError

if TYPE_CHECKING:
    from onnx import ModelProto

    from legoclf.convert.artefacts import Artefact

_TARGETS = ("jetpack4", "jetpack5", "jetpack6", "jetpack7", "rtx")
_INPUT_RANGES = ("0..1", "-1..1", "0..255", "imagenet", "caffe")
_INT8_METHODS = ("percentile", "entropy")
_FOREIGN_FLAGS = (
    "labels", "bundle", "input_range", "output", "input_size", "geometry", "resample", "input_tensor",
    "output_tensor",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf convert`."""
    add = parser.add_argument
    add("given_bundle", nargs="?", metavar="BUNDLE", help="may be left out where there is one here")
    add("--image_dir", help="the data set: FP16 is planned and INT8 calibrated on its training images")
    add(
        "--batch",
        type=_batch,
        help="1: graphs of one image; dynamic:MAX: of any number, engines for up to MAX (as they are)",
    )
    add(
        "--int8",
        nargs="?",
        const=_INT8_METHODS[0],
        choices=_INT8_METHODS,
        help=f"make model.int8.onnx, for Orin-class devices; how it is calibrated ({_INT8_METHODS[0]})",
    )
    add("--jetson_inference", action="store_true", help="make model.jetson-inference.onnx")
    add("--target", choices=_TARGETS, action="append", help="tell whether that device takes the graphs")
    add("--json", action="store_true", help="print one JSON object")
    foreign = parser.add_argument_group("a classifier of other making").add_argument
    foreign("--from", dest="source", metavar="MODEL", help="SavedModel, Keras file or frozen graph (.pb)")
    foreign("--labels", help="its class names, one a line, in the order of its outputs")
    foreign("--bundle", type=Path, help="the bundle to write (<name of MODEL>.bundle in the working folder)")
    foreign(
        "--input_range", choices=_INPUT_RANGES, help="the pixel values it was trained on: --input_range=-1..1"
    )
    foreign("--output", choices=("logits", "probabilities"), help="what it gives, where it does not show")
    foreign("--input_size", help="pixels, as 224 or 192x160 (height x width), where it leaves them free")
    foreign("--geometry", choices=GEOMETRIES, help=f"how an image fits its input ({GEOMETRIES[0]})")
    foreign("--resample", choices=RESAMPLES, help=f"how an image is resized ({RESAMPLES[0]})")
    foreign("--input_tensor", help="of a frozen graph, where it is not plain to see")
    foreign("--output_tensor", help="the output to take, where it is not plain to see")


def run(args: argparse.Namespace) -> int:
    """Make the graphs, add them to the bundle, tell of them; 1 if a target does not take one."""
    _check(args)
    import onnx

    from legoclf.bundle_update import add_files

    bundle = _foreign(args) if args.source else Bundle.open(find_bundle(args.given_bundle))
    made = _artefacts(args, bundle, onnx.load(bundle.file(ONNX_MODEL)))
    metrics = {"conversion": {each.name: each.record for each in made}}
    provenance: dict[str, Any] = {}
    if args.batch is not None:
        provenance["batch"] = {"most": args.batch[1], "dynamic": args.batch[0] is None}
    bundle = add_files(bundle, {each.name: each.data for each in made}, metrics, provenance)
    findings = _lint(args.target or [], bundle)
    if args.json:
        record = {
            "bundle": bundle.path,
            "artefacts": [
                {"name": each.name, "bytes": len(each.data), "seconds": round(each.seconds, 2), **each.record}
                for each in made
            ],
            "targets": {name: [vars(each) for each in found] for name, (found, _, _) in findings.items()},
        }
        sys.stdout.write(json.dumps(record, ensure_ascii=False, indent=2) + "\n")
    else:
        sys.stdout.write(_as_text(bundle, made, [text for _, text, _ in findings.values()]))
    return 1 if any(found for found, _, needed in findings.values() if needed) else 0


def _batch(text: str) -> tuple[int | None, int]:
    """``1`` or ``dynamic:MAX``: the graphs' own batch (None: free), and the most an engine will be given."""
    word, _, most = text.partition(":")
    if text == "1":
        return 1, 1
    if word == "dynamic" and most.isdecimal() and int(most):
        return None, int(most)
    raise argparse.ArgumentTypeError(f"got {text!r}, expected 1 or dynamic:MAX, such as dynamic:8")


def _check(args: argparse.Namespace) -> None:
    if not args.source:
        given = [name for name in _FOREIGN_FLAGS if getattr(args, name) is not None]
        if given:
            raise UsageError(f"--{given[0]} tells of a classifier of other making: name it by --from")
    elif args.given_bundle:
        raise UsageError("--from makes a bundle of its own: name the one to write by --bundle")
    else:
        for name in ("labels", "input_range"):
            if getattr(args, name) is None:
                raise UsageError(f"--from needs --{name}: a model does not tell it")
    if args.int8 and not args.image_dir:
        raise UsageError("--int8 is calibrated on training images: name the data set by --image_dir")


def _foreign(args: argparse.Namespace) -> Bundle:
    from legoclf.convert.foreign import load_foreign, parse_size, read_label_file
    from legoclf.convert.foreign_bundle import write_foreign_bundle
    from legoclf.convert.training_images import read_some

    source = Path(args.source)
    path = args.bundle or Path(f"{source.resolve().stem}.bundle")
    foreign = load_foreign(
        source,
        read_label_file(args.labels),
        input_range=args.input_range,
        output=args.output,
        input_size=None if args.input_size is None else parse_size(args.input_size),
        geometry=args.geometry or GEOMETRIES[0],
        resample=args.resample or RESAMPLES[0],
        input_tensor=args.input_tensor,
        output_tensor=args.output_tensor,
    )
    images = read_some(args.image_dir, 4) if args.image_dir else []
    return write_foreign_bundle(path, foreign, images, args.command_line)


def _artefacts(args: argparse.Namespace, bundle: Bundle, model: ModelProto) -> list[Artefact]:
    from legoclf.convert import artefacts
    from legoclf.convert.training_images import training_tensors

    made = []
    if args.batch is not None:
        made.append(artefacts.with_batch_size(model, args.batch[0]))
        model = made[0].model
    count = artefacts.CALIBRATION_IMAGES if args.int8 else artefacts.PLAN_IMAGES
    tensors = training_tensors(bundle, args.image_dir, count)
    few = tensors[:: max(1, len(tensors) // artefacts.PLAN_IMAGES)][: artefacts.PLAN_IMAGES]
    made.append(artefacts.fp16_artefact(model, few))
    if args.int8:
        made.append(artefacts.int8_artefact(model, tensors, few, args.int8))
    if args.jetson_inference:
        made.append(artefacts.jetson_inference_artefact(model))
    return made


def _lint(targets: list[str], bundle: Bundle) -> dict[str, tuple[list[Any], str, bool]]:
    """For each target and graph of the bundle: findings, how to tell them, whether it needs that graph."""
    import onnx

    from legoclf.convert.lint import lint, report
    from legoclf.convert.targets import find_target

    names = sorted(name for name in bundle.files if targets and name.endswith(".onnx"))
    models = {name: onnx.load(bundle.file(name)) for name in names}
    found = {}
    for target in targets:
        for name, model in models.items():
            findings = lint(model, target)
            # Where the builder has a flag for FP16, it builds that from model.onnx.
            needed = name != FP16_MODEL or find_target(target).strongly_typed
            text = f"{name} on {report(findings, target)}"
            if findings and not needed:
                text += f"  not needed there: FP16 is built from {ONNX_MODEL}\n"
            found[f"{target}: {name}"] = findings, text, needed
    return found


def _as_text(bundle: Bundle, made: list[Artefact], reports: list[str]) -> str:
    lines = [f"{'file':<30} {'MB':>6} {'seconds':>8}"]
    for each in made:
        lines.append(f"{each.name:<30} {len(each.data) / 1e6:>6.1f} {each.seconds:>8.1f}")
        lines += [f"  {line}" for line in each.lines]
    lines += [text.rstrip("\n") for text in reports]
    lines.append(f"bundle: {bundle.path}")
    lines.append(f"next: legoclf verify {bundle.path}, and on the device legoclf build-engine")
    return "\n".join(lines) + "\n"
