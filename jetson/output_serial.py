"""A few bytes on a serial port when a label is seen: to a relay, an Arduino, a sorting arm."""

import os
import re
import select
from typing import Dict, Optional

from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.output import Output, OutputContext
from legoclf.jetson.result import UNKNOWN, Result

DEFAULT_BAUD = 115200
DEFAULT_INTERVAL_S = 0.5
_WRITE_SECONDS = 1.0


class SerialOptions(object):
    """What ``serial:PATH?...`` asks for.

    label: the answer that triggers; None for each. send: the bytes; None for the label and a line break.
    interval_s: no second trigger sooner.
    """

    def __init__(self, options: Dict[str, str], context: OutputContext) -> None:
        self.label: Optional[str] = options.get("label")
        if self.label is not None and self.label not in [*context.labels, UNKNOWN]:
            raise UsageError(
                "serial: label: got {!r}, expected one of {}".format(self.label, ", ".join(context.labels))
            )
        send = options.get("send")
        self.send = None if send is None else _escaped(send)
        self.baud = _whole_number("baud", options.get("baud", str(DEFAULT_BAUD)))
        self.interval_s = _seconds("interval_s", options.get("interval_s", str(DEFAULT_INTERVAL_S)))


class Serial(Output):
    """Sends when the answer becomes the label, or when an object of it is counted.

    A port that goes away is opened again when there is something to send.
    """

    def __init__(self, path: str, options: SerialOptions) -> None:
        self.name = "serial:" + path
        self._path = path
        self._options = options
        self._descriptor: Optional[int] = None
        self._last: Optional[str] = None
        self._sent_at: Optional[float] = None

    def __enter__(self) -> "Serial":
        self._descriptor = open_port(self._path, self._options.baud)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def write(self, result: Result) -> None:
        if result.tracks is not None:
            for track in result.tracks:
                if track.newly_counted and self._is_wanted(track.label):
                    self._send(track.label)
            return
        changed, self._last = result.label != self._last, result.label
        if not changed or not self._is_wanted(result.label):
            return
        if self._sent_at is None or result.captured_at - self._sent_at >= self._options.interval_s:
            self._sent_at = result.captured_at
            self._send(result.label)

    def _is_wanted(self, label: str) -> bool:
        return self._options.label is None or label == self._options.label

    def _send(self, label: str) -> None:
        data = self._options.send
        if data is None:
            data = (label + "\n").encode("utf-8")
        if self._descriptor is None:
            self._descriptor = open_port(self._path, self._options.baud)
        try:
            while data:
                if not select.select([], [self._descriptor], [], _WRITE_SECONDS)[1]:
                    raise LegoclfError("takes no data for {:g} s".format(_WRITE_SECONDS))
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            self.__exit__(None, None, None)
            raise


def open_port(path: str, baud: int) -> int:
    """A serial port, 8 bits, no parity, raw; the descriptor.

    Raises:
        UsageError: the system knows no such speed.
        LegoclfError: it cannot be opened, or is no serial port.
    """
    try:
        import termios
    except ImportError as error:
        raise LegoclfError("serial: this system has no termios; it works on Linux and macOS") from error
    speed = getattr(termios, "B{}".format(baud), None)
    if speed is None:
        raise UsageError("serial: baud: got {}, expected one such as 9600, 57600 or 115200".format(baud))
    try:
        # Not to wait for a carrier, nor for a reader.
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        mend = "; join the group dialout" if isinstance(error, PermissionError) else ""
        raise LegoclfError("{}: cannot be opened: {}{}".format(path, error.strerror, mend)) from error
    try:
        special = termios.tcgetattr(descriptor)[6]
        # CLOCAL: no carrier is waited for. Without HUPCL an Arduino is not reset when the port is closed.
        control = termios.CS8 | termios.CREAD | termios.CLOCAL
        termios.tcsetattr(descriptor, termios.TCSANOW, [0, 0, control, 0, speed, speed, special])
    except termios.error as error:
        os.close(descriptor)
        raise LegoclfError("{}: is no serial port".format(path)) from error
    return descriptor


def _escaped(text: str) -> bytes:
    """Bytes to send; a backslash with n, r or a backslash stands for a line feed, a return, a backslash."""
    meant = re.sub(r"\\([nr\\])", lambda match: {"n": "\n", "r": "\r"}.get(match.group(1), "\\"), text)
    return meant.encode("utf-8", "surrogateescape")


def _whole_number(name: str, text: str) -> int:
    if not text.isdigit():
        raise UsageError("serial: {}: got {!r}, expected a whole number".format(name, text))
    return int(text)


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise UsageError("serial: {}: got {!r}, expected seconds".format(name, text))
    return seconds
