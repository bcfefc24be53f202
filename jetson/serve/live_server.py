"""The page beside a live loop: `--serve` of `legoclf camera` and `legoclf capture`."""

import argparse
import os
from contextlib import ExitStack
from typing import Any, List, NamedTuple, Optional, Sequence

from legoclf.errors import UsageError, check_range
from legoclf.jetson.output import Output
from legoclf.jetson.serve.binding import DEFAULT_HOST, DEFAULT_PORT, Binding, make_binding
from legoclf.jetson.serve_command import DEFAULT_RATE_PER_S, add_serve_flags, announce


class PageOptions(NamedTuple):
    """What the flags of the page say. rate_per_s: requests of one network address; 0 for any."""

    binding: Binding
    token_file: Optional[str]
    rate_per_s: float


def add_page_flags(parser: argparse.ArgumentParser) -> None:
    """Define --serve, and who may ask."""
    default = "{}:{}".format(DEFAULT_HOST, DEFAULT_PORT)
    parser.add_argument(
        "--serve",
        nargs="?",
        const=str(DEFAULT_PORT),
        metavar="[ADDRESS:]PORT",
        help="show a page to watch it and to steer it by ({})".format(default),
    )
    add_serve_flags(parser)


def page_options(args: argparse.Namespace) -> Optional[PageOptions]:
    """What the flags say; None without --serve.

    Raises:
        UsageError: one is wrong, or means nothing without --serve.
    """
    if args.serve is None:
        for flag, given in (
            ("token_file", args.token_file is not None),
            ("insecure", args.insecure),
            ("rate_per_s", args.rate_per_s is not None),
            ("capture", getattr(args, "capture", None) is not None),
        ):
            if given:
                raise UsageError("--{}: is for the page: give --serve too".format(flag))
        return None
    rate_per_s = DEFAULT_RATE_PER_S if args.rate_per_s is None else args.rate_per_s
    check_range("--rate_per_s", rate_per_s, 0, 1e6)
    return PageOptions(make_binding(args.serve, args.token_file, args.insecure), args.token_file, rate_per_s)


class LivePage(object):
    """The page of one live loop: made before the loop, started once the network is there.

    Args:
        title: what the page is of, such as the bundle's name.
        labels: of the bundle.
        folders: the ClassFolders that pictures are put into, if any.
        session: a CaptureSession of these, which the loop's frames are to be offered to, if any.
        harvest: the folder of harvested pictures, if any.
        locates: objects are located.

    Attributes:
        output: to be one of the loop's outputs.
        session: as given.

    Raises:
        LegoclfError: a package is missing.
    """

    def __init__(
        self,
        options: PageOptions,
        title: str,
        labels: Sequence[str],
        folders: Optional[Any] = None,
        session: Optional[Any] = None,
        harvest: Optional[str] = None,
        locates: bool = False,
    ) -> None:
        from legoclf.jetson.harvest.harvest import Harvest
        from legoclf.jetson.serve.app import import_bottle
        from legoclf.jetson.serve.live import LiveView
        from legoclf.jetson.serve.live_metrics import Machine, live_readings
        from legoclf.jetson.serve.metrics import Metrics
        from legoclf.jetson.serve.mjpeg import Pictures
        from legoclf.jetson.serve.page_pictures import PageParts

        import_bottle()  # what is missing is told before the network is loaded
        self.output = LiveView(Pictures(), session)
        self.session = session
        machine = Machine()
        self._metrics = Metrics([lambda: live_readings(self.output), machine.readings])
        self._options = options
        self._parts = PageParts(
            title,
            "",
            list(labels),
            machine,
            live=self.output,
            folders=folders,
            session=session,
            harvest=None if harvest is None else Harvest(harvest),
            locates=locates,
        )
        self._server: Optional[Any] = None

    @property
    def port(self) -> int:
        """Where it is served, once it is."""
        assert self._server is not None
        return int(self._server.binding.port)

    def start(self, stack: ExitStack, runtime: Any, view: Any) -> None:
        """Serve until the stack ends, which must be before the runtime's end.

        Args:
            view: the loop's; the page sets its ``unknown_below``.

        Raises:
            LegoclfError: the port is taken.
        """
        from legoclf.jetson.serve.app import make_app
        from legoclf.jetson.serve.classifier import Classifier
        from legoclf.jetson.serve.images import Limits

        classifier = stack.enter_context(Classifier(runtime, Limits(), view.unknown_below))
        parts = self._parts._replace(description=runtime.description, thresholds=(view, classifier))
        about = {"runtime": runtime.description, "labels": len(runtime.labels)}
        self._serve(stack, make_app(classifier, self._metrics, about), parts)

    def start_capture(self, stack: ExitStack, source: Any) -> None:
        """The same where nothing is classified, as in `legoclf capture`.

        Raises:
            LegoclfError: the port is taken.
        """
        from legoclf.jetson.serve.app import make_app
        from legoclf.jetson.serve.live_capture import NothingClassified, StatusWatch

        nothing: Any = NothingClassified()
        app = make_app(nothing, self._metrics, {"runtime": None, "labels": 0})
        self._serve(stack, app, self._parts)
        stack.enter_context(StatusWatch(source, self.output.on_status))

    def on_status(self, status: Any) -> None:
        """To be called with the loop's status.

        Raises:
            LegoclfError: the server has stopped.
        """
        self.output.on_status(status)
        if self._server is not None:
            self._server.check()

    def _serve(self, stack: ExitStack, app: Any, parts: Any) -> None:
        from legoclf.jetson.serve.gate import Gate
        from legoclf.jetson.serve.page import add_page
        from legoclf.jetson.serve.server import Server

        add_page(app, self._metrics, parts)
        gate = Gate(app, self._options.binding, self._options.rate_per_s)
        self._server = stack.enter_context(Server(gate, self._options.binding))
        # First at the end: a stream would keep the server waiting.
        stack.callback(self.output.pictures.close)
        announce(self._server.binding, self._options.token_file, "the page")


def camera_page(args: argparse.Namespace, bundle: Any) -> Optional[LivePage]:
    """The page that the flags of `legoclf camera` ask for; None without --serve.

    Raises:
        UsageError: a flag is wrong.
        LegoclfError: a package is missing, or the folder of --capture cannot be used.
    """
    options = page_options(args)
    if options is None:
        return None
    from legoclf.jetson.harvest.class_folders import ClassFolders
    from legoclf.jetson.harvest.session import CaptureOptions, CaptureSession
    from legoclf.jetson.roi import parse_roi

    folders = session = None
    if args.capture is not None:
        folders = ClassFolders(args.capture, bundle.labels)
        if args.locate is None:
            roi = None if args.roi is None else parse_roi(args.roi)
            session = CaptureSession(folders, CaptureOptions(roi=roi))
    title = os.path.basename(os.path.abspath(bundle.path))
    return LivePage(options, title, bundle.labels, folders, session, args.harvest, args.locate is not None)


def page_outputs(page: Optional[LivePage]) -> List[Output]:
    """The loop's output for the page; none without one."""
    return [] if page is None else [page.output]
