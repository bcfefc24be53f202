"""Packages and libraries that may be missing, broken, hang, or crash: each asked in a process of its own.

NumPy from PyPI ends with SIGILL on the Nano's CPU (numpy/numpy issue 18131), others with a driver that is
broken. The signal that ended the child is the finding.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Dict, Mapping, NamedTuple, Sequence

#: Seconds that one may take. A Nano needs several for TensorRT, and GStreamer looks all its plugins over the
#: first time ever.
TIMEOUT_S = 20.0

#: At once: each is a process of up to some hundred MiB, and a Nano has 4 GiB.
_AT_ONCE = 2

THERE, MISSING, FAILED, CRASHED, HUNG = "there", "missing", "failed", "crashed", "hung"

#: What stands before the answer in what a child says: a library may say something too.
MARK = "legoclf-probe:"

_PROGRAM = (
    # First of all away with the current folder: a file json.py in it is not Python's.
    "import sys; sys.path[:] = [path for path in sys.path if path]; "
    "import json; sys.path[:] = json.loads(sys.stdin.readline()); "
    "from legoclf.jetson.doctor.probe_child import main; main(sys.argv[1])"
)


class Probe(NamedTuple):
    """What a child found.

    state: THERE, MISSING, FAILED (it is there and does not load), CRASHED or HUNG.
    reason: why not, in one line: the error, the signal's name; empty where it is there.
    answer: what it told, by what was asked (:mod:`legoclf.jetson.doctor.probe_child`).
    """

    state: str
    reason: str = ""
    answer: Mapping[str, Any] = MappingProxyType({})

    @property
    def is_there(self) -> bool:
        """It loads and answers."""
        return self.state == THERE


class Probes(object):
    """Asks several in the background; calling it with a name waits for that one. A context manager."""

    def __init__(self, names: Sequence[str], timeout_s: float = TIMEOUT_S) -> None:
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self._futures: Dict[str, "Future[Probe]"] = {
            name: self._pool.submit(run_probe, name, timeout_s) for name in names
        }

    def __call__(self, name: str) -> Probe:
        return self._futures[name].result()

    def __enter__(self) -> "Probes":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for future in self._futures.values():
            future.cancel()
        self._pool.shutdown()


def run_probe(name: str, timeout_s: float = TIMEOUT_S) -> Probe:
    """Ask one, in a Python that looks for modules where this one does."""
    # Files, not pipes: what a hung child has started may hold a pipe open for ever.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, name],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
        )
        try:
            child.communicate(json.dumps([os.path.abspath(each) for each in sys.path]).encode(), timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            return Probe(HUNG, "no answer within {:g} s".format(timeout_s))
        except BaseException:
            child.kill()
            child.wait()
            raise
        return _read(child.returncode, _text(output), _text(errors))


def _read(returncode: int, output: str, errors: str) -> Probe:
    if returncode < 0:
        return Probe(CRASHED, "ended by {}".format(_signal_name(-returncode)))
    for line in output.splitlines():
        if line.startswith(MARK):
            state, reason, answer = json.loads(line[len(MARK) :])
            return Probe(state, reason, answer)
    said = [line for line in errors.splitlines() if line.strip()]
    return Probe(FAILED, said[-1].strip() if said else "exit code {}".format(returncode))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal {}".format(number)


def _text(stream: Any) -> str:
    stream.seek(0)
    return str(stream.read().decode("utf-8", "replace"))
