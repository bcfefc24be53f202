"""The load of the machine in TensorBoard, written by a thread that training does not notice."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from legoclf.retrain.seen.machine import MachineSampler

Events = Callable[[Path], list[Any]]


def samplers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "machine sampler"]


def samples(events: list[Any]) -> list[Any]:
    return [event for event in events if event.summary.value]


def test_samples_are_taken_while_the_context_lasts(tmp_path: Path, read_events: Events) -> None:
    begun = time.time()
    with MachineSampler(tmp_path, every_s=0.15):
        time.sleep(1.25)
    taken = samples(read_events(tmp_path / "machine"))
    assert len(taken) >= 3
    times = [event.wall_time for event in taken]
    assert times == sorted(times)
    assert begun < times[0] < times[-1] < time.time()


def test_steps_are_seconds_since_the_start(tmp_path: Path, read_events: Events) -> None:
    with MachineSampler(tmp_path, every_s=0.5):
        time.sleep(1.2)
    assert {event.step for event in samples(read_events(tmp_path / "machine"))} == {0, 1}


def test_each_sample_tells_of_processor_and_memory(tmp_path: Path, read_events: Events) -> None:
    with MachineSampler(tmp_path, every_s=0.15):
        time.sleep(0.4)
    tags = {value.tag for event in read_events(tmp_path / "machine") for value in event.summary.value}
    assert tags >= {"cpu/use_percent", "memory/resident_mb", "memory/system_percent"}


def test_a_training_shorter_than_the_interval_has_a_sample(tmp_path: Path, read_events: Events) -> None:
    with MachineSampler(tmp_path, every_s=60):
        time.sleep(0.5)
    assert len(samples(read_events(tmp_path / "machine"))) == 1


def test_the_thread_ends_with_the_context_at_once(tmp_path: Path) -> None:
    with MachineSampler(tmp_path, every_s=60):
        assert len(samplers()) == 1
        begun = time.monotonic()
    assert samplers() == []
    assert time.monotonic() - begun < 2


def test_the_thread_ends_with_a_training_that_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), MachineSampler(tmp_path, every_s=60):
        raise ZeroDivisionError
    assert samplers() == []


def test_a_folder_that_cannot_be_written_is_a_warning_and_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with MachineSampler(tmp_path / "file", every_s=0.15):
        time.sleep(0.3)
    (line,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "the machine's load is not written any more" in line


def test_without_anything_to_ask_no_folder_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("psutil", "pynvml"):
        monkeypatch.setitem(sys.modules, name, None)
    with MachineSampler(tmp_path, every_s=0.15):
        time.sleep(0.2)
    assert list(tmp_path.iterdir()) == []
