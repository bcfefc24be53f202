"""The flags beside `legoclf camera --locate`: each feeds one option of the search or of the tracking."""

import argparse
from typing import Any, Dict, Tuple

from legoclf.jetson.locate import LocatorOptions
from legoclf.jetson.tracking import TrackerOptions

#: Flag, field of the options, and what it means.
_LOCATOR_FLAGS = (
    ("min_area", "min_area_share", "least area of an object, as a share of the picture"),
    ("max_area", "max_area_share", "largest area of an object, as a share of the picture; a hand is larger"),
    ("max_objects", "max_objects", "most objects in one picture"),
    ("margin", "margin_share", "what is cut out around an object, as a share of its longer side"),
    ("contrast", "contrast_levels", "what an object differs from the table by, in levels of 255"),
    ("shadow", "shadow_share", "how dark a shadow may be, as a share of the table's brightness"),
)
_TRACKER_FLAGS = (
    ("min_frames", "min_frames", "pictures that must agree on an object before it is counted"),
    ("max_missed_frames", "max_missed_frames", "pictures without an object after which it has left"),
)


def add_locate_flags(parser: argparse.ArgumentParser) -> None:
    """Define the flags; their defaults are the options' own."""
    for flags, defaults in ((_LOCATOR_FLAGS, LocatorOptions()), (_TRACKER_FLAGS, TrackerOptions())):
        for flag, field, meaning in flags:
            default = getattr(defaults, field)
            parser.add_argument(
                "--" + flag,
                type=type(default),
                metavar="N" if isinstance(default, int) else "SHARE" if default <= 1 else "LEVELS",
                help="with --locate: {} ({:g})".format(meaning, default),
            )


def given_flags(args: argparse.Namespace) -> Tuple[str, ...]:
    """Those of the flags that the command line names."""
    flags = (flag for flag, _, _ in _LOCATOR_FLAGS + _TRACKER_FLAGS)
    return tuple(flag for flag in flags if getattr(args, flag) is not None)


def locator_options(args: argparse.Namespace) -> LocatorOptions:
    """What the flags ask of the search."""
    return LocatorOptions(method=args.locate)._replace(**_given(args, _LOCATOR_FLAGS))


def tracker_options(args: argparse.Namespace) -> TrackerOptions:
    """What the flags ask of the tracking."""
    return TrackerOptions(min_probability=args.unknown_below)._replace(**_given(args, _TRACKER_FLAGS))


def _given(args: argparse.Namespace, flags: Tuple[Tuple[str, str, str], ...]) -> Dict[str, Any]:
    return {field: getattr(args, flag) for flag, field, _ in flags if getattr(args, flag) is not None}
