"""Calibration before and after, from the logits that the classifier ends with."""

import pytest
from small_report import report_of

from legoclf.retrain.report import ReportData
from legoclf.retrain.report.reliability import Reliability, reliabilities


def shown(temperature: float | None) -> list[Reliability]:
    report = report_of([0, 1, 0, 1], [0, 1, 0, 0], ["a", "b"], sure=2.0)
    return reliabilities(ReportData(report, {}, temperature=temperature))


def test_before_calibration_the_logits_were_larger_by_the_temperature() -> None:
    before, now = shown(1.5)
    # Of two classes exp(x) / (exp(x) + 1), at 2 * 1.5 and at 2.
    assert before.bins[0].confidence == pytest.approx(0.9526, abs=1e-4)
    assert now.bins[0].confidence == pytest.approx(0.8808, abs=1e-4)


def test_the_error_is_the_distance_of_confidence_from_the_share_that_is_right() -> None:
    assert shown(None)[0].error == pytest.approx(0.8808 - 0.75, abs=1e-4)


@pytest.mark.parametrize("temperature", [None, 1.0])
def test_without_a_temperature_there_is_nothing_before(temperature: float | None) -> None:
    assert len(shown(temperature)) == 1
