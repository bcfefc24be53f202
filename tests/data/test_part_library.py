"""The embedded parts, how they are asked for, and how they come to rest."""

import re

import numpy as np
import pytest

from legoclf.data.colours import choose_colours
from legoclf.data.embed_parts import COMMON_COLOURS, embed
from legoclf.data.ldraw import Library
from legoclf.data.part_library import DEFAULT_PARTS, EmbeddedParts, make_part, open_parts, select_parts
from legoclf.data.stable_poses import stable_poses
from legoclf.errors import UsageError

EMBEDDED = EmbeddedParts()


def volume(mesh) -> float:
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(float) for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


@pytest.fixture
def ldraw(tmp_path):
    """A library of two parts, one of which moved, and a colour table."""
    parts = tmp_path / "ldraw" / "parts"
    parts.mkdir(parents=True)
    (tmp_path / "ldraw" / "p").mkdir()
    (parts / "wedge.dat").write_text(
        "0 Wedge  2 x  1\n0 Author: A. Uthor [au]\n0 BFC CERTIFY CCW\n"
        "3 16 0 0 0  0 -8.25 0  20 0 0\n3 16 0 0 0  0 0 10  0 -8.25 0\n"
        "3 16 0 0 0  20 0 0  0 0 10\n3 16 20 0 0  0 -8.25 0  0 0 10\n"
    )
    (parts / "old.dat").write_text("0 ~Moved to wedge\n1 16 0 0 0 1 0 0 0 1 0 0 0 1 wedge.dat\n")
    lines = [f"0 !COLOUR {name} CODE {code} VALUE #{code:06X}" for code, name in enumerate(COMMON_COLOURS)]
    lines.append("0 !COLOUR Trans_Clear CODE 47 VALUE #FCFCFC EDGE #C3C3C3 ALPHA 128")
    (tmp_path / "ldraw" / "LDConfig.ldr").write_text("\n".join(lines))
    return tmp_path / "ldraw"


def test_about_a_hundred_parts_are_embedded_each_with_name_and_authors():
    parts = EMBEDDED.parts()
    assert len(parts) > 100
    assert all(part.name for part in parts)
    folders = [part.folder for part in parts]
    assert len({folder.lower() for folder in folders}) == len(folders)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._]*[A-Za-z0-9]", folder) for folder in folders)


def test_every_embedded_part_has_its_outside_outside():
    for part in EMBEDDED.parts():
        mesh = EMBEDDED.mesh(part.part_id)
        box = float(np.ptp(mesh.vertices, axis=0).prod())
        assert 0.2 * box < volume(mesh) < 0.95 * box, part


def test_the_2x4_brick_measures_what_it_should():
    """80 x 40 LDU (32 x 16 mm), 24 LDU high and 4 more for the studs, which point to -Y."""
    mesh = EMBEDDED.mesh("3001")
    assert np.ptp(mesh.vertices, axis=0).tolist() == [80, 28, 40]
    assert mesh.vertices[:, 1].min() == -4


def test_embedding_keeps_the_mesh_and_gives_the_same_bytes_each_time(ldraw, tmp_path):
    assert embed(ldraw, tmp_path / "a") == embed(ldraw, tmp_path / "b") == 1
    for name in ("parts.npz", "parts.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    embedded = EmbeddedParts(tmp_path / "a")
    read, kept = Library(ldraw).read("wedge"), embedded.mesh("wedge")
    assert np.array_equal(read.vertices, kept.vertices)
    assert np.array_equal(read.faces, kept.faces)
    assert embedded.find("old").part_id == "wedge"


def test_parts_are_asked_for_by_id_name_or_former_id():
    found = select_parts(EMBEDDED, "3001, brick 2x3,3023,3001")
    assert [part.part_id for part in found] == ["3001", "3002", "3023b"]
    assert [part.part_id for part in select_parts(EMBEDDED, DEFAULT_PARTS)] == list(DEFAULT_PARTS)
    assert len(select_parts(EMBEDDED, "all")) == len(EMBEDDED.parts())


def test_a_name_with_a_comma_is_one_name():
    name = "Plate 1 x 2 with Groove with 1 Centre Stud, without Understud"
    assert [part.part_id for part in select_parts(EMBEDDED, name)] == ["15573"]


def test_an_unknown_part_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"no part 'Brik 2 x 4'; the nearest: 3001 \(Brick 2 x 4\)"):
        select_parts(EMBEDDED, "3001,Brik 2 x 4")
    with pytest.raises(UsageError, match="names no part"):
        select_parts(EMBEDDED, " , ")


def test_a_users_library_gives_its_own_parts_and_colours(ldraw):
    source = open_parts(ldraw)
    assert [part.folder for part in source.parts()] == ["wedge_Wedge_2x1"]
    assert select_parts(source, "old")[0].part_id == "wedge"
    assert choose_colours(source, "black,#102030,3") == ((0, 0, 1), (16, 32, 48), (0, 0, 3))
    with pytest.raises(UsageError, match="transparent"):
        choose_colours(source, "Trans_Clear")


def test_colours_are_found_by_either_spelling_and_refused_with_the_nearest():
    assert choose_colours(EMBEDDED, "light bluish gray") == choose_colours(EMBEDDED, "Light_Bluish_Grey")
    with pytest.raises(UsageError, match="no colour 'Rod'; the nearest: Red"):
        choose_colours(EMBEDDED, "Rod")


def test_folder_names_are_safe():
    assert make_part("3001", "Brick  2 x  4").folder == "3001_Brick_2x4"
    assert make_part("6536", "~Block 1 x 2 (Axle/Pin)").folder == "6536_Block_1x2_Axle_Pin"
    assert len(make_part("1", "Long " * 40).folder) <= 64


def test_a_cube_rests_on_each_side_alike():
    corners = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1).T.astype(np.float32)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))], np.int32)
    poses = stable_poses(corners, faces)
    assert poses.chances == pytest.approx([1 / 6] * 6)
    assert np.allclose(np.linalg.det(poses.turns), 1)


def test_a_plate_lies_flat_far_more_often_than_it_stands():
    mesh = EMBEDDED.mesh("3020")
    poses = stable_poses(mesh.vertices, mesh.faces)
    flat = np.abs(poses.turns[:, 2, 1]) > 0.99
    assert poses.chances[flat].sum() > 0.8
    for turn in poses.turns:
        heights = (mesh.vertices @ turn.T)[:, 2]
        assert (heights < heights.min() + 0.05).sum() >= 3, "a part rests on three points at least"
