"""Names of TensorFlow Datasets: of its sets, and of classes as folders."""

import re
import unicodedata
from collections.abc import Iterable

from legoclf.errors import UsageError

TFDS_PREFIX = "tfds:"

_NAME = re.compile(
    TFDS_PREFIX + r"(?P<set>\w+)(/(?P<config>[\w+.-]+))?(:(?P<version>(\d+|\*)(\.(\d+|\*)){2}))?", re.ASCII
)
# What file systems refuse or give a meaning to; a label is the name of a folder.
_UNFIT_FOR_FOLDERS = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')
_LONGEST_FOLDER_NAME = 100


def tfds_folder_name(name: str) -> str:
    """The name of the folder for ``tfds:NAME``, ``tfds:NAME/CONFIG`` or either with ``:VERSION``.

    Raises:
        UsageError: ``name`` has another form.
    """
    parts = tfds_parts(name)
    given = [part for part in (parts["set"], parts["config"], parts["version"]) if part]
    return "-".join(["tfds", *given]).replace("*", "x")


def tfds_parts(name: str) -> dict[str, str | None]:
    """What a name is made of: ``set``, ``config`` and ``version``, of which the last two may be None.

    Raises:
        UsageError: ``name`` has another form than :func:`tfds_folder_name` takes.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(
            f"--dataset {name}: expected tfds:NAME, tfds:NAME/CONFIG, or either with :VERSION, "
            "as in tfds:cifar10_corrupted/fog_1:1.0.0"
        )
    return match.groupdict()


def class_folders(names: Iterable[str]) -> list[str]:
    """A folder name for each class name: the same where a file system takes it, and no two alike.

    Two names that differ only in case would be one folder on some systems: the later gets its index.
    """
    folders: list[str] = []
    taken: set[str] = set()
    for index, name in enumerate(names):
        written = _UNFIT_FOR_FOLDERS.sub("_", unicodedata.normalize("NFC", name).strip("/\\ "))
        folder = written.lstrip(".")[:_LONGEST_FOLDER_NAME].rstrip(" .") or f"class {index}"
        while folder.casefold() in taken:
            folder += f"-{index}"
        taken.add(folder.casefold())
        folders.append(folder)
    return folders


def one_line(error: Exception) -> str:
    """What an error says, or what it is called where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
