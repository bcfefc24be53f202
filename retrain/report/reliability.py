"""Whether the probabilities can be trusted: how often answers of like confidence are right."""

from collections.abc import Iterable
from dataclasses import dataclass

from legoclf.retrain.calibrate import CalibrationBin, calibration_bins, expected_calibration_error
from legoclf.retrain.evaluate import Report
from legoclf.retrain.heads import softmax
from legoclf.retrain.report.content import ReportData
from legoclf.retrain.report.markup import percent, text


@dataclass(frozen=True)
class Reliability:
    """Answers of the test set by their confidence, and their expected calibration error."""

    name: str
    bins: list[CalibrationBin]

    @property
    def error(self) -> float:
        """The expected calibration error, as a fraction."""
        return expected_calibration_error(self.bins)


def reliabilities(data: ReportData) -> list[Reliability]:
    """As it is; and before it, as it was without the temperature, if there is one."""
    now = _of(data.test, 1.0, "the probabilities")
    if data.temperature is None or data.temperature == 1.0:
        return [now]
    return [_of(data.test, data.temperature, "before calibration"), _of(data.test, 1.0, "calibrated")]


def calibration(data: ReportData, image: str | None) -> Iterable[str]:
    """The plot with its words; the figures in a table below, to be opened."""
    shown = reliabilities(data)
    now = shown[-1]
    yield f"<p>{_verdict(data, shown)}</p>"
    if image is not None:
        described = f"Share of right answers against their probability. {_verdict(data, shown)}"
        yield f'<img class=plot alt="{described}" src="{image}">'
    yield "<details><summary>The figures</summary><div class=scroll><table class=figures><thead><tr>"
    yield from (
        f"<th scope=col>{head}" for head in ("probability", "images", "mean probability", "share right")
    )
    yield "</thead><tbody>"
    for one in now.bins:
        yield f"<tr><th scope=row>{percent(one.low)} to {percent(one.high)}<td>{one.count}"
        yield f"<td>{percent(one.confidence, 1)}<td>{percent(one.accuracy, 1)}"
    yield "</tbody></table></div></details>"


def _of(report: Report, factor: float, name: str) -> Reliability:
    return Reliability(name, calibration_bins(softmax(report.logits * factor), report.truth))


def _verdict(data: ReportData, shown: list[Reliability]) -> str:
    now = shown[-1].error
    words = (
        "On average an answer's probability is "
        f"{percent(now, 1)} away from how often such answers are right (expected calibration error)"
    )
    if data.temperature == 1.0:
        words += "; no temperature was better on held-out images by more than chance"
    if len(shown) == 1:
        return text(words + ".")
    return text(
        f"{words}; it was {percent(shown[0].error, 1)} before the logits were divided by the temperature "
        f"{data.temperature:.3g}, which was chosen without the test images."
    )
