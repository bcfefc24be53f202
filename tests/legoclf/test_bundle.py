"""A bundle is written whole or not at all, and opened only when nothing in it differs."""

import json
import os

import pytest

from legoclf.bundle import Bundle, find_bundle, looks_like_bundle, read_labels
from legoclf.bundle_writer import BundleWriter
from legoclf.contract import unit_range_contract
from legoclf.errors import BundleError, LegoclfError, UsageError
from legoclf.novelty import NoveltyRule

LABELS = ["Brick 2x4", "Plättchen", "茶"]
CONTRACT = unit_range_contract(224, 224)
NOVELTY = {"kind": "distance", "threshold": 12.5, "false_reject_rate": 0.05}


def write(path, payload=b"graph", labels=LABELS, novelty=None):
    with BundleWriter(str(path)) as writer:
        for name in ("model.onnx", "saved_model/saved_model.pb"):
            with open(writer.file(name), "wb") as stream:
                stream.write(payload)
        return writer.finish(labels, CONTRACT, {"test_accuracy": 0.9}, {"seed": 0}, novelty)


@pytest.fixture
def bundle(tmp_path):
    write(tmp_path / "bricks.bundle")
    return tmp_path / "bricks.bundle"


def edit(bundle, **fields):
    """Change fields of model.json; a field set to None is taken out."""
    record = json.loads((bundle / "model.json").read_text(encoding="utf-8"))
    record.update(fields)
    record = {name: value for name, value in record.items() if value is not None}
    (bundle / "model.json").write_text(json.dumps(record), encoding="utf-8")


def names(folder):
    return sorted(os.listdir(str(folder)))


def test_what_was_written_is_what_is_opened(bundle):
    opened = Bundle.open(str(bundle))
    assert (opened.labels, opened.contract) == (LABELS, CONTRACT)
    assert opened.metrics == {"test_accuracy": 0.9}
    assert sorted(opened.files) == ["labels.txt", "model.onnx", "saved_model/saved_model.pb"]


def test_a_bundle_of_format_1_is_read_for_ever():
    """A frozen sample, written by 0.1.0: a later version must read it too."""
    sample = Bundle.open(os.path.join(os.path.dirname(__file__), "samples", "format_1"))
    assert (sample.labels, sample.contract) == (["Brick 2x4", "Plättchen"], CONTRACT)


def test_a_rule_for_novelty_is_what_was_written(tmp_path):
    written = write(tmp_path / "x.bundle", novelty=NoveltyRule("distance", 12.5, 0.05))
    assert written.novelty == NoveltyRule("distance", 12.5, 0.05)
    record = json.loads((tmp_path / "x.bundle/model.json").read_text(encoding="utf-8"))
    assert (record["novelty"], record["format_version"]) == (NOVELTY, 1)


def test_without_a_rule_model_json_does_not_mention_novelty(bundle):
    assert Bundle.open(str(bundle)).novelty is None
    assert b"novelty" not in (bundle / "model.json").read_bytes()


def test_a_wrong_rule_is_not_written(bundle, tmp_path):
    with pytest.raises(ValueError, match="novelty.threshold: got nan"):
        write(bundle, novelty=NoveltyRule("energy", float("nan"), 0.05))
    assert Bundle.open(str(bundle)).novelty is None
    assert names(tmp_path) == ["bricks.bundle"]


def test_labels_txt_has_a_label_a_line_in_utf8(bundle):
    assert (bundle / "labels.txt").read_bytes() == "Brick 2x4\nPlättchen\n茶\n".encode("utf-8")
    assert read_labels(str(bundle / "labels.txt")) == LABELS


def test_equal_content_gives_equal_bytes(tmp_path):
    write(tmp_path / "a.bundle")
    write(tmp_path / "b.bundle")
    assert (tmp_path / "a.bundle/model.json").read_bytes() == (tmp_path / "b.bundle/model.json").read_bytes()


@pytest.mark.parametrize("name", ["model.onnx", "saved_model/saved_model.pb", "labels.txt"])
def test_a_changed_byte_is_found_and_the_file_named(bundle, name):
    content = bytearray((bundle / name).read_bytes())
    content[0] ^= 1
    (bundle / name).write_bytes(bytes(content))
    with pytest.raises(BundleError, match="{}: damaged: its SHA-256 differs".format(name)):
        Bundle.open(str(bundle))


def test_a_truncated_file_is_found_by_its_size(bundle):
    (bundle / "model.onnx").write_bytes(b"gra")
    with pytest.raises(BundleError, match="model.onnx: damaged: 3 bytes, but model.json says 5"):
        Bundle.open(str(bundle))


def test_a_missing_file_is_named(bundle):
    (bundle / "model.onnx").unlink()
    with pytest.raises(BundleError, match="model.onnx: missing"):
        Bundle.open(str(bundle))


def test_a_newer_format_is_refused_by_its_number(bundle):
    edit(bundle, format_version=2)
    with pytest.raises(BundleError, match="format_version: got 2, .* upgrade legoclf"):
        Bundle.open(str(bundle))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format_version": None}, "format_version: got None"),
        ({"format_version": "1"}, "format_version: got '1'"),
        ({"labels": []}, "labels: expected a list of names"),
        ({"labels": ["a", "a", "b"]}, "labels: one name stands there twice"),
        ({"labels": ["a", "b", "c"]}, "labels.txt and the labels of model.json differ"),
        ({"input": None}, "input: expected an object"),
        ({"input": dict(CONTRACT.to_json(), width=-1)}, "input.width: got -1"),
        ({"files": {}}, "files: expected an object"),
        ({"files": {"labels.txt": {"sha256": "0"}}}, "files.labels.txt: expected sha256 and size"),
        ({"files": {"labels.txt": {}, "../secret": {}}}, "files"),
        ({"metrics": None}, "metrics: expected an object"),
        ({"provenance": 3}, "provenance: expected an object"),
        ({"novelty": 3}, "novelty: expected an object with the fields kind, threshold, false_reject_rate"),
        ({"novelty": {"kind": "energy", "threshold": 1}}, "novelty: expected an object with the fields"),
        ({"novelty": dict(NOVELTY, more=1)}, "novelty: expected an object with the fields"),
        ({"novelty": dict(NOVELTY, kind="")}, "novelty.kind: got '', expected a name"),
        ({"novelty": dict(NOVELTY, threshold="1")}, "novelty.threshold: got '1', expected a finite number"),
        ({"novelty": dict(NOVELTY, threshold=True)}, "novelty.threshold: got True"),
        ({"novelty": dict(NOVELTY, threshold=float("inf"))}, "novelty.threshold: got inf"),
        ({"novelty": dict(NOVELTY, threshold=float("nan"))}, "novelty.threshold: got nan"),
        ({"novelty": dict(NOVELTY, threshold=10**400)}, "novelty.threshold: got 1000"),
        ({"novelty": dict(NOVELTY, false_reject_rate=0)}, "novelty.false_reject_rate: got 0, expected"),
        ({"novelty": dict(NOVELTY, false_reject_rate=1.0)}, "novelty.false_reject_rate: got 1.0"),
    ],
)
def test_a_wrong_field_of_model_json_is_named(bundle, fields, message):
    edit(bundle, **fields)
    with pytest.raises(BundleError, match=message):
        Bundle.open(str(bundle))


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a//b", "C:\\x", "a/../../b"])
def test_a_file_outside_the_bundle_is_refused(bundle, name):
    record = json.loads((bundle / "model.json").read_text(encoding="utf-8"))
    edit(bundle, files=dict(record["files"], **{name: {"sha256": "0", "size": 0}}))
    with pytest.raises(BundleError, match="is not a path inside the bundle"):
        Bundle.open(str(bundle))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_a_model_json_that_is_no_object_is_refused(bundle, content):
    (bundle / "model.json").write_bytes(content)
    with pytest.raises(BundleError, match="model.json: "):
        Bundle.open(str(bundle))


def test_a_folder_without_model_json_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match="holds no model.json"):
        Bundle.open(str(tmp_path))


def test_a_path_that_is_not_there_is_told_so(tmp_path):
    with pytest.raises(BundleError, match="no such folder"):
        Bundle.open(str(tmp_path / "none.bundle"))


def test_asking_for_a_file_it_does_not_hold_lists_what_it_holds(bundle):
    with pytest.raises(BundleError, match=r"holds no golden.npz; it holds .*model.onnx"):
        Bundle.open(str(bundle)).file("golden.npz")


def test_a_failed_write_leaves_nothing(tmp_path):
    def fail():
        with BundleWriter(str(tmp_path / "bricks.bundle")) as writer:
            writer.file("model.onnx")
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="disk"):
        fail()
    assert names(tmp_path) == []


def test_a_failed_write_leaves_the_old_bundle_as_it_was(bundle, tmp_path):
    with pytest.raises(LegoclfError, match="expected one line of text"):
        write(bundle, labels=["a\nb", "c"])
    assert Bundle.open(str(bundle)).labels == LABELS
    assert names(tmp_path) == ["bricks.bundle"]


def test_a_bundle_replaces_a_bundle(bundle, tmp_path):
    assert write(bundle, payload=b"newer").files["model.onnx"].size == 5
    assert names(tmp_path) == ["bricks.bundle"]


def test_something_that_is_not_a_bundle_is_not_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"mine")
    with pytest.raises(UsageError, match="is not a bundle; move it away"):
        BundleWriter(str(tmp_path / "photos"))


def test_a_bundle_with_a_file_of_the_users_own_is_not_replaced(bundle):
    (bundle / "notes.txt").write_bytes(b"mine")
    with pytest.raises(UsageError, match="notes.txt"):
        BundleWriter(str(bundle))


def test_a_bundle_without_a_name_is_the_only_one_here(bundle, monkeypatch, tmp_path):
    monkeypatch.delenv("LEGOCLF_BUNDLE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert find_bundle(None) == "bricks.bundle"


def test_several_bundles_here_are_listed(bundle, monkeypatch, tmp_path):
    write(tmp_path / "other.bundle")
    monkeypatch.delenv("LEGOCLF_BUNDLE", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"bricks.bundle, other.bundle"):
        find_bundle(None)


def test_no_bundle_here_says_how_to_make_one(monkeypatch, tmp_path):
    monkeypatch.delenv("LEGOCLF_BUNDLE", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="legoclf retrain"):
        find_bundle(None)


def test_the_environment_names_the_bundle_but_an_argument_goes_first(monkeypatch):
    monkeypatch.setenv("LEGOCLF_BUNDLE", "from_environment.bundle")
    assert find_bundle(None) == "from_environment.bundle"
    assert find_bundle("named.bundle") == "named.bundle"


def test_a_bundle_is_told_from_an_image_folder(bundle, tmp_path):
    assert looks_like_bundle(str(bundle))
    assert not looks_like_bundle(str(tmp_path))
