"""The bundle out of the file: whole or not at all, once for all starts, and never outside its folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from legoclf.bundle import Bundle
from legoclf.errors import LegoclfError
from legoclf.jetson.pack.make import pack
from legoclf.jetson.pack.unpack import unpack

UNPACK = "import sys; from legoclf.jetson.pack.unpack import unpack; print(unpack(*sys.argv[1:]))"


def start(archive, cache):
    """An unpacking in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", UNPACK, archive, cache], stdout=subprocess.PIPE, cwd=os.path.dirname(archive)
    )


def below(folder):
    """All files below a folder, hidden ones among them."""
    return sorted(
        os.path.relpath(os.path.join(place, name), folder)
        for place, _, files in os.walk(folder)
        for name in files
    )


def changed(archive, path, change):
    """A copy of an archive with other contents: ``change(name, content)`` gives the new one, None none."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(str(path), "w") as target:
        for name in source.namelist():
            content = change(name, source.read(name))
            if content is not None:
                target.writestr(name, content)
    return str(path)


def put_engine(place):
    os.makedirs(os.path.join(place, "engines"))
    with open(os.path.join(place, "engines", "here.engine"), "wb") as stream:
        stream.write(b"plan")


def has_engine(place):
    return os.path.isfile(os.path.join(place, "engines", "here.engine"))


def test_what_comes_out_is_the_bundle_that_went_in(bundle, archive, cache):
    opened = Bundle.open(unpack(archive, cache))
    assert os.path.basename(opened.path) == "brick.bundle"
    assert opened[1:] == bundle[1:]


def test_the_second_start_finds_it_there(archive, cache):
    place = unpack(archive, cache)
    before = os.stat(os.path.join(place, "model.onnx"))
    assert unpack(archive, cache) == place
    assert os.stat(os.path.join(place, "model.onnx")) == before


def test_engines_are_found_again_by_another_file_with_the_same_bundle(bundle, archive, cache, tmp_path):
    put_engine(unpack(archive, cache))
    renewed = pack(bundle, str(tmp_path / "renewed.pyz"), python="/usr/bin/python3.8").path
    assert has_engine(unpack(renewed, cache))


def test_another_bundle_of_that_name_has_a_place_of_its_own(write_bundle, archive, cache, tmp_path):
    other = write_bundle(tmp_path / "other" / "brick.bundle", {"model.onnx": b"other weights"})
    second = pack(other, str(tmp_path / "second.pyz")).path
    put_engine(unpack(archive, cache))
    assert not has_engine(unpack(second, cache))
    assert has_engine(unpack(archive, cache))


def damage_content(place):
    with open(os.path.join(place, "model.onnx"), "r+b") as stream:
        stream.write(b"W")


def damage_by_loss(place):
    os.unlink(os.path.join(place, "golden.npz"))


def damage_model_json(place):
    os.truncate(os.path.join(place, "model.json"), 10)


@pytest.mark.parametrize("damage", [damage_content, damage_by_loss, damage_model_json])
def test_one_that_is_damaged_is_unpacked_again_and_keeps_its_engines(archive, cache, damage):
    place = unpack(archive, cache)
    put_engine(place)
    damage(place)
    assert unpack(archive, cache) == place
    assert Bundle.open(place).files
    assert has_engine(place)


def test_many_starts_at_once_all_get_it_whole_and_leave_nothing_else(archive, cache):
    starts = [start(archive, cache) for _ in range(4)]
    places = {each.communicate()[0] for each in starts}
    assert [each.returncode for each in starts] == [0] * 4
    assert len(places) == 1
    place = places.pop().decode().strip()
    assert Bundle.open(place).files
    assert os.listdir(os.path.dirname(place)) == ["brick.bundle"]


def test_a_start_that_is_killed_midway_leaves_nothing_that_counts(write_bundle, files, tmp_path, cache):
    files["model.onnx"] = b"w" * 60000000
    big = write_bundle(tmp_path / "big.bundle", files)
    archive = pack(big, str(tmp_path / "big.pyz")).path
    killed = start(archive, cache)
    while not any(name.endswith("model.onnx") for name in below(cache)):
        assert killed.poll() is None
        time.sleep(0.001)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    place = unpack(archive, cache)
    assert Bundle.open(place).files
    assert os.listdir(os.path.dirname(place)) == ["big.bundle"]


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "report/../../evil", "a\\..\\evil", "C:evil", ""])
def test_a_name_that_leads_outside_is_refused_and_nothing_is_written(archive, files, cache, tmp_path, name):
    def change(entry, content):
        if entry != "bundle/model.json":
            return content
        record = json.loads(content.decode())
        record["files"][name] = record["files"].pop("golden.npz")
        return json.dumps(record)

    evil = changed(archive, tmp_path / "evil.pyz", change)
    with zipfile.ZipFile(evil, "a") as packed:
        packed.writestr("bundle/" + name, files["golden.npz"])
    with pytest.raises(LegoclfError, match="evil.pyz: damaged: .* is not a path inside the bundle"):
        unpack(evil, cache)
    assert below(cache) == []


@pytest.mark.parametrize("name", ["..", "../evil.bundle", "a/b", ""])
def test_a_bundle_whose_name_is_a_path_is_refused(archive, cache, tmp_path, name):
    def change(entry, content):
        return (
            json.dumps(dict(json.loads(content.decode()), bundle=name)) if entry == "packed.json" else content
        )

    with pytest.raises(LegoclfError, match="evil.pyz: packed.json: bundle: .* is no name"):
        unpack(changed(archive, tmp_path / "evil.pyz", change), cache)
    assert below(cache) == []


@pytest.mark.parametrize("content", [None, b"short", b"WEIGHTS" * 50000], ids=["missing", "short", "another"])
def test_a_file_that_is_not_the_one_listed_is_refused_and_nothing_stays(archive, cache, tmp_path, content):
    bad = changed(archive, tmp_path / "bad.pyz", lambda n, c: content if n == "bundle/model.onnx" else c)
    with pytest.raises(LegoclfError, match="bad.pyz: damaged: .*copy the file again"):
        unpack(bad, cache)
    assert below(cache) == []


def test_a_file_whose_bytes_changed_on_the_way_is_refused(archive, files, cache, tmp_path):
    bad = str(tmp_path / "bad.pyz")
    shutil.copyfile(archive, bad)
    with open(bad, "r+b") as stream:
        position = stream.read().index(files["model.onnx"])
        stream.seek(position + 5)
        stream.write(b"?")
    with pytest.raises(LegoclfError, match="bad.pyz: damaged: .*copy the file again"):
        unpack(bad, cache)
    assert below(cache) == []


def test_a_cache_that_cannot_be_written_is_told_with_the_mend(archive, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LegoclfError, match="brick.pyz: cannot be unpacked to .*LEGOCLF_CACHE_DIR"):
        unpack(archive, str(tmp_path / "file" / "cache"))
