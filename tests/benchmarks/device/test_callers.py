"""Throughput: rates of known work, and calls that really are made at the same time."""

import threading
import time
from typing import List

import pytest

from legoclf.benchmarks.device import callers as callers_module
from legoclf.benchmarks.device.callers import Callers, images_a_second


def test_the_rate_is_images_by_the_seconds_they_took(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(object):
        now = 0.0

        def perf_counter(self) -> float:
            return self.now

        def call(self) -> None:
            self.now += 0.125  # a power of two: its sums are exact

    work = Clock()
    monkeypatch.setattr(callers_module, "time", work)
    assert images_a_second(work.call, seconds=1.1, images=4) == 32.0
    assert work.now == 1.125


def test_a_sleep_gives_no_more_than_its_rate() -> None:
    assert 0 < images_a_second(lambda: time.sleep(0.01), seconds=0.05) <= 100


def test_work_longer_than_the_time_is_done_once() -> None:
    calls: List[int] = []
    images_a_second(lambda: calls.append(1), seconds=0.0)
    assert calls == [1]


def test_callers_call_at_the_same_time() -> None:
    # Each call waits for another to be under way: one caller alone would break the barrier.
    barrier = threading.Barrier(2, timeout=5.0)
    with Callers(2) as callers:
        callers.do(barrier.wait, 2)


def test_the_rates_of_all_callers_are_added_up() -> None:
    with Callers(2) as callers:
        rate = callers.images_a_second(lambda: time.sleep(0.01), 0.1)
    assert 100 < rate <= 200  # of sleeps of 10 ms, one caller does 100 at most


@pytest.mark.parametrize("calls", [0, 1, 3, 8])
def test_calls_are_shared_out_among_the_callers_and_none_is_lost(calls: int) -> None:
    made: List[int] = []
    with Callers(3) as callers:
        callers.do(lambda: made.append(1), calls)
    assert len(made) == calls


def test_what_fails_in_a_thread_is_raised_to_the_caller() -> None:
    def fail() -> None:
        raise RuntimeError("no")

    with Callers(2) as callers:
        with pytest.raises(RuntimeError, match="no"):
            callers.do(fail, 2)
        with pytest.raises(RuntimeError, match="no"):
            callers.images_a_second(fail, 0.0)
