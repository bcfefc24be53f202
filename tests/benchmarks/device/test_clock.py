"""The clock: warm-up that ends when the pace settles, turns that alternate, and times that are right."""

import gc
import time
from typing import Callable, List

import numpy as np
import pytest

from legoclf.benchmarks.device import clock
from legoclf.benchmarks.device.clock import in_turns, overhead_ms, warm_up
from legoclf.benchmarks.device.samples import summarise

SLEEP_MS = 5.0


class Paced(object):
    """Work that takes as long as told on a clock of its own, which the module reads in place of the real."""

    def __init__(self, seconds_of: Callable[[int], float]) -> None:
        self.now = 0.0
        self.calls = 0
        self._seconds_of = seconds_of

    def perf_counter(self) -> float:
        return self.now

    def __call__(self) -> None:
        self.now += self._seconds_of(self.calls)
        self.calls += 1


def paced(monkeypatch: pytest.MonkeyPatch, seconds_of: Callable[[int], float]) -> Paced:
    work = Paced(seconds_of)
    monkeypatch.setattr(clock, "time", work)
    return work


def test_work_of_one_pace_is_warm_after_the_windows_it_takes_to_see_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = paced(monkeypatch, lambda call: 0.01)
    assert warm_up(work) == (work.calls, True)
    assert work.calls == 20  # the first window sets the pace, three more confirm it


def test_work_that_gets_faster_is_warmed_until_it_no_longer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    settles_at = 100
    work = paced(monkeypatch, lambda call: 0.01 * 0.99 ** min(call, settles_at))
    warm = warm_up(work, most_seconds=60.0)
    assert warm.is_steady
    assert settles_at <= warm.calls <= settles_at + 30


def test_work_that_does_not_settle_in_time_is_said_not_to_be_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    work = paced(monkeypatch, lambda call: 0.99**call)
    warm = warm_up(work, most_seconds=10.0)
    assert not warm.is_steady
    assert 10.0 <= work.now < 11.0


def test_work_longer_than_the_time_is_called_once(monkeypatch: pytest.MonkeyPatch) -> None:
    work = paced(monkeypatch, lambda call: 30.0)
    assert warm_up(work, most_seconds=10.0) == (1, False)


def test_pieces_of_work_take_turns() -> None:
    calls: List[str] = []
    samples = in_turns(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")},
        turns=3,
        seconds=0.0,
    )
    assert calls == ["a", "b"] * 3
    assert {name: [len(turn) for turn in turns] for name, turns in samples.items()} == {
        "a": [1, 1, 1],
        "b": [1, 1, 1],
    }


def test_a_turn_ends_with_its_time_and_has_all_its_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    work = paced(monkeypatch, lambda call: 0.125)  # a power of two: its sums are exact
    assert in_turns({"a": work}, turns=2, seconds=1.0) == {"a": [[125.0] * 8, [125.0] * 8]}


def test_a_turn_ends_with_its_most_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    work = paced(monkeypatch, lambda call: 0.125)
    assert in_turns({"a": work}, turns=1, seconds=1.0, most_samples=3) == {"a": [[125.0] * 3]}


def test_another_measure_gives_the_samples() -> None:
    samples = in_turns({"a": lambda: 7}, turns=2, seconds=0.0, measure=lambda run: 2.0 * run())
    assert samples == {"a": [[14.0], [14.0]]}


def test_a_sleep_is_timed_as_long_as_it_was() -> None:
    slept_ms: List[float] = []

    def sleep() -> None:
        started_at = time.monotonic()
        time.sleep(SLEEP_MS / 1000)
        slept_ms.append((time.monotonic() - started_at) * 1000)

    summary = summarise(in_turns({"sleep": sleep}, turns=6, seconds=0.05)["sleep"])
    assert summary.samples == len(slept_ms)
    assert summary.p50 >= SLEEP_MS
    # By another clock, within the call: on a busy machine a sleep ends late by milliseconds.
    assert summary.p50 == pytest.approx(float(np.median(slept_ms)), rel=0.05)


@pytest.mark.parametrize("was_enabled", [True, False])
def test_the_garbage_collector_rests_in_a_turn_and_is_as_before_after_it(was_enabled: bool) -> None:
    seen: List[bool] = []
    before = gc.isenabled()
    (gc.enable if was_enabled else gc.disable)()
    try:
        in_turns({"a": lambda: seen.append(gc.isenabled())}, turns=2, seconds=0.0)
        assert gc.isenabled() is was_enabled
    finally:
        (gc.enable if before else gc.disable)()
    assert seen == [False, False]


def test_the_garbage_collector_goes_on_after_work_that_fails() -> None:
    def fail() -> None:
        raise RuntimeError("no")

    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="no"):
        in_turns({"a": fail}, turns=1, seconds=0.0)
    assert gc.isenabled()


def test_the_clocks_own_share_is_that_of_a_call_that_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ticking(object):
        """A clock that each look at it moves on by a microsecond."""

        looks = 0

        def perf_counter(self) -> float:
            self.looks += 1
            return self.looks * 1e-6

    monkeypatch.setattr(clock, "time", Ticking())
    assert overhead_ms() == pytest.approx(1e-3)
