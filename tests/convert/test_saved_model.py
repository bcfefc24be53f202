"""The SavedModel: retrain.py's signature, loaded afresh."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_modules

from legoclf.convert import frozen, saved_model
from legoclf.errors import LegoclfError

LABELS = ["brick 2×4", "plate", "slope", "tile", "wheel"]


@pytest.fixture
def graph() -> Any:
    def network(image: Any) -> Any:
        return tf_modules.network(image, tf_modules.weights_of_modules())

    return frozen.attach_head(frozen.freeze(network, 32, 32), *tf_modules.head(tf_modules.FEATURES))


def test_it_loads_and_classifies_through_image_and_prediction(
    tmp_path: Path, graph: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tf = frozen.import_tensorflow()
    batch = tf_modules.images(4)
    with frozen.FrozenGraph(graph) as session:
        expected = session.probabilities(batch)
    saved_model.write_saved_model(graph, tmp_path / "saved_model", LABELS)
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    signature = loaded.signatures["serving_default"]
    assert signature.structured_input_signature[1]["image"].shape.as_list() == [None, 32, 32, 3]
    assert signature.structured_outputs["prediction"].shape.as_list() == [None, 5]
    got = signature(image=tf.constant(batch))["prediction"]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert not caplog.records
    labels = (tmp_path / "saved_model" / "assets.extra" / "labels.txt").read_text(encoding="utf-8")
    assert labels.splitlines() == LABELS


def test_equal_graphs_give_equal_files(tmp_path: Path, graph: Any) -> None:
    saved_model.write_saved_model(graph, tmp_path / "first")
    frozen.import_tensorflow().saved_model.load(str(tmp_path / "first"))
    with frozen.FrozenGraph(graph) as session:
        session.probabilities(tf_modules.images(2))
    saved_model.write_saved_model(graph, tmp_path / "second")
    files = [sorted(path.name for path in (tmp_path / each).iterdir()) for each in ("first", "second")]
    assert files == [["saved_model.pb"], ["saved_model.pb"]]
    contents = [(tmp_path / each / "saved_model.pb").read_bytes() for each in ("first", "second")]
    assert contents[0] == contents[1]


def test_another_final_tensor_name_is_the_prediction(tmp_path: Path, graph: Any) -> None:
    weights, bias = tf_modules.head(tf_modules.FEATURES)
    with pytest.raises(LegoclfError, match="no tensor 'scores'"):
        saved_model.write_saved_model(graph, tmp_path / "no", final_tensor_name="scores")

    def network(image: Any) -> Any:
        return tf_modules.network(image, tf_modules.weights_of_modules())

    named = frozen.attach_head(frozen.freeze(network, 32, 32), weights, bias, "scores")
    saved_model.write_saved_model(named, tmp_path / "yes", final_tensor_name="scores")
    loaded = frozen.import_tensorflow().saved_model.load(str(tmp_path / "yes"))
    assert list(loaded.signatures["serving_default"].structured_outputs) == ["prediction"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, graph: Any) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(LegoclfError, match="taken: the SavedModel cannot be written"):
        saved_model.write_saved_model(graph, tmp_path / "taken")
