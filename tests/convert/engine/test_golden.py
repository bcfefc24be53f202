"""An engine's answers against golden.npz: what passes, what fails, and by which figure."""

import numpy as np
import pytest

from legoclf.convert.engine.golden import run_all, verify_engine
from legoclf.golden import Golden
from legoclf.novelty import NoveltyRule

TENSORS = np.arange(5, dtype=np.float32)[:, None, None, None] * np.ones((1, 3, 2, 2), np.float32)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def logits_of(tensors):
    """Three logits that only depend on the image, the strongest by 1 at least."""
    value = tensors[:, 0, 0, 0]
    return np.stack([value, value * 0 + 2.5, 4.5 - value], axis=1).astype(np.float32)


GOLDEN = Golden([], TENSORS, logits_of(TENSORS), softmax(logits_of(TENSORS)), 1.0, 0.1, 1e-3, 0.02)


class Session:
    """Answers as the graph does, off by ``error`` in the first logit; refuses batches it does not take."""

    outputs = ("logits", "probabilities")

    def __init__(self, error=0.0, batch_sizes=(1, 1, 1)):
        self.error = error
        self.batch_sizes = batch_sizes
        self.seen = []

    def run(self, batch, outputs=None):
        assert self.batch_sizes[0] <= len(batch) <= self.batch_sizes[2]
        self.seen.append(len(batch))
        logits = logits_of(batch)
        logits[:, 0] += np.float32(self.error)
        return {"logits": logits, "probabilities": softmax(logits)}


def verify(error, precision, capability="5.3", **more):
    return verify_engine(Session(error), GOLDEN, precision, capability, **more)


def test_the_same_answers_pass():
    result = verify(0.0, "fp32")
    assert (result.passed, result.images, result.top1_changed, result.logits_difference) == (True, 5, 0, 0.0)


@pytest.mark.parametrize(
    ("error", "precision", "capability", "passed"),
    [
        (5e-4, "fp32", "5.3", True),
        (5e-3, "fp32", "5.3", False),  # FP32 on a Nano: logits within 1e-3
        (5e-3, "fp32", "7.5", False),  # Turing has no TF32
        (5e-3, "fp32", "8.0", True),
        (5e-3, "fp32", "8.7", True),  # Ampere's FP32 multiplies in TF32: probabilities within 0.02
        (5e-3, "fp32", "12.0", True),
        (5e-3, "fp16", "5.3", True),
        (0.2, "fp16", "5.3", False),
        (0.2, "int8", "8.7", False),
        (0.2, "fp32", "8.7", False),
    ],
)
def test_each_precision_is_held_to_its_bound(error, precision, capability, passed):
    assert verify(error, precision, capability).passed is passed


def test_a_changed_top_1_fails_within_any_bound():
    result = verify(3.0, "fp16", probability_bound=1.0)
    assert (result.passed, result.top1_changed > 0) == (False, True)


def test_a_bound_of_the_callers_replaces_the_golden_one():
    assert verify(0.2, "fp16", probability_bound=0.2).passed


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_overflow_fails_and_has_no_figure(value):
    with np.errstate(invalid="ignore"):
        result = verify(value, "fp16", probability_bound=1e9)
    assert (result.passed, result.probability_difference) == (False, None)


def test_infinite_logits_fail_although_the_names_are_right():
    class Overflown(Session):
        def run(self, batch, outputs=None):
            answers = super().run(batch)
            answers["logits"][:, answers["logits"].argmax(axis=1)] = np.inf
            return answers

    assert not verify_engine(Overflown(), GOLDEN, "fp16", "5.3").passed


class Novel(Session):
    """Gives a novelty too, the same of every image."""

    outputs = ("logits", "probabilities", "novelty")

    def __init__(self, novelty, **more):
        super().__init__(**more)
        self.novelty = novelty

    def run(self, batch, outputs=None):
        answers = super().run(batch)
        answers["novelty"] = np.full(len(batch), self.novelty, np.float32)
        return answers


RULE = NoveltyRule("distance", 1.0, 0.05)


def verify_novelty(novelty, precision="fp16", expected=0.5, rule=RULE):
    golden = GOLDEN._replace(novelty=np.full(5, expected, np.float32))
    return verify_engine(Novel(novelty), golden, precision, "5.3", rule=rule)


@pytest.mark.parametrize(
    ("novelty", "precision", "passed"),
    [
        (0.5, "fp32", True),
        (0.502, "fp32", False),
        (0.51, "fp16", True),
        (3.0, "fp16", False),  # unknown, and known by golden.npz
        (3.0, "int8", False),
    ],
)
def test_the_novelty_is_held_to_the_golden_one(novelty, precision, passed):
    assert verify_novelty(novelty, precision).passed is passed


def test_what_is_wrong_with_it_is_told_with_the_figure():
    result = verify_novelty(3.0)
    assert result.novelty_difference == 2.5
    assert "(bound 0.02); 5 of 5 golden images are unknown that should not be" in str(result)
    assert str(result).endswith("its novelty differs by 2.5")


def test_without_a_rule_an_fp16_engine_may_give_any_number():
    assert verify_novelty(3.0, rule=None).passed


@pytest.mark.parametrize(("novelty", "passed"), [(0.5, True), (np.nan, False), (np.inf, False)])
def test_a_novelty_that_is_no_number_fails(novelty, passed):
    assert verify_engine(Novel(novelty), GOLDEN, "fp16", "5.3").passed is passed


def test_the_novelty_is_given_where_the_engine_has_it():
    answers = run_all(Novel(0.5, batch_sizes=(4, 4, 4)), TENSORS)
    np.testing.assert_array_equal(answers["novelty"], np.full(5, 0.5))
    assert "novelty" not in run_all(Session(), TENSORS)


def test_the_verdict_in_words_has_figure_and_bound():
    assert str(verify(5e-3, "fp32")) == ("0 of 5 top-1 changed, logits differ by 0.005 at most (bound 0.001)")


@pytest.mark.parametrize(
    ("batch_sizes", "seen"),
    [((1, 1, 1), [1] * 5), ((1, 2, 4), [4, 1]), ((4, 4, 4), [4, 4]), ((8, 8, 8), [8])],
)
def test_the_images_go_in_batches_that_the_engine_takes(batch_sizes, seen):
    session = Session(batch_sizes=batch_sizes)
    answers = run_all(session, TENSORS)
    assert session.seen == seen
    np.testing.assert_array_equal(answers["logits"], GOLDEN.logits)
