"""A camera or a video that is read by a capture process: watched, and opened again when it is lost."""

import collections
import logging
import mmap
import os
import select
import threading
import time
from typing import Any, Deque, Dict, NamedTuple, Optional, Set

from legoclf.errors import LegoclfError
from legoclf.jetson.capture import Announced, CaptureProcess, take
from legoclf.jetson.frame import Frame
from legoclf.jetson.source_base import Source, SourceOptions
from legoclf.jetson.source_uri import SourceUri, hide_password

LOGGER = logging.getLogger(__name__)

#: Until the capture process first says something. The first time ever, GStreamer looks all its plugins over,
#: which takes a Nano longer than any camera does.
START_TIMEOUT_S = 60.0


class _Waiting(NamedTuple):
    """A frame that can be read, where it is, and its place among all frames of the source."""

    frame: Announced
    memory: mmap.mmap
    process: CaptureProcess
    sequence: int


class ProcessSource(Source):
    """A source of the kind csi, v4l2, rtsp, http, file or gst.

    Its thread starts the capture process, takes note of each frame, and for a camera gives back at once what
    a newer frame supersedes: pixels are copied only of frames that are read.
    """

    def __init__(self, source: SourceUri, options: SourceOptions) -> None:
        super().__init__()
        self.is_live = source.is_live
        self._source = source
        self._options = options
        self._changed = threading.Condition()
        self._waiting: Deque[_Waiting] = collections.deque()
        self._failure: Optional[Exception] = None
        self._stopping = False
        self._process: Optional[CaptureProcess] = None
        self._is_over = False
        self._heard_at = 0.0
        self._logged = ""
        self._noted: Set[str] = set()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The capture process's id, 0 where there is none at the moment."""
        process = self._process
        return 0 if process is None else process.pid

    def read(self, timeout_s: float) -> Optional[Frame]:
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._waiting:
                if self._failure is not None:
                    raise self._failure
                remaining = deadline - time.monotonic()
                if self.ended or remaining <= 0:
                    return None
                self._changed.wait(remaining)
            waiting = self._waiting.popleft()
            self._end_if_over()
        image = take(waiting.frame, waiting.memory)
        waiting.process.free(waiting.frame.slot)
        if not self.is_live:
            # The process was waiting for that slot.
            self._heard_at = time.monotonic()
        return Frame(image, waiting.frame.pixel_format, waiting.sequence, waiting.frame.captured_at)

    def close(self) -> None:
        with self._changed:
            if self._stopping:
                return
            self._stopping = True
        os.write(self._wake_write, b".")
        self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        delay_s = self._options.first_delay_s
        while not self._stopping:
            captured = self.captured
            try:
                reason = self._run_process()
            except Exception as error:  # whatever it is, the reader is to hear of it and not to wait for ever
                LOGGER.debug("source %s", self._source.shown, exc_info=True)
                reason = "{}: {}".format(type(error).__name__, error)
            if self.captured > captured:
                delay_s = self._options.first_delay_s
            if self._stopping or not reason or not self._goes_on(reason, delay_s):
                break
            self._pause(delay_s)
            delay_s = min(2 * delay_s, self._options.longest_delay_s)
        with self._changed:
            self._is_over = True
            self._end_if_over()
            self._changed.notify_all()

    def _end_if_over(self) -> None:
        if self._is_over and not self._waiting:
            self.state = "ended"

    def _run_process(self) -> str:
        """Open the source and read it until it fails; why it did, or nothing if it ended or is to stop."""
        process = CaptureProcess(self._source, self._options.backend)
        self._process = process
        try:
            return self._watch(process)
        except LegoclfError as error:
            return str(error)
        finally:
            self._process = None
            if self.is_live:
                self._lose()
            process.stop()

    def _watch(self, process: CaptureProcess) -> str:
        before = self.captured
        self._heard_at = time.monotonic()
        limit_s = START_TIMEOUT_S
        while not self._stopping:
            if self._waiting and not self.is_live:
                # It is the reader who is waited for.
                self._heard_at = time.monotonic()
            silent_s = time.monotonic() - self._heard_at
            if silent_s >= limit_s:
                return "no frame for {:.1f} s".format(silent_s)
            for message in process.receive(limit_s - silent_s, self._wake_read):
                if "frame" in message:
                    limit_s = self._options.stall_timeout_s
                    self._take_note(message["frame"], process, before)
                elif "note" in message:
                    limit_s = self._options.open_timeout_s
                    self._heard_at = time.monotonic()
                    self._say(hide_password(message["note"], self._source))
                elif "error" in message:
                    return str(message["error"])
                else:
                    return "the stream has ended" if self.is_live else ""
        return ""

    def _say(self, note: str) -> None:
        """Pass a note on, once: the next capture process will have the same."""
        if note not in self._noted:
            self._noted.add(note)
            LOGGER.info("source: %s", note)

    def _take_note(self, message: Dict[str, Any], process: CaptureProcess, before: int) -> None:
        frame, memory = process.announced(message)
        with self._changed:
            if self.is_live:
                self._drop_waiting()
            self._waiting.append(_Waiting(frame, memory, process, before + frame.sequence))
            self.captured = before + frame.sequence + 1
            self._heard_at = time.monotonic()
            if self.state == "lost":
                self.reopened += 1
                LOGGER.warning("source %s: back", self._source.shown)
            self.state, self._logged = "running", ""
            self._changed.notify_all()

    def _drop_waiting(self) -> None:
        with self._changed:
            while self._waiting:
                old = self._waiting.popleft()
                old.process.free(old.frame.slot)
                self.dropped += 1

    def _lose(self) -> None:
        """A camera is gone, and a frame of it that nobody read is no longer news."""
        with self._changed:
            self._drop_waiting()
            if self.state == "running":
                self.state = "lost"

    def _goes_on(self, reason: str, delay_s: float) -> bool:
        """Note a failure; whether the source is to be opened again."""
        reason = explain(reason, self._source)
        with self._changed:
            self.last_error = reason
            if not self.is_live or (self.state == "opening" and not self._options.retry_first):
                self._failure = LegoclfError(reason)
                return False
        if reason != self._logged:
            LOGGER.warning("%s; opening it again in %.1f s", reason, delay_s)
            self._logged = reason
        return True

    def _pause(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        poll.poll(seconds * 1000)


def explain(reason: str, source: SourceUri) -> str:
    """A failure in one line that names the source, without its password, with the mend of a known cause."""
    text = hide_password(reason, source)
    if source.shown not in text:
        text = "source {}: {}".format(source.shown, text)
    if source.kind == "csi" and "sudo apt" not in text:
        text += (
            "; if nothing else uses the camera and its cable is in, its daemon is stuck: "
            "sudo systemctl restart nvargus-daemon"
        )
    return text
