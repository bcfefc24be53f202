"""`python brick.pyz …` in a process of its own, elsewhere: the commands, the bundle inside, the children."""

import json
import os
import subprocess
import sys

import pytest
import tiny_bundle

from legoclf import cli


@pytest.fixture
def run(cache, tmp_path):
    """Runs a packed bundle in an empty folder: exit code, standard output, standard error."""
    folder = tmp_path / "working folder"
    folder.mkdir()

    def run(archive, *arguments, **variables):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LEGOCLF_")}
        clean.pop("PYTHONPATH", None)
        environment = dict(clean, **dict({"LEGOCLF_CACHE_DIR": cache}, **variables))
        # Named from where it is called, as one does.
        relative = os.path.relpath(archive, str(folder))
        process = subprocess.Popen(
            [sys.executable, relative, *arguments],
            cwd=str(folder),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )
        output, errors = process.communicate()
        return process.returncode, output, errors

    return run


def save_plain(path, label):
    """A picture of one label's colour."""
    image = pytest.importorskip("PIL.Image", reason="images are written with Pillow")
    image.fromarray(tiny_bundle.plain(label)).save(str(path))
    return str(path)


def test_without_an_argument_it_names_the_bundle_and_the_commands_that_are_in_it(run, archive):
    code, output, errors = run(archive)
    assert (code, errors) == (0, "")
    assert "with brick.bundle inside" in output
    shown = {line.split()[0] for line in output.splitlines() if line.startswith("  ")}
    assert {"camera", "classify", "build-engine", "benchmark"} <= shown
    assert not shown & {"retrain", "convert", "data", "verify", "demo", "bundle"}


def test_a_command_that_trains_is_none_of_it(run, archive):
    code, _, errors = run(archive, "retrain")
    assert code == 2
    assert "no subcommand 'retrain'" in errors


@pytest.mark.parametrize("arguments", [(), ("camera", "--help"), ("--version",)])
def test_help_unpacks_nothing(run, archive, cache, arguments):
    assert run(archive, *arguments)[0] == 0
    assert not os.path.exists(cache)


def test_the_code_that_runs_is_that_in_the_file(run, archive):
    _, _, errors = run(archive, "classify", "nothing.jpg", "--debug")
    assert os.path.join(archive, "legoclf", "classify.py") in errors


def test_an_error_before_the_command_is_one_line(run, archive, tmp_path):
    (tmp_path / "file").write_text("")
    code, output, errors = run(archive, "camera", LEGOCLF_CACHE_DIR=str(tmp_path / "file" / "x"))
    assert (code, output) == (1, "")
    assert errors.startswith("brick.pyz: error: ")
    assert errors.count("\n") == 1


@pytest.mark.skipif("doctor" not in cli.COMMANDS, reason="there is no such command yet")
def test_doctor_runs_where_nothing_can_be_unpacked(run, archive, tmp_path):
    (tmp_path / "file").write_text("")
    _, output, _ = run(archive, "doctor", "--json", LEGOCLF_CACHE_DIR=str(tmp_path / "file" / "x"))
    assert json.loads(output)


def test_classify_answers_with_the_bundle_inside(run, colours, tmp_path):
    photo = save_plain(tmp_path / "blue.png", 2)
    code, output, _ = run(colours, "classify", photo)
    assert code == 0
    assert output.startswith(photo + ": blue ")


def test_the_bundle_inside_goes_before_the_variable_and_one_that_is_named_before_both(run, colours, tmp_path):
    photo = save_plain(tmp_path / "blue.png", 2)
    other = tiny_bundle.write_bundle(tmp_path / "other.bundle")
    unnamed = run(colours, "classify", photo, "--json", LEGOCLF_BUNDLE=other)
    named = run(colours, "classify", other, photo, "--json")
    assert os.path.basename(json.loads(unnamed[1])["bundle"]) == "colours.bundle"
    assert json.loads(named[1])["bundle"] == other


def test_the_camera_loop_runs(run, colours):
    source = "synthetic://?width=64&height=48&fps=0"
    code, output, errors = run(colours, "camera", "--source", source, "--frames", "20", "--json")
    assert code == 0, errors
    assert json.loads(output)["frames"] == 20


def test_the_roofline_finds_its_data_in_the_file(run, colours):
    code, output, errors = run(colours, "benchmark", "roofline", "--json")
    assert code == 0, errors
    assert json.loads(output)


def test_the_capture_process_starts_out_of_the_file(run, colours, tmp_path):
    cv2 = pytest.importorskip("cv2", reason="the clip is written with OpenCV")
    clip = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(clip, cv2.VideoWriter_fourcc(*"MJPG"), 30, (64, 48))
    for _ in range(10):
        writer.write(tiny_bundle.plain(2)[:, :, ::-1].copy())
    writer.release()
    code, output, errors = run(colours, "camera", "--source", clip, "--json")
    assert code == 0, errors
    assert json.loads(output)["labels"] == {"blue": 10}


def test_the_engine_is_built_out_of_the_file_and_found_at_the_next_start(run, colours):
    pytest.importorskip("tensorrt_rtx_bindings", reason="NVIDIA's builder")
    build = ("build-engine", "--compute_capability", "8.9", "--fp16", "--json")
    code, _, errors = run(colours, *build)
    assert code == 0, errors
    assert run(colours, *build, "--rebuild", "never")[0] == 0
