"""The page's routes, beside those of :func:`legoclf.jetson.serve.app.make_app`.

    GET  /                    the page; GET /static/NAME its parts
    GET  /about               what does not change: the title, labels, what there is to do
    GET  /state?changes=N&chart=N&viewer=N   what does; the page asks twice a second
    GET  /stream.mjpg?viewer=N   the live picture, as MJPEG; /state tells the viewer whether it still comes
    GET  /snapshot.jpg        one picture, its number in the header X-Sequence; with ?hold=1 kept for /label
    POST /threshold           {"unknown_below": 0.6}
    POST /label               {"label": TEXT, "sequence": N}   a snapshot into a class folder
    POST /capture             {"label": TEXT, "burst": N}      what the camera sees now into a class folder
    POST /classes             {"label": TEXT}                  one more class
    GET  /harvest, GET /harvest/ID.jpg, POST /harvest/ID {"label": TEXT} or {"discard": true}

No path and no name of a file is taken from a request: a label is one of the classes, an ID one that the
harvest gave out.
"""

import pkgutil
import time
from typing import Any, Callable, Dict, Tuple

from legoclf.errors import UsageError
from legoclf.jetson.serve.app import add_route, json_response
from legoclf.jetson.serve.gate import HEADERS
from legoclf.jetson.serve.images import BadRequest
from legoclf.jetson.serve.json_body import read_json, read_number, request_number
from legoclf.jetson.serve.metrics import Metrics
from legoclf.jetson.serve.mjpeg import CONTENT_TYPE, MOST_STREAMS
from legoclf.jetson.serve.page_pictures import PageParts, PagePictures, live_of

#: All that /static has; nothing else is ever read.
STATIC = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def add_page(app: Any, metrics: Metrics, parts: PageParts) -> None:
    """Add the page to a bottle application."""
    import bottle

    pictures = PagePictures(parts)
    page = _Page(bottle, metrics, parts, pictures)
    for method, path, answer in (
        ("GET", "/about", page.about),
        ("GET", "/state", page.state),
        ("POST", "/threshold", page.set_threshold),
        ("POST", "/label", lambda: pictures.label(read_json(bottle.request))),
        ("POST", "/capture", lambda: pictures.capture(read_json(bottle.request))),
        ("POST", "/classes", lambda: pictures.add_class(read_json(bottle.request))),
        ("GET", "/harvest", pictures.list_harvest),
        ("POST", "/harvest/<id>", page.sort_harvest),
    ):
        add_route(app, metrics, method, path, _without_images(answer))
    for path, respond in (
        ("/", page.index),
        ("/static/<name>", page.static),
        ("/stream.mjpg", page.stream),
        ("/snapshot.jpg", page.snapshot),
        ("/harvest/<id>.jpg", page.harvest_image),
    ):
        app.route(path, "GET", page.counted(path, respond))


def _without_images(answer: Callable[[], Any]) -> Callable[[], Tuple[Any, int]]:
    """As add_route wants it; a label that is none, or the like, is the client's fault."""

    def run() -> Tuple[Any, int]:
        try:
            return answer(), 0
        except UsageError as error:
            raise BadRequest(400, str(error)) from error

    return run


class _Page(object):
    def __init__(self, bottle: Any, metrics: Metrics, parts: PageParts, pictures: PagePictures) -> None:
        self._bottle = bottle
        self._metrics = metrics
        self._parts = parts
        self._files = {name: _read_static(name) for name in STATIC}
        self._pictures = pictures

    def counted(self, path: str, respond: Callable[[], Any]) -> Callable[..., Any]:
        """A route that answers something else than JSON."""

        def handle(**_: str) -> Any:
            started_at = time.perf_counter()
            try:
                response = respond()
            except BadRequest as error:
                response = json_response(self._bottle, {"error": str(error)}, error.status)
            self._metrics.add(path, response.status_code, time.perf_counter() - started_at)
            return response

        return handle

    def about(self) -> Dict[str, Any]:
        """What does not change while it runs."""
        parts = self._parts
        return {
            "title": parts.title,
            "description": parts.description,
            "labels": list(parts.labels),
            "live": parts.live is not None,
            "classifies": bool(parts.thresholds),
            "captures": parts.session is not None,
            "sorts": parts.folders is not None,
            "harvests": parts.harvest is not None,
            "locates": parts.locates,
            "burst": parts.session.options.burst if parts.session is not None else 1,
        }

    def state(self) -> Dict[str, Any]:
        """What does."""
        parts = self._parts
        record: Dict[str, Any] = {"machine": parts.machine.record()}
        if parts.thresholds:
            record["unknown_below"] = parts.thresholds[0].unknown_below
        if parts.live is not None:
            query = self._bottle.request.query
            record.update(parts.live.record(request_number(query, "changes"), request_number(query, "chart")))
            record["watching"] = request_number(query, "viewer") in parts.live.pictures.viewers
        record.update(self._pictures.record())
        return record

    def set_threshold(self) -> Dict[str, Any]:
        """The slider."""
        body = read_json(self._bottle.request)
        if not self._parts.thresholds:
            raise BadRequest(409, "nothing is classified here: there is no threshold")
        value = read_number(body, "unknown_below", 0.0, 1.0)
        for each in self._parts.thresholds:
            each.unknown_below = value
        return {"unknown_below": value}

    def index(self) -> Any:
        """The page."""
        return self._file("index.html")

    def static(self) -> Any:
        """A part of the page."""
        return self._file(self._bottle.request.url_args["name"])

    def stream(self) -> Any:
        """The live picture."""
        viewer = request_number(self._bottle.request.query, "viewer")
        stream = live_of(self._parts).pictures.open_stream(viewer)
        if stream is None:
            text = "no picture yet, or {} viewers already; try again".format(MOST_STREAMS)
            return json_response(self._bottle, {"error": text}, 503)
        return self._respond(stream, CONTENT_TYPE)

    def snapshot(self) -> Any:
        """One picture, with ?hold=1 kept for :meth:`label`."""
        pictures = live_of(self._parts).pictures
        holds = request_number(self._bottle.request.query, "hold")
        result = pictures.hold() if holds else pictures.newest
        if result is None:
            return json_response(self._bottle, {"error": "no picture yet"}, 503)
        return self._respond(pictures.jpeg(result), "image/jpeg", ("X-Sequence", str(result.sequence)))

    def sort_harvest(self) -> Dict[str, Any]:
        """One harvested picture into a class folder, or away."""
        request = self._bottle.request
        return self._pictures.sort_harvest(request.url_args["id"], read_json(request))

    def harvest_image(self) -> Any:
        """One harvested picture."""
        data = self._pictures.harvest_image(self._bottle.request.url_args["id"])
        return self._respond(data, "image/jpeg")

    def _file(self, name: str) -> Any:
        if name not in self._files:
            raise BadRequest(404, "Not found")
        return self._respond(self._files[name], STATIC[name])

    def _respond(self, body: Any, kind: str, *more: Tuple[str, str]) -> Any:
        return self._bottle.HTTPResponse(body, 200, headers=[("Content-Type", kind), *HEADERS, *more])


def _read_static(name: str) -> bytes:
    # Not open(): the package may stand in a zip.
    data = pkgutil.get_data("legoclf.jetson.serve", "static/" + name)
    assert data is not None
    return data
