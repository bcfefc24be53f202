"""Rendered data sets: what is in the pictures, and that the same call gives the same files."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("embreex", reason="the render extra is not installed")

from PIL import Image

from legoclf.data.ground import Ground
from legoclf.data.ground_layer import ground_layer
from legoclf.data.part_library import EmbeddedParts
from legoclf.data.raytrace import Tracer, crease_normals
from legoclf.data.render import render_dataset
from legoclf.data.render_image import part_mask, prepare, render_image
from legoclf.data.scene import image_rng, random_scene, turned
from legoclf.errors import LegoclfError, UsageError

SIZE = 48
WHITE = np.array([[0.9, 0.9, 0.9]])
GREY_CARD = Ground("plain", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 1.0, 0.0, 0)
# What `legoclf data render` runs, as a program of its own that a test can end.
PROGRAM = """
import argparse, sys
from legoclf.data import render_command
parser = argparse.ArgumentParser()
render_command.add_arguments(parser)
sys.exit(render_command.run(parser.parse_args()))
"""


@pytest.fixture(scope="module")
def brick():
    return prepare(EmbeddedParts().mesh("3001"))


def a_scene(model, index, size=SIZE):
    rng = image_rng(0, "3001", index, size)
    return random_scene(rng, model.mesh.vertices, model.poses, WHITE, size), rng


def files(folder):
    """Relative path and content hash of every image."""
    found = {}
    for path in sorted(folder.rglob("*.*")):
        if path.name != "render.json":
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_the_whole_part_is_in_the_frame_and_fills_its_share(brick):
    for index in range(12):
        scene, _ = a_scene(brick, index)
        mask = part_mask(brick, scene, SIZE)
        border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        assert not border.any()
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        longer = max(np.ptp(rows), np.ptp(columns)) + 1
        assert 0.45 * SIZE - 2 <= longer <= 0.85 * SIZE + 2


def test_the_part_stands_on_the_table_neither_sunk_nor_floating(brick):
    for index in range(12):
        scene, _ = a_scene(brick, index)
        placed = turned(brick.mesh.vertices, scene.turn) + scene.shift
        assert placed[:, 2].min() == pytest.approx(0, abs=1e-9)


def test_its_shadow_is_darker_than_the_ground_and_the_open_ground_is_even(brick):
    for index in range(4):
        scene, _ = a_scene(brick, index)
        scene = scene._replace(ground=GREY_CARD)
        vertices = (turned(brick.mesh.vertices, scene.turn) + scene.shift).astype(np.float32)
        normals = turned(brick.normals, scene.turn).astype(np.float32)
        tracer = Tracer(vertices, brick.mesh.faces, normals)
        ground = ground_layer(tracer, vertices, scene, SIZE, 3).mean(axis=1)
        assert ground.min() < 0.6 * ground.max()
        assert np.median(ground) > 0.8 * ground.max()


def test_the_outline_is_anti_aliased(brick):
    """A white part on black card: pixels on its outline lie between the two, not at either."""
    scene, rng = a_scene(brick, 1)
    black = Ground("plain", (0.02, 0.02, 0.02), (0.02, 0.02, 0.02), 1.0, 0.0, 0)
    sensor = scene.sensor._replace(blur_px=0.0, noise=0.0)
    picture = render_image(brick, None, scene._replace(ground=black, sensor=sensor), SIZE, rng).mean(axis=2)
    assert ((picture > 15) & (picture < 90)).sum() > 15
    mask = part_mask(brick, scene, SIZE)
    assert picture[mask].mean() > 3 * picture[~mask].mean()


def test_round_things_are_smooth_and_edges_sharp():
    """A 16-sided prism: normals turn along its side, and stay straight up on its lid."""
    angle = np.arange(16) * 2 * np.pi / 16
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    low, high = (np.concatenate([ring, np.full((16, 1), z)], axis=1) for z in (0.0, 1.0))
    vertices = np.concatenate([low, high, [[0, 0, 1]]])
    k, following = np.arange(16), (np.arange(16) + 1) % 16
    side = np.concatenate(
        [np.stack([k, following, following + 16], 1), np.stack([k, following + 16, k + 16], 1)]
    )
    lid = np.stack([k + 16, following + 16, np.full(16, 32)], axis=1)
    normals = crease_normals(vertices, np.concatenate([side, lid]).astype(np.int32))
    outward = vertices[side] * [1, 1, 0]
    assert np.allclose(normals[:32], outward, atol=1e-6)
    assert np.allclose(normals[32:], [0, 0, 1])


def test_the_same_seed_gives_the_same_files_by_one_process_or_two(tmp_path):
    for name, jobs in (("one", 1), ("two", 2)):
        report = render_dataset(tmp_path / name, "3001,3003", count=6, size=SIZE, seed=3, jobs=jobs)
        assert (report.rendered, report.kept) == (12, 0)
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert min(one) == "3001_Brick_2x4/3001_00000.jpg"
    assert one == two
    assert len(set(one.values())) == 12, "every picture is another one"


def test_a_picture_does_not_depend_on_the_others(tmp_path):
    render_dataset(tmp_path / "alone", "3003", count=2, size=SIZE, jobs=1)
    render_dataset(tmp_path / "among", "3001,3003", count=3, size=SIZE, jobs=1)
    render_dataset(tmp_path / "other", "3003", count=2, size=SIZE, seed=1, jobs=1)
    alone, among, other = (files(tmp_path / name) for name in ("alone", "among", "other"))
    assert alone.items() <= among.items()
    assert not set(alone.values()) & set(other.values())


def test_what_is_missing_is_rendered_and_what_is_there_stays(tmp_path):
    out = tmp_path / "out"
    render_dataset(out, "3001", count=3, size=SIZE, jobs=1)
    before = files(out)
    (out / "3001_Brick_2x4" / "3001_00001.jpg").unlink()
    report = render_dataset(out, "3001", count=4, size=SIZE, jobs=1)
    assert (report.rendered, report.kept) == (2, 2)
    assert before.items() <= files(out).items()
    render_dataset(out, "3003", count=1, size=SIZE, jobs=1)
    record = json.loads((out / "render.json").read_text())
    assert record["parts"] == {"3001": "3001_Brick_2x4", "3003": "3003_Brick_2x2"}
    assert record["count"] == 4


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(signal.SIGINT, id="Ctrl-C"),
        pytest.param(getattr(signal, "SIGKILL", signal.SIGTERM), id="killed outright"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_run_that_is_ended_leaves_whole_files_and_continues(tmp_path, end):
    out = tmp_path / "out"
    command = [sys.executable, "-c", PROGRAM, str(out), "--parts", "3001", "--count", "400", "--size", "64"]
    process = subprocess.Popen(
        [*command, "--jobs", "2"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What a shell starts in the background ignores Ctrl-C, and so would all below it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while len(list(out.glob("*/*.jpg"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    if end == signal.SIGINT:
        os.killpg(process.pid, end)  # as a terminal does: to the workers too
    else:
        process.send_signal(end)
    # Returns only when the workers, which share stderr, have ended too.
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    if end == signal.SIGINT:
        assert "the same command continues" in said
        assert not list(out.rglob("*.tmp"))
        assert "render_worker" not in said, "no traceback from a worker"
    there = list(out.glob("*/*.jpg"))
    assert 3 <= len(there) < 400
    for path in there:
        Image.open(path).load()
    count = max(int(path.stem.split("_")[1]) for path in there) + 2
    report = render_dataset(out, "3001", count=count, size=64, jobs=1)
    assert report.rendered + report.kept == count
    assert len(list(out.glob("*/*.jpg"))) == count


def test_a_folder_of_another_seed_or_of_other_things_is_refused(tmp_path):
    render_dataset(tmp_path / "out", "3001", count=1, size=SIZE, jobs=1)
    with pytest.raises(UsageError, match="rendered with seed 0, this call has 1"):
        render_dataset(tmp_path / "out", "3001", count=1, size=SIZE, seed=1, jobs=1)
    with pytest.raises(UsageError, match="rendered with size 48, this call has 64"):
        render_dataset(tmp_path / "out", "3001", count=1, size=64, jobs=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match=r"holds other things and no render\.json"):
        render_dataset(tmp_path / "mine", "3001", count=1, size=SIZE, jobs=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"count": 0}, "--count is 0"),
        ({"size": 15}, "--size is 15; it must be 16 to 4096"),
        ({"size": 5000}, "--size is 5000"),
        ({"seed": -1}, "--seed is -1"),
        ({"jobs": 0}, "--jobs is 0"),
        ({"image_format": "bmp"}, "--format is 'bmp'; it must be one of: jpg, png"),
    ],
)
def test_a_wrong_value_is_refused_before_anything_is_written(tmp_path, wrong, message):
    with pytest.raises(UsageError, match=message):
        render_dataset(tmp_path / "out", "3001", **wrong)
    assert not (tmp_path / "out").exists()


def test_a_part_of_a_users_library_keeps_its_own_colours(tmp_path):
    """A slab: one long side asks for the part's colour, all others are direct blue."""
    library = tmp_path / "ldraw"
    (library / "parts").mkdir(parents=True)
    (library / "p").mkdir()
    (library / "LDConfig.ldr").write_text("0 !COLOUR Red CODE 4 VALUE #FF0000 EDGE #000000\n")
    blue = "4 0x20000FF"
    (library / "parts" / "slab.dat").write_text(
        "0 Slab\n0 BFC CERTIFY CCW\n4 16 0 0 0 0 30 0 30 30 0 30 0 0\n"
        f"{blue} 0 0 9 30 0 9 30 30 9 0 30 9\n{blue} 0 0 0 0 0 9 0 30 9 0 30 0\n"
        f"{blue} 30 0 0 30 30 0 30 30 9 30 0 9\n{blue} 0 0 0 30 0 0 30 0 9 0 0 9\n"
        f"{blue} 0 30 0 0 30 9 30 30 9 30 30 0\n"
    )
    out = tmp_path / "out"
    render_dataset(out, "slab", 8, SIZE, ldraw=library, colours="Red", image_format="png", jobs=1)
    pictures = [np.asarray(Image.open(path)).astype(int) for path in sorted(out.glob("slab_Slab/*.png"))]
    assert {picture.shape for picture in pictures} == {(SIZE, SIZE, 3)}
    reds = sum(((p[..., 0] > 2 * p[..., 2]) & (p[..., 0] > 80)).sum() > 50 for p in pictures)
    blues = sum(((p[..., 2] > 2 * p[..., 0]) & (p[..., 2] > 80)).sum() > 50 for p in pictures)
    assert reds >= 2
    assert blues >= 2


def test_the_command_says_what_it_did_and_what_comes_next(tmp_path, capsys):
    import argparse

    from legoclf.data import render_command

    parser = argparse.ArgumentParser()
    render_command.add_arguments(parser)
    call = [str(tmp_path / "out"), "--parts", "3005", "--count", "1", "--size", "32", "--jobs", "1"]
    assert render_command.run(parser.parse_args(call)) == 0
    said = capsys.readouterr().out
    assert "1 images of 1 parts" in said
    assert f"next: legoclf retrain --image_dir {tmp_path / 'out'}" in said
    assert render_command.run(parser.parse_args([*call, "--json"])) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 1
    assert render_command.run(parser.parse_args(["--list"])) == 0
    assert "3001     Brick 2 x 4\n" in capsys.readouterr().out
    with pytest.raises(UsageError, match="legoclf data render OUT"):
        render_command.run(parser.parse_args([]))


def test_without_a_package_it_renders_with_no_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "embreex", None)  # as if it were not installed
    with pytest.raises(LegoclfError, match=r"'embreex' is not installed.*legoclf\[render\]"):
        render_dataset(tmp_path / "out")
    assert not (tmp_path / "out").exists()
