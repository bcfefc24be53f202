"""Writing a bundle: whole, or not at all."""

import ctypes
import errno
import json
import os
import re
import shutil
import tempfile
from typing import Any, Dict, Iterator, Mapping, Optional, Sequence

from legoclf.bundle import (
    FORMAT_VERSION,
    LABELS_FILE,
    MODEL_FILE,
    Bundle,
    FileRecord,
    read_model_json,
    sha256_file,
)
from legoclf.contract import InputContract
from legoclf.errors import LegoclfError, UsageError
from legoclf.novelty import NoveltyRule

#: Folders to which later stages add files of their own, not listed in model.json.
OPEN_FOLDERS = ("engines",)


class BundleWriter:
    """Writes a bundle beside its place and moves it there when all of it is written.

    Use as a context manager: put files into :attr:`directory`, then call :meth:`finish` once. On an
    error, or without :meth:`finish`, nothing is left and what stood at ``path`` stays as it was. What
    a killed process leaves is removed by the next one that finishes.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        check_replaceable(self.path)
        self.directory = ""

    def __enter__(self) -> "BundleWriter":
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self.directory = make_sibling(self.path)
        except OSError as error:
            raise LegoclfError("{}: cannot be written: {}".format(self.path, error.strerror)) from error
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def file(self, name: str) -> str:
        """Where to write the file ``name`` (``/`` between folders); its folder exists afterwards."""
        target = os.path.join(self.directory, *name.split("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        return target

    def finish(
        self,
        labels: Sequence[str],
        contract: InputContract,
        metrics: Mapping[str, Any],
        provenance: Mapping[str, Any],
        novelty: Optional[NoveltyRule] = None,
    ) -> Bundle:
        """Write labels and model.json, move the whole into place, and open it.

        Args:
            novelty: the rule for the graphs' output ``novelty``, if they have one.

        Raises:
            ValueError: the rule has a field outside its range.
        """
        write_labels(self.file(LABELS_FILE), labels)
        record: Dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "labels": list(labels),
            "input": contract.to_json(),
        }
        if novelty is not None:
            record["novelty"] = NoveltyRule.from_json(novelty.to_json()).to_json()
        record.update(
            metrics=dict(metrics),
            provenance=dict(provenance),
            files={
                name: file_record(os.path.join(self.directory, *name.split("/")))._asdict()
                for name in files_below(self.directory)
            },
        )
        with open(self.file(MODEL_FILE), "wb") as stream:
            stream.write(model_json(record))
        replace_directory(self.directory, self.path)
        remove_leftovers(self.path)
        return Bundle.open(self.path)


def check_replaceable(path: str) -> None:
    """Refuse a bundle path where something stands that is not a bundle of ours alone.

    Raises:
        UsageError: a file, a directory that is no bundle, or a bundle with files of the user's own.
    """
    if not os.path.lexists(path):
        return
    if not os.path.isfile(os.path.join(path, MODEL_FILE)):
        if os.path.isdir(path) and not os.listdir(path):
            return
        raise UsageError(
            "{}: exists and is not a bundle; move it away or choose another --bundle".format(path)
        )
    remove_leftovers(os.path.join(path, MODEL_FILE))
    listed = set(read_model_json(path).get("files") or ())
    foreign = [
        name
        for name in files_below(path)
        if name != MODEL_FILE and name not in listed and name.split("/")[0] not in OPEN_FOLDERS
    ]
    if foreign:
        raise UsageError(
            "{}: holds files that do not belong to the bundle ({}); "
            "move them away or choose another --bundle".format(path, ", ".join(foreign[:3]))
        )


def write_labels(path: str, labels: Sequence[str]) -> None:
    """Write a labels.txt.

    Raises:
        LegoclfError: a label holds a line break, or is empty.
    """
    for label in labels:
        if not label or len(label.splitlines()) != 1:
            raise LegoclfError("label {!r}: expected one line of text; rename its folder".format(label))
    with open(path, "wb") as stream:
        stream.write("".join(label + "\n" for label in labels).encode("utf-8"))


def model_json(record: Dict[str, Any]) -> bytes:
    """The bytes of a model.json: equal records in equal order give equal bytes."""
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8")


def make_sibling(path: str) -> str:
    """A new directory beside ``path`` to build it in; its name tells whose it is, should that be killed.

    Raises:
        OSError: nothing can be put beside ``path``.
    """
    parent, name = os.path.split(path)
    prefix = ".{}.{}.".format(name, os.getpid())
    directory = tempfile.mkdtemp(prefix=prefix, suffix=".tmp", dir=parent)
    # mkdtemp makes it private; a bundle is as readable as any other output of the user's.
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(directory, 0o777 & ~umask)
    return directory


def files_below(directory: str) -> Iterator[str]:
    """Relative names (``/`` between folders) of all files below a directory, sorted."""
    names = []
    for folder, _, files in os.walk(directory):
        relative = os.path.relpath(folder, directory).replace(os.sep, "/")
        names += [name if relative == "." else relative + "/" + name for name in files]
    return iter(sorted(names))


def file_record(path: str) -> FileRecord:
    """What model.json says of a file."""
    return FileRecord(sha256_file(path), os.path.getsize(path))


def remove_leftovers(path: str) -> None:
    """Remove what writers of this path left that were killed; those that still run keep theirs."""
    parent, name = os.path.split(os.path.abspath(path))
    pattern = re.compile(re.escape(".{}.".format(name)) + r"(\d+)\.\w+\.tmp(\.old)?")
    for entry in os.listdir(parent):
        match = pattern.fullmatch(entry)
        if match and not process_runs(int(match.group(1))):
            leftover = os.path.join(parent, entry)
            if os.path.isdir(leftover):
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                os.unlink(leftover)


def process_runs(process_id: int) -> bool:
    """Whether a process of that number runs, as far as this one may know."""
    if os.name == "nt":
        return True  # there, signal 0 is Ctrl-C
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def replace_directory(source: str, target: str) -> None:
    """Move ``source`` to ``target``; what stood there is put back if that fails, else removed.

    On Linux the two change places in one step, so that ``target`` is whole at every moment. Where the
    system or the file system cannot do that, two renames follow one another.
    """
    if not os.path.lexists(target):
        os.rename(source, target)
        return
    if _exchange(source, target):
        shutil.rmtree(source, ignore_errors=True)
        return
    aside = source + ".old"
    os.rename(target, aside)
    try:
        os.rename(source, target)
    except OSError:
        os.rename(aside, target)
        raise
    shutil.rmtree(aside)


def _exchange(first: str, second: str) -> bool:
    """Let two directories change places in one step; False where that is not to be had.

    renameat2(2), Linux 3.15; AT_FDCWD is -100 and RENAME_EXCHANGE 2 in <fcntl.h> and <linux/fs.h>.
    """
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # glibc before 2.28; no such call; Windows
        return False
    if renameat2(-100, os.fsencode(first), -100, os.fsencode(second), 2) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number), second)
