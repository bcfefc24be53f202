"""Handles and module formats: each loaded from a module of that format, made here."""

import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import tf_modules

from legoclf.errors import LegoclfError, UsageError
from legoclf.retrain import hub
from legoclf.retrain.feature_vector import EMBEDDED, FeatureVector, load_feature_vector

FAMILY = "imagenet/mobilenet_v2_100_224/feature_vector/5"


@pytest.fixture(autouse=True)
def _no_hub_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TFHUB_CACHE_DIR", raising=False)
    monkeypatch.setenv("no_proxy", "*")


def _features(vector: FeatureVector, batch: np.ndarray) -> np.ndarray:
    return tf_modules.run_onnx(str(vector.onnx_path), batch, "features")


def _assert_gives(vector: FeatureVector, expected: np.ndarray, batch: np.ndarray) -> None:
    assert (vector.height, vector.width) == batch.shape[1:3]
    assert vector.feature_size == expected.shape[1]
    np.testing.assert_allclose(_features(vector, batch), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["tf1", "tf2", "training"])
def test_a_module_in_a_folder_is_loaded(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "bricks_32"
    if form == "training":
        tf_modules.save_training_module(folder)
    elif form == "tf1":
        tf_modules.save_tf1_module(folder)
    else:
        tf_modules.save_tf2_module(folder)
    size = tf_modules.SIZE if form == "training" else None
    vector = load_feature_vector(str(folder), input_size=size, cache_dir=tmp_path)
    assert (vector.name, vector.source, vector.handle) == ("bricks_32", "saved_model", str(folder))
    batch = tf_modules.images(3)
    _assert_gives(vector, tf_modules.reference(batch), batch)


def test_a_saved_model_exported_by_keras_is_loaded_through_its_signature(tmp_path: Path) -> None:
    batch = tf_modules.images(3)
    expected = tf_modules.save_keras_module(tmp_path / "module", batch)
    _assert_gives(load_feature_vector(str(tmp_path / "module"), cache_dir=tmp_path), expected, batch)


def test_a_module_that_is_served_is_fetched_once(tmp_path: Path) -> None:
    folder = tf_modules.save_tf2_module(tmp_path / "made")
    batch = tf_modules.images(2)
    with tf_modules.served(folder, "/makers/bricks/feature_vector/1") as (handle, requests):
        vector = load_feature_vector(handle, cache_dir=tmp_path)
        assert (vector.name, vector.source) == ("bricks", "hub")
        _assert_gives(vector, tf_modules.reference(batch), batch)
        assert load_feature_vector(handle, cache_dir=tmp_path) == vector
        assert len(requests) == 1
    assert load_feature_vector(handle, cache_dir=tmp_path) == vector, "the server is gone, the module is not"
    assert socket.getdefaulttimeout() is None


def test_tfhub_cache_dir_is_where_downloads_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tf_modules.save_tf2_module(tmp_path / "made")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "downloads"))
    with tf_modules.served(folder, "/bricks/1") as (handle, _):
        kept = hub.fetch(handle, tmp_path / "unused")
    assert kept.parent == tmp_path / "downloads"
    assert not (tmp_path / "unused").exists()


def test_a_served_module_of_the_embedded_family_is_taken_from_the_server(tmp_path: Path) -> None:
    folder = tf_modules.save_tf2_module(tmp_path / "made")
    with tf_modules.served(folder, f"/{FAMILY}") as (handle, _):
        vector = load_feature_vector(handle, cache_dir=tmp_path)
    assert (vector.source, vector.feature_size) == ("hub", tf_modules.FEATURES)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/bricks/1", "https://tfhub.invalid/bricks/1"])
def test_an_address_that_cannot_be_reached_says_how_to_bring_the_module(address: str, tmp_path: Path) -> None:
    with pytest.raises(LegoclfError, match="cannot be fetched") as refused:
        load_feature_vector(address, cache_dir=tmp_path)
    for word in (address, ".tar.gz", "--tfhub_module", "TFHUB_CACHE_DIR"):
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_a_server_does_not_have_is_not_fetched(tmp_path: Path) -> None:
    folder = tf_modules.save_tf2_module(tmp_path / "made")
    with tf_modules.served(folder, "/bricks/1") as (handle, _), pytest.raises(LegoclfError, match="404"):
        load_feature_vector(handle + "0", cache_dir=tmp_path)


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "SOCKET_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        handle = f"http://127.0.0.1:{silent.getsockname()[1]}/bricks/1"
        with pytest.raises(LegoclfError, match="timed out"):
            hub.fetch(handle, tmp_path)


def test_the_embedded_family_stands_in_for_itself_when_the_hub_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    embedded = tf_modules.embedded_vector()
    cache_dir = embedded.onnx_path.parents[2]
    handle = f"http://127.0.0.1:9/google/{FAMILY}"
    vector = load_feature_vector(handle, cache_dir=cache_dir)
    assert (vector.source, vector.name, vector.handle) == ("embedded", EMBEDDED, handle)
    assert vector.identity == embedded.identity
    [said] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "using the embedded copy" in said
    assert "\n" not in said


def test_without_tensorflow_hub_an_address_asks_for_it_and_a_folder_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)
    with pytest.raises(LegoclfError, match="pip install --no-deps tensorflow-hub tf-keras"):
        load_feature_vector("https://tfhub.invalid/bricks/1", cache_dir=tmp_path)
    folder = tf_modules.save_tf1_module(tmp_path / "module")
    assert load_feature_vector(str(folder), cache_dir=tmp_path).feature_size == tf_modules.FEATURES


def test_a_folder_that_is_no_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LegoclfError, match=r"absent: no such folder"):
        load_feature_vector(str(tmp_path / "absent"), cache_dir=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LegoclfError, match=r"empty: the folder has no saved_model\.pb"):
        load_feature_vector(str(tmp_path / "empty"), cache_dir=tmp_path)
    (tmp_path / "empty" / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(LegoclfError, match="cannot be read as a SavedModel"):
        load_feature_vector(str(tmp_path / "empty"), cache_dir=tmp_path)


def test_an_address_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"http\(s\) address or a folder"):
        load_feature_vector("gs://bucket/module", cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("gives", "told"), [("map", r"\[N, 16, 16, 6\]"), ("dict", r"a dict \(logits \[N, 6\]")]
)
def test_a_module_that_gives_no_feature_vector_is_refused_by_shape(
    gives: str, told: str, tmp_path: Path
) -> None:
    folder = tf_modules.save_tf2_module(tmp_path / "module", gives=gives)
    with pytest.raises(LegoclfError, match=told):
        load_feature_vector(str(folder), cache_dir=tmp_path)


def test_the_size_of_a_free_module_comes_from_the_flag_or_the_name(tmp_path: Path) -> None:
    named = tf_modules.save_tf2_module(tmp_path / "bricks_96x64", size=None)
    vector = load_feature_vector(str(named), cache_dir=tmp_path)
    assert (vector.height, vector.width) == (96, 64)
    batch = tf_modules.images(2, 96, 64)
    _assert_gives(vector, tf_modules.reference(batch), batch)
    asked = load_feature_vector(str(named), input_size=48, cache_dir=tmp_path)
    assert (asked.height, asked.width) == (48, 48)
    assert asked.identity != vector.identity
    nameless = tf_modules.save_tf2_module(tmp_path / "bricks", size=None)
    with pytest.raises(LegoclfError, match="--input_size"):
        load_feature_vector(str(nameless), cache_dir=tmp_path)


def test_a_size_that_the_module_does_not_take_is_refused(tmp_path: Path) -> None:
    folder = tf_modules.save_tf2_module(tmp_path / "module")
    with pytest.raises(UsageError, match="--input_size 64: module takes 32x32 only"):
        load_feature_vector(str(folder), input_size=64, cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("handle", "name", "size"),
    [
        ("https://tfhub.dev/google/imagenet/mobilenet_v2_100_224/feature_vector/5", EMBEDDED, (224, 224)),
        ("https://tfhub.dev/google/imagenet/mobilenet_v2_035_96/feature_vector/5", None, (96, 96)),
        ("https://tfhub.dev/google/imagenet/inception_v3/feature_vector/3", "inception_v3", (299, 299)),
        ("https://tfhub.dev/google/imagenet/resnet_v2_101/feature_vector/5", "resnet_v2_101", (224, 224)),
        ("https://host/x/TensorFlow2/100-192-feature-vector/2", None, (192, 192)),
        ("https://host/bricks_192x160/1", "bricks_192x160", (192, 160)),
        ("https://host/data_224/bricks/1", "bricks", None),
    ],
)
def test_names_and_sizes_are_read_from_handles(
    handle: str, name: str | None, size: tuple[int, int] | None
) -> None:
    assert name in (None, hub.short_name(handle))
    assert hub.size_from_name(hub.short_name(handle)) == size


def test_the_embedded_family_is_any_host_and_version() -> None:
    for handle in (f"https://tfhub.dev/google/{FAMILY}", f"https://mirror.example/{FAMILY[:-1]}3"):
        assert hub.is_embedded_family(handle)
    for handle in (FAMILY.replace("feature_vector", "classification"), FAMILY.replace("100_224", "100_192")):
        assert not hub.is_embedded_family(f"https://tfhub.dev/google/{handle}")
