"""`legoclf camera` end to end: a tiny bundle, images and frames made in memory, ONNX Runtime."""

import contextlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile

import fake_live
import novel_bundle
import numpy as np
import pytest
import tiny_bundle

from legoclf import cli
from legoclf.jetson.camera_command import status_text
from legoclf.jetson.loop import LoopStatus
from legoclf.jetson.terminal import Terminal

pytest.importorskip("onnx", reason="the bundle is made with onnx")
pytest.importorskip("onnxruntime", reason="it is run with ONNX Runtime")

LABELS = tiny_bundle.labels()
SHOWN = [0, 2, 1, 3, 0]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle.write_bundle(tmp_path_factory.mktemp("camera") / "x.bundle")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of plain images, in the order of SHOWN."""
    return save_images(tmp_path_factory.mktemp("photos"), [tiny_bundle.plain(label) for label in SHOWN])


def save_images(folder, images):
    image = pytest.importorskip("PIL.Image", reason="images are written with Pillow")
    for number, pixels in enumerate(images):
        image.fromarray(pixels).save(str(folder / "{:03d}.png".format(number)))
    return str(folder)


@pytest.fixture
def camera(bundle, capsys, caplog):
    """Runs the command: its exit code, standard output, and all that it says beside."""

    def run(*arguments):
        with caplog.at_level("INFO"):
            code = cli.main(["camera", bundle, "--backend", "onnxruntime", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, caplog.text + captured.err

    return run


def in_process(arguments, **options):
    """The command in a process of its own."""
    program = "import sys; from legoclf.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", program, "camera", "--backend", "onnxruntime", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        cwd=tempfile.gettempdir(),
        **options,
    )


def test_each_image_of_a_folder_gets_its_own_answer(camera, photos, tmp_path):
    path = tmp_path / "x.jsonl"
    code, _, _ = camera("--source", photos, "--output", "jsonl:{}".format(path))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert code == 0
    assert [record["label"] for record in records] == [LABELS[label] for label in SHOWN]
    assert [record["sequence"] for record in records] == list(range(len(SHOWN)))


def test_with_no_output_named_the_answers_are_printed_and_summed_up(camera, photos):
    code, out, said = camera("--source", photos)
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()] == [LABELS[label] for label in SHOWN]
    assert "5 frames in " in said
    assert "answers: red 2, yellow 1, green 1, blue 1" in said
    assert "ONNX Runtime" in said


def test_json_is_one_object_that_sums_up(camera, photos, tmp_path):
    path = tmp_path / "x.csv"
    spec = "csv:{}".format(path)
    code, out, _ = camera("--source", photos, "--output", spec, "--json", "--timing")
    record = json.loads(out)
    assert code == 0
    assert record["frames"] == 5
    assert record["ended_by"] == "source"
    assert record["labels"] == {"red": 2, "green": 1, "blue": 1, "yellow": 1}
    assert record["outputs"] == {spec: {"written": 5, "dropped": 0, "failed": 0}}
    assert record["source"] == {"captured": 5, "dropped": 0, "reopened": 0, "last_error": ""}
    assert record["steps_ms"]["compute"] > 0
    assert set(record["age_ms"]) == {"median", "p95", "max"}


def test_a_live_source_ends_after_the_frames(camera):
    code, out, _ = camera("--source", "synthetic://?fps=0&width=64&height=48", "--frames", "30", "--json")
    assert code == 0
    assert json.loads(out)["ended_by"] == "frames"


def test_top_k_labels_are_given(camera, photos, tmp_path):
    path = tmp_path / "x.jsonl"
    camera("--source", photos, "--output", "jsonl:{}".format(path), "--top_k", "2")
    assert {len(json.loads(line)["top"]) for line in path.read_text().splitlines()} == {2}


def test_what_is_not_likely_enough_is_unknown(camera, tmp_path):
    # Half way between red and blue: neither is much above a half.
    photos = save_images(tmp_path, [(tiny_bundle.plain(0) // 2 + tiny_bundle.plain(2) // 2)])
    for least, names in (("0.9", ["unknown"]), ("0", ["red", "blue"])):
        _, out, _ = camera("--source", photos, "--unknown_below", least)
        assert out.split()[1] in names


@pytest.mark.parametrize(("flags", "label"), [([], "unknown"), (["--no_novelty"], "red")])
def test_what_is_too_strange_for_the_bundle_is_unknown(tmp_path, flags, label):
    bundle = novel_bundle.write_bundle(tmp_path / "novel.bundle")
    photos = save_images(tmp_path, [novel_bundle.strange(), tiny_bundle.plain(1)])
    path = tmp_path / "x.jsonl"
    arguments = ["--backend", "onnxruntime", "--source", photos, "--output", "jsonl:{}".format(path)]
    assert cli.main(["camera", bundle, *arguments, *flags]) == 0
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["label"] for record in records] == [label, "green"]
    assert records[0]["novelty"] == pytest.approx(3.783, abs=1e-3)
    assert records[0]["top"][0]["label"] == "red"


def test_the_roi_alone_is_looked_at(camera, tmp_path):
    halves = np.concatenate([tiny_bundle.plain(0), tiny_bundle.plain(2)], axis=1)
    photos = save_images(tmp_path, [halves])
    for roi, label in (("0,0,0.5,1", "red"), ("64,0,64,48", "blue")):
        _, out, _ = camera("--source", photos, "--roi", roi)
        assert out.split()[1] == label


def test_each_object_on_the_table_is_counted_once(camera, tmp_path):
    pytest.importorskip("cv2", reason="objects are located with OpenCV")
    table = np.full((240, 320, 3), 128, np.uint8)
    table[40:80, 40:80] = tiny_bundle.plain(0)[0, 0]
    table[120:160, 200:240] = tiny_bundle.plain(2)[0, 0]
    photos = save_images(tmp_path, [table] * 8)
    code, out, _ = camera("--source", photos, "--locate", "--json")
    assert code == 0
    counted = {label: count for label, count in json.loads(out)["counted"].items() if count}
    assert counted == {"red": 1, "blue": 1}


def test_a_record_that_could_not_be_written_whole_is_exit_code_1(camera, photos):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    code, _, said = camera("--source", photos, "--output", "jsonl:/dev/full")
    assert code == 1
    assert said.count("output jsonl:/dev/full: No space left on device; going on without it") == 1
    assert "output jsonl:/dev/full: 0 written, 0 dropped as it was slow, 5 lost as it failed" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--top_k", "0"], "--top_k: got 0, expected 1 or more"),
        (["--frames", "0"], "--frames: got 0, expected 1 or more"),
        (["--seconds", "-1"], "--seconds: got -1.0, expected 0 or more"),
        (["--smooth_s", "nan"], "--smooth_s: got nan, expected 0 or more"),
        (["--unknown_below", "50"], "--unknown_below: got 50.0, expected 0 to 1"),
        (["--roi", "1,2"], "--roi: got '1,2', expected x,y,width,height"),
        (["--output", "jsonl"], "--output: got 'jsonl', expected jsonl:WHERE"),
        (["--count_line", "x=3"], "--count_line counts what --locate finds: give --locate too"),
        (["--json", "--output", "jsonl:-"], "--json has standard output for itself"),
        (["--source", "cis://0"], "cis://"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(camera, arguments, message):
    code, out, said = camera("--source", "synthetic://", *arguments)
    assert (code, out) == (2, "")
    assert message in said
    assert said.count("\n") == 1


def test_a_window_where_there_is_none_is_one_line(camera, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    code, _, said = camera("--source", "synthetic://", "--output", "window")
    assert code == 1
    assert "legoclf: error: window: " in said
    assert said.count("\n") == 1


def test_an_output_that_exists_is_refused_before_the_network_is_loaded(camera, photos, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("")
    code, _, said = camera("--source", photos, "--output", "csv:{}".format(path))
    assert code == 1
    assert said == "legoclf: error: {}: exists already; name another file, or --overwrite\n".format(path)


def test_a_bundle_whose_contract_was_altered_is_stopped_and_no_golden_overrides(
    camera, bundle, photos, tmp_path
):
    altered = str(tmp_path / "altered.bundle")
    shutil.copytree(bundle, altered)
    path = os.path.join(altered, "model.json")
    with open(path) as stream:
        record = json.load(stream)
    record["input"]["colour_order"] = "BGR"
    with open(path, "w") as stream:
        json.dump(record, stream)
    arguments = ["camera", altered, "--backend", "onnxruntime", "--source", photos]
    assert cli.main(arguments) == 1
    assert cli.main([*arguments, "--no_golden"]) == 0


def test_a_reader_that_goes_ends_the_run(bundle):
    arguments = [bundle, "--source", "synthetic://?fps=0&width=64&height=48", "--output", "jsonl:-"]
    process = in_process(arguments)
    assert json.loads(process.stdout.readline())["sequence"] == 0
    process.stdout.close()
    assert process.wait(60) == 1
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


def status(**fields):
    plain = LoopStatus(29.97, 100, fake_live.result("a", 0.9), "running", 0, "", 0, 0)
    return status_text(plain._replace(**fields))


def test_the_status_names_rate_answer_and_age():
    assert status() == "30.0 frames/s, a 90%, 20 ms old"


def test_the_status_of_what_is_novel_has_no_percentage():
    novel = fake_live.result("unknown", 0.97, novelty=3.0, is_novel=True)
    assert status(last=novel) == "30.0 frames/s, unknown, 20 ms old"


def test_the_status_begins_with_what_is_the_matter_with_the_source():
    said = status(state="lost", last_error="no frame for 3 s", reopened=2, dropped=7, output_losses=1)
    assert said.startswith("source lost: no frame for 3 s, 30.0 frames/s, ")
    assert said.endswith(", 7 dropped, reopened 2x, outputs missed 1")


def test_a_label_cannot_steer_the_terminal():
    assert "\x1b" not in status(last=fake_live.result("\x1b[2J"))


class TerminalStream(io.StringIO):
    def isatty(self):
        return True


@contextlib.contextmanager
def a_terminal():
    """Standard error and output as one terminal, and the log on it."""
    stream = TerminalStream()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with contextlib.redirect_stderr(stream), contextlib.redirect_stdout(stream):
            yield stream
    finally:
        root.removeHandler(handler)


def visible(stream):
    """The lines that a terminal would show."""
    return [line.rpartition("\r\x1b[K")[2] for line in stream.getvalue().split("\n")]


def test_lines_and_messages_do_not_mix_with_the_status_on_a_terminal():
    with a_terminal() as screen, Terminal() as terminal:
        terminal.status("10 frames/s", "")
        terminal.line("a 90%")
        terminal.status("20 frames/s", "")
        logging.getLogger().error("camera lost")
        terminal.status("30 frames/s", "")
    assert visible(screen) == ["a 90%", "camera lost", ""]


def test_without_a_terminal_the_status_is_a_line_now_and_then_and_when_it_matters(caplog):
    with caplog.at_level("INFO"), contextlib.redirect_stderr(io.StringIO()), Terminal() as terminal:
        for text, key in (("1", "running"), ("2", "running"), ("3", "lost"), ("4", "lost"), ("5", "running")):
            terminal.status(text, key)
    assert caplog.messages == ["1", "3", "5"]
