"""Make data/parts/ from LDraw files: ``python -m legoclf.data.embed_parts LDRAW_DIR``.

Every part of LDRAW_DIR/parts is read and written to parts.npz (triangles) and parts.json (names, authors,
colours). The same files in give the same bytes out.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from legoclf.data.ldraw import INHERITED_COLOUR, STEPS_PER_LDU, Library
from legoclf.data.part_library import FOLDER, make_part
from legoclf.errors import LegoclfError

# The colours most parts exist in; transparent and metallic ones need another kind of rendering.
COMMON_COLOURS = (
    "White",
    "Black",
    "Red",
    "Blue",
    "Yellow",
    "Green",
    "Light_Bluish_Grey",
    "Dark_Bluish_Grey",
    "Orange",
    "Tan",
    "Reddish_Brown",
    "Lime",
    "Dark_Red",
    "Dark_Blue",
    "Dark_Green",
    "Dark_Tan",
    "Medium_Azure",
    "Medium_Nougat",
    "Bright_Pink",
    "Sand_Green",
    "Dark_Turquoise",
)


def embed(ldraw: Path, folder: Path) -> int:
    """Write parts.npz and parts.json into ``folder``; returns the number of parts.

    A part that is only another name for one (moved, alias) becomes an entry of ``aliases``.
    """
    library = Library(ldraw)
    entries: list[dict[str, Any]] = []
    aliases, all_vertices, all_faces = {}, [], []
    for part_id in library.part_ids():
        header = library.header(part_id)
        if header.alias_of is not None:
            aliases[part_id] = header.alias_of
            continue
        mesh = library.read(part_id)
        steps = np.rint(mesh.vertices.astype(np.float64) * STEPS_PER_LDU)
        if np.abs(steps).max() > np.iinfo(np.int16).max or len(steps) > np.iinfo(np.uint16).max:
            raise LegoclfError(f"part {part_id} is too large to embed; leave its file out of {ldraw}")
        if (mesh.colours != INHERITED_COLOUR).any():
            raise LegoclfError(f"part {part_id} has colours of its own, which the embedded form cannot keep")
        entries.append(
            {
                "id": part_id,
                "name": make_part(part_id, header.title).name,
                "vertices": len(steps),
                "faces": len(mesh.faces),
                "authors": _sorted_authors(library, mesh.files),
            }
        )
        all_vertices.append(steps.astype(np.int16))
        all_faces.append(mesh.faces.astype(np.uint16))
    by_name = {colour.name: colour for colour in library.colours().values()}
    index = {
        "source": "LDraw Parts Library",
        "licence": "CC BY 4.0",
        "authors": sorted({author for entry in entries for author in entry["authors"]}),
        "colours": [
            {"name": name, "code": by_name[name].code, "rgb": by_name[name].rgb} for name in COMMON_COLOURS
        ],
        "aliases": aliases,
        "parts": entries,
    }
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        folder / "parts.npz", vertices=np.concatenate(all_vertices), faces=np.concatenate(all_faces)
    )
    text = json.dumps(index, indent=1, ensure_ascii=False)
    (folder / "parts.json").write_text(text + "\n", encoding="utf-8")
    return len(entries)


def _sorted_authors(library: Library, files: tuple[str, ...]) -> list[str]:
    return sorted({library.author(file) for file in files} - {""})


def main() -> int:
    """Run as a script; the folder of LDraw files is the one argument."""
    parser = argparse.ArgumentParser(prog="python -m legoclf.data.embed_parts", description=__doc__)
    parser.add_argument("ldraw", type=Path, metavar="LDRAW_DIR")
    arguments = parser.parse_args()
    try:
        count = embed(arguments.ldraw, FOLDER)
    except LegoclfError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"{count} parts embedded in {FOLDER}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
