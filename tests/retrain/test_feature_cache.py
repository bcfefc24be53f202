"""Features on disk: found again by what they were made from, never by anything else."""

from pathlib import Path

import numpy as np
import pytest

from legoclf.retrain import feature_cache
from legoclf.retrain.feature_cache import FeatureCache, row_key

MADE_WITH = {"module": "m", "engine": "e"}
KEY = row_key("content", "plain")
ROW = np.arange(4, dtype=np.float32)


def keep(folder: Path, **changes: str) -> FeatureCache:
    """A cache with one row, closed."""
    with FeatureCache(folder, {**MADE_WITH, **changes}, 4) as cache:
        cache.add(KEY, ROW)
    return cache


def test_a_row_is_found_by_the_next_run(tmp_path: Path) -> None:
    keep(tmp_path)
    with FeatureCache(tmp_path, MADE_WITH, 4) as cache:
        assert np.array_equal(cache[KEY], ROW)


@pytest.mark.parametrize("change", ["module", "engine"])
def test_a_row_made_otherwise_is_not_found(tmp_path: Path, change: str) -> None:
    keep(tmp_path)
    with FeatureCache(tmp_path, {**MADE_WITH, change: "another"}, 4) as cache:
        assert KEY not in cache


@pytest.mark.parametrize("key", [row_key("other content", "plain"), row_key("content", "another view")])
def test_a_row_of_another_image_or_view_is_not_found(tmp_path: Path, key: bytes) -> None:
    keep(tmp_path)
    with FeatureCache(tmp_path, MADE_WITH, 4) as cache:
        assert key not in cache


@pytest.mark.parametrize("damage", [b"", b"not a shard", None])
def test_a_damaged_shard_is_passed_over_and_named(
    tmp_path: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    shard = next(keep(tmp_path).directory.glob("*.npz"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(bytes(content) if damage is None else damage)
    with FeatureCache(tmp_path, MADE_WITH, 4) as cache:
        assert KEY not in cache
    assert f"{shard}: damaged" in caplog.text


def test_a_shard_of_another_feature_size_is_passed_over(tmp_path: Path) -> None:
    keep(tmp_path)
    with FeatureCache(tmp_path, MADE_WITH, 5) as cache:
        assert KEY not in cache


def test_a_full_shard_reaches_the_disk_while_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, "SHARD_ROWS", 3)
    with FeatureCache(tmp_path, MADE_WITH, 4) as cache:
        for number in range(4):
            cache.add(row_key(str(number), "plain"), ROW)
        with FeatureCache(tmp_path, MADE_WITH, 4) as other:
            assert [row_key(str(number), "plain") in other for number in range(4)] == [True] * 3 + [False]


def test_what_waits_is_kept_when_the_run_ends_in_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with FeatureCache(tmp_path, MADE_WITH, 4) as cache:
            cache.add(KEY, ROW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with FeatureCache(tmp_path, MADE_WITH, 4) as cache:
        assert KEY in cache


def test_no_temporary_file_is_left(tmp_path: Path) -> None:
    assert [path.suffix for path in keep(tmp_path).directory.iterdir()] == [".npz"]
