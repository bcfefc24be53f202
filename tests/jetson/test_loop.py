"""The live loop: the newest frame, in order, never twice, held up by nothing; with real threads."""

import threading
import time

import fake_live
import numpy as np
import pytest

from legoclf.errors import LegoclfError
from legoclf.jetson.locate import Box, Found
from legoclf.jetson.loop import LiveLoop, LoopOptions
from legoclf.jetson.output_worker import Outputs, OutputWorker
from legoclf.jetson.pace import Pace
from legoclf.jetson.roi import parse_roi
from legoclf.jetson.runtime import Answers
from legoclf.jetson.smoothing import SmoothingOptions
from legoclf.jetson.tally import Tally
from legoclf.jetson.tracking import Tracker, TrackerOptions
from legoclf.jetson.views import ObjectView, WholeView
from legoclf.jetson.workers import Answered, Look

#: No smoothing: an answer is that of its frame.
PLAIN = SmoothingOptions(half_life_s=0.0)
SECONDS = 20.0  # that something may take on a busy machine before a test gives up


def run(source, runtime, outputs=(), stop=None, on_status=None, view=None, **options):
    """Run the loop to its end; the report."""
    stop = stop or threading.Event()
    view = view or WholeView(fake_live.LABELS, None, PLAIN, 2)
    with Outputs(list(outputs), source.is_live, stop) as opened:
        return LiveLoop(source, runtime, view, opened, LoopOptions(**options), on_status).run(stop)


def started(function):
    """Run a function in a thread; what to join it with."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return lambda: thread.join(SECONDS)


class FastCamera(fake_live.FakeCamera):
    """Captures ten frames during each inference, spread over it; notes how old each inference's frame is."""

    def __init__(self):
        super().__init__()
        self.lags = []
        self._lock = threading.Lock()
        self.capture()

    def during_inference(self, frame):
        with self._lock:
            self.lags.append(self.captured - 1 - frame.sequence)
        for _ in range(10):
            time.sleep(0.003)
            self.capture()
        return [0.7, 0.2, 0.1]


@pytest.mark.parametrize("parallel", [1, 2])
def test_a_source_faster_than_the_model_has_its_newest_frame_answered_or_the_one_before(parallel):
    camera = FastCamera()
    run(camera, fake_live.FakeRuntime(parallel, camera.during_inference), frames=40)
    # The first inferences measure how long one takes. A frame fetched an inference early would lag by ten, a
    # queue by ever more; two at most, and seldom, is a thread that the machine woke late.
    lags = camera.lags[5:]
    assert np.percentile(lags, 80) <= 1
    assert max(lags) < 10


def test_a_frame_that_waits_gives_way_to_a_newer_one_when_the_inference_takes_longer_than_expected():
    camera = fake_live.FakeCamera()
    camera.capture()
    lags = []

    def infer(frame):
        lags.append(camera.captured - 1 - frame.sequence)
        # The eleventh takes thirty times as long.
        for _ in range(300 if len(lags) == 11 else 10):
            time.sleep(0.001)
            camera.capture()
        return [0.7, 0.2, 0.1]

    run(camera, fake_live.FakeRuntime(1, infer), frames=12)
    # Without giving way the twelfth would be some 290 frames old.
    assert lags[11] < 50


@pytest.mark.parametrize("parallel", [1, 2, 3])
def test_no_frame_is_answered_twice_and_all_come_in_order(parallel):
    camera = FastCamera()
    seen = fake_live.Collected()
    run(camera, fake_live.FakeRuntime(parallel, camera.during_inference), [seen], frames=20)
    assert seen.sequences == sorted(set(seen.sequences))
    assert len(seen.sequences) == 20


def test_answers_that_are_ready_early_wait_for_the_one_before():
    second_done = threading.Event()

    def infer(frame):
        # Every even frame is answered only after the odd one behind it.
        if frame.sequence % 2:
            second_done.set()
        else:
            second_done.wait(SECONDS)
            second_done.clear()
        return [0.7, 0.2, 0.1]

    seen = fake_live.Collected()
    run(fake_live.FakeFile(20), fake_live.FakeRuntime(2, infer), [seen])
    assert seen.sequences == list(range(20))


@pytest.mark.parametrize("parallel", [1, 2])
def test_no_more_inferences_run_at_once_than_the_runtime_can(parallel):
    runtime = fake_live.FakeRuntime(parallel, lambda frame: time.sleep(0.002) or [0.7, 0.2, 0.1])
    run(fake_live.FakeFile(30), runtime)
    assert runtime.most_at_once == parallel


def test_the_next_frame_is_prepared_before_an_inference_ends():
    prepared = [threading.Event() for _ in range(10)]
    in_time = []

    class Runtime(fake_live.FakeRuntime):
        def prepare(self, frame, rois=None):
            prepared[frame.sequence].set()
            return super().prepare(frame, rois)

    def infer(frame):
        if frame.sequence < 9:
            in_time.append(prepared[frame.sequence + 1].wait(SECONDS))
        return [0.7, 0.2, 0.1]

    run(fake_live.FakeFile(10), Runtime(1, infer))
    assert in_time == [True] * 9


def test_every_frame_of_a_file_is_answered():
    seen = fake_live.Collected()
    report = run(fake_live.FakeFile(50), fake_live.FakeRuntime(2), [seen])
    assert seen.sequences == list(range(50))
    assert (report.frames, report.ended_by, report.source.dropped) == (50, "source", 0)


def test_an_empty_source_ends_without_an_answer():
    report = run(fake_live.FakeFile(0), fake_live.FakeRuntime())
    assert (report.frames, report.fps, report.age_ms) == (0, 0.0, {})


def test_an_output_that_takes_nothing_does_not_hold_the_loop_up():
    last_is_out = threading.Event()
    # It waits until the output behind it has the last frame: held up, that one would never get it.
    slow = fake_live.Collected(lambda result: last_is_out.wait(SECONDS))
    quick = fake_live.Collected(lambda result: result.sequence == 199 and last_is_out.set())
    slow.name, quick.capacity = "slow", 1000
    report = run(fake_live.FakeFile(200), fake_live.FakeRuntime(), [slow, quick])
    assert report.outputs["collected"] == (200, 0, 0)
    # The first may have been taken from the queue before it filled.
    assert report.outputs["slow"].dropped in (200 - slow.capacity, 200 - slow.capacity - 1)
    assert report.outputs["slow"].written + report.outputs["slow"].dropped == 200
    assert slow.sequences[-1] == 199


def test_a_record_of_a_file_loses_nothing_however_slow_it_is():
    record = fake_live.Collected(lambda result: time.sleep(0.001))
    record.keeps_all, record.capacity = True, 3
    report = run(fake_live.FakeFile(100), fake_live.FakeRuntime(2), [record])
    assert record.sequences == list(range(100))
    assert report.outputs["collected"] == (100, 0, 0)


def test_a_record_of_a_camera_drops_and_counts():
    stop = threading.Event()
    released = threading.Event()
    record = fake_live.Collected(lambda result: released.wait(SECONDS))
    record.keeps_all, record.capacity = True, 3
    with OutputWorker(record, True, stop) as worker:
        for number in range(10):
            worker.offer(fake_live.result(sequence=number))
        released.set()
    # One is being written, or not yet, when the queue of three fills.
    assert worker.counts.dropped in (6, 7)
    assert record.sequences[-3:] == [7, 8, 9]


def test_an_output_that_fails_is_named_once_and_may_recover(caplog):
    def fail_at_first(result):
        if result.sequence < 5:
            raise OSError(28, "No space left on device")

    output = fake_live.Collected(fail_at_first)
    with caplog.at_level("INFO"):
        report = run(fake_live.FakeFile(9), fake_live.FakeRuntime(), [output])
    assert report.outputs["collected"] == (4, 0, 5)
    assert caplog.messages == ["output collected: No space left on device; going on without it"]


def test_each_output_has_one_thread_of_its_own_and_is_closed_in_the_end():
    outputs = [fake_live.Collected(), fake_live.Collected()]
    run(fake_live.FakeFile(20), fake_live.FakeRuntime(), outputs)
    assert [len(set(output.threads)) for output in outputs] == [1, 1]
    assert threading.current_thread().name not in outputs[0].threads + outputs[1].threads
    assert [output.closed for output in outputs] == [True, True]


def test_an_output_gets_the_frame_only_if_it_looks_at_it():
    outputs = [fake_live.Collected(), fake_live.Collected()]
    outputs[1].needs_frame = False
    run(fake_live.FakeFile(1), fake_live.FakeRuntime(), outputs)
    assert [output.results[0].frame is None for output in outputs] == [False, True]


def test_when_one_output_does_not_open_those_before_it_are_closed():
    class Refused(fake_live.Collected):
        def __enter__(self):
            raise LegoclfError("refused")

    first = fake_live.Collected()
    with pytest.raises(LegoclfError, match="refused"):
        Outputs([first, Refused()], True, threading.Event()).__enter__()
    assert first.closed


def test_an_idle_output_is_called_again_and_again():
    idled = threading.Semaphore(0)

    class Idle(fake_live.Collected):
        idle_s = 0.001

        def idle(self):
            idled.release()

    with OutputWorker(Idle(), True, threading.Event()):
        assert [idled.acquire(timeout=SECONDS) for _ in range(3)] == [True] * 3


def test_what_the_source_raises_ends_the_loop_after_the_answers_before_it():
    seen = fake_live.Collected()
    source = fake_live.FakeFile(9, 5, LegoclfError("clip.mp4: damaged"))
    with pytest.raises(LegoclfError, match="clip.mp4: damaged"):
        run(source, fake_live.FakeRuntime(2), [seen])
    assert seen.sequences == list(range(5))


def test_what_the_runtime_raises_ends_the_loop():
    def fail(frame):
        raise LegoclfError("CUDA: out of memory")

    with pytest.raises(LegoclfError, match="CUDA: out of memory"):
        run(fake_live.FakeFile(9), fake_live.FakeRuntime(2, fail))


def test_answers_before_a_failure_are_given_and_none_after_it():
    later_began = threading.Event()

    def infer(frame):
        if frame.sequence == 4:
            later_began.wait(SECONDS)
            raise LegoclfError("frame 4 is damaged")
        if frame.sequence == 5:
            later_began.set()
        return [0.7, 0.2, 0.1]

    seen = fake_live.Collected()
    with pytest.raises(LegoclfError, match="frame 4 is damaged"):
        run(fake_live.FakeFile(50), fake_live.FakeRuntime(3, infer), [seen])
    assert seen.sequences == [0, 1, 2, 3]


def test_a_frame_that_cannot_be_prepared_ends_the_loop():
    class Runtime(fake_live.FakeRuntime):
        def prepare(self, frame, rois=None):
            if frame.sequence == 4:
                raise LegoclfError("frame 4 is damaged")
            return super().prepare(frame, rois)

    seen = fake_live.Collected()
    with pytest.raises(LegoclfError, match="frame 4 is damaged"):
        run(fake_live.FakeFile(50), Runtime(2), [seen])
    assert seen.sequences == [0, 1, 2, 3]


@pytest.mark.parametrize("parallel", [1, 2])
def test_a_failure_lets_go_of_the_frame_that_waits_behind_it(parallel):
    next_is_prepared = threading.Event()

    class Runtime(fake_live.FakeRuntime):
        def prepare(self, frame, rois=None):
            if frame.sequence == 4:
                next_is_prepared.set()
            return super().prepare(frame, rois)

    def infer(frame):
        if frame.sequence == 3:
            next_is_prepared.wait(SECONDS)
            raise LegoclfError("frame 3 is damaged")
        return [0.7, 0.2, 0.1]

    with pytest.raises(LegoclfError, match="frame 3 is damaged"):
        run(fake_live.FakeFile(50), Runtime(parallel, infer))


def test_a_record_that_is_slow_holds_up_the_reading_of_a_file_too():
    begun_meanwhile = []
    runtime = fake_live.FakeRuntime(2)

    def before_write(result):
        if result.sequence == 0:
            time.sleep(0.2)
            begun_meanwhile.append(len(runtime.begun))

    record = fake_live.Collected(before_write)
    record.keeps_all, record.capacity = True, 1
    run(fake_live.FakeFile(1000), runtime, [record])
    # Some are in the queue, being classified, or wait to be put in order; without a bound it would be all.
    assert begun_meanwhile[0] < 20


def test_what_the_view_raises_ends_the_loop():
    view = WholeView(fake_live.LABELS, parse_roi("0,0,100,100"), PLAIN, 2)
    with pytest.raises(LegoclfError, match="--roi: got 0,0,100,100, expected a part of .* 6 x 4"):
        run(fake_live.FakeFile(9), fake_live.FakeRuntime(), view=view)


def test_a_camera_that_gives_nothing_can_be_stopped():
    stop = threading.Event()
    join = started(lambda: time.sleep(0.05) or stop.set())
    report = run(fake_live.FakeCamera(), fake_live.FakeRuntime(), stop=stop)
    join()
    assert (report.ended_by, report.frames) == ("stop", 0)


def test_the_loop_ends_after_the_seconds():
    assert run(fake_live.FakeCamera(), fake_live.FakeRuntime(), seconds=0.05).ended_by == "seconds"


def test_the_loop_ends_after_the_frames():
    seen = fake_live.Collected()
    report = run(fake_live.FakeFile(100), fake_live.FakeRuntime(2), [seen], frames=7)
    assert (report.ended_by, report.frames, seen.sequences) == ("frames", 7, list(range(7)))


def test_no_thread_is_left_behind():
    before = set(threading.enumerate())
    run(fake_live.FakeFile(20), fake_live.FakeRuntime(2), [fake_live.Collected()])
    assert set(threading.enumerate()) - before == set()


def test_the_report_counts_answers_and_times():
    def infer(frame):
        return [0.7, 0.2, 0.1] if frame.sequence < 6 else [0.1, 0.7, 0.2]

    report = run(fake_live.FakeFile(10), fake_live.FakeRuntime(1, infer), timed=True)
    assert report.labels == {"a": 6, "b": 4}
    assert report.steps_ms == {"compute": 1.0}
    assert 0 < report.age_ms["median"] <= report.age_ms["p95"] <= report.age_ms["max"]


def test_the_status_tells_what_the_source_is_doing():
    camera = fake_live.FakeCamera()
    camera.state, camera.reopened, camera.last_error = "lost", 2, "no frame for 3 s"
    told = []
    stop = threading.Event()

    def see(status):
        told.append(status)
        stop.set()

    run(camera, fake_live.FakeRuntime(), stop=stop, on_status=see)
    assert (told[0].state, told[0].reopened, told[0].last_error) == ("lost", 2, "no frame for 3 s")


def test_the_result_has_the_answer_its_top_and_when():
    seen = fake_live.Collected()
    run(fake_live.FakeFile(1), fake_live.FakeRuntime(1, lambda frame: [0.1, 0.25, 0.65]), [seen])
    result = seen.results[0]
    assert (result.label, result.is_unknown, [label for label, _ in result.top]) == ("c", False, ["c", "b"])
    assert result.probability == pytest.approx(0.65)
    assert result.captured_at <= result.answered_at <= time.monotonic()


def test_an_answer_that_is_not_likely_enough_is_unknown():
    seen = fake_live.Collected()
    run(fake_live.FakeFile(1), fake_live.FakeRuntime(1, lambda frame: [0.4, 0.3, 0.3]), [seen])
    assert (seen.results[0].label, seen.results[0].is_unknown) == ("unknown", True)


def test_a_video_that_is_read_fast_is_smoothed_as_it_was_filmed():
    seen = fake_live.Collected()
    view = WholeView(fake_live.LABELS, None, SmoothingOptions(half_life_s=0.1), 2, frame_time_s=0.1)
    seen.keeps_all = True

    def infer(frame):
        return [1, 0, 0] if frame.sequence == 0 else [0, 1, 0]

    run(fake_live.FakeFile(3), fake_live.FakeRuntime(1, infer), [seen], view=view)
    assert [result.smoothed[1] for result in seen.results] == pytest.approx([0, 0.5, 0.75])


def test_the_roi_is_what_the_runtime_looks_at():
    asked = []

    class Runtime(fake_live.FakeRuntime):
        def prepare(self, frame, rois=None):
            asked.append(rois)
            return super().prepare(frame, rois)

    view = WholeView(fake_live.LABELS, parse_roi("0.5,0,0.5,1"), PLAIN, 2)
    run(fake_live.FakeFile(1), Runtime(), view=view)
    assert asked == [[(3, 0, 3, 4)]]


class OneObject(object):
    """A locator that finds one object, always at the same place of the picture it is given."""

    def find(self, picture):
        self.picture = picture
        return Found([Box(1, 1, 1, 2)], [Box(0, 1, 2, 2)], [Box(2, 0, 1, 1)])


def test_objects_in_the_roi_have_their_places_in_the_frame():
    locator = OneObject()
    look = ObjectView(parse_roi("3,1,3,3"), locator, None, None).look(fake_live.frame())
    assert locator.picture.shape == (3, 3, 3)
    assert look.regions == [(3, 2, 2, 2)]
    assert look.found == ([(4, 2, 1, 2)], [(3, 2, 2, 2)], [(5, 1, 1, 1)])


def seen(novel=None, novelty=None):
    """What :class:`WholeView` says of a frame of which the network is sure."""
    answers = Answers(np.array([[0.9, 0.06, 0.04]], np.float32), None, novelty, novel)
    return WholeView(fake_live.LABELS, None, PLAIN, 2).conclude(Answered(fake_live.frame(), Look(), answers))


def test_a_novel_frame_is_unknown_with_what_it_is_most_like():
    result = seen(np.array([True]), np.array([3.5], np.float32))
    assert (result.label, result.is_unknown, result.is_novel, result.novelty) == ("unknown", True, True, 3.5)
    assert result.top[0] == ("a", pytest.approx(0.9))


def test_without_novelty_a_frame_gets_its_label():
    result = seen()
    assert (result.label, result.is_unknown, result.is_novel, result.novelty) == ("a", False, False, None)


def test_objects_that_are_novel_are_counted_as_unknown():
    tally = Tally(fake_live.LABELS)
    view = ObjectView(None, None, Tracker(fake_live.LABELS, TrackerOptions(min_frames=2)), tally)
    boxes = [Box(0, 0, 20, 20), Box(100, 0, 30, 30)]
    rows = np.array([[0.9, 0.06, 0.04]] * 2, np.float32)
    answers = Answers(rows, None, np.array([0, 9], np.float32), np.array([False, True]))
    for number in range(3):
        look = Look(boxes, None, Found(boxes, boxes, []))
        result = view.conclude(Answered(fake_live.frame(number), look, answers))
    assert [(track.label, track.is_novel) for track in result.tracks] == [("a", False), ("unknown", True)]
    assert [track.novelty for track in result.tracks] == [0.0, 9.0]
    assert {label: count for label, count in tally.counts.items() if count} == {"a": 1, "unknown": 1}
    assert (result.label, result.is_novel) == ("unknown", True)  # the larger one


def paced(*durations, slots=1, frame_time_s=1.0, preparation_s=0.002):
    """A pace that has seen inferences and preparations, the last inference of it begun at 100 s."""
    pace = Pace(slots)
    for number, seconds in enumerate(durations):
        pace.claimed()
        pace.fetched(number, number * frame_time_s)
        pace.prepared(preparation_s)
        pace.began(number, 10.0 * number)
        pace.ended(number, 10.0 * number + seconds)
    pace.claimed()
    pace.began(len(durations), 100.0)
    return pace


def test_the_next_frame_is_fetched_so_that_it_is_ready_as_the_inference_ends():
    # 20 ms of inference less 2 ms of preparation less 0.2 ms to wake a thread; 0.1 ms for the averages' tail.
    assert paced(*[0.020] * 40).fetch_at() == pytest.approx(100.0178, abs=1e-4)


def test_it_is_fetched_earlier_where_inferences_vary():
    assert paced(*[0.015, 0.025] * 20).fetch_at() < 100.0178 - 0.005


def test_but_by_half_a_frame_time_at_most():
    pace = paced(*[0.015, 0.025] * 20, frame_time_s=0.002)
    assert pace.fetch_at() == pytest.approx(100.02 - 0.002 - 0.001, abs=0.002)


def test_while_no_inference_has_ended_the_next_frame_waits_for_it():
    assert paced().fetch_at() is None


def test_nothing_waits_while_an_inference_can_begin():
    assert paced(0.02, slots=2).fetch_at() == 0.0


def test_a_frame_that_was_fetched_and_waits_is_enough():
    pace = paced(0.02)
    pace.claimed()
    assert pace.fetch_at() is None


@pytest.mark.parametrize(
    ("text", "pixels"),
    [
        ("10,20,30,40", (10, 20, 30, 40)),
        ("0.25,0.5,0.5,0.25", (160, 240, 320, 120)),
        ("0,0,1,1", (0, 0, 640, 480)),
        ("0,0,640,480", (0, 0, 640, 480)),
    ],
)
def test_a_roi_is_in_pixels_or_in_shares_of_the_picture(text, pixels):
    assert parse_roi(text).pixels(480, 640) == pixels


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "-1,0,5,5", "0,0,0,5", "1.5,0,20,20", "nan,0,1,1"]
)
def test_a_roi_that_is_none_is_refused(text):
    with pytest.raises(LegoclfError, match="--roi: got "):
        parse_roi(text)


@pytest.mark.parametrize("text", ["600,0,41,10", "0,470,10,11", "0.5,0,0.6,1"])
def test_a_roi_outside_the_picture_is_refused(text):
    with pytest.raises(LegoclfError, match="expected a part of the picture, which is 640 x 480"):
        parse_roi(text).pixels(480, 640)
