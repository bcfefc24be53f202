"""`legoclf view`: the real Netron on real graphs, on a loopback port, until a signal comes."""

import argparse
import hashlib
import signal
import socket
import sys
from pathlib import Path

import pytest
import tiny_bundle
from page_process import PageProcess

from legoclf.bundle import FROZEN_GRAPH, Bundle
from legoclf.bundle_update import add_files
from legoclf.errors import BundleError, LegoclfError, UsageError
from legoclf.retrain import view_command
from legoclf.retrain.view_command import find_graph


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A whole bundle, and a frozen graph: of that, the bytes alone are looked at."""
    written = tiny_bundle.write_bundle(tmp_path_factory.mktemp("view") / "colours.bundle")
    return add_files(Bundle.open(written), {FROZEN_GRAPH: b"a frozen graph"}, {}, {})


@pytest.fixture(scope="module")
def _netron() -> None:
    pytest.importorskip("netron", reason="Netron is shown")


def run(*words: str) -> int:
    """The command in this process, as far as it comes."""
    parser = argparse.ArgumentParser()
    view_command.add_arguments(parser)
    return view_command.run(parser.parse_args([*words, "--no_browser"]))


def digests(folder: str) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def test_of_a_bundle_the_onnx_graph_is_meant(bundle: Bundle) -> None:
    assert find_graph(bundle.path, None) == bundle.file("model.onnx")


def test_the_frozen_graph_is_shown_where_it_is_named(bundle: Bundle) -> None:
    assert find_graph(bundle.path, "frozen") == bundle.file("frozen_graph.pb")


def test_the_only_bundle_of_the_working_folder_need_not_be_named(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEGOCLF_BUNDLE", raising=False)
    monkeypatch.chdir(Path(bundle.path).parent)
    assert find_graph(None, None) == str(Path("colours.bundle", "model.onnx"))


def test_any_file_may_be_named(tmp_path: Path) -> None:
    file = tmp_path / "net.tflite"
    file.write_bytes(b"x")
    assert find_graph(str(file), None) == str(file)


def test_a_graph_of_a_bundle_beside_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(b"x")
    with pytest.raises(UsageError, match="^--graph frozen chooses a graph of a bundle, and .*net.onnx is a "):
        find_graph(str(file), "frozen")


def test_what_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone.onnx: no such file or bundle$"):
        find_graph(str(tmp_path / "gone.onnx"), None)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no model.json"):
        find_graph(str(tmp_path), None)


@pytest.mark.usefixtures("_netron")
@pytest.mark.parametrize(("graph", "name"), [("onnx", "model.onnx"), ("frozen", "frozen_graph.pb")])
def test_it_shows_a_graph_of_a_bundle_and_leaves_the_bundle_as_it_was(
    graph: str, name: str, bundle: Bundle, tmp_path: Path
) -> None:
    before = digests(bundle.path)
    with PageProcess(["view", bundle.path, "--graph", graph, "--port", "0"], tmp_path) as page:
        page.address()
        assert b"Netron" in page.get("/")
        assert page.get(f"/data/{name}") == Path(bundle.file(name)).read_bytes()
    assert digests(bundle.path) == before


@pytest.mark.usefixtures("_netron")
def test_its_address_is_one_line_of_this_machine_alone(bundle: Bundle, tmp_path: Path) -> None:
    path = bundle.file("model.onnx")
    with PageProcess(["view", path, "--port", "0"], tmp_path) as page:
        address = page.address()
        assert address.startswith("http://127.0.0.1:")
        assert page.lines == [f"Netron on {path}: {address} (Ctrl-C ends it)\n"]


@pytest.mark.usefixtures("_netron")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_it_with_nothing_left_to_say(
    number: int, code: int, bundle: Bundle, tmp_path: Path
) -> None:
    with PageProcess(["view", bundle.path, "--port", "0"], tmp_path) as page:
        address = page.address()
        told = len(page.lines)
        assert page.stop(number) == code
        assert page.lines[told:] == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=5).close()


def test_without_netron_the_extra_that_brings_it_is_named(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "netron", None)
    with pytest.raises(LegoclfError, match=r"'netron' is not installed; .* 'legoclf\[seen\]'"):
        run(bundle.path)
