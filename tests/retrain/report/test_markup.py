"""Pictures of a page: small JPEGs within it, and nothing where there is none to show."""

import base64
import io
from pathlib import Path

from PIL import Image

from legoclf.retrain.report.markup import PICTURE_SIDE, Pictures, small_jpeg


def test_a_picture_is_a_jpeg_of_the_side_that_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "photo.png")
    Image.new("RGB", (400, 200), (200, 30, 30)).save(path)
    kind, _, content = small_jpeg(path).partition(",")
    assert kind == "data:image/jpeg;base64"
    picture = Image.open(io.BytesIO(base64.b64decode(content)))
    assert (picture.format, picture.size) == ("JPEG", (PICTURE_SIDE, PICTURE_SIDE // 2))


def test_an_image_that_cannot_be_read_any_more_has_no_picture(tmp_path: Path) -> None:
    assert Pictures({"a/1.png": str(tmp_path / "gone.png")}).tag("a/1.png", "a brick") == ""


def test_no_more_pictures_are_made_than_the_page_can_carry(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{index}.png") for index in range(3)]
    for path in paths:
        Image.new("RGB", (20, 20)).save(path)
    pictures = Pictures(dict(zip("abc", paths, strict=True)), most_bytes=len(small_jpeg(paths[0])) + 1)
    assert [bool(pictures.tag(path, "")) for path in "abc"] == [True, True, False]
