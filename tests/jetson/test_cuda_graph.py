"""CUDA graphs: the same answers as without, of the image of the moment; and none where they fail."""

import ctypes
import logging

import cudart_stub
import fake_tensorrt
import numpy as np
import pytest

from legoclf.errors import LegoclfError
from legoclf.jetson.cuda_graph import RUNS_BEFORE_CAPTURE, Graphs, Replay, driver_graphs
from legoclf.jetson.cudart import CudartCuda

# The driver's own functions, by ctypes, on a stub that captures copies


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return ctypes.CDLL(cudart_stub.build_stub(tmp_path_factory.mktemp("cudart"), graphs=True))


class OlderDriver(object):
    """The driver of CUDA 10.2, which instantiates by another signature."""

    def __init__(self, library):
        self._library = library

    def __getattr__(self, name):
        if name == "cuGraphInstantiateWithFlags":
            raise AttributeError(name)
        return getattr(self._library, name)


@pytest.fixture(params=["10.2", "11.4 and later"])
def graphs(request, library):
    return driver_graphs(OlderDriver(library) if request.param == "10.2" else library)


@pytest.fixture
def stub(library):
    with CudartCuda(library) as cuda:
        yield cuda
    assert library.stub_graphs_alive() == 0


def test_a_launch_does_what_was_captured_with_the_bytes_that_are_there_then(stub, graphs):
    stream, address = stub.create_stream(), stub.allocate(12)
    sent, received = stub.pinned_empty((3,), np.float32), stub.pinned_empty((3,), np.float32)
    received[:] = 0
    graphs.begin(stream)
    stub.copy_to_device(address, sent, stream)
    stub.copy_to_host(received, address, stream)
    graph = graphs.end(stream)
    assert not received.any(), "captured, not done"
    for value in (1, 2):
        sent[:] = value
        graphs.launch(graph, stream)
        stub.synchronize(stream)
        assert received.tolist() == [value] * 3
    graphs.destroy(graph)


@pytest.mark.parametrize("call", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiate"])
def test_a_call_that_fails_is_named_and_leaves_nothing(stub, library, monkeypatch, call):
    graphs, stream = Graphs(OlderDriver(library)), stub.create_stream()
    monkeypatch.setenv("CUDART_STUB_FAIL", call + "=900")

    def capture():
        graphs.begin(stream)
        graphs.end(stream)

    with pytest.raises(LegoclfError, match=call + " failed: error 900"):
        capture()


def test_every_cuda_that_has_the_driver_has_its_graphs(stub):
    assert isinstance(stub.graphs(), Graphs)


def test_a_driver_without_capture_has_none(tmp_path):
    old = ctypes.CDLL(cudart_stub.build_stub(tmp_path))
    assert driver_graphs(old) is None


# When it is captured


class Log(object):
    """Stands for Graphs: notes what is done, on numbers for graphs."""

    def __init__(self, fails=False):
        self.done = []
        self._fails = fails

    def begin(self, stream):
        self.done.append("begin")

    def end(self, stream):
        self.done.append("end")
        if self._fails:
            raise LegoclfError("nothing captured")
        return 7

    def launch(self, graph, stream):
        self.done.append("launch {}".format(graph))

    def destroy(self, graph):
        self.done.append("destroy {}".format(graph))


def run(replay, log, work=None):
    """One run, as a session does it; the names of what was done meanwhile."""
    before = len(log.done)
    work = work or (lambda stream: log.done.append("work"))
    replay.queue(work, 1)
    replay.succeeded(work, 1)
    return log.done[before:]


def test_work_is_captured_after_some_runs_and_launched_from_then_on():
    log = Log()
    replay = Replay(log)
    for _ in range(RUNS_BEFORE_CAPTURE - 1):
        assert run(replay, log) == ["work"]
    assert run(replay, log) == ["work", "begin", "work", "end"]
    assert run(replay, log) == ["launch 7"]
    replay.forget()
    assert run(replay, log) == ["work"]
    assert log.done.count("destroy 7") == 1


def test_runs_that_are_forgotten_do_not_count():
    log = Log()
    replay = Replay(log)
    for _ in range(2 * RUNS_BEFORE_CAPTURE):
        assert run(replay, log) == ["work"]
        replay.forget()


def test_a_capture_that_fails_is_said_once_and_not_tried_again(caplog):
    log = Log(fails=True)
    replay = Replay(log)
    with caplog.at_level(logging.INFO):
        for _ in range(4 * RUNS_BEFORE_CAPTURE):
            assert "work" in run(replay, log)
            replay.forget()
            run(replay, log)
            run(replay, log)
            run(replay, log)
    assert log.done.count("begin") == 1
    assert caplog.messages == ["the network runs without a CUDA graph: nothing captured"]


def test_work_that_cannot_be_captured_ends_the_capture(caplog):
    log = Log()
    replay = Replay(log)

    def work(stream):
        if log.done and log.done[-1] == "begin":
            raise LegoclfError("not while capturing")

    with caplog.at_level(logging.INFO):
        for _ in range(2 * RUNS_BEFORE_CAPTURE):
            run(replay, log, work)
    assert log.done == ["begin", "end", "destroy 7"]
    assert "not while capturing" in caplog.text


# A session of every release


@pytest.fixture
def session_parts():
    pytest.importorskip("onnxruntime", reason="the fake TensorRT runs engines in ONNX Runtime")
    import tiny_onnx

    from legoclf.jetson.tensorrt_session import TensorRTSession

    def check(session, size, seed):
        batch = tiny_onnx.images(size, seed=seed)
        expected = tiny_onnx.run(tiny_onnx.classifier(batch=None), batch)["logits"]
        # The same operators of the same runtime: no more than another order of summation, on logits of 5.
        np.testing.assert_allclose(session.run(batch)["logits"], expected, rtol=0, atol=1e-5)

    return TensorRTSession, check


def test_answers_are_those_of_the_image_of_the_moment_before_and_after_the_capture(
    api, cuda, build, session_parts
):
    make, check = session_parts
    with make(api, build(api), cuda) as session:
        for seed in range(RUNS_BEFORE_CAPTURE + 3):
            check(session, 1, seed)
    assert cuda.calls.count("launch_graph") == 3
    assert cuda.calls.count("execute") == RUNS_BEFORE_CAPTURE + 1  # one of them into the graph


def test_another_batch_size_has_another_graph(api, cuda, build, session_parts):
    make, check = session_parts
    with make(api, build(api, batch=(1, 2, 4)), cuda) as session:
        for size in (2, 4, 1, 2):
            for seed in range(RUNS_BEFORE_CAPTURE + 2):
                check(session, size, seed)
            assert len(cuda.graphs_made) == 1
    assert cuda.calls.count("end_capture") == 4


def test_sizes_that_come_and_go_are_not_captured(cuda, build, session_parts):
    make, check = session_parts
    api = tensorrt("8.2.1")
    with make(api, build(api, batch=(1, 2, 4)), cuda) as session:
        for seed, size in enumerate((1, 3, 2, 4) * RUNS_BEFORE_CAPTURE):
            check(session, size, seed)
    assert "begin_capture" not in cuda.calls


@pytest.mark.parametrize("moods", [{"capture_fails": True}, {"has_graphs": False}])
def test_without_graphs_it_runs_all_the_same(cuda, build, session_parts, moods):
    make, check = session_parts
    api = tensorrt("10.3.0")
    for name, value in moods.items():
        setattr(cuda, name, value)
    with make(api, build(api), cuda) as session:
        for seed in range(2 * RUNS_BEFORE_CAPTURE):
            check(session, 1, seed)
    assert "launch_graph" not in cuda.calls


def test_who_wants_none_gets_none(cuda, build, session_parts):
    make, check = session_parts
    api = tensorrt("10.3.0")
    with make(api, build(api), cuda, use_graphs=False) as session:
        for seed in range(2 * RUNS_BEFORE_CAPTURE):
            check(session, 1, seed)
    assert "begin_capture" not in cuda.calls


def test_layers_are_timed_without_the_graph_and_it_comes_back(cuda, build, session_parts):
    import tiny_onnx

    make, check = session_parts
    api = tensorrt("8.6.1")
    with make(api, build(api), cuda) as session:
        for seed in range(RUNS_BEFORE_CAPTURE + 1):
            check(session, 1, seed)
        assert "conv" in " ".join(session.layer_times(tiny_onnx.images(1), runs=RUNS_BEFORE_CAPTURE + 2))
        assert not cuda.graphs_made
        for seed in range(RUNS_BEFORE_CAPTURE):
            check(session, 1, seed)
        assert len(cuda.graphs_made) == 1


def test_a_replayed_run_is_timed_step_by_step(cuda, build, session_parts):
    import tiny_onnx

    make, _ = session_parts
    api = tensorrt("8.2.1")
    cuda.copy_ms, cuda.execute_ms = 0.5, 7.0
    with make(api, build(api), cuda) as session:
        for _ in range(RUNS_BEFORE_CAPTURE):
            session.run(tiny_onnx.images(1))
        _, times = session.run_timed(tiny_onnx.images(1), ["logits"])
    assert "launch_graph" in cuda.calls
    assert times == (0.5, 7.0, 0.5)


# Images that are made on the device


def test_images_made_on_the_device_are_run_where_they_lie(api, cuda, build, session_parts):
    import tiny_onnx

    make, _ = session_parts
    batch = tiny_onnx.images(3)
    expected = tiny_onnx.run(tiny_onnx.classifier(batch=None), batch)["logits"]

    def fill(addresses, stream):
        assert len(addresses) == 3
        for image, address in zip(batch, addresses):
            cuda.enqueue("kernel", lambda at=address, one=image: write(cuda, at, one), stream)

    with make(api, build(api, batch=(1, 2, 4)), cuda) as session:
        assert session.image_nbytes == batch[0].nbytes
        for _ in range(RUNS_BEFORE_CAPTURE + 2):
            found = session.run_filled(3, fill, ["logits"])["logits"]
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        found, times = session.run_filled_timed(3, fill, ["logits"])
    np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=1e-5)
    assert times.h2d_ms == 3 * cuda.execute_ms  # the kernels that fill
    assert "copy_to_device" not in cuda.calls


def write(cuda, address, image):
    cuda.view(address, image.nbytes)[:] = image.reshape(-1).view(np.uint8)


def test_more_images_than_the_engine_takes_are_refused_before_they_are_made(cuda, build, session_parts):
    make, _ = session_parts
    api = tensorrt("8.2.1")
    with make(api, build(api, batch=(2, 3, 4)), cuda) as session:
        for count in (1, 5):
            with pytest.raises(LegoclfError, match="takes 2..4 images at once, got {}".format(count)):
                session.run_filled(count, lambda addresses, stream: pytest.fail("made"))


def tensorrt(release):
    from legoclf.jetson.tensorrt_api import TensorRTApi

    return TensorRTApi(fake_tensorrt.fake_tensorrt(release))
