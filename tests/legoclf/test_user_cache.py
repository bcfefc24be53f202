"""The user's cache folder."""

import os
from pathlib import Path

import pytest

from legoclf.user_cache import default_cache_dir


def test_the_cache_folder_is_the_users_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("LEGOCLF_CACHE_DIR", raising=False)
    assert default_cache_dir() == os.path.join(str(tmp_path), "legoclf")
    monkeypatch.setenv("LEGOCLF_CACHE_DIR", str(tmp_path / "mine"))
    assert default_cache_dir() == str(tmp_path / "mine")


def test_without_a_choice_it_is_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("LEGOCLF_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert default_cache_dir() == str(tmp_path / ".cache" / "legoclf")
