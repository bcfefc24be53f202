"""A folder of harvested pictures: ``<name>.jpg``, and ``<name>.json`` with what the model thought.

The record is written first and removed last. So an image without a record is never ours to remove, a record
without an image is what a process that was killed has left, and no list has to be kept in step with files.
"""

import contextlib
import errno
import json
import os
from typing import Any, Dict, List, NamedTuple, Optional

from legoclf.errors import LegoclfError
from legoclf.jetson.harvest.files import read_plain, remove_file, remove_temporary, write_new
from legoclf.jetson.harvest.names import is_stem

FORMAT_KEY = "legoclf_harvest"
FORMAT_VERSION = 1

#: Marks a folder as one of harvested pictures, and is locked by the process that fills it.
MARKER = ".legoclf-harvest"

#: Beside the cap in bytes: so many names are still listed in a blink.
MOST_ITEMS = 10000

MOST_RECORD_BYTES = 1 << 20
MOST_IMAGE_BYTES = 32 << 20


class Kept(NamedTuple):
    """A picture in the folder.

    stem: its name without extension. amount: how unsure the model was, 0 to 1. nbytes: of both files.
    """

    stem: str
    amount: float
    nbytes: int


class HarvestFolder(object):
    """Fills a folder up to a cap; a context manager that holds the folder for itself. For one thread.

    When it is full, the surest picture of the older half goes: what is new always finds room, and of what is
    old the least sure stays longest.

    Args:
        root: the folder; made where it is missing.
        cap_bytes: what all that it keeps may take.
    """

    def __init__(self, root: str, cap_bytes: int) -> None:
        self.root = root
        self._cap_bytes = cap_bytes
        self._kept: List[Kept] = []
        self._total = 0
        self._lock: Optional[int] = None

    def __enter__(self) -> "HarvestFolder":
        """Make and lock the folder.

        Raises:
            LegoclfError: another process fills it, it holds something else, or it cannot be written.
        """
        try:
            os.makedirs(self.root, exist_ok=True)
            marker = os.path.join(self.root, MARKER)
            if not os.path.exists(marker) and os.listdir(self.root):
                raise LegoclfError(
                    "{}: holds other files; give --harvest an empty or a new folder".format(self.root)
                )
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
            self._lock = os.open(marker, flags, 0o666)
        except OSError as error:
            raise LegoclfError("{}: cannot be written: {}".format(self.root, error.strerror)) from error
        try:
            self._take_lock(self._lock)
            self._read()
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._let_go()

    def add(self, stem: str, jpeg: bytes, record: Dict[str, Any]) -> None:
        """Keep a picture, and make room for it.

        Args:
            stem: its name, of :mod:`legoclf.jetson.harvest.names`.
            record: what is told of it; "amount" says how unsure the model was.

        Raises:
            LegoclfError: it is larger than the cap, or cannot be written; nothing is left of it.
        """
        data = json.dumps(dict(record, **{FORMAT_KEY: FORMAT_VERSION}), ensure_ascii=False, allow_nan=False)
        text = data.encode("utf-8", "replace") + b"\n"
        nbytes = len(jpeg) + len(text)
        if nbytes > self._cap_bytes:
            raise LegoclfError(
                "{}: a picture takes {} bytes, and --harvest_mb allows {}; allow more".format(
                    self.root, nbytes, self._cap_bytes
                )
            )
        try:
            self._make_room(nbytes)
            write_new(self.root, stem + ".json", text)
            try:
                write_new(self.root, stem + ".jpg", jpeg)
            except BaseException:
                remove_file(self.root, stem + ".json")
                raise
        except OSError as error:
            mend = "; free some space" if error.errno == errno.ENOSPC else ""
            raise LegoclfError("{}: {}{}".format(self.root, error.strerror, mend)) from error
        self._kept.append(Kept(stem, float(record["amount"]), nbytes))
        self._total += nbytes

    def newest(self, most: int) -> List[str]:
        """The names of the newest pictures, the oldest of them first."""
        return [kept.stem for kept in self._kept[-most:]]

    def _make_room(self, nbytes: int) -> None:
        if self._fits(nbytes):
            return
        # Labelled or discarded meanwhile, maybe by another process.
        there = set(os.listdir(self.root))
        self._kept = [kept for kept in self._kept if kept.stem + ".jpg" in there]
        self._total = sum(kept.nbytes for kept in self._kept)
        while not self._fits(nbytes):
            older = self._kept[: (len(self._kept) + 1) // 2]
            least = min(older, key=lambda kept: (kept.amount, kept.stem))
            remove_item(self.root, least.stem)
            self._kept.remove(least)
            self._total -= least.nbytes

    def _fits(self, nbytes: int) -> bool:
        return self._total + nbytes <= self._cap_bytes and len(self._kept) < MOST_ITEMS

    def _read(self) -> None:
        remove_temporary(self.root)
        there = set(os.listdir(self.root))
        for stem in list_stems(self.root):
            record = read_record(self.root, stem)
            if record is None:
                continue
            if stem + ".jpg" not in there:
                remove_file(self.root, stem + ".json")
                continue
            with contextlib.suppress(FileNotFoundError):  # labelled by another process at this moment
                sizes = [os.stat(os.path.join(self.root, stem + end)).st_size for end in (".jpg", ".json")]
                self._kept.append(Kept(stem, record["amount"], sum(sizes)))
        self._total = sum(kept.nbytes for kept in self._kept)

    def _take_lock(self, descriptor: int) -> None:
        try:
            import fcntl
        except ImportError:  # Windows: two processes there are not told from one
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LegoclfError(
                "{}: another `legoclf camera --harvest` fills it; name another folder".format(self.root)
            ) from None

    def _let_go(self) -> None:
        descriptor, self._lock = self._lock, None
        if descriptor is not None:
            os.close(descriptor)


def list_stems(root: str) -> List[str]:
    """The names of the records in a folder, sorted; none where the folder is missing."""
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return []
    return sorted(name[:-5] for name in names if name.endswith(".json") and is_stem(name[:-5]))


def read_record(root: str, stem: str) -> Optional[Dict[str, Any]]:
    """What is told of a picture; None where there is no such record, or it is damaged or not ours.

    Args:
        stem: a name for which ``is_stem`` holds.
    """
    data = read_plain(root, stem + ".json", MOST_RECORD_BYTES)
    try:
        record = json.loads((data or b"").decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or record.get(FORMAT_KEY) != FORMAT_VERSION:
        return None
    is_whole = all(isinstance(record.get(name), str) for name in ("time", "reason", "label"))
    numbers = [record.get(name) for name in ("amount", "probability")]
    is_whole = is_whole and all(isinstance(each, (int, float)) and 0 <= each <= 1 for each in numbers)
    return record if is_whole and isinstance(record.get("top"), list) else None


def remove_item(root: str, stem: str) -> bool:
    """Remove a picture and then its record; whether the picture was there."""
    was_there = remove_file(root, stem + ".jpg")
    remove_file(root, stem + ".json")
    return was_there
