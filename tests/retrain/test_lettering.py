"""The letters of words in pictures: most alphabets with matplotlib, and words at all without it."""

import sys

import pytest

from legoclf.retrain.lettering import font_of


def test_letters_of_other_alphabets_differ() -> None:
    font = font_of(13)
    assert bytes(font.getmask("Ж")) != bytes(font.getmask("Ω"))


def test_a_size_twice_as_large_is_twice_as_wide() -> None:
    assert font_of(40).getlength("brick") == pytest.approx(2 * font_of(20).getlength("brick"), rel=0.1)


def test_without_matplotlib_latin_letters_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    font = font_of(13)
    assert bytes(font.getmask("a")) != bytes(font.getmask("b"))
