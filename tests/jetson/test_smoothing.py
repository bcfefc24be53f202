"""Answers that hold still: by the clock and not by the frame, with hysteresis, or unknown."""

import numpy as np
import pytest

from legoclf.jetson.smoothing import Smoother, SmoothingOptions, top_labels

OPTIONS = SmoothingOptions(half_life_s=0.3, margin=0.1, hold_s=0.1, unknown_below=0.5)
A = [0.9, 0.05, 0.05]
B = [0.05, 0.9, 0.05]
NONE = [0.34, 0.33, 0.33]


def feed(smoother, rows, step_s=0.01, start_s=0.0):
    """The labels' indices that a smoother answers to rows at so many seconds apart."""
    return [
        smoother.update(np.array(row, np.float32), start_s + number * step_s).label_index
        for number, row in enumerate(rows)
    ]


def after(half_life_s, passed_s, steps):
    """The share of a new answer when it has been given for so long, in so many frames."""
    smoother = Smoother(OPTIONS._replace(half_life_s=half_life_s))
    smoother.update(np.array([1, 0], np.float32), 0.0)
    for step in range(1, steps + 1):
        smoothed = smoother.update(np.array([0, 1], np.float32), passed_s * step / steps)
    return smoothed.probabilities[1]


@pytest.mark.parametrize("steps", [1, 3, 100])
def test_a_new_answer_has_half_the_weight_after_the_half_life_whatever_the_frame_rate(steps):
    # 1e-5: float32 sums of 100 steps.
    assert after(0.3, 0.3, steps) == pytest.approx(0.5, abs=1e-5)


def test_two_half_lives_leave_a_quarter_of_what_was():
    assert after(0.2, 0.4, 7) == pytest.approx(0.75, abs=1e-5)


def test_probabilities_still_sum_to_one():
    smoother = Smoother(OPTIONS)
    feed(smoother, [A, B, NONE])
    assert smoother.update(np.array(A, np.float32), 1.0).probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_what_was_given_is_not_changed_by_what_comes_after():
    smoother = Smoother(OPTIONS)
    first = np.array(A, np.float32)
    given = smoother.update(first, 0.0).probabilities
    smoother.update(np.array(B, np.float32), 1.0)
    assert given.tolist() == first.tolist() == np.array(A, np.float32).tolist()


def test_the_first_frame_is_answered_at_once():
    assert feed(Smoother(OPTIONS), [B]) == [1]


def test_single_frames_of_another_answer_do_not_show():
    assert set(feed(Smoother(OPTIONS), [A, A, A, B, A, A, B, A])) == {0}


def test_a_new_answer_shows_once_it_has_led_for_the_hold():
    smoother = Smoother(OPTIONS._replace(half_life_s=0.001))
    # The average follows within a frame: what is left is the hold of 0.1 s, ten frames.
    assert feed(smoother, [A] + [B] * 15) == [0] * 11 + [1] * 5


def test_a_lead_that_breaks_off_begins_anew():
    smoother = Smoother(OPTIONS._replace(half_life_s=0.001))
    assert set(feed(smoother, [A] + ([B] * 8 + [A]) * 5)) == {0}


def test_two_others_that_lead_in_turn_do_not_add_up():
    smoother = Smoother(OPTIONS._replace(half_life_s=0.001))
    assert set(feed(smoother, [A] + ([B] * 8 + [[0.05, 0.05, 0.9]] * 8) * 3)) == {0}


def test_a_lead_smaller_than_the_margin_changes_nothing():
    smoother = Smoother(OPTIONS._replace(half_life_s=0.001, unknown_below=0.0))
    assert set(feed(smoother, [[0.5, 0.45, 0.05]] + [[0.45, 0.5, 0.05]] * 50)) == {0}


def test_nothing_likely_is_unknown():
    assert feed(Smoother(OPTIONS), [NONE]) == [None]


def test_unknown_below_0_always_names_a_label():
    assert feed(Smoother(OPTIONS._replace(unknown_below=0.0)), [NONE]) == [0]


def test_an_answer_becomes_unknown_only_when_it_is_less_likely_by_the_margin():
    smoother = Smoother(OPTIONS._replace(half_life_s=0.001))
    barely = [0.45, 0.3, 0.25]
    assert set(feed(smoother, [A] + [barely] * 50)) == {0}
    assert feed(smoother, [NONE] * 50, start_s=1.0)[-1] is None


def test_unknown_is_left_as_soon_as_a_label_has_been_likely_enough_for_the_hold():
    smoother = Smoother(OPTIONS._replace(half_life_s=0.001))
    assert feed(smoother, [NONE] + [[0.52, 0.3, 0.18]] * 15) == [None] * 11 + [0] * 5


def feed_novel(smoother, novel, step_s=0.01, start_s=0.0):
    """The labels' indices for frames of A, of which some (1) are novel."""
    row = np.array(A, np.float32)
    return [
        smoother.update(row, start_s + number * step_s, bool(each)).label_index
        for number, each in enumerate(novel)
    ]


def test_a_novel_first_frame_is_unknown_at_once():
    smoothed = Smoother(OPTIONS).update(np.array(A, np.float32), 0.0, True)
    assert (smoothed.label_index, smoothed.is_novel) == (None, True)


def test_what_stays_novel_becomes_unknown_and_what_is_not_any_more_gets_its_label():
    smoother = Smoother(OPTIONS)
    assert feed_novel(smoother, [0] + [1] * 100)[-1] is None
    assert feed_novel(smoother, [0] * 100, start_s=1.01)[-1] == 0


def test_single_novel_frames_do_not_show():
    assert set(feed_novel(Smoother(OPTIONS), [0, 0, 0, 1, 0, 0, 1, 0] * 20)) == {0}


def test_single_frames_that_are_not_novel_do_not_show():
    assert set(feed_novel(Smoother(OPTIONS), [1, 1, 1, 0, 1, 1, 0, 1] * 20)) == {None}


@pytest.mark.parametrize(("first", "answer"), [(0, 0), (1, None)])
def test_what_is_novel_every_other_frame_keeps_the_answer_it_has(first, answer):
    # Ten half-lives on end; each frame changes the share of the novel ones by a fiftieth.
    assert set(feed_novel(Smoother(OPTIONS), [first] + [0, 1] * 150)) == {answer}


def test_the_hold_delays_unknown_for_novelty_too():
    smoother = Smoother(OPTIONS._replace(half_life_s=0.001))
    assert feed_novel(smoother, [0] + [1] * 15) == [0] * 11 + [None] * 5


def test_what_is_unlikely_is_unknown_and_not_novel():
    smoothed = Smoother(OPTIONS).update(np.array(NONE, np.float32), 0.0)
    assert (smoothed.label_index, smoothed.is_novel) == (None, False)


def test_what_was_novel_and_is_unlikely_now_stays_unknown():
    smoother = Smoother(OPTIONS)
    feed_novel(smoother, [1])
    assert set(feed(smoother, [NONE] * 200, start_s=0.01)) == {None}


def test_without_a_half_life_each_frame_is_novel_by_itself():
    smoother = Smoother(OPTIONS._replace(half_life_s=0.0))
    assert feed_novel(smoother, [0, 1, 0, 1, 1]) == [0, None, 0, None, None]


def test_without_a_half_life_each_frame_is_taken_by_itself():
    smoother = Smoother(OPTIONS._replace(half_life_s=0.0))
    assert feed(smoother, [A, B, NONE, A]) == [0, 1, None, 0]


def test_a_source_that_was_away_starts_afresh():
    smoother = Smoother(OPTIONS)
    feed(smoother, [A])
    # Ten half-lives: a thousandth of the old answer is left.
    assert smoother.update(np.array(B, np.float32), 3.0).probabilities[1] == pytest.approx(0.9, abs=1e-3)


def test_top_labels_are_the_likeliest_first_and_of_equals_the_first():
    probabilities = np.array([0.1, 0.4, 0.1, 0.4], np.float32)
    named = [label for label, _ in top_labels(["a", "b", "c", "d"], probabilities, 3)]
    assert named == ["b", "d", "a"]


def test_more_labels_than_there_are_gives_all():
    assert len(top_labels(["a", "b"], np.array([0.5, 0.5], np.float32), 9)) == 2
