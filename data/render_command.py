"""Render a data set of bricks from real part geometry, one class folder per part.

Parts lie at rest in poses they can settle in, seen, lit and coloured at random, on random grounds. The part
shapes are from the LDraw Parts Library (CC BY 4.0); about 100 come with the package, --ldraw takes any other
from your own copy of the library. The same seed gives the same pixels. A run that was stopped continues when
the same command is given again; a larger --count or more --parts add to what is there.

  legoclf data render bricks
  legoclf data render bricks --parts "3001,3003,Plate 2 x 4" --count 200 --size 160
  legoclf data render --list
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

from legoclf.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``legoclf data render``."""
    from legoclf.data.part_library import DEFAULT_PARTS
    from legoclf.data.render import DEFAULT_COUNT, DEFAULT_SIZE, FORMATS

    parser.add_argument(
        "out", nargs="?", type=Path, metavar="OUT", help="the data set's folder, new or continued"
    )
    parser.add_argument(
        "--parts",
        default=",".join(DEFAULT_PARTS),
        help="comma list of LDraw ids or names, or 'all' (default: %(default)s)",
    )
    parser.add_argument(
        "--count", type=int, default=DEFAULT_COUNT, help="images per part (default: %(default)s)"
    )
    parser.add_argument(
        "--size", type=int, default=DEFAULT_SIZE, help="width and height in pixels (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all chance (default: %(default)s)")
    parser.add_argument(
        "--ldraw",
        type=Path,
        metavar="DIR",
        help="take the parts from this LDraw library, not the embedded ones",
    )
    parser.add_argument(
        "--colours",
        "--colors",
        metavar="LIST",
        help="comma list of LDraw colour names, codes or #rrggbb (default: the common solid colours)",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default=FORMATS[0], help="of the image files (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--list", action="store_true", help="list the parts there are, and stop")
    parser.add_argument("--json", action="store_true", help="print the outcome as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Carry out ``legoclf data render``; returns the exit code."""
    if args.list:
        _print_parts(args.ldraw, args.json)
        return 0
    if args.out is None:
        raise UsageError("the folder to render into is missing: legoclf data render OUT")
    from legoclf.data.render import render_dataset

    try:
        report = render_dataset(
            args.out,
            parts=args.parts,
            count=args.count,
            size=args.size,
            seed=args.seed,
            ldraw=args.ldraw,
            colours=args.colours,
            image_format=args.format,
            jobs=args.jobs,
        )
    except KeyboardInterrupt:
        sys.stderr.write(f"stopped; what is finished is in {args.out}, and the same command continues\n")
        raise
    if args.json:
        outcome = {**report._asdict(), "folder": str(report.folder), "seconds": round(report.seconds, 3)}
        sys.stdout.write(json.dumps(outcome) + "\n")
        return 0
    kept = f", {report.kept} were there" if report.kept else ""
    rate = f" ({report.rendered / report.seconds:.1f} images/s)" if report.rendered else ""
    sys.stdout.write(
        f"{report.rendered} images of {len(report.classes)} parts rendered into {report.folder}{kept}{rate}\n"
        f"next: legoclf retrain --image_dir {shlex.quote(str(report.folder))}\n"
    )
    return 0


def _print_parts(ldraw: Path | None, as_json: bool) -> None:
    from legoclf.data.part_library import open_parts

    parts = open_parts(ldraw).parts()
    if as_json:
        sys.stdout.write(json.dumps([part._asdict() for part in parts]) + "\n")
        return
    for part in parts:
        sys.stdout.write(f"{part.part_id:8} {part.name}\n")
