"""Pack a bundle and the runtime into one file that runs where nothing is installed but Python and NumPy.

    legoclf bundle pack [BUNDLE] [--output brick.pyz]
    python3 brick.pyz                          on the device: what is inside, and the commands
    python3 brick.pyz camera --source csi://0
    python3 brick.pyz build-engine --fp16

The commands that run on a device are in it; one that is given no BUNDLE takes the one inside, whatever
LEGOCLF_BUNDLE says. At the first start the bundle is unpacked below ~/.cache/legoclf (LEGOCLF_CACHE_DIR names
another place); engines are built there, on the device, and found again at the next start. What the commands
need beyond NumPy (TensorRT or ONNX Runtime, GStreamer or OpenCV) is JetPack's.

The same bundle and the same legoclf give the same bytes.
"""

import argparse
import json
import os
import sys

from legoclf.bundle import Bundle, find_bundle

DEFAULT_PYTHON = "/usr/bin/env python3"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf bundle pack`."""
    parser.add_argument("bundle", nargs="?", help="the bundle; may be left out where there is one here")
    parser.add_argument("--output", metavar="FILE", help="the file to write (the bundle's name with .pyz)")
    parser.add_argument(
        "--python",
        default=DEFAULT_PYTHON,
        metavar="COMMAND",
        help="runs the file where it is called as a program ({})".format(DEFAULT_PYTHON),
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Pack, and tell how to run it.

    Raises:
        LegoclfError: there is no such bundle, something else stands at --output, or it cannot be written.
    """
    from legoclf.jetson.pack.make import pack

    bundle = Bundle.open(find_bundle(args.bundle))
    packed = pack(bundle, args.output or default_output(bundle.path), args.python)
    if args.json:
        record = {"bundle": bundle.path, "labels": len(bundle.labels), **packed._asdict()}
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(
            "{path}: {size:.1f} MB: {bundle} with {labels} labels, and legoclf in {modules} modules\n"
            "on the device: python3 {name} camera\n".format(
                path=packed.path,
                size=packed.size / 1e6,
                bundle=os.path.basename(os.path.realpath(bundle.path)),
                labels=len(bundle.labels),
                modules=packed.modules,
                name=os.path.basename(packed.path),
            )
        )
    return 0


def default_output(bundle_path: str) -> str:
    """The bundle's name, in the working folder, with .pyz for .bundle."""
    name = os.path.basename(os.path.realpath(bundle_path))
    return (name[: -len(".bundle")] if name.endswith(".bundle") else name) + ".pyz"
