"""Reference results: grouped by device, refused without raw samples; a board without one says so."""

import json
from pathlib import Path

import pytest
from benchmark_results import inference, result, turns

from legoclf.benchmarks import gallery
from legoclf.benchmarks.device.boards import load_boards
from legoclf.benchmarks.device.result import Series, save, to_json
from legoclf.errors import LegoclfError

NANO = "NVIDIA Jetson Nano Developer Kit"


def test_results_are_grouped_by_device_and_ordered_by_kind(tmp_path: Path) -> None:
    save(result([Series("x", "1/s", turns(30))], kind="live"), str(tmp_path / "a.json"))
    save(inference(), str(tmp_path / "b.json"))
    save(inference(device=NANO), str(tmp_path / "c.json"))
    (tmp_path / "README.md").write_text("no result")
    found = gallery.load_gallery(tmp_path).results
    assert {device: [each.kind for each in results] for device, results in found.items()} == {
        NANO: ["inference"],
        "a desk computer": ["inference", "live"],
    }


@pytest.mark.parametrize(
    ("device", "key"),
    [
        (NANO, "jetson-nano"),
        ("NVIDIA Jetson Xavier NX Developer Kit", "jetson-xavier-nx"),
        ("NVIDIA Jetson Orin Nano Developer Kit", "jetson-orin-nano-8gb"),
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "jetson-orin-nano-8gb-super"),
    ],
)
def test_a_board_is_covered_by_a_result_of_its_own_alone(device: str, key: str) -> None:
    boards = load_boards()
    without = gallery.group([inference(device=device)]).without
    assert without == [board.name for board in boards.values() if board.key != key]


def test_no_board_is_covered_by_a_desk_computer() -> None:
    assert len(gallery.group([inference()]).without) == len(load_boards())


def test_a_board_without_a_result_is_told_in_the_tables() -> None:
    text = gallery.as_markdown(gallery.group([inference()]))
    assert "- Jetson Nano: no hardware was at hand" in text


def test_a_result_without_its_raw_samples_is_refused_by_name(tmp_path: Path) -> None:
    record = to_json(inference())
    del record["series"][0]["turns"]
    (tmp_path / "bare.json").write_text(json.dumps(record))
    with pytest.raises(LegoclfError, match="bare.json.*raw samples"):
        gallery.load_gallery(tmp_path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LegoclfError, match="nowhere: no such folder of results"):
        gallery.load_gallery(tmp_path / "nowhere")


def test_the_reference_results_of_this_repository_can_all_be_loaded() -> None:
    count = sum(len(results) for results in gallery.load_gallery().results.values())
    assert count == len(list(gallery.RESULTS.glob("*.json")))


def test_names_of_a_stranger_do_not_become_markup_in_the_tables() -> None:
    series = [Series("a | b\n<script>", "ms", turns(1))]
    text = gallery.as_markdown(gallery.group([result(series, device="<b>|x", command="`rm`\x1b")]))
    assert "<script" not in text
    assert "<b>" not in text
    assert "\x1b" not in text
