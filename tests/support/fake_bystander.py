"""A well-behaved client that asks while others attack, as a process of its own. Python 3.6.

    python fake_bystander.py PORT IMAGE TOKEN

posts the image file to /classify and asks /healthz, in turns, each by a connection of its own from an address
of its own, until its standard input ends; then it writes {path: {"statuses": {"200": N}, "milliseconds": [N,
N, ...], "errors": [TEXT, ...]}} as JSON.
"""

import http.client
import json
import subprocess
import sys
import threading
import time
from typing import Any, Dict, Optional, Tuple

#: Between two requests; a person who looks on is no burden.
PAUSE_S = 0.01

#: Attackers come from 127.0.0.1.
ADDRESS = ("127.0.0.2", 0)

#: The longest that anybody would wait; no answer until then is status 0.
PATIENCE_S = 20.0


class Bystander(object):
    """The process; a context manager, after which ``seen`` tells what it saw."""

    def __init__(self, port: int, image: str, token: Optional[str] = None) -> None:
        self.seen: Dict[str, Dict[str, Any]] = {}
        command = [sys.executable, __file__, str(port), image, token or "none"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True
        )

    def __enter__(self) -> "Bystander":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.seen = json.loads(self._process.communicate("")[0])

    def percentile_ms(self, path: str, share: float) -> float:
        """So large a share of the answers came within these milliseconds."""
        ranked = sorted(self.seen[path]["milliseconds"])
        return float(ranked[min(len(ranked) - 1, int(share * len(ranked)))])


def ask(port: int, method: str, path: str, body: bytes, token: str) -> Tuple[int, str]:
    """The status of the answer; 0 for none, and why."""
    headers = {"Content-Type": "image/jpeg", "Authorization": "Bearer " + token}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S, source_address=ADDRESS)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error)
    finally:
        connection.close()
    return response.status, ""


def main() -> int:
    """Ask until standard input ends."""
    port = int(sys.argv[1])
    with open(sys.argv[2], "rb") as stream:
        image = stream.read()
    is_over = threading.Event()

    def await_the_end() -> None:
        sys.stdin.read()
        is_over.set()

    threading.Thread(target=await_the_end, daemon=True).start()
    seen: Dict[str, Any] = {}
    while not is_over.wait(PAUSE_S):
        for method, path, body in (("POST", "/classify", image), ("GET", "/healthz", b"")):
            started_at = time.perf_counter()
            status, error = ask(port, method, path, body, sys.argv[3])
            passed_ms = (time.perf_counter() - started_at) * 1000.0
            noted = seen.setdefault(path, {"statuses": {}, "milliseconds": [], "errors": []})
            noted["statuses"][status] = noted["statuses"].get(status, 0) + 1
            noted["milliseconds"].append(passed_ms)
            noted["errors"] += [error] if error else []
    sys.stdout.write(json.dumps(seen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
