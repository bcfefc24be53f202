"""The embedded feature vector and the cache of conversions."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tf_modules

from legoclf.convert import frozen
from legoclf.errors import LegoclfError, UsageError
from legoclf.retrain import feature_vector
from legoclf.retrain.feature_vector import EMBEDDED, load_feature_vector

_LOAD = """
import sys
from pathlib import Path
if sys.argv[2] == "cold":
    from legoclf.convert.frozen import import_tensorflow
    import_tensorflow()  # quiet, where Keras' own import of it is not
    import keras
    keras.layers.GlobalAveragePooling2D()  # moves the counter that Keras names layers by
from legoclf.retrain.feature_vector import load_feature_vector
vector = load_feature_vector(None, cache_dir=Path(sys.argv[1]))
heavy = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxslim", "tensorflow_hub")
print(vector.onnx_path.parent, *[name for name in heavy if name in sys.modules])
"""


def _load_in_a_process(cache_dir: Path, state: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _LOAD, str(cache_dir), state],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "12"},
    )


def test_the_embedded_module_says_what_it_is() -> None:
    vector = tf_modules.embedded_vector()
    assert (vector.name, vector.handle, vector.source) == (EMBEDDED, EMBEDDED, "embedded")
    assert (vector.height, vector.width, vector.feature_size) == (224, 224, 1280)
    assert vector.onnx_path.is_file()
    assert frozen.image_size(frozen.read_frozen(vector.frozen_path)) == (224, 224)


def test_another_process_converts_to_the_same_bytes_and_without_a_word(tmp_path: Path) -> None:
    vector = tf_modules.embedded_vector()
    done = _load_in_a_process(tmp_path, "cold")
    assert done.stderr == ""
    made = Path(done.stdout.split()[0])
    assert made.name == vector.identity
    for path in (vector.onnx_path, vector.frozen_path):
        assert (made / path.name).read_bytes() == path.read_bytes()
    assert [path.name for path in made.parent.iterdir()] == [vector.identity], "nothing is left beside it"


def test_a_kept_conversion_is_used_without_tensorflow() -> None:
    vector = tf_modules.embedded_vector()
    done = _load_in_a_process(vector.onnx_path.parents[2], "warm")
    assert done.stdout.split() == [str(vector.onnx_path.parent)]
    assert done.stderr == ""


@pytest.mark.parametrize("file", ["features.onnx", "features.pb", "meta.json"])
def test_a_damaged_conversion_is_made_anew(
    file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tf_modules.save_tf2_module(tmp_path / "module")
    vector = load_feature_vector(str(folder), cache_dir=tmp_path)
    path = vector.onnx_path.parent / file
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    assert load_feature_vector(str(folder), cache_dir=tmp_path) == vector
    assert path.read_bytes() == good
    assert "damaged" in caplog.text
    path.unlink()
    assert load_feature_vector(str(folder), cache_dir=tmp_path) == vector
    assert path.read_bytes() == good


def test_a_sound_conversion_is_not_made_again(tmp_path: Path) -> None:
    folder = tf_modules.save_tf2_module(tmp_path / "module")
    first = load_feature_vector(str(folder), cache_dir=tmp_path)
    made = first.onnx_path.stat().st_mtime_ns
    assert load_feature_vector(str(folder), cache_dir=tmp_path) == first
    assert first.onnx_path.stat().st_mtime_ns == made


def test_the_identity_follows_the_content_and_the_converters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tf_modules.save_tf2_module(tmp_path / "module")
    first = load_feature_vector(str(folder), cache_dir=tmp_path).identity
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "module")
    (copy / "fingerprint.pb").write_bytes(b"of another save")
    assert load_feature_vector(str(copy), cache_dir=tmp_path).identity == first
    monkeypatch.setattr(feature_vector, "_versions", lambda: {"tensorflow": "99"})
    other_versions = load_feature_vector(str(folder), cache_dir=tmp_path)
    assert other_versions.identity != first
    meta = json.loads((other_versions.onnx_path.parent / "meta.json").read_text())
    assert meta["made_of"]["converters"] == {"tensorflow": "99"}


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = tf_modules.save_tf2_module(tmp_path / "module")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LegoclfError, match="cannot be kept in"):
        load_feature_vector(str(folder), cache_dir=tmp_path / "file")


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "weights.h5"
    damaged.write_bytes(feature_vector.EMBEDDED_WEIGHTS.read_bytes()[:-1])
    monkeypatch.setattr(feature_vector, "EMBEDDED_WEIGHTS", damaged)
    with pytest.raises(LegoclfError, match=r"weights\.h5 is damaged"):
        load_feature_vector(None, cache_dir=tmp_path)
    damaged.unlink()
    with pytest.raises(LegoclfError, match="cannot be read"):
        load_feature_vector(None, cache_dir=tmp_path)


def test_the_embedded_module_is_made_for_other_sizes(tmp_path: Path) -> None:
    module = feature_vector._embedded(96)
    assert module.name == "mobilenet_v2_100_96"
    assert frozen.image_size(module.freeze()) == (96, 96)
    for size in (100, 64, 1024):
        with pytest.raises(UsageError, match="multiples of 32 from 96 to 512"):
            load_feature_vector(EMBEDDED, input_size=size, cache_dir=tmp_path)
