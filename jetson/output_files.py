"""Results as lines of a file: JSON lines and CSV."""

import csv
import io
import json
import os
import stat
import sys
from typing import Any, List, Optional

from legoclf.errors import LegoclfError
from legoclf.jetson.output import Output, OutputContext
from legoclf.jetson.result import UNKNOWN, Result, as_record, capture_time
from legoclf.novelty import json_novelty

#: A CSV has these columns always: an object a row where objects are located, else a frame a row.
CSV_COLUMNS = (
    "time",
    "sequence",
    "age_ms",
    "label",
    "probability",
    "unknown",
    "object",
    "x",
    "y",
    "width",
    "height",
    "counted",
)

#: One more at the end, where the network gives it and frames are looked at as a whole.
NOVELTY_COLUMN = "novelty"


class LineFile:
    """A file that is written line by line, each handed to the system at once and whole.

    Args:
        path: ``-`` is standard output.
        overwrite: what stands there may be replaced.
    """

    def __init__(self, path: str, overwrite: bool) -> None:
        self._path = path
        self._overwrite = overwrite
        self._descriptor: Optional[int] = None
        self._truncates = False

    def open(self) -> None:
        """Make the file.

        Raises:
            LegoclfError: it exists already, or cannot be written.
        """
        if self._path == "-":
            return
        check_new_file(self._path, self._overwrite)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0)
        try:
            self._descriptor = os.open(self._path, flags, 0o666)
        except OSError as error:
            raise LegoclfError("{}: cannot be written: {}".format(self._path, error.strerror)) from error
        self._truncates = stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    def write(self, text: str) -> None:
        """Write whole lines, or, of a file on a disk that is full, nothing.

        Raises:
            OSError: as the system says.
        """
        data = text.encode("utf-8")
        if self._descriptor is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        done = 0
        try:
            while done < len(data):
                done += os.write(self._descriptor, data[done:])
        except OSError:
            if done and self._truncates:
                os.ftruncate(self._descriptor, os.lseek(self._descriptor, -done, os.SEEK_CUR))
            raise

    def close(self) -> None:
        """Close it; may be called twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def check_new_file(path: str, overwrite: bool) -> None:
    """Refuse a path where a file stands already, unless it may be replaced; a device or pipe is fine.

    Raises:
        LegoclfError: there is such a file.
    """
    if os.path.isfile(path) and not overwrite:
        raise LegoclfError("{}: exists already; name another file, or --overwrite".format(path))


class JsonLines(Output):
    """One JSON object a line for each result."""

    keeps_all = True

    def __init__(self, path: str, context: OutputContext) -> None:
        self.name = "jsonl:" + path
        self._file = LineFile(path, context.overwrite)

    def __enter__(self) -> "JsonLines":
        self._file.open()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._file.close()

    def write(self, result: Result) -> None:
        self._file.write(json.dumps(as_record(result), ensure_ascii=False, allow_nan=False) + "\n")


class Csv(Output):
    """A row for each result, or for each object in it, below a row of names."""

    keeps_all = True

    def __init__(self, path: str, context: OutputContext) -> None:
        self.name = "csv:" + path
        self._file = LineFile(path, context.overwrite)
        self._has_head = False

    def __enter__(self) -> "Csv":
        self._file.open()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._file.close()

    def write(self, result: Result) -> None:
        rows = _rows(result)
        if not self._has_head:
            rows.insert(0, [*CSV_COLUMNS, *([] if result.novelty is None else [NOVELTY_COLUMN])])
        self._file.write(_csv_text(rows))
        self._has_head = True


def _rows(result: Result) -> List[List[Any]]:
    frame = [capture_time(result), result.sequence, "{:.3f}".format(result.age_ms)]
    if result.tracks is None:
        said = [result.label, "{:.6f}".format(result.probability), int(result.is_unknown)]
        novelty: List[Any] = [] if result.novelty is None else [json_novelty(result.novelty)]
        return [frame + said + [""] * 6 + novelty]
    return [
        [
            *frame,
            track.label,
            "{:.6f}".format(track.probability),
            int(track.label == UNKNOWN),
            track.id,
            *(int(side) for side in track.box),
            int(track.counted),
        ]
        for track in result.tracks
    ]


def _csv_text(rows: List[List[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
