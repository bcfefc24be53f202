"""Finding several objects on a plain table, without a network: a sorting table's eyes.

The call order of the live loop, with roi always (x, y, width, height) in pixels of the frame:

    locator = Locator(LocatorOptions(method="contours"), aspect=contract.width / contract.height)
    found = locator.find(bgr)                                # every frame, in one thread
    answers = runtime.classify(frame, rois=found.crops)      # one batch
    tracks = tracker.update(
        found.boxes, answers.probabilities, answers.is_novel, found.covers, answers.novelty
    )
    tally.add(tracks)

Two methods. `contours` needs no memory: the table is of one colour (any), and its light may be uneven.
`background` learns the table from the first frames, which must show it empty; it may then have a pattern.

What neither can do: objects that touch are one object; one of the table's own colour is not seen, nor a grey
one on a grey table that is no darker than a shadow may be (see `shadow_share`). A table of a strong colour
that no object has, lit from all around, is best.
"""

from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from legoclf.errors import LegoclfError, UsageError, check_range
from legoclf.jetson.table import LearntTable, TableLight, difference

METHODS = ("contours", "background")

#: A box this near to the border of the reduced frame, in its pixels, belongs to something cut off.
CUT_PX = 1


class Box(NamedTuple):
    """A rectangle in pixels of a frame; x and y are its left and top edge."""

    x: int
    y: int
    width: int
    height: int

    def moved(self, x: int, y: int) -> "Box":
        """The same rectangle, so many pixels further right and down."""
        return Box(self.x + x, self.y + y, self.width, self.height)


class Found(NamedTuple):
    """What one frame shows.

    boxes: around each object, tight, the largest first.
    crops: for each box what the classifier should see of the frame.
    covers: around what was seen and left out: hands, objects cut off by the frame's border, those beyond
        ``max_objects``. They may hide an object; the tracker wants to know.
    """

    boxes: List[Box]
    crops: List[Box]
    covers: List[Box]


class LocatorOptions(NamedTuple):
    """What to look for, and how.

    method: one of METHODS.
    min_area_share, max_area_share: an object's area (holes filled), as a share of the frame's.
    max_objects: the most in one frame; the largest are taken.
    margin_share: what a crop adds on each side of a box, as a share of the box's longer side. In the pictures
        that `legoclf data render` makes to train on, the part is 0.45 to 0.85 of the picture.
    contrast_levels: what an object differs from the table by, as a length over the three channels, 0..441.
    shadow_share: how dark a shadow may be, as a share of the table's brightness; 1 where there are none, and
        then grey objects are told from a grey table better.
    keep_cut: take objects that the frame's border cuts off too.
    work_width_px: wider frames are reduced to this before the search.
    learn_frames: `background`: so many frames of the empty table are learnt.
    adapt_frames: `background`: time constant with which slow changes of the table are followed.
    relearn_frames: `background`: the table is learnt anew when most of it has looked otherwise for so many
        frames on end, as when the camera was knocked; 0 for never.
    """

    method: str = "contours"
    min_area_share: float = 0.001
    max_area_share: float = 0.25
    max_objects: int = 20
    margin_share: float = 0.25
    contrast_levels: float = 20.0
    shadow_share: float = 0.6
    keep_cut: bool = False
    work_width_px: int = 320
    learn_frames: int = 15
    adapt_frames: int = 300
    relearn_frames: int = 150


class Locator:
    """Finds objects, frame by frame; to be used by one thread at a time."""

    def __init__(self, options: Optional[LocatorOptions] = None, aspect: float = 1.0) -> None:
        """``aspect`` is the width of the network's input over its height: the shape of the crops.

        Raises:
            UsageError: an option is outside its range.
            LegoclfError: OpenCV is not installed.
        """
        self.options = LocatorOptions() if options is None else options
        _check_options(self.options)
        _check_opencv()
        self._aspect = aspect
        self._size = (0, 0)
        self._light = TableLight(1, 1)
        self._table: Optional[LearntTable] = None
        self._strange_frames = 0

    @property
    def ready(self) -> bool:
        """Whether objects are looked for: `background` has to learn the empty table first."""
        return self.options.method == "contours" or (
            self._table is not None and self._table.picture is not None
        )

    def relearn(self) -> None:
        """`background`: learn the table anew from the frames that come, which must show it empty."""
        self._table = LearntTable(self.options.learn_frames, self.options.adapt_frames)
        self._strange_frames = 0

    def locate(self, bgr: np.ndarray) -> List[Box]:
        """The boxes of :meth:`find`."""
        return self.find(bgr).boxes

    def find(self, bgr: np.ndarray) -> Found:
        """Look for objects in a frame, uint8 [H, W, 3]; pixels of the result are those of this array.

        Nothing is found while :attr:`ready` is False. A frame of another size makes `background` start anew.
        """
        import cv2

        if bgr.dtype != np.uint8 or bgr.ndim != 3 or bgr.shape[2] != 3 or 0 in bgr.shape:
            raise ValueError("bgr: got {} {}, expected uint8 [H, W, 3]".format(bgr.dtype, list(bgr.shape)))
        height, width = bgr.shape[:2]
        work_width = min(width, self.options.work_width_px)
        size = (max(1, round(height * work_width / float(width))), work_width)
        small = bgr
        if size != (height, width):
            small = cv2.resize(bgr, size[::-1], interpolation=cv2.INTER_AREA)
        if size != self._size:
            self._size, self._light = size, TableLight(*size)
            self.relearn()
        objects = self._objects(small)
        if objects is None:
            return Found([], [], [])
        boxes, covers = self._sorted_out(objects)
        boxes, covers = ([_enlarged(box, size, (height, width)) for box in part] for part in (boxes, covers))
        margin = self.options.margin_share
        crops = [crop_around(box, height, width, self._aspect, margin) for box in boxes]
        return Found(boxes, crops, covers)

    def _objects(self, small: np.ndarray) -> Optional[np.ndarray]:
        """uint8 [h, w], 255 where an object is; None while the table is being learnt."""
        import cv2

        options = self.options
        table = None
        if options.method == "background":
            assert self._table is not None
            if self._table.picture is None:
                # The caller may use the frame's memory again.
                self._table.learn(small.copy())
                return None
            table = self._table
        picture = small.astype(np.float32)
        found = difference(
            picture,
            None if table is None else table.picture,
            self._light,
            options.contrast_levels,
            options.shadow_share,
        )
        if table is not None:
            table.adapt(picture, found)
            self._watch(table.is_strange(found.residual, options.contrast_levels))
        # Noise goes by a cross, which leaves an object's corners.
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        opened = cv2.morphologyEx(found.objects, cv2.MORPH_OPEN, cross)
        return cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))

    def _watch(self, strange: bool) -> None:
        """Learn the table anew when it has been another for long."""
        self._strange_frames = self._strange_frames + 1 if strange else 0
        if 0 < self.options.relearn_frames <= self._strange_frames:
            self.relearn()

    def _sorted_out(self, objects: np.ndarray) -> Tuple[List[Box], List[Box]]:
        """Boxes and covers in pixels of the reduced frame, the largest first."""
        import cv2

        options = self.options
        # Outer contours only: holes are filled. OpenCV 3 gives three values, 4 gives two.
        contours = cv2.findContours(objects, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[-2]
        sized = sorted(((_pixels(contour), number) for number, contour in enumerate(contours)), reverse=True)
        height, width = objects.shape
        boxes: List[Box] = []
        covers: List[Box] = []
        for pixels, number in sized:
            if pixels < options.min_area_share * objects.size:
                break
            box = Box(*cv2.boundingRect(contours[number]))
            cut = (
                min(box.x, box.y) <= CUT_PX
                or box.x + box.width >= width - CUT_PX
                or box.y + box.height >= height - CUT_PX
            )
            too_large = pixels > options.max_area_share * objects.size
            left_out = too_large or (cut and not options.keep_cut) or len(boxes) == options.max_objects
            (covers if left_out else boxes).append(box)
        return boxes, covers


def crop_around(box: Box, height: int, width: int, aspect: float, margin_share: float) -> Box:
    """What the classifier should see of an object: its box, padded to the network's shape, in the frame.

    A crop of the network's own shape is not distorted when it is squashed to the input. At the border of the
    frame it is moved inwards; where it is larger than the frame it is cut, and is of another shape then.

    Args:
        height, width: of the frame, in pixels.
        aspect: width over height of the network's input.
        margin_share: what is added on each side, as a share of the box's longer side.
    """
    margin = 2 * margin_share * max(box.width, box.height)
    crop_height = max(box.height + margin, (box.width + margin) / aspect)
    crop_width = min(width, max(1, round(crop_height * aspect)))
    crop_height = min(height, max(1, round(crop_height)))
    left = round(box.x + (box.width - crop_width) / 2.0)
    top = round(box.y + (box.height - crop_height) / 2.0)
    return Box(
        max(0, min(left, width - crop_width)),
        max(0, min(top, height - crop_height)),
        crop_width,
        crop_height,
    )


def _enlarged(box: Box, size: Tuple[int, int], frame_size: Tuple[int, int]) -> Box:
    """A box of the reduced frame, (height, width) ``size``, in pixels of the frame."""
    down, across = frame_size[0] / float(size[0]), frame_size[1] / float(size[1])
    left, top = round(box.x * across), round(box.y * down)
    right, bottom = round((box.x + box.width) * across), round((box.y + box.height) * down)
    return Box(left, top, right - left, bottom - top)


def _pixels(contour: np.ndarray) -> float:
    """How many pixels an outer contour encloses, itself included (Pick's theorem)."""
    import cv2

    return float(cv2.contourArea(contour)) + len(contour) / 2.0 + 1.0


def _check_opencv() -> None:
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise LegoclfError(
            "--locate needs OpenCV, which is not installed; JetPack has it as the package python3-opencv, "
            "elsewhere: pip install opencv-python-headless"
        ) from error


def _check_options(options: LocatorOptions) -> None:
    if options.method not in METHODS:
        raise UsageError("--locate: got {!r}, expected {}".format(options.method, " or ".join(METHODS)))
    if not 0 < options.min_area_share < options.max_area_share <= 1:
        raise UsageError(
            "--min_area: got {}, expected a share of the frame above 0 and below --max_area, {}".format(
                options.min_area_share, options.max_area_share
            )
        )
    for flag, value, low, high in (
        ("--max_objects", options.max_objects, 1, 1000),
        ("--margin", options.margin_share, 0, 10),
        ("--contrast", options.contrast_levels, 1, 441),
        ("--shadow", options.shadow_share, 0, 1),
        ("--work_width", options.work_width_px, 32, 10000),
        ("--learn_frames", options.learn_frames, 1, 1000),
        ("--adapt_frames", options.adapt_frames, 1, 1000000),
        ("--relearn_frames", options.relearn_frames, 0, 1000000),
    ):
        check_range(flag, value, low, high)
