"""A bundle that is changed is the old one or the new one at every moment, and nothing else of it changes."""

import json
import os
import resource
import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager

import pytest

from legoclf.bundle import Bundle
from legoclf.bundle_update import add_files, timestamp, update_metrics
from legoclf.bundle_writer import BundleWriter
from legoclf.contract import unit_range_contract
from legoclf.errors import BundleError, LegoclfError
from legoclf.novelty import NoveltyRule

METRICS = {"test_accuracy": 0.9, "images": {"train": 3}}

CHANGES = {
    "figures": lambda bundle: update_metrics(bundle, {"new": 1}),
    "files": lambda bundle: add_files(
        bundle, {"model.onnx": bytes(100)}, {"new": 1}, {}, remove=["report/index.html"]
    ),
}


def write(path, novelty=None):
    with BundleWriter(str(path)) as writer:
        for name in ("model.onnx", "report/index.html", "model.fp16.onnx"):
            with open(writer.file(name), "wb") as stream:
                stream.write(b"old " + name.encode("utf-8"))
        return writer.finish(
            ["brick", "Plättchen"], unit_range_contract(32, 32), METRICS, {"seed": 0}, novelty
        )


@pytest.fixture
def bundle(tmp_path):
    opened = write(tmp_path / "bricks.bundle")
    put(tmp_path / "bricks.bundle/engines/one.engine", b"engine")
    return opened


def put(path, content):
    if not path.parent.is_dir():
        path.parent.mkdir()
    path.write_bytes(content)


def tree(folder):
    """Every file below a folder: relative name to content."""
    found = {}
    for directory, _, names in os.walk(str(folder)):
        for name in names:
            path = os.path.join(directory, name)
            with open(path, "rb") as stream:
                found[os.path.relpath(path, str(folder))] = stream.read()
    return found


@contextmanager
def as_another_user():
    """As somebody without rights to the folder, where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def no_file_longer_than(size):
    """What a full disk does: writing stops part of the way, with an error of the system's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_figure_is_added_and_nothing_else_changes(bundle, tmp_path):
    before = tree(tmp_path)
    update_metrics(bundle, {"verification": {"passed": True}})
    after = tree(tmp_path)
    place = os.path.join("bricks.bundle", "model.json")
    old, new = (content.pop(place).decode("utf-8") for content in (before, after))
    added = ',\n    "verification": {\n      "passed": true\n    }'
    assert new.replace(added, "") == old
    assert after == before


def test_a_figure_that_stood_there_keeps_its_place(bundle):
    changed = update_metrics(bundle, {"test_accuracy": 0.8})
    assert list(changed.metrics.items()) == [("test_accuracy", 0.8), ("images", {"train": 3})]
    assert Bundle.open(bundle.path) == changed


@pytest.mark.parametrize("change", ["figures", "files"])
def test_the_rule_for_novelty_stays(change, tmp_path):
    rule = NoveltyRule("energy", -3.25, 0.01)
    changed = CHANGES[change](write(tmp_path / "x.bundle", rule))
    assert changed.novelty == Bundle.open(changed.path).novelty == rule


def test_a_rule_for_novelty_that_changed_meanwhile_is_refused(tmp_path):
    bundle = write(tmp_path / "x.bundle", NoveltyRule("energy", 1.0, 0.01))
    write(tmp_path / "x.bundle", NoveltyRule("energy", 2.0, 0.01))
    with pytest.raises(BundleError, match="model.json: novelty changed while"):
        update_metrics(bundle, {"verification": {}})


def test_figures_of_a_bundle_that_changed_meanwhile_are_refused(bundle):
    update_metrics(bundle, {"test_accuracy": 0.8})
    with pytest.raises(BundleError, match=r"model.json: metrics changed while .* run the command again"):
        update_metrics(bundle, {"verification": {}})
    assert Bundle.open(bundle.path).metrics["test_accuracy"] == 0.8


def test_files_for_a_bundle_that_changed_meanwhile_are_refused(bundle):
    add_files(bundle, {"model.onnx": b"of another run"}, {}, {})
    with pytest.raises(BundleError, match="model.json: files changed while"):
        add_files(bundle, {"model.onnx": b"new"}, {}, {})


def test_the_permissions_of_model_json_stay(bundle):
    place = os.path.join(bundle.path, "model.json")
    os.chmod(place, 0o604)
    update_metrics(bundle, {"verification": {}})
    assert os.stat(place).st_mode & 0o777 == 0o604


def test_what_a_killed_update_left_does_not_keep_a_new_bundle_away(bundle, tmp_path):
    # No process has this number: Linux counts to 2**22 at most.
    put(tmp_path / "bricks.bundle/.model.json.4999999.abc.tmp", b"{")
    write(tmp_path / "bricks.bundle")
    assert not [name for name in tree(tmp_path) if name.endswith(".tmp")]


def test_what_a_killed_run_left_beside_the_bundle_goes_when_files_are_added(bundle, tmp_path):
    (tmp_path / ".bricks.bundle.4999999.abc.tmp").mkdir()
    add_files(bundle, {"model.int8.onnx": b"int8"}, {}, {})
    assert os.listdir(str(tmp_path)) == ["bricks.bundle"]


def test_files_are_added_replaced_and_removed(bundle):
    files = {"model.int8.onnx": b"int8", "report/index.html": b"new page"}
    changed = add_files(bundle, files, {"fp16": 1}, {"convert": 2}, remove=["model.fp16.onnx", "none"])
    names = ["labels.txt", "model.int8.onnx", "model.onnx", "report/index.html"]
    assert list(changed.files) == names
    content = tree(bundle.path)
    assert sorted(content) == sorted([*names, "engines/one.engine", "model.json"])
    assert (content["model.int8.onnx"], content["report/index.html"]) == (b"int8", b"new page")
    assert changed == Bundle.open(bundle.path)
    assert changed.metrics == dict(METRICS, fp16=1)
    assert changed.provenance == {"seed": 0, "convert": 2}


def test_a_field_that_this_version_does_not_know_stays(bundle):
    place = os.path.join(bundle.path, "model.json")
    with open(place, "rb") as stream:
        record = json.loads(stream.read().decode("utf-8"))
    with open(place, "wb") as stream:
        stream.write(json.dumps(dict(record, later={"a": 1})).encode("utf-8"))
    add_files(bundle, {"model.int8.onnx": b"int8"}, {}, {})
    with open(place, "rb") as stream:
        assert json.loads(stream.read().decode("utf-8"))["later"] == {"a": 1}


def test_engines_of_another_model_do_not_stay(bundle):
    add_files(bundle, {"model.onnx": b"another"}, {}, {})
    assert not os.path.exists(os.path.join(bundle.path, "engines"))


def test_engines_stay_when_model_onnx_is_written_as_it_was(bundle):
    add_files(bundle, {"model.onnx": b"old model.onnx"}, {}, {})
    assert os.path.exists(os.path.join(bundle.path, "engines", "one.engine"))


def test_a_file_of_the_users_own_stays(bundle, tmp_path):
    put(tmp_path / "bricks.bundle/notes.txt", b"mine")
    add_files(bundle, {"model.int8.onnx": b"int8"}, {}, {})
    assert tree(bundle.path)["notes.txt"] == b"mine"


def test_a_bundle_behind_a_link_is_changed_where_it_lies(bundle, tmp_path):
    link = str(tmp_path / "current")
    os.symlink(bundle.path, link)
    add_files(Bundle.open(link), {"model.int8.onnx": b"int8"}, {}, {})
    assert os.path.islink(link)
    assert "model.int8.onnx" in Bundle.open(bundle.path).files


@pytest.mark.parametrize("name", ["model.json", "labels.txt", "../outside", "/outside", "report//x"])
def test_what_is_the_bundles_own_or_outside_it_is_not_written(bundle, tmp_path, name):
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="no name of a file to add"):
        add_files(bundle, {name: b""}, {}, {})
    assert tree(tmp_path) == before


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_full_disk_leaves_all_as_it_was(bundle, tmp_path, change):
    before = tree(tmp_path)
    with no_file_longer_than(64), pytest.raises(LegoclfError, match=r"bricks.bundle.*it is as it was"):
        CHANGES[change](bundle)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_bundle_that_may_not_be_written_is_one_clear_line(change):
    """In a folder of its own: pytest's is closed to other users altogether."""
    folder = tempfile.mkdtemp()
    try:
        bundle = write(os.path.join(folder, "bricks.bundle"))
        before = tree(folder)
        for path in (bundle.path, folder):
            os.chmod(path, 0o555)
        with as_another_user(), pytest.raises(LegoclfError, match="cannot be written: Permission denied; it"):
            CHANGES[change](bundle)
        assert tree(folder) == before
    finally:
        for path in (folder, os.path.join(folder, "bricks.bundle")):
            os.chmod(path, 0o755)
        shutil.rmtree(folder)


def trace_lines(work, on_line):
    """Do ``work``; ``on_line`` is called for each line of our modules that runs, with its file and number."""

    def trace(frame, event, argument):
        name = os.path.basename(frame.f_code.co_filename)
        if name not in ("bundle_update.py", "bundle_writer.py"):
            return None
        if event == "line":
            on_line((name, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)


def killed_at(moment, work):
    """Do ``work`` in a child that kills itself before the so manieth line that runs; whether it did."""
    child = os.fork()
    if child == 0:
        left = [moment]

        def count(_):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            trace_lines(work, count)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="two directories change places on Linux alone"
)
@pytest.mark.parametrize("change", sorted(CHANGES))
def test_killed_at_any_line_the_bundle_is_the_old_or_the_new_one(tmp_path, change):
    def work():
        CHANGES[change](Bundle.open(path))

    path = str(tmp_path / "bricks.bundle")
    write(path)
    old = tree(path)
    ran = []
    trace_lines(work, ran.append)
    new = tree(path)
    # Of a line that runs again and again the first time and the last.
    last = {line: moment for moment, line in enumerate(ran, 1)}
    first = {line: moment for moment, line in reversed(list(enumerate(ran, 1)))}
    seen = []
    for moment in sorted(set(first.values()) | set(last.values())):
        write(path)
        assert killed_at(moment, work)
        Bundle.open(path)
        left = {name: content for name, content in tree(path).items() if not name.endswith(".tmp")}
        assert left in (old, new), "killed at {}".format(ran[moment - 1])
        seen.append(left == new)
    assert True in seen
    assert False in seen
    write(path)
    work()
    assert os.listdir(str(tmp_path)) == ["bricks.bundle"]


def test_the_time_is_that_of_a_reproducible_build(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    assert timestamp() == "2020-09-13T12:26:40Z"
