"""500 hostile files among good photos: the run ends well, and names each of them with its reason."""

import hashlib
import json
import logging
import os
import random
import shutil
import socket
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HOSTILE = 500
ODD_NAMES = (
    "line\nbreak", "tab\there", "\x1b[31mred\x1b[0m", "emoji 🧱", "-rf", "'quotes\"", "ü" * 100, "a" * 240,
    "%s%n", "$(reboot)", "per cent %d", "trailing ", b"not utf-8 \xff".decode("utf-8", "surrogateescape"),
)  # fmt: skip


def encoded(image_format: str) -> bytes:
    levels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    stream = BytesIO()
    Image.fromarray(levels).save(stream, image_format)
    return stream.getvalue()


def png_of_size(width: int, height: int, pixels: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    whole = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + whole


def jpeg_of_size(width: int, height: int) -> bytes:
    data = bytearray(encoded("JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def makers(draw: random.Random) -> list[tuple[str, Callable[[Path], object]]]:
    """Extension and how to make a file of each hostile kind."""

    def cut(image_format: str) -> Callable[[Path], object]:
        data = encoded(image_format)
        return lambda path: path.write_bytes(data[: draw.randrange(1, len(data) - len(data) // 4)])

    def data(content: bytes) -> Callable[[Path], object]:
        return lambda path: path.write_bytes(content)

    return [
        (".jpg", cut("JPEG")),
        (".png", cut("PNG")),
        (".webp", cut("WEBP")),
        (".jpg", data(b"")),
        (".jpg", data(b"this is no photo")),
        (".jpeg", lambda path: path.write_bytes(draw.randbytes(draw.randrange(1, 5000)))),
        (".jpg", data(encoded("GIF"))),
        (".png", data(encoded("TIFF"))),
        (".gif", data(encoded("GIF"))),
        (".heic", data(b"\0\0\0\x18ftypheic\0\0\0\0" + bytes(100))),
        (".png", data(png_of_size(50_000, 50_000))),
        (".png", data(png_of_size(2_000_000_000, 1))),
        (".png", data(png_of_size(0, 0))),
        (".png", data(png_of_size(60_000, 60_000, bytes(10_000_000)))),
        (".jpg", data(jpeg_of_size(65_500, 65_500))),
        (".png", data(png_of_size(64, 48, b"too little"))),
        (".jpg", lambda path: path.symlink_to(path.name)),
        (".jpg", lambda path: path.symlink_to("nowhere")),
    ]


@pytest.fixture
def hostile(own_photos: Path) -> list[Path]:
    """500 hostile files in the class folders of a copy of the photos, where good ones have odd names too.

    Beside them a pipe, a socket, a folder named as a photo, and a folder that holds itself.
    """
    draw = random.Random(0)
    folders = sorted(own_photos.iterdir())
    kinds = makers(draw)
    for number, odd in enumerate(ODD_NAMES):
        good = folders[number % len(folders)] / f"{number:02d}.jpg"
        good.rename(good.with_name(f"good{odd}.jpg"))
    made = []
    for number in range(HOSTILE):
        extension, make = kinds[number % len(kinds)]
        odd = ODD_NAMES[number % len(ODD_NAMES)] if number % 3 == 0 else "x"
        name = f"{number:03d}{odd}"
        while len(os.fsencode(name + extension)) > 255:
            name = name[:-1]
        path = folders[number % len(folders)] / (name + extension)
        make(path)
        made.append(path)
    os.mkfifo(folders[0] / "pipe.jpg")
    (folders[0] / "folder.jpg").mkdir()
    (folders[0] / "loop").symlink_to(folders[0])
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(folders[1])  # a socket's path is limited to 108 bytes
        try:
            listening.bind("socket.jpg")
        finally:
            os.chdir(here)
    return made


def state(folder: Path) -> dict[bytes, tuple[int, int, str]]:
    """Mode, time of change and content of everything below a folder."""
    found = {}
    for path in sorted(folder.rglob("*"), key=os.fsencode):
        status = path.lstat()
        regular = path.is_file() and not path.is_symlink()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if regular else ""
        found[os.fsencode(path)] = (status.st_mode, status.st_mtime_ns, content)
    return found


def test_no_hostile_file_ends_the_run_and_each_is_named_with_its_reason(
    train: Callable[..., int],
    own_photos: Path,
    hostile: list[Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO)
    before = state(own_photos)
    assert train(own_photos, tmp_path / "out", "--json") == 0
    assert state(own_photos) == before

    told = json.loads(capsys.readouterr().out)
    reasons = {entry["path"]: entry["reason"] for entry in told["skipped"]}
    assert set(reasons) == {str(path) for path in hostile}
    assert all(reasons.values())
    images = told["metrics"]["images"]
    assert sum(images.values()) == 90, "every good photo is used"

    lines = [message for message in caplog.messages if message.startswith("skipped: ")]
    assert len(lines) == HOSTILE
    unprintable = [line for line in lines if not line.isprintable()]
    assert unprintable == [], "a name cannot break the line or steer the terminal"


def test_the_check_of_a_data_set_survives_them_too(own_photos: Path, hostile: list[Path]) -> None:
    from legoclf.cli import main

    assert main(["data", "check", str(own_photos)]) in (0, 1)
    shutil.rmtree(own_photos)
