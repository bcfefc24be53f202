"""The benchmark of the live loop: what it measures is what it says, on a few small turns."""

import json
import time
from typing import Any, Dict

import fake_live
import numpy as np
import pytest
import tiny_bundle

from legoclf.benchmarks.device import callers, live, live_command
from legoclf.benchmarks.device.result import Result, parse
from legoclf.cli import parse as parse_arguments
from legoclf.errors import UsageError

SMALL = "synthetic://?width=64&height=48&fps=0"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("onnx", reason="the bundle is made with onnx")
    pytest.importorskip("onnxruntime", reason="the loop runs in ONNX Runtime")
    return tiny_bundle.write_bundle(tmp_path_factory.mktemp("bundle") / "x.bundle")


def run(*arguments: str) -> int:
    args = parse_arguments("benchmark live", live_command, list(arguments))
    args.command_line = ["legoclf", "benchmark", "live", *arguments]
    return live_command.run(args)


@pytest.fixture(scope="module")
def result(bundle: str, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Three turns on frames that lie ready, and on a source of 200 frames/s."""
    path = tmp_path_factory.mktemp("result") / "live.json"
    arguments = ("--backend", "onnxruntime", "--frames", "5", "--rounds", "3", "--source_fps", "200")
    assert run(bundle, *arguments, "--source", SMALL, "--output", str(path)) == 0
    record: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return parse(record, str(path))


def test_each_way_has_a_rate_of_each_turn(result: Result) -> None:
    for name in (callers.OWN, callers.ALL_CORES, live.LOOP, "answers, a source of 200 frames/s"):
        turns = result.find(name).turns
        assert [len(turn) for turn in turns] == [1, 1, 1]
        assert min(min(turn) for turn in turns) > 0


@pytest.mark.parametrize("source", ["frames that lie ready", "a source of 200 frames/s"])
def test_the_age_of_every_answer_is_kept(result: Result, source: str) -> None:
    series = result.find("from capture to answer, " + source)
    assert series.unit == "ms"
    assert [len(turn) for turn in series.turns] == [5, 5, 5]
    assert min(min(turn) for turn in series.turns) > 0


def test_the_loop_is_compared_with_each_bare_way_in_turns(result: Result) -> None:
    assert [(ratio.name, ratio.better) for ratio in result.ratios] == [
        ("the live loop, of " + name, "higher")
        for name in [one.name for one in result.series if one.name.startswith("bare")]
    ]


def test_the_steps_of_a_frame_by_itself_are_those_that_this_runtime_has(result: Result) -> None:
    steps = [one.name for one in result.series if one.name.endswith("one frame by itself")]
    assert steps == ["preprocess, one frame by itself", "compute, one frame by itself"]


def test_frames_that_were_dropped_or_answered_twice_are_told(result: Result) -> None:
    paced = result.facts["paced"]
    assert paced["answered"] == 15
    assert paced["duplicates"] == paced["disordered"] == 0
    assert any("answered twice" in note for note in result.facts["notes"])


def test_the_table_names_what_ran_and_the_ratios(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bundle, "--frames", "4", "--rounds", "2", "--source", SMALL, "--source_fps", "0") == 0
    text = capsys.readouterr().out
    assert "| the live loop, of " + callers.OWN in text
    assert "the live loop: 4 frames in each turn from" in text
    assert "ONNX Runtime" in text
    assert "a source of" not in text


def test_gaps_are_frames_dropped_and_equal_numbers_answers_given_twice() -> None:
    tally = live.Tally().plus([3, 4, 7, 8]).plus([0, 1, 1, 2])
    assert tally == live.Tally(answered=8, dropped=2, duplicates=1, disordered=0)


def test_an_answer_to_an_older_frame_is_out_of_order() -> None:
    assert live.Tally().plus([0, 2, 1, 3]) == live.Tally(4, 0, 0, 1)


def test_a_run_without_an_answer_has_dropped_none() -> None:
    assert live.Tally().plus([]) == live.Tally()


def test_a_source_faster_than_the_runtime_drops_frames_and_answers_none_twice() -> None:
    class Slow(fake_live.FakeRuntime):
        def preprocess(self, frame: Any) -> Any:
            return np.zeros((3, 4, 4), np.float32)

    def answer_of(frame: Any) -> Any:
        time.sleep(0.02)  # of a source of 500 frames/s some nine frames come meanwhile
        return [0.7, 0.2, 0.1]

    runtime: Any = Slow(answer_of=answer_of)
    turns = live._Turns()
    tally = live.Tally().plus(live._paced_turn(runtime, SMALL, 500.0, 6, turns))
    assert tally.answered == 6
    assert tally.dropped >= 5
    assert tally.duplicates == tally.disordered == 0
    assert len(turns.samples["from capture to answer, a source of 500 frames/s"][0]) == 6


def test_the_paced_source_is_as_large_as_the_one_that_is_named() -> None:
    assert live.paced_source(SMALL, 30.0) == "synthetic://?width=64&height=48&format=BGR&fps=30"
    assert live.paced_source("/dev/video0", 12.5).startswith("synthetic://?width=640&height=480&")


@pytest.mark.parametrize("flag", ["frames", "rounds"])
def test_too_few_are_refused(flag: str) -> None:
    with pytest.raises(UsageError, match="--{}: got 1, expected 2 or more".format(flag)):
        run("x.bundle", "--" + flag, "1")


@pytest.mark.parametrize("fps", ["-5", "0.5", "nan", "2000"])
def test_a_rate_that_no_camera_has_is_refused(fps: str) -> None:
    with pytest.raises(UsageError, match="--source_fps: got"):
        run("x.bundle", "--source_fps=" + fps)


def test_the_default_source_makes_frames_of_640_by_480() -> None:
    assert live._frame(live_command.DEFAULT_SOURCE).image.shape == (480, 640, 3)
