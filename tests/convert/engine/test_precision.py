"""Timing an engine, and which of several is kept."""

from collections import namedtuple

import numpy as np
import pytest

from legoclf.convert.engine.golden import Verification
from legoclf.convert.engine.precision import Timing, Trial, as_json, fastest, measure, table
from legoclf.jetson.engine_identity import EngineIdentity
from legoclf.jetson.engine_store import StoredEngine

Steps = namedtuple("Steps", ["h2d_ms", "compute_ms", "d2h_ms"])


class Session:
    """A session whose runs take the milliseconds it is told: the first ones slow, as on a cold GPU."""

    def __init__(self, warm_up, timed):
        self.compute = [100.0] * warm_up + timed
        self.runs = 0

    def run_timed(self, batch):
        self.runs += 1
        return {}, Steps(0.5, self.compute[self.runs - 1], 0.25)


def test_warm_up_runs_do_not_count():
    session = Session(10, [4.0, 5.0, 6.0])
    timing = measure(session, np.zeros((2, 3, 4, 4), np.float32), runs=3, warm_up_s=0.0)
    # The median of all steps together; two images a run.
    assert timing == Timing(2, 3, 5.75, 6.75, 5.0, 2 * 1000.0 / 5.75)


def test_warm_up_lasts_as_long_as_asked():
    session = Session(10**6, [])
    measure(session, np.zeros((1, 3, 4, 4), np.float32), runs=1, warm_up_s=0.05)
    # Each of these runs takes microseconds: the time decides, not the ten runs.
    assert session.runs > 100


def test_the_99th_percentile_of_a_hundred_runs_is_the_second_slowest():
    session = Session(10, [1.0] * 98 + [7.0, 9.0])
    timing = measure(session, np.zeros((1, 3, 4, 4), np.float32), runs=100, warm_up_s=0.0)
    assert timing.p99_ms == 7.75


def engine(precision):
    identity = EngineIdentity(
        "0" * 64, "8.2.1.8", "10.2", "x", "5.3", "", precision, 128, (1, 1, 1), None, None, False, False
    )
    return StoredEngine("x.bundle", identity, "0" * 64, 1, {"notes": ["slow GPU"]})


def trial(precision, median_ms, passed=True):
    return Trial(
        precision,
        engine(precision),
        Timing(1, 100, median_ms, median_ms + 1, median_ms, 1000 / median_ms),
        Verification(5, 0, 0.1, 0.01, "probabilities", 0.02, passed),
    )


@pytest.mark.parametrize(
    ("trials", "chosen"),
    [
        ([trial("fp32", 19.5), trial("fp16", 17.7)], "fp16"),
        ([trial("fp32", 17.7), trial("fp16", 19.5)], "fp32"),
        ([trial("fp32", 19.5), trial("fp16", 17.7, passed=False)], "fp32"),
        ([trial("fp32", 9.0), trial("fp16", 9.0)], "fp32"),
        ([trial("fp32", 9.0), Trial("fp16", note="no model.fp16.onnx")], "fp32"),
        ([trial("fp32", 9.0), trial("fp16", 8.0)._replace(verification=None)], "fp32"),
        ([trial("fp32", 9.0), trial("fp16", 8.0)._replace(timing=None)], "fp32"),
        ([trial("fp32", 9.0), trial("fp16", 8.0), trial("int8", 3.0)], "int8"),
    ],
)
def test_the_fastest_that_passed_is_kept(trials, chosen):
    assert fastest(trials).precision == chosen


def test_nothing_is_kept_where_nothing_passed():
    assert fastest([trial("fp32", 9.0, passed=False), Trial("fp16")]) is None


def test_the_table_has_a_line_for_each_and_marks_the_chosen():
    trials = [trial("fp32", 19.5), trial("fp16", 17.7, passed=False), Trial("int8", note="no graph")]
    assert table(trials, trials[0]).splitlines() == [
        "precision  median ms   p99 ms     img/s  probability  verdict",
        "fp32          19.500   20.500      51.3         0.01  passed <- chosen",
        "fp16          17.700   18.700      56.5         0.01  FAILED",
        "int8               -        -         -            -  none (see above)",
    ]


def test_an_engine_that_could_not_be_verified_is_said_to_be_so():
    assert "not verified" in table([Trial("fp16", engine("fp16"))], None)


def test_json_has_figures_notes_and_what_was_chosen():
    record = as_json(trial("fp32", 20.0), None)
    assert (record["timing"]["median_ms"], record["notes"], record["chosen"]) == (20.0, ["slow GPU"], False)
