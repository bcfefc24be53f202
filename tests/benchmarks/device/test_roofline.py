"""The least time of a graph: which side binds, the sum over layers, and what the command tells."""

import functools
import json
from typing import Any, Dict, List

import pytest
import tiny_bundle
import tiny_onnx

from legoclf.benchmarks.device import peak, roofline_command
from legoclf.benchmarks.device.boards import load_boards
from legoclf.benchmarks.device.onnx_cost import Cost, Layer
from legoclf.benchmarks.device.result import Series, load
from legoclf.benchmarks.device.roofline import layer_bounds, roofline, roofline_of
from legoclf.cli import parse
from legoclf.errors import UsageError

HERE = peak.Peak(
    [Series(peak.BLAS, "ms", [[1.0]]), Series(peak.COPY, "ms", [[1.0]])],
    {peak.BLAS: 10**8, peak.COPY: 10**7},
)


def layer(name: str, flops: int, moved: int) -> Layer:
    return Layer(name, ("Conv",), (1, 2, 3), flops // 2, flops, moved)


def cost(*layers: Layer, least_bytes: int = 1000) -> Cost:
    return Cost("fp16", 1, least_bytes, list(layers), [])


def test_the_original_nano_needs_1_3_ms_for_mobilenet_v2_in_fp16() -> None:
    nano = load_boards()["jetson-nano"]
    gflops, bandwidth = nano.peak_gflops("fp16"), nano.bandwidth_gb_s
    assert gflops is not None
    assert bandwidth is not None
    found = roofline(cost(layer("all", 600 * 10**6, 0), least_bytes=5 * 10**6), gflops, bandwidth)
    assert found.bound_ms == pytest.approx(1.27, abs=0.005)
    assert found.binds == "compute"


def test_below_the_ridge_memory_binds() -> None:
    # 100 GFLOP/s and 10 GB/s: from 10 FLOPs a byte on it is compute.
    work = layer("all", 10**6, 0)
    slow, fast = (roofline(cost(work, least_bytes=moved), 100, 10) for moved in (10**6, 10**4))
    assert (slow.binds, slow.intensity, slow.ridge) == ("memory", 1, 10)
    assert slow.bound_ms == pytest.approx(0.1)
    assert (fast.binds, fast.intensity) == ("compute", 100)
    assert fast.bound_ms == pytest.approx(0.01)


def test_layer_by_layer_each_has_the_side_that_binds_it() -> None:
    layers = [layer("wide", 10**6, 10**6), layer("deep", 10**8, 10**6)]
    bounds = layer_bounds(layers, 100, 10)
    assert [bound.binds for bound in bounds] == ["memory", "compute"]
    assert [bound.ms for bound in bounds] == pytest.approx([0.1, 1.0])
    assert roofline(cost(*layers), 100, 10).layers_ms == pytest.approx(1.1)


def test_the_share_is_the_bound_over_the_latency() -> None:
    found = roofline(cost(layer("all", 10**8, 2 * 10**7)), 100, 10)
    assert found.share(4.0) == pytest.approx(0.25)
    assert found.layers_share(4.0) == pytest.approx(0.5)


def test_all_of_it_is_json_and_a_few_lines() -> None:
    found = roofline(cost(layer("all", 10**8, 2 * 10**7))._replace(unknown=["Fold"]), 100, 10)
    record = json.loads(json.dumps(found.as_json()))
    assert record["bound_ms"] == pytest.approx(1.0)
    assert record["layers_ms"] == pytest.approx(2.0)
    assert record["binds"] == "compute"
    assert found.lines() == [
        "50.0 M multiply-adds, 0.100 GFLOP; 0.00 MB at least, 20.0 MB layer by layer (fp16, batch 1)",
        "at 100 GFLOP/s and 10.0 GB/s: 1.000 ms at least, compute binds "
        "(100000 FLOP/byte, from 10 on compute); 2.000 ms layer by layer",
        "not counted, of unknown operators: the FLOPs of Fold",
    ]


def test_the_roofline_of_a_file(tmp_path: Any) -> None:
    pytest.importorskip("onnx")
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_onnx.classifier(batch=None))
    one, four = (roofline_of(str(path), "fp32", batch, 100, 10) for batch in (1, 4))
    # 4 channels of 16 x 16, each the sum of 27 products, and a dense layer of 4 by 4.
    assert one.multiply_adds == 4 * 16 * 16 * 27 + 4 * 4
    assert four.flops == 4 * one.flops


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: Any) -> str:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    return tiny_bundle.write_bundle(tmp_path_factory.mktemp("bundle") / "x.bundle")


def facts(bundle: str, precision: str, batch: int = 1) -> Dict[str, Any]:
    boards = list(load_boards().values())
    return roofline_command.facts_of(bundle + "/model.onnx", boards, HERE, precision, batch)


def test_every_board_and_this_machine_have_a_roofline(bundle: str) -> None:
    found = facts(bundle, "fp16", 2)
    assert list(found["rooflines"]) == [*load_boards(), "here"]
    here = found["rooflines"]["here"]
    assert (here["precision"], here["batch"], here["peak_gflops"]) == ("fp32", 2, pytest.approx(100))
    assert found["rooflines"]["jetson-nano"]["precision"] == "fp16"


def test_a_peak_that_is_not_known_is_told_and_the_next_board_shows_the_layers(bundle: str) -> None:
    found = facts(bundle, "int8")
    assert found["rooflines"]["jetson-nano"] is None
    assert "Jetson Nano, int8: the peak is not known for this board" in found["notes"]
    assert found["costliest"]["machine"] == "jetson-xavier-nx"


def test_the_costliest_layers_come_first(bundle: str) -> None:
    times = [each["bound_ms"] for each in facts(bundle, "fp32")["costliest"]["layers"]]
    assert times == sorted(times, reverse=True)
    assert 0 < len(times) <= 10


def test_the_clock_moves_the_bound_of_its_board(bundle: str) -> None:
    nano = load_boards()["jetson-nano"]
    found = roofline_command.facts_of(bundle + "/model.onnx", [nano], HERE, "fp16", 1, 460.8)
    assert found["rooflines"]["jetson-nano"]["peak_gflops"] == pytest.approx(236)
    assert any(note.startswith("Jetson Nano at 460.8 MHz, fp16: ") for note in found["notes"])


def run(*arguments: str) -> int:
    args = parse("benchmark roofline", roofline_command, list(arguments))
    args.command_line = ["legoclf", "benchmark", "roofline", *arguments]
    return roofline_command.run(args)


def test_the_command_writes_a_result_that_loads(
    bundle: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemAvailable:  65536 kB\n")
    short = functools.partial(peak.measure_peak, turns=2, seconds=0.001, root=str(tmp_path))
    monkeypatch.setattr(peak, "measure_peak", short)
    path = str(tmp_path / "roofline.json")
    assert run(bundle, "--board", "jetson-nano", "--output", path) == 0
    result = load(path)
    assert result.kind == "roofline"
    assert [len(series.turns) for series in result.series] == [2] * len(result.facts["peak_work"])
    assert list(result.facts["rooflines"]) == ["jetson-nano", "here"]
    assert "- Jetson Nano, fp16: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--board", "jetson-tx1"], "no board 'jetson-tx1', expected one of jetson-nano, "),
        (["--gpu_mhz", "640"], "name it with --board"),
        (["--board", "jetson-nano", "--gpu_mhz", "2000"], "--gpu_mhz: got 2000.0, expected 1 to 930.8"),
        (["--batch", "0"], "--batch: got 0, expected 1 to 1024"),
    ],
)
def test_wrong_flags_are_refused_before_anything_is_measured(flags: List[str], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        run("no.bundle", *flags)
