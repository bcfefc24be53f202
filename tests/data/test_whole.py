"""Files and folders that appear whole or not at all."""

from pathlib import Path

import pytest

from legoclf.data.whole import whole_folder, write_whole


def test_two_processes_may_finish_at_once(tmp_path: Path) -> None:
    entry = tmp_path / "modules" / "identity"
    files = {"features.onnx": b"graph", "meta.json": b"{}"}
    for _ in range(2):
        with whole_folder(entry, "meta.json") as new:
            for name, data in files.items():
                (new / name).write_bytes(data)
    assert sorted(path.name for path in entry.iterdir()) == sorted(files)
    assert [path.name for path in entry.parent.iterdir()] == ["identity"]


def test_a_folder_whose_making_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> None:
        with whole_folder(tmp_path / "set", "done") as new:
            (new / "half").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_someone_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "theirs").write_bytes(b"theirs")
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "set", "done") as new:
        (new / "done").write_bytes(b"")
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["theirs"]


def test_others_may_read_a_folder_that_was_made(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "set", "done") as new:
        (new / "done").write_bytes(b"")
    assert (tmp_path / "set").stat().st_mode & 0o777 == 0o755


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "graph").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_whole(tmp_path / "graph", b"graph")
    assert [path.name for path in tmp_path.iterdir()] == ["graph"]
