"""The tally, and the whole sorting table: objects on a belt are found, named, followed and counted."""

import json

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from table_scene import COLOURS, Painter, Table, Thing  # noqa: E402

from legoclf.jetson.count_line import parse_count_line  # noqa: E402
from legoclf.jetson.locate import METHODS, Box, Locator, LocatorOptions  # noqa: E402
from legoclf.jetson.tally import Tally  # noqa: E402
from legoclf.jetson.tracking import Track, Tracker, TrackerOptions  # noqa: E402

LABELS = ["red", "blue", "yellow", "green", "black"]


def track(number, label, newly):
    return Track(number, Box(0, 0, 9, 9), label, 0.9, 7, True, newly)


def test_what_is_newly_counted_is_counted_under_its_label():
    tally = Tally(LABELS)
    tally.add([track(1, "red", True), track(2, "unknown", True)])
    tally.add([track(1, "red", False), track(3, "red", True)])
    assert tally.counts == {"red": 2, "blue": 0, "yellow": 0, "green": 0, "black": 0, "unknown": 1}


def test_a_tally_as_json_rows_and_text():
    tally = Tally(["red", "blue"])
    assert tally.text() == "0 counted"
    tally.add([track(1, "red", True), track(2, "blue", True), track(3, "blue", True)])
    assert json.loads(json.dumps(tally.to_json())) == {
        "total": 3,
        "counts": {"red": 1, "blue": 2, "unknown": 0},
    }
    assert tally.rows() == [("red", 1), ("blue", 2), ("unknown", 0)]
    assert tally.text() == "3 counted: 2 blue, 1 red"


class ColourClassifier:
    """Probabilities by the colour in the middle of a crop; one time in six it is wrong, as a network is."""

    def __init__(self, seed):
        self._rng = np.random.RandomState(seed)

    def __call__(self, frame, crops):
        rows = [self._row(frame[y : y + h, x : x + w]) for x, y, w, h in crops]
        return np.float32(rows).reshape(-1, len(LABELS))

    def _row(self, crop):
        middle = crop[tuple(slice(side // 3, side - side // 3) for side in crop.shape[:2])]
        mean = middle.reshape(-1, 3).mean(axis=0)
        apart = np.array([np.linalg.norm(mean - COLOURS[label]) for label in LABELS])
        if self._rng.rand() < 1 / 6.0:
            self._rng.shuffle(apart)
        scores = np.exp(-apart / 40)
        return scores / scores.sum()


def belt(count, seed):
    """Things on two lanes of a belt, in pixels left of the frame."""
    rng = np.random.RandomState(seed)
    things = []
    for number in range(count):
        colour = COLOURS[LABELS[rng.randint(len(LABELS))]]
        x = -40 - 55 * number + rng.uniform(-8, 8)
        y = (70 if number % 2 else 165) + rng.uniform(-15, 15)
        things.append(
            Thing(
                colour, x, y, rng.uniform(34, 46), rng.uniform(22, 30), rng.uniform(0, 180), rng.rand() < 0.3
            )
        )
    return things


def count_belt(things, table, method, step_px, options, hand=None):
    """Run the belt past the camera; the tally and all the ids there were."""
    painter = Painter(table, seed=1)
    locator = Locator(LocatorOptions(method=method, learn_frames=5))
    for _ in range(5):
        locator.find(painter.draw())
    classify = ColourClassifier(seed=2)
    tracker, tally = Tracker(LABELS, options), Tally(LABELS)
    length = table.width + 100 - min(thing.x for thing in things)
    ids = set()
    for frame_number in range(int(length / step_px)):
        shift = frame_number * step_px
        moved = [thing.at(thing.x + shift, thing.y) for thing in things]
        visible = [thing for thing in moved if -60 < thing.x < table.width + 60]
        frame = painter.draw(visible, gain=1 + 0.1 * np.sin(frame_number / 20.0))
        found = locator.find(frame)
        tracks = tracker.update(found.boxes, classify(frame, found.crops), covers=found.covers)
        tally.add(tracks)
        ids.update(track.id for track in tracks)
    return tally, ids


def true_counts(things):
    names = {colour: name for name, colour in COLOURS.items()}
    counts = dict.fromkeys([*LABELS, "unknown"], 0)
    for thing in things:
        counts[names[thing.colour]] += 1
    return counts


BELT = Table(240, 320, colour=(200, 190, 205), slope=(0.12, -0.05), noise_levels=6, shadow_blur_px=2)


@pytest.mark.parametrize(
    ("method", "count_line", "step_px"),
    [
        ("contours", None, 10),
        ("background", "x=160", 10),
        *(
            pytest.param(method, count_line, 7, marks=pytest.mark.slow)
            for method in METHODS
            for count_line in (None, "x=160")
        ),
    ],
)
def test_25_objects_on_a_belt_are_counted_exactly(method, count_line, step_px):
    things = belt(25, seed=3)
    options = TrackerOptions(count_line=None if count_line is None else parse_count_line(count_line))
    tally, ids = count_belt(things, BELT, method, step_px, options)
    assert tally.counts == true_counts(things)
    assert len(ids) == 25


def test_a_fast_belt_is_counted_exactly():
    """Each object moves by half its length a frame, and is whole in view for ten frames."""
    things = belt(25, seed=4)
    tally, ids = count_belt(things, BELT, "contours", 22, TrackerOptions())
    assert tally.counts == true_counts(things)
    assert len(ids) == 25


def test_bricks_that_a_hand_passes_over_are_counted_once():
    names = ["red", "blue", "yellow"]
    bricks = [Thing(COLOURS[name], 80 + 80 * n, 90, 44, 28, 15) for n, name in enumerate(names)]
    painter = Painter(BELT, seed=5)
    locator, classify = Locator(), ColourClassifier(seed=6)
    tracker, tally = Tracker(LABELS), Tally(LABELS)
    for frame_number in range(120):
        hand = None
        if 20 <= frame_number < 100:
            hand = (-60 + 5 * (frame_number - 20), 70)
        frame = painter.draw(bricks, hand=hand)
        found = locator.find(frame)
        tally.add(tracker.update(found.boxes, classify(frame, found.crops), covers=found.covers))
    assert tally.counts == true_counts(bricks)
