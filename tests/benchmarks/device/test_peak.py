"""The test of this machine's peak: it runs what it counts, and the fastest sample is what it tells."""

from contextlib import ExitStack
from typing import Any, Dict, List, Optional

import numpy as np
import pytest

from legoclf.benchmarks.device import peak
from legoclf.benchmarks.device.matrix_model import matrix_model
from legoclf.benchmarks.device.peak import Peak, array_bytes, last_cache_bytes, measure_peak
from legoclf.benchmarks.device.result import Series

MIB = 1 << 20


def made(turns: Dict[str, List[List[float]]], work: int) -> Peak:
    return Peak([Series(name, "ms", each) for name, each in turns.items()], dict.fromkeys(turns, work))


def test_the_peak_is_the_fastest_sample_of_the_best_kind() -> None:
    turns = {
        peak.BLAS: [[4.0, 2.0], [5.0]],
        peak.RUNTIME: [[8.0], [1.0, 9.0]],
        peak.COPY: [[10.0], [20.0]],
        peak.ADD: [[5.0], [20.0]],
    }
    found = made(turns, 10**9)
    # 10^9 in 1 ms, and in 5 ms.
    assert found.gflops == pytest.approx(1000)
    assert found.bandwidth_gb_s == pytest.approx(200)


def test_the_interval_is_that_of_the_fastest_of_each_turn() -> None:
    found = made({peak.BLAS: [[10.0, 100.0 / turn] for turn in range(11, 19)]}, 10**9)
    # Eight turns from 110 to 180 GFLOP/s; the smallest and the largest lie outside at 95 %.
    assert found.lines() == [
        "peak, matrix product, NumPy: 180.0 GFLOP/s (a turn's fastest: 145.0, 95 % interval 110.0 to 180.0)"
    ]


def test_results_hold_rates_which_runs_of_different_sizes_share() -> None:
    one, other = made({peak.BLAS: [[2.0], [4.0]]}, 10**9), made({peak.BLAS: [[4.0], [8.0]]}, 2 * 10**9)
    assert one.rates == other.rates == [Series(peak.BLAS, "GFLOP/s", [[500.0], [250.0]])]
    assert [each.unit for each in made({peak.ADD: [[1.0]]}, 1).rates] == ["GB/s"]


def test_too_few_turns_are_told() -> None:
    assert "too few turns" in made({peak.BLAS: [[1.0]]}, 10**9).lines()[0]


def write_machine(root: Any, cache: Optional[str], available_kib: int) -> str:
    (root / "proc").mkdir()
    (root / "proc" / "meminfo").write_text("MemAvailable:  {} kB\n".format(available_kib))
    for place, size in enumerate(["32K", "32K", "1024K", cache]):
        if cache is not None:
            folder = root / "sys/devices/system/cpu/cpu0/cache/index{}".format(place)
            folder.mkdir(parents=True)
            (folder / "size").write_text(str(size) + "\n")
    return str(root)


@pytest.mark.parametrize(("text", "size"), [("32768K", 32 * MIB), ("2M", 2 * MIB), (None, None)])
def test_the_last_cache_is_the_largest(tmp_path: Any, text: Optional[str], size: Optional[int]) -> None:
    assert last_cache_bytes(write_machine(tmp_path, text, 1000)) == size


@pytest.mark.parametrize(
    ("cache", "available", "size"),
    [
        (32 * MIB, None, 256 * MIB),
        (2 * MIB, None, 64 * MIB),
        (None, None, 64 * MIB),
        (1024 * MIB, None, 1024 * MIB),
        # A Nano with 512 MiB free: both arrays take an eighth of it.
        (2 * MIB, 512 * MIB, 32 * MIB),
    ],
)
def test_an_array_is_far_larger_than_the_cache_and_leaves_memory_free(
    cache: Optional[int], available: Optional[int], size: int
) -> None:
    assert array_bytes(cache, available) == size


def test_a_short_run_samples_every_kind_in_every_turn(tmp_path: Any) -> None:
    found = measure_peak(turns=3, seconds=0.001, root=write_machine(tmp_path, "1M", 64 * 1024))
    names = [series.name for series in found.series]
    assert [name for name in names if name != peak.RUNTIME] == [peak.BLAS, peak.COPY, peak.ADD, peak.SCALE]
    assert all(len(series.turns) == 3 for series in found.series)
    assert all(series.unit == "ms" for series in found.series)
    assert found.work.keys() == set(names)
    # A sixteenth of 64 MiB free is an array; a copy reads and writes it.
    assert found.work[peak.COPY] == 2 * 4 * MIB
    assert found.gflops > 0
    assert found.bandwidth_gb_s > 0


def test_the_passes_do_what_they_are_counted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays: List[np.ndarray] = []

    def ones(count: int, dtype: Any) -> np.ndarray:
        arrays.append(np.full(count, 1, dtype))
        return arrays[-1]

    monkeypatch.setattr(np, "ones", ones)
    with ExitStack() as stack:
        passes = peak._passes(4 * 1001, stack)
        source, target = arrays
        source[:] = np.arange(1001)
        passes[peak.COPY]()
        assert np.array_equal(target, source)
        passes[peak.ADD]()
        assert np.array_equal(target, 2 * source)
        passes[peak.SCALE]()
        assert np.array_equal(target, 2 * source)


def test_the_model_of_a_matrix_product_is_onnx() -> None:
    onnx = pytest.importorskip("onnx")
    weights = np.arange(12, dtype=np.float32).reshape(3, 4)
    model = onnx.load_from_string(matrix_model(weights))
    onnx.checker.check_model(model, full_check=True)
    assert np.array_equal(onnx.numpy_helper.to_array(model.graph.initializer[0]), weights)


def test_onnx_runtime_computes_that_product() -> None:
    runtime = pytest.importorskip("onnxruntime")
    rng = np.random.RandomState(0)
    # More than 127 columns: a size that takes two bytes.
    left, right = rng.rand(200, 200).astype(np.float32), rng.rand(200, 200).astype(np.float32)
    session = runtime.InferenceSession(matrix_model(right), providers=["CPUExecutionProvider"])
    (product,) = session.run(None, {"input": left})
    # Sums of 200 products near 50: float32 rounds them to some 1e-5.
    assert np.allclose(product, left.dot(right), rtol=1e-5)
