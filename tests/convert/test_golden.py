"""The golden images: few, small, and one that gives every kind of mistake away."""

from pathlib import Path

import novel_graphs
import numpy as np
import pytest
import small_bundle

from legoclf.contract import unit_range_contract
from legoclf.convert.golden import MAX_SIDE, golden_images, pattern_image
from legoclf.golden import read_golden
from legoclf.preprocess import preprocess

CONTRACT = unit_range_contract(64, 64)


def test_a_large_photo_is_stored_smaller_in_its_own_proportions() -> None:
    photo = np.zeros((1000, 2000, 3), np.uint8)
    assert golden_images([photo], CONTRACT)[0].shape == (MAX_SIDE // 2, MAX_SIDE, 3)


def test_a_small_photo_is_stored_as_it_is() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    assert np.array_equal(golden_images([photo], CONTRACT)[0], photo)


def test_the_pattern_comes_last() -> None:
    assert np.array_equal(golden_images([], CONTRACT)[-1], pattern_image())


@pytest.mark.parametrize(
    "mistaken",
    [
        pytest.param(lambda image, contract: (image[:, :, ::-1], contract), id="colours swapped"),
        pytest.param(lambda image, contract: (image[:, ::-1], contract), id="mirrored"),
        pytest.param(lambda image, contract: (image[::-1], contract), id="upside down"),
        pytest.param(lambda image, c: (image, c._replace(resample="bilinear")), id="another resampling"),
        pytest.param(lambda image, c: (image, c._replace(geometry="pad")), id="another geometry"),
        pytest.param(lambda image, c: (image, c._replace(scale=2 / 255, offset=-1.0)), id="another range"),
    ],
)
def test_the_pattern_gives_a_mistake_in_the_preprocessing_away(mistaken) -> None:  # type: ignore[no-untyped-def]
    right = preprocess(pattern_image(), CONTRACT)
    wrong = preprocess(*mistaken(pattern_image(), CONTRACT))
    assert float(np.abs(right - wrong).max()) * 255 > 1.0


@pytest.mark.parametrize("kind", novel_graphs.KINDS)
def test_the_novelty_of_the_images_is_stored_where_the_graph_gives_it(kind: str, tmp_path: Path) -> None:
    novelty = novel_graphs.of_kind(kind)
    golden = read_golden(novel_graphs.write_bundle(tmp_path / "novel.bundle", novelty, 1000.0))
    assert golden.novelty is not None
    assert golden.novelty.dtype == np.float32
    shown = golden.novelty[:-1]  # the pattern comes last
    # The images are those, at 255 levels.
    np.testing.assert_allclose(shown, novel_graphs.expected(novelty), rtol=0.02)


def test_a_graph_without_novelty_stores_none(tmp_path: Path) -> None:
    with np.load(small_bundle.write_bundle(tmp_path / "small.bundle").file("golden.npz")) as arrays:
        assert "novelty" not in arrays.files
