"""Fine-tuning: what learns, at which rates, and what stays as ImageNet left it."""

from pathlib import Path

import numpy as np
import pytest
from small_images import batches_of, write_stripes

from legoclf.errors import UsageError
from legoclf.retrain.feature_vector import embedded_network
from legoclf.retrain.heads import Head
from legoclf.retrain.networks.fine_tune import (
    BATCH_NORM_MOMENTUM,
    BLOCKS,
    FineTuneSettings,
    _groups,
    _network,
    fine_tune,
)
from legoclf.retrain.networks.shared import TrainedNetwork

#: The least that the embedded network takes.
SIZE = 96

HEAD = Head(np.zeros((1280, 2), np.float32), np.zeros(2, np.float32), {})


def weights_of(model: object) -> dict[str, np.ndarray]:
    """Every variable of a network by its path."""
    return {weight.path: np.asarray(weight.value) for weight in model.weights}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedNetwork:
    """Two epochs of the last two blocks on 24 pictures of two kinds of stripes."""
    folder = tmp_path_factory.mktemp("stripes")
    items = write_stripes(folder / "train", 12, SIZE)
    with batches_of(items, SIZE, 8) as train, batches_of(items[::4], SIZE) as validation:
        settings = FineTuneSettings(blocks=2, epochs=2, batch_size=8, learning_rate=1e-3)
        return fine_tune(train, validation, HEAD, settings, seed=0)


def test_blocks_that_are_not_asked_for_stay_to_the_bit(trained: TrainedNetwork) -> None:
    """Batch-norm's averages too: in a layer that stays they are ImageNet's."""
    pretrained = weights_of(embedded_network(SIZE))
    backbone = next(layer for layer in trained.model.layers if layer.name.startswith("mobilenet"))
    now = weights_of(backbone)
    assert {path.split("/")[0] for path in pretrained if not np.array_equal(pretrained[path], now[path])} >= {
        "block_15_expand",
        "block_16_project",
        "Conv_1",
    }
    stay = [path for path in pretrained if path.startswith(("Conv1", "bn_Conv1", "block_14", "block_1_"))]
    assert stay
    assert all(np.array_equal(pretrained[path], now[path]) for path in stay)


def test_it_learns(trained: TrainedNetwork) -> None:
    first, last = trained.evaluations[0], trained.evaluations[-1]
    assert last.train_cross_entropy < first.train_cross_entropy


def test_the_features_and_the_head_say_what_the_network_says(trained: TrainedNetwork, tmp_path: Path) -> None:
    """float32, and the same operations in another order: 1e-4."""
    images = np.random.default_rng(0).random((3, SIZE, SIZE, 3)).astype(np.float32)
    whole = np.asarray(trained.model(images, training=False))
    apart = trained.head.logits(np.asarray(trained.features(images)))
    np.testing.assert_allclose(apart, whole, atol=1e-4)


def test_layers_nearer_to_the_image_learn_more_slowly() -> None:
    model, backbone = _network(SIZE, HEAD, 0)
    rates = [
        group.rate for group in _groups(model, backbone, FineTuneSettings(learning_rate=1.0, depth_decay=0.7))
    ]
    assert rates == pytest.approx([0.49, 0.7, 1.0])


def test_every_weight_that_learns_is_in_one_group() -> None:
    model, backbone = _network(SIZE, HEAD, 0)
    groups = _groups(model, backbone, FineTuneSettings())
    grouped = [variable.path for group in groups for variable in group.variables]
    assert sorted(grouped) == sorted(variable.path for variable in model.trainable_variables)


def test_batch_norm_follows_the_photos_within_tens_of_steps() -> None:
    """Keras' own momentum of 0.999 leaves its averages behind: the network is then wrong on every photo."""
    model, backbone = _network(SIZE, HEAD, 0)
    _groups(model, backbone, FineTuneSettings())
    momenta = {layer.momentum for layer in backbone.layers if hasattr(layer, "momentum")}
    assert momenta == {BATCH_NORM_MOMENTUM}


def test_the_head_goes_on_from_the_one_on_frozen_features() -> None:
    random = np.random.default_rng(0)
    head = Head(random.normal(size=(1280, 3)).astype(np.float32), np.arange(3, dtype=np.float32), {})
    model, _ = _network(SIZE, head, 0)
    images = random.random((2, SIZE, SIZE, 3)).astype(np.float32)
    features = np.asarray(embedded_network(SIZE)(images * 2 - 1, training=False))
    np.testing.assert_allclose(
        np.asarray(model(images, training=False)), head.logits(features), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("name", ["blocks", "epochs", "patience"])
def test_nothing_at_all_is_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=f"--{name}: got 0"):
        FineTuneSettings(**{name: 0})


def test_there_are_as_many_blocks_as_the_network_has() -> None:
    names = {layer.name.split("_")[1] for layer in embedded_network(SIZE).layers if "block_" in layer.name}
    assert len(names) + 1 == BLOCKS
