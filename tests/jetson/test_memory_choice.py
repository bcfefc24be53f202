"""Which memory is chosen, on devices whose clock the test sets."""

import fake_kernels
import numpy as np
import pytest

from legoclf.contract import InputContract
from legoclf.jetson.frame import Frame
from legoclf.jetson.gpu_preprocess import GpuPreprocessor
from legoclf.jetson.memory_choice import choose_input_memory, choose_output_memory, fastest

CONTRACT = InputContract(32, 24, "RGB", "squash", "area", 1.0 / 255.0, 0.0)
TENSOR_BYTES = 3 * 24 * 32 * 4


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return fake_kernels.build_driver(tmp_path_factory.mktemp("kernels"))


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds

    def taking(self, *milliseconds):
        """Something that takes so long, the first the first time, and so on; the last for ever."""
        left = list(milliseconds)

        def run():
            self.seconds += (left.pop(0) if len(left) > 1 else left[0]) / 1000.0

        return run


@pytest.mark.parametrize(
    ("pageable", "pinned", "mapped", "chosen"),
    [
        (2.0, 1.0, 1.5, "pinned"),
        (2.0, 1.5, 1.0, "mapped"),
        (1.0, 2.0, 3.0, "pageable"),
        (1.0, 0.95, 0.92, "pageable"),  # faster by less than the margin
        (1.0, 0.95, 0.85, "mapped"),
        (1.0, 1.0, 1.0, "pageable"),
    ],
)
def test_the_rule_is_left_only_for_a_clear_gain(pageable, pinned, mapped, chosen):
    clock = Clock()
    ways = {
        "mapped": clock.taking(mapped),
        "pageable": clock.taking(pageable),
        "pinned": clock.taking(pinned),
    }
    choice = fastest(ways, "pageable", clock)
    assert choice.memory == chosen
    assert choice.median_ms == pytest.approx({"pageable": pageable, "pinned": pinned, "mapped": mapped})


def test_the_first_runs_do_not_count_and_slow_ones_do_not_weigh():
    clock = Clock()
    ways = {"pageable": clock.taking(1.0), "pinned": clock.taking(*[90.0] * 3, *[0.5] * 8, *[70.0] * 7)}
    assert fastest(ways, "pageable", clock).memory == "pinned"


def test_the_choice_reads_as_a_line():
    clock = Clock()
    choice = fastest({"pageable": clock.taking(1.25)}, "pageable", clock)
    assert str(choice) == "pageable memory (pageable 1.25 ms)"


@pytest.mark.parametrize(
    ("copy_ms", "device_ms", "mapped_ms", "chosen"),
    [
        (0.25, 1.0, 9.0, "pageable"),  # the kernels read the host's memory slowly: copy
        (0.5, 1.0, 1.0, "mapped"),  # a copy costs more than it saves
    ],
)
def test_the_preprocessor_uses_what_is_fastest_on_its_device(
    library, cuda, copy_ms, device_ms, mapped_ms, chosen
):
    kernels = fake_kernels.CpuKernels(library, cuda)
    cuda.copy_ms, kernels.device_ms, kernels.mapped_ms = copy_ms, device_ms, mapped_ms
    frame = Frame(np.zeros((24, 32, 3), np.uint8), "BGR", 0, 0.0)
    with GpuPreprocessor(CONTRACT, cuda, kernels) as preprocessor:
        choice = choose_input_memory(
            preprocessor, cuda, frame, TENSOR_BYTES, clock=lambda: cuda.clock_ms / 1000.0
        )
        assert (choice.memory, preprocessor.memory) == (chosen, chosen)
        # Each run uploads: both that copy take the copy and the kernel.
        copied = pytest.approx(copy_ms + device_ms)
        assert choice.median_ms == {"pageable": copied, "pinned": copied, "mapped": pytest.approx(mapped_ms)}


def test_a_self_test_that_fails_leaves_nothing_behind(library, cuda):
    kernels = fake_kernels.CpuKernels(library, cuda)
    frame = Frame(np.zeros((24, 32, 4), np.uint8), "BGR", 0, 0.0)
    with GpuPreprocessor(CONTRACT, cuda, kernels) as preprocessor:
        before = cuda.live
        with pytest.raises(Exception, match="a BGR frame"):
            choose_input_memory(preprocessor, cuda, frame, TENSOR_BYTES)
        assert cuda.live == before


def test_results_stay_in_pageable_memory_where_both_take_as_long(cuda):
    choice = choose_output_memory(cuda, (1, 20), np.float32, clock=lambda: cuda.clock_ms / 1000.0)
    assert choice.memory == "pageable"
    assert choice.median_ms == pytest.approx({"pageable": cuda.copy_ms, "pinned": cuda.copy_ms})
