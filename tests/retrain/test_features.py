"""Features of a whole data set: what cannot be used leaves it, and its files are read once."""

import shutil
from pathlib import Path

import pytest

from legoclf.contract import unit_range_contract
from legoclf.data.folder import DataSet, scan_folder
from legoclf.retrain.feature_vector import load_feature_vector
from legoclf.retrain.features import extract_features
from legoclf.retrain.settings import Settings

SPOILT = "red/03.jpg"


@pytest.fixture
def extracted(photos: Path, module: Path, cache: Path, tmp_path: Path) -> DataSet:
    """The photos, one of which breaks off amid its pixels, as they are after the extraction."""
    folder = shutil.copytree(photos, tmp_path / "photos")
    spoilt = folder / SPOILT
    spoilt.write_bytes(spoilt.read_bytes()[:-200])
    vector = load_feature_vector(str(module), cache_dir=cache)
    settings = Settings(str(folder), tmp_path / "made.bundle", bottleneck_dir=tmp_path / "features")
    contract = unit_range_contract(vector.width, vector.height)
    return extract_features(scan_folder(str(folder)), vector, contract, settings)[0]


def test_an_image_that_does_not_decode_leaves_the_data_set(extracted: DataSet) -> None:
    assert [Path(rejected.path).name for rejected in extracted.rejected] == [Path(SPOILT).name]
    assert SPOILT not in {image.relative for image in extracted.images}


def test_the_fingerprint_is_that_of_the_images_that_are_left(extracted: DataSet) -> None:
    read = DataSet(extracted.root, extracted.labels, extracted.images)
    assert extracted.fingerprint == read.fingerprint


def test_the_fingerprint_needs_no_file_any_more(extracted: DataSet) -> None:
    shutil.rmtree(extracted.root)
    assert len(extracted.fingerprint) == 64
