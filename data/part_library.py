"""Which parts there are, what they are called, and their triangles: embedded, or from an LDraw library."""

import difflib
import functools
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from legoclf.data.ldraw import INHERITED_COLOUR, STEPS_PER_LDU, Colour, Library, Mesh
from legoclf.errors import LegoclfError, UsageError

FOLDER = Path(__file__).parent / "parts"
# Ten parts that differ at a glance, and the brick everybody has first.
DEFAULT_PARTS = ("3001", "3003", "3004", "3020", "3039", "3068b", "3659", "3941", "3647", "32316")
LONGEST_FOLDER_NAME = 64
OPAQUE = 255


class Part(NamedTuple):
    """A part by its LDraw id, its name for people, and the name of its class folder."""

    part_id: str
    name: str
    folder: str


class PartSource(Protocol):
    """Where parts come from."""

    def parts(self) -> list[Part]:
        """Every part once; a part that moved is listed under its present id only."""

    def find(self, part_id: str) -> Part | None:
        """The part of an id, in any case, present or former; None if there is none."""

    def mesh(self, part_id: str) -> Mesh:
        """The triangles of a part that ``parts`` or ``find`` gave."""

    def colours(self) -> dict[int, Colour]:
        """The colours a part can have, by LDraw code."""


class EmbeddedParts:
    """The parts that come with the package; ``embed_parts`` made them from LDraw files."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    def parts(self) -> list[Part]:
        """Every part once, in the order of the ids."""
        return [make_part(entry["id"], entry["name"]) for entry in self._index()["parts"]]

    def find(self, part_id: str) -> Part | None:
        """The part of an id, or of the former id of a part that moved."""
        wanted = part_id.lower()
        wanted = self._index()["aliases"].get(wanted, wanted)
        return next((part for part in self.parts() if part.part_id == wanted), None)

    def mesh(self, part_id: str) -> Mesh:
        """The triangles of one part, equal to what :class:`ldraw.Library` reads."""
        entries = self._index()["parts"]
        at = next(k for k, entry in enumerate(entries) if entry["id"] == part_id)
        first_vertex = sum(entry["vertices"] for entry in entries[:at])
        first_face = sum(entry["faces"] for entry in entries[:at])
        steps, faces = _arrays(self._folder)
        entry = entries[at]
        vertices = (steps[first_vertex : first_vertex + entry["vertices"]] / STEPS_PER_LDU).astype(np.float32)
        own_faces = faces[first_face : first_face + entry["faces"]].astype(np.int32)
        return Mesh(vertices, own_faces, np.full(len(own_faces), INHERITED_COLOUR, np.int32), ())

    def colours(self) -> dict[int, Colour]:
        """The common solid colours."""
        return {
            entry["code"]: Colour(entry["name"], entry["code"], tuple(entry["rgb"]), OPAQUE)
            for entry in self._index()["colours"]
        }

    def _index(self) -> dict[str, Any]:
        return _index(self._folder)


class LDrawParts:
    """The parts of a user's own LDraw library."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._library = Library(root)
        self._colours = self._library.colours()

    def parts(self) -> list[Part]:
        """Every part but aliases, moved, obsolete and helper parts (titles that start with ``~ = _ |``)."""
        headers = map(self._library.header, self._library.part_ids())
        proper = (header for header in headers if not header.title.startswith(("~", "=", "_", "|")))
        return [make_part(header.part_id, header.title) for header in proper]

    def find(self, part_id: str) -> Part | None:
        """The part of an id; one that moved or is an alias gives the part it stands for."""
        seen: set[str] = set()
        while self._library.has(part_id) and part_id not in seen:
            seen.add(part_id)
            header = self._library.header(part_id)
            if header.alias_of is None:
                return make_part(header.part_id, header.title)
            part_id = header.alias_of
        return None

    def mesh(self, part_id: str) -> Mesh:
        """The triangles of one part."""
        mesh = self._library.read(part_id)
        if len(mesh.faces) == 0:
            raise LegoclfError(f"{mesh.files[0]} has no surface to render; leave it out of --parts")
        return mesh

    def colours(self) -> dict[int, Colour]:
        """Every colour of the library's LDConfig.ldr."""
        return self._colours


def open_parts(ldraw: str | os.PathLike[str] | None = None) -> PartSource:
    """The embedded parts, or those of the LDraw library in the folder ``ldraw``."""
    return EmbeddedParts() if ldraw is None else LDrawParts(ldraw)


def select_parts(source: PartSource, wanted: str | Sequence[str]) -> list[Part]:
    """The parts that a comma list of ids and names asks for, each once, in its order; ``all`` is every part.

    Raises UsageError with the nearest ids and names for one that does not exist.
    """
    if isinstance(wanted, str):
        # Some names have a comma of their own: the whole text may be one name.
        whole = [part for part in source.parts() if "," in wanted and _plain(part.name) == _plain(wanted)]
        names = [whole[0].part_id] if whole else wanted.split(",")
    else:
        names = list(wanted)
    names = [name.strip() for name in names if name.strip()]
    if not names:
        raise UsageError("--parts names no part; give ids or names, as in --parts '3001,Brick 2 x 2'")
    found: dict[str, Part] = {}
    for name in names:
        for part in source.parts() if name.lower() == "all" else [_find(source, name)]:
            found.setdefault(part.part_id, part)
    return list(found.values())


def make_part(part_id: str, title: str) -> Part:
    """A part from the title line of its file. The folder name is safe on every file system.

    >>> make_part("3001", "Brick  2 x  4")
    Part(part_id='3001', name='Brick 2 x 4', folder='3001_Brick_2x4')
    """
    name = " ".join(title.lstrip("~=_|").replace("(Obsolete)", "").split())
    short = re.sub(r"(?<=\d) x (?=\d)", "x", name)
    folder = re.sub(r"[^A-Za-z0-9.]+", "_", f"{part_id}_{short}")[:LONGEST_FOLDER_NAME].strip("._")
    return Part(part_id, name, folder)


def _find(source: PartSource, wanted: str) -> Part:
    part = source.find(wanted.removesuffix(".dat"))
    if part is not None:
        return part
    parts = source.parts()
    for part in parts:
        if _plain(wanted) in (_plain(part.name), part.folder.lower()):
            return part
    labels = {_plain(p.name): f"{p.part_id} ({p.name})" for p in parts}
    labels.update({p.part_id: f"{p.part_id} ({p.name})" for p in parts})
    near = difflib.get_close_matches(_plain(wanted), list(labels), n=4, cutoff=0.5)
    shown = ", ".join(dict.fromkeys(labels[key] for key in near))
    raise UsageError(
        f"there is no part '{wanted}'"
        + (f"; the nearest: {shown}" if shown else "")
        + "; --list shows the embedded parts, --ldraw DIR takes them from your LDraw library"
    )


def _plain(name: str) -> str:
    return re.sub(r"\s+", "", name).lower()


@functools.cache
def _index(folder: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((folder / "parts.json").read_text(encoding="utf-8"))
    return index


@functools.cache
def _arrays(folder: Path) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """All parts behind one another: vertices int16 [V, 3] in 0.01 LDU, faces uint16 [F, 3]."""
    with np.load(folder / "parts.npz", allow_pickle=False) as arrays:
        return arrays["vertices"], arrays["faces"]
