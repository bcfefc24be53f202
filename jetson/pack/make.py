"""Packing a bundle and the runtime into one file; not part of what is packed.

Nothing is compressed: weights hardly shrink, and the bytes then depend on no release of zlib.
"""

import glob
import importlib.util
import io
import json
import os
import shutil
import tempfile
import zipfile
from typing import IO, Dict, List, NamedTuple, Union

from legoclf import __version__
from legoclf.bundle import MODEL_FILE, Bundle
from legoclf.bundle_writer import remove_leftovers
from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.pack.archive import BUNDLE_FOLDER, FORMAT, HEADER_FILE, read_header

#: The packages that go in: whole, or the modules right in them alone (``*.py``), or as a mere parent.
PACKAGES = {
    "legoclf": "*.py",
    "legoclf.benchmarks": "__init__.py",
    "legoclf.benchmarks.device": "**",
    "legoclf.convert": "__init__.py",
    "legoclf.convert.engine": "**",
    "legoclf.jetson": "**",
}
#: What packs is not packed: it reads its own modules from a folder.
_LEFT_OUT = ("legoclf/jetson/pack_command.py", "legoclf/jetson/pack/make.py")

_MAIN = '''\
"""legoclf with a bundle inside, made by `legoclf bundle pack`."""

import os
import sys

if sys.version_info < (3, 6):
    sys.exit("legoclf needs Python 3.6 or later; run it with python3")

# A relative path is lost where the working folder changes.
sys.path[0] = os.path.abspath(sys.path[0])

from legoclf import cli
from legoclf.jetson.pack.start import start

sys.exit(start(sys.path[0], cli, sys.argv[1:]))
'''
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can tell


class Packed(NamedTuple):
    """What was made. path: of the file. size: in bytes. modules: how many of legoclf are in it."""

    path: str
    size: int
    modules: int


def pack(bundle: Bundle, output: str, python: str = "/usr/bin/env python3") -> Packed:
    """Write a bundle and the runtime into one file, whole or not at all.

    The same bundle and the same legoclf give the same bytes, on every machine and Python.

    Args:
        bundle: as it was opened; its engines stay behind, for they fit one machine.
        output: the file; one that stands there is replaced if it was made by this function.
        python: what runs the file where it is called as a program.

    Raises:
        UsageError: something else stands at ``output``, or ``python`` is no command.
        LegoclfError: it cannot be written; what stood there is as it was.
    """
    if not python or not python.isprintable():
        raise UsageError("--python: got {!r}, expected a command in one line".format(python))
    target = os.path.realpath(output)
    _check_replaceable(output)
    code = runtime_files()
    header = {
        "format": FORMAT,
        "legoclf": __version__,
        "bundle": os.path.basename(os.path.realpath(bundle.path)),
    }
    contents: Dict[str, Union[str, bytes]] = {"__main__.py": _MAIN.encode()}
    contents[HEADER_FILE] = (json.dumps(header, indent=2, sort_keys=True) + "\n").encode()
    contents.update(sorted(_notices().items()))
    contents.update(sorted(code.items()))
    for name in sorted([MODEL_FILE, *bundle.files]):
        contents[BUNDLE_FOLDER + name] = os.path.join(bundle.path, *name.split("/"))
    temporary = ""
    try:
        temporary = _write_beside(target, python, contents)
        os.replace(temporary, target)
        remove_leftovers(target)
        size = os.path.getsize(target)
    except OSError as error:
        raise LegoclfError("{}: cannot be written: {}".format(output, error.strerror)) from error
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
    return Packed(output, size, sum(name.endswith(".py") for name in code))


def runtime_files() -> Dict[str, str]:
    """The files of legoclf that are packed: name in the archive to path.

    Raises:
        LegoclfError: this legoclf is no folder: it runs from a packed bundle itself.
    """
    files: Dict[str, str] = {}
    for package, pattern in PACKAGES.items():
        folder = _folder(package)
        for path in glob.iglob(os.path.join(glob.escape(folder), pattern), recursive=True):
            name = package.replace(".", "/") + "/" + os.path.relpath(path, folder).replace(os.sep, "/")
            if os.path.isfile(path) and not path.endswith((".pyc", ".pyo", "~")) and name not in _LEFT_OUT:
                files[name] = path
    return files


def _folder(package: str) -> str:
    spec = importlib.util.find_spec(package)
    places: List[str] = list(spec.submodule_search_locations or []) if spec is not None else []
    if not places or not os.path.isdir(places[0]):
        raise LegoclfError("{}: is not in a folder; pack with an installed legoclf".format(package))
    return places[0]


def _notices() -> Dict[str, str]:
    """LICENSE and NOTICE, of an installed legoclf or of a checkout: who gets a copy gets these."""
    root = os.path.dirname(_folder("legoclf"))
    metadata = os.path.join(root, "legoclf-{}.dist-info".format(__version__))
    found = {}
    for name in ("LICENSE", "NOTICE"):
        for folder in (os.path.join(metadata, "licenses"), metadata, root):
            if name not in found and os.path.isfile(os.path.join(folder, name)):
                found[name] = os.path.join(folder, name)
    return found


def _check_replaceable(output: str) -> None:
    if not os.path.lexists(output):
        return
    try:
        read_header(output)
    except LegoclfError as error:
        raise UsageError(
            "{}: exists and was not made by `legoclf bundle pack`; "
            "move it away or choose another --output".format(output)
        ) from error


def _write_beside(target: str, python: str, contents: Dict[str, Union[str, bytes]]) -> str:
    """Write the archive to a new file beside its place; the path of that."""
    parent, name = os.path.split(target)
    os.makedirs(parent, exist_ok=True)
    prefix = ".{}.{}.".format(name, os.getpid())
    descriptor, path = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write("#!{}\n".format(python).encode("utf-8"))
            with zipfile.ZipFile(stream, "w") as archive:
                for entry, content in contents.items():
                    _add(archive, entry, content)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(path, 0o777 & ~umask)
    except BaseException:
        os.unlink(path)
        raise
    return path


def _add(archive: zipfile.ZipFile, name: str, content: Union[str, bytes]) -> None:
    """Add a file: from a path, or bytes. All that could tell two machines apart is fixed."""
    entry = zipfile.ZipInfo(name, _TIME)
    entry.external_attr = 0o100644 << 16
    entry.create_system = 3  # Unix: the mode counts
    with _opened(content) as source:
        entry.file_size = source.seek(0, os.SEEK_END)
        source.seek(0)
        with archive.open(entry, "w") as target:
            shutil.copyfileobj(source, target, 1 << 20)


def _opened(content: Union[str, bytes]) -> IO[bytes]:
    return io.BytesIO(content) if isinstance(content, bytes) else open(content, "rb")
