"""The contenders learn from the same images, and each does what its users do."""

import builtins
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_training
import tf_modules
from clusters import clusters
from threadpoolctl import threadpool_info

from legoclf.benchmarks import peers_keras
from legoclf.benchmarks.peers import (
    HEAD,
    OWN_PASSES,
    OWN_WHOLE,
    SKLEARN,
    Legoclf,
    RetrainPy,
    ScikitLearn,
)
from legoclf.benchmarks.peers_keras import BATCH_SIZE, KerasFit, load_network
from legoclf.benchmarks.peers_task import Contender, Samples, Task, prepare, some_images, take_turns
from legoclf.benchmarks.peers_timm import TimmProbe
from legoclf.benchmarks.retraining import open_yardstick
from legoclf.data.folder import DataSet, scan_folder
from legoclf.errors import LegoclfError
from legoclf.retrain.engines import OnnxRuntimeEngine
from legoclf.retrain.heads import SgdSettings
from legoclf.split import SPLITS, TEST, TRAIN, VALIDATION

VIEWS = 2


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return scan_folder(str(small_training.write_photos(tmp_path_factory.mktemp("data") / "photos", 30)))


@pytest.fixture(scope="module")
def task(dataset: DataSet) -> Task:
    return prepare(small_training.vector(), dataset, VIEWS)


def without_package(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As if a package were not installed."""
    real = builtins.__import__

    def refuse(module: str, *rest: Any, **named: Any) -> Any:
        if module.partition(".")[0] == name:
            raise ImportError(module)
        return real(module, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)


class Counting(Contender):
    """Its samples count its turns."""

    def __init__(self, name: str, order: list[str]) -> None:
        self.name, self.order, self.count = name, order, 0

    def turn(self) -> Samples:
        self.order.append(self.name)
        self.count += 1
        return {self.name: ("s", float(self.count))}


def test_contenders_take_turns() -> None:
    order: list[str] = []
    one, other = take_turns([Counting("one", order), Counting("other", order)], 2)
    assert order == ["one", "other", "one", "other"]
    assert one.turns == other.turns == [[1.0], [2.0]]


def test_some_images_are_the_same_share_of_each_class_and_set(dataset: DataSet) -> None:
    half = some_images(dataset, len(dataset.images) // 2)
    for label, counts in half.counts().items():
        for split, count in counts.items():
            whole = dataset.counts()[label][split]
            assert count == max(min(1, whole), round(whole / 2))
    assert some_images(dataset, 10**6).images == dataset.images


def test_training_rows_hold_all_views_and_the_others_the_plain_one(task: Task) -> None:
    assert [len(task.features[split]) for split in SPLITS] == [
        len(task.items(split)) * (1 + VIEWS if split == TRAIN else 1) for split in SPLITS
    ]


def test_legoclf_is_timed_from_the_photos_to_the_head(task: Task) -> None:
    samples = Legoclf(task).turn()
    unit, whole = samples[OWN_WHOLE]
    extracting = task.passes / samples[OWN_PASSES][1]
    fitting = task.learnt_from / samples[HEAD][1]
    assert unit == "s"
    # What lies between the two is gathering the rows.
    assert extracting + fitting <= whole < extracting + fitting + 1


def test_a_head_names_what_is_far_apart(task: Task) -> None:
    """Clusters whose centres are further apart than they are wide: chance is a third."""
    features = {split: clusters([10, 10, 10], seed=seed) for seed, split in enumerate(SPLITS)}
    apart = replace(task, features=features)
    scikit_learn = ScikitLearn(apart)
    scikit_learn.turn()
    for contender in (Legoclf(apart), scikit_learn):
        answers = contender.answers()
        assert answers is not None
        assert answers.accuracy > 0.9


def test_scikit_learn_is_timed_by_the_images_it_learns_from(task: Task) -> None:
    ((name, (unit, rate)),) = ScikitLearn(task).turn().items()
    assert (name, unit) == (SKLEARN, "1/s")
    assert rate > 0


def test_scikit_learn_chooses_among_legoclfs_strengths_on_the_validation_images(task: Task) -> None:
    contender = ScikitLearn(task)
    contender.turn()
    assert list(contender._fold).count(0) == len(task.items(VALIDATION))
    chosen = 1 / (contender._model[-1].C_.flat[0] * len(task.features[TRAIN]))
    assert any(np.isclose(chosen, strength) for strength in contender.strengths)


def test_scikit_learn_has_as_many_threads_as_legoclfs_head(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One, for so few rows: see legoclf.retrain.blas."""
    from sklearn.pipeline import Pipeline

    seen: list[int] = []

    def look(pipeline: Pipeline, rows: np.ndarray, labels: np.ndarray) -> None:
        seen.extend(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas")

    monkeypatch.setattr(Pipeline, "fit", look)
    ScikitLearn(task).turn()
    assert set(seen) == {1}


def test_retrain_pys_way_is_read_both_ways(task: Task) -> None:
    with open_yardstick(task.vector, task.dataset, SgdSettings(train_batch_size=4)) as yardstick:
        contender = RetrainPy(task, yardstick, seconds=0.1, steps=50)
        assert set(contender.turn()) == {"retrain.py, one by one", "retrain.py, in batches"}
        assert len(contender.answers().right) == len(task.items(TEST))


@pytest.fixture(scope="module")
def keras_fit(task: Task) -> KerasFit:
    contender = KerasFit(task, epochs=4, seconds=60, rounds=2)
    for _ in range(2):
        contender.turn()
    return contender


def test_keras_trains_all_epochs_where_there_is_time(keras_fit: KerasFit) -> None:
    """Whole batches, and a few steps to warm up."""
    assert keras_fit.reached >= 4


def test_keras_answers_for_the_test_images(keras_fit: KerasFit, task: Task) -> None:
    answers = keras_fit.answers()
    assert len(answers.right) == len(task.items(TEST))
    assert answers.head == "Keras fit"
    assert "of 4 epochs" in keras_fit.note


def test_only_kerass_head_learns(keras_fit: KerasFit, task: Task) -> None:
    shapes = [tuple(weight.shape) for weight in keras_fit._model.trainable_weights]
    assert shapes == [(task.vector.feature_size, task.classes), (task.classes,)]


def test_keras_is_stopped_at_its_time(task: Task) -> None:
    contender = KerasFit(task, epochs=10_000, seconds=0.2, rounds=2)
    contender.turn()
    assert contender.reached < 10_000 / 2
    assert contender.answers().head == "Keras fit, epochs unfinished"


def test_kerass_network_is_the_one_that_legoclf_trains_on(task: Task) -> None:
    tensor = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    with OnnxRuntimeEngine(task.vector) as engine:
        expected = engine.features(np.ascontiguousarray(tensor[0].transpose(2, 0, 1)))
    # float32 sums in another order.
    assert np.array(load_network(task.vector)(tensor))[0] == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_the_embedded_network_is_kerass_own_with_the_shipped_weights() -> None:
    vector = tf_modules.embedded_vector()
    tensor = np.random.default_rng(0).random((1, 224, 224, 3), np.float32)
    with OnnxRuntimeEngine(vector) as engine:
        expected = engine.features(np.ascontiguousarray(tensor[0].transpose(2, 0, 1)))
    # float32 sums in another order, over 53 layers.
    assert np.array(load_network(vector)(tensor))[0] == pytest.approx(expected, abs=1e-3)


def test_kerass_distortions_stay_within_their_percentages(task: Task) -> None:
    """Of a grey image: crop and zoom change nothing, and brightness moves it by a tenth at most."""
    grey = np.full((64, 35, 35, 3), 0.5, np.float32)
    views = np.array(peers_keras._augmentation(task.vector)(grey, training=True))
    assert views.shape == (64, 32, 32, 3)
    means = views.mean(axis=(1, 2, 3))
    assert 0.4 - 1e-4 <= means.min() < 0.45
    assert 0.55 < means.max() <= 0.6 + 1e-4


def test_plain_images_reach_keras_in_unit_range_and_whole_batches_are_not_needed(task: Task) -> None:
    (images, labels), *others = peers_keras._pipeline(task.items(TRAIN)[: BATCH_SIZE + 1], task.vector, None)
    assert images.shape == (BATCH_SIZE, 32, 32, 3)
    assert 0 <= float(np.min(images)) < float(np.max(images)) <= 1
    assert [len(rest) for _, rest in others] == [1]
    assert len(labels) == BATCH_SIZE


@pytest.mark.parametrize(
    ("package", "make", "told"),
    [
        ("sklearn", ScikitLearn, "legoclf\\[bench\\]"),
        ("timm", lambda task: TimmProbe(task, None, 1), "pip install"),
    ],
)
def test_a_package_that_is_not_installed_is_named(
    task: Task, monkeypatch: pytest.MonkeyPatch, package: str, make: Any, told: str
) -> None:
    without_package(monkeypatch, package)
    with pytest.raises(LegoclfError, match=told):
        make(task)


def test_timm_answers_from_a_checkpoint_file(task: Task, tmp_path: Path) -> None:
    timm, torch = pytest.importorskip("timm"), pytest.importorskip("torch")
    model = timm.create_model("mobilenetv2_100", pretrained=False)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    contender = TimmProbe(task, tmp_path / "weights.pth", seconds=0.1)
    assert contender.turn()["timm mobilenetv2_100"][1] > 0
    assert len(contender.answers().right) == len(task.items(TEST))


def test_a_checkpoint_of_another_network_is_refused(task: Task, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    (tmp_path / "weights.pth").write_bytes(b"no checkpoint")
    with pytest.raises(LegoclfError, match="--timm_checkpoint"):
        TimmProbe(task, tmp_path / "weights.pth", seconds=0.1)
