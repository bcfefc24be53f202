"""A TensorRT session: right answers on every release, and nothing leaked, overrun or read too early."""

import threading

import fake_cuda
import fake_tensorrt
import numpy as np
import pytest
import tiny_onnx

pytest.importorskip("onnxruntime", reason="the fake TensorRT runs engines in ONNX Runtime")

from legoclf.convert.engine.build import BuildConfig, build_engine
from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.tensorrt_api import TensorRTApi
from legoclf.jetson.tensorrt_session import StepTimes, TensorRTSession


@pytest.fixture
def api_8_2():
    return TensorRTApi(fake_tensorrt.fake_tensorrt("8.2.1"))


def expected(batch):
    return tiny_onnx.run(tiny_onnx.classifier(batch=None), batch)


def in_a_thread(work):
    """What ``work`` raised in another thread; None where it did not."""
    raised = []

    def run():
        try:
            work()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


# Right answers


def test_fp32_says_what_the_onnx_says(api, cuda, build):
    batch = tiny_onnx.images(1)
    with TensorRTSession(api, build(api), cuda) as session:
        found = session.run(batch)
    assert sorted(found) == ["logits", "probabilities"]
    for name, array in expected(batch).items():
        assert found[name].dtype == np.float32
        # The same operators of the same runtime: no more than another order of summation.
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-6)


# FP16 has 11 bits of mantissa: 5e-4 relative, a few times over, on logits of about 5.
@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 0.02), ("int8", 0.1)])
def test_lower_precisions_stay_close(api, cuda, build, precision, tolerance):
    batch = tiny_onnx.images(1)
    with TensorRTSession(api, build(api, precision), cuda) as session:
        found = session.run(batch)
    np.testing.assert_allclose(found["logits"], expected(batch)["logits"], rtol=0, atol=tolerance)


def test_any_batch_within_the_profile_runs_in_any_order(api, cuda, build):
    with TensorRTSession(api, build(api, batch=(1, 2, 4)), cuda) as session:
        assert session.batch_sizes == (1, 2, 4)
        for size in (3, 1, 4, 4, 2):
            batch = tiny_onnx.images(size, seed=size)
            found = session.run(batch)["logits"]
            assert found.shape == (size, tiny_onnx.CLASSES)
            np.testing.assert_allclose(found, expected(batch)["logits"], rtol=0, atol=1e-6)


def test_half_outputs_become_float32(api_8_2, cuda):
    import onnx

    model = onnx.load_from_string(tiny_onnx.classifier())
    model.graph.node.append(onnx.helper.make_node("Cast", ["logits"], ["logits.half"], "half", to=10))
    model.graph.output.append(onnx.helper.make_tensor_value_info("logits.half", 10, [1, tiny_onnx.CLASSES]))
    plan = build_engine(api_8_2, model.SerializeToString(), BuildConfig(), [].append).plan
    batch = tiny_onnx.images(1)
    with TensorRTSession(api_8_2, plan, cuda) as session:
        found = session.run(batch)["logits.half"]
    assert found.dtype == np.float32
    assert np.array_equal(found, expected(batch)["logits"].astype(np.float16).astype(np.float32))


def test_an_image_that_is_not_contiguous_runs(api_8_2, cuda, build):
    batch = tiny_onnx.images(1)
    with TensorRTSession(api_8_2, build(api_8_2), cuda) as session:
        strided = np.ascontiguousarray(batch.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        found = session.run(strided)["logits"]
    np.testing.assert_allclose(found, expected(batch)["logits"], rtol=0, atol=1e-6)


def test_arrays_given_back_are_the_callers_own(api_8_2, cuda, build):
    first, second = tiny_onnx.images(1, seed=1), tiny_onnx.images(1, seed=2)
    with TensorRTSession(api_8_2, build(api_8_2), cuda) as session:
        kept = session.run(first)["logits"]
        copy = kept.copy()
        session.run(second)
    assert np.array_equal(kept, copy)


def test_only_the_outputs_asked_for_are_copied(api_8_2, cuda, build):
    with TensorRTSession(api_8_2, build(api_8_2), cuda) as session:
        found = session.run(tiny_onnx.images(1), outputs=["logits"])
    assert list(found) == ["logits"]
    assert cuda.calls.count("copy_to_host") == 1


def test_each_step_is_timed_apart(api, cuda, build):
    cuda.copy_ms, cuda.execute_ms = 0.5, 7.0
    batch = tiny_onnx.images(1)
    with TensorRTSession(api, build(api), cuda) as session:
        found, times = session.run_timed(batch)
    # Two outputs are copied back.
    assert times == StepTimes(h2d_ms=0.5, compute_ms=7.0, d2h_ms=1.0)
    np.testing.assert_allclose(found["logits"], expected(batch)["logits"], rtol=0, atol=1e-6)


# What is refused


@pytest.mark.parametrize(
    ("batch", "got"),
    [
        (np.zeros((1, 3, 16, 16), np.float64), r"got float64 \[1, 3, 16, 16\]"),
        (np.zeros((1, 3, 16, 17), np.float32), r"got float32 \[1, 3, 16, 17\]"),
        (np.zeros((1, 16, 16, 3), np.float32), r"got float32 \[1, 16, 16, 3\]"),
        (np.zeros((3, 16, 16), np.float32), r"got float32 \[3, 16, 16\]"),
        (np.zeros((0, 3, 16, 16), np.float32), r"got float32 \[0, 3, 16, 16\]"),
        (np.zeros((5, 3, 16, 16), np.float32), r"got float32 \[5, 3, 16, 16\]"),
    ],
)
def test_another_shape_or_type_is_refused_with_what_was_expected(api_8_2, cuda, build, batch, got):
    with TensorRTSession(api_8_2, build(api_8_2, batch=(1, 2, 4)), cuda) as session:
        with pytest.raises(LegoclfError, match=got + r", expected float32 \[1\.\.4, 3, 16, 16\]"):
            session.run(batch)
        assert session.run(tiny_onnx.images(2))["logits"].shape == (2, tiny_onnx.CLASSES)


def test_an_unknown_output_is_refused_with_those_there_are(api_8_2, cuda, build):
    refused = pytest.raises(UsageError, match="no output 'scores'; it has logits, probabilities")
    with TensorRTSession(api_8_2, build(api_8_2), cuda) as session, refused:
        session.run(tiny_onnx.images(1), outputs=["scores"])


def test_another_thread_may_neither_run_nor_close_it(api_8_2, cuda, build):
    with TensorRTSession(api_8_2, build(api_8_2), cuda) as session:
        for work in (
            lambda: session.run(tiny_onnx.images(1)),
            lambda: session.run_timed(tiny_onnx.images(1)),
            lambda: session.layer_times(tiny_onnx.images(1)),
            lambda: session.__exit__(None, None, None),
        ):
            error = in_a_thread(work)
            assert isinstance(error, LegoclfError)
            assert "by a thread that did not make it" in str(error)
        assert session.run(tiny_onnx.images(1))


def test_a_closed_session_says_so(api_8_2, cuda, build):
    with TensorRTSession(api_8_2, build(api_8_2), cuda) as session:
        pass
    with pytest.raises(LegoclfError, match="closed"):
        session.run(tiny_onnx.images(1))


def test_a_damaged_plan_is_refused_in_nvidias_words(api, cuda, build):
    plan = bytearray(build(api))
    plan[len(plan) // 2] ^= 1
    with pytest.raises(LegoclfError, match="does not load the engine: .*Serialization.*legoclf build-engine"):
        TensorRTSession(api, bytes(plan), cuda)


def test_a_plan_of_another_release_is_refused_in_nvidias_words(cuda, build):
    made, here = (TensorRTApi(fake_tensorrt.fake_tensorrt(release)) for release in ("8.2.1", "8.5.2"))
    with pytest.raises(LegoclfError, match="TensorRT 8.5.2 does not load the engine: .*Version tag"):
        TensorRTSession(here, build(made), cuda)


def test_a_plan_of_another_gpu_is_refused_in_nvidias_words(cuda, build):
    xavier, orin = (
        TensorRTApi(fake_tensorrt.fake_tensorrt("8.5.2", compute_capability=capability))
        for capability in ((7, 2), (8, 7))
    )
    with pytest.raises(LegoclfError, match="generated on an incompatible device"):
        TensorRTSession(orin, build(xavier), cuda)


def test_a_version_compatible_plan_loads_in_a_later_release_where_it_may_bring_its_runtime(cuda):
    made, here = (TensorRTApi(fake_tensorrt.fake_tensorrt(release)) for release in ("10.3.0", "10.16.0"))
    config = BuildConfig(version_compatible=True)
    plan = build_engine(made, tiny_onnx.classifier(), config, [].append).plan
    with pytest.raises(LegoclfError, match="Version tag"):
        TensorRTSession(here, plan, cuda)
    with TensorRTSession(here, plan, cuda, host_code=True) as session:
        assert session.run(tiny_onnx.images(1))


def test_an_engine_of_a_dla_core_is_loaded_for_that_core(api, cuda, build):
    with TensorRTSession(api, build(api), cuda, dla_core=1) as session:
        assert session.run(tiny_onnx.images(1))
    assert "Runtime.DLA_core" in api.trt.used


def test_addresses_that_tensorrt_refuses_are_told():
    api = TensorRTApi(fake_tensorrt.fake_tensorrt("8.5.2"))
    plan = build_engine(api, tiny_onnx.classifier(), BuildConfig(), [].append).plan
    context = api.load_engine(plan).create_context()
    with pytest.raises(LegoclfError, match="refuses the addresses of its tensors: .*nowhere"):
        context.bind({"nowhere": 4096})


# What goes wrong on the way leaves nothing behind: the fixture looks at the end


@pytest.mark.parametrize("buffers", [0, 1, 2])
def test_memory_that_runs_out_on_the_way_is_given_back(api_8_2, build, buffers):
    plan = build(api_8_2)
    image, answer = 3 * 16 * 16 * 4, tiny_onnx.CLASSES * 4
    device = fake_cuda.FakeCuda(total_bytes=[image - 1, image + answer - 1, image + 2 * answer - 1][buffers])
    with pytest.raises(LegoclfError, match="out of memory"):
        TensorRTSession(api_8_2, plan, device)
    assert device.calls.count("allocate") == buffers + 1
    device.assert_nothing_leaked()


def test_a_context_that_is_not_made_is_told_in_nvidias_words(api, cuda, build):
    plan = build(api)
    api.trt.settings.context_fails = True
    with pytest.raises(LegoclfError, match="makes no context for the engine: .*OutOfMemory"):
        TensorRTSession(api, plan, cuda)


def test_an_execution_that_fails_is_told_in_nvidias_words_and_leaves_nothing(api, cuda, build):
    with TensorRTSession(api, build(api), cuda) as session:
        api.trt.settings.execute_fails = True
        with pytest.raises(LegoclfError, match="refuses the execution: .*Cask convolution execution"):
            session.run(tiny_onnx.images(1))


def test_buffers_are_made_once(api_8_2, cuda, build):
    with TensorRTSession(api_8_2, build(api_8_2, batch=(1, 2, 4)), cuda) as session:
        made = [
            cuda.calls.count(name) for name in ("allocate", "pinned_empty", "create_event", "create_stream")
        ]
        for size in (1, 4, 2):
            session.run(tiny_onnx.images(size))
            session.run_timed(tiny_onnx.images(size))
        now = [
            cuda.calls.count(name) for name in ("allocate", "pinned_empty", "create_event", "create_stream")
        ]
    assert made == now == [3, 3, 4, 1]


def test_an_engine_with_two_inputs_is_refused(api_8_2, cuda):
    import onnx

    values = [onnx.helper.make_tensor_value_info(name, 1, [1, 3, 4, 4]) for name in ("left", "right", "sum")]
    node = onnx.helper.make_node("Add", ["left", "right"], ["sum"], "add")
    graph = onnx.helper.make_graph([node], "two", values[:2], values[2:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=7)
    build = api_8_2.new_build(strongly_typed=False)
    assert build.parse(model.SerializeToString()) == []
    with pytest.raises(LegoclfError, match=r"'left' \[1, 3, 4, 4\], 'right' \[1, 3, 4, 4\]; expected one"):
        TensorRTSession(api_8_2, build.run(), cuda)
