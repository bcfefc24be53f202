"""The benchmark of the live loop: what it measures is what it says, on a few small turns."""

import json

import pytest
import tiny_bundle

from legoclf.benchmarks import live, live_command
from legoclf.cli import parse
from legoclf.errors import UsageError


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_bundle.write_bundle(tmp_path_factory.mktemp("bundle") / "x.bundle")


def run(*arguments: str) -> int:
    return live_command.run(parse("benchmark live", live_command, list(arguments)))


def test_every_turn_is_kept_as_a_raw_sample(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bundle, "--backend", "onnxruntime", "--frames", "5", "--rounds", "3", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert live.OWN in result["bare"]
    assert live.ALL_CORES in result["bare"]
    for rates in (result["loop"], *result["bare"].values()):
        assert len(rates) == 3
        assert min(rates) > 0
    assert result["ratios"].keys() == result["bare"].keys()
    assert result["age_ms"]["median"] > 0
    assert result["steps_ms"]["compute"] > 0


def test_the_table_names_what_ran_and_the_ratios(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = "synthetic://?width=64&height=48&fps=0"
    assert run(bundle, "--frames", "4", "--rounds", "2", "--source", source) == 0
    text = capsys.readouterr().out
    assert text.startswith("ONNX Runtime")
    assert "width=64&height=48&fps=0, 2 turns of 4 frames" in text
    assert "the live loop, of " + live.OWN in text


def test_ratios_are_taken_turn_by_turn() -> None:
    turns = {"own": [100.0, 50.0, 200.0], "other": [50.0, 50.0, 50.0]}
    result = live.LiveResult("r", "s", 2, 10, turns, [100.0, 100.0, 100.0], {}, {})
    low, middle, high = result.ratios["own"]
    assert (low, middle, high) == (0.75, 1.0, 1.5)
    assert result.ratios["other"] == (2.0, 2.0, 2.0)
    assert result.as_json()["ratios"] == {"own": 1.0, "other": 2.0}


def test_all_frames_are_shared_out_among_callers() -> None:
    counts: list[int] = []
    live._at_once(counts.append, 3, 8)
    assert sorted(counts) == [2, 3, 3]


@pytest.mark.parametrize("flag", ["frames", "rounds"])
def test_too_few_are_refused(bundle: str, flag: str) -> None:
    with pytest.raises(UsageError, match=f"--{flag}: got 1, expected 2 or more"):
        run(bundle, f"--{flag}", "1")


def test_the_default_source_makes_frames_of_640_by_480() -> None:
    assert live._frame(live_command.DEFAULT_SOURCE).image.shape == (480, 640, 3)
