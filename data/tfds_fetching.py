"""Data sets of TensorFlow Datasets are fetched by it; no server is waited for without an end."""

import contextlib
import logging
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from legoclf.data.fetching import SOCKET_TIMEOUT_S, socket_timeout
from legoclf.data.tfds_names import one_line, tfds_parts
from legoclf.errors import LegoclfError

LOGGER = logging.getLogger(__name__)

SERVERS_TRIED = 3


def fetch_tfds_set(tfds: Any, name: str, builder: Any, data_dir: Path) -> None:
    """Have TFDS download a data set and prepare it.

    Args:
        tfds: the module ``tensorflow_datasets``.
        name: what the user called the set, with ``tfds:``.
        builder: of TFDS, for the set.
        data_dir: where TFDS keeps its files.

    Raises:
        LegoclfError: that failed; the message says how to bring the set by hand.
    """
    LOGGER.info("%s: TensorFlow Datasets fetches it and keeps it in %s", name, data_dir)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        _refuse_unreachable(builder.url_infos or ())
        # TFDS tells of its steps on stdout, where --json prints.
        with socket_timeout(), _requests_timeout(), contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare()
    except Exception as error:  # what a set's own code raises may be anything
        raise LegoclfError(_by_hand(name, data_dir, error)) from error


def _refuse_unreachable(addresses: Iterable[str]) -> None:
    """Raise where none of a few servers answers: TFDS tries for minutes before it gives up."""
    servers = {urlsplit(address).netloc: address for address in addresses if address.startswith("http")}
    tried = list(servers.values())[:SERVERS_TRIED]
    if tried and not any(map(_is_reachable, tried)):
        raise ConnectionError(f"no answer from {', '.join(tried)}")


def _is_reachable(address: str) -> bool:
    """Whether a server answers there, be it with a refusal."""
    try:
        request = urllib.request.Request(address, method="HEAD")
        urllib.request.urlopen(request, timeout=SOCKET_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, HTTPException, ValueError):
        return False
    return True


@contextlib.contextmanager
def _requests_timeout() -> Iterator[None]:
    """TFDS downloads with requests, which waits for ever whatever the sockets' default is."""
    import requests

    plain = requests.Session.request

    def request(session: Any, method: str, url: str, **options: Any) -> Any:
        return plain(session, method, url, **{"timeout": SOCKET_TIMEOUT_S, **options})

    requests.Session.request = request
    try:
        yield
    finally:
        requests.Session.request = plain


def _by_hand(name: str, data_dir: Path, error: Exception) -> str:
    parts = tfds_parts(name)
    command = " ".join(
        ["tfds build", str(parts["set"])] + ([f"--config {parts['config']}"] if parts["config"] else [])
    )
    return (
        f"--dataset {name}: cannot be had ({one_line(error)}); on a connected machine run: {command} "
        f"--data_dir DIR, and put DIR/{parts['set']} here as {data_dir / str(parts['set'])}, "
        "or set TFDS_DATA_DIR to the folder that holds it"
    )
