"""What the page sends: small JSON objects, and nothing taken for granted in them."""

import json
import math
import re
from typing import Any, Dict

from legoclf.jetson.serve.images import BadRequest

#: The largest body of them; a label has 255 bytes at most.
MOST_BYTES = 4096

MOST_CHARACTERS = 255


def read_json(request: Any) -> Dict[str, Any]:
    """The JSON object in bottle's request.

    Raises:
        BadRequest: it is none. Other content types are refused, as a form of a foreign page can send those.
    """
    kind = str(request.content_type or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadRequest(415, "expected Content-Type: application/json")
    # Past bottle, which would put a large one on the disk.
    body = request.environ["wsgi.input"].read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise BadRequest(413, "the body has more than {} bytes".format(MOST_BYTES))
    try:
        record = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadRequest(400, "the body is no JSON") from error
    if not isinstance(record, dict):
        raise BadRequest(400, "the body is no JSON object")
    return record


def read_text(body: Dict[str, Any], name: str) -> str:
    """A field that is a text.

    Raises:
        BadRequest: it is missing, none, or too long.
    """
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MOST_CHARACTERS:
        raise BadRequest(400, "{}: expected a text of 1 to {} characters".format(name, MOST_CHARACTERS))
    return value


def read_number(body: Dict[str, Any], name: str, low: float, high: float) -> float:
    """A field that is a number from ``low`` to ``high``.

    Raises:
        BadRequest: it is missing, none, or outside.
    """
    value: Any = body.get(name)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or not math.isfinite(value):
        raise BadRequest(400, "{}: expected a number from {:g} to {:g}".format(name, low, high))
    number: float = value
    return number


def request_number(query: Any, name: str) -> int:
    """A whole number in the request's address; 0 where it is missing.

    Raises:
        BadRequest: it is none.
    """
    text = str(query.get(name, "0"))
    if re.match(r"[0-9]{1,15}\Z", text) is None:
        raise BadRequest(400, "{}: expected a whole number".format(name))
    return int(text)
