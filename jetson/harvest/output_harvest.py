"""An output of the live loop that keeps frames worth a label, with what the model thought of them."""

import argparse
import math
import os
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np

from legoclf.bundle import ONNX_MODEL, Bundle
from legoclf.errors import LegoclfError, UsageError, check_range
from legoclf.image import decode_reduced
from legoclf.jetson.frame import to_bgr, wall_time
from legoclf.jetson.harvest.clock import frame_time_s
from legoclf.jetson.harvest.doubt import CropOf, Doubt, Judge
from legoclf.jetson.harvest.files import read_plain
from legoclf.jetson.harvest.folder import MOST_IMAGE_BYTES, HarvestFolder
from legoclf.jetson.harvest.names import Groups, stem_of
from legoclf.jetson.harvest.pictures import LEAST_SIDE, Recent, fingerprint, reduce_picture
from legoclf.jetson.jpeg import encode_jpeg
from legoclf.jetson.output import Output
from legoclf.jetson.result import Result, capture_time
from legoclf.novelty import json_novelty

#: A picture is compared with so many of those kept last; so many are read of those that were there.
COMPARED = 200
READ_AT_START = 50

#: After a near-duplicate the next look comes after this share of the interval: looking costs time too.
_DUPLICATE_SHARE = 0.25


class HarvestOptions(NamedTuple):
    """What is kept.

    cap_mb: what all kept pictures may take, in MB of 1000000 bytes.
    below: a likeliest label less probable than this is uncertain, 0 to 1.
    every_s: at most one picture in so many seconds.
    """

    cap_mb: float = 500.0
    below: float = 0.6
    every_s: float = 1.0


class HarvestOutput(Output):
    """Keeps what the classifier saw of frames that are unknown, flickering or uncertain.

    Args:
        root: the folder.
        about: the record's ``bundle``: which model it was.
        frame_time_s: seconds from frame to frame of what is read faster, or slower, than it was taken; None
            for a camera, of which frames are passed over where the disk is slow.
        crop_of: what the classifier sees of an object, where objects are located.
    """

    needs_frame = True
    capacity = 4

    def __init__(
        self,
        root: str,
        options: HarvestOptions,
        about: Dict[str, Any],
        frame_time_s: Optional[float] = None,
        crop_of: Optional[CropOf] = None,
    ) -> None:
        self.name = "harvest"
        self.keeps_all = frame_time_s is not None
        self._folder = HarvestFolder(root, int(options.cap_mb * 1e6))
        self._options = options
        self._about = about
        self._frame_time_s = frame_time_s
        self._judge = Judge(options.below, crop_of)
        self._groups = Groups()
        self._group = ""
        self._number = 0
        self._recent: Optional[Recent] = None
        self._next_at = -math.inf

    def __enter__(self) -> "HarvestOutput":
        self._folder.__enter__()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._folder.__exit__(kind, error, trace)

    def write(self, result: Result) -> None:
        at_s = result.captured_at
        if self._frame_time_s is not None:
            at_s = result.sequence * self._frame_time_s
        doubt = self._judge.doubt(result, at_s)
        if doubt is None or at_s < self._next_at:
            return
        assert result.frame is not None
        picture = to_bgr(result.frame)
        if doubt.region is not None:
            x, y, width, height = doubt.region
            picture = np.ascontiguousarray(picture[y : y + height, x : x + width])
        seen = fingerprint(reduce_picture(picture))
        recent = self._recent_pictures()
        is_near = recent.has_near(seen)
        # Before the disk is asked: one that is full is not asked for each frame either.
        self._next_at = at_s + self._options.every_s * (_DUPLICATE_SHARE if is_near else 1.0)
        if is_near:
            return
        self._folder.add(self._stem(result, at_s), encode_jpeg(picture), self._record(result, doubt))
        recent.add(seen)

    def _stem(self, result: Result, at_s: float) -> str:
        group = self._groups.at(at_s, wall_time(result.captured_at))
        self._number = self._number + 1 if group == self._group else 0
        self._group = group
        return stem_of(group, self._number)

    def _record(self, result: Result, doubt: Doubt) -> Dict[str, Any]:
        assert result.frame is not None
        record: Dict[str, Any] = {
            "time": capture_time(result),
            "reason": doubt.reason,
            "amount": round(min(max(doubt.amount, 0.0), 1.0), 6),
            "label": doubt.label,
            "probability": round(min(max(doubt.probability, 0.0), 1.0), 6),
            "top": [{"label": label, "probability": round(value, 6)} for label, value in result.top],
            "smoothed": [round(float(value), 6) for value in result.smoothed],
            "bundle": self._about,
            "roi": None if doubt.region is None else [int(side) for side in doubt.region],
            "frame": {"width": result.frame.width, "height": result.frame.height},
        }
        if result.novelty is not None:
            record["novelty"] = json_novelty(result.novelty)
        return record

    def _recent_pictures(self) -> Recent:
        """Read at the first picture, by the output's own thread: the loop does not wait for the disk."""
        if self._recent is None:
            self._recent = Recent(COMPARED)
            for stem in self._folder.newest(READ_AT_START):
                data = read_plain(self._folder.root, stem + ".jpg", MOST_IMAGE_BYTES)
                try:
                    rgb = decode_reduced(data or b"", stem, LEAST_SIDE, LEAST_SIDE)
                except LegoclfError:  # damaged: then it is compared with nothing
                    continue
                self._recent.add(fingerprint(reduce_picture(rgb[:, :, ::-1])))
        return self._recent


def add_harvest_flags(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf camera`; their defaults are the options' own."""
    defaults = HarvestOptions()
    parser.add_argument(
        "--harvest",
        metavar="DIR",
        help="keep frames that are unknown, uncertain or flickering in DIR, to be labelled and trained on",
    )
    for name, metavar, meaning in (
        ("cap_mb", "MB", "what DIR may take; then the surest of the older half goes"),
        ("below", "P", "a likeliest label less probable than this is uncertain"),
        ("every_s", "S", "one picture in so long at most"),
    ):
        parser.add_argument(
            "--harvest_" + name.replace("cap_", ""),
            type=float,
            metavar=metavar,
            help="with --harvest: {} ({:g})".format(meaning, getattr(defaults, name)),
        )


def harvest_outputs(args: argparse.Namespace, bundle: Bundle, uri: str) -> List[Output]:
    """The output that the flags ask for; none without --harvest.

    Raises:
        UsageError: a flag is outside its range, or stands there without --harvest.
    """
    given = {
        field: getattr(args, flag)
        for flag, field in (
            ("harvest_mb", "cap_mb"),
            ("harvest_below", "below"),
            ("harvest_every_s", "every_s"),
        )
        if getattr(args, flag) is not None
    }
    if args.harvest is None:
        if given:
            raise UsageError("--harvest_...: tells of what --harvest keeps: give --harvest DIR too")
        return []
    options = HarvestOptions()._replace(**given)
    check_range("--harvest_mb", options.cap_mb, 1, 1e6)
    check_range("--harvest_below", options.below, 0, 1)
    check_range("--harvest_every_s", options.every_s, 0, 86400)
    return [HarvestOutput(args.harvest, options, _about(bundle), frame_time_s(uri), _crop_of(args, bundle))]


def _about(bundle: Bundle) -> Dict[str, Any]:
    record = bundle.files.get(ONNX_MODEL)
    name = os.path.basename(os.path.abspath(bundle.path))
    return {"name": name, "sha256": None if record is None else record.sha256}


def _crop_of(args: argparse.Namespace, bundle: Bundle) -> Optional[CropOf]:
    if args.locate is None:
        return None
    from legoclf.jetson.locate import Box, crop_around
    from legoclf.jetson.locate_flags import locator_options

    margin = locator_options(args).margin_share
    aspect = bundle.contract.width / bundle.contract.height

    def crop(box: Any, height: int, width: int) -> Any:
        return crop_around(Box(*(int(side) for side in box)), height, width, aspect, margin)

    return crop
