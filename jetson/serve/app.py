"""The application: what is asked at which path, and what is answered. WSGI, by bottle.

    POST /classify            an image, a form of several, or JSON of base64 texts; ?top_k=3
    GET  /healthz             whether it lives
    GET  /metrics             for Prometheus
    GET  /ping, POST /invocations   Amazon SageMaker's contract for a container

/login is the gate's.
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

import json
import time
from typing import Any, Callable, Dict, List, Tuple

from legoclf.errors import LegoclfError, missing_package
from legoclf.jetson.serve.classifier import Classifier
from legoclf.jetson.serve.gate import HEADERS as HEADERS
from legoclf.jetson.serve.images import BadRequest, read_images
from legoclf.jetson.serve.metrics import Metrics

MOST_TOP_K = 100


def make_app(classifier: Classifier, metrics: Metrics, about: Dict[str, Any]) -> Any:
    """A bottle application with the REST routes; the page adds its own.

    Args:
        about: what /healthz tells beside "status".

    Raises:
        LegoclfError: bottle is not installed.
    """
    bottle = import_bottle()
    app = _empty_app(bottle)

    def route(method: str, path: str, answer: Callable[[], Tuple[Any, int]]) -> None:
        add_route(app, metrics, method, path, answer)

    route("GET", "/healthz", lambda: (dict(about, status="ok"), 0))
    route("POST", "/classify", lambda: _classify(bottle.request, classifier))
    add_sagemaker(app, classifier, metrics)

    @app.route("/metrics")
    def _() -> Any:
        text, kind = metrics.text()
        return bottle.HTTPResponse(text, 200, headers=[("Content-Type", kind), *HEADERS])

    return app


def make_sagemaker_app(classifier: Classifier, metrics: Metrics) -> Any:
    """A bottle application of SageMaker's two routes alone."""
    bottle = import_bottle()
    app = _empty_app(bottle)
    add_sagemaker(app, classifier, metrics)
    return app


def add_sagemaker(app: Any, classifier: Classifier, metrics: Metrics) -> None:
    """Amazon SageMaker's /ping and /invocations."""
    bottle = import_bottle()
    add_route(app, metrics, "GET", "/ping", lambda: ({"status": "ok"}, 0))
    add_route(app, metrics, "POST", "/invocations", lambda: _invoke(bottle.request, classifier))


def add_route(
    app: Any, metrics: Metrics, method: str, path: str, answer: Callable[[], Tuple[Any, int]]
) -> None:
    """A route that answers JSON, is counted, and turns BadRequest into its status.

    Args:
        answer: gives the record and how many images were classified.
    """
    bottle = import_bottle()

    def handle(**_: str) -> Any:
        started_at = time.perf_counter()
        images = 0
        try:
            record, images = answer()
            status = 200
        except BadRequest as error:
            record, status = {"error": str(error)}, error.status
        except LegoclfError as error:
            record, status = {"error": str(error)}, 500
        metrics.add(path, status, time.perf_counter() - started_at, images)
        return json_response(bottle, record, status)

    app.route(path, method, handle)


def json_response(bottle: Any, record: Any, status: int = 200) -> Any:
    """A bottle response of one JSON object."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8")
    headers = [("Content-Type", "application/json"), *HEADERS]
    if status == 503:
        headers.append(("Retry-After", "1"))
    return bottle.HTTPResponse(text, status, headers=headers)


def images_of(request: Any, classifier: Classifier) -> List[Tuple[str, bytes]]:
    """Name and bytes of each image in bottle's request.

    Raises:
        BadRequest: there is none, or too many.
    """
    # Past bottle, which copies a body, and puts one of 100 KB or more on the disk.
    body = request.environ["wsgi.input"].read()
    return read_images(str(request.content_type or ""), body, classifier.limits)


def _classify(request: Any, classifier: Classifier) -> Tuple[Any, int]:
    started_at = time.perf_counter()
    text = str(request.query.get("top_k", "3"))
    if not text.isdecimal() or len(text) > 3 or not 1 <= int(text) <= MOST_TOP_K:
        raise BadRequest(400, "top_k: expected a number from 1 to {}".format(MOST_TOP_K))
    images = images_of(request, classifier)
    answers = classifier.answers(images, int(text))
    milliseconds = round((time.perf_counter() - started_at) * 1000.0, 3)
    return {"images": answers, "milliseconds": milliseconds}, len(images)


def _invoke(request: Any, classifier: Classifier) -> Tuple[Any, int]:
    images = images_of(request, classifier)
    predictions = []
    for (name, _), seen in zip(images, classifier.look(images)):
        answer = classifier.answer(name, seen, 1)
        told = ("label", "probability", "novelty")
        prediction = {each: answer[each] for each in told if each in answer}
        prediction["probabilities"] = [round(float(value), 6) for value in seen.probabilities[0]]
        predictions.append(prediction)
    return {"labels": list(classifier.runtime.labels), "predictions": predictions}, len(images)


def _empty_app(bottle: Any) -> Any:
    app = bottle.Bottle()
    app.default_error_handler = lambda error: _error(bottle, error)
    # A body stays in memory, as the server bounds it; by default one of 100 KB goes to the disk.
    bottle.BaseRequest.MEMFILE_MAX = 1 << 30
    return app


def _error(bottle: Any, error: Any) -> bytes:
    """bottle's own refusals, such as 404 and 405, and faults of the program, as JSON without a traceback."""
    text = "internal error" if error.status_code == 500 else str(error.body)
    bottle.response.content_type = "application/json"
    for name, value in HEADERS:
        bottle.response.set_header(name, value)
    return json.dumps({"error": text}).encode("utf-8")


def import_bottle() -> Any:
    try:
        import bottle
    except ImportError as error:
        raise missing_package("bottle", "serve") from error
    return bottle
