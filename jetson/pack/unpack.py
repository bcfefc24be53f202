"""The bundle out of the file that it was packed into: ONNX Runtime and TensorRT want it in a folder.

It goes to the user's cache, in a folder named by the SHA-256 of its model.json, which has that of every file
of it. Engines that are built stand there too, and stay when another file with the same bundle is started.
"""

import hashlib
import json
import os
import shutil
import zipfile
from typing import Any, Dict, List

from legoclf.bundle import MODEL_FILE, Bundle
from legoclf.bundle_writer import OPEN_FOLDERS, make_sibling, remove_leftovers, replace_directory
from legoclf.errors import BundleError, LegoclfError
from legoclf.jetson.pack.archive import BUNDLE_FOLDER, is_inside, read_header
from legoclf.user_cache import default_cache_dir

_KEY_LENGTH = 16


def unpack(archive: str, cache_dir: str = "") -> str:
    """The path of the bundle within a packed file, unpacked if it is not there or no longer whole.

    It appears whole or not at all, however many starts do this at once and whenever one is killed.

    Args:
        archive: what `legoclf bundle pack` made.
        cache_dir: instead of the user's cache.

    Raises:
        LegoclfError: the archive is damaged, or the cache cannot be written.
    """
    header = read_header(archive)
    manifest = _manifest(archive)
    key = hashlib.sha256(manifest).hexdigest()[:_KEY_LENGTH]
    place = os.path.join(os.path.abspath(cache_dir or default_cache_dir()), "packed", key, header.bundle)
    names = _names(archive, manifest)
    if _is_whole(place, names):
        return place
    beside = ""
    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        beside = make_sibling(place)
        _extract(archive, names, beside)
        Bundle.open(beside)
        _settle(beside, place, names)
        remove_leftovers(place)
    except OSError as error:
        raise LegoclfError(
            "{}: cannot be unpacked to {}: {}; free some space there, or name another folder in "
            "LEGOCLF_CACHE_DIR".format(archive, os.path.dirname(place), error.strerror)
        ) from error
    except BundleError as error:
        raise _damaged(archive, str(error)) from error
    finally:
        if beside:
            shutil.rmtree(beside, ignore_errors=True)
    return place


def _manifest(archive: str) -> bytes:
    with zipfile.ZipFile(archive) as packed:
        try:
            return packed.read(BUNDLE_FOLDER + MODEL_FILE)
        except (KeyError, zipfile.BadZipFile) as error:
            raise _damaged(archive, "{}: {}".format(MODEL_FILE, error)) from error


def _names(archive: str, manifest: bytes) -> List[str]:
    """The files of the bundle, as model.json names them; each MUST stay inside it and be in the archive."""
    try:
        files: Dict[str, Any] = json.loads(manifest.decode("utf-8"))["files"]
        sizes = {MODEL_FILE: len(manifest), **{name: entry["size"] for name, entry in files.items()}}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(archive, MODEL_FILE) from error
    with zipfile.ZipFile(archive) as packed:
        packed_sizes = {entry.filename: entry.file_size for entry in packed.infolist()}
    for name, size in sizes.items():
        if not is_inside(name):
            raise _damaged(archive, "{!r} is not a path inside the bundle".format(name))
        if packed_sizes.get(BUNDLE_FOLDER + name) != size:
            raise _damaged(archive, "{} is not the file that {} names".format(name, MODEL_FILE))
    return sorted(sizes)


def _is_whole(place: str, names: List[str]) -> bool:
    if not os.path.isdir(place):
        return False
    try:
        return sorted([MODEL_FILE, *Bundle.open(place).files]) == names
    except LegoclfError:
        return False


def _extract(archive: str, names: List[str], folder: str) -> None:
    with zipfile.ZipFile(archive) as packed:
        for name in names:
            target = os.path.join(folder, *name.split("/"))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            try:
                with packed.open(BUNDLE_FOLDER + name) as source, open(target, "xb") as stream:
                    shutil.copyfileobj(source, stream, 1 << 20)
                    stream.flush()
                    # A rename may reach the disk before the data does: a board may lose power at any time.
                    os.fsync(stream.fileno())
            except zipfile.BadZipFile as error:
                raise _damaged(archive, str(error)) from error


def _settle(beside: str, place: str, names: List[str]) -> None:
    """Move what was unpacked to its place, unless another start was faster."""
    try:
        os.rename(beside, place)
        return
    except OSError:
        if _is_whole(place, names):
            return
        if not os.path.isdir(place):
            raise
    # A damaged bundle stands there. Engines have checks of their own.
    for folder in OPEN_FOLDERS:
        if os.path.isdir(os.path.join(place, folder)):
            shutil.copytree(os.path.join(place, folder), os.path.join(beside, folder))
    replace_directory(beside, place)


def _damaged(archive: str, what: str) -> LegoclfError:
    return LegoclfError("{}: damaged: {}; copy the file again or pack it anew".format(archive, what))
