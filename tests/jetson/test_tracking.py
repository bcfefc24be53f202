"""Following boxes from frame to frame: ids, labels, and when an object counts."""

import numpy as np
import pytest

from legoclf.errors import UsageError
from legoclf.jetson.count_line import CountLine
from legoclf.jetson.locate import Box
from legoclf.jetson.result import UNKNOWN
from legoclf.jetson.tracking import Tracker, TrackerOptions

LABELS = ["red", "blue", "green"]
RED, BLUE, GREEN = np.float32([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])


def box_at(x, y=100, width=60, height=40):
    return Box(round(x - width / 2.0), round(y - height / 2.0), width, height)


def show(tracker, *seen, **more):
    """One frame of (box, probabilities) pairs."""
    probabilities = np.float32([each[1] for each in seen]).reshape(-1, len(LABELS))
    return tracker.update([each[0] for each in seen], probabilities, **more)


def ids(tracks):
    return [track.id for track in tracks]


def rest(tracker, frames, *seen, **more):
    """The same frame many times; all tracks of all frames."""
    return [track for _ in range(frames) for track in show(tracker, *seen, **more)]


def test_an_object_keeps_its_id_while_it_moves():
    tracker = Tracker(LABELS)
    seen = [show(tracker, (box_at(100 + 25 * step), RED))[0] for step in range(20)]
    assert {track.id for track in seen} == {1}
    assert [track.age for track in seen] == list(range(1, 21))
    assert seen[-1].box == box_at(575)


def test_tracks_belong_to_the_boxes_in_whatever_order_these_come():
    tracker = Tracker(LABELS)
    show(tracker, (box_at(100), RED), (box_at(400), BLUE))
    tracks = show(tracker, (box_at(402), BLUE), (box_at(102), RED))
    assert [(track.id, track.box, track.label) for track in tracks] == [
        (1, box_at(102), "red"),
        (2, box_at(402), "blue"),
    ]


def test_an_object_is_counted_by_exactly_one_frame_and_stays_counted():
    tracks = rest(Tracker(LABELS, TrackerOptions(min_frames=4)), 10, (box_at(100), RED))
    assert [track.newly_counted for track in tracks] == [False] * 3 + [True] + [False] * 6
    assert [track.counted for track in tracks] == [False] * 3 + [True] * 7


def test_the_label_is_that_of_the_mean_of_all_looks():
    tracker = Tracker(LABELS, TrackerOptions(min_frames=100))
    rest(tracker, 3, (box_at(100), RED))
    (track,) = show(tracker, (box_at(100), BLUE))
    assert track.label == "red"
    assert track.probability == pytest.approx((3 * 0.8 + 0.1) / 4)


def test_a_label_that_changes_starts_the_wait_anew():
    tracker = Tracker(LABELS, TrackerOptions(min_frames=4))
    looks = [RED] + 8 * [[0.3, 0.6, 0.1]]
    tracks = [show(tracker, (box_at(100), look))[0] for look in looks]
    assert [track.label for track in tracks] == 3 * ["red"] + 6 * ["blue"]
    assert [track.newly_counted for track in tracks].index(True) == 6


def test_the_label_an_object_was_counted_by_is_its_last():
    tracker = Tracker(LABELS, TrackerOptions(min_frames=2))
    rest(tracker, 2, (box_at(100), RED))
    assert rest(tracker, 20, (box_at(100), BLUE))[-1].label == "red"


def test_a_best_label_too_unlikely_is_unknown_and_counts_as_that():
    tracker = Tracker(LABELS, TrackerOptions(min_frames=3, min_probability=0.5))
    track = rest(tracker, 3, (box_at(100), [0.4, 0.3, 0.3]))[-1]
    assert (track.label, track.newly_counted) == (UNKNOWN, True)
    assert track.probability == pytest.approx(0.4)


@pytest.mark.parametrize(("novel", "label"), [(2, UNKNOWN), (1, "red")])
def test_an_object_novel_in_most_of_its_looks_is_unknown(novel, label):
    tracker = Tracker(LABELS)
    for look in range(3):
        (track,) = show(tracker, (box_at(100), RED), novel=[look < novel])
    assert track.label == label


def test_an_objects_novelty_is_the_mean_of_its_looks_until_it_is_counted():
    tracker = Tracker(LABELS, TrackerOptions(min_frames=3))
    looks = [show(tracker, (box_at(100), RED), novelty=[novelty])[0] for novelty in (1.0, 2.0, 6.0, 99.0)]
    assert [track.novelty for track in looks] == [1.0, 1.5, 3.0, 3.0]
    assert [track.counted for track in looks] == [False, False, True, True]


def test_each_object_has_the_novelty_of_its_own_box():
    tracker = Tracker(LABELS)
    show(tracker, (box_at(100), RED), (box_at(400), BLUE), novelty=np.float32([1, 5]))
    tracks = show(tracker, (box_at(402), BLUE), (box_at(102), RED), novelty=np.float32([7, 3]))
    assert [(track.id, track.novelty) for track in tracks] == [(1, 2.0), (2, 6.0)]


def test_an_object_has_no_novelty_where_the_network_gives_none():
    assert show(Tracker(LABELS), (box_at(100), RED))[0].novelty is None


@pytest.mark.parametrize(("missed", "same"), [(6, True), (7, False)])
def test_an_object_not_seen_for_a_few_frames_is_the_same_and_for_more_a_new_one(missed, same):
    tracker = Tracker(LABELS, TrackerOptions(max_missed_frames=6))
    rest(tracker, 5, (box_at(100), RED))
    assert rest(tracker, missed) == []
    assert ids(show(tracker, (box_at(100), RED))) == [1 if same else 2]


def test_an_object_missed_on_its_way_is_found_where_it_was_heading():
    tracker = Tracker(LABELS)
    for step in range(5):
        show(tracker, (box_at(100 + 30 * step), RED))
    rest(tracker, 6)
    assert ids(show(tracker, (box_at(100 + 30 * 11), RED))) == [1]


def test_the_way_an_object_heads_is_that_of_its_last_steps():
    tracker = Tracker(LABELS)
    for x in (100, 105, 110, 115, 155, 195, 235, 275):
        show(tracker, (box_at(x), RED))
    rest(tracker, 5)
    assert ids(show(tracker, (box_at(275 + 40 * 6), RED))) == [1]


@pytest.mark.parametrize("covers", [[], [Box(80, 90, 200, 390)]], ids=["missed", "hidden"])
def test_each_time_an_object_is_seen_the_wait_for_it_starts_anew(covers):
    tracker = Tracker(LABELS, TrackerOptions(max_missed_frames=6, max_hidden_frames=6))
    for _ in range(3):
        (track,) = show(tracker, (box_at(100), RED))
        rest(tracker, 5, covers=covers)
    assert track.id == 1


def test_of_two_boxes_as_near_the_one_of_its_size_is_the_object():
    tracker = Tracker(LABELS)
    show(tracker, (box_at(100), RED))
    tracks = show(tracker, (box_at(90, width=90, height=60), RED), (box_at(110), RED))
    assert [track.box for track in tracks if track.id == 1] == [box_at(110)]


def test_of_two_boxes_beyond_its_own_the_nearer_one_is_the_object():
    tracker = Tracker(LABELS, TrackerOptions(max_step_share=3))
    show(tracker, (box_at(200), RED))
    tracks = show(tracker, (box_at(320), RED), (box_at(130), RED))
    assert [track.box for track in tracks if track.id == 1] == [box_at(130)]


def test_an_object_at_rest_does_not_drift_away_while_it_is_missed():
    """Its box trembles by a pixel; the last step goes on for ever if it is taken for a movement."""
    tracker = Tracker(LABELS, TrackerOptions(max_missed_frames=200))
    for x in (100, 100, 100, 101):
        show(tracker, (box_at(x), RED))
    rest(tracker, 200)
    assert ids(show(tracker, (box_at(100), RED))) == [1]


def test_an_object_lifted_and_put_elsewhere_is_a_new_one():
    tracker = Tracker(LABELS, TrackerOptions(min_frames=3))
    rest(tracker, 5, (box_at(100), RED))
    tracks = rest(tracker, 5, (box_at(400), RED))
    assert ids(tracks) == [2] * 5
    assert sum(track.newly_counted for track in tracks) == 1


@pytest.mark.parametrize(("hidden", "same"), [(40, True), (41, False)])
def test_an_object_under_a_cover_is_waited_for_longer(hidden, same):
    tracker = Tracker(LABELS, TrackerOptions(max_missed_frames=2, max_hidden_frames=40))
    rest(tracker, 5, (box_at(100), RED))
    rest(tracker, hidden, covers=[Box(80, 90, 200, 390)])
    assert ids(show(tracker, (box_at(100), RED))) == [1 if same else 2]


def test_a_cover_elsewhere_hides_nothing():
    tracker = Tracker(LABELS, TrackerOptions(max_missed_frames=2))
    rest(tracker, 5, (box_at(100), RED))
    rest(tracker, 5, covers=[Box(200, 90, 200, 390)])
    assert ids(show(tracker, (box_at(100), RED))) == [2]


def cross(tracker, path, frames):
    """Two objects on their paths; where they overlap they are one box. Tracks of the last frame."""
    for step in range(frames):
        one, other = path(step)
        if abs(one.x - other.x) < one.width and abs(one.y - other.y) < one.height:
            left, top = min(one.x, other.x), min(one.y, other.y)
            right = max(one.x, other.x) + one.width
            bottom = max(one.y, other.y) + one.height
            tracks = show(tracker, (Box(left, top, right - left, bottom - top), GREEN))
        else:
            tracks = show(tracker, (one, RED), (other, BLUE))
    return tracks


PATHS = {
    "head on": lambda step: (box_at(60 + 10 * step), box_at(460 - 10 * step)),
    "one overtakes": lambda step: (box_at(60 + 20 * step), box_at(200 + 10 * step)),
    "across": lambda step: (box_at(60 + 10 * step, 200), box_at(260, 20 + 9 * step)),
    "past one at rest": lambda step: (box_at(60 + 10 * step), box_at(260, 110)),
}


@pytest.mark.parametrize("name", sorted(PATHS))
def test_two_whose_paths_cross_keep_their_ids_and_labels(name):
    tracker = Tracker(LABELS, TrackerOptions(min_frames=3))
    tracks = cross(tracker, PATHS[name], 40)
    one, other = PATHS[name](39)
    assert [(track.id, track.label, track.box) for track in tracks] == [(1, "red", one), (2, "blue", other)]


def test_a_box_of_two_is_no_look_at_either():
    """The looks of a box of two, here green, would make both green by their number."""
    tracker = Tracker(LABELS, TrackerOptions(min_frames=100))
    tracks = cross(tracker, lambda step: (box_at(100 + step), box_at(210 - step)), 50)
    assert [track.label for track in tracks] == ["red", "blue"]


def test_two_in_one_box_are_both_shown_within_it():
    tracker = Tracker(LABELS)
    for step in range(3):
        show(tracker, (box_at(60 + 20 * step), RED), (box_at(220 - 20 * step), BLUE))
    both = Box(85, 80, 110, 40)
    for tracks in [show(tracker, (both, GREEN)) for _ in range(6)]:
        assert ids(tracks) == [1, 2]
        for track in tracks:
            assert both.x <= track.box.x
            assert track.box.x + track.box.width <= both.x + both.width


def test_an_object_within_a_box_many_times_its_size_is_not_that_box():
    """Others were put against it: what that box shows is no look at it."""
    tracker = Tracker(LABELS, TrackerOptions(min_frames=100))
    rest(tracker, 3, (box_at(100), RED))
    rest(tracker, 10, (Box(65, 75, 130, 90), GREEN))
    assert [(track.id, track.label) for track in show(tracker, (box_at(100), RED))] == [(1, "red")]


def test_two_counted_and_then_pushed_together_for_good_are_not_counted_again():
    tracker = Tracker(LABELS, TrackerOptions(min_frames=3, max_hidden_frames=20))
    for step in range(9):
        before = show(tracker, (box_at(100), RED), (box_at(200 - 4 * step, 130), BLUE))
    assert [track.counted for track in before] == [True, True]
    together = rest(tracker, 100, (Box(70, 80, 130, 70), GREEN))
    assert not any(track.newly_counted for track in together)
    assert len({track.id for track in together[-10:]}) == 1


def test_an_object_that_has_left_is_let_go_of():
    tracker = Tracker(LABELS, TrackerOptions(max_missed_frames=2))
    for step in range(50):
        show(tracker, (box_at(100 + 200 * (step % 3)), RED))
        assert len(tracker._objects) <= 4


LINE = TrackerOptions(min_frames=3, count_line=CountLine("x", 300))


def test_with_a_line_an_object_is_counted_when_it_has_crossed_it():
    tracker = Tracker(LABELS, LINE)
    tracks = [show(tracker, (box_at(100 + 20 * step), RED))[0] for step in range(20)]
    assert [track.box.x + 30 for track in tracks if track.newly_counted] == [300]


def test_a_line_counts_in_either_direction_and_along_either_axis():
    tracker = Tracker(LABELS, TrackerOptions(min_frames=3, count_line=CountLine("y", 200)))
    tracks = [show(tracker, (box_at(100, 400 - 20 * step), RED))[0] for step in range(20)]
    assert [track.box.y + 20 for track in tracks if track.newly_counted] == [180]


def test_with_a_line_an_object_that_rests_beside_or_trembles_on_it_is_counted_once_at_most():
    tracker = Tracker(LABELS, LINE)
    assert not any(track.counted for track in rest(tracker, 30, (box_at(100), RED)))
    trembling = [show(tracker, (box_at(300 + (-1) ** step), RED))[0] for step in range(30)]
    assert sum(track.newly_counted for track in trembling) == 1


def test_one_that_crosses_the_line_before_its_label_is_steady_is_counted_later():
    tracker = Tracker(LABELS, LINE)
    tracks = [show(tracker, (box_at(290 + 20 * step), RED))[0] for step in range(5)]
    assert [track.newly_counted for track in tracks] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (TrackerOptions(min_frames=0), "--min_frames: got 0"),
        (TrackerOptions(max_missed_frames=-1), "--max_missed_frames: got -1"),
        (TrackerOptions(max_hidden_frames=-1), "--max_hidden_frames: got -1"),
        (TrackerOptions(max_step_share=-1), "--max_step: got -1"),
        (TrackerOptions(min_probability=1.5), "--min_probability: got 1.5"),
    ],
)
def test_an_option_outside_its_range_is_named(options, named):
    with pytest.raises(UsageError, match=named):
        Tracker(LABELS, options)


def test_probabilities_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\[1, 2\], expected \[1, 3\]"):
        Tracker(LABELS).update([box_at(100)], np.float32([[0.5, 0.5]]))
