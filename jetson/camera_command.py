"""Name what a camera sees, live: the newest frame, always.

    legoclf camera [BUNDLE] --source csi://0
    legoclf camera --source /dev/video0 --output window --output jsonl:answers.jsonl
    legoclf camera --source csi://0 --locate background --output csv:counted.csv
    legoclf camera --serve --capture photos --harvest unsure

Sources: csi://0, /dev/video0, rtsp://..., a video file, a folder of images, gst://PIPELINE. A camera that
stops or is unplugged is opened again, for ever. Files are read without loss.

Outputs, as many as wanted, each with its own --output:
    print                     the answer when it changes (default)
    window                    the picture with the answer; q ends
    jsonl:FILE  csv:FILE      a line for each frame; - is standard output. Where the bundle tells what it was
                              not trained on, the JSON has the novelty of the frame, or of each object located
    video:FILE.mp4?fps=30     the picture with the answer, recorded
    mqtt://HOST/TOPIC         a message for each frame; ?on=change for each change alone; mqtts:// is TLS;
                              mqtt://USER@HOST/TOPIC takes the password from LEGOCLF_MQTT_PASSWORD
    serial:/dev/ttyUSB0?label=NAME&send=TEXT&baud=115200&interval_s=0.5
                              sends when the answer becomes NAME, or an object NAME is counted
One that is slow or fails holds nothing up: what it missed is counted. --harvest DIR keeps frames that
the model was unsure of, to be labelled and trained on. --serve shows a page for a browser, also on a phone:
the live picture, the answer, how fast and how warm it runs, and buttons to label pictures.

Ctrl-C ends it, gives the camera back and shows a summary.
"""

import argparse
import json
import logging
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, List, Optional

from legoclf.bundle import Bundle, find_bundle
from legoclf.errors import UsageError, printable
from legoclf.jetson.harvest.clock import VIDEO_SECONDS
from legoclf.jetson.harvest.output_harvest import add_harvest_flags, harvest_outputs
from legoclf.jetson.locate_flags import add_locate_flags, given_flags, locator_options, tracker_options
from legoclf.jetson.serve.live_server import LivePage, add_page_flags, camera_page, page_outputs
from legoclf.jetson.signals import StopSignals
from legoclf.jetson.smoothing_flags import add_smoothing_flags, smoothing_options
from legoclf.jetson.source_base import SourceOptions
from legoclf.jetson.terminal import Terminal
from legoclf.novelty import add_novelty_flag

if TYPE_CHECKING:
    from legoclf.jetson.loop import LoopStatus

LOGGER = logging.getLogger(__name__)

BACKENDS = ("auto", "tensorrt", "onnxruntime")
LOCATE_METHODS = ("contours", "background")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf camera`."""
    parser.add_argument("bundle", nargs="?", help="the bundle; may be left out where there is one here")
    parser.add_argument("--source", metavar="URI", help="csi://0 on a Jetson, /dev/video0 elsewhere")
    parser.add_argument("--output", action="append", metavar="SPEC", help="where answers go, see above")
    parser.add_argument("--overwrite", action="store_true", help="outputs may replace files")
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="what runs the network (auto)")
    parser.add_argument(
        "--no_golden", action="store_true", help="start without the check by the bundle's golden images"
    )
    parser.add_argument(
        "--roi", metavar="X,Y,W,H", help="the part to look at, in pixels or in shares such as 0.25,0,0.5,1"
    )
    parser.add_argument("--top_k", type=int, default=3, help="labels to give of each frame (3)")
    add_smoothing_flags(parser)
    add_novelty_flag(parser)
    parser.add_argument(
        "--locate",
        nargs="?",
        choices=LOCATE_METHODS,
        const=LOCATE_METHODS[0],
        help="find objects on a plain background, name and count each: contours, or background, which "
        "learns the empty table first",
    )
    parser.add_argument(
        "--count_line", metavar="x=PX|y=PX", help="with --locate: count an object once it crosses this line"
    )
    add_locate_flags(parser)
    add_harvest_flags(parser)
    add_page_flags(parser)
    parser.add_argument(
        "--capture",
        metavar="DIR",
        help="with --serve: the page's buttons put pictures into class folders in DIR",
    )
    parser.add_argument(
        "--stall_timeout_s",
        type=float,
        default=SourceOptions().stall_timeout_s,
        metavar="S",
        help="a camera without a picture for so long is opened again ({:g})".format(
            SourceOptions().stall_timeout_s
        ),
    )
    parser.add_argument(
        "--retry_first", action="store_true", help="wait for a camera that is not there yet, for ever"
    )
    parser.add_argument("--frames", type=int, help="end after so many answers")
    parser.add_argument("--seconds", type=float, help="end after so long")
    parser.add_argument("--timing", action="store_true", help="time each step")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run the loop; 1 if a record is not whole, 130 after Ctrl-C.

    Raises:
        LegoclfError: a flag is wrong, or something does not open.
    """
    stop = threading.Event()
    with StopSignals(stop) as signals:
        try:
            report, is_whole = _run(args, stop, signals)
        except KeyboardInterrupt:
            if signals.was_interrupted:
                raise
            return 0
        from legoclf.jetson.loop_report import report_json, report_lines

        if args.json:
            sys.stdout.write(json.dumps(report_json(report), ensure_ascii=False, allow_nan=False) + "\n")
        else:
            for line in report_lines(report):
                LOGGER.info("%s", line)
    if signals.was_interrupted:
        return 130
    return 0 if is_whole else 1


def _run(args: argparse.Namespace, stop: threading.Event, signals: StopSignals) -> Any:
    """The run's report, and whether every record got all of it."""
    from legoclf.jetson.loop import LiveLoop, LoopOptions
    from legoclf.jetson.output import OutputContext
    from legoclf.jetson.output_worker import Outputs
    from legoclf.jetson.outputs import make_outputs
    from legoclf.jetson.runtime import open_runtime
    from legoclf.jetson.source import open_source
    from legoclf.jetson.source_uri import parse_source

    check_arguments(args)
    uri = args.source or default_source()
    is_live = parse_source(uri).is_live
    bundle = Bundle.open(find_bundle(args.bundle))
    if args.no_novelty:
        bundle = bundle._replace(novelty=None)
    with ExitStack() as stack:
        terminal = stack.enter_context(Terminal())
        context = OutputContext(args.overwrite, is_live, bundle.labels, stop, terminal)
        page = camera_page(args, bundle)
        made = make_outputs(output_specs(args), context) + harvest_outputs(args, bundle, uri)
        made += page_outputs(page)
        view = make_view(args, bundle, uri, is_live)
        outputs = stack.enter_context(Outputs(made, is_live, stop))
        # The camera wakes up while the network loads.
        options = SourceOptions(stall_timeout_s=args.stall_timeout_s, retry_first=args.retry_first)
        source = stack.enter_context(open_source(uri, options))
        runtime = stack.enter_context(
            open_runtime(bundle, backend=args.backend, check_golden=not args.no_golden)
        )
        LOGGER.info("%s: %s", bundle.path, runtime.description)
        ends = LoopOptions(args.frames, args.seconds, args.timing)
        if page is not None:
            page.start(stack, runtime, view)
        loop = LiveLoop(source, runtime, view, outputs, ends, lambda status: _show(terminal, page, status))
        signals.is_heeded = True
        report = loop.run(stop)
    keeping = {output.name for output in made if output.keeps_all}
    return report, not any(report.outputs[name].failed for name in keeping)


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse values outside their range.

    Raises:
        UsageError: the message names the flag.
    """
    for name, least in (
        ("top_k", 1),
        ("frames", 1),
        ("seconds", 0),
        ("smooth_s", 0),
        ("switch_s", 0),
        ("stall_timeout_s", 0.1),
    ):
        value = getattr(args, name)
        # Negated, for nothing compares with "not a number".
        if value is not None and not least <= value < float("inf"):
            raise UsageError("--{}: got {}, expected {} or more".format(name, value, least))
    for name in ("switch_margin", "unknown_below"):
        value = getattr(args, name)
        if not 0 <= value <= 1:
            raise UsageError("--{}: got {}, expected 0 to 1".format(name, value))
    if args.count_line is not None and args.locate is None:
        raise UsageError("--count_line counts what --locate finds: give --locate too")
    given = given_flags(args)
    if given and args.locate is None:
        raise UsageError("--{}: tells of what --locate finds: give --locate too".format(given[0]))
    if args.json and any(spec in ("jsonl:-", "csv:-", "print") for spec in args.output or ()):
        raise UsageError("--json has standard output for itself: name a file for the answers")


def output_specs(args: argparse.Namespace) -> List[str]:
    """The outputs wanted: with none named the answer is printed."""
    if args.output:
        return list(args.output)
    return [] if args.json else ["print"]


def default_source() -> str:
    """The camera that there most likely is."""
    from legoclf.jetson.device import read_device

    return "/dev/video0" if read_device().l4t is None else "csi://0"


def make_view(args: argparse.Namespace, bundle: Bundle, uri: str, is_live: bool) -> Any:
    """How frames are looked at, as the flags say.

    Raises:
        UsageError: a flag is wrong.
    """
    from legoclf.jetson.roi import parse_roi
    from legoclf.jetson.views import ObjectView, WholeView

    roi = None if args.roi is None else parse_roi(args.roi)
    if args.locate is None:
        frame_time_s = None if is_live else VIDEO_SECONDS
        return WholeView(bundle.labels, roi, smoothing_options(args, uri), args.top_k, frame_time_s)
    from legoclf.jetson.count_line import parse_count_line
    from legoclf.jetson.locate import Locator
    from legoclf.jetson.tally import Tally
    from legoclf.jetson.tracking import Tracker

    line = None if args.count_line is None else parse_count_line(args.count_line)
    aspect = bundle.contract.width / bundle.contract.height
    return ObjectView(
        roi,
        Locator(locator_options(args), aspect),
        Tracker(bundle.labels, tracker_options(args)._replace(count_line=line)),
        Tally(bundle.labels),
    )


def _show(terminal: Terminal, page: Optional[LivePage], status: "LoopStatus") -> None:
    if page is not None:
        page.on_status(status)
    terminal.status(status_text(status), "{} {}".format(status.state, status.reopened))


def status_text(status: "LoopStatus") -> str:
    """One line: the source where something is the matter with it, then rate, answer, age and losses."""
    parts: List[str] = []
    if status.state != "running":
        why = ": " + printable(status.last_error) if status.last_error else ""
        parts.append("source {}{}".format(status.state, why))
    if status.last is not None:
        if status.fps:
            parts.append("{:.1f} frames/s".format(status.fps))
        share = "" if status.last.is_novel else " {:.0%}".format(status.last.probability)
        parts.append((printable(status.last.label) or "nothing") + share)
        parts.append("{:.0f} ms old".format(status.last.age_ms))
    if status.dropped:
        parts.append("{} dropped".format(status.dropped))
    if status.reopened:
        parts.append("reopened {}x".format(status.reopened))
    if status.output_losses:
        parts.append("outputs missed {}".format(status.output_losses))
    return ", ".join(parts)
