"""Fill class folders with pictures from the camera, for `legoclf retrain --image_dir DIR`.

    legoclf capture bricks --labels brick,plate,slope
    legoclf capture bricks --labels brick,plate --source csi://0 --keys
    legoclf capture bricks --label brick --every_s 1 --count 50
    legoclf capture bricks --labels brick,plate --serve

A window shows what the camera sees; where there is no display, or with --keys, the terminal's keys serve:
1 to 9 and then a to z are the labels, the space bar repeats the last one, q ends. Each key takes a burst.
With --label and --every_s a picture is taken by the clock, without keys. With --serve a page for a browser
shows what the camera sees, also on a phone, with a button for each class.

Left out are pictures that are blurred against those of the last seconds, and those that look like one that
the class has. The pictures of a burst come into one set, training, validation or test, and stay there.

DIR may have classes already: they are added to, and what is there is never changed.
"""

import argparse
import collections
import json
import logging
import sys
import threading
from contextlib import ExitStack
from typing import Any, Counter, Dict, List

from legoclf.errors import LegoclfError, UsageError, check_range, printable
from legoclf.jetson.harvest.session import CaptureOptions
from legoclf.jetson.serve.live_server import add_page_flags
from legoclf.jetson.signals import StopSignals
from legoclf.jetson.source_base import SourceOptions
from legoclf.jetson.terminal import Terminal

LOGGER = logging.getLogger(__name__)

_DEFAULTS = CaptureOptions()
_POLL_SECONDS = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf capture`."""
    parser.add_argument("dir", metavar="DIR", help="the data set's folder; made where it is missing")
    parser.add_argument("--labels", metavar="A,B,C", help="the classes; left out: those that DIR has")
    parser.add_argument("--bundle", metavar="BUNDLE", help="take the classes of this bundle")
    parser.add_argument("--label", metavar="A", help="take pictures of this class by the clock")
    parser.add_argument(
        "--every_s", type=float, default=1.0, metavar="S", help="with --label: a picture in so long (1)"
    )
    parser.add_argument("--count", type=int, metavar="N", help="with --label: end after so many were saved")
    parser.add_argument("--source", metavar="URI", help="csi://0 on a Jetson, /dev/video0 elsewhere")
    parser.add_argument("--keys", action="store_true", help="the terminal's keys, and no window")
    parser.add_argument(
        "--burst",
        type=int,
        default=_DEFAULTS.burst,
        help="pictures that one key takes ({})".format(_DEFAULTS.burst),
    )
    parser.add_argument(
        "--interval_s",
        type=float,
        default=_DEFAULTS.interval_s,
        metavar="S",
        help="from one picture of a burst to the next ({:g})".format(_DEFAULTS.interval_s),
    )
    parser.add_argument(
        "--min_sharpness",
        type=float,
        default=_DEFAULTS.min_sharpness,
        metavar="SHARE",
        help="below this share of the median sharpness of the last 3 s a picture is blurred; 0 takes all "
        "({:g})".format(_DEFAULTS.min_sharpness),
    )
    parser.add_argument("--keep_duplicates", action="store_true", help="take near-duplicates too")
    parser.add_argument(
        "--roi", metavar="X,Y,W,H", help="the part to keep, as `legoclf camera --roi` looks at it"
    )
    parser.add_argument(
        "--retry_first", action="store_true", help="wait for a camera that is not there yet, for ever"
    )
    add_page_flags(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Capture; 1 if the source ended before --count was reached, 130 after Ctrl-C.

    Raises:
        LegoclfError: a flag is wrong, something does not open, or a picture cannot be written.
    """
    stop = threading.Event()
    with StopSignals(stop) as signals:
        try:
            is_done = _run(args, stop, signals)
        except KeyboardInterrupt:
            if signals.was_interrupted:
                raise
            return 0
    if signals.was_interrupted:
        return 130
    return 0 if is_done else 1


def _run(args: argparse.Namespace, stop: threading.Event, signals: StopSignals) -> bool:
    from legoclf.jetson.camera_command import default_source
    from legoclf.jetson.harvest.class_folders import ClassFolders
    from legoclf.jetson.harvest.clock import frame_time_s
    from legoclf.jetson.harvest.session import CameraReader, CaptureSession
    from legoclf.jetson.roi import parse_roi
    from legoclf.jetson.serve.live_capture import capture_page
    from legoclf.jetson.source import open_source

    _check_arguments(args)
    uri = args.source or default_source()
    between_s = frame_time_s(uri)
    roi = None if args.roi is None else parse_roi(args.roi)
    options = CaptureOptions(args.burst, args.interval_s, args.min_sharpness, args.keep_duplicates, roi)
    folders = ClassFolders(args.dir, wanted_labels(args))
    session = CaptureSession(folders, options, between_s)
    summary = Summary()
    with ExitStack() as stack:
        terminal = stack.enter_context(Terminal())
        has_keys = args.label is None and (args.serve is None or args.keys)
        keys = stack.enter_context(_open_keys(args.keys)) if has_keys else None
        source = stack.enter_context(open_source(uri, SourceOptions(retry_first=args.retry_first)))
        telling = threading.Lock()

        def told(label: str, outcomes: List[Any]) -> None:
            with telling:
                summary.add(outcomes)
                _tell(terminal, source, session, label, outcomes, args.json)

        page = capture_page(args, session, told)
        if page is not None:
            page.start_capture(stack, source)
        shared: Any = session if page is None else page.session
        reader = stack.enter_context(CameraReader(source, shared))
        signals.is_heeded = True
        is_done = _capture(args, session, reader, keys, stop, told)
    _finish(args, session, summary, is_done)
    return is_done


def _capture(
    args: argparse.Namespace, session: Any, reader: Any, keys: Any, stop: threading.Event, told: Any
) -> bool:
    """Whether as many pictures are saved as were asked for."""
    from legoclf.jetson.harvest.capture_loop import capture_by_clock, capture_by_keys
    from legoclf.jetson.harvest.keys import keys_of

    if keys is None and args.label is None:
        while not stop.wait(_POLL_SECONDS) and not reader.ended:
            pass  # the page's buttons take the pictures
        return True
    if keys is None:
        saved = capture_by_clock(session, reader, args.label, args.every_s, args.count, stop, told)
        return args.count is None or saved >= args.count or stop.is_set()
    by_key = keys_of(session.folders.labels)
    shown = ", ".join("{} {}".format(key, printable(label)) for key, label in by_key.items())
    LOGGER.info("keys: %s; space repeats, q ends", shown)
    capture_by_keys(session, reader, keys, by_key, stop, told, LOGGER.error)
    return True


class Summary(object):
    """What became of all pictures."""

    def __init__(self) -> None:
        self.saved = 0
        self.rejected: Counter[str] = collections.Counter()

    def add(self, outcomes: List[Any]) -> None:
        """Count what became of some."""
        self.saved += sum(isinstance(each, str) for each in outcomes)
        self.rejected.update(each.reason for each in outcomes if not isinstance(each, str))


def _check_arguments(args: argparse.Namespace) -> None:
    check_range("--every_s", args.every_s, 0, 86400)
    if args.count is not None:
        check_range("--count", args.count, 1, 1000000)
        if args.label is None:
            raise UsageError("--count: tells when --label has enough: give --label too")
    if args.labels is not None and args.bundle is not None:
        raise UsageError("--labels and --bundle both name the classes: give one of them")


def wanted_labels(args: argparse.Namespace) -> List[str]:
    """The classes that the flags, or else the folder, name.

    Raises:
        UsageError: there are none.
    """
    from legoclf.bundle import Bundle
    from legoclf.jetson.harvest.class_folders import class_names

    labels: List[str] = []
    if args.labels is not None:
        labels = [label.strip() for label in args.labels.split(",")]
    elif args.bundle is not None:
        labels = Bundle.open(args.bundle).labels
    elif args.label is None:
        labels = class_names(args.dir)
    if args.label is not None and args.label not in labels:
        if args.labels is not None:
            raise UsageError("--label: got '{}', expected one of --labels".format(printable(args.label)))
        labels = [args.label]
    if not labels:
        raise UsageError("{}: has no class yet: give --labels, as in --labels brick,plate".format(args.dir))
    return labels


def _open_keys(from_terminal: bool) -> Any:
    """The window's keys where there is a display, else the terminal's."""
    from legoclf.jetson.harvest.keys import TerminalKeys, WindowKeys
    from legoclf.jetson.output_window import check_display

    if not from_terminal:
        try:
            check_display()
        except LegoclfError as error:
            LOGGER.info("%s", str(error).split(";")[0])
        else:
            return WindowKeys()
    if not from_terminal and not sys.stdin.isatty():
        raise UsageError(
            "there is no display and no terminal: give --label NAME to take pictures by the clock, or --keys "
            "to read keys from standard input"
        )
    return TerminalKeys()


def _tell(
    terminal: Terminal, source: Any, session: Any, label: str, outcomes: List[Any], quiet: bool
) -> None:
    from legoclf.jetson.harvest.session import tell

    number = sum(session.counts().get(label, {}).values())
    text = "{}: {}; {} in all".format(printable(label), tell(outcomes), number)
    if source.state == "lost":
        text += "; the camera is lost: {}".format(printable(source.last_error))
    if quiet:
        LOGGER.info("%s", text)
    else:
        terminal.line(text)


def _finish(args: argparse.Namespace, session: Any, summary: Summary, is_done: bool) -> None:
    from legoclf.jetson.harvest.capture_loop import count_lines

    counts: Dict[str, Dict[str, int]] = session.counts()
    if args.json:
        record = {"saved": summary.saved, "rejected": dict(summary.rejected), "classes": counts}
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
    else:
        for line in count_lines(counts):
            sys.stdout.write(line + "\n")
    if not is_done:
        LOGGER.error("the source ended after %d of %d pictures", summary.saved, args.count)
