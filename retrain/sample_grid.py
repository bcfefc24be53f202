"""Sheets of training images under their names: a wrong label or a ruinous augmentation is seen at once."""

import contextlib
import hashlib
import io
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import ceil, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from legoclf.contract import InputContract
from legoclf.data.dataset import DataSet, ImageItem
from legoclf.data.whole import write_whole
from legoclf.errors import ImageError, missing_package, printable
from legoclf.image import decode_image, decode_reduced, read_file
from legoclf.preprocess import Fit, fastest_fit
from legoclf.retrain.augment import Augmentation, augmented_view, reduce_for_views, view_random
from legoclf.retrain.lettering import font_of
from legoclf.retrain.report.plots import INK
from legoclf.split import TRAIN

SAMPLES, AUGMENTED = "samples.png", "samples_augmented.png"

#: The sheets' files, and what each shows.
TITLES = {
    SAMPLES: "training images, as the network sees them",
    AUGMENTED: "the same images, as augmented views",
}

#: Images of a sheet.
IMAGES = 36

#: The larger side of an image on a sheet: by whole factors it is made no smaller and no larger than these.
LEAST_SIDE, MOST_SIDE = 128, 256

#: All in pixels.
_FONT_SIZE, _CAPTION, _GAP = 13, 20, 8


class _Sample(NamedTuple):
    """An image of a class, uint8 [H, W, 3] each: as it is, and one augmented view if there are any."""

    label_index: int
    plain: np.ndarray
    view: np.ndarray | None


def sample_grids(
    dataset: DataSet, contract: InputContract, augmentation: Augmentation, seed: int
) -> dict[str, bytes]:
    """Draw the sheets of a run: the same bytes for the same images and the same seed.

    The images are drawn from the training images, as many of each class as of any other where it has them,
    and stand in the order of the classes. One that does not decode is left out, and another drawn.

    Args:
        contract: of the network that is trained.
        augmentation: of the run.
        seed: of the run; the views are the first that its head learns from.

    Returns:
        PNG files by their names: ``samples.png`` and, where a distortion is on, ``samples_augmented.png``;
        none where no image decodes.

    Raises:
        LegoclfError: Pillow is not installed.
    """
    samples = sorted(
        islice(_samples(dataset, contract, augmentation, seed), IMAGES), key=lambda sample: sample.label_index
    )
    if not samples:
        return {}
    names = [dataset.labels[sample.label_index] for sample in samples]
    grids = {SAMPLES: _sheet([sample.plain for sample in samples], names)}
    views = [sample.view for sample in samples if sample.view is not None]
    if views:
        grids[AUGMENTED] = _sheet(views, names)
    return grids


def write_grids(folder: Path, grids: Mapping[str, bytes]) -> list[Path]:
    """Write sheets into a folder, each whole; one that an earlier run left and this one lacks is removed.

    Args:
        folder: where to; made if it is missing.
        grids: of :func:`sample_grids`.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in TITLES.keys() - grids.keys():
        (folder / name).unlink(missing_ok=True)
    for name, png in grids.items():
        write_whole(folder / name, png)
    return [folder / name for name in grids]


def _samples(
    dataset: DataSet, contract: InputContract, augmentation: Augmentation, seed: int
) -> Iterator[_Sample]:
    """All that decode, in random order: one of each class in turn, as long as the class has another."""
    random = np.random.default_rng([seed, 4])
    members: defaultdict[int, list[ImageItem]] = defaultdict(list)
    for item in dataset.by_split(TRAIN):
        members[item.label_index].append(item)
    fit = fastest_fit()

    def decoded(items: Sequence[ImageItem], order: np.ndarray) -> Iterator[_Sample]:
        for index in order.tolist():
            with contextlib.suppress(ImageError):
                yield _sample(items[index], contract, augmentation, seed, fit)

    classes = [decoded(members[index], random.permutation(len(members[index]))) for index in sorted(members)]
    turns = deque(classes[index] for index in random.permutation(len(classes)).tolist())
    while turns:
        one = turns.popleft()
        sample = next(one, None)
        if sample is not None:
            yield sample
            turns.append(one)


def _sample(
    item: ImageItem, contract: InputContract, augmentation: Augmentation, seed: int, fit: Fit
) -> _Sample:
    data = read_file(item.path)
    plain = _shown(fit(decode_image(data, item.path), contract), contract)
    view = _view(data, item.path, contract, augmentation, seed, fit) if augmentation.active else None
    return _Sample(item.label_index, plain, view)


def _view(
    data: bytes, path: str, contract: InputContract, augmentation: Augmentation, seed: int, fit: Fit
) -> np.ndarray:
    """The first augmented view that features are extracted from, as levels."""
    image = reduce_for_views(decode_reduced(data, path, contract.height, contract.width), contract, fit)
    random = view_random(seed, hashlib.sha256(data).hexdigest(), 1)
    tensor = augmented_view(image, contract, augmentation, random, fit)
    levels = np.rint((tensor.transpose(1, 2, 0) - contract.offset) / contract.scale)
    return _shown(levels.clip(0, 255).astype(np.uint8), contract)


def _shown(levels: np.ndarray, contract: InputContract) -> np.ndarray:
    """uint8 [H, W, 3] in the contract's colour order → RGB, at a size that can be looked at."""
    if contract.colour_order == "BGR":
        levels = levels[:, :, ::-1]
    side = max(levels.shape[:2])
    larger, smaller = ceil(LEAST_SIDE / side), ceil(side / MOST_SIDE)
    if smaller == 1:
        return levels.repeat(larger, axis=0).repeat(larger, axis=1)
    high, wide = (min(smaller, length) for length in levels.shape[:2])
    height, width = levels.shape[0] // high, levels.shape[1] // wide
    blocks = levels[: height * high, : width * wide].reshape(height, high, width, wide, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def _sheet(tiles: Sequence[np.ndarray], names: Sequence[str]) -> bytes:
    """Images of one size, uint8 [H, W, 3], in rows with a name under each: a PNG file."""
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise missing_package("pillow", "train") from error
    height, width = tiles[0].shape[:2]
    columns = ceil(sqrt(len(tiles)))
    rows = ceil(len(tiles) / columns)
    size = (columns * (width + _GAP) + _GAP, rows * (height + _CAPTION) + _GAP)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), font_of(_FONT_SIZE)
    for place, (tile, name) in enumerate(zip(tiles, names, strict=True)):
        row, column = divmod(place, columns)
        left, top = _GAP + column * (width + _GAP), _GAP + row * (height + _CAPTION)
        sheet.paste(Image.fromarray(tile), (left, top))
        middle = (left + width // 2, top + height + _CAPTION * 3 // 4)
        draw.text(middle, _fitting(name, width, font), INK, font, anchor="ms")
    stream = io.BytesIO()
    # Pillow's own level, 6, takes nearly three times as long, for a tenth less.
    sheet.save(stream, "PNG", compress_level=3)
    return stream.getvalue()


def _fitting(name: str, width: int, font: Any) -> str:
    """A name in one line of ``width`` pixels at most, shortened in its middle: ends tell classes apart."""
    text = shown = printable(name)
    kept = len(text)
    while kept and font.getlength(shown) > width:
        kept -= 1
        shown = text[: kept - kept // 2] + "…" + text[len(text) - kept // 2 :]
    return shown
