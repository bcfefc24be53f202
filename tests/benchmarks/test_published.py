"""Figures of others: each with its source, in a table of their own, never taken for a measurement."""

import json
from pathlib import Path
from typing import Any

import pytest

from legoclf.benchmarks.device.result import load
from legoclf.benchmarks.published import PUBLISHED, Published, as_markdown, load_published
from legoclf.errors import LegoclfError

FIGURE: dict[str, Any] = {
    "device": "jetson-nano",
    "model": "MobileNetV2",
    "backend": "TensorRT",
    "latency_ms": 17,
    "source": "a README",
}


def load_records(tmp_path: Path, record: object) -> list[Published]:
    path = tmp_path / "published.json"
    path.write_text(json.dumps(record))
    return load_published(path)


def test_the_published_figures_of_the_nano_are_there() -> None:
    figures = load_published()
    nano = {
        each.precision: each.latency_ms
        for each in figures
        if each.device == "jetson-nano" and each.backend == "TensorRT C++"
    }
    assert nano == {"fp32": 19.53, "fp16": 17.65}


def test_every_published_figure_names_its_source_in_full() -> None:
    sources = [each.source for each in load_published()]
    assert sources
    assert not any("as above" in source for source in sources)


def test_published_figures_are_no_result() -> None:
    with pytest.raises(LegoclfError, match="not a benchmark result"):
        load(str(PUBLISHED))


@pytest.mark.parametrize("field", ["device", "model", "backend", "source"])
def test_a_figure_that_leaves_out_where_it_is_from_is_refused(tmp_path: Path, field: str) -> None:
    with pytest.raises(LegoclfError, match=f"figure 1 does not tell: {field}"):
        load_records(tmp_path, [{**FIGURE, field: " "}])


@pytest.mark.parametrize("latency", [None, 0, -1, True, "17", float("nan"), float("inf")])
def test_a_figure_that_is_none_is_refused(tmp_path: Path, latency: object) -> None:
    with pytest.raises(LegoclfError, match="figure 2: expected latency_ms or throughput_img_s"):
        load_records(tmp_path, [FIGURE, {**FIGURE, "latency_ms": latency}])


def test_raw_samples_do_not_belong_there(tmp_path: Path) -> None:
    with pytest.raises(LegoclfError, match="figure 1 has unknown fields: turns"):
        load_records(tmp_path, [{**FIGURE, "turns": [[17]]}])


@pytest.mark.parametrize("record", [{}, "x", [1]])
def test_a_file_of_another_shape_is_refused(tmp_path: Path, record: object) -> None:
    with pytest.raises(LegoclfError, match="published.json"):
        load_records(tmp_path, record)


def test_the_table_has_every_figure_as_its_source_told_it(tmp_path: Path) -> None:
    text = as_markdown(load_records(tmp_path, [{**FIGURE, "source": "a | b", "latency_ms": 17.65}, FIGURE]))
    assert text.splitlines()[-2:] == [
        "| jetson-nano | MobileNetV2 | TensorRT | not told | 17.65 |  | not told | a \\| b |",
        "| jetson-nano | MobileNetV2 | TensorRT | not told | 17 |  | not told | a README |",
    ]
