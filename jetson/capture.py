"""A capture process, seen from its parent: started, its frames read from shared memory, ended for good.

Why a process: a read from a camera that has stalled blocks inside GStreamer, OpenCV or the driver, and a
thread in there can be neither ended nor left behind without keeping the camera, its descriptors and itself.
Killing a process gives all of it back, whatever it hangs in, and a crash in a driver takes nobody along. On
a Jetson it also works the other way about: where the program dies, the capture process lets go of the camera
in order, and nvargus-daemon does not stay stuck.

What it costs: one copy of the frame more (into the shared memory; the one out of it a VideoCapture makes
too), two wake-ups, and a line of JSON each way. Measured against VideoCapture in the process, raw BGR, on two
busy EPYC cores: 0.2 ms of CPU time more a frame at 640x480 and 0.7 ms at 1280x720 flat out (6100 and 1050
frames a second), up to 1.2 ms at 30 to 100 a second, with cold caches; read 0.7 and 1.3 ms after capture.
"""

import collections
import contextlib
import ctypes
import json
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from typing import Any, Deque, Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from legoclf.errors import LegoclfError
from legoclf.jetson.frame import image_shape
from legoclf.jetson.source_uri import SourceUri

#: How long the process may take to let go of a camera before it is killed. Argus needs it, and leaves
#: nvargus-daemon stuck where it does not get it.
GRACE_S = {"csi": 2.0}
_GRACE_S = 1.0
_KEPT_LINES = 20
#: The child has the parent's module search path: with -m, a folder `legoclf` here would come first.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[3:]; "
    "from legoclf.jetson.capture_worker import main; sys.exit(main(sys.argv[1:3]))"
)


class Announced(NamedTuple):
    """A frame that stands in a slot of the shared memory until the slot is given back.

    planes: offset within the frame and distance of its rows, in bytes, of each plane.
    sequence: counts this process's frames. captured_at: time.monotonic(), which all processes share.
    """

    slot: int
    offset: int
    nbytes: int
    pixel_format: str
    width: int
    height: int
    planes: List[Tuple[int, int]]
    sequence: int
    captured_at: float


class CaptureProcess:
    """One run of the capture process: :meth:`receive` until there is enough, then :meth:`stop`.

    :meth:`free` may be called by any thread, all else by one only. It MUST be started by a thread that
    outlives it: Linux ends the child when that thread ends.
    """

    def __init__(self, source: SourceUri, backend: str) -> None:
        self._source = source
        self._sending = threading.Lock()
        self._pending = b""
        self._mapping: Optional[mmap.mmap] = None
        self._said: Deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self._memory = _memory_file()
        self._control, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _PROGRAM,
                    str(theirs.fileno()),
                    str(self._memory),
                    *sys.path,
                ],
                pass_fds=(theirs.fileno(), self._memory),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError:
            self._control.close()
            os.close(self._memory)
            raise
        finally:
            theirs.close()
        assert self._process.stdout is not None
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._send({"source": source._asdict(), "backend": backend, "parent": os.getpid()})

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def receive(self, timeout_s: float, wake: int) -> Iterator[Dict[str, Any]]:
        """The messages that have come, waiting for the first; none after the time, or once ``wake``, a
        descriptor, can be read.

        Raises:
            LegoclfError: the process is gone, for no reason that it gave.
        """
        poll = select.poll()
        for descriptor in (self._control.fileno(), self._output.fileno(), wake):
            poll.register(descriptor, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(max(0.0, timeout_s) * 1000)]
        if self._output.fileno() in ready:
            self._listen()
        if self._control.fileno() not in ready:
            return
        try:
            data = self._control.recv(65536)
        except OSError:
            data = b""
        if not data:
            raise LegoclfError(self._explain_end())
        complete, _, self._pending = (self._pending + data).rpartition(b"\n")
        for line in complete.split(b"\n"):
            if line:
                yield json.loads(line.decode("utf-8"))

    def announced(self, message: Dict[str, Any]) -> Tuple[Announced, mmap.mmap]:
        """What a ``frame`` message says, and the memory that the frame stands in."""
        frame = Announced(**message)
        if self._mapping is None or len(self._mapping) < frame.offset + frame.nbytes:
            self._mapping = mmap.mmap(self._memory, os.fstat(self._memory).st_size, prot=mmap.PROT_READ)
        return frame, self._mapping

    def free(self, slot: int) -> None:
        """Give a slot back; of no effect once the process is gone."""
        self._send({"free": slot})

    def stop(self) -> Optional[int]:
        """End the process, in order if it can, else by SIGKILL; all that it held is given back.

        Returns:
            its exit code, 0 where it ended in order; None where not even SIGKILL has ended it yet.
        """
        with self._sending:
            self._control.close()
        try:
            self._process.wait(GRACE_S.get(self._source.kind, _GRACE_S))
        except subprocess.TimeoutExpired:
            self._process.kill()
            # It may be in a system call that cannot be interrupted; Popen reaps it when it starts another.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
        self._output.close()
        os.close(self._memory)
        self._mapping = None
        return self._process.returncode

    def _send(self, message: Dict[str, Any]) -> None:
        with self._sending, contextlib.suppress(OSError):
            self._control.sendall(json.dumps(message).encode("utf-8") + b"\n")

    def _listen(self) -> None:
        data = self._output.read() or b""
        self._said.extend(line for line in data.decode("utf-8", "replace").splitlines() if line.strip())

    def _explain_end(self) -> str:
        try:
            code = self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            return "the capture process has closed its end"
        self._listen()
        last = ": " + self._said[-1].strip() if self._said else ""
        if code < 0:
            return "the capture process was ended by {}{}".format(signal.Signals(-code).name, last)
        return "the capture process ended with exit code {}{}".format(code, last)


def take(frame: Announced, memory: mmap.mmap) -> np.ndarray:
    """Copy a frame out of the shared memory: uint8, ``image_shape``, C-contiguous, read-only."""
    image = np.empty(image_shape(frame.pixel_format, frame.height, frame.width), np.uint8)
    rows = image.reshape(image.shape[0], -1)
    first = 0
    for index, (offset, stride) in enumerate(frame.planes):
        count = frame.height if index == 0 else len(rows) - first
        there = np.ndarray((count, rows.shape[1]), np.uint8, memory, frame.offset + offset, (stride, 1))
        rows[first : first + count] = there
        first += count
    image.setflags(write=False)
    return image


def _memory_file() -> int:
    """A descriptor of an empty file in memory that no folder has: Docker allows /dev/shm 64 MB only."""
    if sys.platform.startswith("linux"):
        # os.memfd_create is Python 3.8's; the function itself is in glibc 2.27, JetPack 4.6's.
        create = getattr(ctypes.CDLL(None), "memfd_create", None)
        descriptor: int = create(b"legoclf", 1) if create is not None else -1
        if descriptor >= 0:
            return descriptor
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
