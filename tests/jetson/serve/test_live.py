"""What the page is told of the loop, and that its threshold takes effect at once."""

import json

import fake_live
import numpy as np
import pytest

from legoclf.jetson.loop import LoopStatus
from legoclf.jetson.serve.live import MOST_CHANGES, MOST_SAMPLES, LiveView
from legoclf.jetson.serve.live_metrics import Kept, Machine, live_readings
from legoclf.jetson.serve.mjpeg import Pictures
from legoclf.jetson.smoothing import Smoother, SmoothingOptions


class Clock(object):
    """A clock that goes when the test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def live(clock):
    return LiveView(Pictures(), clock=clock)


def status(state="running", **fields):
    return LoopStatus(30.0, 0, None, state, 0, "", 0, 0)._replace(**fields)


def labels(record):
    return [change["label"] for change in record["changes"]["items"]]


def test_before_the_first_frame_it_says_that_the_source_is_opening(live, clock):
    clock.now += 4.0
    record = live.record(0, 0)
    assert record["source"]["state"] == "opening"
    assert record["source"]["seconds"] == 4.0
    assert record["answer"] is None


def test_the_newest_answer_is_told_with_its_age(live, clock):
    live.write(fake_live.result("a", 0.91, sequence=12, captured_at=clock.now - 0.5))
    answer = live.record(0, 0)["answer"]
    assert (answer["label"], answer["probability"], answer["sequence"]) == ("a", 0.91, 12)
    assert (answer["seconds_ago"], answer["age_ms"]) == (0.5, 20.0)
    assert answer["size"] == [6, 4]


def test_what_is_unknown_for_its_novelty_says_so(live):
    live.write(fake_live.result("unknown", 0.97, novelty=float("inf"), is_novel=True))
    answer = live.record(0, 0)["answer"]
    assert (answer["unknown"], answer["novel"], answer["novelty"]) == (True, True, None)
    live.write(fake_live.result("a", 0.97))
    assert not {"novel", "novelty"} & set(live.record(0, 0)["answer"])


def test_only_a_change_of_the_answer_is_history(live):
    for label in ("a", "a", "b", "b", "unknown", "a"):
        live.write(fake_live.result(label))
    assert labels(live.record(0, 0)) == ["a", "b", "unknown", "a"]


def test_whoever_knows_the_history_gets_only_what_is_new(live):
    live.write(fake_live.result("a"))
    known = live.record(0, 0)["changes"]["next"]
    assert labels(live.record(known, 0)) == []
    live.write(fake_live.result("b"))
    assert labels(live.record(known, 0)) == ["b"]


def test_whoever_knew_another_run_gets_all(live):
    live.write(fake_live.result("a"))
    assert labels(live.record(500, 0)) == ["a"]


def test_history_and_chart_are_bounded(live, clock):
    for second in range(2 * MOST_SAMPLES):
        live.write(fake_live.result("ab"[second % 2]))
        live.on_status(status())
        clock.now += 1.0
    record = live.record(0, 0)
    assert len(record["changes"]["items"]) == MOST_CHANGES
    assert len(record["chart"]["items"]) == MOST_SAMPLES


def test_the_chart_has_each_second_its_rate_age_and_drops(live, clock):
    live.on_status(status(frames=100, dropped=5))
    for frames in (30, 0, 15):
        for _ in range(frames):
            live.write(fake_live.result("a"))
        clock.now += 1.0
        live.on_status(status(frames=live.status.frames + frames, dropped=live.status.dropped + 2))
    assert live.record(0, 0)["chart"]["items"] == [[30.0, 20.0, 2], [0.0, None, 2], [15.0, 20.0, 2]]


def test_a_lost_camera_is_told_with_the_time_and_the_reason_and_is_over_when_it_is_back(live, clock):
    live.on_status(status())
    live.on_status(status("lost", last_error="no frame for 3.0 s\nat all"))
    clock.now += 12.0
    live.on_status(status("lost", last_error="no frame for 3.0 s\nat all"))
    source = live.record(0, 0)["source"]
    assert (source["state"], source["seconds"]) == ("lost", 12.0)
    assert source["error"] == "no frame for 3.0 s\\nat all"
    live.on_status(status(reopened=1))
    source = live.record(0, 0)["source"]
    assert (source["state"], source["seconds"], source["reopened"]) == ("running", 0.0, 1)


def test_the_loops_end_ends_the_streams_and_is_told(live):
    live.write(fake_live.result("a"))
    live.__exit__(None, None, None)
    assert live.record(0, 0)["source"]["state"] == "ended"
    assert live.pictures.open_stream(1) is None


def test_objects_are_told_with_their_counts_and_boxes_need_not_be(live):
    from legoclf.jetson.locate import Box
    from legoclf.jetson.tracking import Track

    tracks = [Track(1, Box(1, 1, 2, 2), "a", np.float64(0.75), 5, True, False)]
    live.write(fake_live.result("a", tracks=tracks))
    answer = live.record(0, 0)["answer"]
    assert answer["objects"] == [{"label": "a", "probability": 0.75}]
    assert answer["counted"] == {"a": 1}


def test_objects_are_told_with_their_novelty_where_there_is_one(live):
    from legoclf.jetson.locate import Box
    from legoclf.jetson.tracking import Track

    known = Track(1, Box(1, 1, 2, 2), "a", 0.75, 5, True, False, False, 0.5)
    strange = Track(2, Box(9, 9, 2, 2), "unknown", 0.75, 5, False, False, True, 3.0)
    live.write(fake_live.result("a", tracks=[known, strange]))
    told = live.record(0, 0)["answer"]["objects"]
    assert [each["novelty"] for each in told] == [0.5, 3.0]
    assert [each.get("novel", False) for each in told] == [False, True]


def test_all_of_it_is_json(live):
    live.write(fake_live.result("a", 0.5)._replace(roi=tuple(np.array([1, 2, 3, 4]))))
    live.on_status(status())
    assert json.loads(json.dumps(live.record(0, 0), allow_nan=False))["answer"]["roi"] == [1, 2, 3, 4]


def test_prometheus_reads_the_loop(live, clock):
    live.on_status(status(frames=100))
    live.write(fake_live.result("a"))
    clock.now += 2.0
    live.on_status(status(frames=160, dropped=4, reopened=2))
    values = {reading.name: reading.value for reading in live_readings(live)}
    assert values["legoclf_source_up"] == 1.0
    assert values["legoclf_fps"] == 30.0
    assert values["legoclf_frames"] == 160.0
    assert values["legoclf_dropped_frames"] == 4.0
    assert values["legoclf_source_reopened"] == 2.0
    assert values["legoclf_age_seconds"] == pytest.approx(0.02)
    live.on_status(status("lost"))
    assert {each.name: each.value for each in live_readings(live)}["legoclf_source_up"] == 0.0


def test_prometheus_takes_the_readings_as_they_are(live):
    pytest.importorskip("prometheus_client", reason="it writes what Prometheus reads")
    from legoclf.jetson.serve.metrics import Metrics

    live.on_status(status(frames=3))
    text = Metrics([lambda: live_readings(live), Machine().readings]).text()[0].decode("utf-8")
    assert "\nlegoclf_frames_total 3.0\n" in text
    assert "\nlegoclf_throttled " in text


def test_a_machine_tells_what_it_has(tmp_path):
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("CPU-therm\n")
    (zone / "temp").write_text("41500\n")
    machine = Machine(str(tmp_path))
    assert machine.record() == {"temperature_c": 41.5, "throttled_by": []}
    named = {(reading.name, reading.labels): reading.value for reading in machine.readings()}
    assert named[("legoclf_temperature_celsius", (("sensor", "CPU-therm"),))] == 41.5


def test_what_is_kept_is_read_once_however_many_ask():
    reads = []
    kept = Kept(lambda: reads.append(1) or len(reads), seconds=3600.0)
    assert [kept(), kept(), kept()] == [1, 1, 1]


SURE = np.array([0.7, 0.2, 0.1], np.float32)


def test_a_threshold_takes_effect_with_the_next_frame_in_spite_of_the_hysteresis():
    smoother = Smoother(SmoothingOptions(unknown_below=0.5))
    assert smoother.update(SURE, 0.0).label_index == 0
    # Only 0.05 above the label: less than the margin that another label would have to lead by.
    smoother.unknown_below = 0.75
    assert smoother.update(SURE, 0.03).label_index is None
    smoother.unknown_below = 0.65
    assert smoother.update(SURE, 0.06).label_index == 0


def test_the_view_of_objects_takes_a_threshold_too():
    from legoclf.jetson.tracking import Tracker
    from legoclf.jetson.views import ObjectView

    tracker = Tracker(["a", "b"])
    view = ObjectView(None, None, tracker, None)
    view.unknown_below = 0.8
    assert view.unknown_below == tracker.options.min_probability == 0.8
