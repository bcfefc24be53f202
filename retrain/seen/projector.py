"""The test images in TensorBoard's projector: feature vectors as points, with names and thumbnails.

What it reads: projector_config.proto and projector_plugin.py in tensorboard/plugins/projector, version 2.21.
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from legoclf.errors import LegoclfError, printable
from legoclf.retrain.evaluate import Report
from legoclf.retrain.thumbnails import place_centred, thumbnail

LOGGER = logging.getLogger(__name__)

TENSORS, METADATA, SPRITE, CONFIG = "tensors.tsv", "metadata.tsv", "sprite.png", "projector_config.pbtxt"

#: Points at most, which a browser still moves; at SIDE pixels a thumbnail, the sprite stays far below the
#: 8192 pixels a side that the projector takes.
MOST_POINTS = 5000
SIDE = 64

_CONFIG = """embeddings {{
  tensor_name: "test images"
  tensor_shape: {count}
  tensor_shape: {size}
  tensor_path: "{tensors}"
  metadata_path: "{metadata}"
  sprite {{
    image_path: "{sprite}"
    single_image_dim: {side}
    single_image_dim: {side}
  }}
}}
"""


def write_projector(directory: Path, report: Report, rows: np.ndarray, files: Mapping[str, str]) -> None:
    """Write the files that the projector reads from the folder of a run.

    TensorBoard looks for them when the folder gets its first events: those come after.

    Args:
        directory: made if it is missing; such files of an earlier run are replaced.
        rows: float32 [N, D], the feature vectors of the N images of the report, in its order.
        files: the file of each image by its path in the data set; one that cannot be read is left white.

    Raises:
        LegoclfError: the folder cannot be written.
    """
    chosen = np.arange(report.images)
    if report.images > MOST_POINTS:
        LOGGER.info("TensorBoard's projector gets %d of %d test images.", MOST_POINTS, report.images)
        # The report goes class by class: equal steps keep the shares of the classes.
        chosen = np.linspace(0, report.images - 1, MOST_POINTS).astype(np.int64)
    paths = [report.paths[index] for index in chosen]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / CONFIG).unlink(missing_ok=True)
        np.savetxt(directory / TENSORS, rows[chosen], fmt="%.6g", delimiter="\t")
        (directory / METADATA).write_text(_metadata(report, chosen), encoding="utf-8", newline="\n")
        _write_sprite(directory / SPRITE, [files.get(path) for path in paths])
        # Last: without it the others are not looked at.
        (directory / CONFIG).write_text(_config(len(chosen), rows.shape[1]), encoding="utf-8")
    except OSError as error:
        cause = error.strerror or error
        raise LegoclfError(
            f"--summaries_dir: the projector's files cannot be written to {directory} ({cause}); "
            "make room there, or name another folder"
        ) from error


def _config(count: int, size: int) -> str:
    return _CONFIG.format(
        count=count, size=size, tensors=TENSORS, metadata=METADATA, sprite=SPRITE, side=SIDE
    )


def _metadata(report: Report, chosen: Iterable[int]) -> str:
    """A heading, and a line for each image; a tab or a line break in a name is written as in Python."""
    predicted = report.logits.argmax(axis=1)
    lines = ["label\tpredicted\tpath"]
    for index in chosen:
        names = (report.labels[report.truth[index]], report.labels[predicted[index]], report.paths[index])
        lines.append("\t".join(printable(name) for name in names))
    return "\n".join(lines) + "\n"


def _write_sprite(path: Path, files: Sequence[str | None]) -> None:
    """The thumbnails side by side, row by row, the first in the upper left corner."""
    from PIL import Image

    columns = math.ceil(math.sqrt(len(files)))
    lines = math.ceil(len(files) / columns)
    sheet = np.full((lines * SIDE, columns * SIDE, 3), 255, np.uint8)
    for number, file in enumerate(files):
        pixels = None if file is None else thumbnail(file, SIDE)
        if pixels is not None:
            top, left = (SIDE * place for place in divmod(number, columns))
            place_centred(sheet[top : top + SIDE, left : left + SIDE], pixels)
    Image.fromarray(sheet).save(path, "PNG", compress_level=3)  # less than half the time, a fifth larger
