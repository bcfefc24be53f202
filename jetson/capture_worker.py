"""The capture process: reads one camera or video, and hands its frames over in shared memory.

It is started by :mod:`legoclf.jetson.capture`, which says why there is such a process. It talks to its
parent in lines of JSON over a socket:

    parent   {"source", "backend", "parent"}    once, first
             {"free": slot}                   that slot may be written again
    child    {"note": text}
             {"frame": {…}}                   a slot of the shared memory holds a frame: capture.Announced
             {"error": text} or {"end": true} the last line

The end of the socket means stop, whatever became of the parent. Then, or on SIGTERM, the camera is let go
of; where that hangs, the process ends itself GRACE_S later.
"""

import collections
import ctypes
import json
import mmap
import os
import select
import signal
import socket
import sys
import threading
import time
from typing import Any, Dict, List, Optional

from legoclf.errors import LegoclfError
from legoclf.jetson.backends import Backend, open_backend
from legoclf.jetson.gstreamer_library import Picture
from legoclf.jetson.source_uri import SourceUri

#: One that is written, one on its way, the newest, and one that is read.
SLOTS = 4
GRACE_S = 2.0
#: How long a wait lasts before it is seen whether to stop.
_TICK_S = 0.1
_PR_SET_PDEATHSIG = 1


class SharedMemory:
    """The child's side of the shared memory: it grows at its end, so what stands in it stays where it is."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._length = 0
        self._address = 0
        self._mapping: Any = None
        self._offsets = [0] * SLOTS
        self._capacities = [0] * SLOTS

    def write(self, slot: int, picture: Picture) -> int:
        """Copy a picture into a slot; its offset in the memory."""
        if picture.nbytes > self._capacities[slot]:
            self._offsets[slot] = self._length
            self._capacities[slot] = -(-picture.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
            self._length += self._capacities[slot]
            os.ftruncate(self._descriptor, self._length)
            self._mapping = ctypes.c_char.from_buffer(mmap.mmap(self._descriptor, self._length))
            self._address = ctypes.addressof(self._mapping)
        ctypes.memmove(self._address + self._offsets[slot], picture.address, picture.nbytes)
        return self._offsets[slot]


class Worker:
    """Pulls frames into free slots; a second thread sees to it that the process ends when it is to."""

    def __init__(self, control: socket.socket, memory: SharedMemory) -> None:
        self._control = control
        self._memory = memory
        self._stop = threading.Event()
        self._free = collections.deque(range(SLOTS))
        self._pending = b""

    def run(self) -> None:
        """Read the task, and the source until it ends, fails, or is to stop."""
        with self._control.makefile("rb") as lines:
            first = lines.readline()
        if not first:
            return
        task = json.loads(first.decode("utf-8"))
        _end_with(task["parent"])
        wakeup = _terminate_by_descriptor()
        threading.Thread(target=self._watch, args=(wakeup,), daemon=True).start()
        try:
            backend = open_backend(SourceUri(**task["source"]), task["backend"], self._note)
            try:
                self._send(self._read(backend))
            finally:
                backend.close()
        except LegoclfError as error:
            self._send({"error": str(error)})

    def _read(self, backend: Backend) -> Dict[str, Any]:
        """Hand frames over until there is a reason not to: the last message."""
        slot: Optional[int] = None
        sequence = 0
        while not self._stop.is_set():
            if slot is None:
                slot = self._take_slot()
                continue
            picture = backend.pull(_TICK_S)
            captured_at = time.monotonic()
            if picture is None:
                error = backend.error()
                if error:
                    return {"error": error}
                if backend.ended:
                    return {"end": True}
                continue
            offset = self._memory.write(slot, picture)
            frame = dict(
                picture._asdict(), slot=slot, offset=offset, sequence=sequence, captured_at=captured_at
            )
            del frame["address"]
            backend.release()
            self._send({"frame": frame})
            sequence += 1
            slot = None
        return {"end": True}

    def _take_slot(self) -> Optional[int]:
        """A slot that may be written; None where there is none within the tick."""
        if not self._free:
            if not select.select([self._control], [], [], _TICK_S)[0]:
                return None
            data = self._receive()
            complete, _, self._pending = (self._pending + data).rpartition(b"\n")
            self._free.extend(
                json.loads(line.decode("utf-8"))["free"] for line in complete.split(b"\n") if line
            )
        return self._free.popleft() if self._free else None

    def _receive(self) -> bytes:
        try:
            data = self._control.recv(65536)
        except OSError:  # the parent has closed its end with messages unread
            data = b""
        if not data:
            self._stop.set()
        return data

    def _note(self, text: str) -> None:
        self._send({"note": text})

    def _send(self, message: Dict[str, Any]) -> None:
        try:
            self._control.sendall(json.dumps(message).encode("utf-8") + b"\n")
        except OSError:  # the parent has closed its end
            self._stop.set()

    def _watch(self, wakeup: int) -> None:
        """Wait until the parent closes its end, dies, or a signal says stop; then see that this ends."""
        poll = select.poll()
        poll.register(self._control, 0)  # its end is always told; what can be read is the other thread's
        poll.register(wakeup, select.POLLIN)
        poll.poll()
        self._stop.set()
        time.sleep(GRACE_S)
        os._exit(1)


def _end_with(parent: int) -> None:
    """Have Linux send SIGTERM when the parent dies: the socket's end alone would not tell of it where a
    third process has inherited the parent's end."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit(1)


def _terminate_by_descriptor() -> int:
    """A descriptor that can be read from once SIGTERM came: Python's own handlers would wait for a main
    thread that hangs in a driver. Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    return readable


def main(arguments: List[str]) -> int:
    """arguments: the descriptors of the socket and of the shared memory."""
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, int(arguments[0]))
    Worker(control, SharedMemory(int(arguments[1]))).run()
    return 0
