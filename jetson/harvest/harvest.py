"""Harvested pictures, being looked through: each into the folder of its class, or discarded."""

import os
import threading
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from legoclf.errors import LegoclfError, printable
from legoclf.jetson.harvest.class_folders import ClassFolders
from legoclf.jetson.harvest.files import read_plain
from legoclf.jetson.harvest.folder import MOST_IMAGE_BYTES, list_stems, read_record, remove_item
from legoclf.jetson.harvest.names import is_stem

#: Items that one listing has at most.
MOST_LISTED = 1000


class UnknownItem(LegoclfError):  # noqa: N818
    """There is no harvested picture of that id: it never was, was labelled or discarded, or made room."""


class Item(NamedTuple):
    """A harvested picture.

    id: names it in calls; opaque.
    reason: "unknown", "flickering" or "uncertain".
    when: ISO 8601 in UTC.
    label, probability: the likeliest answer.
    top: the likeliest labels with their probabilities, the likeliest first.
    record: all that its sidecar tells.
    """

    id: str
    reason: str
    when: str
    label: str
    probability: float
    top: List[Tuple[str, float]]
    record: Dict[str, Any]


class Harvest(object):
    """The pictures that `legoclf camera --harvest` keeps in a folder; for any thread.

    Nothing is held in memory: the folder may be filled by this process, by another, or by none. An id is
    looked up among the folder's records, and becomes part of no path unless it has the form of a name there.

    Args:
        root: the folder; need not be there yet.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._lock = threading.Lock()

    def items(self, most: int = 100, before: Optional[str] = None) -> List[Item]:
        """The newest pictures, the newest first.

        Args:
            most: how many, up to MOST_LISTED.
            before: only those older than the one of this id, to go on where the last call ended.
        """
        items: List[Item] = []
        for stem in reversed(list_stems(self.root)):
            if len(items) >= min(most, MOST_LISTED):
                break
            if before is None or stem < before:
                item = self._item(stem)
                if item is not None:
                    items.append(item)
        return items

    def count(self) -> int:
        """How many there are, one or two that are just being written or removed included."""
        return len(list_stems(self.root))

    def image(self, id_: str) -> bytes:
        """A picture, as JPEG.

        Raises:
            UnknownItem: there is none of that id.
        """
        jpeg = None
        if is_stem(id_) and read_record(self.root, id_) is not None:
            jpeg = read_plain(self.root, id_ + ".jpg", MOST_IMAGE_BYTES)
        if jpeg is None:
            raise UnknownItem("no harvested picture '{}'; list them anew".format(printable(str(id_))[:80]))
        return jpeg

    def label(self, id_: str, label: str, folders: ClassFolders) -> str:
        """Move a picture into the folder of its class, under its own name; its path below the data set.

        Killed midway it stands in both places, and doing it again ends it.

        Raises:
            UnknownItem: there is none of that id.
            UsageError: there is no such label.
            LegoclfError: it cannot be written; the picture stays.
        """
        with self._lock:
            relative = folders.adopt(label, id_, self.image(id_))
            self._remove(id_)
        return relative

    def discard(self, id_: str) -> None:
        """Remove a picture for good.

        Raises:
            UnknownItem: there is none of that id.
            LegoclfError: it cannot be removed.
        """
        with self._lock:
            self.image(id_)
            self._remove(id_)

    def _remove(self, stem: str) -> None:
        try:
            remove_item(self.root, stem)
        except OSError as error:
            raise LegoclfError("{}: cannot be removed: {}".format(self.root, error.strerror)) from error

    def _item(self, stem: str) -> Optional[Item]:
        record = read_record(self.root, stem)
        if record is None or not os.path.isfile(os.path.join(self.root, stem + ".jpg")):
            return None
        top = [
            (str(each["label"]), float(each["probability"]))
            for each in record["top"]
            if isinstance(each, dict)
            and "label" in each
            and isinstance(each.get("probability"), (int, float))
        ]
        return Item(
            stem,
            record["reason"],
            record["time"],
            record["label"],
            float(record["probability"]),
            top,
            record,
        )
