"""Taking pictures of what the camera sees: bursts, blur, stale frames, cameras that are lost or end."""

import threading
import time

import fake_live
import numpy as np
import pytest

from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.frame import Frame
from legoclf.jetson.harvest import session as session_module
from legoclf.jetson.harvest.class_folders import DUPLICATE, ClassFolders, Rejected
from legoclf.jetson.harvest.session import (
    BLURRED,
    NO_PICTURE,
    CameraReader,
    CaptureOptions,
    CaptureSession,
    tell,
)
from legoclf.jetson.roi import parse_roi
from legoclf.jetson.source import open_source
from legoclf.split import split_of


@pytest.fixture
def folders(tmp_path):
    return ClassFolders(str(tmp_path), ["a", "b"])


@pytest.fixture(autouse=True)
def short_wait(monkeypatch):
    monkeypatch.setattr(session_module, "WAIT_SECONDS", 0.3)


def frame(picture, sequence=0, captured_at=None):
    return Frame(picture, "BGR", sequence, time.monotonic() if captured_at is None else captured_at)


class Camera(object):
    """Offers a scene after the other, every 5 ms, until the end of the test's block."""

    def __init__(self, session, pictures):
        self._session = session
        self._pictures = pictures
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        sequence = 0
        while not self._stop.wait(0.005):
            self._session.offer(frame(self._pictures(sequence), sequence))
            sequence += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()


def reasons(outcomes):
    return [each.reason if isinstance(each, Rejected) else "saved" for each in outcomes]


def test_a_burst_is_as_many_pictures_of_one_group_and_so_of_one_set(folders, scene):
    session = CaptureSession(folders, CaptureOptions(burst=4, interval_s=0.01))
    with Camera(session, lambda sequence: scene(sequence, 48, 64)):
        bursts = [session.take("a") for _ in range(3)]
    assert [reasons(burst) for burst in bursts] == [["saved"] * 4] * 3
    assert all(len({split_of(path) for path in burst}) == 1 for burst in bursts)


def test_pictures_of_a_burst_are_an_interval_apart(folders, scene):
    session = CaptureSession(folders, CaptureOptions(burst=3, interval_s=0.05))
    started_at = time.monotonic()
    with Camera(session, lambda sequence: scene(sequence, 48, 64)):
        session.take("a")
    assert time.monotonic() - started_at >= 2 * 0.05


def test_of_a_still_scene_one_picture_is_kept(folders, scene):
    session = CaptureSession(folders, CaptureOptions(burst=3, interval_s=0.01))
    with Camera(session, lambda sequence: scene(1)):
        assert reasons(session.take("a")) == ["saved", DUPLICATE, DUPLICATE]


def test_of_a_still_scene_all_are_kept_on_request(folders, scene):
    session = CaptureSession(folders, CaptureOptions(burst=3, interval_s=0.01, keep_duplicates=True))
    with Camera(session, lambda sequence: scene(1)):
        assert reasons(session.take("a")) == ["saved"] * 3


def blurred(picture):
    moved = [np.roll(np.roll(picture, step, axis=1), step, axis=0).astype(float) for step in range(24)]
    return (sum(moved) / len(moved)).astype(np.uint8)


@pytest.mark.parametrize(("share", "outcome"), [(0.5, BLURRED), (0.0, "saved")])
def test_a_frame_that_is_blurred_against_those_before_is_rejected(share, outcome, folders, scene):
    session = CaptureSession(folders, CaptureOptions(min_sharpness=share))
    now = time.monotonic()
    for index in range(10):
        session.offer(frame(scene(1), index, now - 2 + 0.2 * index))
    session.offer(frame(blurred(scene(1)), 10, now))
    assert reasons(session.take("a", burst=1)) == [outcome]


def test_a_frame_is_taken_once(folders, scene):
    session = CaptureSession(folders, CaptureOptions(keep_duplicates=True))
    session.offer(frame(scene(1)))
    assert reasons(session.take("a", 1) + session.take("a", 1)) == ["saved", NO_PICTURE]


def test_what_a_camera_saw_long_ago_is_not_taken(folders, scene):
    session = CaptureSession(folders)
    session.offer(frame(scene(1), captured_at=time.monotonic() - 2 * session_module.STALE_SECONDS))
    assert reasons(session.take("a", 1)) == [NO_PICTURE]


def test_of_the_roi_alone_is_kept(folders, scene, tmp_path):
    from legoclf.image import read_image

    session = CaptureSession(folders, CaptureOptions(roi=parse_roi("0.5,0,0.5,0.5")))
    session.offer(frame(scene(1, 100, 200)))
    (saved,) = session.take("a", 1)
    assert read_image(str(tmp_path / saved)).shape == (50, 100, 3)


def test_several_callers_take_one_after_the_other(folders, scene):
    session = CaptureSession(folders, CaptureOptions(burst=3, interval_s=0.01))
    taken = {}

    def take(label):
        taken[label] = session.take(label)

    with Camera(session, lambda sequence: scene(sequence, 48, 64)):
        threads = [threading.Thread(target=take, args=(label,)) for label in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {label: reasons(outcomes) for label, outcomes in taken.items()} == {
        "a": ["saved"] * 3,
        "b": ["saved"] * 3,
    }
    assert {label: sum(counts.values()) for label, counts in session.counts().items()} == {"a": 3, "b": 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"burst": 0}, "--burst: got 0"),
        ({"burst": 101}, "--burst: got 101"),
        ({"interval_s": -1}, "--interval_s: got -1"),
        ({"min_sharpness": 2}, "--min_sharpness: got 2"),
        ({"min_sharpness": float("nan")}, "--min_sharpness: got nan"),
    ],
)
def test_an_option_outside_its_range_is_refused(options, message, folders):
    with pytest.raises(UsageError, match=message):
        CaptureSession(folders, CaptureOptions()._replace(**options))


def test_a_label_that_is_not_there_is_refused_and_nothing_written(folders, scene, tmp_path):
    session = CaptureSession(folders)
    session.offer(frame(scene(1)))
    with pytest.raises(UsageError, match="expected one of a, b"):
        session.take("../c", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_read_no_faster_than_it_is_taken_from_and_loses_nothing(folders):
    session = CaptureSession(folders, CaptureOptions(keep_duplicates=True), frame_time_s=3600.0)
    taken = []
    with CameraReader(fake_live.FakeFile(5), session) as reader:
        while not reader.ended:
            taken += session.take("a", 1)
    assert reasons([each for each in taken if isinstance(each, str)]) == ["saved"] * 5
    assert {each.detail for each in taken if isinstance(each, Rejected)} <= {"the source has ended"}


def test_of_a_video_frames_an_interval_apart_are_taken(folders):
    # 30 frames a second: 0.1 s are 3 frames, and 10 frames are number 0, 3, 6 and 9.
    options = CaptureOptions(burst=100, interval_s=0.099, keep_duplicates=True)
    session = CaptureSession(folders, options, frame_time_s=1 / 30)
    with CameraReader(fake_live.FakeFile(10), session):
        outcomes = session.take("a")
    assert reasons(outcomes) == ["saved"] * 4 + [NO_PICTURE]


def test_a_source_that_fails_is_told_to_who_asks(folders):
    error = LegoclfError("the camera burns")
    session = CaptureSession(folders, frame_time_s=3600.0)
    with CameraReader(fake_live.FakeFile(5, fails_at=0, error=error), session) as reader:
        assert session.take("a", 1) == [Rejected(NO_PICTURE, "the camera burns")]
        with pytest.raises(LegoclfError, match="the camera burns"):
            assert reader.ended


def test_a_camera_that_is_lost_and_back_is_taken_from_again(folders):
    session = CaptureSession(folders, CaptureOptions(keep_duplicates=True))
    camera = fake_live.FakeCamera()
    with CameraReader(camera, session) as reader:
        camera.capture()
        first = session.take("a", 1)
        camera.state = "lost"
        while_lost = session.take("a", 1)
        camera.state = "running"
        camera.capture()
        after = session.take("a", 1)
        assert not reader.ended
    assert reasons(first + while_lost + after) == ["saved", NO_PICTURE, "saved"]


def test_a_camera_of_memory_can_be_taken_from(folders):
    source = open_source("synthetic://?width=160&height=120&fps=100")
    session = CaptureSession(folders, CaptureOptions(burst=3, interval_s=0.02, keep_duplicates=True))
    with source, CameraReader(source, session):
        assert reasons(session.take("b")) == ["saved"] * 3


def test_what_became_of_pictures_is_told_in_a_few_words():
    outcomes = [Rejected(DUPLICATE, ""), "a/1.jpg", Rejected(BLURRED, ""), "a/2.jpg", Rejected(DUPLICATE, "")]
    assert tell(outcomes) == "2 saved, 1 blurred, 2 near-duplicate"
