"""golden.npz: read as it was written, and refused in one line where it cannot be used."""

import numpy as np
import pytest

from legoclf.bundle_writer import BundleWriter
from legoclf.contract import unit_range_contract
from legoclf.errors import BundleError
from legoclf.golden import read_golden


def arrays():
    """Two images for a bundle of three labels and 2x2 pixels."""
    return {
        "image_0": np.zeros((4, 5, 3), np.uint8),
        "image_1": np.full((2, 2, 3), 255, np.uint8),
        "tensors": np.stack([np.zeros((3, 2, 2), np.float32), np.ones((3, 2, 2), np.float32)]),
        "logits": np.array([[1, 2, 3], [3, 2, 1]], np.float32),
        "probabilities": np.full((2, 3), 1 / 3, np.float32),
        "bound_levels_max": 1.0,
        "bound_levels_mean": 0.1,
        "bound_logits_fp32": 1e-3,
        "bound_probabilities_fp16": 0.02,
    }


def bundle_with(tmp_path, content):
    """A bundle whose golden.npz holds arrays, or bytes, or is not there (None)."""
    with BundleWriter(str(tmp_path / "x.bundle")) as writer:
        if isinstance(content, bytes):
            with open(writer.file("golden.npz"), "wb") as stream:
                stream.write(content)
        elif content is not None:
            np.savez_compressed(writer.file("golden.npz"), **content)
        return writer.finish(["a", "b", "c"], unit_range_contract(2, 2), {}, {})


def test_arrays_are_read_as_they_were_written(tmp_path):
    golden = read_golden(bundle_with(tmp_path, arrays()))
    for name in ("tensors", "logits", "probabilities"):
        np.testing.assert_array_equal(getattr(golden, name), arrays()[name])
    assert [image.shape for image in golden.images] == [(4, 5, 3), (2, 2, 3)]
    assert golden[4:] == (1.0, 0.1, 1e-3, 0.02)


def test_a_bundle_without_golden_images_is_told(tmp_path):
    with pytest.raises(BundleError, match="holds no golden.npz"):
        read_golden(bundle_with(tmp_path, None))


@pytest.mark.parametrize("name", sorted(arrays()))
def test_an_array_that_is_missing_is_named(tmp_path, name):
    content = arrays()
    del content[name]
    with pytest.raises(BundleError, match="golden.npz: cannot be used: has no array '{}'".format(name)):
        read_golden(bundle_with(tmp_path, content))


@pytest.mark.parametrize("name", ["tensors", "logits", "probabilities"])
def test_an_array_that_does_not_fit_is_named_with_both_shapes(tmp_path, name):
    content = arrays()
    content[name] = content[name][..., :1]
    with pytest.raises(BundleError, match=r"{}: got \[2, .*1\], expected \[2, ".format(name)):
        read_golden(bundle_with(tmp_path, content))


def test_no_image_is_too_few(tmp_path):
    content = {name: value for name, value in arrays().items() if not name.startswith("image_")}
    content.update((name, content[name][:0]) for name in ("tensors", "logits", "probabilities"))
    with pytest.raises(BundleError, match="holds no image"):
        read_golden(bundle_with(tmp_path, content))


def test_pickled_objects_are_refused(tmp_path):
    with pytest.raises(BundleError, match="cannot be used"):
        read_golden(bundle_with(tmp_path, dict(arrays(), logits=np.array([object()], dtype=object))))


@pytest.mark.parametrize("content", [b"PK\x03\x04 and then nothing", b""])
def test_what_is_no_archive_is_told(tmp_path, content):
    with pytest.raises(BundleError, match="cannot be used"):
        read_golden(bundle_with(tmp_path, content))
