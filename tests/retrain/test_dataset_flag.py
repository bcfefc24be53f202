"""`legoclf retrain --dataset`: beside --image_dir, and known by its name from there on."""

import argparse
from pathlib import Path

import pytest

from legoclf.errors import UsageError
from legoclf.retrain.flag_settings import settings_of
from legoclf.retrain.flags import add_flags
from legoclf.retrain.settings import Settings


def settings(*flags: str) -> Settings:
    """The settings that flags mean, without a run."""
    parser = argparse.ArgumentParser()
    add_flags(parser)
    parser.set_defaults(command_line=["legoclf", "retrain"])
    return settings_of(parser.parse_args(flags))


def test_the_images_lie_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEGOCLF_CACHE_DIR", str(tmp_path))
    assert settings("--dataset=mnist").image_dir == str(tmp_path / "datasets" / "mnist")


def test_the_bundle_is_called_as_the_data_set() -> None:
    assert settings("--dataset=mnist").bundle == Path("mnist.bundle")


def test_a_quick_look_does_not_overwrite_the_bundle_of_the_whole_set() -> None:
    assert settings("--dataset=mnist", "--images_a_class=50").bundle == Path("mnist-50-a-class.bundle")


def test_beside_a_folder_it_is_refused() -> None:
    with pytest.raises(SystemExit):
        settings("--dataset=mnist", "--image_dir=bricks")


def test_one_of_the_two_is_needed() -> None:
    with pytest.raises(SystemExit):
        settings()


def test_an_unknown_name_is_refused_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="did you mean mnist"):
        settings("--dataset=mnits")


def test_a_limit_beside_a_folder_is_refused() -> None:
    with pytest.raises(UsageError, match="--images_a_class"):
        settings("--image_dir=bricks", "--images_a_class=5")
