"""golden.npz: read as it was written, and refused in one line where it cannot be used."""

import numpy as np
import pytest

from legoclf.bundle_writer import BundleWriter
from legoclf.contract import unit_range_contract
from legoclf.errors import BundleError, LegoclfError
from legoclf.golden import Golden, novelty_difference, novelty_fault, read_golden
from legoclf.novelty import NoveltyRule


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
    assert golden[4:8] == (1.0, 0.1, 1e-3, 0.02)


def test_the_novelty_is_read_where_it_is_stored(tmp_path):
    novelty = np.float32([0.5, 3])
    golden = read_golden(bundle_with(tmp_path, dict(arrays(), novelty=novelty)))
    np.testing.assert_array_equal(golden.novelty, novelty)


def test_a_file_from_before_it_was_stored_has_none(tmp_path):
    assert read_golden(bundle_with(tmp_path, arrays())).novelty is None


def test_a_novelty_that_does_not_fit_is_named_with_both_shapes(tmp_path):
    with pytest.raises(BundleError, match=r"novelty: got \[2, 1\], expected \[2\]"):
        read_golden(bundle_with(tmp_path, dict(arrays(), novelty=np.zeros((2, 1), np.float32))))


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


# What is wrong with a novelty


RULE = NoveltyRule("distance", 1.0, 0.05)

#: Known, near the threshold, unknown, far off.
EXPECTED = np.float32([0.5, 0.95, 1.5, 20])


def golden_with(novelty):
    rows = np.zeros((4, 2), np.float32)
    return Golden([], np.zeros((4, 3, 2, 2), np.float32), rows, rows, 1.0, 0.1, 1e-3, 0.02, novelty)


def fault(novelty, is_exact, expected=EXPECTED, rule=RULE):
    answers = {"probabilities": np.zeros((4, 2), np.float32)}
    if novelty is not None:
        answers["novelty"] = np.asarray(novelty, np.float32)
    return novelty_fault(answers, golden_with(expected), rule, is_exact)


@pytest.mark.parametrize("is_exact", [True, False])
def test_the_same_novelty_has_no_fault(is_exact):
    assert fault(EXPECTED, is_exact) == ""
    assert fault(EXPECTED[:, None], is_exact) == ""


@pytest.mark.parametrize(
    ("shift", "named"),
    [([0.9e-3, 0, 0, 0], ""), ([1.1e-3, 0, 0, 0], "differs by 0.0011"), ([0, 0, 0, 1e-2], "")],
)
def test_an_exact_one_is_held_to_its_bound_beyond_1_as_a_share(shift, named):
    assert named in fault(EXPECTED + np.float32(shift), True)
    assert bool(fault(EXPECTED + np.float32(shift), True)) is bool(named)


def test_one_that_is_rounded_may_differ_and_cross_the_threshold_nearby():
    assert fault([0.55, 1.05, 1.4, 22], False) == ""


@pytest.mark.parametrize("novelty", [[1.2, 0.95, 1.5, 20], [0.5, 0.95, 0.7, 20], [0.5, 0.95, 1.5, 0]])
def test_one_that_is_rounded_may_not_be_unknown_where_it_was_clearly_known_or_the_other_way(novelty):
    assert fault(novelty, False).startswith("1 of 4 golden images are unknown that should not be")


def test_without_a_rule_only_an_exact_one_is_judged():
    assert fault([9, 9, 9, 9], False, rule=None) == ""
    assert "bound 0.001" in fault([9, 9, 9, 9], True, rule=None)


@pytest.mark.parametrize("is_exact", [True, False])
def test_a_graph_or_a_file_without_novelty_is_not_judged(is_exact):
    assert fault(None, is_exact) == ""
    assert fault([9, 9, 9, 9], is_exact, expected=None) == ""


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("expected", [EXPECTED, None])
def test_a_novelty_that_is_no_number_is_a_fault_whatever_is_stored(value, expected):
    assert fault([0.5, 0.95, value, 20], False, expected) == "its novelty is not a finite number"


def test_a_novelty_of_another_shape_is_refused():
    with pytest.raises(LegoclfError, match=r"'novelty' is \[4, 2\] for 4 images"):
        fault(np.zeros((4, 2)), True)


def test_a_difference_from_what_is_no_number_is_infinite():
    assert novelty_difference(np.float32([1, np.nan]), np.float32([1, 1])) == np.inf
