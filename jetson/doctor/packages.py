"""Which Python packages are installed, by their metadata alone: to import one may crash the process."""

import os
import re
from typing import Dict, List, NamedTuple, Sequence, Tuple

#: ``numpy-1.19.5.dist-info`` of pip; ``numpy-1.13.3.egg-info`` of Debian and Ubuntu, some with ``-py3.6``.
_METADATA = re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*)(-py\d[\d.]*)?\.(dist-info|egg-info)$")


class Installed(NamedTuple):
    """A distribution: its version, the folder of sys.path that it is in, and its name as pip takes it."""

    version: str
    folder: str
    name: str


def find_installed(folders: Sequence[str]) -> Dict[str, List[Installed]]:
    """All distributions by name, in lower case with hyphens; of each, the one that is imported first.

    Args:
        folders: as sys.path has them; what is no folder is left out.
    """
    found: Dict[str, List[Installed]] = {}
    seen = set()
    for folder in folders:
        real = os.path.realpath(folder)
        if real in seen or not os.path.isdir(real):
            continue
        seen.add(real)
        for entry in _names(real):
            match = _METADATA.match(entry)
            if match:
                name = re.sub(r"[-_.]+", "-", match.group("name")).lower()
                found.setdefault(name, []).append(Installed(match.group("version"), folder, name))
    return found


def find_modules(folders: Sequence[str], name: str) -> List[str]:
    """Every place that has a module of this name, in the order of ``folders``; the first is imported."""
    pattern = re.compile(r"{}(\.py|\.[\w.-]*so)?$".format(re.escape(name)))
    places: List[str] = []
    for folder in folders:
        real = os.path.realpath(folder)
        if os.path.isdir(real) and any(pattern.match(entry) for entry in _names(real)):
            places.append(real)
    return sorted(set(places), key=places.index)


def version_numbers(version: str) -> Tuple[int, ...]:
    """``10.3.0.26`` as numbers to compare; of ``1.19.5rc1`` the part that is numbers."""
    numbers = []
    for part in version.split("."):
        match = re.match(r"\d+", part)
        if match is None:
            break
        numbers.append(int(match.group()))
    return tuple(numbers)


def _names(folder: str) -> List[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
