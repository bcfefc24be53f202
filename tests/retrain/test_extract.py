"""Extraction: each row is what the graph says of that image alone, however the work is cut up."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from legoclf.contract import unit_range_contract
from legoclf.image import iter_image_files, read_image
from legoclf.preprocess import fit_opencv, preprocess
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.engines import open_engine
from legoclf.retrain.extract import Extractor, Request
from legoclf.retrain.feature_cache import FeatureCache
from legoclf.retrain.feature_vector import load_feature_vector

Make = Callable[..., Extractor]


@pytest.fixture
def make(module: Path, cache: Path, tmp_path: Path) -> Iterator[Make]:
    """Make an extractor; each has the cache of this test's folder, as it is on the disk then."""
    vector = load_feature_vector(str(module), cache_dir=cache)
    engine = open_engine("onnxruntime", vector)
    opened: list[FeatureCache] = []

    def extractor(workers: int = 2, **distortion: int) -> Extractor:
        rows = FeatureCache(tmp_path / "features", {}, vector.feature_size)
        opened.append(rows.__enter__())
        contract = unit_range_contract(vector.width, vector.height)
        return Extractor(engine, contract, rows, Augmentation(**distortion), 0, workers)  # type: ignore[arg-type]

    yield extractor
    for rows in opened:
        rows.__exit__(None, None, None)


@pytest.fixture
def paths(photos: Path) -> list[str]:
    return list(iter_image_files(str(photos)))[::7]


def rows_of(extractor: Extractor, paths: list[str], views: int = 1) -> np.ndarray:
    """float32 [images, views, D]."""
    results = list(extractor.extract([Request(path, views) for path in paths]))
    assert all(result.error is None for result in results)
    rows = extractor.cache.rows([key for result in results for key in result.keys])
    return rows.reshape(len(paths), views, -1)


def test_a_row_is_what_the_graph_gives_for_the_contracts_tensor(make: Make, paths: list[str]) -> None:
    extractor = make()
    rows = rows_of(extractor, paths)
    for path, row in zip(paths, rows, strict=True):
        tensor = preprocess(read_image(path), extractor.contract, fit_opencv)
        assert np.array_equal(row[0], extractor.engine.features(tensor))


def test_the_number_of_workers_changes_no_bit(make: Make, paths: list[str]) -> None:
    one = rows_of(make(workers=1, random_crop=20), paths, views=3)
    many = rows_of(make(workers=5, random_crop=20), paths, views=3)
    assert np.array_equal(one, many)


def test_the_first_view_is_plain_and_the_others_differ(make: Make, paths: list[str]) -> None:
    plain = rows_of(make(), paths[:2])
    views = rows_of(make(random_brightness=50), paths[:2], views=3)
    assert np.array_equal(views[:, 0], plain[:, 0])
    assert not np.array_equal(views[:, 1], views[:, 2])


def test_a_second_run_does_not_decode(make: Make, paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    first = make()
    rows = rows_of(first, paths)
    first.cache.flush()
    for decode in ("decode_image", "decode_reduced"):
        monkeypatch.setattr(f"legoclf.retrain.extract.{decode}", lambda *_: pytest.fail("decoded again"))
    assert np.array_equal(rows_of(make(), paths), rows)


def test_more_views_are_added_to_those_that_are_there(make: Make, paths: list[str]) -> None:
    first = make(random_crop=20)
    two = rows_of(first, paths, views=2)
    first.cache.flush()
    three = rows_of(make(random_crop=20), paths, views=3)
    assert np.array_equal(three[:, :2], two)


def test_a_damaged_image_is_reported_and_the_others_are_extracted(
    make: Make, paths: list[str], tmp_path: Path
) -> None:
    damaged = tmp_path / "cut.jpg"
    damaged.write_bytes(Path(paths[0]).read_bytes()[:300])
    results = list(make().extract([Request(paths[0]), Request(str(damaged)), Request(paths[1])]))
    assert [result.error is None for result in results] == [True, False, True]
    assert str(results[1].error).startswith(f"{damaged}: ")


def test_an_image_that_was_removed_meanwhile_is_reported(make: Make, tmp_path: Path) -> None:
    (result,) = make().extract([Request(str(tmp_path / "gone.jpg"))])
    assert "No such file" in str(result.error)


def test_a_reader_that_stops_early_ends_the_work(make: Make, paths: list[str]) -> None:
    results = make().extract([Request(path) for path in paths])
    assert next(results).error is None
    results.close()  # type: ignore[attr-defined]
    assert next(results, None) is None


def test_views_of_a_large_jpeg_see_what_the_plain_view_sees(make: Make, tmp_path: Path) -> None:
    """They are decoded at a reduced size; without distortion the features stay close: 2 % of the largest."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    path = tmp_path / "large.jpg"
    coarse.resize((1024, 768), Image.Resampling.BICUBIC).save(path, quality=95)
    plain, view = rows_of(make(), [str(path)], views=2)[0]
    assert not np.array_equal(plain, view)
    assert np.abs(plain - view).max() < 0.02 * np.abs(plain).max()


def test_equal_images_are_extracted_once_and_both_found(make: Make, paths: list[str], tmp_path: Path) -> None:
    link = tmp_path / "again.jpg"
    link.symlink_to(paths[0])
    rows = rows_of(make(), [paths[0], str(link)])
    assert np.array_equal(rows[0], rows[1])
