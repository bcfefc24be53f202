"""The live loop for a long time: no memory, descriptor or thread is gained, and no frame takes longer."""

import logging
import os
import threading
import time
from contextlib import ExitStack

import fake_live
import numpy as np
import pytest
import tiny_bundle

from legoclf.bundle import Bundle
from legoclf.jetson.loop import LiveLoop, LoopOptions
from legoclf.jetson.output import Output
from legoclf.jetson.output_worker import Outputs
from legoclf.jetson.outputs import make_output
from legoclf.jetson.smoothing import SmoothingOptions
from legoclf.jetson.views import WholeView

pytest.importorskip("onnx", reason="the bundle is made with onnx")
pytest.importorskip("onnxruntime", reason="it is run with ONNX Runtime")
pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts by Linux's /proc")

LOGGER = logging.getLogger(__name__)

FAST = "synthetic://?fps=0&width=64&height=48"


class Watch(Output):
    """Notes the process's memory, descriptors and threads as frames go by, and how old answers were."""

    name = "watch"

    def __init__(self, frames, every):
        self.memory_kib, self.descriptors, self.threads = [], [], []
        # Made full size: what the watch keeps must not show in what it watches.
        self.ages_ms = np.full(frames, np.nan)
        self.capacity = frames
        self._every = every
        self._seen = 0

    def write(self, result):
        self.ages_ms[self._seen] = result.age_ms
        self._seen += 1
        if self._seen % self._every == 0:
            with open("/proc/self/status") as stream:
                lines = dict(line.split(":", 1) for line in stream)
            self.memory_kib.append(int(lines["VmRSS"].split()[0]))
            self.threads.append(int(lines["Threads"]))
            self.descriptors.append(len(os.listdir("/proc/self/fd")))


def soak(bundle_path, folder, frames, every):
    """Run the real loop with a record beside the watch; the watch."""
    from legoclf.jetson.runtime import open_runtime
    from legoclf.jetson.source import open_source

    watch = Watch(frames, every)
    bundle = Bundle.open(bundle_path)
    stop = threading.Event()
    record = make_output("jsonl:{}".format(folder / "x.jsonl"), fake_live.context())
    view = WholeView(bundle.labels, None, SmoothingOptions(), 3)
    with ExitStack() as stack:
        outputs = stack.enter_context(Outputs([watch, record], True, stop))
        source = stack.enter_context(open_source(FAST))
        runtime = stack.enter_context(open_runtime(bundle, backend="onnxruntime"))
        LiveLoop(source, runtime, view, outputs, LoopOptions(frames=frames, timed=True)).run(stop)
    return watch


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle.write_bundle(tmp_path_factory.mktemp("soak") / "x.bundle")


def test_3000_frames_gain_no_descriptor_and_no_thread(bundle, tmp_path):
    watch = soak(bundle, tmp_path, 3000, 100)
    assert len(watch.descriptors) == 30
    assert max(watch.descriptors[1:]) == watch.descriptors[1]
    assert max(watch.threads[1:]) == watch.threads[1]


def in_use():
    """Descriptors, and threads of the system's count."""
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


def test_a_run_leaves_no_descriptor_and_no_thread(bundle, tmp_path):
    folders = [tmp_path / str(number) for number in range(4)]
    for folder in folders:
        folder.mkdir()
    soak(bundle, folders[0], 10, 10)  # loads libraries, which keep threads of their own
    before = in_use()
    for folder in folders[1:]:
        soak(bundle, folder, 10, 10)
    # A thread that was joined is in the system's count for a moment yet.
    deadline = time.monotonic() + 20
    while in_use()[1] > before[1] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert np.less_equal(in_use(), before).all()


@pytest.mark.slow
def test_100000_frames_gain_no_memory_descriptor_or_thread(bundle, tmp_path):
    watch = soak(bundle, tmp_path, 100000, 1000)
    warm = watch.memory_kib[20]
    assert max(watch.memory_kib[20:]) <= 1.02 * warm
    assert max(watch.descriptors[20:]) == watch.descriptors[20]
    assert max(watch.threads[20:]) == watch.threads[20]
    early, late = np.median(watch.ages_ms[10000:20000]), np.median(watch.ages_ms[-10000:])
    LOGGER.warning("memory %d to %d KiB", warm, watch.memory_kib[-1])
    LOGGER.warning("capture to answer %.2f to %.2f ms", early, late)
    # Another program on the machine may take half of it; a queue that grew would make it many times as long.
    assert late < 3 * early
