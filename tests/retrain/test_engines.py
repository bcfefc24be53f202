"""Each engine gives the features that ONNX Runtime gives, from any number of threads."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from legoclf.errors import LegoclfError, UsageError
from legoclf.retrain.engines import ENGINES, Engine, check_engine, measure_drift, open_engine
from legoclf.retrain.feature_vector import FeatureVector, load_feature_vector


@pytest.fixture(scope="module")
def vector(module: Path, cache: Path) -> FeatureVector:
    return load_feature_vector(str(module), cache_dir=cache)


@pytest.fixture(scope="module")
def tensors(vector: FeatureVector) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.random((3, vector.height, vector.width), dtype=np.float32) for _ in range(12)]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, vector: FeatureVector) -> Iterator[Engine]:
    with open_engine(request.param, vector) as opened:
        yield opened


def test_features_are_those_of_onnx_runtime(
    engine: Engine, vector: FeatureVector, tensors: list[np.ndarray]
) -> None:
    """Within rounding of float32 sums in another order."""
    drift = measure_drift(engine, vector, tensors)
    assert drift.largest < 1e-5
    assert engine.features(tensors[0]).shape == (vector.feature_size,)
    assert engine.features(tensors[0]).dtype == np.float32


def test_many_threads_get_the_rows_that_one_gets(engine: Engine, tensors: list[np.ndarray]) -> None:
    one = [engine.features(tensor) for tensor in tensors]
    with ThreadPoolExecutor(5) as pool:
        many = list(pool.map(engine.features, tensors))
    assert np.array_equal(one, many)


def test_a_row_is_the_callers_own(engine: Engine, tensors: list[np.ndarray]) -> None:
    first = engine.features(tensors[0])
    kept = first.copy()
    engine.features(tensors[1])
    assert np.array_equal(first, kept)


def test_descriptions_tell_the_engines_apart(vector: FeatureVector) -> None:
    """They are part of the key under which features are kept."""
    descriptions = {open_engine(name, vector).description for name in ENGINES}
    assert len(descriptions) == len(ENGINES)


@pytest.mark.parametrize("name", ["onnxruntime", "tensorflow"])
def test_bf16_is_openvinos_alone(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} computes in fp32; use --extractor openvino"):
        check_engine(name, "bf16")


def test_bf16_runs_where_the_cpu_has_it_and_is_refused_elsewhere(
    vector: FeatureVector, tensors: list[np.ndarray]
) -> None:
    openvino = pytest.importorskip("openvino")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(LegoclfError, match="this CPU computes no BF16"):
            open_engine("openvino", vector, "bf16")
        return
    with open_engine("openvino", vector, "bf16") as engine:
        # BF16 keeps 8 bits; a few layers of it stay within a tenth.
        assert measure_drift(engine, vector, tensors).largest < 0.1


def test_drift_tells_engine_share_and_images(vector: FeatureVector, tensors: list[np.ndarray]) -> None:
    class Off(Engine):
        """ONNX Runtime's features, the largest one changed by a quarter."""

        description = "off by a quarter"

        def __exit__(self, *_: object) -> None:
            """Nothing to let go of."""

        def features(self, tensor: np.ndarray) -> np.ndarray:
            row = open_engine("onnxruntime", vector).features(tensor)
            row[np.abs(row).argmax()] *= 1.25
            return row

    drift = measure_drift(Off(), vector, tensors[:3])
    assert drift.largest == pytest.approx(0.25)
    assert drift.as_text().startswith("off by a quarter: features differ from ONNX Runtime's by 0.25 ")
    assert drift.as_text().endswith("(3 images)")


def test_openvino_missing_says_what_to_install(vector: FeatureVector, module: Path, cache: Path) -> None:
    script = f"""
import sys
sys.modules["openvino"] = None
from pathlib import Path
from legoclf.errors import LegoclfError
from legoclf.retrain.engines import open_engine
from legoclf.retrain.feature_vector import load_feature_vector
vector = load_feature_vector({str(module)!r}, cache_dir=Path({str(cache)!r}))
try:
    open_engine("openvino", vector)
except LegoclfError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "legoclf[openvino]" in told


_FIRST_CALLS = """
import sys, threading
import numpy as np
from pathlib import Path
from legoclf.retrain.engines import open_engine
from legoclf.retrain.feature_vector import load_feature_vector
vector = load_feature_vector(sys.argv[1], cache_dir=Path(sys.argv[2]))
engine = open_engine("openvino", vector)
tensor = np.zeros((3, vector.height, vector.width), np.float32)
sys.setswitchinterval(1e-6)
together = threading.Barrier(8)
def call():
    together.wait()
    engine.features(tensor)
threads = [threading.Thread(target=call) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_the_first_calls_may_come_at_once(vector: FeatureVector, module: Path, cache: Path) -> None:
    """In processes of their own: it is the first arrays that OpenVINO sees there that once deadlocked."""
    pytest.importorskip("openvino")
    for _ in range(3):
        arguments = [sys.executable, "-c", _FIRST_CALLS, str(module), str(cache)]
        subprocess.run(arguments, check=True, timeout=60)
