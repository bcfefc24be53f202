"""Small networks learn, become the usual two graphs, and go on from a checkpoint as if never stopped."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import tf_modules
from small_images import batches_of, write_digits, write_stripes

from legoclf.convert.frozen import FrozenGraph, attach_head, read_frozen
from legoclf.convert.onnx_graph import attach_onnx_head, serialize
from legoclf.errors import LegoclfError, UsageError
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.heads import Evaluation, softmax
from legoclf.retrain.networks.checkpoints import Checkpoints
from legoclf.retrain.networks.feature_graphs import feature_vector_of
from legoclf.retrain.networks.scratch import facts_of, scratch_settings, train_network
from legoclf.retrain.networks.shared import Hooks, TrainedNetwork
from legoclf.retrain.networks.small import build_network, features_of, head_of

Train = Callable[..., TrainedNetwork]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Train a lenet on 4 drawn digits, with dropout, views and averaged weights."""
    folder = tmp_path_factory.mktemp("digits")
    train_items = write_digits(folder / "train", 24, classes=4)
    validation_items = write_digits(folder / "validation", 8, classes=4, seed=1)

    def run(
        out: Path | None = None, resume: str | None = None, every: int = 1, **asked: object
    ) -> TrainedNetwork:
        stop = asked.pop("stop", None)
        asked = {"epochs": 4, "average_decay": 0.9, "batch_size": 16, **asked}
        settings = scratch_settings("lenet", **asked)
        with ExitStack() as stack:
            views = Augmentation(random_crop=10)
            size = settings.batch_size
            train = stack.enter_context(batches_of(train_items, 28, size, augmentation=views))
            validation = stack.enter_context(batches_of(validation_items, 28))
            facts = facts_of("lenet", train, validation, settings, 0)
            checkpoints = Checkpoints(out, every, resume, facts)

            def on_evaluation(evaluation: Evaluation) -> None:
                if evaluation.step == stop:
                    raise KeyboardInterrupt

            hooks = Hooks(on_evaluation, checkpoints=checkpoints, keep_on_interrupt=True)
            return train_network("lenet", train, validation, 4, settings, 0, hooks=hooks)

    return run


@pytest.fixture(scope="module")
def whole(digits: Train, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedNetwork, Path]:
    """A run that was never stopped, and its checkpoints, with a state every second epoch."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return digits(folder, every=2), folder


def test_lenet_learns_digits(tmp_path: Path) -> None:
    with (
        batches_of(write_digits(tmp_path / "train", 24, classes=5), 28) as train,
        batches_of(write_digits(tmp_path / "validation", 8, classes=5, seed=1), 28) as validation,
    ):
        trained = train_network("lenet", train, validation, 5, scratch_settings("lenet", epochs=8), 0)
    assert trained.evaluations[trained.epoch - 1].validation_accuracy > 0.6  # type: ignore[operator]  # chance: 0.2


def test_convnet_learns_two_classes(tmp_path: Path) -> None:
    with (
        batches_of(write_stripes(tmp_path / "train", 48, 32), 32) as train,
        batches_of(write_stripes(tmp_path / "validation", 24, 32, seed=1), 32) as validation,
    ):
        trained = train_network("convnet", train, validation, 2, scratch_settings("convnet", epochs=10), 0)
    assert trained.evaluations[trained.epoch - 1].validation_accuracy > 0.85  # type: ignore[operator]  # chance: 0.5


@pytest.mark.parametrize(
    ("name", "classes", "size"), [("convnet", 2, 32), ("convnet", 3, 32), ("lenet", 10, 28)]
)
def test_both_graphs_agree_with_keras(name: str, classes: int, size: int, tmp_path: Path) -> None:
    model = build_network(name, classes, input_size=size, seed=1)
    vector = feature_vector_of(
        features_of(model), size, size, name=name, source="scratch", directory=tmp_path
    )
    head = head_of(model, {})
    images = tf_modules.images(5, size, size)
    expected = softmax(np.asarray(model(images, training=False)))
    with FrozenGraph(attach_head(read_frozen(vector.frozen_path), head.weights, head.bias)) as graph:
        # float32 sums in another order
        np.testing.assert_allclose(graph.probabilities(images), expected, atol=1e-4)
    import onnx

    classifier = attach_onnx_head(onnx.load(str(vector.onnx_path)), head.weights, head.bias)
    given = tf_modules.run_onnx(serialize(classifier), images, "probabilities")
    np.testing.assert_allclose(given, expected, atol=1e-4)


def test_softmax_of_two_classes_is_the_sigmoid_of_the_unit() -> None:
    model = build_network("convnet", 2, input_size=16, seed=3)
    images = tf_modules.images(6, 16, 16)
    features = np.asarray(features_of(model)(images))
    kernel, bias = model.get_layer("head").get_weights()
    sigmoid = 1 / (1 + np.exp(-(features @ kernel + bias)))
    probabilities = softmax(head_of(model, {}).logits(features))
    np.testing.assert_allclose(probabilities[:, 1:], sigmoid, atol=1e-6)  # rounding of float32


def test_same_seed_gives_same_weights() -> None:
    first, second = (build_network("lenet", 3, seed=5).get_weights() for _ in range(2))
    assert all(np.array_equal(*pair) for pair in zip(first, second, strict=True))


def test_lenet_sees_grey_alone() -> None:
    model = build_network("lenet", 3)
    colour = np.full((1, 28, 28, 3), [0.2, 0.4, 0.6], np.float32)
    grey = np.full_like(colour, 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6)
    np.testing.assert_allclose(model(colour), model(grey), atol=1e-6)  # rounding of float32


def test_blocks_grow_a_network() -> None:
    model = build_network("lenet", 3, blocks=4)
    assert [model.get_layer(f"conv_{block}").filters for block in (1, 2, 3, 4)] == [24, 36, 48, 60]


def test_blocks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="28x28 pixels allow 4; pass fewer, or --input_size 32"):
        build_network("lenet", 3, blocks=5)


@pytest.mark.parametrize("name", ["epoch_0002.state.npz", "epoch_0002.keras", "epoch_0002.weights.h5"])
def test_resumed_run_has_the_curve_and_weights_of_an_uninterrupted_one(
    name: str, digits: Train, whole: tuple[TrainedNetwork, Path]
) -> None:
    expected, folder = whole
    resumed = digits(None, str(folder / name))
    assert resumed.evaluations == expected.evaluations
    assert resumed.epoch == expected.epoch
    pairs = zip(resumed.model.get_weights(), expected.model.get_weights(), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)


def test_interrupted_run_resumes_from_latest(
    digits: Train, whole: tuple[TrainedNetwork, Path], tmp_path: Path
) -> None:
    stopped = digits(tmp_path, stop=3, every=2)
    assert stopped.head.how["interrupted"]
    assert len(stopped.evaluations) == 3
    assert digits(tmp_path, "latest", every=2).evaluations == whole[0].evaluations


def test_every_epoch_leaves_weights_and_every_second_a_state(whole: tuple[TrainedNetwork, Path]) -> None:
    names = {path.name for path in whole[1].iterdir()}
    weights = {f"epoch_{epoch:04d}.weights.h5" for epoch in (1, 2, 3, 4)}
    assert names == weights | {f"epoch_000{n}{end}" for n in "24" for end in (".keras", ".state.npz")}


def test_weights_without_a_state_count_epochs_on_and_say_so(
    digits: Train, whole: tuple[TrainedNetwork, Path], caplog: pytest.LogCaptureFixture
) -> None:
    resumed = digits(None, str(whole[1] / "epoch_0003.weights.h5"))
    assert [evaluation.step for evaluation in resumed.evaluations] == [4]
    assert "weights and no state: the optimizer starts afresh, at epoch 4" in caplog.text


def test_other_settings_are_refused_by_name(digits: Train, whole: tuple[TrainedNetwork, Path]) -> None:
    with pytest.raises(UsageError, match=r"learning_rate 0\.001, and this run has 0\.1"):
        digits(None, str(whole[1]), learning_rate=0.1)


@pytest.mark.parametrize("name", ["epoch_0002.state.npz", "epoch_0002.keras", "epoch_0003.weights.h5"])
def test_damaged_checkpoint_is_one_clear_line(
    name: str, digits: Train, whole: tuple[TrainedNetwork, Path], tmp_path: Path
) -> None:
    data = (whole[1] / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(LegoclfError, match="it is damaged") as error:
        digits(None, str(tmp_path / name))
    assert "\n" not in str(error.value)


def test_checkpoints_of_another_run_are_not_overwritten(
    digits: Train, whole: tuple[TrainedNetwork, Path], tmp_path: Path
) -> None:
    shutil.copy(whole[1] / "epoch_0001.weights.h5", tmp_path)
    with pytest.raises(UsageError, match="of another run; pass --resume latest"):
        digits(tmp_path)


def test_training_stops_when_validation_gets_no_better(digits: Train) -> None:
    trained = digits(epochs=40, patience=2, learning_rate=0.03, average_decay=None)
    assert len(trained.evaluations) == trained.epoch + 2
    losses = [evaluation.validation_cross_entropy for evaluation in trained.evaluations]
    assert trained.epoch == 1 + int(np.argmin(np.array(losses, float)))
