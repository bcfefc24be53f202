"""Features on disk: found again by what they were made from, never by anything else."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from legoclf.errors import LegoclfError
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
        assert np.array_equal(cache.rows([KEY]), [ROW])


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
def test_a_damaged_shard_is_named_and_made_anew(
    tmp_path: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    shard = next(keep(tmp_path).directory.glob("*.npy"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(bytes(content) if damage is None else damage)
    with FeatureCache(tmp_path, MADE_WITH, 4) as cache:
        assert KEY not in cache
        cache.add(KEY, ROW)
    assert f"{shard}: damaged" in caplog.text
    with FeatureCache(tmp_path, MADE_WITH, 4) as cache:
        assert np.array_equal(cache.rows([KEY]), [ROW])


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
    assert [path.suffix for path in keep(tmp_path).directory.iterdir()] == [".npy"]


def test_rows_come_in_the_order_asked_for_from_shards_and_from_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, "SHARD_ROWS", 3)
    keys = [row_key(str(number), "plain") for number in range(8)]
    with FeatureCache(tmp_path, MADE_WITH, 4) as cache:
        for number, key in enumerate(keys):
            cache.add(key, np.full(4, number, np.float32))
        order = [7, 0, 5, 5, 2]
        assert cache.rows([keys[number] for number in order])[:, 0].tolist() == order


def test_a_row_that_is_not_there_is_a_key_error(tmp_path: Path) -> None:
    with FeatureCache(tmp_path, MADE_WITH, 4) as cache, pytest.raises(KeyError):
        cache.rows([KEY])


def test_what_a_killed_run_was_writing_is_removed_by_the_next(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = keep(tmp_path).directory
    of_ended, of_running = (folder / f".{'0' * 64}.{pid}.tmp" for pid in (ended.pid, os.getpid()))
    of_ended.write_bytes(b"half")
    of_running.write_bytes(b"half")
    keep(tmp_path)
    assert not of_ended.exists()
    assert of_running.exists()


def test_past_the_size_cap_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    caches = [keep(tmp_path, module=name) for name in ("first", "second", "third")]
    shards = [next(cache.directory.glob("*.npy")) for cache in caches]
    for age, shard in enumerate(shards):
        os.utime(shard, (1e9 + age, 1e9 + age))
    with FeatureCache(tmp_path, {**MADE_WITH, "module": "first"}, 4, 2 * shards[0].stat().st_size) as cache:
        cache.rows([KEY])
    assert [shard.exists() for shard in shards] == [True, False, True]


def test_a_run_keeps_what_it_will_read_though_it_is_past_the_cap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, "SHARD_ROWS", 1)
    keys = [row_key(str(number), "plain") for number in range(3)]
    with FeatureCache(tmp_path, MADE_WITH, 4, most_bytes=1) as cache:
        for key in keys:
            cache.add(key, ROW)
        assert len(cache.rows(keys)) == 3
    assert list(cache.directory.iterdir()) == []


def test_files_that_are_not_the_caches_own_are_never_evicted(tmp_path: Path) -> None:
    own = tmp_path / "roses" / "a.jpg_https~tfhub.dev.txt"
    own.parent.mkdir()
    own.write_text("0.1,0.2")
    beside = keep(tmp_path).directory / "notes.npy"
    beside.write_bytes(b"mine")
    with FeatureCache(tmp_path, MADE_WITH, 4, most_bytes=1):
        pass
    assert own.exists()
    assert beside.exists()


def test_a_folder_that_cannot_be_made_is_named_with_the_flag(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(LegoclfError, match="--bottleneck_dir"),
        FeatureCache(tmp_path / "file", MADE_WITH, 4),
    ):
        pass
