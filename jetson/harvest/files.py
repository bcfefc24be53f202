"""Files that appear whole or not at all, and never in the place of another."""

import errno
import os
import stat
from typing import Optional

from legoclf.bundle_writer import remove_leftovers

#: Temporary files are ``.legoclf.<process id>.<random>.tmp``.
_TEMPORARY = "legoclf"

#: What systems say where a file system (FAT, some network ones) has no links.
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK)


def write_new(folder: str, name: str, data: bytes) -> None:
    """Write a file that is not there yet; once it has its name it is whole and on the disk.

    Raises:
        FileExistsError: something has this name; it is left as it is.
        OSError: as the system says; nothing is left.
    """
    beside = os.path.join(folder, ".{}.{}.{}.tmp".format(_TEMPORARY, os.getpid(), os.urandom(6).hex()))
    target = os.path.join(folder, name)
    try:
        with open(beside, "xb") as stream:
            stream.write(data)
            stream.flush()
            # A name may reach the disk before the data does: a board that loses power finds an empty file.
            os.fsync(stream.fileno())
        _move_new(beside, target)
    finally:
        _unlink(beside)


def _move_new(source: str, target: str) -> None:
    """Give a file a name that is free; the old one may stay."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Without links there is a moment between the question and the move; names have a random part.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from error
        os.rename(source, target)


def _unlink(path: str) -> bool:
    """Whether the file was there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def remove_file(folder: str, name: str) -> bool:
    """Remove a file; whether it was there.

    Raises:
        OSError: it is there and stays.
    """
    return _unlink(os.path.join(folder, name))


def remove_temporary(folder: str) -> None:
    """Remove what writers that were killed have left in a folder."""
    remove_leftovers(os.path.join(folder, _TEMPORARY))


def read_plain(folder: str, name: str, most_bytes: int) -> Optional[bytes]:
    """A file's content; None where there is none, it is a link or no file, or is larger than ``most_bytes``.

    A link is not followed, for who may write into the folder could point it anywhere.
    """
    flags = os.O_RDONLY
    for flag in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_BINARY"):  # a pipe must not keep us waiting
        flags |= getattr(os, flag, 0)
    try:
        descriptor = os.open(os.path.join(folder, name), flags)
    except OSError:
        return None
    with open(descriptor, "rb") as stream:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_size > most_bytes:
            return None
        return stream.read()
