"""The page over a live loop that is real but for its camera, which the test steers."""

import http.client
import json
import logging
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np
import pytest
import tiny_bundle

from legoclf.jetson.frame import Frame
from legoclf.jetson.source_base import Source

FPS = 20.0
JSON = {"Content-Type": "application/json"}


def require_packages() -> None:
    """Skip the tests where the server's packages, or those of the bundle, are missing."""
    for name in ("bottle", "waitress", "prometheus_client", "onnx", "onnxruntime"):
        pytest.importorskip(name, reason="the page is served, and its bundle made and run")


class SteeredCamera(Source):
    """Shows ``picture``, uint8 [H, W, 3], BGR, 20 times a second, unless it is lost or not there yet."""

    is_live = True

    def __init__(self, picture: np.ndarray) -> None:
        super().__init__()
        self.picture = picture
        self._is_there = True
        self._closed = threading.Event()

    def lose(self, why: str) -> None:
        """Be lost, or not there yet where there never was a frame."""
        self._is_there = False
        self.last_error = why
        self.state = "lost" if self.captured else "opening"

    def come_back(self) -> None:
        """Give frames again."""
        self.reopened += bool(self.captured)
        self._is_there = True

    def read(self, timeout_s: float) -> Optional[Frame]:
        self._closed.wait(1.0 / FPS)
        if self._closed.is_set() or not self._is_there:
            return None
        self.state = "running"
        self.captured += 1
        return Frame(self.picture, "BGR", self.captured - 1, time.monotonic())

    def close(self) -> None:
        self._closed.set()
        self.state = "ended"


def colour(label: int, height: int = 240, width: int = 320) -> np.ndarray:
    """uint8 [height, width, 3], BGR: a picture that the tiny bundle answers with this label."""
    image = np.ascontiguousarray(tiny_bundle.plain(label, height, width)[:, :, ::-1])
    image.setflags(write=False)
    return image


class RunningPage(object):
    """A loop with its page, in threads of this process; a context manager.

    Attributes:
        camera: the SteeredCamera. port: of the page. view: the loop's.
    """

    def __init__(
        self,
        bundle: str,
        capture: Optional[str] = None,
        harvest: Optional[str] = None,
        port: int = 0,
        labels: Optional[List[str]] = None,
        locate: bool = False,
        token: Optional[str] = None,
    ) -> None:
        self.camera = SteeredCamera(colour(0))
        self._wanted = (bundle, capture, harvest, labels, locate)
        self._options = page_options(port, token)
        self._stack = ExitStack()
        self._stop = threading.Event()
        self.failure: Optional[BaseException] = None

    def __enter__(self) -> "RunningPage":
        from legoclf.bundle import Bundle
        from legoclf.jetson.loop import LiveLoop, LoopOptions
        from legoclf.jetson.output_worker import Outputs
        from legoclf.jetson.runtime import open_runtime
        from legoclf.jetson.serve.live_server import LivePage

        path, capture, harvest, labels, locate = self._wanted
        stack = self._stack
        bundle = Bundle.open(path)
        runtime = stack.enter_context(open_runtime(bundle, "onnxruntime"))
        if labels is not None:
            runtime.labels = labels
        folders = session = None
        if capture is not None:
            from legoclf.jetson.harvest.class_folders import ClassFolders
            from legoclf.jetson.harvest.session import CaptureOptions, CaptureSession

            folders = ClassFolders(capture, runtime.labels)
            # The pictures here are plain: each is as sharp as, and looks like, the last.
            session = CaptureSession(folders, CaptureOptions(2, 0.1, 0.0, keep_duplicates=True))
        page = LivePage(self._options, "tiny.bundle", runtime.labels, folders, session, harvest, locate)
        self.view = make_view(runtime.labels, locate)
        outputs = stack.enter_context(Outputs([page.output], True, self._stop))
        stack.enter_context(self.camera)
        page.start(stack, runtime, self.view)
        self.page = page
        self.port = page.port
        loop = LiveLoop(self.camera, runtime, self.view, outputs, LoopOptions(), page.on_status)
        self._thread = threading.Thread(target=self._run, args=(loop,), name="loop", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._stop.set()
        self._thread.join(20.0)
        self._stack.close()
        assert not self._thread.is_alive()
        assert self.failure is None, self.failure

    @property
    def url(self) -> str:
        """The page's address."""
        return "http://127.0.0.1:{}/".format(self.port)

    def await_answer(self, label: str, timeout_s: float = 15.0) -> Dict[str, Any]:
        """The state once this is the answer."""
        deadline = time.monotonic() + timeout_s
        while True:
            state: Dict[str, Any] = ask(self.port, "/state")
            if state["answer"] is not None and state["answer"]["label"] == label:
                return state
            assert time.monotonic() < deadline, state["answer"]
            time.sleep(0.05)

    def _run(self, loop: Any) -> None:
        try:
            loop.run(self._stop)
        except BaseException as error:
            logging.getLogger(__name__).exception("the loop")
            self.failure = error


def page_options(port: int, token: Optional[str] = None) -> Any:
    """Of a page for this machine alone, at this port; 0 for any that is free."""
    from legoclf.jetson.serve.binding import Binding
    from legoclf.jetson.serve.live_server import PageOptions

    return PageOptions(Binding("127.0.0.1", port, token), None, 0.0)


@contextmanager
def served(path: str) -> Iterator[int]:
    """The page without a camera, as `legoclf serve` has it: its port."""
    from legoclf.bundle import Bundle
    from legoclf.jetson.runtime import open_runtime
    from legoclf.jetson.serve.app import make_app
    from legoclf.jetson.serve.classifier import Classifier
    from legoclf.jetson.serve.images import Limits
    from legoclf.jetson.serve.live_metrics import Machine
    from legoclf.jetson.serve.metrics import Metrics
    from legoclf.jetson.serve.page import add_page
    from legoclf.jetson.serve.page_pictures import PageParts
    from legoclf.jetson.serve.server import Server

    bundle = Bundle.open(path)
    with open_runtime(bundle, "onnxruntime") as runtime, Classifier(runtime, Limits(), 0.0) as classifier:
        metrics = Metrics()
        app = make_app(classifier, metrics, {})
        parts = PageParts("tiny.bundle", runtime.description, bundle.labels, Machine(), (classifier,))
        add_page(app, metrics, parts)
        with Server(app, page_options(0).binding) as server:
            yield server.binding.port


def make_view(labels: List[str], locate: bool) -> Any:
    """The loop's view of whole frames, or of objects; each frame by itself, `unknown` below a half."""
    from legoclf.jetson.smoothing import SmoothingOptions
    from legoclf.jetson.views import ObjectView, WholeView

    if not locate:
        return WholeView(labels, None, SmoothingOptions(half_life_s=0.0, unknown_below=0.5), 3)
    from legoclf.jetson.locate import Locator, LocatorOptions
    from legoclf.jetson.tally import Tally
    from legoclf.jetson.tracking import Tracker, TrackerOptions

    tracker = Tracker(labels, TrackerOptions(min_probability=0.5))
    return ObjectView(None, Locator(LocatorOptions(), 1.0), tracker, Tally(labels))


def request(
    port: int, method: str, path: str, body: Optional[bytes] = None, headers: Optional[Dict[str, str]] = None
) -> Tuple[int, Any, bytes]:
    """Status, headers and body of one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def ask(port: int, path: str) -> Any:
    """The JSON object at a path."""
    status, _, body = request(port, "GET", path)
    assert status == 200, (status, body)
    return json.loads(body.decode("utf-8"))


def send(port: int, path: str, record: Any) -> Tuple[int, Dict[str, Any]]:
    """Status and answer of a JSON object that is sent."""
    status, _, body = request(port, "POST", path, json.dumps(record).encode("utf-8"), JSON)
    return status, json.loads(body.decode("utf-8"))
