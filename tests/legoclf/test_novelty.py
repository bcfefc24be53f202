"""The rule for a graph's output `novelty`: what is too strange to be named."""

import numpy as np
import pytest

from legoclf.errors import LegoclfError
from legoclf.novelty import NoveltyRule, json_novelty, judge, missing_novelty, wanted_outputs

RULE = NoveltyRule("distance", 2.0, 0.05)
PROBABILITIES = np.full((3, 4), 0.25, np.float32)


def found(novelty):
    return {"probabilities": PROBABILITIES, "novelty": np.array(novelty, np.float32)}


def test_what_is_above_the_threshold_is_novel_and_what_is_at_it_is_not():
    novelty, is_novel = judge(found([1.0, 2.0, 2.5]), RULE)
    assert novelty.tolist() == [1.0, 2.0, 2.5]
    assert is_novel.tolist() == [False, False, True]


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_novelty_that_is_no_number_is_novel(broken):
    assert judge(found([broken, 0, 0]), RULE)[1].tolist() == [True, False, False]


def test_minus_infinity_is_familiar():
    assert not judge(found([-np.inf, 0, 0]), RULE)[1].any()


def test_a_column_is_one_number_an_image_too():
    assert judge(found([[1.0], [2.0], [3.0]]), RULE)[0].shape == (3,)


@pytest.mark.parametrize("novelty", [[1.0], np.zeros((3, 2)), np.zeros((1, 3)), 1.0])
def test_novelty_that_is_not_one_number_an_image_is_refused(novelty):
    with pytest.raises(LegoclfError, match=r"output 'novelty' is \[.*\] for 3 images, expected \[3\]"):
        judge(found(novelty), RULE)


def test_without_a_rule_novelty_is_told_and_nothing_is_novel():
    novelty, is_novel = judge(found([1.0, 2.0, 3.0]), None)
    assert (novelty.tolist(), is_novel) == ([1.0, 2.0, 3.0], None)


def test_without_novelty_nothing_is_told():
    assert judge({"probabilities": PROBABILITIES}, RULE) == (None, None)


def test_novelty_is_asked_for_where_the_graph_gives_it():
    assert wanted_outputs(["logits", "probabilities"]) == ["probabilities"]
    assert wanted_outputs(["novelty", "logits", "probabilities"]) == ["probabilities", "novelty"]


def test_a_rule_that_nothing_can_be_judged_by_is_worth_a_word():
    assert "has no output 'novelty'" in missing_novelty(RULE, ["probabilities"])
    assert missing_novelty(RULE, ["probabilities", "novelty"]) == ""
    assert missing_novelty(None, ["probabilities"]) == ""


@pytest.mark.parametrize(
    ("novelty", "told"),
    [(np.float32(0.1), 0.1), (1234567.8, 1234570.0), (1e-9, 1e-9), (np.nan, None), (np.inf, None)],
)
def test_in_json_a_novelty_has_six_digits_and_is_never_infinite(novelty, told):
    assert json_novelty(novelty) == told
