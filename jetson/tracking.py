"""Following objects from frame to frame, so that each is named by all its looks and counted once.

The call order stands in :mod:`legoclf.jetson.locate`.

Two objects that touch for a while are one box; both live on in it, unseen, and are told apart again by where
each was heading. So does one that a hand hides (``covers``). An object that left the table and comes back is
a new one and is counted again; so is one that stayed hidden for longer than ``max_hidden_frames``.
"""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from legoclf.errors import check_range
from legoclf.jetson.association import centre, match, overlap, settle, within
from legoclf.jetson.count_line import CountLine
from legoclf.jetson.locate import Box
from legoclf.jetson.result import UNKNOWN

#: The newest step's weight in an object's velocity.
VELOCITY_WEIGHT = 0.5

#: An object that moves by less than this share of its size a frame is at rest: its box only trembles.
REST_SHARE = 0.02


class TrackerOptions(NamedTuple):
    """How objects are followed and when they count.

    min_frames: looks on end that give the same label before an object is counted.
    max_missed_frames: an object not seen for more frames than this has left.
    max_hidden_frames: how long it is waited for while something else covers it or touches it.
    max_step_share: how far from the expected place an object may turn up, as a share of its size (the square
        root of its box's area). An object that comes in is expected where it was: it may not move by more
        than this between two frames.
    min_probability: an object whose best label's mean probability is less is `unknown`.
    count_line: objects are counted only once their middle has been on both sides of it.
    """

    min_frames: int = 5
    max_missed_frames: int = 10
    max_hidden_frames: int = 90
    max_step_share: float = 1.0
    min_probability: float = 0.0
    count_line: Optional[CountLine] = None


class Track(NamedTuple):
    """An object in one frame.

    id: from 1, never given twice.
    box: in this frame; where it is expected, while it is one box with another object.
    label, probability: of the mean of the probabilities of all its looks so far; `unknown` where most looks
        were novel or the mean is too low. Both stay as they are from the moment it is counted.
    age: frames since it was first seen, that one included.
    counted: whether it has been counted; newly_counted: whether by this very frame.
    is_novel: it is `unknown` because most looks were novel.
    novelty: the mean of all its looks so far, until it is counted; None where the network gives none.
    """

    id: int
    box: Box
    label: str
    probability: float
    age: int
    counted: bool
    newly_counted: bool
    is_novel: bool = False
    novelty: Optional[float] = None


class Tracker:
    """Follows the objects of one camera."""

    def __init__(self, labels: Sequence[str], options: Optional[TrackerOptions] = None) -> None:
        """``labels``: the C labels of the bundle, in the order of the probabilities.

        Raises:
            UsageError: an option is outside its range.
        """
        self.options = TrackerOptions() if options is None else options
        _check_options(self.options)
        self._labels = list(labels)
        self._objects: List[_Object] = []
        self._last_id = 0

    def update(
        self,
        boxes: Sequence[Box],
        probabilities: np.ndarray,
        novel: Optional[Sequence[bool]] = None,
        covers: Sequence[Box] = (),
        novelty: Optional[Sequence[float]] = None,
    ) -> List[Track]:
        """Take what one frame shows; to be called for every frame, for one that shows nothing too.

        Args:
            boxes: N boxes in pixels of the frame.
            probabilities: float [N, C].
            novel: for each box whether it is unlike all that was trained on.
            covers: what may hide objects, as :class:`legoclf.jetson.locate.Found` has it.
            novelty: of each box, [N], larger for what is less like that.

        Returns:
            The objects that are seen, oldest first; those that are one box with another among them.
        """
        if probabilities.shape != (len(boxes), len(self._labels)):
            raise ValueError(
                "probabilities: got {}, expected {}".format(
                    list(probabilities.shape), [len(boxes), len(self._labels)]
                )
            )
        are_novel = [False] * len(boxes) if novel is None else list(novel)
        novelties: List[Optional[float]] = [None] * len(boxes) if novelty is None else list(novelty)
        looks = [_Look(*each) for each in zip(probabilities, are_novel, novelties)]
        for known in self._objects:
            known.expect()
        places = np.array([known.place for known in self._objects], float).reshape(-1, 4)
        matched = match(places, boxes, self.options.max_step_share)
        limit = self.options.max_hidden_frames
        waited_for = [known.hidden_frames < limit for known in self._objects]
        seen, shared = settle(places, waited_for, matched, boxes)
        for number, known in enumerate(self._objects):
            if number in seen:
                box = seen[number]
                known.see(boxes[box], looks[box], self.options)
            elif number in shared:
                known.share(boxes[shared[number]])
            else:
                known.lose(covers)
        taken = set(matched.values()) | set(seen.values()) | set(shared.values())
        for box in range(len(boxes)):
            if box not in taken:
                self._last_id += 1
                newcomer = _Object(self._last_id, boxes[box], probabilities.shape[1])
                newcomer.see(boxes[box], looks[box], self.options)
                self._objects.append(newcomer)
        self._objects = [known for known in self._objects if known.is_here(self.options)]
        return [known.track(self._labels) for known in self._objects if known.box is not None]


class _Look(NamedTuple):
    """One look at an object: probabilities float [C], whether it is novel, and how much."""

    probabilities: np.ndarray
    is_novel: bool
    novelty: Optional[float]


class _Object:
    """What is known of one object. ``box`` is None in a frame that does not show it."""

    def __init__(self, number: int, box: Box, classes: int) -> None:
        self.id = number
        self.box: Optional[Box] = None
        self.x, self.y = centre(box)
        self.width, self.height = box.width, box.height
        self.hidden_frames = 0
        self._velocity: Optional[Tuple[float, float]] = None
        self._seen_at = (self.x, self.y)
        self._unseen_frames = 0
        self._missed_frames = 0
        self._age = 0
        self._total = np.zeros(classes)
        self._looks = 0
        self._novel_looks = 0
        self._is_novel = False
        self._novelty: Optional[float] = None
        self._best: Optional[int] = None
        self._probability = 0.0
        self._steady_looks = 0
        self._first_side: Optional[bool] = None
        self._counted = False
        self._newly_counted = False

    @property
    def place(self) -> Tuple[float, float, int, int]:
        """The middle's x and y, width and height: where the object is expected."""
        return self.x, self.y, self.width, self.height

    def expect(self) -> None:
        """A new frame: move to where the object should be now."""
        self._age += 1
        self._newly_counted = False
        self.box = None
        across, down = self._velocity or (0.0, 0.0)
        if np.hypot(across, down) >= REST_SHARE * np.sqrt(self.width * self.height):
            self.x += across
            self.y += down

    def see(self, box: Box, look: _Look, options: TrackerOptions) -> None:
        """The object is this box of the frame."""
        self.box = box
        self.x, self.y = centre(box)
        self.width, self.height = box.width, box.height
        self._age = max(1, self._age)
        self._measure_velocity()
        self._missed_frames = self._unseen_frames = self.hidden_frames = 0
        if not self._counted:
            self._look(look, options)
            self._count(options)

    def share(self, box: Box) -> None:
        """The object is somewhere in this box, with another."""
        self.x = within(self.x, box.x + self.width / 2.0, box.x + box.width - self.width / 2.0)
        self.y = within(self.y, box.y + self.height / 2.0, box.y + box.height - self.height / 2.0)
        self.box = self._expected_box()
        self.hidden_frames += 1
        self._unseen_frames += 1

    def lose(self, covers: Sequence[Box]) -> None:
        """The frame does not show the object; it is hidden if a cover lies over its place."""
        self._unseen_frames += 1
        if any(overlap(self._expected_box(), cover) for cover in covers):
            self.hidden_frames += 1
        else:
            self._missed_frames += 1

    def is_here(self, options: TrackerOptions) -> bool:
        """Whether the object is seen or still waited for."""
        return (
            self._missed_frames <= options.max_missed_frames
            and self.hidden_frames <= options.max_hidden_frames
        )

    def track(self, labels: Sequence[str]) -> Track:
        """The object as the caller gets it."""
        assert self.box is not None
        label = UNKNOWN if self._best is None else labels[self._best]
        return Track(
            self.id,
            self.box,
            label,
            self._probability,
            self._age,
            self._counted,
            self._newly_counted,
            self._is_novel,
            self._novelty,
        )

    def _measure_velocity(self) -> None:
        frames = self._unseen_frames + 1
        step = ((self.x - self._seen_at[0]) / frames, (self.y - self._seen_at[1]) / frames)
        self._seen_at = (self.x, self.y)
        if self._looks:
            before = self._velocity or step
            weight = VELOCITY_WEIGHT
            self._velocity = (
                before[0] + weight * (step[0] - before[0]),
                before[1] + weight * (step[1] - before[1]),
            )

    def _look(self, look: _Look, options: TrackerOptions) -> None:
        self._total += look.probabilities
        self._looks += 1
        self._novel_looks += bool(look.is_novel)
        if look.novelty is not None:
            before = 0.0 if self._novelty is None else self._novelty
            self._novelty = before + (float(look.novelty) - before) / self._looks
        likeliest = int(np.argmax(self._total))
        self._probability = float(self._total[likeliest]) / self._looks
        self._is_novel = 2 * self._novel_looks > self._looks
        is_unknown = self._is_novel or self._probability < options.min_probability
        best = None if is_unknown else likeliest
        self._steady_looks = self._steady_looks + 1 if best == self._best and self._looks > 1 else 1
        self._best = best

    def _count(self, options: TrackerOptions) -> None:
        crossed = True
        if options.count_line is not None:
            place = self.x if options.count_line.axis == "x" else self.y
            side = place >= options.count_line.position_px
            self._first_side = side if self._first_side is None else self._first_side
            crossed = side != self._first_side
        self._counted = self._newly_counted = crossed and self._steady_looks >= options.min_frames

    def _expected_box(self) -> Box:
        left, top = self.x - self.width / 2.0, self.y - self.height / 2.0
        return Box(round(left), round(top), self.width, self.height)


def _check_options(options: TrackerOptions) -> None:
    for flag, value, low, high in (
        ("--min_frames", options.min_frames, 1, 100000),
        ("--max_missed_frames", options.max_missed_frames, 0, 100000),
        ("--max_hidden_frames", options.max_hidden_frames, 0, 100000),
        ("--max_step", options.max_step_share, 0, 100),
        ("--min_probability", options.min_probability, 0, 1),
    ):
        check_range(flag, value, low, high)
