"""The report page: complete in itself, and safe whatever the folders are called."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from legoclf.retrain.evaluate import evaluate
from legoclf.retrain.report import MAX_PICTURES, write_report

NASTY = '<script>alert("1")</script> & co'


def page(tmp_path: Path, mistakes: int = 1, pictures: dict[str, str] | None = None) -> str:
    """The page of a set in which every image of one class is named as the other."""
    photo = tmp_path / "photo.png"
    Image.new("RGB", (200, 100), (250, 10, 10)).save(photo)
    names = [f"{NASTY}/{index}.png" for index in range(mistakes)]
    report = evaluate(
        np.tile(np.array([[0.0, 1.0]], np.float32), (mistakes, 1)),
        np.zeros(mistakes, np.int64),
        names,
        [NASTY, "other"],
    )
    assert report is not None
    target = tmp_path / "index.html"
    write_report(target, NASTY, report, pictures or dict.fromkeys(names, str(photo)), {"command": NASTY})
    return target.read_text(encoding="utf-8")


def test_names_cannot_become_markup(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    sources = re.findall(r'(?:src|href)="?([^"> ]*)', page(tmp_path))
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)


def test_a_picture_that_is_gone_leaves_its_words(tmp_path: Path) -> None:
    text = page(tmp_path, pictures={f"{NASTY}/0.png": str(tmp_path / "gone.png")})
    assert "named other" in text


def test_many_mistakes_show_the_ones_that_were_surest(tmp_path: Path) -> None:
    text = page(tmp_path, mistakes=MAX_PICTURES + 5)
    assert f"Mistakes ({MAX_PICTURES + 5})" in text
    assert text.count("<figure>") == MAX_PICTURES
