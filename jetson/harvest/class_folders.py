"""The data set that `legoclf retrain --image_dir` takes, being filled: one folder for each class."""

import errno
import heapq
import os
import threading
import unicodedata
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

import numpy as np

from legoclf.errors import LegoclfError, UsageError, printable
from legoclf.image import decode_reduced, is_hidden_name, is_image_name, iter_image_files
from legoclf.jetson.harvest.files import read_plain, remove_temporary, write_new
from legoclf.jetson.harvest.names import check_label, new_group, stem_of
from legoclf.jetson.harvest.pictures import LEAST_SIDE, Recent, fingerprint, reduce_picture
from legoclf.jetson.jpeg import encode_jpeg
from legoclf.split import SPLIT_FOLDERS, SPLITS, TRAIN, split_class

#: A picture is compared with so many of its class, the newest; so many are read of those that were there.
COMPARED = 500
READ_AT_START = 200

#: A picture that is larger than this is not looked at for near-duplicates.
MOST_BYTES = 32 << 20


class Rejected(NamedTuple):
    """A picture that was not kept. reason: one word or two, for counting; detail: for people."""

    reason: str
    detail: str


#: What became of a picture: its path below the data set's folder, with ``/``, or why it was not kept.
Outcome = Union[str, Rejected]

DUPLICATE = "near-duplicate"


class ClassFolders(object):
    """Pictures into ``root/<label>/<time>-<random>_nohash_<number>.jpg``; for any thread.

    Files are only added: what stands there is never replaced or removed. A class that is there already is
    added to. Folders are made with their first picture, as retrain warns of empty ones.

    Args:
        root: the data set's folder; made where it is missing.
        labels: the classes that may be added to, in the order in which they are shown.

    Raises:
        UsageError: a label cannot be a folder, stands there twice, or is all but that of another class.
        LegoclfError: the folder cannot be written, or holds a data set that is split already.
    """

    def __init__(self, root: str, labels: Sequence[str]) -> None:
        self.root = root
        self._lock = threading.RLock()
        self._folders: Dict[str, str] = {}
        self._recent: Dict[str, Recent] = {}
        self._counts: Dict[str, Tuple[float, Dict[str, int]]] = {}
        try:
            os.makedirs(root, exist_ok=True)
        except OSError as error:
            raise LegoclfError(
                "{}: cannot be made: {}; name a folder".format(root, error.strerror)
            ) from error
        if not os.access(root, os.W_OK | os.X_OK):
            raise LegoclfError("{}: may not be written by this user; name another folder".format(root))
        self._check_not_split()
        for label in labels:
            self.add_label(label)

    @property
    def labels(self) -> List[str]:
        """The classes that may be added to."""
        with self._lock:
            return list(self._folders)

    def add_label(self, label: str) -> str:
        """Allow one more class; the label in Unicode NFC.

        Raises:
            UsageError: it cannot be a folder, is there already, or is all but that of another class.
        """
        label = check_label(label)
        with self._lock:
            if label in self._folders:
                raise UsageError("label '{}' stands there twice; each class has one".format(label))
            known = {unicodedata.normalize("NFC", name): name for name in class_names(self.root)}
            for other in list(self._folders) + list(known):
                if other != label and other.lower() == label.lower():
                    raise UsageError(
                        "labels '{}' and '{}' differ in case alone, and not every system tells their folders "
                        "apart; write both alike".format(label, printable(other))
                    )
            # macOS hands names out decomposed: the folder that is there keeps its spelling.
            self._folders[label] = known.get(label, label)
        return label

    def save(
        self,
        label: str,
        bgr: np.ndarray,
        when_s: float,
        group: Optional[str] = None,
        keep_duplicate: bool = False,
    ) -> Outcome:
        """Add a picture to a class.

        Args:
            label: one of :attr:`labels`.
            bgr: uint8 [H, W, 3], BGR, 0-255.
            when_s: when it was taken, in seconds since 1970.
            group: of :mod:`legoclf.jetson.harvest.names`: pictures of one group come into one set, training,
                validation or test; None for one of its own.
            keep_duplicate: even where the class has one that looks the same.

        Raises:
            UsageError: there is no such label.
            LegoclfError: it cannot be written; nothing is left of it.
        """
        self._check_known(label)
        seen = fingerprint(reduce_picture(bgr))
        with self._lock:
            recent = self._recent_of(label)
            if not keep_duplicate and recent.has_near(seen):
                return Rejected(DUPLICATE, "'{}' has a picture that looks the same".format(label))
            relative = self._write(label, group or new_group(when_s), encode_jpeg(bgr))
            recent.add(seen)
        return relative

    def adopt(self, label: str, stem: str, jpeg: bytes) -> str:
        """Add a picture that is a JPEG already, by its name without extension; its path below the root.

        One that is there under this name with the same bytes was added before, and stays.

        Raises:
            UsageError: there is no such label.
            LegoclfError: it cannot be written, or another picture has this name.
        """
        self._check_known(label)
        name = stem + ".jpg"
        with self._lock:
            try:
                self._write_file(label, name, jpeg)
            except FileExistsError:
                if read_plain(self._folder(label), name, MOST_BYTES) != jpeg:
                    raise LegoclfError(
                        "{}: another picture has this name; rename it".format(
                            os.path.join(self._folder(label), name)
                        )
                    ) from None
        return "{}/{}".format(self._folders[label], name)

    def counts(self) -> Dict[str, Dict[str, int]]:
        """Pictures of each class by the set that retrain puts them into: label, set of SPLITS, number.

        The classes that may be added to, and then the others in the folder. Sets are those of
        :func:`legoclf.split.split_class` with its default percentages: by the hash of the group, so that a
        picture stays in its set, but for the first few groups of a class, which are dealt out so that each
        set has one.

        Raises:
            LegoclfError: a folder cannot be listed.
        """
        with self._lock:
            folders = dict(self._folders)
            for name in class_names(self.root):
                folders.setdefault(unicodedata.normalize("NFC", name), name)
            return {label: self._count(folder) for label, folder in folders.items()}

    def _count(self, folder: str) -> Dict[str, int]:
        path = os.path.join(self.root, folder)
        changed_at = os.stat(path).st_mtime if os.path.isdir(path) else 0.0
        known = self._counts.get(folder)
        if known is None or known[0] != changed_at:
            paths = list(iter_image_files(path)) if changed_at else []
            names = [
                unicodedata.normalize("NFC", os.path.relpath(each, self.root).replace(os.sep, "/"))
                for each in paths
            ]
            chosen = list(split_class(names).values())
            known = (changed_at, {split: chosen.count(split) for split in SPLITS})
            self._counts[folder] = known
        return dict(known[1])

    def _check_known(self, label: str) -> None:
        if label not in self._folders:
            raise UsageError(
                "label '{}': expected one of {}".format(printable(label), ", ".join(self._folders))
            )

    def _folder(self, label: str) -> str:
        return os.path.join(self.root, self._folders[label])

    def _recent_of(self, label: str) -> Recent:
        """What the class has, the newest of it; read at the first picture, and not for classes left alone."""
        if label not in self._recent:
            recent = Recent(COMPARED)
            folder = self._folder(label)
            if os.path.isdir(folder):
                try:
                    remove_temporary(folder)
                except OSError as error:
                    raise LegoclfError("{}: cannot be used: {}".format(folder, error.strerror)) from error
                for path in heapq.nlargest(READ_AT_START, iter_image_files(folder))[::-1]:
                    _add_file(recent, path)
            self._recent[label] = recent
        return self._recent[label]

    def _write(self, label: str, group: str, jpeg: bytes) -> str:
        number = 0
        while True:
            name = stem_of(group, number) + ".jpg"
            try:
                if not os.path.lexists(os.path.join(self._folder(label), name)):
                    self._write_file(label, name, jpeg)
                    return "{}/{}".format(self._folders[label], name)
            except FileExistsError:
                pass  # another process was quicker
            number += 1

    def _write_file(self, label: str, name: str, jpeg: bytes) -> None:
        folder = self._folder(label)
        try:
            os.makedirs(folder, exist_ok=True)
            write_new(folder, name, jpeg)
        except FileExistsError:
            if os.path.isdir(folder):
                raise
            raise LegoclfError("{}: is a file, and no class folder; move it away".format(folder)) from None
        except OSError as error:
            mend = "; free some space" if error.errno == errno.ENOSPC else ""
            raise LegoclfError("{}: cannot be written: {}{}".format(folder, error.strerror, mend)) from error
        self._counts.pop(self._folders[label], None)

    def _check_not_split(self) -> None:
        """Refuse the layout train/<class>/..., where a class folder beside train would end the split."""
        names = {name.lower(): name for name in class_names(self.root)}
        splits = {folded: SPLIT_FOLDERS[folded] for folded in names if folded in SPLIT_FOLDERS}
        training = [names[folded] for folded, split in splits.items() if split == TRAIN]
        if not training or set(splits.values()) == {TRAIN}:
            return
        inside = os.path.join(self.root, training[0])
        if class_names(inside) and not any(is_image_name(name) for name in os.listdir(inside)):
            raise LegoclfError(
                "{}: is split into folders already, and a class beside them would end that; give {}".format(
                    self.root, inside
                )
            )


def class_names(root: str) -> List[str]:
    """The folders in a folder that retrain takes for classes, sorted; none where it is missing.

    Raises:
        LegoclfError: it cannot be listed.
    """
    found: Set[str] = set()
    try:
        with os.scandir(root) as entries:
            found.update(each.name for each in entries if not is_hidden_name(each.name) and each.is_dir())
    except FileNotFoundError:
        pass
    except OSError as error:
        raise LegoclfError("{}: cannot be listed: {}".format(root, error.strerror)) from error
    return sorted(found)


def _add_file(recent: Recent, path: str) -> None:
    """Take a picture on the disk into account, where it can be read; what is wrong with it, retrain tells."""
    folder, name = os.path.split(path)
    data = read_plain(folder, name, MOST_BYTES)
    if data is None:
        return
    try:
        rgb = decode_reduced(data, path, LEAST_SIDE, LEAST_SIDE)
    except LegoclfError:
        return
    recent.add(fingerprint(reduce_picture(rgb[:, :, ::-1])))
