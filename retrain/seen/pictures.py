"""Pictures of what became of the test images: the confusion matrix, and those that were named wrong."""

import importlib.util
import io
import itertools
import logging
from collections.abc import Iterator, Mapping

import numpy as np

from legoclf.retrain.drawing import shortened
from legoclf.retrain.evaluate import Mistake, Report
from legoclf.retrain.lettering import font_of
from legoclf.retrain.report.markup import percent
from legoclf.retrain.report.plots import INK, ORANGE, as_png, draw_confusion
from legoclf.retrain.seen.events import EventFile
from legoclf.retrain.thumbnails import place_centred, thumbnail

LOGGER = logging.getLogger(__name__)

CONFUSION_TAG, MISTAKES_TAG = "confusion_matrix", "misclassified"

#: Mistakes shown at most.
MOST_MISTAKES = 24

#: Pixels: the longer side of an image on its card, the two lines below it, their letters; signs of a name.
_SIDE, _CAPTION, _LETTERS, _LONGEST_NAME = 224, 40, 11, 20


def add_pictures(events: EventFile, report: Report, files: Mapping[str, str]) -> None:
    """Add the confusion matrix, and the mistakes that the classifier was surest of, at step 0.

    Images that cannot be read any more are passed over; without matplotlib there is a warning instead.

    Args:
        files: the file of each image by its path in the data set.

    Raises:
        LegoclfError: the events cannot be written.
    """
    if importlib.util.find_spec("matplotlib") is None:
        LOGGER.warning(
            "warning: matplotlib is not installed: TensorBoard has no pictures; pip install 'legoclf[train]'"
        )
        return
    events.add_images(0, CONFUSION_TAG, [as_png(lambda figure: draw_confusion(figure, report))])
    cards = list(itertools.islice(_cards(report, files), MOST_MISTAKES))
    if cards:
        events.add_images(0, MISTAKES_TAG, cards)


def _cards(report: Report, files: Mapping[str, str]) -> Iterator[bytes]:
    """The mistakes as PNG files of one size, the surest first."""
    for mistake in sorted(report.mistakes, key=lambda each: (-each.probability, each.path)):
        pixels = thumbnail(files[mistake.path], _SIDE) if mistake.path in files else None
        if pixels is not None:
            yield _card(mistake, pixels)


def _card(mistake: Mistake, pixels: np.ndarray) -> bytes:
    """An image over its label and the name that it got."""
    from PIL import Image, ImageDraw

    canvas = np.full((_SIDE + _CAPTION, _SIDE, 3), 255, np.uint8)
    place_centred(canvas[:_SIDE], pixels)
    picture = Image.fromarray(canvas)
    font = font_of(_LETTERS)
    truth, predicted = (shortened(name, _LONGEST_NAME) for name in (mistake.truth, mistake.predicted))
    draw = ImageDraw.Draw(picture)
    draw.text((4, _SIDE + 3), f"is {truth}", fill=INK, font=font)
    words = f"named {predicted}, {percent(mistake.probability)}"
    draw.text((4, _SIDE + 3 + _CAPTION // 2), words, fill=ORANGE, font=font)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
