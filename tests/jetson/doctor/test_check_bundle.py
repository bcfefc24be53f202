"""A bundle and its engine, as the doctor sees them."""

import json
import os

import pytest

from legoclf.bundle_writer import BundleWriter
from legoclf.contract import unit_range_contract
from legoclf.jetson.doctor.check_bundle import check_bundle, check_engine
from legoclf.jetson.engine_identity import EngineIdentity, Machine
from legoclf.jetson.engine_store import save_engine

#: What the probes of the Nano in conftest.py tell.
NANO = Machine("8.2.1.8", "10.2", "NVIDIA Tegra X1", "5.3", "32.7.1")


@pytest.fixture
def bundle(tmp_path):
    path = str(tmp_path / "x.bundle")
    with BundleWriter(path) as writer:
        with open(writer.file("model.onnx"), "wb") as stream:
            stream.write(b"onnx")
        writer.finish(["a", "b"], unit_range_contract(16, 16), {}, {})
    return path


def save(bundle, machine):
    with open(os.path.join(bundle, "model.json")) as stream:
        onnx_sha256 = json.load(stream)["files"]["model.onnx"]["sha256"]
    identity = EngineIdentity(
        onnx_sha256=onnx_sha256,
        precision="fp16",
        workspace_mib=128,
        batch=(1, 1, 1),
        optimization_level=None,
        dla_core=None,
        version_compatible=False,
        hardware_compatible=False,
        **machine._asdict(),
    )
    return save_engine(bundle, identity, b"native code", {"onnx_file": "model.onnx"})


def test_a_whole_bundle_is_told_with_what_it_holds(machines, bundle):
    finding = check_bundle(machines("nano", bundle=bundle))
    assert finding == ("ok", "{}: whole, 2 labels, 2 files".format(bundle), "")


def test_a_damaged_bundle_is_a_problem_that_names_the_file(machines, bundle):
    with open(os.path.join(bundle, "model.onnx"), "wb") as stream:
        stream.write(b"xxxx")
    finding = check_bundle(machines("nano", bundle=bundle))
    assert finding.status == "problem"
    assert "model.onnx: damaged" in finding.what


def test_an_engine_for_this_machine_is_told(machines, bundle):
    engine = save(bundle, NANO)
    finding = check_engine(machines("nano", bundle=bundle))
    assert finding.status == "ok"
    assert finding.what.startswith("fp16 {}, built 20".format(engine.key))


def test_an_engine_for_another_machine_is_told_with_what_differs(machines, bundle):
    save(bundle, NANO._replace(tensorrt="8.0.1.6", l4t="32.6.1"))
    finding = check_engine(machines("nano", bundle=bundle))
    assert finding.status == "note"
    assert "tensorrt 8.0.1.6 -> 8.2.1.8" in finding.what
    assert "legoclf build-engine {}".format(bundle) in finding.mend


def test_a_bundle_without_an_engine_has_the_command_that_builds_one(machines, bundle):
    finding = check_engine(machines("nano", bundle=bundle))
    assert (finding.status, "legoclf build-engine" in finding.mend) == ("note", True)


def test_where_there_is_no_gpu_no_engine_is_missed(machines, bundle):
    finding = check_engine(machines("laptop", bundle=bundle))
    assert finding == ("not here", "without TensorRT and a GPU there is no use for one", "")
