"""Look a folder of photos over before training: classes, split, and images that cannot be used.

    legoclf data check IMAGE_DIR

IMAGE_DIR holds one folder for each class, or train/, val/ and test/ with the class folders inside. Every
image is decoded in full. Images that cannot be used are named with the reason; training skips them. Nothing
in the folder is changed.
"""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from legoclf.split import (
    DEFAULT_TESTING_PERCENTAGE,
    DEFAULT_VALIDATION_PERCENTAGE,
    RELATIVE,
    SPLIT_HASHES,
    SPLITS,
)

if TYPE_CHECKING:
    from legoclf.data.dataset import DataSet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf data check`."""
    parser.add_argument("image_dir", metavar="IMAGE_DIR", help="folder with one folder for each class")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--strict", action="store_true", help="exit code 1 if an image cannot be used")
    parser.add_argument(
        "--testing_percentage",
        type=float,
        default=DEFAULT_TESTING_PERCENTAGE,
        help="part of each class to test on (default %(default)s)",
    )
    parser.add_argument(
        "--validation_percentage",
        type=float,
        default=DEFAULT_VALIDATION_PERCENTAGE,
        help="part of each class to validate on (default %(default)s)",
    )
    parser.add_argument(
        "--split_hash",
        choices=SPLIT_HASHES,
        default=RELATIVE,
        help="path that decides the split: relative to IMAGE_DIR, or fullpath as in retrain.py",
    )
    parser.add_argument(
        "--lowercase_labels", action="store_true", help="labels as in retrain.py: lower case a-z and 0-9"
    )


def run(args: argparse.Namespace) -> int:
    """Print what is in the folder; 1 if `--strict` and an image cannot be used."""
    from legoclf.data.folder import check_data_set, scan_folder
    from legoclf.data.layout import AS_WRITTEN, LOWERCASE

    data = check_data_set(
        scan_folder(
            args.image_dir,
            labels=LOWERCASE if args.lowercase_labels else AS_WRITTEN,
            split_hash=args.split_hash,
            testing_percentage=args.testing_percentage,
            validation_percentage=args.validation_percentage,
        )
    )
    _write(json.dumps(_as_json(data), indent=2) if args.json else _as_text(data))
    return 1 if args.strict and data.rejected else 0


def _as_text(data: "DataSet") -> str:
    rows = [["class", "images", *SPLITS]]
    for label, counts in data.counts().items():
        rows.append([label, str(sum(counts.values())), *(str(counts[split]) for split in SPLITS)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    lines += ["", data.summary()]
    lines += [f"warning: {warning}" for warning in data.warnings]
    lines += [f"skipped: {failure.path}: {failure.reason}" for failure in data.rejected]
    return "\n".join(lines)


def _as_json(data: "DataSet") -> dict[str, Any]:
    return {
        "image_dir": data.root,
        "fingerprint": data.fingerprint,
        "classes": [
            {"label": label, "images": sum(counts.values()), **counts}
            for label, counts in data.counts().items()
        ],
        "warnings": data.warnings,
        "rejected": [failure._asdict() for failure in data.rejected],
    }


def _write(text: str) -> None:
    """Print, with \\x escapes for the letters of a file name that the terminal cannot show."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
