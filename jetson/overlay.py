"""Drawing the answer into a picture."""

from typing import Any, Tuple

import numpy as np

from legoclf.jetson.result import UNKNOWN, Result

Colour = Tuple[int, int, int]

# BGR.
_KNOWN: Colour = (80, 220, 80)
_UNKNOWN: Colour = (60, 160, 255)
_TEXT: Colour = (255, 255, 255)


def draw(picture: np.ndarray, result: Result) -> np.ndarray:
    """The picture with the answer: the likeliest labels with bars, or each object's box; and the roi.

    Args:
        picture: uint8 [H, W, 3], BGR; left as it is.

    Returns:
        uint8 [H, W, 3], BGR.
    """
    canvas = np.array(picture, order="C")
    # Sizes go with the picture: the same share of a small one and of a large one.
    scale = max(0.35, canvas.shape[0] / 720.0)
    if result.roi is not None:
        _box(canvas, result.roi, _TEXT, scale)
    if result.tracks is None:
        _bars(canvas, result, scale)
    else:
        _tracks(canvas, result, scale)
    return canvas


def _bars(canvas: np.ndarray, result: Result, scale: float) -> None:
    import cv2

    step = int(34 * scale)
    # What is novel is unknown however likely the first bar: its percentage would be taken for that.
    said = result.label if result.is_novel else _named(result.label, result.probability)
    _text(canvas, said, (int(8 * scale), step), _colour(result.label), scale)
    for row, (label, probability) in enumerate(result.top, 2):
        bottom = int(row * step)
        width = int(probability * canvas.shape[1] / 3)
        cv2.rectangle(
            canvas, (0, bottom - int(step * 0.7)), (width, bottom + int(step * 0.2)), _KNOWN, thickness=-1
        )
        _text(canvas, _named(label, probability), (int(8 * scale), bottom), _TEXT, scale * 0.7)


def _tracks(canvas: np.ndarray, result: Result, scale: float) -> None:
    for track in result.tracks or ():
        colour = _colour(track.label)
        _box(canvas, track.box, colour, scale)
        said = "#{} {}".format(track.id, _named(track.label, float(track.probability)))
        top = max(int(track.box[1]) - int(6 * scale), int(20 * scale))
        _text(canvas, said, (int(track.box[0]), top), colour, scale * 0.7)
    counted = ", ".join(
        "{} {}".format(label, count) for label, count in (result.counts or {}).items() if count
    )
    _text(canvas, counted, (int(8 * scale), canvas.shape[0] - int(10 * scale)), _TEXT, scale * 0.8)


def _colour(label: str) -> Colour:
    return _UNKNOWN if label == UNKNOWN else _KNOWN


def _named(label: str, probability: float) -> str:
    return "{} {:.0%}".format(label, probability)


def _box(canvas: np.ndarray, box: Any, colour: Colour, scale: float) -> None:
    import cv2

    x, y, width, height = (int(side) for side in box)
    cv2.rectangle(canvas, (x, y), (x + width - 1, y + height - 1), colour, max(1, int(2 * scale)))


def _text(canvas: np.ndarray, text: str, at: Tuple[int, int], colour: Colour, scale: float) -> None:
    import cv2

    weight = max(1, int(2 * scale))
    rim = [(dx, dy, (0, 0, 0)) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy]
    # A dark rim first: readable on any picture. Not by a thicker pen, which makes OpenCV 5 write wider.
    for dx, dy, shade in [*rim, (0, 0, colour)]:
        place = (at[0] + dx, at[1] + dy)
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, shade, weight, cv2.LINE_AA)
