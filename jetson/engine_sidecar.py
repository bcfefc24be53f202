"""Reading an engine's sidecar: JSON from a bundle that anyone may have touched."""

import hashlib
import json
import os
import re
from typing import Any, Dict, NamedTuple

SIDECAR_VERSION = 1

#: A sidecar is a few kB; what is longer is none.
MAX_BYTES = 1 << 20


class Sidecar(NamedTuple):
    """A sidecar's parts, each of the right type; what they say is not yet checked."""

    file: str
    sha256: str
    size: int
    identity: Dict[str, Any]
    record: Dict[str, Any]


def read_sidecar(path: str) -> Sidecar:
    """Read a sidecar.

    Raises:
        ValueError: it cannot be read, is no JSON object of this version, or a field is wrong.
    """
    try:
        if os.path.islink(path):
            raise ValueError("is a link")
        with open(path, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(error.strerror) from error
    if len(content) > MAX_BYTES:
        raise ValueError("longer than {} bytes".format(MAX_BYTES))
    try:
        record = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError("is not valid JSON ({})".format(error)) from error
    if not isinstance(record, dict):
        raise ValueError("expected a JSON object")
    if record.get("format_version") != SIDECAR_VERSION:
        raise ValueError(
            "format_version: got {!r}, expected {}".format(record.get("format_version"), SIDECAR_VERSION)
        )
    parts = {name: record.get(name) for name in ("engine", "identity", "record")}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise ValueError("{}: expected an object".format(name))
    return _checked(record)


def _checked(record: Dict[str, Any]) -> Sidecar:
    engine = record["engine"]
    name, digest, size = (engine.get(field) for field in ("file", "sha256", "size"))
    if not isinstance(name, str):
        raise ValueError("engine.file: got {!r}, expected a name".format(name))
    if not isinstance(digest, str) or not re.match(r"[0-9a-f]{64}\Z", digest):
        raise ValueError("engine.sha256: got {!r}, expected 64 hex digits".format(digest))
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError("engine.size: got {!r}, expected a number of bytes".format(size))
    return Sidecar(name, digest, size, record["identity"], record["record"])


def sha256_bytes(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()
