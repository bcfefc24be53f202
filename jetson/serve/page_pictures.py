"""Pictures into class folders, as the page asks for it: labelled, captured, and harvested ones sorted."""

import threading
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from legoclf.jetson.frame import to_bgr, wall_time
from legoclf.jetson.serve.images import BadRequest
from legoclf.jetson.serve.json_body import read_number, read_text
from legoclf.jetson.serve.live import LiveView
from legoclf.jetson.serve.live_metrics import Kept, Machine

#: Classes that may be added while it runs; each is a folder once it has a picture.
MOST_NEW_CLASSES = 100

#: Harvested pictures that are listed at once: the newest.
MOST_LISTED = 24


class PageParts(NamedTuple):
    """What the page is a page of.

    title: such as the bundle's name. description: what runs it.
    labels: of the bundle; empty where nothing is classified.
    machine: what it runs on.
    thresholds: all that has an attribute ``unknown_below``, which the slider sets.
    live: None without a camera.
    folders: the ClassFolders that pictures are put into, if any.
    session: a CaptureSession of these folders, where pictures may be captured.
    harvest: a Harvest, where there is one.
    locates: objects are located: a frame as a whole is nothing to be labelled.
    """

    title: str
    description: str
    labels: Sequence[str]
    machine: Machine
    thresholds: Sequence[Any] = ()
    live: Optional[LiveView] = None
    folders: Optional[Any] = None
    session: Optional[Any] = None
    harvest: Optional[Any] = None
    locates: bool = False


class PagePictures(object):
    """Answers for JSON objects, ``body``, of whoever; any thread may call it.

    Each method raises BadRequest where the body is wrong or there is no folder for it, UsageError where there
    is no such class or there cannot be, and LegoclfError where a picture cannot be written.
    """

    def __init__(self, parts: PageParts) -> None:
        self._parts = parts
        self._new_classes = 0
        self._capturing = threading.Lock()
        self._classes: "Kept[List[Dict[str, Any]]]" = Kept(self._read_classes)
        self._count: "Kept[int]" = Kept(lambda: int(parts.harvest.count()) if parts.harvest else 0)

    def record(self) -> Dict[str, Any]:
        """The classes with how many pictures each has, and how many are harvested; what there is of it."""
        record: Dict[str, Any] = {}
        if self._parts.folders is not None:
            record["classes"] = self._classes()
        if self._parts.harvest is not None:
            record["harvested"] = self._count()
        return record

    def label(self, body: Dict[str, Any]) -> Dict[str, Any]:
        """A frame that was seen, or its roi, into a class folder, whether or not it has its like there."""
        folders = self._folders()
        if self._parts.locates:
            raise BadRequest(409, "objects are located here: label what --harvest keeps of them")
        label = read_text(body, "label")
        result = live_of(self._parts).pictures.held(int(read_number(body, "sequence", 0, 2**53)))
        if result is None or result.frame is None:
            raise BadRequest(410, "that picture is no longer there: take a new one")
        picture = to_bgr(result.frame)
        if result.roi is not None:
            x, y, width, height = result.roi
            picture = np.ascontiguousarray(picture[y : y + height, x : x + width])
        taken_at = wall_time(result.captured_at)
        saved = folders.save(label, picture, taken_at, keep_duplicate=True)
        return dict(self._changed(), saved=saved)

    def capture(self, body: Dict[str, Any]) -> Dict[str, Any]:
        """What the camera sees from now on, into a class folder."""
        from legoclf.jetson.harvest.session import tell

        session = self._parts.session
        if session is None:
            raise BadRequest(409, "nothing can be captured here: start it with --capture FOLDER")
        label = read_text(body, "label")
        burst = int(read_number(body, "burst", 1, session.options.burst)) if "burst" in body else None
        # It waits for the camera: one request may, and the server's other threads stay free.
        if not self._capturing.acquire(blocking=False):
            raise BadRequest(409, "pictures are being taken: wait for them")
        try:
            outcomes = session.take(label, burst)
        finally:
            self._capturing.release()
        saved = sum(isinstance(each, str) for each in outcomes)
        return dict(self._changed(), saved=saved, told=tell(outcomes))

    def add_class(self, body: Dict[str, Any]) -> Dict[str, Any]:
        """One more class to sort pictures into."""
        folders = self._folders()
        if self._new_classes >= MOST_NEW_CLASSES:
            raise BadRequest(409, "{} classes were added: start anew for more".format(MOST_NEW_CLASSES))
        label = folders.add_label(read_text(body, "label"))
        self._new_classes += 1
        return dict(self._changed(), label=label)

    def list_harvest(self) -> Dict[str, Any]:
        """The newest of the harvested pictures, with what the model thought."""
        harvest = self._harvest()
        fields = ("id", "reason", "when", "label", "probability")
        items = [{name: getattr(each, name) for name in fields} for each in harvest.items(MOST_LISTED)]
        return {"count": harvest.count(), "items": items}

    def sort_harvest(self, identity: str, body: Dict[str, Any]) -> Dict[str, Any]:
        """One of them into a class folder, or away."""
        harvest = self._harvest()
        if body.get("discard") is True:
            _of_item(lambda: harvest.discard(identity))
        else:
            folders, label = self._folders(), read_text(body, "label")
            _of_item(lambda: harvest.label(identity, label, folders))
        self._changed()
        return {"harvested": self._count()}

    def harvest_image(self, identity: str) -> bytes:
        """One of them, as JPEG."""
        harvest = self._harvest()
        data: bytes = _of_item(lambda: harvest.image(identity))
        return data

    def _changed(self) -> Dict[str, Any]:
        self._classes.forget()
        self._count.forget()
        return self.record()

    def _read_classes(self) -> List[Dict[str, Any]]:
        folders = self._folders()
        counts = folders.counts()
        return [{"label": label, "count": sum(counts.get(label, {}).values())} for label in folders.labels]

    def _folders(self) -> Any:
        if self._parts.folders is None:
            raise BadRequest(409, "there is no folder to put pictures into: start it with --capture FOLDER")
        return self._parts.folders

    def _harvest(self) -> Any:
        if self._parts.harvest is None:
            raise BadRequest(409, "nothing is harvested here: start it with --harvest FOLDER")
        return self._parts.harvest


def live_of(parts: PageParts) -> LiveView:
    """The live view.

    Raises:
        BadRequest: there is none.
    """
    if parts.live is None:
        raise BadRequest(409, "there is no camera here: start `legoclf camera --serve`")
    return parts.live


def _of_item(work: Callable[[], Any]) -> Any:
    """What ``work`` gives; a harvested picture that is gone is 404."""
    from legoclf.jetson.harvest.harvest import UnknownItem

    try:
        return work()
    except UnknownItem as error:
        raise BadRequest(404, "that picture is no longer there") from error
