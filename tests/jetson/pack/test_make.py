"""What is packed: the bundle, the modules that run on a device, nothing else; the same bytes each time."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from legoclf import cli
from legoclf.bundle import Bundle
from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson import pack_command
from legoclf.jetson.pack import archive as packed_archive
from legoclf.jetson.pack.make import pack

#: Imports every module out of the archive, while all that the extras bring is refused.
IMPORT_ALL = """
import importlib, sys

class Refuse(object):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {refused!r}:
            raise ImportError("refused: " + name)

archive, modules = sys.argv[1], sys.argv[2:]
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, archive)
for name in modules:
    module = importlib.import_module(name)
    assert module.__file__.startswith(archive), module.__file__
"""

REFUSED = {
    "PIL", "bottle", "cv2", "onnx", "onnxruntime", "paho", "prometheus_client", "pycuda", "scipy",
    "simplejpeg", "tensorflow", "tensorrt", "tqdm", "waitress",
}  # fmt: skip


def names_in(archive):
    with zipfile.ZipFile(archive) as packed:
        return packed.namelist()


def content_of(path):
    with open(str(path), "rb") as stream:
        return stream.read()


def run_command(*arguments):
    return pack_command.run(cli.parse("bundle pack", pack_command, list(arguments)))


def test_the_same_bundle_gives_the_same_bytes_whenever_and_wherever_it_is_packed(bundle, archive, tmp_path):
    copy = str(tmp_path / "elsewhere" / "brick.bundle")
    shutil.copytree(bundle.path, copy)
    for folder, _, files in os.walk(copy):
        for name in files:
            os.utime(os.path.join(folder, name), (1000000000, 1000000000))
            os.chmod(os.path.join(folder, name), 0o600)
    again = pack(Bundle.open(copy), str(tmp_path / "again.pyz")).path
    assert content_of(again) == content_of(archive)


def test_the_runtime_is_in_it_and_what_trains_is_not(archive):
    names = names_in(archive)
    for needed in (
        "legoclf/cli.py",
        "legoclf/jetson/camera_command.py",
        "legoclf/jetson/kernels/preprocess.cu",
        "legoclf/convert/engine/worker.py",
        "legoclf/benchmarks/device/live_command.py",
        "LICENSE",
        "NOTICE",
    ):
        assert needed in names
    folders = {name.rpartition("/")[0] for name in names if name.startswith("legoclf/")}
    assert not folders & {"legoclf/retrain", "legoclf/data", "legoclf/retrain/weights", "legoclf/data/parts"}
    assert [name for name in names if name.startswith("legoclf/convert/") and name.count("/") == 2] == [
        "legoclf/convert/__init__.py"
    ]
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_every_module_in_it_imports_out_of_it_with_numpy_alone(archive, tmp_path):
    modules = [
        name[: -len(".py")].replace("/", ".").replace(".__init__", "")
        for name in names_in(archive)
        if name.startswith("legoclf/") and name.endswith(".py") and not name.endswith("__main__.py")
    ]
    program = [sys.executable, "-c", IMPORT_ALL.format(refused=REFUSED), archive, *modules]
    subprocess.check_call(program, cwd=str(tmp_path))


def test_all_files_of_the_bundle_are_in_it_but_engines_are_not(bundle, tmp_path):
    os.mkdir(os.path.join(bundle.path, "engines"))
    with open(os.path.join(bundle.path, "engines", "of-one-machine.engine"), "wb") as stream:
        stream.write(b"plan")
    packed = pack(bundle, str(tmp_path / "brick.pyz"))
    inside = {name[len("bundle/") :] for name in names_in(packed.path) if name.startswith("bundle/")}
    assert inside == {"model.json", *bundle.files}


def test_it_is_a_program_that_the_named_python_runs(bundle, tmp_path):
    packed = pack(bundle, str(tmp_path / "brick.pyz"), python="/opt/python3 -E")
    assert content_of(packed.path).startswith(b"#!/opt/python3 -E\nPK")
    assert os.access(packed.path, os.X_OK)


@pytest.mark.parametrize("python", ["", "/usr/bin/python3\n", "a\0b"])
def test_a_python_that_is_no_command_is_refused(bundle, tmp_path, python):
    with pytest.raises(UsageError, match="--python: got .*, expected a command in one line"):
        pack(bundle, str(tmp_path / "brick.pyz"), python)


def test_a_file_of_ours_is_replaced(bundle, archive):
    before = content_of(archive)
    pack(bundle, archive, python="/usr/bin/python3")
    assert content_of(archive) != before
    assert packed_archive.read_header(archive).bundle == "brick.bundle"


def foreign_text(path):
    path.write_text("notes")


def foreign_folder(path):
    path.mkdir()


def foreign_zip(path):
    with zipfile.ZipFile(str(path), "w") as other:
        other.writestr("__main__.py", "print('of somebody else')")


def foreign_zip_with_our_name(path):
    with zipfile.ZipFile(str(path), "w") as other:
        other.writestr("packed.json", json.dumps(["of somebody else"]))


@pytest.mark.parametrize("make", [foreign_text, foreign_folder, foreign_zip, foreign_zip_with_our_name])
def test_anything_else_is_not_replaced(bundle, tmp_path, make):
    output = tmp_path / "mine.pyz"
    make(output)
    before = output.is_dir() or content_of(output)
    with pytest.raises(UsageError, match="mine.pyz: exists and was not made by .*choose another --output"):
        pack(bundle, str(output))
    assert (output.is_dir() or content_of(output)) == before


def test_what_stood_there_stays_where_a_file_of_the_bundle_goes_away_midway(bundle, archive, tmp_path):
    before = content_of(archive)
    os.unlink(bundle.file("model.onnx"))
    with pytest.raises(LegoclfError, match="brick.pyz: cannot be written: No such file"):
        pack(bundle, archive)
    assert content_of(archive) == before
    assert sorted(os.listdir(str(tmp_path))) == ["brick.bundle", "brick.pyz"]


def test_the_command_tells_size_and_how_to_run_it(bundle, tmp_path, capsys):
    output = str(tmp_path / "out" / "mine.pyz")
    assert run_command(bundle.path, "--output", output) == 0
    printed = capsys.readouterr().out
    assert "{:.1f} MB".format(os.path.getsize(output) / 1e6) in printed
    assert "brick.bundle with 2 labels" in printed
    assert "python3 mine.pyz camera" in printed


def test_the_file_is_named_like_the_bundle_and_goes_to_the_working_folder(
    bundle, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(str(tmp_path))
    assert run_command("--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["path"] == "brick.pyz"
    assert record["size"] == os.path.getsize("brick.pyz")
