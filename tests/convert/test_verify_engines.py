"""Engines are verified where TensorRT and their GPU are, skipped with the reason elsewhere."""

import sys
from pathlib import Path
from typing import Any

import novel_graphs
import pytest
import small_bundle
from fake_cuda import FakeCuda
from fake_tensorrt import fake_tensorrt

from legoclf.bundle import Bundle
from legoclf.convert.engine.build import BuildConfig, build_engine
from legoclf.convert.verify import Verification, verify
from legoclf.convert.verify_engines import engine_paths
from legoclf.convert.verify_gates import GOLDEN
from legoclf.jetson.engine_identity import EngineIdentity, this_machine
from legoclf.jetson.engine_store import save_engine
from legoclf.jetson.tensorrt_api import TensorRTApi


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return small_bundle.write_bundle(tmp_path / "small.bundle")


def failed(result: Verification) -> list[str]:
    return [check.name for check in result.checks if not check.passed]


def test_an_engine_without_a_sidecar_fails_and_is_not_loaded(bundle: Bundle) -> None:
    (Path(bundle.path) / "engines").mkdir()
    (Path(bundle.path) / "engines" / "1234.engine").write_bytes(b"native code")
    result = verify(bundle)
    assert failed(result) == ["engines that must not be loaded"]
    assert "1234.engine: has no sidecar" in result.checks[0].mend


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> tuple[TensorRTApi, FakeCuda]:
    """A Jetson Nano's TensorRT and GPU, both fake."""
    module, cuda = fake_tensorrt("8.2.1"), FakeCuda()
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setattr("legoclf.jetson.cuda.open_cuda", lambda: cuda)
    return TensorRTApi(module), cuda


def add_engine(bundle: Bundle, device: tuple[TensorRTApi, FakeCuda], onnx: bytes, **identity: Any) -> None:
    api, cuda = device
    config = BuildConfig(precision="fp32", batch=(1, 1, 2))
    fields = {
        **this_machine(api, cuda)._asdict(),
        "onnx_sha256": bundle.files["model.onnx"].sha256,
        "precision": "fp32",
        "workspace_mib": config.workspace_mib,
        "batch": config.batch,
        "optimization_level": None,
        "dla_core": None,
        "version_compatible": False,
        "hardware_compatible": False,
        **identity,
    }
    plan = build_engine(api, onnx, config, lambda line: None).plan
    save_engine(bundle.path, EngineIdentity(**fields), plan, {"onnx_file": "model.onnx"})


def test_an_engine_runs_beside_the_other_graphs(bundle: Bundle, device: tuple[TensorRTApi, FakeCuda]) -> None:
    add_engine(bundle, device, Path(bundle.file("model.onnx")).read_bytes())
    result = verify(bundle)
    engine = result.sets[GOLDEN][-1]
    assert engine.path.name.startswith("engine fp32 ")
    assert (engine.images, failed(result)) == (4, [])
    device[1].assert_nothing_leaked()


@pytest.mark.parametrize("kind", novel_graphs.KINDS)
def test_the_novelty_of_an_engine_is_compared(
    kind: str, tmp_path: Path, device: tuple[TensorRTApi, FakeCuda]
) -> None:
    bundle = novel_graphs.write_bundle(tmp_path / "novel.bundle", novel_graphs.of_kind(kind), 1000.0)
    add_engine(bundle, device, Path(bundle.file("model.onnx")).read_bytes())
    result = verify(bundle)
    engine = result.sets[GOLDEN][-1]
    assert engine.path.name.startswith("engine fp32 ")
    assert engine.novelty is not None
    assert engine.novelty < 1e-5
    assert failed(result) == []


def test_an_engine_that_answers_otherwise_fails(bundle: Bundle, device: tuple[TensorRTApi, FakeCuda]) -> None:
    import onnx

    model = onnx.load(bundle.file("model.onnx"))
    small_bundle.scale_weights("head", 1.1)(model)
    add_engine(bundle, device, model.SerializeToString())
    result = verify(bundle)
    assert result.failed_files() == [result.sets[GOLDEN][-1].path.file]
    assert result.failed_files()[0].startswith("engines/")


def test_an_engine_of_another_gpu_is_skipped_with_what_differs(
    bundle: Bundle, device: tuple[TensorRTApi, FakeCuda]
) -> None:
    onnx = Path(bundle.file("model.onnx")).read_bytes()
    add_engine(bundle, device, onnx, gpu="Orin", compute_capability="8.7")
    result = verify(bundle)
    (reason,) = result.skipped.values()
    assert "gpu Orin -> NVIDIA Tegra X1, compute_capability 8.7 -> 5.3" in reason
    assert failed(result) == []


def test_where_tensorrt_is_missing_the_engine_is_skipped_with_the_reason(
    bundle: Bundle, device: tuple[TensorRTApi, FakeCuda], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_engine(bundle, device, Path(bundle.file("model.onnx")).read_bytes())
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    (reason,) = verify(bundle).skipped.values()
    assert "TensorRT cannot be imported" in reason


@pytest.mark.parametrize(("capability", "family"), [("5.3", "fp32"), ("7.2", "fp32"), ("8.7", "fp16")])
def test_an_fp32_engine_is_judged_as_fp16_where_tensorrt_multiplies_in_tf32(
    bundle: Bundle, device: tuple[TensorRTApi, FakeCuda], capability: str, family: str
) -> None:
    """TF32, from compute capability 8.0 on, has the 11 bits of FP16."""
    onnx = Path(bundle.file("model.onnx")).read_bytes()
    add_engine(bundle, device, onnx, compute_capability=capability)
    assert engine_paths(bundle)[0][0].family == family


def test_an_engine_that_was_exchanged_fails_and_is_not_loaded(
    bundle: Bundle, device: tuple[TensorRTApi, FakeCuda]
) -> None:
    add_engine(bundle, device, Path(bundle.file("model.onnx")).read_bytes())
    (engine,) = (Path(bundle.path) / "engines").glob("*.engine")
    engine.write_bytes(engine.read_bytes() + b"x")
    result = verify(bundle)
    assert failed(result) == ["engines that must not be loaded"]
    assert len(result.sets[GOLDEN]) == 4
