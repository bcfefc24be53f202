"""Each stage that is timed does what `legoclf retrain` does there, and nothing of another stage."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import small_training

from legoclf.benchmarks import stages as stages_module
from legoclf.benchmarks.extraction import DISTORTIONS
from legoclf.benchmarks.stages import ALL_CORES, ONE_THREAD, Stages, measure_stages
from legoclf.contract import unit_range_contract
from legoclf.image import iter_image_files
from legoclf.retrain.engines import OnnxRuntimeEngine
from legoclf.retrain.extract import Extractor, Request
from legoclf.retrain.feature_cache import FeatureCache

VIEWS = 2


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = small_training.write_photos(tmp_path_factory.mktemp("data") / "photos", 2)
    return list(iter_image_files(str(folder)))


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    vector = small_training.vector()
    with OnnxRuntimeEngine(vector) as engine:
        yield Stages(engine, unit_range_contract(vector.width, vector.height), VIEWS)


def test_the_stages_in_a_row_give_the_features_that_training_learns_from(
    stages: Stages, paths: list[str], tmp_path: Path
) -> None:
    with FeatureCache(tmp_path, {}, small_training.vector().feature_size) as cache:
        extractor = Extractor(stages.engine, stages.contract, cache, DISTORTIONS, seed=0)
        results = list(extractor.extract([Request(path, 1 + VIEWS) for path in paths]))
        expected = [cache.rows(result.keys) for result in results]
    for prepared, rows in zip(stages.prepare(paths), expected, strict=True):
        own = np.stack([stages.engine.features(tensor) for tensor in prepared.tensors])
        assert np.array_equal(own, rows)


def test_every_stage_is_timed_on_one_thread_and_on_all_cores(stages: Stages, paths: list[str]) -> None:
    measured = measure_stages(stages, paths, rounds=2, seconds=0.0)
    assert [each.name for each in measured.series] == [
        f"{stage}, {threads}"
        for stage in ("decode", "preprocess", "augment", "extract")
        for threads in (ONE_THREAD, ALL_CORES)
    ]
    assert all(len(each.turns) == 2 and each.unit == "1/s" for each in measured.series)
    assert [each.denominator for each in measured.ratios] == [each.name for each in measured.series[::2]]


def test_without_views_nothing_is_augmented(stages: Stages) -> None:
    plain = Stages(stages.engine, stages.contract, views=0)
    assert list(plain.all()) == ["decode", "preprocess", "extract"]


def test_no_more_images_are_held_than_fit_in_memory(
    stages: Stages, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages_module, "MOST_BYTES", 1)
    assert len(stages.prepare(paths)) == 1
