"""Several machines that train together: TF_CONFIG as TensorFlow reads it, checked before TensorFlow sees it.

TensorFlow itself waits an hour and more for a machine that never comes, and does not say for which.
"""

import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from legoclf.errors import LegoclfError

VARIABLE = "TF_CONFIG"

#: Seconds that machines are waited for, and the time between two looks.
WAIT_S = 300.0
_LOOK_S = 0.2

_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True)
class Cluster:
    """The machines that train together, in TensorFlow's order: host:port of each, and which is this one."""

    addresses: Sequence[str]
    worker: int

    @property
    def peers(self) -> list[str]:
        """The addresses of the others."""
        return [address for number, address in enumerate(self.addresses) if number != self.worker]


def cluster_of_environment() -> Cluster | None:
    """The cluster of TF_CONFIG; None where there is none, or this machine is all of it.

    Raises:
        LegoclfError: TF_CONFIG is no description of a cluster.
    """
    text = os.environ.get(VARIABLE, "").strip()
    cluster = parse_cluster(text) if text else None
    return cluster if cluster is not None and len(cluster.addresses) > 1 else None


def parse_cluster(text: str) -> Cluster | None:
    """What a TF_CONFIG says; None if it names no machine, as TensorFlow takes ``{}``.

    Raises:
        LegoclfError: with what is wrong in it.
    """
    try:
        config = json.loads(text)
    except ValueError as error:
        raise _wrong(f"is no JSON ({error})") from error
    if not isinstance(config, dict):
        raise _wrong("is no JSON object")
    if not config.get("cluster"):
        return None
    jobs = _jobs(config["cluster"])
    task = config.get("task")
    if not isinstance(task, dict) or not {"type", "index"} <= set(task):
        raise _wrong("has no 'task' with 'type' and 'index': it tells which machine this is")
    kind, index = task["type"], _index(task["index"])
    if kind not in list(jobs):
        raise _wrong(f"has the task type {kind!r}, but its cluster has {' and '.join(jobs)}")
    if not 0 <= index < len(jobs[kind]):
        raise _wrong(f"has the task index {index}, but its cluster has {len(jobs[kind])} {kind}(s), from 0")
    chiefs = jobs.get("chief", [])
    worker = index if kind == "chief" else len(chiefs) + index
    return Cluster([*chiefs, *jobs.get("worker", [])], worker)


def wait_for_peers(cluster: Cluster, wait_s: float = WAIT_S) -> None:
    """Wait until every other machine of the cluster is there.

    Each listens at its own address while it knocks at those of the others; one that has seen all goes on,
    and TensorFlow listens there then.

    Raises:
        LegoclfError: some did not come in time, or this machine cannot listen at its address.
    """
    end = time.monotonic() + wait_s
    with _listening(cluster.addresses[cluster.worker]):
        missing = cluster.peers
        while missing := [address for address in missing if not reachable(address)]:
            if time.monotonic() > end:
                raise LegoclfError(
                    f"{VARIABLE}: no answer from {', '.join(missing)} within {wait_s:g} s: "
                    "start legoclf there as well, with its own task index, and see that the port is open"
                )
            time.sleep(_LOOK_S)


def reachable(address: str, limit_s: float = 2.0) -> bool:
    """Whether something listens at host:port."""
    try:
        with socket.create_connection(_host_and_port(address), limit_s):
            return True
    except OSError:
        return False


@contextmanager
def _listening(address: str) -> Iterator[None]:
    port = _host_and_port(address)[1]
    try:
        server = socket.create_server(("", port), backlog=64)
    except OSError as error:
        raise LegoclfError(
            f"{VARIABLE}: port {port} of this machine cannot be listened at ({error.strerror}): "
            "end what uses it, or name another port on every machine"
        ) from error
    with server:
        yield


def _jobs(cluster: Any) -> dict[str, list[str]]:
    if not isinstance(cluster, dict) or not all(isinstance(job, list) and job for job in cluster.values()):
        raise _wrong("has a 'cluster' that is no object of lists of addresses")
    if other := sorted(set(cluster) - {"chief", "worker"}):
        raise _wrong(f"names {', '.join(other)}: training takes chief and worker only")
    if len(cluster.get("chief", [])) > 1:
        raise _wrong("names more than one chief")
    addresses = [address for job in cluster.values() for address in job]
    for address in addresses:
        if not isinstance(address, str) or not _is_address(address):
            raise _wrong(f"has the address {address!r}: expected host:port")
    if len(set(addresses)) < len(addresses):
        raise _wrong("names an address twice")
    return cluster


def _index(value: Any) -> int:
    # Some launchers write it as a string, which TensorFlow takes too.
    if isinstance(value, bool) or not str(value).isdecimal():
        raise _wrong(f"has the task index {value!r}: expected a whole number from 0")
    return int(value)


def _is_address(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _wrong(what: str) -> LegoclfError:
    return LegoclfError(
        f"{VARIABLE} {what}; it looks like {_EXAMPLE}, or unset it to train on this machine alone"
    )
