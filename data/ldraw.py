"""A reader of the LDraw file format: a part and its sub-files in, triangles out.

Written from the specification at https://www.ldraw.org/article/218.html (the file format), 415 (BFC, the
winding) and 299 (LDConfig.ldr, the colours). Lengths are LDraw units: 1 LDU = 0.4 mm. The axes are LDraw's:
right-handed, with -Y up.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from legoclf.errors import LegoclfError, UsageError

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int32]

MM_PER_LDU = 0.4
INHERITED_COLOUR = 16  # "the colour of whatever refers to me"
EDGE_COLOUR = 24  # the inherited colour's edge variant; on a face it means the inherited colour
STEPS_PER_LDU = 100  # the files give 2 to 4 decimals; corners nearer than 0.01 LDU (4 µm) are one corner
# Relative to the library's root, in the order they are searched.
SEARCHED_FOLDERS = ("parts", "p", "parts/s", "p/48", "p/8")
MAX_DEPTH = 32  # the official library nests about 8 deep


class Colour(NamedTuple):
    """One ``!COLOUR`` of LDConfig.ldr: ``rgb`` are sRGB levels 0 to 255, ``alpha`` 255 is opaque."""

    name: str
    code: int
    rgb: tuple[int, int, int]
    alpha: int


class Header(NamedTuple):
    """What the first lines of a part file say; ``alias_of`` is the id of the part it only refers to."""

    part_id: str
    title: str
    author: str
    alias_of: str | None


class Mesh(NamedTuple):
    """A part as triangles, each counter-clockwise seen from outside.

    ``vertices`` float32 [V, 3] in LDU, ``faces`` int32 [F, 3] into them, ``colours`` int32 [F] (LDraw
    codes; 16 where the part's own colour goes), ``files`` every file it was made of, the part first.
    """

    vertices: Floats
    faces: Ints
    colours: Ints
    files: tuple[str, ...]


class _Reference(NamedTuple):
    """A line of type 1: a sub-file, placed."""

    name: str
    colour: int
    turn: Floats  # [3, 3], applied to column vectors
    shift: Floats  # [3]
    invert: bool
    line: int


class _File(NamedTuple):
    """One parsed file; its own triangles float32 [T, 3, 3] (triangle, corner, axis) are already CCW."""

    triangles: Floats
    colours: Ints
    references: tuple[_Reference, ...]


class _Soup(NamedTuple):
    """A file with all its sub-files in place."""

    triangles: Floats
    colours: Ints
    files: tuple[str, ...]


class Library:
    """A folder in the layout of the LDraw Parts Library: ``parts/``, ``p/`` and ``LDConfig.ldr``.

    Files are looked up as LDraw does: without regard to case, with either slash. Raises UsageError when
    ``root`` is no such folder.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        if not (self.root / "parts").is_dir() and (self.root / "ldraw" / "parts").is_dir():
            self.root = self.root / "ldraw"  # complete.zip unpacks to a folder of that name
        for folder in ("parts", "p"):
            if not (self.root / folder).is_dir():
                raise UsageError(
                    f"{root} is no LDraw library: it has no folder '{folder}'; "
                    "give the folder that holds parts/, p/ and LDConfig.ldr (complete.zip, unpacked)"
                )
        self._paths: dict[str, Path] = {}
        for folder in reversed(SEARCHED_FOLDERS):
            for path in sorted((self.root / folder).rglob("*.[dD][aA][tT]")):
                self._paths[path.relative_to(self.root / folder).as_posix().lower()] = path
        self._soups: dict[Path, _Soup] = {}

    def part_ids(self) -> list[str]:
        """The ids of all parts (file names of ``parts/`` without the suffix), sorted."""
        return sorted(p.stem.lower() for p in (self.root / "parts").glob("*.[dD][aA][tT]"))

    def has(self, part_id: str) -> bool:
        """Whether ``parts/`` has a part of this id."""
        path = self._paths.get(f"{part_id.lower()}.dat")
        return path is not None and path.parent == self.root / "parts"

    def header(self, part_id: str) -> Header:
        """Title, author and, for a part that moved or is an alias, the id it stands for."""
        path = self._find(f"{part_id}.dat", "the request", 0)
        lines = _lines(path)
        title = " ".join(lines[0].split()[1:]) if lines else ""
        target = None
        if title.startswith(("~Moved to", "=")):
            names = [line.split(maxsplit=14)[-1] for line in lines if line.split()[:1] == ["1"]]
            if len(names) == 1:
                target = names[0].strip().lower().removesuffix(".dat")
        return Header(part_id.lower(), title, _author(lines), target)

    def read(self, part_id: str) -> Mesh:
        """The part's triangles with every sub-file in place and corners joined.

        Raises LegoclfError, naming file and line, for a missing sub-file, a malformed line or a file that
        refers to itself.
        """
        soup = self._soup(self._find(f"{part_id}.dat", "the request", 0), ())
        grid = np.rint(soup.triangles.reshape(-1, 3).astype(np.float64) * STEPS_PER_LDU).astype(np.int64)
        corners, index = np.unique(grid, axis=0, return_inverse=True)
        faces = index.reshape(-1, 3).astype(np.int32)
        a, b, c = (corners[faces[:, k]] for k in range(3))
        real = np.any(np.cross(b - a, c - a) != 0, axis=1)  # slivers that joining made flat have no normal
        vertices = (corners / STEPS_PER_LDU).astype(np.float32)
        return Mesh(vertices, faces[real], soup.colours[real], soup.files)

    def author(self, file: str) -> str:
        """The author named in a file, which is given relative to the root as in ``Mesh.files``."""
        return _author(_lines(self.root / file))

    def colours(self) -> dict[int, Colour]:
        """The colours of LDConfig.ldr by code."""
        path = next((p for p in sorted(self.root.iterdir()) if p.name.lower() == "ldconfig.ldr"), None)
        if path is None:
            raise LegoclfError(f"{self.root} has no LDConfig.ldr; copy it there from the LDraw library")
        return parse_colours("\n".join(_lines(path)))

    def _find(self, name: str, asker: str, line: int) -> Path:
        path = self._paths.get(name.replace("\\", "/").lower())
        if path is None:
            where = f"{asker}, line {line}" if line else asker
            raise LegoclfError(
                f"{where}: there is no file '{name}' in {', '.join(SEARCHED_FOLDERS)} of {self.root}; "
                "add it, or use a complete LDraw library"
            )
        return path

    def _soup(self, path: Path, parents: tuple[Path, ...]) -> _Soup:
        if path in self._soups:
            return self._soups[path]
        own_name = path.relative_to(self.root).as_posix()
        if path in parents or len(parents) >= MAX_DEPTH:
            chain = " > ".join(p.name for p in (*parents, path))
            raise LegoclfError(f"{own_name}: the file contains itself ({chain}); mend its lines of type 1")
        own = parse_file(_lines(path), own_name)
        triangles, colours, files = [own.triangles], [own.colours], {own_name: None}
        for ref in own.references:
            child = self._soup(self._find(ref.name, own_name, ref.line), (*parents, path))
            placed = child.triangles @ ref.turn.T + ref.shift
            if ref.invert != (np.linalg.det(ref.turn.astype(np.float64)) < 0):
                placed = placed[:, ::-1]
            triangles.append(placed)
            inherits = np.isin(child.colours, (INHERITED_COLOUR, EDGE_COLOUR))
            colours.append(np.where(inherits, np.int32(ref.colour), child.colours))
            files.update(dict.fromkeys(child.files))
        soup = _Soup(np.concatenate(triangles), np.concatenate(colours), tuple(files))
        if parents:  # sub-files come again and again, a whole part does not
            self._soups[path] = soup
        return soup


def parse_file(lines: list[str], name: str) -> _File:
    """Triangles and references of one file; ``name`` is for the errors. Quads become two triangles.

    Lines of type 2 and 5 draw edges and are left out. A file that is not BFC-certified keeps the order it
    has: the format promises nothing about it.
    """
    corners: list[Floats] = []
    colours: list[int] = []
    references: list[_Reference] = []
    clockwise = invert_next = False
    for number, line in enumerate(lines, 1):
        words = line.split(maxsplit=14)
        if not words:
            continue
        kind = words[0]
        if kind == "0":
            if words[1:2] == ["BFC"]:
                clockwise, invert_next = _winding(words[2:], clockwise, invert_next)
        elif kind == "1":
            values = _numbers(words[2:14], 12, name, number, line)
            if len(words) < 15:
                raise _malformed(name, number, line, "a line of type 1 has 15 fields")
            colour = _colour_code(words[1], name, number, line)
            turn = values[3:].reshape(3, 3)
            references.append(_Reference(words[14].strip(), colour, turn, values[:3], invert_next, number))
            invert_next = False
        elif kind in ("3", "4"):
            count = int(kind)
            points = _numbers(line.split()[2:], 3 * count, name, number, line).reshape(count, 3)
            points = points[::-1] if clockwise else points
            for second in range(1, count - 1):
                corners.append(points[[0, second, second + 1]])
                colours.append(_colour_code(words[1], name, number, line))
        elif kind not in ("2", "5"):
            raise _malformed(name, number, line, "a line starts with its type, 0 to 5")
    triangles = np.array(corners, np.float32).reshape(-1, 3, 3)
    return _File(triangles, np.array(colours, np.int32), tuple(references))


def parse_colours(text: str) -> dict[int, Colour]:
    """The ``0 !COLOUR`` lines of LDConfig.ldr by code."""
    value = r"VALUE\s+(?:#|0x)([0-9A-Fa-f]{6})\b"
    pattern = re.compile(rf"^\s*0\s+!COLOUR\s+(\S+)\s+CODE\s+(\d+)\s+{value}(.*)$", re.M)
    found = {}
    for name, code, digits, rest in pattern.findall(text):
        alpha = re.search(r"\bALPHA\s+(\d+)", rest)
        found[int(code)] = Colour(name, int(code), hex_rgb(digits), int(alpha.group(1)) if alpha else 255)
    return found


def hex_rgb(digits: str) -> tuple[int, int, int]:
    """``"C91A09"`` as (201, 26, 9)."""
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def _winding(words: list[str], clockwise: bool, invert_next: bool) -> tuple[bool, bool]:
    """The state after a BFC line. CERTIFY alone means CCW; CLIP and NOCLIP change nothing about winding."""
    if "INVERTNEXT" in words:
        return clockwise, True
    if "CW" in words:
        return True, invert_next
    if "CCW" in words or "CERTIFY" in words:
        return False, invert_next
    return clockwise, invert_next


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()


def _author(lines: list[str]) -> str:
    for line in lines:
        match = re.match(r"^0\s+Author:\s*(.+?)\s*$", line)
        if match:
            return match.group(1)
    return ""


def _colour_code(word: str, name: str, number: int, line: str) -> int:
    try:
        return int(word, 16) if word.lower().startswith("0x") else int(word)
    except ValueError:
        raise _malformed(name, number, line, f"'{word}' is no colour code") from None


def _numbers(words: list[str], count: int, name: str, number: int, line: str) -> Floats:
    try:
        values = np.array([float(word) for word in words], np.float32)
    except ValueError:
        raise _malformed(name, number, line, "a coordinate is no number") from None
    if len(values) != count or not np.isfinite(values).all():
        raise _malformed(name, number, line, f"expected {count} finite numbers, got {len(values)}")
    return values


def _malformed(name: str, number: int, line: str, why: str) -> LegoclfError:
    shown = line if len(line) <= 60 else line[:57] + "..."
    return LegoclfError(f"{name}, line {number}: {why}: '{shown}'; mend the line or fetch the file anew")
