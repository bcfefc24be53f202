"""Bundles to pack: one of files alone, made at once, and one that answers: it tells plain colours apart."""

import pytest
import tiny_bundle

from legoclf.bundle import Bundle
from legoclf.bundle_writer import BundleWriter
from legoclf.contract import unit_range_contract
from legoclf.jetson.pack.make import pack

FILES = {"model.onnx": b"weights" * 50000, "golden.npz": b"golden", "report/index.html": b"<p>report</p>"}


@pytest.fixture
def files():
    """The files of the bundle by name."""
    return dict(FILES)


@pytest.fixture
def write_bundle():
    """Writes a bundle of such files; model.onnx is no graph."""

    def write(path, files):
        with BundleWriter(str(path)) as writer:
            for name, content in files.items():
                with open(writer.file(name), "wb") as stream:
                    stream.write(content)
            return writer.finish(["left", "right"], unit_range_contract(8, 8), {}, {})

    return write


@pytest.fixture
def bundle(write_bundle, files, tmp_path):
    return write_bundle(tmp_path / "brick.bundle", files)


@pytest.fixture
def archive(bundle, tmp_path):
    """The bundle, packed."""
    return pack(bundle, str(tmp_path / "brick.pyz")).path


@pytest.fixture
def cache(tmp_path):
    """A cache that is not there yet."""
    return str(tmp_path / "cache")


@pytest.fixture(scope="session")
def colours(tmp_path_factory):
    """A packed bundle that answers."""
    pytest.importorskip("onnx", reason="the bundle is made with onnx")
    pytest.importorskip("onnxruntime", reason="it is run with ONNX Runtime")
    # A colon in the folder's name: the module search path of a child must not be cut there.
    folder = tmp_path_factory.mktemp("packed:here")
    written = tiny_bundle.write_bundle(folder / "colours.bundle")
    return pack(Bundle.open(written), str(folder / "colours.pyz")).path
