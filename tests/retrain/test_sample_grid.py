"""Sheets of training images: what the network sees, of all classes alike, whatever the classes are called."""

import io
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_report import HOSTILE

from legoclf.contract import InputContract, unit_range_contract
from legoclf.data.dataset import DataSet, ImageItem
from legoclf.image import read_image
from legoclf.preprocess import fastest_fit
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.sample_grid import AUGMENTED, SAMPLES, sample_grids, write_grids

SIDE = 128
CONTRACT = unit_range_contract(SIDE, SIDE)
PLAIN = Augmentation()

#: Between images, and at the sheet's edge; the name's line under each.
GAP, CAPTION = 8, 20


def painted(folder: Path, images_a_class: Sequence[int], labels: Sequence[str] = ()) -> DataSet:
    """So many images of each class, each of one colour: red tells the class, green the image."""
    names = list(labels) or [f"class {index}" for index in range(len(images_a_class))]
    items = []
    for label, count in enumerate(images_a_class):
        (folder / str(label)).mkdir(parents=True)
        for number in range(count):
            path = folder / str(label) / f"{number}.png"
            Image.new("RGB", (40, 30), (5 * label, 5 * number, 200)).save(path)
            items.append(ImageItem(str(path), f"{label}/{number}.png", label, "train"))
    return DataSet(str(folder), names, items)


def tiles(png: bytes, count: int, side: int = SIDE) -> list[np.ndarray]:
    """The images of a sheet, row by row: uint8 [side, side, 3]."""
    sheet = np.array(Image.open(io.BytesIO(png)))
    columns = (sheet.shape[1] - GAP) // (side + GAP)
    found = []
    for place in range(count):
        row, column = divmod(place, columns)
        top, left = GAP + row * (side + CAPTION), GAP + column * (side + GAP)
        found.append(sheet[top : top + side, left : left + side])
    return found


def classes(png: bytes, count: int) -> list[int]:
    """The class of each image, by its colour."""
    return [int(tile[SIDE // 2, SIDE // 2, 0]) // 5 for tile in tiles(png, count)]


def test_all_classes_are_drawn_alike_and_stand_together(tmp_path: Path) -> None:
    data = painted(tmp_path, [40, 40, 40])
    assert classes(sample_grids(data, CONTRACT, PLAIN, 0)[SAMPLES], 36) == [0] * 12 + [1] * 12 + [2] * 12


def test_what_a_small_class_lacks_is_drawn_from_the_others(tmp_path: Path) -> None:
    data = painted(tmp_path, [40, 2])
    assert Counter(classes(sample_grids(data, CONTRACT, PLAIN, 0)[SAMPLES], 36)) == {0: 34, 1: 2}


def test_of_more_classes_than_fit_each_is_shown_once_at_most(tmp_path: Path) -> None:
    shown = classes(sample_grids(painted(tmp_path, [3] * 45), CONTRACT, PLAIN, 0)[SAMPLES], 36)
    assert len(set(shown)) == 36


def test_a_few_images_make_a_small_sheet(tmp_path: Path) -> None:
    png = sample_grids(painted(tmp_path, [2, 2]), CONTRACT, PLAIN, 0)[SAMPLES]
    assert Image.open(io.BytesIO(png)).size == (2 * SIDE + 3 * GAP, 2 * (SIDE + CAPTION) + GAP)


def test_images_of_other_sets_are_not_shown(tmp_path: Path) -> None:
    data = painted(tmp_path, [3, 3])
    held_out = [
        ImageItem(item.path, item.relative, item.label_index, split)
        for item, split in zip(data.images, ("train", "test", "validation") * 2, strict=True)
    ]
    png = sample_grids(DataSet(data.root, data.labels, held_out), CONTRACT, PLAIN, 0)[SAMPLES]
    assert [int(tile[0, 0, 1]) for tile in tiles(png, 2)] == [0, 0]


@pytest.mark.parametrize("geometry", ["squash", "centre-crop", "pad"])
@pytest.mark.parametrize("colour_order", ["RGB", "BGR"])
def test_an_image_is_shown_as_the_contract_fits_it(geometry: str, colour_order: str, tmp_path: Path) -> None:
    data = painted(tmp_path, [1])
    levels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(levels).save(data.images[0].path)
    contract = CONTRACT._replace(geometry=geometry, colour_order=colour_order)
    (tile,) = tiles(sample_grids(data, contract, PLAIN, 0)[SAMPLES], 1)
    seen = fastest_fit()(levels, contract._replace(colour_order="RGB"))
    assert np.array_equal(tile, seen)


@pytest.mark.parametrize(("side", "shown"), [(28, 140), (32, 128), (200, 200), (331, 165)])
def test_inputs_that_are_small_or_large_are_shown_at_a_size_to_look_at(
    side: int, shown: int, tmp_path: Path
) -> None:
    contract = unit_range_contract(side, side)
    png = sample_grids(painted(tmp_path, [1]), contract, PLAIN, 0)[SAMPLES]
    assert Image.open(io.BytesIO(png)).size == (shown + 2 * GAP, shown + CAPTION + GAP)


@pytest.mark.parametrize(
    ("width", "height", "size"), [(160, 130, (160, 130)), (1024, 2, (256, 1)), (2, 1024, (1, 256))]
)
def test_an_input_that_is_not_square_keeps_its_shape(
    width: int, height: int, size: tuple[int, int], tmp_path: Path
) -> None:
    contract = InputContract(width, height, *CONTRACT[2:])
    png = sample_grids(painted(tmp_path, [1]), contract, PLAIN, 0)[SAMPLES]
    assert Image.open(io.BytesIO(png)).size == (size[0] + 2 * GAP, size[1] + CAPTION + GAP)


def test_without_a_distortion_there_is_no_sheet_of_views(tmp_path: Path) -> None:
    assert list(sample_grids(painted(tmp_path, [2, 2]), CONTRACT, PLAIN, 0)) == [SAMPLES]


@pytest.mark.parametrize("colour_order", ["RGB", "BGR"])
def test_views_show_the_distortions_of_the_run(colour_order: str, tmp_path: Path) -> None:
    """A brightness of 100 % makes each view lighter or darker by its own factor, and no view blue or red."""
    data = painted(tmp_path, [6, 6])
    contract = CONTRACT._replace(colour_order=colour_order)
    grids = sample_grids(data, contract, Augmentation(random_brightness=100), 0)
    blues = {int(tile[0, 0, 2]) for tile in tiles(grids[AUGMENTED], 12)}
    assert len(blues) > 6
    assert {int(tile[0, 0, 2]) for tile in tiles(grids[SAMPLES], 12)} == {200}


def test_a_view_stands_where_its_image_stands(tmp_path: Path) -> None:
    data = painted(tmp_path, [6, 6])
    grids = sample_grids(data, CONTRACT, Augmentation(flip_left_right=True), 0)
    plain, views = (tiles(grids[name], 12) for name in (SAMPLES, AUGMENTED))
    # A mirrored image of one colour is the image, but for a level by its enlargement in two ways.
    assert all(np.abs(one.astype(int) - other).max() <= 1 for one, other in zip(plain, views, strict=True))


def test_a_contract_with_an_offset_gives_the_same_views(tmp_path: Path) -> None:
    data, flip = painted(tmp_path, [2, 2]), Augmentation(flip_left_right=True)
    centred = CONTRACT._replace(scale=2 / 255, offset=-1.0)
    assert sample_grids(data, centred, flip, 0) == sample_grids(data, CONTRACT, flip, 0)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    data, turned = painted(tmp_path, [30, 30]), Augmentation(random_rotation=30)
    assert sample_grids(data, CONTRACT, turned, 7) == sample_grids(data, CONTRACT, turned, 7)


def test_another_seed_draws_other_images(tmp_path: Path) -> None:
    data = painted(tmp_path, [40, 40])
    assert sample_grids(data, CONTRACT, PLAIN, 1) != sample_grids(data, CONTRACT, PLAIN, 2)


def test_an_image_that_does_not_decode_is_left_out_and_another_drawn(tmp_path: Path) -> None:
    data = painted(tmp_path, [20, 20])
    for item in data.images[:2]:
        Path(item.path).write_bytes(Path(item.path).read_bytes()[:50])
    png = sample_grids(data, CONTRACT, Augmentation(random_crop=5), 0)[SAMPLES]
    assert Counter(classes(png, 36)) == {0: 18, 1: 18}


def test_where_no_image_decodes_there_is_no_sheet(tmp_path: Path) -> None:
    data = painted(tmp_path, [1, 1])
    for item in data.images:
        Path(item.path).unlink()
    assert sample_grids(data, CONTRACT, PLAIN, 0) == {}


def test_hostile_names_and_any_script_are_written_without_a_word(tmp_path: Path) -> None:
    labels = [*HOSTILE, "العربية", "हिन्दी", "👩‍🔧", "\udcff", ""]
    data = painted(tmp_path, [1] * len(labels), labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sample_grids(data, CONTRACT, PLAIN, 0)[SAMPLES].startswith(b"\x89PNG")


def test_a_long_name_stays_under_its_image(tmp_path: Path) -> None:
    sheet = Image.open(
        io.BytesIO(sample_grids(painted(tmp_path, [1], ["W" * 250]), CONTRACT, PLAIN, 0)[SAMPLES])
    )
    caption = np.array(sheet)[GAP + SIDE :]
    inked = np.flatnonzero((caption < 128).any(axis=(0, 2)))
    assert GAP <= inked[0] < inked[-1] < GAP + SIDE


def test_names_that_differ_at_their_ends_are_told_apart(tmp_path: Path) -> None:
    long = "a name that is longer than any image is wide "
    one, other = (
        sample_grids(painted(tmp_path / end, [1], [long + end]), CONTRACT, PLAIN, 0)[SAMPLES]
        for end in ("left", "right")
    )
    assert one != other


def test_sheets_are_written_into_a_new_folder(tmp_path: Path) -> None:
    data = painted(tmp_path / "data", [2, 2])
    grids = sample_grids(data, CONTRACT, Augmentation(random_crop=5), 0)
    paths = write_grids(tmp_path / "report" / "new", grids)
    assert [(path.name, path.read_bytes()) for path in paths] == list(grids.items())


def test_views_of_an_earlier_run_do_not_stay(tmp_path: Path) -> None:
    data = painted(tmp_path / "data", [2, 2])
    write_grids(tmp_path, sample_grids(data, CONTRACT, Augmentation(random_crop=5), 0))
    write_grids(tmp_path, sample_grids(data, CONTRACT, PLAIN, 0))
    assert not (tmp_path / AUGMENTED).exists()


def test_files_of_the_data_set_are_only_read(tmp_path: Path) -> None:
    data = painted(tmp_path, [2, 2])
    before = [Path(item.path).read_bytes() for item in data.images]
    sample_grids(data, CONTRACT, Augmentation(random_crop=5), 0)
    assert [Path(item.path).read_bytes() for item in data.images] == before
    assert read_image(data.images[0].path).shape == (30, 40, 3)
