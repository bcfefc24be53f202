"""Files and folders that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """The whole file or none: written beside, under a name no image scan takes, then renamed."""
    beside = path.with_name(f".{path.name}.tmp")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    except BaseException:  # Ctrl-C too: nothing stays behind
        beside.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(folder: Path, marker: str) -> Iterator[Path]:
    """A new folder to fill, which becomes ``folder`` when the block ends, and goes if it fails.

    Args:
        marker: a file that it holds. Where ``folder`` is there with one by then, another process was first,
            and what it made is the same: that one stays.

    Raises:
        OSError: it cannot be written, or something else stands in its place.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        yield new
        new.chmod(0o755)  # mkdtemp's 0700 would shut out the others who share the cache
        try:
            os.replace(new, folder)
        except OSError:
            if not (folder / marker).is_file():
                raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
