"""The LDraw reader, on small files that each show one rule of the format."""

from pathlib import Path

import numpy as np
import pytest

from legoclf.data.ldraw import Library, parse_colours
from legoclf.errors import LegoclfError, UsageError

# A cube from -1 to 1, its faces counter-clockwise seen from outside.
CUBE = """0 A cube
0 BFC CERTIFY CCW
4 16 -1 -1 -1  -1 1 -1  1 1 -1  1 -1 -1
4 16 -1 -1 1  1 -1 1  1 1 1  -1 1 1
4 16 -1 -1 -1  -1 -1 1  -1 1 1  -1 1 -1
4 16 1 -1 -1  1 1 -1  1 1 1  1 -1 1
4 16 -1 -1 -1  1 -1 -1  1 -1 1  -1 -1 1
4 16 -1 1 -1  -1 1 1  1 1 1  1 1 -1
"""
SAME_PLACE = "0 0 0 1 0 0 0 1 0 0 0 1"
MIRRORED = "0 0 0 -1 0 0 0 1 0 0 0 1"


def read(folder: Path, part: str = "part", **files: str):
    """The mesh of parts/part.dat; ``files`` are its text and that of others, named folder__name."""
    for name, text in {"p__cube": CUBE, "parts__part": "0 Part", **files}.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".dat")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Library(folder).read(part)


def volume(mesh) -> float:
    """Signed: positive when the triangles are counter-clockwise seen from outside."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(float) for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def test_a_quad_becomes_two_triangles_and_shared_corners_are_one(tmp_path):
    mesh = read(tmp_path, parts__part=CUBE)
    assert mesh.vertices.shape == (8, 3)
    assert mesh.vertices.dtype == np.float32
    assert mesh.faces.shape == (12, 3)
    assert volume(mesh) == pytest.approx(8)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (f"1 16 {SAME_PLACE} cube.dat", 8),
        (f"1 16 {MIRRORED} cube.dat", 8),
        (f"0 BFC INVERTNEXT\n1 16 {SAME_PLACE} cube.dat", -8),
        (f"0 BFC INVERTNEXT\n1 16 {MIRRORED} cube.dat", -8),
        (f"0 BFC INVERTNEXT\n1 16 {SAME_PLACE} cube.dat\n1 16 9 0 0 2 0 0 0 2 0 0 0 2 cube.dat", -8 + 64),
    ],
    ids=["as it is", "mirrored", "inverted", "both", "inversion is for one reference only"],
)
def test_a_reference_keeps_the_outside_outside_unless_it_says_invert(tmp_path, lines, expected):
    mesh = read(tmp_path, parts__part=f"0 Part\n0 BFC CERTIFY CCW\n{lines}")
    assert volume(mesh) == pytest.approx(expected)


def test_inversion_twice_is_none(tmp_path):
    hollow = f"0 Hollow\n0 BFC CERTIFY CCW\n0 BFC INVERTNEXT\n1 16 {SAME_PLACE} cube.dat"
    mesh = read(
        tmp_path,
        p__hollow=hollow,
        parts__part=f"0 Part\n0 BFC CERTIFY CCW\n0 BFC INVERTNEXT\n1 16 {SAME_PLACE} hollow.dat",
    )
    assert volume(mesh) == pytest.approx(8)


def test_a_file_may_be_clockwise_or_change_half_way(tmp_path):
    lines = CUBE.splitlines()
    clockwise = [
        " ".join([*line.split()[:2], *np.array(line.split()[2:]).reshape(4, 3)[::-1].ravel()])
        for line in lines[2:]
    ]
    whole = "\n".join(["0 Part", "0 BFC CERTIFY CW", *clockwise])
    assert volume(read(tmp_path, parts__part=whole)) == pytest.approx(8)
    half = "\n".join([*lines[:5], "0 BFC CW", *clockwise[3:]])
    assert volume(read(tmp_path, parts__part=half)) == pytest.approx(8)


def test_colour_16_is_the_colour_of_the_reference_and_others_stay(tmp_path):
    two = "0 Two\n3 16 0 0 0 1 0 0 0 1 0\n3 4 0 0 5 1 0 5 0 1 5"
    part = f"0 Part\n1 1 {SAME_PLACE} two.dat\n1 16 0 0 9 1 0 0 0 1 0 0 0 1 two.dat"
    mesh = read(tmp_path, p__two=two, parts__part=f"{part}\n3 0x2FF8000 0 0 7 1 0 7 0 1 7")
    assert sorted(mesh.colours.tolist()) == [1, 4, 4, 16, 0x2FF8000]


def test_files_are_found_without_regard_to_case_and_with_backslashes(tmp_path):
    mesh = read(tmp_path, parts__s__Sub=CUBE, parts__part=f"0 Part\n1 16 {SAME_PLACE} S\\SUB.DAT")
    assert len(mesh.faces) == 12
    assert mesh.files == ("parts/part.dat", "parts/s/Sub.dat")


def test_edges_and_conditional_lines_are_left_out(tmp_path):
    mesh = read(tmp_path, parts__part=CUBE + "2 24 0 0 0 1 1 1\n5 24 0 0 0 1 1 1 2 2 2 3 3 3\n")
    assert len(mesh.faces) == 12


def test_a_part_that_moved_reads_as_the_part_it_stands_for(tmp_path):
    mesh = read(
        tmp_path,
        parts__part=CUBE,
        parts__old=f"0 ~Moved to part\n0 Author: Somebody\n1 16 {SAME_PLACE} part.dat",
    )
    library = Library(tmp_path)
    assert library.header("old").alias_of == "part"
    assert library.header("old").author == "Somebody"
    assert len(library.read("old").faces) == len(mesh.faces)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"1 16 {SAME_PLACE} absent.dat", r"parts/part\.dat, line 2: there is no file 'absent\.dat'"),
        (f"1 16 {SAME_PLACE} part.dat", r"parts/part\.dat: the file contains itself"),
        ("3 16 0 0 0 1 0 0 0 1", r"parts/part\.dat, line 2: expected 9 finite numbers, got 8"),
        ("3 16 0 0 0 1 0 0 0 1 x", r"parts/part\.dat, line 2: a coordinate is no number"),
        ("3 red 0 0 0 1 0 0 0 1 0", r"line 2: 'red' is no colour code"),
        ("1 16 0 0 0 1 0 0 0 1 0 0 0 1", r"line 2: a line of type 1 has 15 fields"),
        ("7 16", r"line 2: a line starts with its type, 0 to 5"),
    ],
)
def test_an_error_names_the_file_the_line_and_the_reason(tmp_path, line, message):
    with pytest.raises(LegoclfError, match=message):
        read(tmp_path, parts__part=f"0 Part\n{line}")


def test_two_files_that_hold_each_other_are_refused_not_followed(tmp_path):
    with pytest.raises(LegoclfError, match=r"part\.dat > a\.dat > b\.dat > a\.dat"):
        read(
            tmp_path,
            parts__part=f"0 Part\n1 16 {SAME_PLACE} a.dat",
            p__a=f"0 A\n1 16 {SAME_PLACE} b.dat",
            p__b=f"0 B\n1 16 {SAME_PLACE} a.dat",
        )


def test_a_folder_that_is_no_library_is_refused_with_what_is_missing(tmp_path):
    with pytest.raises(UsageError, match="no folder 'parts'"):
        Library(tmp_path)


def test_colours_of_ldconfig():
    colours = parse_colours(
        "0 // a comment\n"
        "0 !COLOUR Red        CODE   4   VALUE #B40000   EDGE #333333\n"
        "0 !COLOUR Trans_Red  CODE  36   VALUE #C91A09   EDGE #F00000   ALPHA 128\n"
    )
    assert colours[4] == ("Red", 4, (180, 0, 0), 255)
    assert colours[36].alpha == 128
