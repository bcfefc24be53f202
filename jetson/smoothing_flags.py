"""The flags of `legoclf camera` for smoothing: each feeds one option."""

import argparse
from typing import Optional

from legoclf.jetson.smoothing import SmoothingOptions

_DEFAULTS = SmoothingOptions()


def add_smoothing_flags(parser: argparse.ArgumentParser) -> None:
    """Define the flags; their defaults are the options' own."""
    parser.add_argument(
        "--smooth_s",
        type=float,
        metavar="S",
        help="half-life of the average over time; 0 takes each frame by itself ({:g}; 0 for images)".format(
            _DEFAULTS.half_life_s
        ),
    )
    parser.add_argument(
        "--switch_margin",
        type=float,
        default=_DEFAULTS.margin,
        metavar="P",
        help="by so much another label must lead to become the answer ({:g})".format(_DEFAULTS.margin),
    )
    parser.add_argument(
        "--switch_s",
        type=float,
        default=_DEFAULTS.hold_s,
        metavar="S",
        help="for so long it must lead ({:g})".format(_DEFAULTS.hold_s),
    )
    parser.add_argument(
        "--unknown_below",
        type=float,
        default=_DEFAULTS.unknown_below,
        metavar="P",
        help="less probable than this is `unknown`; 0 always names a label ({:g})".format(
            _DEFAULTS.unknown_below
        ),
    )


def smoothing_options(args: argparse.Namespace, uri: str) -> SmoothingOptions:
    """How answers are smoothed: not over a folder's images, which have nothing to do with each other."""
    from legoclf.jetson.source_uri import parse_source

    half_life_s: Optional[float] = args.smooth_s
    if half_life_s is None:
        half_life_s = 0.0 if parse_source(uri).kind == "images" else _DEFAULTS.half_life_s
    return SmoothingOptions(half_life_s, args.switch_margin, args.switch_s, args.unknown_below)
