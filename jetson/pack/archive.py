"""What a packed bundle is: a zip file with a shebang before it, which Python takes for a program.

__main__.py      hands over to :mod:`legoclf.jetson.pack.start`
packed.json      {"format": 1, "legoclf": version, "bundle": name of the folder it is unpacked to}
LICENSE, NOTICE  of legoclf
legoclf/         the modules that run on Python 3.6 with NumPy alone
bundle/          the files of the bundle, engines left out
"""

import json
import zipfile
from typing import NamedTuple

from legoclf.errors import LegoclfError

FORMAT = 1
HEADER_FILE = "packed.json"
#: The folder of the bundle's files within the archive.
BUNDLE_FOLDER = "bundle/"


class Header(NamedTuple):
    """What packed.json says: the version of legoclf inside, and the bundle's name."""

    legoclf: str
    bundle: str


def read_header(archive: str) -> Header:
    """The header of a packed bundle.

    Raises:
        LegoclfError: the file is none, or of a format that this version does not know.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            record = json.loads(packed.read(HEADER_FILE).decode("utf-8"))
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise LegoclfError("{}: is no file that `legoclf bundle pack` made".format(archive)) from error
    except OSError as error:
        raise LegoclfError("{}: cannot be read: {}".format(archive, error.strerror)) from error
    known = isinstance(record, dict) and record.get("format") == FORMAT
    if not known or not all(isinstance(record.get(name), str) for name in Header._fields):
        raise LegoclfError("{}: {}: not of format {}; pack it again".format(archive, HEADER_FILE, FORMAT))
    header = Header(record["legoclf"], record["bundle"])
    if not is_inside(header.bundle) or "/" in header.bundle:
        raise LegoclfError("{}: {}: bundle: {!r} is no name".format(archive, HEADER_FILE, header.bundle))
    return header


def is_inside(name: str) -> bool:
    """Whether a path with ``/`` stays in the folder that it is put below, on Windows too."""
    return not ("\\" in name or ":" in name or any(part in ("", ".", "..") for part in name.split("/")))
