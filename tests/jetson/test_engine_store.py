"""Engines in a bundle: kept whole, and never loaded where a fact differs."""

import json
import os
import subprocess
import sys

import pytest

from legoclf import __version__
from legoclf.bundle_writer import BundleWriter
from legoclf.contract import unit_range_contract
from legoclf.errors import LegoclfError
from legoclf.jetson import engine_store
from legoclf.jetson.engine_identity import EngineIdentity, Machine, differences
from legoclf.jetson.engine_store import (
    EngineMissing,
    EngineRefused,
    choose_engine,
    find_engine,
    list_engines,
    mark_chosen,
    read_plan,
    save_engine,
    temporary_file,
    update_record,
)

NANO = Machine("8.2.1.8", "10.2", "NVIDIA Tegra X1", "5.3", "32.7.1")
PLAN = b"native code " * 50
MODEL = b"onnx"


@pytest.fixture
def bundle(tmp_path):
    path = str(tmp_path / "x.bundle")
    with BundleWriter(path) as writer:
        for name in ("model.onnx", "model.fp16.onnx"):
            with open(writer.file(name), "wb") as stream:
                stream.write(MODEL + name.encode())
        writer.finish(["a", "b"], unit_range_contract(16, 16), {}, {})
    return path


def identity(bundle, precision="fp16", machine=NANO, **changes):
    with open(os.path.join(bundle, "model.json")) as stream:
        files = json.load(stream)["files"]
    made = EngineIdentity(
        onnx_sha256=files["model.onnx"]["sha256"],
        precision=precision,
        workspace_mib=128,
        batch=(1, 1, 1),
        optimization_level=None,
        dla_core=None,
        version_compatible=False,
        hardware_compatible=False,
        **machine._asdict(),
    )
    return made._replace(**changes)


def save(bundle, precision="fp16", record=None, **changes):
    return save_engine(
        bundle,
        identity(bundle, precision, **changes),
        PLAN,
        dict({"onnx_file": "model.onnx"}, **record or {}),
    )


def edit_sidecar(engine, change):
    path = engine.path[: -len(".engine")] + ".json"
    with open(path) as stream:
        record = json.load(stream)
    change(record)
    with open(path, "w") as stream:
        json.dump(record, stream)


def names(bundle):
    return sorted(os.listdir(os.path.join(bundle, "engines")))


def test_what_is_saved_is_found_with_its_record(bundle):
    save(bundle, record={"notes": ["slow"]})
    found = find_engine(bundle, identity(bundle))
    assert (read_plan(found), found.record["notes"]) == (PLAN, ["slow"])


def test_the_folder_holds_engine_and_sidecar_alone(bundle):
    key = save(bundle).key
    assert names(bundle) == [key + ".engine", key + ".json"]


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("tensorrt", "8.5.2.2", "tensorrt 8.2.1.8 -> 8.5.2.2"),
        ("cuda", "11.4", "cuda 10.2 -> 11.4"),
        ("gpu", "Orin", "gpu NVIDIA Tegra X1 -> Orin"),
        ("compute_capability", "8.7", "compute_capability 5.3 -> 8.7"),
        ("l4t", "32.7.2", "l4t 32.7.1 -> 32.7.2"),
        ("onnx_sha256", "f" * 64, "-> ffffffffffff…"),
        ("workspace_mib", 64, "workspace_mib 128 -> 64"),
        ("batch", (1, 4, 8), "batch 1:1:1 -> 1:4:8"),
        ("optimization_level", 3, "optimization_level None -> 3"),
        ("dla_core", 0, "dla_core None -> 0"),
        ("version_compatible", True, "version_compatible False -> True"),
        ("hardware_compatible", True, "hardware_compatible False -> True"),
        ("legoclf", "0.0.1", "legoclf {} -> 0.0.1".format(__version__)),
    ],
)
def test_a_field_that_changed_is_named_with_both_values(bundle, field, value, told):
    save(bundle)
    with pytest.raises(EngineRefused, match="not for this: ") as caught:
        find_engine(bundle, identity(bundle)._replace(**{field: value}))
    assert told in str(caught.value)
    assert "legoclf build-engine {} --precision fp16 --rebuild auto".format(bundle) in str(caught.value)


def test_every_field_makes_another_key(bundle):
    made = identity(bundle)
    changes = dict.fromkeys(EngineIdentity._fields, "other")
    assert len(
        {made._replace(**{name: value}).key for name, value in changes.items()} | {made.key}
    ) == 1 + len(EngineIdentity._fields)


def test_another_precision_is_missing_and_not_changed(bundle):
    save(bundle, "fp16")
    with pytest.raises(EngineMissing, match="--precision fp32"):
        find_engine(bundle, identity(bundle, "fp32"))


def test_of_several_stale_engines_the_nearest_is_told(bundle):
    save(bundle, tensorrt="8.0.1.6", cuda="10.1", l4t="32.6.1")
    save(bundle, workspace_mib=64)
    with pytest.raises(EngineRefused, match="not for this: workspace_mib 64 -> 128;"):
        find_engine(bundle, identity(bundle))


@pytest.mark.parametrize(
    "damage", [lambda plan: plan[:-7], lambda plan: b"N" + plan[1:], lambda plan: plan + b"x"]
)
def test_a_damaged_engine_is_refused(bundle, damage):
    engine = save(bundle)
    with open(engine.path, "wb") as stream:
        stream.write(damage(PLAN))
    with pytest.raises(EngineRefused, match="damaged or exchanged"):
        find_engine(bundle, identity(bundle))


def test_an_engine_without_sidecar_is_refused(bundle):
    engine = save(bundle)
    os.unlink(engine.path[: -len(".engine")] + ".json")
    with pytest.raises(EngineRefused, match="has no sidecar"):
        find_engine(bundle, identity(bundle))


def test_an_engine_that_is_a_link_is_refused(bundle, tmp_path):
    engine = save(bundle)
    os.rename(engine.path, str(tmp_path / "elsewhere"))
    os.symlink(str(tmp_path / "elsewhere"), engine.path)
    with pytest.raises(EngineRefused, match="is a link"):
        find_engine(bundle, identity(bundle))


def replace(part, name, value):
    return lambda record: record[part].update({name: value})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (replace("identity", "gpu", "Orin"), "edited by hand"),
        (replace("engine", "file", "../../evil.engine"), "engine.file: got '../../evil.engine'"),
        (replace("engine", "file", None), "engine.file: got None"),
        (replace("engine", "sha256", "../x"), "engine.sha256"),
        (replace("engine", "size", True), "engine.size: got True"),
        (replace("engine", "size", -1), "engine.size: got -1"),
        (replace("identity", "batch", [1, 2]), "identity.batch: got [1, 2]"),
        (replace("identity", "batch", [1, 1, "1"]), "identity.batch"),
        (replace("identity", "workspace_mib", True), "identity.workspace_mib: got True"),
        (replace("identity", "version_compatible", 1), "identity.version_compatible: got 1"),
        (replace("identity", "extra", 1), "identity: expected the fields"),
        (lambda record: record["identity"].pop("cuda"), "identity: expected the fields"),
        (lambda record: record.pop("record"), "record: expected an object"),
        (lambda record: record.update(format_version=2), "format_version: got 2, expected 1"),
    ],
)
def test_an_edited_sidecar_is_refused_by_name(bundle, change, told):
    edit_sidecar(save(bundle), change)
    with pytest.raises(EngineRefused) as caught:
        find_engine(bundle, identity(bundle))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[1]", "expected a JSON object"),
        (b"[" * 100000, "not valid JSON"),
        (b" " * (1 << 20) + b"{}", "longer than"),
    ],
)
def test_a_sidecar_that_is_none_is_refused(bundle, content, told):
    engine = save(bundle)
    with open(engine.path[: -len(".engine")] + ".json", "wb") as stream:
        stream.write(content)
    with pytest.raises(EngineRefused, match=told):
        find_engine(bundle, identity(bundle))


def test_an_engine_copied_under_another_name_is_refused(bundle):
    engine = save(bundle)
    for extension in (".engine", ".json"):
        old = engine.path[: -len(".engine")] + extension
        os.rename(old, os.path.join(os.path.dirname(old), "0123456789abcdef" + extension))
    with pytest.raises(EngineRefused, match="edited by hand"):
        find_engine(bundle, identity(bundle))


def test_good_engines_are_listed_beside_bad_ones(bundle):
    edit_sidecar(save(bundle, "fp32"), replace("identity", "gpu", "Orin"))
    good = save(bundle, "fp16")
    engines, refusals = list_engines(bundle)
    assert ([engine.key for engine in engines], len(refusals)) == ([good.key], 1)


def test_a_bundle_without_engines_lists_none(bundle):
    assert list_engines(bundle) == ([], [])


# Choosing


def test_the_only_engine_that_fits_is_chosen(bundle):
    save(bundle, "fp32", gpu="Orin")
    here = save(bundle, "fp16")
    assert choose_engine(bundle, NANO).key == here.key


def test_of_several_the_marked_one_is_chosen(bundle):
    save(bundle, "fp32")
    mark_chosen(save(bundle, "fp16"), NANO)
    assert choose_engine(bundle, NANO).identity.precision == "fp16"


def test_marking_one_unmarks_the_other(bundle):
    mark_chosen(save(bundle, "fp16"), NANO)
    mark_chosen(save(bundle, "fp32"), NANO)
    assert choose_engine(bundle, NANO).identity.precision == "fp32"


def test_marking_one_leaves_the_mark_of_another_machine(bundle):
    orin = NANO._replace(gpu="Orin", compute_capability="8.7")
    mark_chosen(save(bundle, "fp32", **orin._asdict()), orin)
    save(bundle, "fp16", **orin._asdict())
    mark_chosen(save(bundle, "fp16"), NANO)
    assert choose_engine(bundle, orin).identity.precision == "fp32"


def test_marking_one_unmarks_another_that_was_built_for_any_such_gpu(bundle):
    mark_chosen(save(bundle, "fp32", gpu="", cuda="", l4t=""), NANO)
    mark_chosen(save(bundle, "fp16"), NANO)
    assert choose_engine(bundle, NANO).identity.precision == "fp16"


def test_several_without_a_mark_are_listed(bundle):
    save(bundle, "fp32")
    save(bundle, "fp16")
    with pytest.raises(EngineRefused, match="several engines fit this machine .*fp16 .*none is marked"):
        choose_engine(bundle, NANO)


def test_a_named_precision_is_chosen_over_the_mark(bundle):
    mark_chosen(save(bundle, "fp16"), NANO)
    save(bundle, "fp32")
    assert choose_engine(bundle, NANO, "fp32").identity.precision == "fp32"


def test_an_engine_that_failed_is_not_chosen(bundle):
    save(bundle, "fp16", {"verification": {"passed": False}})
    with pytest.raises(EngineRefused, match="failed its verification"):
        choose_engine(bundle, NANO)


def test_a_damaged_engine_is_not_chosen(bundle):
    engine = save(bundle)
    with open(engine.path, "ab") as stream:
        stream.write(b"x")
    with pytest.raises(EngineRefused, match="damaged or exchanged"):
        choose_engine(bundle, NANO)


def test_choosing_after_an_upgrade_names_what_changed(bundle):
    save(bundle)
    with pytest.raises(EngineRefused, match="tensorrt 8.2.1.8 -> 8.5.2.2, cuda 10.2 -> 11.4"):
        choose_engine(bundle, NANO._replace(tensorrt="8.5.2.2", cuda="11.4"))


def test_choosing_after_the_graph_was_replaced_names_it(bundle):
    save(bundle, onnx_sha256="0" * 64)
    with pytest.raises(EngineRefused, match="onnx_sha256 000000000000… -> "):
        choose_engine(bundle, NANO)


def test_choosing_without_any_engine_tells_how_to_build_one(bundle):
    with pytest.raises(EngineMissing, match="run `legoclf build-engine"):
        choose_engine(bundle, NANO)


# What fits although it is not the same


def test_a_fact_that_was_not_known_fits_any(bundle):
    built = identity(bundle, machine=Machine("RTX 1.7.1", "", "", "8.9", ""))
    here = Machine("RTX 1.7.1", "12.9", "NVIDIA GeForce RTX 4090", "8.9", "")
    assert differences(built, built.on(here)) == []
    assert [each.field for each in differences(built, built.on(here._replace(compute_capability="8.6")))] == [
        "compute_capability"
    ]


@pytest.mark.parametrize(
    ("tensorrt", "fields"),
    [
        ("8.6.2.3", []),
        ("8.10.0.1", []),
        ("8.5.2.2", ["tensorrt", "cuda"]),
        ("10.3.0.26", ["tensorrt", "cuda"]),
        ("RTX 8.6.2.3", ["tensorrt", "cuda"]),
    ],
)
def test_a_version_compatible_engine_fits_later_releases_of_its_major(bundle, tensorrt, fields):
    built = identity(bundle, tensorrt="8.6.1.6", version_compatible=True)
    here = built.machine._replace(tensorrt=tensorrt, cuda="12.2")
    assert [each.field for each in differences(built, built.on(here))] == fields


@pytest.mark.parametrize(("capability", "fits"), [("8.9", True), ("12.0", True), ("7.5", False)])
def test_a_hardware_compatible_engine_fits_gpus_since_ampere(bundle, capability, fits):
    built = identity(bundle, gpu="A", compute_capability="8.0", hardware_compatible=True)
    here = built.machine._replace(gpu="B", compute_capability=capability)
    assert (differences(built, built.on(here)) == []) == fits


# Writing


def test_a_record_is_changed_without_the_engine(bundle):
    engine = update_record(save(bundle, record={"notes": []}), {"timing": {"median_ms": 1.5}})
    found = find_engine(bundle, identity(bundle))
    assert (found.record, found.record["timing"]["median_ms"]) == (engine.record, 1.5)


def test_leftovers_of_a_killed_run_are_removed_and_those_of_a_living_one_stay(bundle):
    program = "from legoclf.jetson.engine_store import temporary_file; temporary_file({!r})".format(bundle)
    subprocess.check_call([sys.executable, "-c", program], cwd=os.path.dirname(bundle))
    assert len(names(bundle)) == 1
    mine = os.path.basename(temporary_file(bundle))
    assert names(bundle) == [mine]


def test_a_killed_save_leaves_no_sidecar_without_its_engine(bundle, monkeypatch):
    """The engine is in place before its sidecar is: in between it is refused, and not half trusted."""
    written = []
    real = engine_store._write

    def write(bundle_path, name, content):
        if written:
            raise KeyboardInterrupt
        written.append(name)
        real(bundle_path, name, content)

    monkeypatch.setattr(engine_store, "_write", write)
    with pytest.raises(KeyboardInterrupt):
        save(bundle)
    with pytest.raises(EngineRefused, match="has no sidecar"):
        find_engine(bundle, identity(bundle))


LIMITED = """
import resource, signal, sys
from legoclf.errors import LegoclfError
from legoclf.jetson.engine_identity import EngineIdentity
from legoclf.jetson.engine_store import save_engine
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
identity = EngineIdentity("0" * 64, "8", "10", "x", "5.3", "", "fp16", 1, (1, 1, 1), None, None, False, False)
try:
    save_engine(sys.argv[1], identity, b"x" * 5000, {})
except LegoclfError as error:
    print(error)
"""


def test_a_disk_that_is_full_is_one_line_and_nothing_is_left(bundle, tmp_path):
    """A limit on the size of files stands for the disk's end: the write fails half-way as it does there."""
    said = subprocess.check_output([sys.executable, "-c", LIMITED, bundle], cwd=str(tmp_path)).decode()
    assert "cannot be written: File too large; free some space" in said
    assert names(bundle) == []


@pytest.mark.skipif(os.name == "nt", reason="a folder where a file is meant")
def test_a_bundle_that_cannot_be_written_to_is_one_line(bundle):
    with open(os.path.join(bundle, "engines"), "w"):
        pass  # root may write anywhere: a file in the folder's place stops it too
    with pytest.raises(LegoclfError, match="engines: cannot be written"):
        save(bundle)
