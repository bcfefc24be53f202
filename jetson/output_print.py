"""The answer on the terminal, each time it changes."""

from typing import Optional

from legoclf.errors import printable
from legoclf.jetson.output import Output, OutputContext
from legoclf.jetson.result import Result, capture_time


class Print(Output):
    """A line on standard output when the answer changes, or an object is counted."""

    name = "print"

    def __init__(self, context: OutputContext) -> None:
        self._terminal = context.terminal
        self._last: Optional[str] = None

    def write(self, result: Result) -> None:
        if result.tracks is not None:
            for track in result.tracks:
                if track.newly_counted:
                    self._say(result, "{} #{}".format(track.label, track.id), float(track.probability))
        elif result.label != self._last:
            self._last = result.label
            label = result.label
            if result.is_novel:
                label = "{}, most like {}".format(label, result.top[0][0])
            self._say(result, label, result.probability)

    def _say(self, result: Result, label: str, probability: float) -> None:
        named = "{}  {}  {:.1%}".format(capture_time(result), printable(label), probability)
        self._terminal.line(named)
